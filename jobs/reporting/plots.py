"""The diagrams of a page, each with the numbers that it shows as a table beneath."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.display.numbers import count, percent
from jobs.reporting.costs import DifficultyBin, FlopsByPhase
from jobs.reporting.curve import COVERAGE, Curve, CurvePoint
from jobs.reporting.svg import INK, MUTED, SERIES, Words, inline_svg
from scaling.calibration.within_run import ScoreCheck

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v")
LINES = ("-", "--", "-.", ":", "-")


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers for who reads them.

    Attributes:
        caption: what they are.
        headings: of the columns.
        rows: the first cell names the row.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """An `<svg>` element, its caption and its numbers."""

    svg: str
    caption: str
    table: Table


def curve_diagram(curve: Curve, run_point: CurvePoint | None, strategy: str) -> Diagram:
    """Accuracy against generated tokens, with the run itself as a point."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for number, line in enumerate(curve.lines):
            tokens = [point.tokens for point in line.points]
            values = [100 * (point.accuracy.value or 0.0) for point in line.points]
            axes.plot(tokens, values, color=SERIES[number], marker=_MARKERS[number], linestyle=LINES[number],
                      label=line.label, linewidth=1.8, markersize=5)  # fmt: skip
            _band(axes, line.points, SERIES[number])
        if run_point is not None:
            _run_point(axes, run_point, f"this run ({strategy})")
        axes.set_xscale("log", base=2)
        _count_axis(axes)
        axes.set_xlabel("Generated tokens per problem")
        axes.set_ylabel("Accuracy (%)")
        axes.legend(loc="lower right", fontsize=9)

    rows = [
        (line.label, str(point.num_samples), f"{point.tokens:.0f}", accuracy_with_interval(point))
        for line in curve.lines
        for point in line.points
    ]
    if run_point is not None:
        rows.append((f"this run ({strategy})", str(run_point.num_samples), f"{run_point.tokens:.0f}",
                     accuracy_with_interval(run_point)))  # fmt: skip
    words = Words("curve", "Accuracy against generated tokens",
                  f"One line for each way to choose an answer, at 1, 2, 4 and more samples, and one for {COVERAGE}. "
                  "The table beneath has every point.")  # fmt: skip
    table = Table("Accuracy against tokens", ("Line", "Samples", "Tokens per problem", "Accuracy (95%)"), tuple(rows))
    orders = "in the order in which they were drawn" if curve.num_orders == 1 else f"mean of {curve.num_orders} orders"
    caption = f"{curve.num_problems:,} problems, their own samples, {orders}; bands are 95% intervals over problems."
    return Diagram(inline_svg(draw, words), caption, table)


def _band(axes: "Axes", points: Sequence[CurvePoint], colour: str) -> None:
    bounded = [point for point in points if point.accuracy.lower is not None and point.accuracy.upper is not None]
    axes.fill_between(
        [point.tokens for point in bounded],
        [100 * (point.accuracy.lower or 0.0) for point in bounded],
        [100 * (point.accuracy.upper or 0.0) for point in bounded],
        color=colour,
        alpha=0.12,
        linewidth=0,
    )


def _run_point(axes: "Axes", point: CurvePoint, label: str) -> None:
    value = 100 * (point.accuracy.value or 0.0)
    lower, upper = point.accuracy.lower, point.accuracy.upper
    if lower is not None and upper is not None:
        axes.vlines(point.tokens, 100 * lower, 100 * upper, color=INK, linewidth=1.2, zorder=4)
    axes.plot([point.tokens], [value], marker="*", markersize=13, color=INK, linestyle="none", label=label, zorder=5)


def _count_axis(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def accuracy_with_interval(point: CurvePoint) -> str:
    """Accuracy in percent, with its interval."""
    accuracy = point.accuracy
    if accuracy.lower is None:
        return percent(accuracy.value)
    return f"{percent(accuracy.value)} ({percent(accuracy.lower)} to {percent(accuracy.upper)})"


def difficulty_diagram(bins: Sequence[DifficultyBin], meaning: str) -> Diagram:
    """Generated tokens and wall time in bins of difficulty."""

    def draw(figure: "Figure") -> None:
        tokens, seconds = figure.subplots(1, 2)
        middles = [(item.lower + item.upper) / 2 for item in bins]
        for axes, name, title, colour in (
            (tokens, "tokens", "Generated tokens per problem", SERIES[0]),
            (seconds, "seconds", "Wall seconds per problem", SERIES[1]),
        ):
            means = [getattr(item, name) for item in bins]
            lows = [getattr(item, f"{name}_low") for item in bins]
            highs = [getattr(item, f"{name}_high") for item in bins]
            axes.vlines(middles, lows, highs, color=colour, linewidth=6, alpha=0.3)
            axes.plot(middles, means, color=colour, marker="o", linewidth=1.6, markersize=5)
            axes.set(xlim=(-0.02, 1.02), xlabel="Difficulty", title=title)
            axes.set_ylim(bottom=0)

    rows = tuple(
        (f"{item.lower:.1f} to {item.upper:.1f}", f"{item.num_problems:,}", f"{item.tokens:,.0f}",
         f"{item.tokens_low:,.0f} to {item.tokens_high:,.0f}", f"{item.seconds:.2f}",
         f"{item.seconds_low:.2f} to {item.seconds_high:.2f}")
        for item in bins
    )  # fmt: skip
    words = Words("difficulty", "Spending against difficulty",
                  "Left, generated tokens, right, wall seconds, both per problem, in ten bins of difficulty. "
                  "The table beneath has every bin.")  # fmt: skip
    headings = ("Difficulty", "Problems", "Tokens, mean", "Quartiles", "Seconds, mean", "Quartiles ")
    caption = f"Difficulty is {meaning}. Points are means, bars the middle half of the problems."
    return Diagram(inline_svg(draw, words), caption, Table("Spending by difficulty", headings, rows))


def reliability_diagram(checks: dict[str, ScoreCheck]) -> Diagram:
    """Observed against predicted success, a panel for each kind of score, and how the scores are spread."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(2, len(checks), squeeze=False, sharex=True, sharey="row", height_ratios=(5, 2))
        for column, (title, check) in enumerate(checks.items()):
            _reliability_panel(axes[0, column], check, SERIES[column])
            _shares_panel(axes[1, column], check, SERIES[column])
            axes[0, column].set_title(title)
            axes[1, column].set_xlabel("Predicted")
        axes[0, 0].set_ylabel("Observed")
        axes[1, 0].set_ylabel("Rows (%)")
        figure.align_ylabels()

    rows = tuple(
        (title, f"{item.lower:.1f} to {item.upper:.1f}", f"{item.num_rows:,}", _number(item.mean_predicted),
         _number(item.mean_observed), f"{_number(item.observed_lower)} to {_number(item.observed_upper)}")
        for title, check in checks.items()
        for item in check.bins
        if item.num_rows
    )  # fmt: skip
    words = Words("reliability", "Reliability of the PRM in this run",
                  "Observed success rate over the PRM's median score, in ten bins, with 95% intervals; on the diagonal "
                  "the score is right. Below, the share of rows in each bin. The table has every bin.")  # fmt: skip
    headings = ("Score", "Bin", "Rows", "Predicted", "Observed", "95% interval")
    caption = "Points on the diagonal: the score means what it says. Bars are 95% intervals over problems."
    width = 2.6 * len(checks) + 1.2
    return Diagram(
        inline_svg(draw, words, width_in=max(4.6, width), height_in=4.2),
        caption,
        Table("Reliability of scores", headings, rows),
    )


def _reliability_panel(axes: "Axes", check: ScoreCheck, colour: str) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=":")
    filled = [item for item in check.bins if item.mean_predicted is not None and item.mean_observed is not None]
    for item in filled:
        if item.observed_lower is not None and item.observed_upper is not None:
            axes.vlines(
                item.mean_predicted or 0.0, item.observed_lower, item.observed_upper, color=colour, linewidth=1.2
            )
    predicted = [item.mean_predicted or 0.0 for item in filled]
    observed = [item.mean_observed or 0.0 for item in filled]
    sizes = [12 + 90 * item.num_rows / check.num_rows for item in filled]
    axes.scatter(predicted, observed, s=sizes, color=colour, zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def _shares_panel(axes: "Axes", check: ScoreCheck, colour: str) -> None:
    shares = [100 * item.num_rows / check.num_rows for item in check.bins]
    axes.bar([item.lower + 0.005 for item in check.bins], shares, width=0.09, align="edge", color=colour)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def cost_diagram(
    kinds: dict[str, tuple[float, float]],
    names: tuple[str, str],
    flops: FlopsByPhase | None,
    seconds: dict[str, float],
) -> Diagram:
    """Tokens by kind, each in two parts, FLOPs by phase, and replica-seconds by role.

    Args:
        kinds: kind -> its two parts, in tokens.
        names: of the parts.
        flops: None where nobody knows the models' sizes.
        seconds: role -> replica-seconds.
    """
    phases = {} if flops is None else {"Prefill": flops.prefill, "Decode": flops.decode, "PRM": flops.prm}
    bars = [("FLOPs", phases)] if phases else []
    bars.append(("Replica-seconds", seconds))

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, 1 + len(bars), squeeze=False)[0]
        labels = list(kinds)[::-1]
        first = [kinds[label][0] for label in labels]
        second = [kinds[label][1] for label in labels]
        panels[0].barh(labels, first, color=SERIES[0], label=names[0], height=0.6)
        panels[0].barh(labels, second, left=first, color=SERIES[0], alpha=0.4, label=names[1], height=0.6)
        figure.legend(loc="outside upper left", ncols=2, fontsize=9)
        panels[0].set_xlabel("Tokens")
        for axes, (title, values), colour in zip(panels[1:], bars, SERIES[1:], strict=False):
            axes.barh(list(values)[::-1], list(values.values())[::-1], color=colour, height=0.6)
            axes.set_xlabel(title)
        for axes in panels:
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(_few_ticks())
            _count_axis(axes)

    rows = [(f"Tokens: {kind}", f"{sum(parts):,.0f}", f"{names[0]} {parts[0]:,.0f}, {names[1]} {parts[1]:,.0f}")
            for kind, parts in kinds.items()]  # fmt: skip
    for title, values in bars:
        total = sum(values.values()) or 1.0
        for name, value in values.items():
            rows.append((f"{title}: {name}", count(value), f"{percent(value / total)} of all"))
    words = Words("costs", "Cost by kind of token and by role",
                  "Tokens generated, read as prompts and read by the PRM; the FLOPs of prefill, decode and PRM; the "
                  "replica-seconds of each role. The table beneath has every number.")  # fmt: skip
    caption = (
        "FLOPs are 2 x parameters x computed tokens; what a prefix cache held was not computed. Replica-seconds are "
        "the rows' parts of the time that the run held its replicas, start-up and idle time included."
    )
    table = Table("Cost by kind and role", ("What", "Total", "Of that"), tuple(rows))
    return Diagram(inline_svg(draw, words, width_in=7.8, height_in=2.8), caption, table)


def _few_ticks() -> "object":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3, steps=[1, 2, 5, 10])
