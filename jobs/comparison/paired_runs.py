"""Two runs on the same problems, from their tables: joined by problem id, checked, and compared.

    compared = compare_paired_runs(read_run("runs/a"), read_run("runs/b"))
    print_paired(compared, new_console())
    paired_json(compared)

Runs may be unfinished, and their inputs may differ in which problems they have: only problems with a row in both count,
and how many were left out and why is said. Held in memory: the columns of `problems` that are compared.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from jobs.display.numbers import UNKNOWN, count, percent
from records.failure import InvalidInput
from records.rows import Status
from records.run_folder.reader import Run
from scaling.arrays import Floats
from scaling.statistics.bootstrap import IntervalEstimate
from scaling.statistics.paired import Pairs, Side, compare_paired
from scaling.statistics.paired_rows import Change, PairedComparison, SideAccuracy

COSTS = (
    "num_samples",
    "generated_tokens",
    "thinking_tokens",
    "pruned_tokens",
    "prompt_tokens",
    "cached_tokens",
    "prm_tokens",
    "prm_cached_tokens",
    "flops",
    "generator_seconds",
    "prm_seconds",
    "gpu_seconds",
    "usd",
    "wall_seconds",
)
"""Columns of `problems` that are compared."""
_COLUMNS = ("problem_id", "status", "answer", "correct", "question", "reference", *COSTS)
MAX_ANSWER_CHARS = 40
"""Of an answer on the terminal."""
_MAX_CHANGED = 20
"""Changed problems on the terminal, of each kind; the JSON has all."""


def compare_paired_runs(
    first: Run, second: Run, *, labels: tuple[str, str] | None = None, num_resamples: int = 2000, seed: int = 0
) -> PairedComparison:
    """Compare two runs on the problems that both have a row of; differences are second minus first.

    Args:
        first: the run that the other one is measured against.
        second: the other one.
        labels: their names; None: their addresses.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InvalidInput: a problem of one name has another question, or another answer key, in the other run; or the runs
            have no problem in common.
        StoreFailed: a run cannot be read, or is damaged.
    """
    rows = [run.problems().select(list(_COLUMNS)) for run in (first, second)]
    ids = [table["problem_id"].to_pylist() for table in rows]
    place = [{problem_id: at for at, problem_id in enumerate(own)} for own in ids]
    common = sorted(place[0].keys() & place[1].keys())
    left_out = {
        _without_row("second", second): len(ids[0]) - len(common),
        _without_row("first", first): len(ids[1]) - len(common),
    }
    if not common:
        raise InvalidInput(
            f"{first.uri} ({len(ids[0])} problems with a row) and {second.uri} ({len(ids[1])}) have no problem id in "
            "common: are they runs on the same problems?"
        )
    rows = [table.take(pa.array([own[name] for name in common])) for table, own in zip(rows, place, strict=True)]
    for column in ("question", "reference"):
        _check_same(column, rows, (first.uri, second.uri))
    failed = [pc.equal(table["status"], Status.FAILED.value).to_numpy(zero_copy_only=False) for table in rows]
    left_out |= {
        "failed in the first run": int((failed[0] & ~failed[1]).sum()),
        "failed in the second run": int((failed[1] & ~failed[0]).sum()),
        "failed in both": int((failed[0] & failed[1]).sum()),
    }
    kept = pa.array(~(failed[0] | failed[1]))
    rows = [table.filter(kept) for table in rows]
    names = labels or (first.uri, second.uri)
    sides = [_side(name, table) for name, table in zip(names, rows, strict=True)]
    pairs = Pairs(
        problem_ids=rows[0]["problem_id"].to_pylist(),
        references=pc.coalesce(rows[0]["reference"], rows[1]["reference"]).to_pylist(),
        first=sides[0],
        second=sides[1],
        left_out={reason: number for reason, number in left_out.items() if number},
    )
    return compare_paired(pairs, num_resamples=num_resamples, seed=seed)


def paired_json(compared: PairedComparison) -> dict[str, Any]:
    """All of it; estimates are objects of value, lower and upper, null if unknown."""
    return asdict(compared)


def print_paired(compared: PairedComparison, console: Console) -> None:
    """For people: accuracies, the difference and its test, costs, what was left out, and what changed."""
    for part in (_accuracies(compared), "", _verdict(compared), "", _costs(compared), "", *_left_out(compared)):
        console.print(part, highlight=False, markup=False)
    for change, title in (
        (Change.RIGHT_TO_WRONG, "Right in the first run, wrong in the second"),
        (Change.WRONG_TO_RIGHT, "Wrong in the first run, right in the second"),
    ):
        _print_changed(compared, change, title, console)


def _without_row(name: str, run: Run) -> str:
    return f"not among the {name} run's problems" if run.finished else f"no row yet in the {name} run"


def _check_same(column: str, rows: Sequence[pa.Table], uris: tuple[str, str]) -> None:
    """What only one run knows (null) is no difference."""
    differs = pc.fill_null(pc.not_equal(rows[0][column], rows[1][column]), False)
    at = pc.index(differs, True).as_py()
    if at < 0:
        return
    number = pc.sum(differs).as_py()
    shown = [_short(table[column][at].as_py(), 200) for table in rows]
    raise InvalidInput(
        f"problem {rows[0]['problem_id'][at].as_py()!r} has another {column} in each run: {shown[0]!r} in {uris[0]}, "
        f"{shown[1]!r} in {uris[1]}. {number} of {len(rows[0])} common problems differ so; only runs on the same "
        "problems can be compared"
    )


def _side(label: str, rows: pa.Table) -> Side:
    return Side(
        label=label,
        correct=_floats(rows["correct"]),
        answers=rows["answer"].to_pylist(),
        costs={name: _floats(rows[name]) for name in COSTS},
    )


def _floats(column: pa.ChunkedArray) -> Floats:
    """Numbers of the problems, [P]; NaN for null."""
    values: Floats = column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.float64)


def _accuracies(compared: PairedComparison) -> Table:
    table = _grid("", "run", "right", "accuracy", "95% (Wilson)")
    for name, side in (("first", compared.first), ("second", compared.second)):
        table.add_row(name, side.label, f"{side.num_correct} of {compared.num_graded}", *_shares(side))
    return table


def _shares(side: SideAccuracy) -> tuple[str, str]:
    return percent(side.accuracy), f"{percent(side.lower)} to {percent(side.upper)}"


def _verdict(compared: PairedComparison) -> str:
    difference = compared.accuracy_difference
    if difference.value is None or compared.mcnemar_p is None:
        return "No problem has a verdict in both runs: nothing can be said of who is right more often."
    bounds = ""
    if difference.lower is not None and difference.upper is not None:
        bounds = f" ({_points(difference.lower)} to {_points(difference.upper)} at 95%, paired)"
    return (
        f"Second minus first: {_points(difference.value)} points{bounds}. "
        f"{compared.right_to_wrong} right to wrong, {compared.wrong_to_right} wrong to right, "
        f"{compared.both_right} right in both, {compared.both_wrong} wrong in both; "
        f"McNemar's exact p = {compared.mcnemar_p:.3g}."
    )


def _costs(compared: PairedComparison) -> Table:
    table = _grid("per problem", "first", "second", "difference", "95%", "ratio", "95%")
    for cost in compared.costs:
        if cost.num_problems:
            partly = "" if cost.num_problems == compared.num_problems else f" (of {cost.num_problems})"
            table.add_row(
                cost.name.replace("_", " ").replace("prm", "PRM").replace("flops", "FLOPs") + partly,
                count(cost.first),
                count(cost.second),
                _signed(cost.difference.value),
                _interval(cost.difference, _signed),
                _ratio(cost.ratio.value),
                _interval(cost.ratio, _ratio),
            )
    return table


def _left_out(compared: PairedComparison) -> list[str]:
    lines = [f"Compared on {compared.num_problems} problems that both runs have a row of."]
    if compared.left_out:
        reasons = ", ".join(f"{number} {reason}" for reason, number in compared.left_out.items())
        lines.append(f"Left out: {reasons}.")
    if any(compared.ungraded.values()):
        first, second, both = (compared.ungraded[name] for name in ("first", "second", "both"))
        lines.append(
            f"Without a verdict, and in no accuracy: {first} in the first run only, {second} in the second only, "
            f"{both} in both."
        )
    return lines


def _print_changed(compared: PairedComparison, change: Change, title: str, console: Console) -> None:
    found = [item for item in compared.changed if item.change is change]
    if not found:
        return
    console.print(f"\n{title} ({len(found)}):", highlight=False, markup=False)
    table = _grid("problem", "first answer", "second answer", "reference", justify="left")
    for item in found[:_MAX_CHANGED]:
        answers = (item.first_answer, item.second_answer, item.reference)
        table.add_row(item.problem_id, *(_short(text, MAX_ANSWER_CHARS) for text in answers))
    console.print(table, highlight=False, markup=False)
    if len(found) > _MAX_CHANGED:
        console.print(f"... and {len(found) - _MAX_CHANGED} more; --json has all.", highlight=False, markup=False)


def _grid(title: str, *headings: str, justify: Any = "right") -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(title, style="bold", overflow="fold")
    for heading in headings:
        grid.add_column(heading, justify="left" if heading == "run" else justify, overflow="fold")
    return grid


def _interval(estimate: IntervalEstimate, written: Any) -> str:
    if estimate.lower is None:
        return ""
    return f"{written(estimate.lower)} to {written(estimate.upper)}"


def _points(share: float) -> str:
    points = round(100 * share, 1)
    return f"{points:+.1f}" if points else "0.0"


def _signed(number: float | None) -> str:
    if not number:
        return UNKNOWN if number is None else "0"
    return f"{'-' if number < 0 else '+'}{count(abs(number))}"


def _ratio(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:.3f}"


def _short(text: str | None, length: int) -> str:
    """On one line, cut with dots; a dash where there is none."""
    if text is None:
        return "-"
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
