"""`parsimony submit`: the arguments of `score` with where to and how, and the commands for jobs that are there."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.command_line.common import Command, add_json, options_of
from jobs.command_line.score import ScoreOptions, add_score_arguments

JobAction = Literal["stop", "status", "logs", "list"]

_HELP: dict[JobAction, str] = {
    "stop": "Stop a job: what there is is written, and `submit score --resume` goes on.",
    "status": "State of a job and of its earlier attempts.",
    "logs": "Show what a job writes, until it has ended; the exit status is the job's.",
    "list": "Jobs of the cluster that work on a run.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitScore:
    """`parsimony submit score`.

    Attributes:
        address: of the head's dashboard.
        score: what the job is to do.
        submission_id: of the job; None to derive it from the run.
        resume: follow the job of that id if it runs, go on with its run if it has ended.
        wait: follow the log to the end.
        working_dir: folder that the job gets.
    """

    address: str
    score: ScoreOptions
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


SubmitOptions = SubmitScore | JobCommand


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "Score a problem set as a Ray job; all arguments of `score` hold."
    score = actions.add_parser("score", help=text, description=text, allow_abbrev=False)
    add_score_arguments(score)
    _add_job_arguments(score.add_argument_group("the job"))
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
    text = "name of the job (default: derived from the run)"
    job.add_argument("--submission-id", type=_submission_id, metavar="ID", help=text)
    text = "with a job of that id: follow it if it runs, else go on with its run in a new attempt, ID-2, ID-3 ..."
    job.add_argument("--resume", action="store_true", help=text)
    job.add_argument("--no-wait", dest="wait", action="store_false", help="do not follow the log")
    text = "folder that is shipped, with problems and recipe (default: the current one)"
    job.add_argument("--working-dir", type=Path, metavar="DIR", help=text)


def _options(arguments: argparse.Namespace) -> SubmitOptions:
    if arguments.action == "score":
        return options_of(SubmitScore, arguments, score=options_of(ScoreOptions, arguments))
    return options_of(JobCommand, arguments)


def _add_address(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, http://HEAD:8265")


def _submission_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", text):
        raise argparse.ArgumentTypeError(f"must be letters, digits, dots, dashes and underscores, not {text!r}")
    return text


COMMAND = Command(
    name="submit", help="Score as a Ray job: submit, follow, stop.", add_arguments=_add_arguments, options=_options
)
