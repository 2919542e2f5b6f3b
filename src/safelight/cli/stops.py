"""Turn errors of the system into stops that say what to do."""

from __future__ import annotations

import errno

from safelight.errors import OutOfResources, Refused, Stop


def from_os_error(e: OSError) -> Stop:
    """Return the stop for an error of the system: no space and no handles are resources, the rest is refused."""
    where = f" at {e.filename}" if e.filename else ""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfResources(f"no space is left{where}. What is done is kept and whole; free some space and run again.")
    if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return OutOfResources(f"{e.strerror}{where}. What is done is kept; raise the limit and run again.")
    return Refused(f"{e.strerror or e}{where}. What is done is kept.")
