"""Two runs in their folders: joined by problem, refused where the problems differ, and printed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from jobs.comparison.paired_runs import COSTS, compare_paired_runs, paired_json, print_paired
from records.failure import InvalidInput
from records.packing import packed_rows
from records.rows import ProblemRecord, Status
from records.run_folder.reader import Run, read_run
from records.schemas import PROBLEMS
from scaling.statistics.paired_rows import PairedComparison
from tests.records import builders

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(name: str, records: Sequence[ProblemRecord], *, finished: bool = True) -> Run:
        writer = Writer(LocalStore(tmp_path / name), tmp_path / "spool" / name)
        writer.open(builders.manifest(num_problems=len(records)), this_process())
        for batch, record in enumerate(records):
            writer.append(batch, *packed_rows([record]))
        writer.flush()
        if finished:
            writer.finish([record.problem.problem_id for record in records], spent_tokens=0)
        return read_run(tmp_path / name)

    return make


def problem(name: str, **changes: Any) -> ProblemRecord:
    record = builders.record(name)
    return replace(record, problem=replace(record.problem, **changes))


def printed(compared: PairedComparison) -> str:
    console = Console(file=StringIO(), width=120)
    print_paired(compared, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 120
    return text


def test_two_runs_are_joined_by_problem_whatever_their_order(make_run: MakeRun) -> None:
    first = make_run(
        "first",
        [
            problem("a"),
            problem("b", correct=False, answer=None),
            problem("c", correct=None),
            problem("d", status=Status.FAILED, correct=None, error="it broke"),
            problem("e"),
            problem("only-first"),
        ],
    )
    second = make_run(
        "second",
        [
            problem("e", generated_tokens=30, reference=None, correct=None),
            problem("d"),
            problem("c", correct=False),
            problem("b", generated_tokens=20, usd=0.5),
            problem("a", correct=False, answer="[bold]5\nno[/bold]"),
            problem("not-yet-first"),
        ],
        finished=False,
    )
    compared = compare_paired_runs(first, second)
    assert compared.left_out == {
        "no row yet in the second run": 1,
        "not among the first run's problems": 1,
        "failed in the first run": 1,
    }
    assert (compared.num_problems, compared.num_graded) == (4, 2)
    assert compared.ungraded == {"first": 1, "second": 1, "both": 0}
    assert (compared.first.accuracy, compared.second.accuracy) == (0.5, 0.5)
    assert [(item.problem_id, item.first_answer, item.reference) for item in compared.changed] == [
        ("a", "4", "4"),
        ("b", None, "4"),
    ]
    costs = {cost.name: cost for cost in compared.costs}
    assert (costs["generated_tokens"].first, costs["generated_tokens"].second) == (10, 17.5)
    assert costs["generated_tokens"].ratio.value == 1.75
    assert (costs["usd"].num_problems, costs["usd"].first, costs["usd"].ratio.value) == (0, None, None)
    text = printed(compared)
    for part in ("1 failed in the first run", "[bold]5 no[/bold]", "p = 1", "1.750", "Left out: 1 no row yet in"):
        assert part in text
    assert "usd" not in text
    assert json.loads(json.dumps(paired_json(compared), allow_nan=False))["changed"][0]["change"] == "right_to_wrong"


def test_a_run_and_itself_do_not_differ(make_run: MakeRun) -> None:
    run = make_run("run", [problem("a"), problem("b", correct=False), problem("c", correct=None)])
    compared = compare_paired_runs(run, run, labels=("mine", "mine again"))
    assert (compared.accuracy_difference.value, compared.mcnemar_p, compared.changed) == (0, 1, ())
    assert all(cost.ratio.value in (1, None) for cost in compared.costs)
    assert (compared.first.label, compared.second.label) == ("mine", "mine again")


def test_nothing_graded_says_so(make_run: MakeRun) -> None:
    run = make_run("run", [problem("a", correct=None)])
    compared = compare_paired_runs(run, run)
    assert (compared.mcnemar_p, compared.first.accuracy, compared.accuracy_difference.value) == (None, None, None)
    assert "nothing can be said" in printed(compared)


@pytest.mark.parametrize("column", ["question", "reference"])
def test_another_problem_of_the_same_name_is_refused(make_run: MakeRun, column: str) -> None:
    first = make_run("first", [problem("a"), problem("b"), problem("c")])
    second = make_run("second", [problem("c", **{column: "other"}), problem("b", **{column: "else"}), problem("a")])
    with pytest.raises(InvalidInput, match=rf"problem 'b' has another {column}.*'else'.*2 of 3 common problems"):
        compare_paired_runs(first, second)


def test_runs_without_a_common_problem_are_refused(make_run: MakeRun) -> None:
    begun = make_run("begun", [], finished=False)
    with pytest.raises(InvalidInput, match=r"begun \(0\) have no problem id in common"):
        compare_paired_runs(make_run("first", [problem("a")]), begun)


def test_every_cost_of_a_problem_is_compared() -> None:
    numbers = {field.name for field in PROBLEMS if str(field.type) in ("int32", "int64", "double")}
    others = {"answer_p_lower", "answer_p_median", "answer_p_upper", "p_lower", "p_median", "p_upper", "num_steps"}
    others |= {"num_finished", "num_unanswered"}
    others |= {"answer_tokens", "cancelled_tokens", "num_cancelled"}  # parts of what is compared
    others |= {"num_unfinished_thoughts", "num_closed_thoughts", "num_prolonged_thoughts"}
    assert numbers - others == set(COSTS)
