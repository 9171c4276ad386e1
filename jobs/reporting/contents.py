"""Everything that a page says of one run, section by section."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.display.numbers import count
from jobs.reporting import plots
from jobs.reporting.costs import by_difficulty, difficulty_of, flops_by_phase
from jobs.reporting.curve import Curve, CurvePoint, curve
from jobs.reporting.embedding import MAX_STEPS, Chunks, TreePacker, packed, script_json
from jobs.reporting.facts import failure_groups, state_of, summary_of
from jobs.reporting.graded_samples import Witness, graded, witness
from jobs.reporting.groups import group_columns, group_sections, pass_table
from jobs.reporting.head import budget_text, cost_table, head, status_table, strategy_text
from jobs.reporting.listing import fitting_ids, listing
from jobs.reporting.paired import paired_section
from jobs.reporting.predicted import predicted_section
from jobs.reporting.scores import prm_section, score_checks
from jobs.reporting.source import ReportSource, dearest, slowest
from jobs.reporting.trees import finish_reasons, tree_json
from jobs.reporting.utilisation import usage_diagram, usage_intervals
from jobs.scoring.cost import run_kwh
from jobs.scoring.summary import Summary
from records.rows import ProblemRow
from records.run_folder.epochs import utc
from scaling.calibration.within_run import ScoreCheck
from scaling.statistics.bootstrap import IntervalEstimate
from scaling.statistics.paired_rows import PairedComparison
from scaling.statistics.pass_at_k import PassAtK, pass_rates

RESERVED_BYTES = 600_000
"""For all of a page but its trees and its table of problems: text, style, script, diagrams."""
TABLE_SHARE = 0.5
"""Most of the file that the table of problems may take."""
NUM_LISTED = 10
"""Dearest problems, and slowest ones, in a table."""


@dataclass(frozen=True, slots=True)
class PageContents:
    """What a report found.

    Attributes:
        source: the run.
        state: finished, running or stopped.
        summary: as `parsimony status` has it.
        witnesses: problems whose samples were graded.
        why_ungraded: why none was.
        curve: accuracy against tokens.
        pass_rates: pass@k of the graded samples.
        checks: kind of score -> scores against outcomes.
        chunks: the trees that had room.
        ids: the problems that are listed.
        paired: another run held against this one; None where none is.
        kwh: energy of the replicas' devices; None where that is unknown.
    """

    source: ReportSource
    state: str
    summary: Summary
    witnesses: Sequence[Witness]
    why_ungraded: str | None
    curve: Curve
    pass_rates: Sequence[PassAtK]
    checks: dict[str, ScoreCheck]
    chunks: Chunks
    ids: Sequence[str]
    paired: PairedComparison | None
    kwh: float | None


def read_contents(source: ReportSource, *, max_bytes: int, paired: PairedComparison | None) -> PageContents:
    """Read the trees and compute the numbers.

    Args:
        source: the run.
        max_bytes: of the whole page.
        paired: another run held against this one.

    Raises:
        StoreFailed: a part cannot be read.
    """
    run, recipe = source.run, source.replayer.recipe
    ids = fitting_ids(source, int(TABLE_SHARE * (max_bytes - RESERVED_BYTES)))
    table_bytes = len(packed(listing(source, {}, ids)))
    takes_whole_samples = recipe is not None and recipe.strategy.most_samples is not None
    sampled, listed = frozenset(source.sample), frozenset(ids)
    witnesses: list[Witness] = []
    packer = TreePacker(max_bytes - RESERVED_BYTES - table_bytes)

    def shown(problem_id: str) -> bool:
        return problem_id in listed and packer.has_room

    for tree in source.trees(lambda problem_id: problem_id in sampled or shown(problem_id)):
        if tree.problem_id in sampled:
            seen = witness(tree, takes_whole_samples=takes_whole_samples)
            witnesses.extend([seen] if seen else [])
        if shown(tree.problem_id):
            packer.add(tree_json(tree), num_steps=len(tree.steps))
    graded_witnesses, why_ungraded = graded(witnesses, recipe)
    return PageContents(
        source=source,
        state=state_of(run, now_s=time.time()),
        summary=summary_of(run, source.rows),
        witnesses=graded_witnesses,
        why_ungraded=why_ungraded,
        curve=curve(graded_witnesses, recipe, why_ungraded=why_ungraded),
        pass_rates=pass_rates(
            [item.outcomes for item in graded_witnesses if item.stored is not None], run.manifest.seed
        ),
        checks=score_checks(graded_witnesses, run.manifest.seed),
        chunks=packer.chunks(),
        ids=ids,
        paired=paired,
        kwh=run_kwh(run, recipe) if recipe is not None else None,
    )


def contents(found: PageContents) -> dict[str, Any]:
    """Values by the names that the template uses."""
    source, summary = found.source, found.summary
    rows, run = source.rows, source.run
    sections = [
        ("summary", "Summary"),
        *([("paired", "Against the other run")] if found.paired else []),
        ("accuracy", "Accuracy against tokens"),
        *([("groups", "Accuracy by group")] if _columns(found) else []),
        ("spending", "Spending and difficulty"),
        ("prm", "The PRM in this run"),
        ("cost", "Cost"),
        ("failures", "How problems ended"),
        ("explorer", "Problems and search trees"),
    ]
    num_open = len(run.log.open_problems)
    num_sampled = len(source.sample) if len(source.sample) < len(rows) else None
    return {
        **head(run, rows, summary, found.state),
        **_curve_section(found),
        "groups": group_sections(rows, source.replayer.recipe),
        "pass_table": pass_table(found.pass_rates),
        **_difficulty_section(found),
        **prm_section(found.checks, found.why_ungraded, num_sampled),
        **_cost_section(found),
        "sections": sections,
        "status_table": status_table(rows, num_open, run.manifest.num_problems),
        "failures": failure_groups(rows),
        **_usage_section(found),
        "paired": paired_section(found.paired) if found.paired else None,
        **predicted_section(run.prediction(), run.totals, summary, found.kwh),
        "trees_note": _trees_note(found),
        "meta": script_json(_meta(found)),
        "listing": packed(listing(source, found.chunks.places, found.ids)),
        "chunks": found.chunks.texts,
        "written_at": utc(time.time())[:19].replace("T", " ") + " UTC",
        "version": run.manifest.versions.get("parsimony"),
    }


def _columns(found: PageContents) -> tuple[str, ...]:
    return group_columns(found.source.rows, found.source.replayer.recipe)


def _curve_section(found: PageContents) -> dict[str, Any]:
    point = _run_point(found)
    words = (
        f"This run: {plots.accuracy_with_interval(point)} right at {count(point.tokens)} tokens a problem."
        if point
        else ""
    )
    strategy = found.summary.strategy
    return {
        "curve": plots.curve_diagram(found.curve, point, strategy) if found.curve.lines else None,
        "why_no_curve": found.curve.why_not,
        "run_point": words or "Nothing was graded yet.",
    }


def _run_point(found: PageContents) -> CurvePoint | None:
    """The run itself, over its graded problems."""
    known = [row for row in found.source.rows if row.correct is not None]
    if not known:
        return None
    summary = found.summary
    accuracy = IntervalEstimate(summary.accuracy, summary.accuracy_lower, summary.accuracy_upper)
    tokens = sum(row.generated_tokens for row in known) / len(known)
    return CurvePoint(round(sum(row.num_samples for row in known) / len(known)), tokens, accuracy)


def _difficulty_section(found: PageContents) -> dict[str, Any]:
    shares = {
        item.row.problem_id: sum(item.outcomes) / len(item.outcomes)
        for item in found.witnesses
        if item.stored is not None and item.outcomes
    }
    difficulty = difficulty_of(found.source.rows, shares)
    bins = by_difficulty(found.source.rows, difficulty)
    return {
        "difficulty": plots.difficulty_diagram(bins, difficulty.meaning) if bins else None,
        "why_no_difficulty": difficulty.meaning,
    }


def _cost_section(found: PageContents) -> dict[str, Any]:
    rows, tokens = found.source.rows, found.summary.tokens
    kinds = {
        "Generated": (float(tokens["generated"] - tokens["pruned"]), float(tokens["pruned"])),
        "Prompts": (float(tokens["prompt"] - tokens["cached"]), float(tokens["cached"])),
        "PRM": (float(tokens["prm"] - tokens["prm_cached"]), float(tokens["prm_cached"])),
    }
    phases = flops_by_phase(rows, found.source.run.manifest)
    totals = found.source.run.totals
    seconds = {"Generator": totals.generator_seconds, "PRM": totals.prm_seconds}
    priced = bool(rows) and all(row.usd is not None for row in rows)
    return {
        "costs": plots.cost_diagram(kinds, ("kept or computed", "pruned or cached"), phases, seconds),
        "cost_table": cost_table(found.source.run, rows, found.summary, found.kwh),
        "dear_by": "USD" if priced else "FLOPs",
        "dearest": [
            _listed(row, f"{row.usd:.4g}" if priced and row.usd is not None else count(row.flops))
            for row in dearest(rows, NUM_LISTED)
        ],
        "slowest": [_listed(row, f"{row.wall_seconds:.2f}") for row in slowest(rows, NUM_LISTED)],
    }


def _usage_section(found: PageContents) -> dict[str, Any]:
    run_intervals = usage_intervals(found.source.run.log.usages)
    return {
        "usage": usage_diagram(run_intervals) if run_intervals else None,
        "why_no_usage": "No commit of this run says how busy its replicas were.",
    }


def _listed(row: ProblemRow, value: str) -> dict[str, str]:
    verdict = "not graded" if row.correct is None else "right" if row.correct else "wrong"
    return {
        "problem_id": row.problem_id,
        "verdict": "failed" if row.status.value == "failed" else verdict,
        "value": value,
        "samples": f"{row.num_samples:,}",
        "tokens": f"{row.generated_tokens:,}",
    }


def _trees_note(found: PageContents) -> str:
    num_all, num_trees = len(found.source.order), len(found.chunks.places)
    if num_trees == num_all:
        return f"Every one of the {num_all:,} problems is here with its search tree, packed into this file."
    listed = "" if len(found.ids) == num_all else f" The table lists {len(found.ids):,} of them."
    return (
        f"This file has room for {num_trees:,} of {num_all:,} search trees: those named with --problem, of open and "
        "failed problems, of the dearest and the slowest, of wrong answers, and a seeded sample of the others. "
        f"--problem ID puts another one in, --max-mb makes more room, up to {MAX_STEPS:,} steps.{listed}"
    )


def _meta(found: PageContents) -> dict[str, Any]:
    """What the page's script needs beside tables and trees."""
    source, manifest = found.source, found.source.run.manifest
    with_tree = sorted(found.chunks.places)
    return {
        "finish_reasons": finish_reasons(),
        "strategy": strategy_text(manifest),
        "budget": budget_text(manifest),
        "has_usd": any(row.usd is not None for row in source.rows),
        "first": with_tree[0] if with_tree else None,
        "why_unknown": source.replayer.why_not,
    }
