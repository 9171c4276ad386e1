"""What a run came to: one value, as JSON for programs and as a table for people.

The keys of the JSON are stable; what is unknown is null, never zero.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.display.numbers import count, duration, percent, ratio
from jobs.scoring.abstention import AbstentionSummary, RiskTarget
from records.reasons import FailureReason
from records.run_folder.commits import Totals
from scaling.statistics.accuracy import accuracy_interval

BY_ARRIVAL = "decided by the samples that finished first, which leans towards short ones"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run, finished or not.

    Attributes:
        run: its address.
        strategy: its name in the recipe.
        depends_on_arrival: it decides by the samples that finish first, so its answers lean towards short ones.
        finished: every problem has its row.
        num_problems: of the input.
        problems: status -> problems with a row of that status.
        graded: problems with a verdict.
        correct: of the graded ones.
        finished_samples: samples that came to their end.
        unanswered_samples: of these, those that state no answer.
        unfinished_thoughts: samples that ended within their thought, and state no answer.
        closed_thoughts: samples of which the budget of thinking closed a thought.
        prolonged_thoughts: samples of which an end of a thought came too early and was replaced.
        accuracy: correct / graded; null when nothing was graded.
        accuracy_lower: bounds of the 95% Wilson interval (`accuracy_upper` alike); null likewise.
        tokens: kind -> tokens of all rows ("prompt" and "prm" include "cached" and "prm_cached"; "generated" is
            "thinking" and "answer" where the run tells thoughts, which others have not).
        open_tokens: generated for problems that have no row yet, and written; a resume goes on from there.
        lost_tokens: spent by controllers that died or stopped before they could write rows; at most so many.
        flops: 2 x parameters x computed tokens, of generator and PRM.
        gpu_seconds: of all rows; null without a GPU.
        usd: of all rows; null without a price.
        wall_seconds: time that controllers held the run.
        tokens_per_second: generated tokens over that time; null while there is none.
        abstention: what abstaining came to; null for a run that never abstains, or has no rows yet.
        failures: the commonest reasons of failed problems: how many, and the first line of the error of one.
    """

    run: str
    strategy: str
    depends_on_arrival: bool
    finished: bool
    num_problems: int
    problems: dict[str, int]
    graded: int
    correct: int
    finished_samples: int
    unanswered_samples: int
    unfinished_thoughts: int
    closed_thoughts: int
    prolonged_thoughts: int
    accuracy: float | None
    accuracy_lower: float | None
    accuracy_upper: float | None
    tokens: dict[str, int]
    open_tokens: int
    lost_tokens: int
    flops: float
    gpu_seconds: float | None
    usd: float | None
    wall_seconds: float
    tokens_per_second: float | None
    abstention: AbstentionSummary | None
    failures: tuple[FailureReason, ...]


def summarize(
    totals: Totals,
    *,
    run: str,
    recipe: Mapping[str, Any],
    finished: bool,
    num_problems: int,
    open_tokens: int = 0,
    lost_tokens: int = 0,
    abstention: AbstentionSummary | None = None,
    failures: tuple[FailureReason, ...] = (),
) -> Summary:
    """The summary of a run whose problem rows add up to `totals`, and whose manifest has `recipe`."""
    interval = accuracy_interval(totals.correct, totals.graded)
    lower, upper = interval if interval is not None else (None, None)
    return Summary(
        run=run,
        strategy=_strategy_name(recipe),
        depends_on_arrival=_depends_on_arrival(recipe),
        finished=finished,
        num_problems=num_problems,
        problems={
            "succeeded": totals.succeeded,
            "failed": totals.failed,
            "budget_exhausted": totals.budget_exhausted,
            "cancelled": totals.cancelled,
        },
        graded=totals.graded,
        correct=totals.correct,
        finished_samples=totals.finished_samples,
        unanswered_samples=totals.unanswered_samples,
        unfinished_thoughts=totals.unfinished_thoughts,
        closed_thoughts=totals.closed_thoughts,
        prolonged_thoughts=totals.prolonged_thoughts,
        accuracy=ratio(totals.correct, totals.graded),
        accuracy_lower=lower,
        accuracy_upper=upper,
        tokens={
            "generated": totals.generated_tokens,
            "pruned": totals.pruned_tokens,
            "prompt": totals.prompt_tokens,
            "cached": totals.cached_tokens,
            "prm": totals.prm_tokens,
            "prm_cached": totals.prm_cached_tokens,
            **_by_phase(totals),
        },
        open_tokens=open_tokens,
        lost_tokens=lost_tokens,
        flops=totals.flops,
        gpu_seconds=totals.gpu_seconds,
        usd=totals.usd,
        wall_seconds=totals.wall_seconds,
        tokens_per_second=ratio(totals.generated_tokens, totals.wall_seconds),
        abstention=abstention,
        failures=failures,
    )


def _strategy_name(recipe: Mapping[str, Any]) -> str:
    name = _strategy_section(recipe).get("name")
    return name if isinstance(name, str) else "unknown"


def _depends_on_arrival(recipe: Mapping[str, Any]) -> bool:
    """`StrategyOptions.depends_on_arrival` of a recipe as it is recorded: a summary loads no strategy."""
    section = _strategy_section(recipe)
    return section.get("look") == "arrival" or section.get("name") == "short-m-of-k"


def _strategy_section(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    section = recipe.get("strategy")
    return section if isinstance(section, Mapping) else {}


def _by_phase(totals: Totals) -> dict[str, int]:
    """Generated tokens by phase; nothing where the run does not tell thoughts apart."""
    thinking = totals.thinking_tokens
    return {} if thinking is None else {"thinking": thinking, "answer": totals.generated_tokens - thinking}


def summary_json(summary: Summary) -> str:
    """The summary as one JSON object, for `--json`."""
    return json.dumps(asdict(summary), indent=2, allow_nan=False)


def print_summary(summary: Summary, console: Console) -> None:
    """The summary for people."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(summary):
        table.add_row(name, value)
    console.print(table, highlight=False, markup=False)


def _lines(summary: Summary) -> list[tuple[str, str]]:
    tokens = summary.tokens
    statuses = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in summary.problems.items() if number)
    done = sum(summary.problems.values())
    cached = percent(ratio(tokens["cached"], tokens["prompt"]))
    prm_cached = percent(ratio(tokens["prm_cached"], tokens["prm"]))
    opened = f", and {count(summary.open_tokens)} for open problems" if summary.open_tokens else ""
    lost = f", and up to {count(summary.lost_tokens)} lost in stops and crashes" if summary.lost_tokens else ""
    pruned = f" ({percent(ratio(tokens['pruned'], tokens['generated']))} pruned)" if tokens["pruned"] else ""
    lines = [
        ("Run", summary.run),
        ("Strategy", summary.strategy + (f"; {BY_ARRIVAL}" if summary.depends_on_arrival else "")),
        ("Problems", f"{done} of {summary.num_problems}" + (f": {statuses}" if statuses else "")),
        *(("Failed" if not at else "", failure_text(reason)) for at, reason in enumerate(summary.failures)),
        ("Accuracy", accuracy_text(summary)),
        ("No answer", unanswered_text(summary)),
        ("Thoughts", thoughts_text(summary)),
        *(_abstention_lines(summary.abstention) if summary.abstention is not None else ()),
        (
            "Generated",
            f"{count(tokens['generated'])} tokens{pruned}, {count(summary.tokens_per_second)}/s{opened}{lost}",
        ),
        ("Prompts", f"{count(tokens['prompt'])} tokens, {cached} cached"),
        ("PRM", f"{count(tokens['prm'])} tokens, {prm_cached} cached"),
        ("FLOPs", count(summary.flops)),
        ("Cost", cost_text(summary)),
        ("Time", duration(summary.wall_seconds)),
    ]
    return [line for line in lines if line[1] and (line[0] != "PRM" or tokens["prm"])]


def failure_text(reason: FailureReason) -> str:
    """One reason of failed problems: "12 problems: my:own raised KeyError: 'x'"."""
    return f"{reason.problems} problem{'' if reason.problems == 1 else 's'}: {reason.example}"


def cost_text(summary: Summary) -> str:
    """What the rows cost: "1.23 USD, 0.5 GPU-hours"; "" where neither is known."""
    usd = [] if summary.usd is None else [f"{count(summary.usd)} USD"]
    gpus = [] if summary.gpu_seconds is None else [f"{count(summary.gpu_seconds / 3600)} GPU-hours"]
    return ", ".join([*usd, *gpus])


def accuracy_text(summary: Summary) -> str:
    """Accuracy with its interval and what it is of: "50.0% (34.8% to 65.2% at 95%), 19 of 38"."""
    if summary.accuracy is None:
        return "unknown: nothing was graded"
    interval = f"{percent(summary.accuracy_lower)} to {percent(summary.accuracy_upper)}"
    ungraded = sum(summary.problems.values()) - summary.graded
    note = f"; {ungraded} not graded" if ungraded else ""
    return f"{percent(summary.accuracy)} ({interval} at 95%), {summary.correct} of {summary.graded}{note}"


def unanswered_text(summary: Summary) -> str:
    """Samples without an answer: "3 of 64 samples (4.7%)"; "" where every one states an answer."""
    if not summary.unanswered_samples:
        return ""
    share = percent(ratio(summary.unanswered_samples, summary.finished_samples))
    return f"{summary.unanswered_samples} of {summary.finished_samples} finished samples ({share}) state no answer"


def thoughts_text(summary: Summary) -> str:
    """What thoughts came to: "81.2% of the generated tokens; 3 never ended, 5 closed"; "" where they are not told."""
    if "thinking" not in summary.tokens:
        return ""
    share = percent(ratio(summary.tokens["thinking"], summary.tokens["generated"]))
    counted = (
        (summary.unfinished_thoughts, "never ended"),
        (summary.closed_thoughts, "closed by the budget"),
        (summary.prolonged_thoughts, "prolonged"),
    )
    became = ", ".join(f"{number:,} {what}" for number, what in counted if number)
    return f"{share} of the generated tokens" + (f"; {became}" if became else "")


def _abstention_lines(found: AbstentionSummary) -> list[tuple[str, str]]:
    rows = found.answered + found.abstained
    answered = f"{found.answered} of {rows}, where answer_p ({found.estimate}) is at least {found.below:g}"
    if found.accuracy is not None:
        interval = f"{percent(found.accuracy_lower)} to {percent(found.accuracy_upper)}"
        answered += f": {percent(found.accuracy)} right ({interval} at 95%), risk {percent(found.risk)}"
    lines = [("Answered", answered)]
    if found.aurc is not None:
        curve = f"AURC {found.aurc:.4f} (at random {found.aurc_random:.4f}, at best {found.aurc_best:.4f})"
        lines.append(("", f"coverage {percent(found.coverage)} of the graded; {curve}"))
    if found.target is not None:
        lines.append(("", target_text(found.target)))
    return lines


def target_text(target: RiskTarget) -> str:
    """What was promised of the answers that are stood by, and whether problems are like those it was promised on."""
    promised = f"at most {percent(target.error)} wrong with a certainty of {percent(target.level)}"
    alike = f"if problems are like those of {target.run}"
    if target.drift_p is None:
        return f"target: {promised}, {alike}"
    if not target.has_drifted:
        return f"target: {promised}, {alike} (no sign that they are not: p = {target.drift_p:.2g})"
    return f"WARNING: target: {promised}, {alike}, and they are not (p = {target.drift_p:.2g}): it may not hold here"
