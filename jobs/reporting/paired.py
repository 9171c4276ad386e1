"""The section that holds another run against this one, problem by problem."""

from typing import Any

from jobs.display.numbers import count, percent
from jobs.reporting.plots import Table
from scaling.statistics.bootstrap import IntervalEstimate
from scaling.statistics.paired_rows import Change, PairedComparison

_MAX_CHANGED = 500
"""Changed problems in the page; the JSON has all."""


def paired_section(compared: PairedComparison) -> dict[str, Any]:
    """What the template's section names.

    Args:
        compared: this run first, the other second.
    """
    return {
        "name": compared.second.label,
        "lede": _lede(compared),
        "notes": _notes(compared),
        "table": _table(compared),
        "num_changed": len(compared.changed),
        "changed": [
            {
                "problem_id": item.problem_id,
                "verdict": "right" if item.change is Change.RIGHT_TO_WRONG else "wrong",
                "answer": _answer(item.first_answer),
                "other_verdict": "wrong" if item.change is Change.RIGHT_TO_WRONG else "right",
                "other_answer": _answer(item.second_answer),
                "reference": _answer(item.reference),
            }
            for item in compared.changed[:_MAX_CHANGED]
        ],
    }


def _lede(compared: PairedComparison) -> str:
    difference = compared.accuracy_difference
    if difference.value is None or compared.mcnemar_p is None:
        return "No problem has a verdict in both runs: nothing can be said of who is right more often."
    return (
        f"Accuracy of the other run minus this one's, over {compared.num_graded:,} problems with a verdict in both: "
        f"{_points(difference)} points. {compared.wrong_to_right:,} only the other gets right, "
        f"{compared.right_to_wrong:,} only this one. "
        f"McNemar's exact test: p = {compared.mcnemar_p:.3g}."
    )


def _points(difference: IntervalEstimate) -> str:
    if difference.lower is None or difference.upper is None:
        return f"{100 * (difference.value or 0.0):+.1f}"
    lower, upper = 100 * difference.lower, 100 * difference.upper
    return f"{100 * (difference.value or 0.0):+.1f} ({lower:+.1f} to {upper:+.1f} at 95%)"


def _notes(compared: PairedComparison) -> list[str]:
    notes = [f"Compared on {compared.num_problems:,} problems that both runs have a row of."]
    if compared.left_out:
        notes.append("Left out: " + ", ".join(f"{number:,} {why}" for why, number in compared.left_out.items()) + ".")
    if any(compared.ungraded.values()):
        this, other, both = (compared.ungraded[name] for name in ("first", "second", "both"))
        notes.append(f"Without a verdict: {this:,} in this run only, {other:,} in the other only, {both:,} in both.")
    return notes


def _table(compared: PairedComparison) -> Table:
    first, second = compared.first, compared.second
    accuracies = [
        f"{percent(side.accuracy)} ({percent(side.lower)} to {percent(side.upper)})"
        if side.accuracy is not None
        else "unknown"
        for side in (first, second)
    ]
    difference = compared.accuracy_difference
    points = _points(difference) + " points" if difference.value is not None else "unknown"
    lines = [("Accuracy", *accuracies, points, "")]
    for cost in compared.costs:
        partly = "" if cost.num_problems in (0, compared.num_problems) else f", of {cost.num_problems:,} problems"
        numbers = [count(mean) if mean is not None else "unknown" for mean in (cost.first, cost.second)]
        name = cost.name.removeprefix("num_").replace("_", " ").capitalize().replace("Prm", "PRM").replace("Usd", "USD")
        name = name.replace("Flops", "FLOPs").replace("Gpu", "GPU")
        lines.append((name + partly, *numbers, _signed(cost.difference), _ratio(cost.ratio)))
    headings = ("Per problem", "This run", "The other", "Other minus this (95%)", "Other over this (95%)")
    return Table("Both runs, on the same problems", headings, tuple(lines))


def _signed(difference: IntervalEstimate) -> str:
    if difference.value is None:
        return "unknown"
    value = _with_sign(difference.value)
    if difference.lower is None or difference.upper is None:
        return value
    return f"{value} ({_with_sign(difference.lower)} to {_with_sign(difference.upper)})"


def _with_sign(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{count(abs(value))}" if value else "0"


def _ratio(ratio: IntervalEstimate) -> str:
    if ratio.value is None:
        return "unknown"
    if ratio.lower is None or ratio.upper is None:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} ({ratio.lower:.3f} to {ratio.upper:.3f})"


def _answer(answer: str | None) -> str:
    return "none" if answer is None else answer if len(answer) <= 200 else answer[:200] + " ..."
