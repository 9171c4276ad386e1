"""`parsimony submit`: the arguments of a command with where to and how, and the commands for jobs that are there."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.command_line import calibrate, compare, estimate, export, replay, report, rollout, score
from jobs.command_line.common import Command, add_json, options_of

SUBMITTABLE: dict[str, Command] = {
    module.COMMAND.name: module.COMMAND
    for module in (score, rollout, calibrate, compare, estimate, replay, report, export)
}
"""Commands that can be a job, by name."""

JobAction = Literal["stop", "status", "logs", "list"]

_HELP: dict[JobAction, str] = {
    "stop": "Stop a job: what there is is written, and the same `submit` with --resume goes on.",
    "status": "State of a job and of its earlier attempts.",
    "logs": "Show what a job writes, until it has ended; the exit status is the job's.",
    "list": "Jobs of the cluster that are commands of Parsimony.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitCommand:
    """`parsimony submit COMMAND`.

    Attributes:
        address: of the head's dashboard.
        name: of the command that the job is.
        options: its options, as the command itself would read them.
        words: its arguments, as they were typed.
        submission_id: of the job; None to derive it from the output.
        resume: follow the job of that id if it runs, go on with its work if it has ended.
        wait: follow the log to the end.
        working_dir: folder that the job gets.
    """

    address: str
    name: str
    options: Any
    words: tuple[str, ...]
    submission_id: str | None = None
    resume: bool = False
    wait: bool = True
    working_dir: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCommand:
    """`parsimony submit stop|status|logs|list`.

    Attributes:
        address: of the head's dashboard.
        action: what to do.
        submission_id: of the job; "" for `list`.
        wait: until it has ended (`stop`, `logs`).
        json: print it machine-readable (`status`, `list`).
    """

    address: str
    action: JobAction
    submission_id: str = ""
    wait: bool = False
    json: bool = False


SubmitOptions = SubmitCommand | JobCommand


class _JobParser(argparse.ArgumentParser):
    """Remembers its words: those that are not the job's own are the command's, which the job is given as they are."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does."""
        words = tuple(args or ())
        parsed, rest = super().parse_known_args(words, namespace)
        parsed.typed = words
        return parsed, rest


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_JobParser)
    for name, known in SUBMITTABLE.items():
        text = f"`parsimony {name}` as a Ray job; all its arguments hold. {known.help}"
        command = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        known.add_arguments(command)
        _add_job_arguments(command.add_argument_group("the job"))
    for action, text in _HELP.items():
        command = actions.add_parser(action, help=text, description=text, allow_abbrev=False)
        if action != "list":
            command.add_argument("submission_id", type=_submission_id, metavar="ID", help="the job, newest attempt")
        _add_address(command)
        if action in {"stop", "logs"}:
            command.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait for its end")
        else:
            add_json(command, "print it machine-readable on stdout")


def _add_job_arguments(job: argparse._ActionsContainer) -> None:
    _add_address(job)
    text = "name of the job (default: derived from the output)"
    job.add_argument("--submission-id", type=_submission_id, metavar="ID", help=text)
    text = "with a job of that id: follow it if it runs, else go on with its work in a new attempt, ID-2, ID-3 ..."
    job.add_argument("--resume", action="store_true", help=text)
    job.add_argument("--no-wait", dest="wait", action="store_false", help="do not follow the log")
    text = "folder that is shipped, with problems and recipe (default: the current one)"
    job.add_argument("--working-dir", type=Path, metavar="DIR", help=text)


def _options(arguments: argparse.Namespace) -> SubmitOptions:
    known = SUBMITTABLE.get(arguments.action)
    if known is None:
        return options_of(JobCommand, arguments)
    job = _JobParser(add_help=False, allow_abbrev=False)
    _add_job_arguments(job)
    _, words = job.parse_known_args(arguments.typed)
    alone = argparse.ArgumentParser(prog=f"parsimony submit {known.name}", description=known.help)
    known.add_arguments(alone)
    options = known.options(arguments)
    if known.options(alone.parse_args(words)) != options:
        alone.error("without --address and its like these arguments mean something else: give what has no -- first")
    return options_of(SubmitCommand, arguments, name=known.name, options=options, words=tuple(words))


def _add_address(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, http://HEAD:8265")


def _submission_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", text):
        raise argparse.ArgumentTypeError(f"must be letters, digits, dots, dashes and underscores, not {text!r}")
    return text


COMMAND = Command(
    name="submit",
    help="A command that works on a cluster as a Ray job: submit, follow, stop.",
    add_arguments=_add_arguments,
    options=_options,
)
