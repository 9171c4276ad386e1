"""What arguments of several commands have in common. Standard library only: `--help` is instant."""

import argparse


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def share(text: str) -> float:
    """A number from 0 on and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, not {text!r}")
    return value


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`--set section.key=value`."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="section.key=value",
        help="change one setting of the recipe (an empty value removes it); may be repeated",
    )


def add_writer_arguments(parser: argparse.ArgumentParser, run: str) -> None:
    """`--take-over` and `--single-writer`; `run` is what would be taken."""
    parser.add_argument("--take-over", action="store_true", help=f"take {run} from a controller that seems alive")
    parser.add_argument(
        "--single-writer",
        action="store_true",
        help="accept a store that lets two controllers overwrite each other; you see to it that there is one",
    )
