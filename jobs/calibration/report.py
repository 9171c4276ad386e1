"""What a calibration came to, on every evaluation set: as tables for people, as JSON, and as a reliability diagram.

The keys of the JSON are those of `scaling.calibration.evaluation.EvaluationTable`; what is unknown is null, never zero.
"""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.calibration.methods import CALIBRATED, UNCALIBRATED
from jobs.calibration.reliability_plot import draw
from jobs.display.numbers import UNKNOWN
from records.jsonio import encode
from scaling.calibration.baselines import Baseline
from scaling.calibration.evaluation import EvaluationTable, evaluate
from scaling.calibration.metrics import NUM_BINS
from scaling.calibration.observed import Observed, Predictions
from scaling.calibration.reliability import ReliabilityBin, reliability
from scaling.statistics.bootstrap import IntervalEstimate

REPORT_FILE = "evaluation.json"
CURVES_FILE = "reliability.csv"
DIAGRAM_FILE = "reliability.png"

ERRORS = {
    "Brier": "brier",
    "above\nfloor": "brier_above_floor",
    "over-\nestimated": "brier_over",
    "signed\nerror": "signed_error",
    f"ECE\n({NUM_BINS} bins)": "ece_equal_width",
    "AUC": "auc",
    "AUC within\nproblems": "auc_within",
    "of finished\nones": "terminal_auc_within",
}
"""Heading -> metric, in a set's first table."""
COMPARED = {"Brier": "brier", "ECE": "ece_equal_width", "pinball": "pinball_mean"}
"""Heading -> loss, in its last table."""

_NOTE = (
    "Brackets: 95% intervals over problems. Covered: the share of prefixes whose success rate is below the quantile, "
    "and at or below it; the level should lie between. All over open prefixes, but for AUC of finished ones."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReport:
    """Every evaluation set.

    Attributes:
        tables: set -> metrics.
        curves: set -> method -> bins of the reliability diagram.
    """

    tables: dict[str, EvaluationTable]
    curves: dict[str, dict[str, tuple[ReliabilityBin, ...]]]


def build_report(
    sets: Mapping[str, tuple[Observed, Mapping[str, Predictions]]], *, num_resamples: int = 2000, seed: int = 0
) -> CalibrationReport:
    """Evaluate the methods on each set.

    Args:
        sets: name -> rows, and methods' predictions for them: "uncalibrated" and baselines first, "calibrated" last.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: one of the two is missing, or as `evaluate`.
    """
    for name, (_, methods) in sets.items():
        if UNCALIBRATED not in methods or list(methods)[-1] != CALIBRATED:
            raise ValueError(
                f"{name}: methods must hold {UNCALIBRATED!r} and end in {CALIBRATED!r}, got {list(methods)}"
            )
    options = {"num_resamples": num_resamples, "seed": seed}
    return CalibrationReport(
        tables={name: evaluate(observed, methods, **options) for name, (observed, methods) in sets.items()},
        curves={
            name: {method: reliability(observed, said.mean, **options) for method, said in methods.items()}
            for name, (observed, methods) in sets.items()
        },
    )


def write_report(report: CalibrationReport, folder: Path) -> None:
    """Write `evaluation.json` (everything), `reliability.csv` (a row for each bin) and `reliability.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_bytes(encode(report))
    with (folder / CURVES_FILE).open("w", newline="") as file:
        names = [field.name for field in fields(ReliabilityBin)]
        lines = csv.DictWriter(file, ["set", "method", *names], lineterminator="\n")
        lines.writeheader()
        for name, curves in report.curves.items():
            for method, bins in curves.items():
                lines.writerows({"set": name, "method": method, **asdict(item)} for item in bins)
    panels = {
        f"{name}\n{table.num_rows:,} prefixes of {table.num_problems:,} problems": {
            method: report.curves[name][method] for method in _shown(table)
        }
        for name, table in report.tables.items()
    }
    draw(panels, folder / DIAGRAM_FILE)


def best_baseline(table: EvaluationTable) -> str | None:
    """The fitted baseline with the smallest Brier on this set, found in hindsight: the hardest one to beat."""
    briers = {name: table.methods[name]["brier"].value for name in Baseline if name in table.methods}
    known = {name: value for name, value in briers.items() if value is not None}
    return min(known, key=lambda name: known[name], default=None)


def _shown(table: EvaluationTable) -> list[str]:
    best = best_baseline(table)
    return [UNCALIBRATED, *([best] if best is not None else []), CALIBRATED]


def print_report(report: CalibrationReport, console: Console) -> None:
    """Three tables for each set, at most 120 columns wide; 95% intervals in brackets."""
    for name, table in report.tables.items():
        console.print(name, style="bold", highlight=False, markup=False)
        console.print(_facts(table), highlight=False, markup=False)
        for part in (_errors(table), _quantiles(table), _comparisons(table)):
            console.print()
            console.print(part, highlight=False, markup=False)
        console.print()
    console.print(_NOTE, highlight=False, markup=False)


def _facts(table: EvaluationTable) -> str:
    rate, floor = (_number(table.reference[key].value) for key in ("success_rate", "noise_floor"))
    return (
        f"{table.num_problems:,} problems, {table.num_rows:,} open prefixes, "
        f"{table.num_terminal_rows:,} finished solutions; success {rate}, Brier noise floor {floor}"
    )


def _errors(table: EvaluationTable) -> Table:
    grid = _grid("Mean", *ERRORS)
    for method, estimates in table.methods.items():
        grid.add_row(method, *(_cell(estimates[metric]) for metric in ERRORS.values()))
    return grid


def _quantiles(table: EvaluationTable) -> Table:
    """Pinball losses; and of the levels that are served, the two ends between which each has to lie."""
    levels = sorted({table.levels[0], *({0.5} & set(table.levels)), table.levels[-1]})
    grid = _grid("Quantiles", "pinball\nmean", *(f"covered\nat {level:g}" for level in levels), "Brier of\nmedian")
    for method, estimates in table.methods.items():
        ends = [(estimates[f"below_snapped@{level:g}"], estimates[f"at_or_below@{level:g}"]) for level in levels]
        grid.add_row(
            method,
            _cell(estimates["pinball_mean"]),
            *(f"{_number(below.value)} to {_number(at_or_below.value)}" for below, at_or_below in ends),
            _cell(estimates.get("brier_median", IntervalEstimate(None, None, None))),
        )
    return grid


def _comparisons(table: EvaluationTable) -> Table:
    """Differences and ratios of the calibrated method's losses, on the same resamples."""
    columns = [f"{heading}\n{kind}" for heading in COMPARED for kind in ("difference", "ratio")]
    grid = _grid("Calibrated against", *columns)
    for method in table.methods:
        if method == CALIBRATED:
            continue
        cells: list[str] = []
        for metric in COMPARED.values():
            item = table.comparison(CALIBRATED, method, metric)
            cells += [_cell(item.difference, sign="+"), _cell(item.ratio or IntervalEstimate(None, None, None))]
        grid.add_row(method, *cells)
    return grid


def _grid(title: str, *headings: str) -> Table:
    grid = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    grid.add_column(title, style="bold", max_width=13)
    for heading in headings:
        grid.add_column(heading, justify="right", no_wrap=True)
    return grid


def _cell(estimate: IntervalEstimate, sign: str = "") -> str:
    """A number, and its interval below."""
    value = _number(estimate.value, sign)
    if estimate.lower is None:
        return value
    return f"{value}\n[{_number(estimate.lower, sign)} {_number(estimate.upper, sign)}]"


def _number(value: float | None, sign: str = "") -> str:
    """0.0554 -> ".055", -0.0124 -> "-.012"."""
    if value is None:
        return UNKNOWN
    written = f"{value:{sign}.3f}"
    return written.replace("0.", ".", 1) if abs(value) < 0.9995 else written
