"""`compare`, `estimate` and `replay` from Python: what the commands of those names do, with their results as values."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.command_line.compare import CompareOptions
from jobs.command_line.estimate import EstimateOptions
from jobs.command_line.replay import ReplayOptions
from parsimony.inputs import Problems, as_in_a_program, overrides_of, problem_file, toml
from parsimony.runs import StoredRun

if TYPE_CHECKING:
    from jobs.estimation.result import RunEstimate
    from jobs.replaying.summary import ReplaySummary
    from scaling.statistics.comparison_rows import SettingsComparison

Recipe = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Settings beside each other.

    Attributes:
        numbers: accuracy, cost and their paired differences, a row a setting, with 95% intervals over problems.
        settings: the same as a `pyarrow.Table`, one row a setting; columns in `docs/compare.md`.
        problems: one row a setting and problem.
    """

    numbers: "SettingsComparison"
    settings: Any
    problems: Any


@dataclass(frozen=True, slots=True)
class Replay:
    """A run decided again.

    Attributes:
        summary: each setting beside the run itself, with 95% intervals.
        table: a `pyarrow.Table`, one row a setting and problem; columns in `docs/replay.md`.
    """

    summary: "ReplaySummary"
    table: Any


def compare(
    problems: Problems,
    *,
    recipe: Recipe | Sequence[Recipe],
    strategies: Sequence[str],
    output: str | PathLike[str],
    baseline: str | None = None,
    margin: float = 0.01,
    num_orders: int = 30,
    settings: Mapping[str, object] | None = None,
    limit: int | None = None,
) -> Comparison:
    """Several strategies on the same problems, accuracy against tokens and FLOPs. Again = go on, or use what is there.

    Args:
        problems: as of `score`; with answer keys.
        recipe: one or several.
        strategies: `[RECIPE@]STRATEGY[:key=value]...` each.
        output: folder or s3:// prefix; runs that are there are resumed or used.
        baseline: which setting the others are compared with; None: the first.
        margin: accuracy (a share of problems) that a setting may lose and still count as not worse.
        num_orders: orders of shared samples that are averaged over.
        settings: `{"section.key": value}`, for every setting.
        limit: only so many problems, from the first on.

    Raises:
        InvalidInput: file, line or field, and what to do.
        NothingToCompare: no problem has a verdict in every setting.
        Failure: what ended a run early; the same call goes on with it.
    """
    recipes = [recipe] if isinstance(recipe, str | PathLike) else list(recipe)
    with as_in_a_program(), problem_file(problems) as file:
        from jobs.compare import carry_out_comparison
        from jobs.comparison.tables import problems_table, settings_table

        compared = carry_out_comparison(
            CompareOptions(
                problems=file,
                recipes=tuple(map(Path, recipes)),
                strategies=tuple(strategies),
                output=str(output),
                baseline=baseline,
                margin=margin,
                num_orders=num_orders,
                overrides=overrides_of(settings),
                limit=limit,
            )
        )
        by_problem = problems_table(compared.measured, compared.problem_ids)
        return Comparison(compared.comparison, settings_table(compared.comparison), by_problem)


def estimate(
    problems: Problems,
    *,
    recipe: Recipe,
    output: str | PathLike[str],
    strategies: Sequence[str] = (),
    pilot: int = 50,
    replicas: Sequence[tuple[int, int]] = (),
    accuracy: float | None = None,
    max_usd: float | None = None,
    settings: Mapping[str, object] | None = None,
    limit: int | None = None,
) -> "RunEstimate":
    """What a run will take, from a pilot: tokens, seconds, USD and accuracy, each with a 90% interval.

    Args:
        problems: as of `score`.
        recipe: models, strategy and prices.
        output: folder or s3:// prefix; each strategy's run is begun in it, to be gone on with.
        strategies: `STRATEGY[:key=value]...` each; none: the recipe's own.
        pilot: problems that are run for real.
        replicas: (generators, PRMs) to predict time and money for; none: the recipe's numbers.
        accuracy: that is wanted, as a share; names the cheapest strategy that gets it.
        max_usd: that may be spent.
        settings: `{"section.key": value}`, for every strategy.
        limit: of a run over so many problems, from the first on.

    Raises:
        InvalidInput: file, line or field, and what to do.
        Failure: what ended a pilot early; the same call goes on with it.
    """
    with as_in_a_program(), problem_file(problems) as file:
        from jobs.estimate import estimate as run_pilots

        return run_pilots(
            EstimateOptions(
                problems=file,
                recipe=Path(recipe),
                output=str(output),
                strategies=tuple(strategies),
                pilot=pilot,
                replicas=tuple(replicas),
                accuracy=accuracy,
                max_usd=max_usd,
                overrides=overrides_of(settings),
                limit=limit,
            )
        )


def replay(
    run: StoredRun | str | PathLike[str],
    *,
    settings: Mapping[str, object] | None = None,
    sweeps: Mapping[str, Sequence[object]] | None = None,
    prm: str | None = None,
    num_orders: int = 1,
    output: str | PathLike[str] | None = None,
) -> Replay:
    """Decide again from the stored steps of a run, without sampling; without a model, unless `prm` names one.

    Args:
        run: of `score`, opened or where it is.
        settings: `{"section.key": value}` on the run's own recipe.
        sweeps: `{"section.key": [value, ...]}`; several make every combination.
        prm: folder or s3:// address of a PRM that scores the stored paths anew.
        num_orders: orders of whole samples that are averaged over.
        output: where the files go; None: nowhere.

    Raises:
        InvalidInput: a setting that cannot be replayed, or no run.
        StoreFailed: the run is damaged.
    """
    with as_in_a_program(), ExitStack() as stack:
        from jobs.replay import carry_out_replay

        place = str(output) if output is not None else stack.enter_context(tempfile.TemporaryDirectory())
        played, summary = carry_out_replay(
            ReplayOptions(
                run=run.uri if isinstance(run, StoredRun) else str(run),
                output=place,
                overrides=overrides_of(settings),
                sweeps=tuple(f"{key}={','.join(map(toml, values))}" for key, values in (sweeps or {}).items()),
                prm=prm,
                num_orders=num_orders,
            )
        )
    return Replay(summary, played.table)
