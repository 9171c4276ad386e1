"""Accuracy by the values of input columns that a run carries (`[report] by`), and pass@k of its whole samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.display.numbers import count, percent
from jobs.recipes.sections import Recipe
from jobs.reporting.plots import Diagram, Table
from jobs.reporting.svg import INK, SERIES, Words, inline_svg
from records.rows import ProblemRow
from scaling.statistics.accuracy import accuracy_interval
from scaling.statistics.bootstrap import IntervalEstimate
from scaling.statistics.pass_at_k import PassAtK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GROUPS = 40
"""Values of one column that are told apart; the rarer ones are put together."""
OTHERS, MISSING = "(others)", "(none)"


@dataclass(frozen=True, slots=True)
class GroupAccuracy:
    """The problems with one value of a column.

    Attributes:
        value: of the column; `MISSING` where it is null, `OTHERS` for all rare ones.
        num_problems: with a row.
        graded: of these, with a verdict.
        correct: of the graded ones.
        interval: 95% Wilson interval of the accuracy; None without a verdict.
        tokens: generated, per problem.
    """

    value: str
    num_problems: int
    graded: int
    correct: int
    interval: tuple[float, float] | None
    tokens: float

    @property
    def accuracy(self) -> float | None:
        """Correct of graded; None without a verdict."""
        return self.correct / self.graded if self.graded else None


def group_columns(rows: Sequence[ProblemRow], recipe: Recipe | None) -> tuple[str, ...]:
    """The columns to group by: those of the recipe, or else all that the rows carry."""
    if recipe is not None and recipe.report.by:
        return recipe.report.by
    return tuple(dict.fromkeys(name for row in rows for name, _ in row.columns or ()))


def by_group(rows: Sequence[ProblemRow], column: str) -> list[GroupAccuracy]:
    """The groups of one column, numbers in their order, then texts in theirs."""
    groups: dict[str, list[ProblemRow]] = {}
    for row in rows:
        value = dict(row.columns or ()).get(column)
        groups.setdefault(MISSING if value is None else value, []).append(row)
    kept = sorted(groups, key=lambda value: (-len(groups[value]), _order(value)))[:MOST_GROUPS]
    rest = [row for value, own in groups.items() if value not in kept for row in own]
    found = [_group(value, groups[value]) for value in sorted(kept, key=_order)]
    return [*found, _group(OTHERS, rest)] if rest else found


def group_sections(rows: Sequence[ProblemRow], recipe: Recipe | None) -> list[Diagram]:
    """A diagram with its table for each column."""
    return [_diagram(column, by_group(rows, column), at) for at, column in enumerate(group_columns(rows, recipe))]


def pass_table(rates: Sequence[PassAtK]) -> Table | None:
    """pass@k as a table; None where there is none."""
    if not rates:
        return None
    rows = tuple((f"pass@{rate.k}", _with_interval(rate.share)) for rate in rates)
    caption = (
        f"pass@k: a right answer among k samples, by the unbiased estimator 1 - C(n-c, k) / C(n, k); "
        f"{rates[0].num_problems:,} problems"
    )
    return Table(caption, ("k", "Share of problems (95%)"), rows)


def groups_json(rows: Sequence[ProblemRow], recipe: Recipe | None) -> dict[str, list[dict[str, Any]]]:
    """Column -> its groups, for `--json`."""
    return {
        column: [
            {
                "value": group.value,
                "num_problems": group.num_problems,
                "graded": group.graded,
                "correct": group.correct,
                "accuracy": group.accuracy,
                "accuracy_lower": group.interval[0] if group.interval else None,
                "accuracy_upper": group.interval[1] if group.interval else None,
                "tokens_per_problem": group.tokens,
            }
            for group in by_group(rows, column)
        ]
        for column in group_columns(rows, recipe)
    }


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by what they are, before texts; what is missing last."""
    try:
        return (False, float(value), "")
    except ValueError:
        return (True, float(value == MISSING), value)


def _group(value: str, rows: Sequence[ProblemRow]) -> GroupAccuracy:
    graded = [row for row in rows if row.correct is not None]
    correct = sum(bool(row.correct) for row in graded)
    tokens = sum(row.generated_tokens for row in rows) / len(rows)
    return GroupAccuracy(value, len(rows), len(graded), correct, accuracy_interval(correct, len(graded)), tokens)


def _diagram(column: str, groups: Sequence[GroupAccuracy], number: int) -> Diagram:
    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for at, group in enumerate(groups):
            if group.accuracy is not None and group.interval is not None:
                axes.hlines(at, 100 * group.interval[0], 100 * group.interval[1], color=INK, linewidth=1.2)
                axes.plot([100 * group.accuracy], [at], marker="o", color=SERIES[0], markersize=6)
        axes.set_yticks(range(len(groups)), [_short(group.value) for group in groups])
        axes.set(xlim=(-2, 102), ylim=(len(groups) - 0.5, -0.5), xlabel="Accuracy (%)")

    rows = tuple(
        (group.value, f"{group.num_problems:,}", f"{group.correct:,} of {group.graded:,}", _accuracy_text(group),
         count(group.tokens))
        for group in groups
    )  # fmt: skip
    told = f"A point for each value of {column}, with its 95% interval. The table beneath has every value."
    words = Words(f"group-{number}", f"Accuracy by {column}", told)
    headings = (column, "Problems", "Right", "Accuracy (95%)", "Tokens per problem")
    caption = f"Accuracy by {column}; bars are 95% Wilson intervals."
    height = 1.0 + 0.28 * len(groups)
    return Diagram(inline_svg(draw, words, height_in=height), caption, Table(f"Accuracy by {column}", headings, rows))


def _accuracy_text(group: GroupAccuracy) -> str:
    if group.interval is None:
        return "not graded"
    return f"{percent(group.accuracy)} ({percent(group.interval[0])} to {percent(group.interval[1])})"


def _with_interval(share: IntervalEstimate) -> str:
    if share.lower is None:
        return percent(share.value)
    return f"{percent(share.value)} ({percent(share.lower)} to {percent(share.upper)})"


def _short(text: str) -> str:
    return text if len(text) <= 32 else f"{text[:31]}..."
