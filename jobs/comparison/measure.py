"""What each setting of a comparison came to on each problem: read from its own run, or played on shared samples."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.comparison.settings import Setting
from jobs.comparison.stored_samples import coverage
from jobs.recipes.strategy_factory import strategy_factory
from jobs.scoring.plan import Plan
from records.failure import InvalidInput
from records.rows import Status
from records.run_folder.reader import Run, read_run
from scaling.search.accounting import Models, flops
from scaling.statistics.comparison import ByOrder, Measured
from scaling.stored.problem import StoredProblem
from scaling.stored.sample_player import Outcome, play
from scaling.stored.shared_cap import play_together

Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""Share of the tokens that is one of summation."""

_COSTS = ("generated_tokens", "thinking_tokens", "prompt_tokens", "cached_tokens", "prm_tokens", "prm_cached_tokens")


def models_of(run: Run) -> Models:
    """The models by whose sizes a run's own rows count FLOPs, by its manifest.

    Raises:
        InvalidInput: the manifest does not say how large a model is.
    """
    sizes: dict[str, int] = {}
    for role, model in run.manifest.models.items():
        if model.num_parameters is None:
            raise InvalidInput(f"{run.uri}: the manifest does not say how large {model.model} is, so FLOPs are unknown")
        sizes[role] = model.num_parameters
    generator = run.manifest.models.get("generator")
    return Models(sizes.get("generator", 0), sizes.get("prm"), generator.model_sha256 if generator else None)


def _computed_tokens(cost: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Of generator and PRM, per problem: what was not found in a cache."""
    generator = cost["generated_tokens"] + cost["prompt_tokens"] - cost["cached_tokens"]
    return generator, cost["prm_tokens"] - cost["prm_cached_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Stored samples that settings are played on.

    Attributes:
        label: how the table calls them.
        problems: in the input's order; None for a failed one.
        orders: of each problem's samples: [orders][problems][samples].
        models: by whose sizes FLOPs are counted.
    """

    label: str
    problems: Sequence[StoredProblem | None]
    orders: Sequence[Sequence[Sequence[int]]]
    models: Models


def shared(label: str, run: Run, problems: Sequence[StoredProblem | None], num_orders: int) -> Shared:
    """Samples of a run in their own order and `num_orders - 1` others, named by the run's seed."""
    seed = run.manifest.seed
    orders = [
        [problem.order(seed, number) if problem is not None else [] for problem in problems]
        for number in range(num_orders)
    ]
    return Shared(label=label, problems=problems, orders=orders, models=models_of(run))


def played(setting: Setting, samples: Shared) -> Measured:
    """A setting on shared samples, averaged over their orders."""
    outcomes = _together(setting, samples) if setting.recipe.strategy.allocates else _apart(setting, samples)
    columns = [[_numbers(outcome) for outcome in order] for order in outcomes]
    table = np.asarray(columns, dtype=np.float64)  # [orders, problems, numbers]
    thinking, generated = (table[:, :, _NUMBERS.index(name)] for name in ("thinking_tokens", "generated_tokens"))
    thinking[:] = _no_thoughts(thinking, generated)
    means: dict[str, Any] = {name: table[:, :, at].mean(axis=0) for at, name in enumerate(_NUMBERS)}
    return Measured(
        label=setting.label,
        recipe=setting.recipe_name,
        strategy=setting.recipe.strategy.name,
        shared_with=samples.label,
        num_orders=len(samples.orders),
        depends_on_arrival=setting.recipe.strategy.depends_on_arrival,
        flops=flops(samples.models, *_computed_tokens(means)),
        by_order=ByOrder(answer_p=table[:, :, _NUMBERS.index("answer_p")], correct=table[:, :, 0]),
        **means,
    )


class Fixed:
    """Fixed sampling: the baseline with every number of samples, on the samples that it shares with others.

    Args:
        baseline: whose `num_samples` is varied.
        samples: that it was played on.
    """

    def __init__(self, baseline: Setting, samples: Shared) -> None:
        self._baseline, self._samples = baseline, samples
        self._correct: dict[int, Floats] = {}
        self._mean_tokens = _mean_tokens(samples, baseline.recipe.strategy.most_samples or 0)

    def at(self, tokens: float) -> Floats | None:
        """Share right per problem at that mean number of generated tokens; None where no number of samples costs it.

        Between two numbers of samples it is a mix of both: that much of the problems gets one sample more.
        """
        few = bisect_right(self._mean_tokens, tokens * (1 + ROUNDING))  # by number of samples, from 1
        if few == 0:
            return None
        more_tokens = tokens - self._mean_tokens[few - 1]
        if more_tokens <= tokens * ROUNDING:
            return self._of(few)
        if few == len(self._mean_tokens):
            return None
        share = more_tokens / (self._mean_tokens[few] - self._mean_tokens[few - 1])
        return (1 - share) * self._of(few) + share * self._of(few + 1)

    def _of(self, num_samples: int) -> Floats:
        if num_samples not in self._correct:
            recipe = self._baseline.recipe
            strategy = recipe.strategy.model_copy(update={"num_samples": num_samples})
            setting = replace(self._baseline, recipe=recipe.model_copy(update={"strategy": strategy}))
            self._correct[num_samples] = played(setting, self._samples).correct
        return self._correct[num_samples]


def _mean_tokens(samples: Shared, most: int) -> Sequence[float]:
    """Generated tokens per problem of the first 1, 2, ..., `most` samples, averaged over orders."""
    lengths = [
        [problem.samples[index].cost.generated_tokens for index in own[:most]]
        for order in samples.orders
        for problem, own in zip(samples.problems, order, strict=True)
        if problem is not None
    ]
    if not lengths:  # all failed
        return []
    return [float(total) for total in np.cumsum(np.asarray(lengths, dtype=np.float64).mean(axis=0))]


def measured_alone(setting: Setting, plan: Plan) -> Measured:
    """A setting whose run is its own search."""
    run = read_run(plan.store.uri)
    rows = {row["problem_id"]: row for row in run.problems().to_pylist()}
    found = coverage(run)
    covered = [found[problem.problem_id] for problem in plan.problems]
    ordered = [_known(rows[problem.problem_id]) for problem in plan.problems]
    own = ("num_samples", "pruned_tokens", "flops", *_COSTS)
    columns: dict[str, Any] = {name: _floats(row[name] for row in ordered) for name in own}
    columns["thinking_tokens"] = _no_thoughts(columns["thinking_tokens"], columns["generated_tokens"])
    return Measured(
        label=setting.label,
        recipe=setting.recipe_name,
        strategy=setting.recipe.strategy.name,
        shared_with=None,
        num_orders=1,
        depends_on_arrival=setting.recipe.strategy.depends_on_arrival,
        correct=_floats(row["correct"] for row in ordered),
        covered=_floats(covered),
        answer_p=_floats(row["answer_p_median"] for row in ordered),
        **columns,
    )


_NUMBERS = ("correct", "covered", "answer_p", "num_samples", "pruned_tokens", *_COSTS)


Outcomes = list[list[Outcome | None]]
"""[orders][problems]; None for a problem that failed."""


def _apart(setting: Setting, samples: Shared) -> Outcomes:
    """Each problem by itself: all its orders in a row, so that what is computed of a sample can be kept."""
    strategy = strategy_factory(setting.recipe)
    by_problem = [
        [play(strategy, problem, order[number]) if problem is not None else None for order in samples.orders]
        for number, problem in enumerate(samples.problems)
    ]
    return [list(order) for order in zip(*by_problem, strict=True)]


def _together(setting: Setting, samples: Shared) -> Outcomes:
    """All problems of one order side by side, under the setting's cap."""
    strategy, total_tokens = strategy_factory(setting.recipe), setting.recipe.budget.total_tokens
    there = [(number, problem) for number, problem in enumerate(samples.problems) if problem is not None]
    outcomes: Outcomes = []
    for order in samples.orders:
        found: list[Outcome | None] = [None] * len(samples.problems)
        own = [order[number] for number, _ in there]
        played_now = play_together(strategy, [problem for _, problem in there], own, total_tokens)
        for (number, _), outcome in zip(there, played_now, strict=True):
            found[number] = outcome
        outcomes.append(found)
    return outcomes


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """A problem's row; of one that failed nothing counts, its costs neither."""
    return dict.fromkeys(row) if row["status"] == Status.FAILED.value else row


def _numbers(outcome: Outcome | None) -> list[float]:
    if outcome is None:
        return [np.nan] * len(_NUMBERS)
    cost = outcome.cost
    values = [outcome.right, outcome.covered, outcome.answer_p, outcome.num_samples, outcome.pruned_tokens]
    costs = [getattr(cost, name) for name in _COSTS]
    return [np.nan if value is None else float(value) for value in (*values, *costs)]


def _no_thoughts(thinking: Floats, generated: Floats) -> Floats:
    """Thinking tokens, 0 where nothing was generated in a run that tells thoughts: its rows do not say it."""
    nothing = np.isnan(thinking) & (generated == 0) & ~np.isnan(thinking).all()
    return np.where(nothing, 0.0, thinking)


def _floats(values: Any) -> Floats:
    return np.asarray([np.nan if value is None else float(value) for value in values], dtype=np.float64)
