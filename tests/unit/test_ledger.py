"""The ledger finds any changed, missing, swapped or added byte or line, and names the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from safelight.ledger import Ledger, LedgerError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger of six entries, with a name that is not ASCII."""
    made = Ledger(tmp_path)
    for number in range(6):
        made.append("step", number=number, text="blåbær \u202e", nested={"b": [1, None, True], "a": 0.5})
    return made


def test_untouched_ledger_verifies(ledger: Ledger) -> None:
    """An untouched ledger has as many good entries as were appended."""
    assert ledger.verify() == 6


def test_each_flipped_bit_is_found_in_its_line(ledger: Ledger) -> None:
    """Whatever bit of whatever byte is flipped, `verify` names that line (or the next one, where two lines were joined)."""
    raw = ledger.path.read_bytes()
    for place in range(len(raw)):
        for bit in (0, 5, 7):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            ledger.path.write_bytes(changed)
            with pytest.raises(LedgerError) as found:
                ledger.verify()
            line = raw[:place].count(b"\n") + 1
            assert found.value.line in (line, line + 1), (place, bit)


@pytest.mark.parametrize("number", range(6))
def test_missing_line_is_found(ledger: Ledger, number: int) -> None:
    """A removed line is named, the last one too."""
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))

    with pytest.raises(LedgerError) as found:
        ledger.verify()
    assert found.value.line == number + 1


@pytest.mark.parametrize("number", range(5))
def test_swapped_and_doubled_lines_are_found(ledger: Ledger, number: int) -> None:
    """Two swapped lines, and a line that stands twice."""
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    swapped = [*lines]
    swapped[number], swapped[number + 1] = swapped[number + 1], swapped[number]
    for changed, line in ((swapped, number + 1), ([*lines[: number + 1], *lines[number:]], number + 2)):
        ledger.path.write_bytes(b"".join(changed))
        with pytest.raises(LedgerError) as found:
            ledger.verify()
        assert found.value.line == line


def test_each_truncation_is_found(ledger: Ledger) -> None:
    """A ledger that is cut anywhere does not verify."""
    raw = ledger.path.read_bytes()
    for length in range(len(raw)):
        ledger.path.write_bytes(raw[:length])
        with pytest.raises(LedgerError):
            ledger.verify()


def test_torn_tail_is_dropped_by_the_next_append(ledger: Ledger) -> None:
    """Half a line that a killed process left was never acknowledged; the next append goes on behind the last whole entry."""
    with ledger.path.open("ab") as file:
        file.write(b'{"at":"2026')
    ledger.append("step", number=6)

    assert ledger.verify() == 7


def test_append_refuses_behind_a_missing_tail(ledger: Ledger) -> None:
    """Where entries are gone, nothing is appended as if they had never been."""
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:3]))

    with pytest.raises(LedgerError):
        ledger.append("step", number=9)
