"""What each command reads and writes: what has to travel with its job, or to lie where the cluster finds it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.command_line.calibrate import CalibrateOptions
from jobs.command_line.compare import CompareOptions
from jobs.command_line.estimate import EstimateOptions
from jobs.command_line.export import ExportOptions
from jobs.command_line.replay import ReplayOptions
from jobs.command_line.report import ReportOptions
from jobs.command_line.rollout import RolloutOptions
from jobs.command_line.score import ScoreOptions
from jobs.comparison.settings import comparison_settings
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import NO_CAPS, Recipe

ROLLOUT: Mapping[str, str] = {"name": "rollout"}
"""The strategy that `rollout` and `calibrate` put in the place of the recipe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs:
    """What a command is about.

    Attributes:
        read: as it is called on the command line -> files, folders or addresses that are read.
        recipes: files, or names of shipped ones.
        output: what is written.
        load: reads and checks the recipes as the command does, with everything that was set.
    """

    read: Mapping[str, tuple[str, ...]]
    recipes: tuple[Path, ...]
    output: str
    load: Callable[[], list[Recipe]]


def inputs_of(options: Any) -> JobInputs:
    """What a command of these options reads and writes."""
    return _INPUTS[type(options)](options)


def _of_one_recipe(
    options: ScoreOptions | CalibrateOptions, strategy: Mapping[str, str] | None, **read: tuple[str, ...]
) -> JobInputs:
    def load() -> list[Recipe]:
        return [load_recipe(options.recipe, options.overrides, strategy=strategy, read_files=False)]

    return JobInputs(read=read, recipes=(options.recipe,), output=options.output, load=load)


def _of_score(options: ScoreOptions) -> JobInputs:
    return _of_one_recipe(options, None, PROBLEMS=(options.problems,))


def _of_rollout(options: RolloutOptions) -> JobInputs:
    return _of_one_recipe(options, ROLLOUT, PROBLEMS=(options.problems,))


def _of_calibrate(options: CalibrateOptions) -> JobInputs:
    sets = {"ROLLOUTS": (options.rollouts,), "--evaluate": tuple(options.evaluations.values())}
    return _of_one_recipe(options, ROLLOUT, **sets)


def _of_compare(options: CompareOptions) -> JobInputs:
    def load() -> list[Recipe]:
        settings = comparison_settings(options.recipes, options.strategies, options.overrides, read_files=False)
        return [setting.recipe for setting in settings]

    return JobInputs(read={"PROBLEMS": (options.problems,)}, recipes=options.recipes, output=options.output, load=load)


def _of_estimate(options: EstimateOptions) -> JobInputs:
    def load() -> list[Recipe]:
        own = load_recipe(options.recipe, options.overrides, read_files=False)
        strategies = options.strategies or (own.strategy.name,)
        settings = comparison_settings((options.recipe,), strategies, (*options.overrides, *NO_CAPS), read_files=False)
        return [own, *(setting.recipe for setting in settings)]

    return JobInputs(
        read={"PROBLEMS": (options.problems,)}, recipes=(options.recipe,), output=options.output, load=load
    )


def _of_replay(options: ReplayOptions) -> JobInputs:
    prm = () if options.prm is None else (options.prm,)
    return JobInputs(read={"RUN": (options.run,), "--prm": prm}, recipes=(), output=options.output, load=list)


def _of_report(options: ReportOptions) -> JobInputs:
    other = () if options.other is None else (options.other,)
    return JobInputs(read={"RUN": (options.run,), "RUN_B": other}, recipes=(), output=options.output, load=list)


def _of_export(options: ExportOptions) -> JobInputs:
    return JobInputs(read={"RUN": (options.run,)}, recipes=(), output=options.output, load=list)


_INPUTS: dict[type, Callable[[Any], JobInputs]] = {
    ScoreOptions: _of_score,
    RolloutOptions: _of_rollout,
    CalibrateOptions: _of_calibrate,
    CompareOptions: _of_compare,
    EstimateOptions: _of_estimate,
    ReplayOptions: _of_replay,
    ReportOptions: _of_report,
    ExportOptions: _of_export,
}
