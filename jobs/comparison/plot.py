"""Accuracy against generated tokens and against FLOPs, one point for each setting, with the front that none beats.

Settings carry the numbers of the printed table. Those of one strategy and recipe share a colour and a marker, and a
line joins them from the cheapest to the dearest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jobs.comparison.labels import place_labels
from jobs.display.numbers import count
from scaling.arrays import Floats
from scaling.statistics.bootstrap import IntervalEstimate
from scaling.statistics.comparison_rows import Row, SettingsComparison, known_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""By M. Okabe and K. Ito, which every kind of colour vision tells apart; their yellow is too pale for lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""Their number and that of colours have no common factor, so that 63 strategies look different."""
_INK = "#333333"
FRONT, MARGIN = "#B0B0B0", "#F1E9C9"
LOG_ABOVE = 4.0
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""
FONT_SIZE = 8.0
LEADER_ABOVE = 16.0
"""Points of 1/72 inch; a number that is further away from its point has a line to it."""
LEGEND_WIDTH = 165
"""Characters of the legend's font that fit beside each other."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of the plot: accuracy against one kind of cost."""

    title: str
    cost: Callable[[Row], IntervalEstimate]
    is_on_front: Callable[[Row], bool]

    def place(self, row: Row) -> tuple[float, float]:
        """Cost per problem, and accuracy in percent."""
        return known_value(self.cost(row)), 100 * known_value(row.accuracy)

    def bars(self, row: Row) -> list[Floats]:
        """Intervals of accuracy and of cost, as lines [2, 2]."""
        (x, y), accuracy, cost = self.place(row), row.accuracy, self.cost(row)
        bars = []
        if accuracy.lower is not None and accuracy.upper is not None:
            bars.append(np.array([(x, 100 * accuracy.lower), (x, 100 * accuracy.upper)]))
        if cost.lower is not None and cost.upper is not None:
            bars.append(np.array([(cost.lower, y), (cost.upper, y)]))
        return bars

    def front(self, rows: Sequence[Row]) -> Floats:
        """What accuracy the settings reach for a cost, as a staircase [K, 2]."""
        ends = sorted(self.place(row) for row in rows if self.is_on_front(row))
        corners = [(right, low) for (_, low), (right, _) in pairwise(ends)]
        return np.array([ends[0], *(place for pair in zip(corners, ends[1:], strict=True) for place in pair)])


PANELS = (
    Panel("Generated tokens per problem", lambda row: row.generated_tokens, lambda row: row.is_on_tokens_front),
    Panel("FLOPs per problem, generator and PRM", lambda row: row.flops, lambda row: row.is_on_flops_front),
)


def draw_comparison(comparison: SettingsComparison, path_or_buffer: Path | str | IO[bytes]) -> None:
    """Write the plot, 200 dots per inch; the suffix of a path decides the format, a buffer gets PNG.

    Bars are 95% intervals. Filled points are not worse than the baseline by more than the margin, as the lower end of
    the difference's interval has it; that interval is of pairs, so it is narrower than the bars let think.
    """
    from matplotlib.figure import Figure

    labels = [f"{number} {row.label}" for number, row in enumerate(comparison.rows, 1)]
    num_columns = max(1, min(4, len(labels), LEGEND_WIDTH // (max(map(len, labels)) + 9)))
    height = 4.6 + 0.08 * len(labels) + 0.17 * -(-len(labels) // num_columns)
    figure = Figure(figsize=(11.0, height), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    looks = _looks(comparison.rows)
    for panel, part in zip(PANELS, axes, strict=True):
        _draw_panel(part, panel, comparison, looks)
    axes[0].set_ylabel("Accuracy (%), 95% interval")
    _add_legends(figure, comparison, looks, labels, num_columns)
    figure.draw_without_rendering()  # only now is it known where the points are
    for panel, part in zip(PANELS, axes, strict=True):
        _number_points(part, panel, comparison.rows, looks)
    figure.savefig(path_or_buffer, dpi=200)


def _looks(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Colour and marker of each setting."""
    groups = {key: number for number, key in enumerate(dict.fromkeys((row.recipe, row.strategy) for row in rows))}
    numbers = [groups[row.recipe, row.strategy] for row in rows]
    return [
        {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "markerfacecolor": COLOURS[number % len(COLOURS)] if row.is_not_worse else "white",
            "markersize": 9.0 if row.is_baseline else 6.0,
        }
        for row, number in zip(rows, numbers, strict=True)
    ]


def _draw_panel(axes: "Axes", panel: Panel, comparison: SettingsComparison, looks: Sequence[dict[str, Any]]) -> None:
    rows = comparison.rows
    _set_scale(axes, panel, rows)
    base = 100 * known_value(comparison.row(comparison.baseline).accuracy)
    axes.axhspan(base - 100 * comparison.margin, base, color=MARGIN, linewidth=0, zorder=0)
    axes.axhline(base, color=_INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.plot(*panel.front(rows).T, color=FRONT, linewidth=4.0, zorder=1.5)
    for path, look in _paths(panel, rows, looks):
        axes.plot(*path.T, color=look["color"], linewidth=1.0, alpha=0.7, zorder=2)
    for row, look in zip(rows, looks, strict=True):
        for bar in panel.bars(row):
            axes.plot(*bar.T, color=look["color"], linewidth=0.8, alpha=0.5, zorder=2)
        axes.plot(*panel.place(row), **look, markeredgewidth=1.1, linestyle="none", zorder=3)
    axes.set_xlabel(panel.title)
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _set_scale(axes: "Axes", panel: Panel, rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    costs = [panel.place(row)[0] for row in rows]
    if min(costs) > 0 and max(costs) > LOG_ABOVE * min(costs):
        axes.set_xscale("log")
        subs = (1.0, 2.0, 5.0) if max(costs) < 200 * min(costs) else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.margins(x=0.06, y=0.06)


def _paths(panel: Panel, rows: Sequence[Row], looks: Sequence[dict[str, Any]]) -> list[tuple[Floats, dict[str, Any]]]:
    """Lines through the settings of each strategy, [K, 2], and how they look."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((row.recipe, row.strategy), []).append(number)
    return [
        (np.array(sorted(panel.place(rows[number]) for number in numbers)), looks[numbers[0]])
        for numbers in groups.values()
        if len(numbers) > 1
    ]


def _add_legends(
    figure: "Figure",
    comparison: SettingsComparison,
    looks: Sequence[dict[str, Any]],
    labels: Sequence[str],
    num_columns: int,
) -> None:
    """Above, what lines and fills mean; below, every setting by its number."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    point: dict[str, Any] = {"color": _INK, "marker": "o", "linestyle": "none", "markersize": 6.0}
    margin = f"{100 * comparison.margin:g} points"
    meanings = {
        "Pareto front": Line2D([], [], color=FRONT, linewidth=4.0),
        f"baseline ({comparison.baseline}) and {margin} below it": Patch(
            facecolor=MARGIN, edgecolor=_INK, linestyle=":"
        ),
        f"not worse by more than {margin} (95%)": Line2D([], [], **point),
        "may be worse than that": Line2D([], [], **point, markerfacecolor="white"),
    }
    options: dict[str, Any] = {"frameon": False, "fontsize": 8, "handletextpad": 0.5}
    figure.legend(list(meanings.values()), list(meanings), loc="outside upper center", ncols=len(meanings), **options)
    handles = [Line2D([], [], **look | {"markersize": 6.0}, linestyle="none") for look in looks]
    figure.legend(handles, labels, loc="outside lower center", ncols=num_columns, **options)


def _number_points(axes: "Axes", panel: Panel, rows: Sequence[Row], looks: Sequence[dict[str, Any]]) -> None:
    """Write each setting's number beside its point, with a thin line to it where it had to move away."""
    from matplotlib.colors import to_rgb
    from matplotlib.patheffects import withStroke

    scale = 72 / axes.figure.dpi
    pixels = axes.transData.transform
    points = pixels([panel.place(row) for row in rows]) * scale
    lines = [path for path, _ in _paths(panel, rows, looks)] + [panel.front(rows)]
    lines += [bar for row in rows for bar in panel.bars(row)]
    obstacles = np.concatenate([_sampled(pixels(line) * scale) for line in lines])
    texts = [str(number) for number in range(1, len(rows) + 1)]
    sizes = np.array([(0.7 * FONT_SIZE * len(text) + 2.0, 0.8 * FONT_SIZE) for text in texts])
    box = axes.get_window_extent()
    frame = (box.x0 * scale, box.y0 * scale, box.x1 * scale, box.y1 * scale)
    centres = place_labels(points, sizes, obstacles, frame)
    for row, look, text, point, centre in zip(rows, looks, texts, points, centres, strict=True):
        is_far = np.hypot(*(centre - point)) > LEADER_ABOVE
        note = axes.annotate(
            text,
            panel.place(row),
            xytext=tuple(centre - point),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT_SIZE,
            color=tuple(0.7 * part for part in to_rgb(look["color"])),
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": _INK, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 3}
            if is_far
            else None,
            zorder=4,
        )
        note.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
        note.set_in_layout(False)


def _sampled(line: Floats) -> Floats:
    """Points on a line [K, 2], 3 apart or less."""
    pieces = [line[:1]]
    for start, end in pairwise(line):
        num = 2 + int(np.hypot(*(end - start)) // 3)
        pieces.append(start + np.linspace(0, 1, num)[:, np.newaxis] * (end - start))
    return np.concatenate(pieces)
