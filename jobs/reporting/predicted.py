"""What `parsimony estimate` said that a run would take, beside what it took."""

from collections.abc import Callable
from typing import Any

from jobs.display.numbers import count, duration, percent
from jobs.reporting.plots import Table
from jobs.scoring.summary import Summary
from records.run_folder.commits import Totals
from records.run_folder.prediction import Prediction, Range

_UNKNOWN = "unknown"


def predicted_section(
    prediction: Prediction | None, totals: Totals, summary: Summary, kwh: float | None
) -> dict[str, Any]:
    """What the template's part names; nothing for a run without an estimate.

    Args:
        prediction: as the run holds it.
        totals: of its rows.
        summary: of the run.
        kwh: that its devices took; None where that is unknown.
    """
    if prediction is None:
        return {"predicted": None, "predicted_note": None}
    done = sum(summary.problems.values())
    note = (
        f"Estimated on {prediction.created_at[:10]} from {prediction.pilot_problems:,} of {prediction.num_problems:,} "
        f"problems, for {_replicas(prediction.num_generators, 'generator')} and "
        f"{_replicas(prediction.num_prms, 'PRM')}; intervals hold with {prediction.confidence:.0%}."
    )
    if not summary.finished:
        note += f" The run has {done:,} of its rows, so what it took is what it took so far."
    elif summary.num_problems != prediction.num_problems:
        note += f" The run has {summary.num_problems:,} problems: the estimate was for another number."
    return {
        "predicted": Table(
            "Predicted and actual",
            (
                "What",
                f"Predicted ({prediction.confidence:.0%})",
                "Actual",
                "Actual over predicted",
                "In the interval",
            ),
            tuple(
                _line(name, predicted, actual, say, whole=summary.finished)
                for name, predicted, actual, say in _quantities(prediction, totals, summary, kwh)
                if predicted is not None
            ),
        ),
        "predicted_note": note,
    }


_Quantity = tuple[str, Range | None, float | None, Callable[[float], str]]


def _quantities(prediction: Prediction, totals: Totals, summary: Summary, kwh: float | None) -> list[_Quantity]:
    """Name, what was predicted, what came, and how it is said."""
    found: list[_Quantity] = [
        (f"{kind.replace('_', ' ').replace('prm', 'PRM').capitalize().replace('Prm', 'PRM')} tokens", predicted,
         float(summary.tokens[kind]) if kind in summary.tokens else None, count)
        for kind, predicted in prediction.tokens.items()
    ]  # fmt: skip
    return [
        *found,
        ("FLOPs", prediction.flops, totals.flops, count),
        ("Wall time", prediction.wall_seconds, totals.wall_seconds, duration),
        ("Generator replica-seconds", prediction.generator_seconds, totals.generator_seconds, count),
        ("PRM replica-seconds", prediction.prm_seconds, totals.prm_seconds, count),
        ("GPU-seconds", prediction.gpu_seconds, totals.gpu_seconds, count),
        ("USD", prediction.usd, totals.usd, lambda usd: f"{usd:.4g}"),
        ("kWh", prediction.kwh, kwh, lambda value: f"{value:.4g}"),
        ("Accuracy", prediction.accuracy, summary.accuracy, percent),
    ]


def _line(
    name: str, predicted: Range, actual: float | None, say: Callable[[float], str], *, whole: bool
) -> tuple[str, ...]:
    interval = f"{say(predicted.estimate)} ({say(predicted.lower)} to {say(predicted.upper)})"
    if actual is None:
        return name, interval, _UNKNOWN, _UNKNOWN, _UNKNOWN
    ratio = f"{actual / predicted.estimate:.3f}" if predicted.estimate else _UNKNOWN
    inside = "yes" if predicted.lower <= actual <= predicted.upper else "no"
    return name, interval, say(actual), ratio, inside if whole else "not over yet"


def _replicas(number: int, role: str) -> str:
    return f"{number:,} {role} replica{'' if number == 1 else 's'}"
