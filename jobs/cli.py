"""The command line: `parsimony COMMAND ...`, and `python -m jobs.COMMAND ...` with the same arguments.

    exit status   0 done   2 usage or invalid input   3 some problems failed   1 anything else   130/143 interrupted

Nothing heavy is imported before the arguments are known. A `Failure` is one line on stderr; a bug keeps its traceback.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from jobs.command_line.calibrate import add_calibrate_arguments, calibrate_options
from jobs.command_line.common import add_overrides, add_writer_arguments, positive
from jobs.command_line.compare import add_compare_arguments, compare_options
from jobs.command_line.estimate import add_estimate_arguments, estimate_options
from jobs.command_line.export import add_export_arguments, export_options
from jobs.command_line.options import (
    CalibrateOptions,
    CompareOptions,
    EstimateOptions,
    ExportOptions,
    ImportAdapterOptions,
    RolloutOptions,
    ScoreOptions,
    StatusOptions,
)
from jobs.command_line.replay import ReplayOptions, add_replay_arguments, replay_options
from jobs.command_line.report import ReportOptions, add_report_arguments, report_options
from jobs.command_line.signals import interrupted_status, treat_sigterm_as_interrupt
from jobs.command_line.status import add_status_arguments, status_options
from jobs.command_line.submit import SubmitOptions, add_submit_arguments, submit_options
from records.failure import Failure, InvalidInput, RunLocked, RunMismatch

_FAILED = 1
REFUSED = 2

Options = (
    ScoreOptions
    | CompareOptions
    | EstimateOptions
    | CalibrateOptions
    | ReplayOptions
    | StatusOptions
    | ExportOptions
    | SubmitOptions
    | ImportAdapterOptions
    | ReportOptions
)


class Command(NamedTuple):
    """One command: what `--help` says of it, its arguments, and how they become the options of `jobs.NAME.run`."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    options: Callable[[argparse.Namespace], Options]


def main(argv: Sequence[str] | None = None, *, command: str | None = None) -> int:
    """Run one command; its exit status.

    Args:
        argv: the arguments; None for those of the process.
        command: the command, for `python -m jobs.COMMAND`; None to take it from the arguments.
    """
    name, options = parse(argv, command=command)
    treat_sigterm_as_interrupt()
    try:
        status: int = import_module(f"jobs.{name.replace('-', '_')}").run(options)
    except Failure as failure:
        sys.stderr.write(f"parsimony: error: {failure}\n")
        return REFUSED if isinstance(failure, InvalidInput | RunMismatch | RunLocked) else _FAILED
    except KeyboardInterrupt:
        return interrupted_status()
    return status


def parse(argv: Sequence[str] | None = None, *, command: str | None = None) -> tuple[str, Options]:
    """The command and its options. Arguments as for `main`; leaves with status 2 and the usage when they are wrong."""
    arguments = _parser(command).parse_args(argv)
    name = command or arguments.command
    return name, COMMANDS[name].options(arguments)


def _parser(command: str | None) -> argparse.ArgumentParser:
    if command is not None:
        parser = argparse.ArgumentParser(
            prog=f"python -m jobs.{command.replace('-', '_')}", description=COMMANDS[command].help
        )
        COMMANDS[command].add_arguments(parser)
        return parser
    parser = argparse.ArgumentParser(
        prog="parsimony",
        description="Score problem sets with a language model that thinks only as hard as each problem needs.",
        epilog="Exit status: 0 done; 2 usage or invalid input; 3 some problems failed; 1 anything else.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (text, add_arguments, _) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=text, description=text))
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: reading package metadata is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        metadata = import_module("importlib.metadata")  # half of what `--help` would take

        try:
            number = metadata.version("parsimony")
        except metadata.PackageNotFoundError:
            number = "(not installed: running from a checkout)"
        sys.stdout.write(f"parsimony {number}\n")
        parser.exit()


def _add_score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problems", metavar="PROBLEMS", help=".jsonl, .csv (also .gz) or .parquet; local or s3://")
    text = "models, strategy and caps: a file, or the name of a shipped one"
    parser.add_argument("--recipe", required=True, type=Path, metavar="R.toml", help=text)
    parser.add_argument(
        "--output", required=True, metavar="RUN", help="folder or s3://bucket/prefix; one that is there is resumed"
    )
    add_overrides(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="score only the first N problems")
    add_writer_arguments(parser, "the run")
    parser.add_argument("--json", action="store_true", help="print a machine-readable summary on stdout")


def _score_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "problems": arguments.problems,
        "recipe": arguments.recipe,
        "output": arguments.output,
        "overrides": tuple(arguments.overrides),
        "limit": arguments.limit,
        "take_over": arguments.take_over,
        "single_writer": arguments.single_writer,
        "json": arguments.json,
    }


def _score_options(arguments: argparse.Namespace) -> ScoreOptions:
    return ScoreOptions(**_score_arguments(arguments))


def _add_rollout_arguments(parser: argparse.ArgumentParser) -> None:
    _add_score_arguments(parser)
    text = "solutions per problem whose prefixes are counted (default: the recipe's, or 8)"
    parser.add_argument("--trajectories", type=positive, metavar="N", help=text)
    text = "continuations of each prefix (default: the recipe's, or 8)"
    parser.add_argument("--continuations", type=positive, metavar="N", help=text)


def _rollout_options(arguments: argparse.Namespace) -> RolloutOptions:
    return RolloutOptions(
        **_score_arguments(arguments),
        num_trajectories=arguments.trajectories,
        num_continuations=arguments.continuations,
    )


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "adapter", metavar="ADAPTER", help="folder with adapter_config.json and adapter_model.safetensors"
    )
    parser.add_argument("--base", required=True, metavar="PRM", help="folder of the PRM that it was trained on")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="new folder, to be served as prm.model")
    parser.add_argument(
        "--generator", metavar="MODEL", help="folder of the generator that it was trained for: another one is warned of"
    )
    parser.add_argument("--temperature", type=float, metavar="T", help="of that generator; another one is warned of")


def _import_options(arguments: argparse.Namespace) -> ImportAdapterOptions:
    return ImportAdapterOptions(
        adapter=arguments.adapter,
        base=arguments.base,
        output=arguments.output,
        generator=arguments.generator,
        temperature=arguments.temperature,
    )


COMMANDS = {
    "score": Command("Score a problem set; the same RUN again resumes it.", _add_score_arguments, _score_options),
    "compare": Command(
        "Compare strategies on the same problems: accuracy against tokens and FLOPs.",
        add_compare_arguments,
        compare_options,
    ),
    "estimate": Command(
        "Predict what a run will take, from a pilot: tokens, time, money, accuracy, each with an interval.",
        add_estimate_arguments,
        estimate_options,
    ),
    "rollout": Command(
        "Count how often continuations of each prefix succeed: the data that a PRM is calibrated on.",
        _add_rollout_arguments,
        _rollout_options,
    ),
    "calibrate": Command(
        "Fit a PRM to rollouts, and say how well it is calibrated then; the same PRM again goes on.",
        add_calibrate_arguments,
        calibrate_options,
    ),
    "replay": Command(
        "Decide again from the stored steps of a run: another strategy, budget rule, PRM or grader.",
        add_replay_arguments,
        replay_options,
    ),
    "report": Command(
        "One self-contained HTML page of a run, finished or not; with RUN_B, the two compared.",
        add_report_arguments,
        report_options,
    ),
    "status": Command("Progress, spend and time left of a run.", add_status_arguments, status_options),
    "export": Command(
        "Write paths with scores and outcomes as training data, in the layouts that TRL reads.",
        add_export_arguments,
        export_options,
    ),
    "submit": Command(
        "Score as a Ray job: submit, follow, stop.",
        partial(add_submit_arguments, add_score_arguments=_add_score_arguments),
        partial(submit_options, score_options=_score_options),
    ),
    "import-adapter": Command(
        "Make a PRM's folder of a published PRM and its calibration adapter.", _add_import_arguments, _import_options
    ),
}


if __name__ == "__main__":
    sys.exit(main())
