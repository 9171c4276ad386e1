"""A comparison for people, at most 120 columns wide, and as JSON for programs.

Numbers of settings are those in the plot (`jobs.comparison.plot`). What is unknown is `?` or null, never zero.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.display.numbers import count, percent, points, thousandths, with_interval
from jobs.scoring.summary import BY_ARRIVAL
from scaling.statistics.comparison_rows import Row, SettingsComparison
from scaling.statistics.pass_at_k import PassAtK

_KINDS = {
    "samples": "num_samples",
    "gener-\nated": "generated_tokens",
    "thinking": "thinking_tokens",
    "pruned": "pruned_tokens",
    "prompt": "prompt_tokens",
    "prompt\ncached": "cached_tokens",
    "PRM": "prm_tokens",
    "PRM\ncached": "prm_cached_tokens",
    "FLOPs": "flops",
}
"""Heading -> field of a row, in the second table."""
LABEL_WIDTH = 25
FRONTS = {(True, True): "both", (True, False): "tokens", (False, True): "FLOPs", (False, False): ""}
"""On the front by tokens, by FLOPs -> word."""

_NOTE = (
    "Brackets: 95% intervals over problems, all settings on the same resamples. Ratios: all tokens, or FLOPs, over the "
    "baseline's. Not worse: `yes` where the lower end of the difference is within the margin, `by point` where only "
    "its value is. Front: no other setting is as accurate for less, by tokens or by FLOPs."
)
KINDS_NOTE = (
    "AURC: the share of wrong answers, averaged over how many are answered, the surest first; smaller is better. "
    "Against fixed: accuracy minus that of a fixed number of samples at the same tokens, in points."
)


def print_comparison(
    comparison: SettingsComparison, console: Console, pass_rates: Mapping[str, Sequence[PassAtK]] | None = None
) -> None:
    """Accuracy and cost against the baseline; then tokens by kind; then what they share, and which is the cheapest.

    Args:
        comparison: of at least one setting.
        console: where it goes.
        pass_rates: of the samples that settings were played on, by what they are called.
    """
    parts = (_facts(comparison), "", _results(comparison), "", _NOTE, "", _kinds(comparison), "", KINDS_NOTE, "")
    for part in parts:
        console.print(part, highlight=False, markup=False)
    for line in (*_sharing(comparison), *_by_arrival(comparison), *_pass_lines(pass_rates or {})):
        console.print(line, highlight=False, markup=False)
    console.print(verdict(comparison), style="bold", highlight=False, markup=False)


def comparison_json(
    comparison: SettingsComparison, pass_rates: Mapping[str, Sequence[PassAtK]] | None = None
) -> dict[str, Any]:
    """All of it, and the labels of the cheapest; estimates are objects of value, lower and upper, null if unknown.

    Args:
        comparison: of at least one setting.
        pass_rates: as above.
    """
    return asdict(comparison) | {
        "pass_at_k": {name: [asdict(rate) for rate in rates] for name, rates in (pass_rates or {}).items()},
        "cheapest_by_flops": comparison.cheapest_by_flops,
        "cheapest_by_tokens": comparison.cheapest_by_tokens,
    }


def verdict(comparison: SettingsComparison) -> str:
    """Which setting is the cheapest that is not worse, by FLOPs and by tokens, in one sentence each."""
    by_flops, by_tokens = comparison.cheapest_by_flops, comparison.cheapest_by_tokens
    subject = f"not worse than {comparison.baseline} by more than {points(comparison.margin)} points"
    if by_flops == by_tokens == comparison.baseline:
        return f"Cheapest {subject}: none is cheaper than the baseline, by FLOPs or by generated tokens."
    flops, tokens = comparison.row(by_flops), comparison.row(by_tokens)
    if flops is tokens:
        return f"Cheapest {subject}, by FLOPs and by generated tokens: {_named(flops)}."
    return f"Cheapest {subject}: by FLOPs {_named(flops)}; by generated tokens {_named(tokens)}."


def _named(row: Row) -> str:
    if row.is_baseline:
        return "none is cheaper than the baseline"
    flops, tokens = percent(row.flops_ratio.value), percent(row.generated_tokens_ratio.value)
    difference = with_interval(row.accuracy_difference, lambda value: points(value, "+")).replace("\n", " ")
    return f"{row.label} ({flops} of its FLOPs, {tokens} of its generated tokens, {difference} points)"


def _facts(comparison: SettingsComparison) -> str:
    left = comparison.num_left_out
    out = f"; {left:,} left out, which some setting has no verdict or no costs for" if left else ""
    return (
        f"{_plural(len(comparison.rows), 'setting')} on {_plural(comparison.num_problems, 'problem')}{out}. "
        f"Baseline: {comparison.baseline}; margin: {points(comparison.margin)} points."
    )


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _results(comparison: SettingsComparison) -> Table:
    headings = ("accuracy\n%", "coverage\n%", "tokens per\nproblem", "tokens /\nbaseline", "FLOPs /\nbaseline")
    grid = _grid("Setting", *headings, "accuracy -\nbaseline", "not\nworse", "front")
    for number, row in enumerate(comparison.rows, 1):
        is_worse = "by point" if row.is_not_worse_by_point else "no"
        grid.add_row(
            str(number),
            _wrapped(row.label),
            with_interval(row.accuracy, points),
            with_interval(row.coverage, points),
            with_interval(row.generated_tokens, count),
            "1" if row.is_baseline else with_interval(row.generated_tokens_ratio, thousandths),
            "1" if row.is_baseline else with_interval(row.flops_ratio, thousandths),
            "" if row.is_baseline else with_interval(row.accuracy_difference, lambda value: points(value, "+")),
            "baseline" if row.is_baseline else "yes" if row.is_not_worse else is_worse,
            FRONTS[row.is_on_tokens_front, row.is_on_flops_front],
        )
    return grid


def _kinds(comparison: SettingsComparison) -> Table:
    thinks = any(row.thinking_tokens.value is not None for row in comparison.rows)
    kinds = {heading: field for heading, field in _KINDS.items() if thinks or field != "thinking_tokens"}
    grid = _grid("Per problem", *kinds, "AURC", "against\nfixed")
    for number, row in enumerate(comparison.rows, 1):
        grid.add_row(
            str(number),
            _wrapped(row.label),
            *(count(getattr(row, field).value) for field in kinds.values()),
            with_interval(row.aurc, thousandths),
            with_interval(row.fixed_difference, lambda value: points(value, "+")),
        )
    return grid


def _sharing(comparison: SettingsComparison) -> list[str]:
    """Which settings come from the same samples, and over how many orders of them each number is a mean."""
    groups: dict[tuple[str | None, int], list[int]] = {}
    for number, row in enumerate(comparison.rows, 1):
        groups.setdefault((row.shared_with, row.num_orders), []).append(number)
    lines = []
    for (pool, num_orders), numbers in groups.items():
        names = _numbers(numbers)
        over = f"means over {num_orders} orders" if num_orders > 1 else "one order"
        if pool is None:
            lines.append(f"Ran by itself: {names}" + (f"; {over}." if num_orders > 1 else "."))
        else:
            lines.append(f"Replayed on the samples of {pool}, {over} of them: {names}.")
    return lines


def _by_arrival(comparison: SettingsComparison) -> list[str]:
    """Which settings decide by the samples that finish first."""
    numbers = [number for number, row in enumerate(comparison.rows, 1) if row.depends_on_arrival]
    return [f"{BY_ARRIVAL[0].upper()}{BY_ARRIVAL[1:]}: {_numbers(numbers)}."] if numbers else []


def _pass_lines(pass_rates: Mapping[str, Sequence[PassAtK]]) -> list[str]:
    """pass@k of each pool of samples, a line each."""
    lines = []
    for name, rates in pass_rates.items():
        shown = ", ".join(f"@{rate.k} {with_interval(rate.share, points)}".replace("\n", " ") for rate in rates)
        if shown:
            lines.append(f"pass{shown} % of {_plural(rates[0].num_problems, 'problem')}, from the samples of {name}.")
    return lines


def _numbers(numbers: list[int]) -> str:
    """[1, 2, 3, 5] -> "1-3, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _grid(title: str, *headings: str) -> Table:
    grid = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False)
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column(title, style="bold", max_width=LABEL_WIDTH, overflow="fold")
    for heading in headings:
        grid.add_column(heading, justify="right", no_wrap=True)
    return grid


def _wrapped(label: str) -> str:
    """Broken after a colon, comma or at-sign where it is too long for its column."""
    lines = [""]
    for piece in re.findall(r"[^:,@]*[:,@]?", label):
        if len(lines[-1] + piece) > LABEL_WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
