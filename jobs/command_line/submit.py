"""Arguments of `parsimony submit`: those of `score` with where to and how, and the commands for jobs that are there.

Standard library only: `--help` is instant. The arguments of `score` come from its own parser, as an argument, so that
what `score` accepts is what `submit score` accepts.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, cast

from jobs.command_line.options import ScoreOptions

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
    submission_id: str | None
    resume: bool
    wait: bool
    working_dir: Path


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
    submission_id: str
    wait: bool
    json: bool


SubmitOptions = SubmitScore | JobCommand


def add_submit_arguments(
    parser: argparse.ArgumentParser, add_score_arguments: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the sub-commands. `add_score_arguments` adds those of `score` to a parser."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "Score a problem set as a Ray job; all arguments of `score` hold."
    score = actions.add_parser("score", help=text, description=text, allow_abbrev=False)
    add_score_arguments(score)
    job = score.add_argument_group("the job")
    _add_address(job)
    job.add_argument(
        "--submission-id", type=_submission_id, metavar="ID", help="name of the job (default: derived from the run)"
    )
    job.add_argument(
        "--resume",
        action="store_true",
        help="with a job of that id: follow it if it runs, else go on with its run in a new attempt, ID-2, ID-3 ...",
    )
    job.add_argument("--no-wait", dest="wait", action="store_false", help="do not follow the log")
    job.add_argument(
        "--working-dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder that is shipped, with problems and recipe (default: the current one)",
    )
    for action, text in _HELP.items():
        command = actions.add_parser(action, help=text, description=text, allow_abbrev=False)
        if action != "list":
            command.add_argument("submission_id", type=_submission_id, metavar="ID", help="the job, newest attempt")
        _add_address(command)
        if action in {"stop", "logs"}:
            command.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait for its end")
        else:
            command.add_argument("--json", action="store_true", help="print it machine-readable on stdout")


def submit_options(
    arguments: argparse.Namespace, score_options: Callable[[argparse.Namespace], ScoreOptions]
) -> SubmitOptions:
    """The options behind parsed arguments. `score_options` makes those of `score`."""
    if arguments.action == "score":
        return SubmitScore(
            address=arguments.address,
            score=score_options(arguments),
            submission_id=arguments.submission_id,
            resume=arguments.resume,
            wait=arguments.wait,
            working_dir=arguments.working_dir,
        )
    return JobCommand(
        address=arguments.address,
        action=cast("JobAction", arguments.action),
        submission_id=getattr(arguments, "submission_id", ""),
        wait=getattr(arguments, "wait", False),
        json=getattr(arguments, "json", False),
    )


def score_arguments(options: ScoreOptions) -> list[str]:
    """The command line of `score` that means `options`: what its parser turns into them again."""
    arguments = [options.problems]
    for field in fields(options):
        value = getattr(options, field.name)
        flag = "--" + field.name.replace("_", "-")
        if field.name == "overrides":
            arguments += [f"--set={override}" for override in value]
        elif value is True:
            arguments.append(flag)
        elif field.name != "problems" and value is not None and value is not False:
            arguments.append(f"{flag}={value}")
    return arguments


def _add_address(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, http://HEAD:8265")


def _submission_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", text):
        raise argparse.ArgumentTypeError(f"must be letters, digits, dots, dashes and underscores, not {text!r}")
    return text
