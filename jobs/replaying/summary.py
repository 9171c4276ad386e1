"""A replay as numbers for programs (`summary.json`) and as a table for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from jobs.display.numbers import count, points, thousandths, with_interval
from jobs.replaying.session import Actual, Played
from jobs.replaying.settings import ReplaySetting
from jobs.scoring.summary import BY_ARRIVAL
from records.rows import Status
from scaling.arrays import Floats
from scaling.stored.statistics import Decided, Decisions, Standing, standing

_MAX_EXAMPLES = 3
_FIELDS = tuple(field.name for field in fields(Decided))
_NOTE = (
    "Brackets: 95% intervals over problems. Left: share of problems (of decisions) that asked for what is not stored; "
    "they are unknown, and accuracy is over the others. Bounds: if all unknown ones were wrong, or right. The run: its "
    "accuracy on the same problems. Ratios: over the run's on the same problems."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySummary:
    """What a replay came to.

    Attributes:
        run: its address.
        strategy: of the run.
        prm: that scored the stored paths anew; None: the stored scores.
        num_orders: that were averaged over.
        num_problems: of the run, with a row.
        num_failed: of those, failed in the run: left out everywhere.
        num_owed: that have no row yet; None where the run is finished.
        actual: the run itself.
        settings: of each, how it is called, what was swept, how far it could be replayed, and what it came to.
    """

    run: str
    strategy: str
    prm: str | None
    num_orders: int
    num_problems: int
    num_failed: int
    num_owed: int
    actual: Standing
    settings: Sequence[tuple[ReplaySetting, Decisions, Standing]]


def summarised(
    played: Played, settings: Sequence[ReplaySetting], *, run: str, strategy: str, prm: str | None, num_orders: int,
    num_owed: int, seed: int,
) -> ReplaySummary:  # fmt: skip
    """Compare every setting with the run itself, problem by problem."""
    there = [one for one in played.actual if one.row.status is not Status.FAILED]
    actual = _actual(there)
    nobody = np.zeros(len(there), dtype=np.bool_)
    found = []
    for setting in settings:
        table = played.table.filter(pc.equal(played.table["setting"], setting.label))
        if table["problem_id"].to_pylist() != [one.row.problem_id for one in there]:
            raise ValueError(f"{setting.label}: not the problems of the run")
        left = np.asarray(table["left_tree"].to_pylist(), dtype=np.bool_)
        decisions = Decisions(
            num_problems=len(there),
            num_left=int(left.sum()),
            num_requests=pc.sum(table["num_requests"]).as_py() or 0,
            first_left=next((why for why in table["left_why"].to_pylist() if why is not None), None),
            num_left_at_once=played.num_left_at_once.get(setting.label, 0),
        )
        found.append((setting, decisions, standing(_decided(table), actual, left, seed=seed)))
    return ReplaySummary(
        run=run,
        strategy=strategy,
        prm=prm,
        num_orders=num_orders,
        num_problems=len(played.actual),
        num_failed=len(played.actual) - len(there),
        num_owed=num_owed,
        actual=standing(actual, actual, nobody, seed=seed),
        settings=found,
    )


def replay_json(summary: ReplaySummary) -> dict[str, Any]:
    """All of it; estimates are objects of value, lower and upper, null where unknown."""
    return {
        "run": summary.run,
        "strategy": summary.strategy,
        "prm": summary.prm,
        "num_orders": summary.num_orders,
        "num_problems": summary.num_problems,
        "num_failed": summary.num_failed,
        "num_owed": summary.num_owed,
        "actual": _without_pairs(asdict(summary.actual)),
        "settings": [
            {
                "setting": setting.label,
                "swept": dict(setting.swept),
                "strategy": setting.recipe.strategy.name,
                "num_problems": decisions.num_problems,
                "num_left": decisions.num_left,
                "num_requests": decisions.num_requests,
                "left_problems": decisions.left_problems,
                "left_requests": decisions.left_requests,
                "first_left": decisions.first_left,
                **asdict(found),
            }
            for setting, decisions, found in summary.settings
        ],
    }


def print_replay(summary: ReplaySummary, console: Console) -> None:
    """Accuracy and cost of each setting beside the run's."""
    for part in (
        _facts(summary),
        *_left_at_once(summary),
        "",
        _results(summary),
        "",
        _NOTE,
        *_by_arrival(summary),
        *_examples(summary),
    ):
        console.print(part, highlight=False, markup=False)


def _facts(summary: ReplaySummary) -> str:
    scores = f"scores of {summary.prm}" if summary.prm else "stored scores"
    orders = f", means over {summary.num_orders} orders" if summary.num_orders > 1 else ""
    gone = f"; {summary.num_failed:,} failed and are left out" if summary.num_failed else ""
    owed = f"; {summary.num_owed:,} have no row yet" if summary.num_owed else ""
    what = f"{summary.run}: {summary.strategy} on {summary.num_problems:,} problems{gone}{owed}."
    return f"{what} Decided again, {scores}{orders}."


def _left_at_once(summary: ReplaySummary) -> list[str]:
    """A sentence for each setting of which nothing can be known, because it begins with what the run never sampled."""
    return [
        f"{setting.label} leaves what is stored on every problem before it has taken a sample, so nothing is known of "
        f"it: the run's strategy, {summary.strategy}, sampled otherwise. Score a new run with it, or replay such a one."
        for setting, decisions, _ in summary.settings
        if 0 < decisions.num_problems == decisions.num_left_at_once
    ]


def _by_arrival(summary: ReplaySummary) -> list[str]:
    """Which settings decide by the samples that finish first."""
    labels = [setting.label for setting, _, _ in summary.settings if setting.recipe.strategy.depends_on_arrival]
    return [f"{label}: {BY_ARRIVAL}." for label in labels]


def _examples(summary: ReplaySummary) -> list[str]:
    """What it was that some decisions asked for and that is not stored: the first of each setting, a few of them."""
    left = [(setting.label, why) for setting, decisions, _ in summary.settings if (why := decisions.first_left)]
    return ["", *(f"Left ({label}): {why}." for label, why in left[:_MAX_EXAMPLES])] if left else []


def _results(summary: ReplaySummary) -> Table:
    grid = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False)
    grid.add_column("Setting", style="bold", max_width=32, overflow="fold")
    headings = (
        "left\n%",
        "accuracy\n%",
        "bounds\n%",
        "the run\n%",
        "difference\npoints",
        "samples",
        "tokens per\nproblem",
        "tokens /\nthe run",
        "FLOPs /\nthe run",
    )
    actual = summary.actual
    thinks = actual.means["thinking_tokens"].value is not None
    abstains = any(found.abstained.value is not None for _, _, found in summary.settings)
    for heading in (
        *headings,
        *(("thinking\ntokens",) if thinks else ()),
        *(("abstained\n%", "right of\nthe rest") if abstains else ()),
    ):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_row(
        "the run itself",
        "",
        with_interval(actual.accuracy, points),
        "",
        "",
        "",
        _per_problem(actual, "num_samples"),
        _per_problem(actual, "generated_tokens"),
        "1",
        "1",
        *([_per_problem(actual, "thinking_tokens")] if thinks else []),
        *([_abstained(actual), with_interval(actual.accuracy_answered, points)] if abstains else []),
    )
    for setting, decisions, found in summary.settings:
        grid.add_row(
            setting.label,
            _left(decisions),
            with_interval(found.accuracy, points),
            "" if not decisions.num_left else f"{points(found.accuracy_if_wrong)}\n{points(found.accuracy_if_right)}",
            "" if not decisions.num_left else with_interval(found.run_accuracy, points),
            with_interval(found.accuracy_difference, lambda value: points(value, "+")),
            _per_problem(found, "num_samples"),
            _per_problem(found, "generated_tokens"),
            with_interval(found.ratios["generated_tokens"], thousandths),
            with_interval(found.ratios["flops"], thousandths),
            *([_per_problem(found, "thinking_tokens")] if thinks else []),
            *([_abstained(found), with_interval(found.accuracy_answered, points)] if abstains else []),
        )
    return grid


def _left(decisions: Decisions) -> str:
    if not decisions.num_left:
        return "0"
    return f"{points(decisions.left_problems)}\n({points(decisions.left_requests)})"


def _per_problem(found: Standing, cost: str) -> str:
    return count(found.means[cost].value)


def _abstained(found: Standing) -> str:
    return points(found.abstained.value)


def _without_pairs(actual: Mapping[str, Any]) -> dict[str, Any]:
    """The run beside itself says nothing."""
    pairs = ("run_accuracy", "accuracy_difference", "ratios", "accuracy_if_wrong", "accuracy_if_right")
    return {name: value for name, value in actual.items() if name not in pairs}


def _actual(there: Sequence[Actual]) -> Decided:
    def column(name: str) -> Floats:
        values = [one.covered if name == "covered" else getattr(one.row, name) for one in there]
        return np.asarray([np.nan if value is None else float(value) for value in values], dtype=np.float64)

    return Decided(**{name: column(name) for name in _FIELDS})


def _decided(table: pa.Table) -> Decided:
    def column(name: str) -> Floats:
        return np.asarray(pc.fill_null(table[name], float("nan")).to_numpy(), dtype=np.float64)

    return Decided(**{name: column(name) for name in _FIELDS})
