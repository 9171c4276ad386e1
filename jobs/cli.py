"""The command line: `parsimony COMMAND ...`, and `python -m jobs.COMMAND ...` with the same arguments.

    exit status   0 done   2 usage or invalid input   3 some problems failed   1 anything else   130/143 interrupted

Nothing heavy is imported before the arguments are known. A `Failure` is one line on stderr; a bug keeps its traceback.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from jobs.command_line.commands import COMMANDS
from jobs.command_line.signals import interrupted_status, treat_sigterm_as_interrupt
from jobs.display.terminal import err, out, shown
from records.failure import Failure, HeadLost, InvalidInput, RunLocked, RunMismatch

_FAILED = 1
REFUSED = 2
BROKEN_PIPE = 128 + signal.SIGPIPE


def main(argv: Sequence[str] | None = None, *, command: str | None = None) -> int:
    """Run one command; its exit status.

    Args:
        argv: the arguments; None for those of the process.
        command: the command, for `python -m jobs.COMMAND`; None to take it from the arguments.
    """
    name, options = parse(argv, command=command)
    return exit_status_of(lambda: import_module(f"jobs.{name.replace('-', '_')}").run(options))


def exit_status_of(run: Callable[[], int]) -> int:
    """What `run` returns, or the status of what ended it: a `Failure` is told on stderr, an interrupt says nothing."""
    treat_sigterm_as_interrupt()
    try:
        return run()
    except HeadLost as lost:  # Ray's own farewell would wait for the head, and then end us with a word of its own
        err(f"parsimony: error: {lost}\n")
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(_FAILED)
    except Failure as failure:
        err(f"parsimony: error: {shown(str(failure))}\n")
        return REFUSED if isinstance(failure, InvalidInput | RunMismatch | RunLocked) else _FAILED
    except KeyboardInterrupt:
        return interrupted_status()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def parse(argv: Sequence[str] | None = None, *, command: str | None = None) -> tuple[str, object]:
    """The command and its options. Arguments as for `main`; leaves with status 2 and the usage when they are wrong."""
    arguments = _parser(command).parse_args(argv)
    name = command or arguments.command
    return name, COMMANDS[name].options(arguments)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments as everything else is said."""

    def error(self, message: str) -> NoReturn:
        """Leave with the usage and what is wrong."""
        err(self.format_usage())
        err(f"{self.prog}: error: {shown(message)}\n")
        sys.exit(REFUSED)


def _parser(command: str | None) -> argparse.ArgumentParser:
    if command is not None:
        parser = _Parser(prog=f"python -m jobs.{command.replace('-', '_')}", description=COMMANDS[command].help)
        COMMANDS[command].add_arguments(parser)
        return parser
    parser = _Parser(
        prog="parsimony",
        description="Score problem sets with a language model that thinks only as hard as each problem needs.",
        epilog="Exit status: 0 done; 2 usage or invalid input; 3 some problems failed; 1 anything else.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, known in COMMANDS.items():
        known.add_arguments(commands.add_parser(name, help=known.help, description=known.help))
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: reading package metadata is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        metadata = import_module("importlib.metadata")  # half of what `--help` would take

        try:
            number = metadata.version("parsimony")
        except metadata.PackageNotFoundError:
            number = "(not installed: running from a checkout)"
        out(f"parsimony {number}\n")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
