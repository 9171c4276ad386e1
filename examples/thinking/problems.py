"""The problem files: those of the arithmetic example of one to five operations, drawn anew, none of them trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from examples.arithmetic.common import write_problems
from examples.arithmetic.problems import LEVELS, problem_set
from examples.thinking.documents import MAX_OPERATIONS

HERE: Final = Path(__file__).resolve().parent
DEFAULT_SEED: Final = 20264


def write_files(output: Path, seed: int) -> None:
    """Write `test.jsonl` (300) and `tune.jsonl` (120, to choose settings on), as many of each level."""
    mixes = {level: mix for level, mix in LEVELS.items() if level <= MAX_OPERATIONS}
    write_problems(output / "test.jsonl", problem_set("thinking-test", 300, mixes, "test", seed))
    write_problems(output / "tune.jsonl", problem_set("thinking-tune", 120, mixes, "calibration", seed))


def main() -> None:
    """Write the problem files."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    write_files(args.output, args.seed)


if __name__ == "__main__":
    main()
