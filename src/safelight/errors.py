"""What stops a command, each with its exit code. What evidence causes is a problem record instead and stops nothing.

0 done · 1 done, with problems listed · 2 wrong use · 3 refused · 4 verification failed · 5 out of space or resources · 130 interrupted
"""

from __future__ import annotations

DONE, DONE_WITH_PROBLEMS, WRONG_USE, REFUSED, NOT_VERIFIED, OUT_OF_RESOURCES, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class Stop(Exception):
    """A reason to stop: says what happened, what is unharmed, what to do."""

    code = REFUSED


class Usage(Stop):
    """The command was used wrongly."""

    code = WRONG_USE


class Refused(Stop):
    """Policy, sandbox, or evidence that changed or cannot be read."""

    code = REFUSED


class NotVerified(Stop):
    """Evidence, facts or ledger are not what they were."""

    code = NOT_VERIFIED


class OutOfResources(Stop):
    """No space, no memory, no file handles."""

    code = OUT_OF_RESOURCES
