"""The reliability diagram: observed against predicted success, one panel for each evaluation set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.calibration.reliability import ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Mapping[str, Sequence[ReliabilityBin]]
"""Method -> its bins."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a method is drawn: told apart by colour, and in grey by marker, line and hatch."""

    colour: str
    marker: str
    line: str
    hatch: str | None = "/////"
    is_filled: bool = False


STYLES = {
    "uncalibrated": Style("#D55E00", "s", "--", hatch=None),
    "temperature": Style("#E69F00", "v", ":"),
    "isotonic": Style("#009E73", "^", "-."),
    "histogram": Style("#CC79A7", "D", ":"),
    "calibrated": Style("#0072B2", "o", "-", hatch=None, is_filled=True),
}
"""Method -> its style, in colours by M. Okabe and K. Ito, which every kind of colour vision tells apart."""
_INK = "#333333"


def draw(panels: Mapping[str, Curves], path: Path) -> None:
    """Write the diagram as PNG, 200 dots per inch.

    Above, the mean observed success of each bin over its mean prediction, with the bin's 95% interval; below, the share
    of prefixes in each bin.

    Args:
        panels: title -> curves; the names of methods are keys of `STYLES`.
        path: file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels) + 0.8, 6.4), layout="constrained")
    axes = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(5, 2))
    for column, (title, curves) in enumerate(panels.items()):
        above, below = axes[0, column], axes[1, column]
        above.set_title(title, fontsize=10)
        _draw_curves(above, curves)
        _draw_shares(below, curves)
        below.set_xlabel("Predicted success probability")
    axes[0, 0].set_ylabel("Observed success rate, 95% interval")
    axes[1, 0].set_ylabel("Prefixes (%)")
    figure.align_ylabels()
    entries = {
        label: handle for above in axes[0] for handle, label in zip(*above.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries), frameon=False)
    figure.savefig(path, format="png", dpi=200)


def _draw_curves(axes: "Axes", curves: Curves) -> None:
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, alpha=0.6, zorder=1)
    for method, bins in curves.items():
        style = STYLES[method]
        points = [
            (item.mean_predicted, item.mean_observed)
            for item in bins
            if item.mean_predicted is not None and item.mean_observed is not None
        ]
        axes.plot(
            [predicted for predicted, _ in points],
            [seen for _, seen in points],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.5,
            label=method,
            zorder=3,
        )
        for item in bins:
            place, lower, upper = item.mean_predicted, item.observed_lower, item.observed_upper
            if place is not None and lower is not None and upper is not None:
                axes.vlines(place, lower, upper, color=style.colour, linewidth=1.1, zorder=2)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    _plain(axes)


def _draw_shares(axes: "Axes", curves: Curves) -> None:
    for number, (method, bins) in enumerate(curves.items()):
        style = STYLES[method]
        total = sum(item.num_rows for item in bins) or 1
        widths = [0.8 * (item.upper - item.lower) / len(curves) for item in bins]
        axes.bar(
            [
                item.lower + 0.1 * (item.upper - item.lower) + number * width
                for item, width in zip(bins, widths, strict=True)
            ],
            [100 * item.num_rows / total for item in bins],
            width=widths,
            align="edge",
            facecolor=style.colour if style.is_filled else "white",
            edgecolor=style.colour,
            hatch=style.hatch,
            linewidth=0.9,
        )
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
