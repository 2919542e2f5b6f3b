"""Mutate the seeds of one target: `python tests/fuzz/run.py TARGET [--rounds N] [--seed S]`. Exit 0: every call kept its promise.

The mutations are those that break parsers: bytes, integers at their edges, cut, doubled and swapped runs. The seed is printed, so
that a failure can be repeated; the input that failed is written to the current folder.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from targets import TARGETS

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
CALL_S = 20.0
"""CPU seconds of one call: more is a failure too."""


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Return the data with one to eight mutations."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << dice.randrange(8)
            case 1:
                width = dice.choice((1, 2, 4, 8))
                value = dice.choice(EDGES) & ((1 << 8 * width) - 1)
                out[at : at + width] = value.to_bytes(width, dice.choice(("little", "big")))
            case 2:
                del out[at:]
            case 3:
                del out[at : at + dice.randint(1, 64)]
            case 4:
                out[at:at] = out[at : at + dice.randint(1, 64)]
            case _:
                out[at : at + 4] = dice.randbytes(4)
    return bytes(out)


def main() -> int:
    """Run the rounds of one target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    target, dice = TARGETS[chosen.target], random.Random(chosen.seed)
    seeds, refused = target.seeds(), 0
    for number in range(chosen.rounds):
        data = mutated(dice.choice(seeds), dice) if number >= len(seeds) else seeds[number]
        Path("fuzz-input").write_bytes(data)  # stands here when the process dies
        before = time.process_time()
        try:
            target.call(data)
        except target.refuses:
            refused += 1
        spent = time.process_time() - before
        assert spent < CALL_S, f"{chosen.target}: {spent:.1f} s of CPU in round {number} of seed {chosen.seed}"
    Path("fuzz-input").unlink()
    print(f"{chosen.target}: {chosen.rounds} inputs of seed {chosen.seed}, {refused} refused, none crashed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
