"""The head of a page: state, models, dates, warnings, accuracy and cost in a few numbers; and how problems ended."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.display.numbers import count, duration, percent, ratio
from jobs.reporting.facts import known_total
from jobs.reporting.plots import Table
from jobs.scoring.summary import BY_ARRIVAL, Summary, target_text, thoughts_text, unanswered_text
from records.rows import ProblemRow, Status
from records.run_folder.commits import Totals
from records.run_folder.manifest import Manifest
from records.run_folder.reader import Run

_UNKNOWN = "unknown"


def head(run: Run, rows: Sequence[ProblemRow], summary: Summary, state: str) -> dict[str, Any]:
    """What the template's head and summary name."""
    manifest = run.manifest
    return {
        "name": run.uri.rstrip("/").rpartition("/")[2] or run.uri,
        "state": state,
        "lede": _lede(run, summary, state),
        "notes": _notes(run, summary, state),
        "cards": _cards(summary, rows, run.totals),
        "facts": [*_facts(run, summary), *_thought_facts(rows)],
        "recipe": json.dumps(manifest.recipe, indent=2, ensure_ascii=False),
    }


def strategy_text(manifest: Manifest) -> str:
    """The strategy and its options, in a line."""
    return _section(manifest.recipe, "strategy")


def budget_text(manifest: Manifest) -> str:
    """The run's caps, in a line."""
    section = manifest.recipe.get("budget")
    caps = section.items() if isinstance(section, Mapping) else ()
    set_ones = [f"{name} = {value}" for name, value in caps if value is not None]
    return ", ".join(set_ones) or "no cap"


def _section(recipe: Mapping[str, object], name: str) -> str:
    section = recipe.get(name)
    if not isinstance(section, Mapping):
        return _UNKNOWN
    options = [f"{key} = {value}" for key, value in section.items() if key != "name" and value is not None]
    return " with ".join(part for part in (str(section.get("name", _UNKNOWN)), ", ".join(options)) if part)


def _lede(run: Run, summary: Summary, state: str) -> str:
    done = sum(summary.problems.values())
    how_far = f"{done:,} of {summary.num_problems:,} problems have ended"
    if state == "finished":
        how_far = f"all {summary.num_problems:,} problems have ended"
    opened = len(run.log.open_problems)
    return f"{summary.strategy}: {how_far}{f', {opened:,} are open' if opened else ''}."


def _notes(run: Run, summary: Summary, state: str) -> list[str]:
    notes = [*run.manifest.warnings]
    if state != "finished":
        doing = "is running" if state == "running" else "has stopped before its end"
        notes.insert(
            0,
            f"This run {doing}. What ends first is often easier or shorter than what is left, so the numbers below are "
            "of those problems, and no forecast of the whole.",
        )
    if summary.lost_tokens:
        notes.append(f"Up to {summary.lost_tokens:,} tokens were lost in stops and crashes: spent, and in no row.")
    if summary.depends_on_arrival:
        notes.append(f"Answers are {BY_ARRIVAL}.")
    return notes


def _cards(summary: Summary, rows: Sequence[ProblemRow], totals: Totals) -> list[dict[str, str]]:
    tokens, done = summary.tokens, sum(summary.problems.values())
    pruned = percent(ratio(tokens["pruned"], tokens["generated"]))
    gpu_s = known_total([row.gpu_seconds for row in rows])
    usd = known_total([row.usd for row in rows])
    rate = _UNKNOWN if summary.tokens_per_second is None else f"{count(summary.tokens_per_second)} tokens a second"
    statuses = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in summary.problems.items() if number)
    return [
        _card("Accuracy", _known(summary.accuracy, percent), _accuracy_note(summary, done)),
        _card("Problems", f"{done:,} of {summary.num_problems:,}", statuses or "none has ended"),
        _card("Generated tokens", count(tokens["generated"]), f"{pruned} pruned" if tokens["generated"] else "none"),
        _card("FLOPs", count(summary.flops), "generator and PRM, computed tokens"),
        _card(
            "Replica-seconds",
            count(totals.generator_seconds + totals.prm_seconds),
            f"{count(totals.generator_seconds)} generator, {count(totals.prm_seconds)} PRM",
        ),
        _card("GPU-seconds", _known(gpu_s, count), "of all rows" if gpu_s is not None else "not every row knows them"),
        _card("USD", _known(usd, lambda value: f"{value:.4g}"), "of all rows" if usd is not None else "no price"),
        _card("Wall time", duration(summary.wall_seconds), rate),
    ]


def _card(name: str, value: str, more: str) -> dict[str, str]:
    return {"name": name, "value": value, "more": more}


def _known(value: float | None, say: Any) -> str:
    return _UNKNOWN if value is None else str(say(value))


def _accuracy_note(summary: Summary, done: int) -> str:
    if summary.accuracy is None:
        return "nothing was graded"
    interval = f"{percent(summary.accuracy_lower)} to {percent(summary.accuracy_upper)} at 95%"
    ungraded = f"; {done - summary.graded:,} not graded" if done > summary.graded else ""
    return f"{interval}; {summary.correct:,} of {summary.graded:,}{ungraded}"


def _facts(run: Run, summary: Summary) -> list[tuple[str, str]]:
    manifest = run.manifest
    facts = [("Run", run.uri), ("Strategy", strategy_text(manifest)), ("Budget", budget_text(manifest))]
    for role, model in manifest.models.items():
        sha256 = f" (sha256 {model.model_sha256[:12]})" if model.model_sha256 else ""
        facts.append((f"Model: {role}", f"{model.model}{sha256}"))
    facts.append(("Begun", manifest.created_at))
    if run.success is not None:
        facts.append(("Finished", run.success.finished_at))
    elif run.lease is not None:
        facts.append(("Last heard of", run.lease.heartbeat_at))
    facts += [
        ("Seed", str(manifest.seed)),
        ("Input", f"{manifest.num_problems:,} problems, fingerprint {manifest.input_fingerprint[:12]}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items()) or _UNKNOWN),
        ("Git revision", manifest.git_revision or _UNKNOWN),
    ]
    if summary.finished_samples:
        facts.append(("Samples without an answer", unanswered_text(summary) or f"none of {summary.finished_samples:,}"))
    if thoughts := thoughts_text(summary):
        facts.append(("Thoughts", thoughts))
    found = summary.abstention
    if found is not None:
        answered = f"{found.answered:,} of {found.answered + found.abstained:,}, at {found.estimate} >= {found.below:g}"
        right = f"; {percent(found.accuracy)} of these right" if found.accuracy is not None else ""
        facts.append(("Answered", answered + right))
        if found.target is not None:
            facts.append(("Risk", target_text(found.target)))
    return facts


def _thought_facts(rows: Sequence[ProblemRow]) -> list[tuple[str, str]]:
    """How long thoughts are, where the run tells them apart: by problem, so that a hard one shows."""
    told = [row for row in rows if row.thinking_tokens is not None and row.num_samples]
    if not told:
        return []
    lengths = [(row.thinking_tokens or 0) / row.num_samples for row in told]
    low, median, high, most = np.quantile(lengths, [0.1, 0.5, 0.9, 1.0])
    said = f"median {median:,.0f}, a tenth below {low:,.0f}, a tenth above {high:,.0f}, at most {most:,.0f}"
    return [("Thinking tokens per sample, by problem", said)]


def status_table(rows: Sequence[ProblemRow], num_open: int, num_problems: int) -> Table:
    """Problems by status and verdict."""
    lines = []
    for status in Status:
        own = [row for row in rows if row.status is status]
        if own:
            verdicts = [sum(row.correct is verdict for row in own) for verdict in (True, False, None)]
            lines.append((status.value.replace("_", " "), f"{len(own):,}", *(f"{number:,}" for number in verdicts)))
    left = num_problems - len(rows) - num_open
    for name, number in (("open", num_open), ("not begun", left)):
        if number > 0:
            lines.append((name, f"{number:,}", "", "", ""))
    return Table("Problems by status", ("Status", "Problems", "Right", "Wrong", "Not graded"), tuple(lines))


def cost_table(run: Run, rows: Sequence[ProblemRow], summary: Summary, kwh: float | None) -> Table:
    """What the rows add up to, and what stands beside them; `kwh` is of the devices."""
    done = len(rows)
    totals = {
        "Generated tokens": float(summary.tokens["generated"]),
        "Generated tokens, pruned": float(summary.tokens["pruned"]),
        "Prompt tokens": float(summary.tokens["prompt"]),
        "Prompt tokens, cached": float(summary.tokens["cached"]),
        "PRM tokens": float(summary.tokens["prm"]),
        "PRM tokens, cached": float(summary.tokens["prm_cached"]),
        "FLOPs": summary.flops,
        "Generator replica-seconds": run.totals.generator_seconds,
        "PRM replica-seconds": run.totals.prm_seconds,
        "GPU-seconds": known_total([row.gpu_seconds for row in rows]),
        "USD": known_total([row.usd for row in rows]),
    }
    lines = [
        (name, _known(value, _amount), _known(ratio(value, done) if value is not None else None, _amount))
        for name, value in totals.items()
    ]
    lines.append(("kWh of the devices while they were held, by their rated watts", _known(kwh, _amount), ""))
    lines.append(("Generated for open problems", f"{run.log.open_tokens:,}", ""))
    lines.append(("Lost in stops and crashes, at most", f"{summary.lost_tokens:,}", ""))
    return Table("Cost of the rows", ("What", "Run", "Per problem"), tuple(lines))


def _amount(value: float) -> str:
    if value >= 1e9:
        return count(value)
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"
