import json
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.problems.problem_set import ProblemColumns, ProblemSet, inspect_problems
from records.failure import InvalidInput
from records.problem import Problem
from scaling.answers.references import reference_doubt, reference_mistake

DATA = Path(__file__).parents[3].parent / "shared" / "data"
AUTO = ProblemColumns()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "problems.jsonl"


def written(file: Path, *rows: object) -> Path:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def inspected(file: Path, *rows: object, columns: ProblemColumns = AUTO, limit: int | None = None) -> ProblemSet:
    return inspect_problems(written(file, *rows), columns, limit)


def mistakes(file: Path, *rows: object, columns: ProblemColumns = AUTO) -> list[str]:
    """The lines of the message after its heading, without the path."""
    with pytest.raises(InvalidInput) as refused:
        inspected(file, *rows, columns=columns)
    heading, *found = str(refused.value).split("\n  ")
    assert heading.startswith(f"{file}: ")
    return [line.removeprefix(f"{file}:") for line in found]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"id": "a", "question": "1+1?", "answer": "2"}, Problem("a", "1+1?", "2")),
        ({"problem_id": "a", "id": "b", "question": "1+1?", "reference": "2"}, Problem("a", "1+1?", "2")),
        ({"unique_id": "test/1.json", "problem": "x?", "answer": "\\frac12"}, Problem("test/1.json", "x?", "\\frac12")),
        ({"question": "1+1?", "answer": "1+1=<<1+1=2>>2\n#### 2"}, Problem("row-000001", "1+1?", "2")),
        ({"id": 17, "question": "1+1?", "answer": 2}, Problem("17", "1+1?", "2")),
        ({"id": "a", "question": "1/2?", "answer": 0.5}, Problem("a", "1/2?", "0.5")),
        ({"id": "a", "question": "1+1?"}, Problem("a", "1+1?", None)),
        ({"id": "a", "question": "1+1?", "answer": None}, Problem("a", "1+1?", None)),
        ({"id": "a..b/c", "question": " é\n"}, Problem("a..b/c", " é\n", None)),
    ],
)
def test_known_layouts_need_no_settings(file: Path, row: dict[str, object], problem: Problem) -> None:
    problems = inspected(file, row)
    assert list(problems) == [problem]
    assert problems.num_problems == 1
    assert (problems.num_references > 0) == (problem.reference is not None)


def test_named_columns_come_before_known_ones(file: Path) -> None:
    row = {"id": "a", "key": "b", "question": "q", "prompt": "p", "answer": "1", "gold": "2"}
    columns = ProblemColumns(problem_id="key", question="prompt", reference="gold")
    assert list(inspected(file, row, columns=columns)) == [Problem("b", "p", "2")]


def test_an_answer_key_can_be_left_unread(file: Path) -> None:
    problems = inspected(file, {"id": "a", "question": "q", "answer": ["any"]}, columns=ProblemColumns(reference=""))
    assert list(problems) == [Problem("a", "q", None)]
    assert problems.warnings == ("no answer key is read; nothing will be graded unless problems.reference names it",)


def test_missing_ids_and_keys_are_told(file: Path) -> None:
    problems = inspected(
        file, {"question": "q", "answer": "1"}, "", {"question": "r", "answer": None}, {"question": "s"}
    )
    assert [problem.problem_id for problem in problems] == ["row-000001", "row-000002", "row-000003"]
    assert [problem.reference for problem in problems] == ["1", None, None]
    assert problems.num_references == 1
    no_ids, no_keys = problems.warnings
    assert no_ids.startswith("no id column")
    assert no_keys == "2 of 3 problems have no answer key: not graded"


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_are_tolerated(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf\n{"id": "a", "question": "q"}\r\n \t\r\n{"id": "b", "question": "r"}')
    assert list(inspect_problems(file, AUTO)) == [Problem("a", "q"), Problem("b", "r")]


GOOD = {"id": "good", "question": "q", "answer": "1"}


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes (character "),
        ("[" * 100_000, "JSON that cannot be read: "),
        ('{"id": "a", "question": "q", "answer": NaN}', "JSON that cannot be read: NaN is not a JSON number"),
        ('{"id": ' + "9" * 5000 + "}", "JSON that cannot be read: "),
        ([GOOD], "not an object, {...}; write one per line"),
        ("7", "not an object, {...}; write one per line"),
        (
            {"id": "a", "answer": "1"},
            "there is no column 'question', which the first line has; the columns are: 'id', 'an",
        ),
        ({}, "there is no column 'id', which the first line has; the columns are: none"),
        ({"id": "a", "question": 5, "answer": "1"}, "'question' must be a text, not a number"),
        ({"id": "a", "question": None, "answer": "1"}, "'question' is empty; leave the line out"),
        ({"id": "a", "question": " \n", "answer": "1"}, "'question' is empty; leave the line out"),
        ({"id": "a", "question": "\ud800", "answer": "1"}, "there is half of a surrogate pair"),
        ({"id": "a", "question": "q", "answer": ["1"]}, "'answer' must be a text or a number, not an array"),
        ({"id": "a", "question": "q", "answer": {"x": 1}}, "'answer' must be a text or a number, not an object"),
        ({"id": "a", "question": "q", "answer": True}, "'answer' must be a text or a number, not true or false"),
        ({"id": "a", "question": "q", "answer": " "}, "'answer' is empty; write null where there is no answer key"),
        ({"id": "good", "question": "q"}, "the id 'good' is also that of line 1; ids must differ"),
        ({"id": None, "question": "q"}, "the id is empty; give every problem its own"),
        ({"id": 1.5, "question": "q"}, "the id must be a text or an integer, not a number"),
        ({"id": False, "question": "q"}, "the id must be a text or an integer, not true or false"),
        ({"id": "", "question": "q"}, "the id is empty; give every problem its own"),
        ({"id": "a\tb", "question": "q"}, r"the id 'a\tb' has control characters"),
        ({"id": "a\u2028b", "question": "q"}, r"the id 'a\u2028b' has control characters"),
        ({"id": "a" * 513, "question": "q"}, "the id has 513 characters; at most 512 are allowed"),
        ({"id": "../a", "question": "q"}, "the id '../a' would lead out of the run's folder"),
        ({"id": "a/..", "question": "q"}, "the id 'a/..' would lead out of the run's folder"),
        ({"id": "/a", "question": "q"}, "the id '/a' would lead out of the run's folder"),
    ],
)
def test_a_mistake_is_told_with_its_line(file: Path, row: object, mistake: str) -> None:
    [found] = mistakes(file, GOOD, "", row)
    assert found.startswith(f"3: {mistake}")


def test_text_that_is_not_utf_8_is_told_with_its_place(file: Path) -> None:
    file.write_bytes(json.dumps(GOOD).encode() + b'\n{"id": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"jsonl:2: byte 9 of the line is not UTF-8; save the file as UTF-8"):
        inspect_problems(file, AUTO)


def test_mistakes_are_told_together(file: Path) -> None:
    assert [found.split(":")[0] for found in mistakes(file, "{", GOOD, "7", GOOD, {})] == ["1", "3", "4", "5"]


def test_no_more_than_twenty_mistakes_are_listed(file: Path) -> None:
    assert len(mistakes(file, *["{"] * 30)) == 20
    with pytest.raises(InvalidInput, match="the first 20 mistakes; nothing was started"):
        inspect_problems(file, AUTO)


@pytest.mark.parametrize(
    ("columns", "mistake"),
    [
        (
            AUTO,
            "2: no question: neither question nor problem nor prompt nor input is a column; the columns are: 'stem'",
        ),
        (
            ProblemColumns(question="text"),
            "2: there is no column 'text', which the recipe names; the columns are: 'stem'",
        ),
        (ProblemColumns(question="stem", reference="key"), "2: there is no column 'key', which the recipe names"),
        (ProblemColumns(question="stem", problem_id="id"), "2: there is no column 'id', which the recipe names"),
    ],
)
def test_unknown_columns_are_told_once(file: Path, columns: ProblemColumns, mistake: str) -> None:
    bad_json, unknown = mistakes(file, "{", *[{"stem": "q", "gold": "1"}] * 5, columns=columns)
    assert bad_json.startswith("1: not JSON")
    assert unknown.startswith(mistake)


@pytest.mark.parametrize("question", ["question", "problem", "Problem", "prompt", "input", "QUESTION"])
@pytest.mark.parametrize(
    "key", ["answer", "Answer", "final_answer", "expected_answer", "extracted_groundtruth", "target", "reference"]
)
def test_columns_are_found_by_the_names_of_published_sets(file: Path, question: str, key: str) -> None:
    problems = inspected(file, {"id": "a", question: "q", key: "18", "source": "x", "solution": "no box"})
    assert list(problems) == [Problem("a", "q", "18")]
    assert problems.said == f"1 problems: question from {question!r}, key from {key!r}, id from 'id'"


def test_a_worked_solution_is_a_key_where_there_is_no_other(file: Path) -> None:
    problems = inspected(file, {"Problem": "q", "Solution": r"so \boxed{4}"})
    assert [problem.reference for problem in problems] == ["4"]
    unboxed = inspected(file, {"Problem": "q", "Solution": "so 4", "level": 1})
    assert unboxed.num_references == 0
    assert "no column is known to hold one, of 'Solution', 'level'" in unboxed.warnings[1]


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ({"question": "q", "prompt": "p"}, "several columns may hold the question: 'question', 'prompt'; say which"),
        ({"input": "q", "target": "1", "answer": "2"}, "several columns may hold the answer key: 'target', 'answer'"),
    ],
)
def test_several_columns_that_fit_are_a_mistake(file: Path, row: dict[str, object], mistake: str) -> None:
    [found] = mistakes(file, row)
    assert mistake in found


def test_keys_that_cannot_be_read_are_counted_and_three_are_shown(file: Path) -> None:
    rows = [{"id": str(index), "question": "q", "answer": rf"{index}\foo{{3}}"} for index in range(5)]
    file.write_text("\n".join(map(json.dumps, [*rows, {"id": "x", "question": "q", "answer": "5"}])))
    problems = inspect_problems(file, AUTO, reference_doubt=partial(reference_doubt, "math-verify"))
    [warning] = problems.warnings
    assert warning.startswith("5 of 6 answer keys cannot be read")
    assert warning.count("is not known") == 3


def test_a_named_answer_key_must_be_on_every_line(file: Path) -> None:
    columns = ProblemColumns(reference="gold")
    [found] = mistakes(file, {"id": 1, "question": "q", "gold": "1"}, {"id": 2, "question": "q"}, columns=columns)
    assert found.startswith("2: there is no column 'gold'")


def test_a_marked_answer_key_must_be_marked_on_every_line(file: Path) -> None:
    first = {"id": 1, "question": "q", "answer": "so\n#### 1"}
    unmarked, empty = mistakes(file, first, {**first, "id": 2, "answer": "1"}, {**first, "id": 3, "answer": "so ####"})
    assert unmarked.startswith("2: 'answer' has no '####' before the final answer")
    assert empty.startswith("3: 'answer' is empty")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="there are no problems in it"):
        inspect_problems(file, AUTO)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"missing.jsonl: cannot be read \(No such file or directory\)"):
        inspect_problems(tmp_path / "missing.jsonl", AUTO)
    (folder := tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InvalidInput, match="it is no regular file, but a folder"):
        inspect_problems(folder, AUTO)


def test_a_limit_selects_the_first_problems_and_looks_no_further(file: Path) -> None:
    rows = [{"id": n, "question": f"q{n}"} for n in range(5)]
    limited = inspected(file, *rows, "{", limit=3)
    assert [problem.problem_id for problem in limited] == ["0", "1", "2"]
    assert limited.fingerprint == inspected(file, *rows[:3]).fingerprint
    assert inspected(file, *rows, limit=9).num_problems == 5
    with pytest.raises(InvalidInput, match="--limit must be at least 1, got 0"):
        inspect_problems(file, AUTO, 0)


def test_the_fingerprint_is_of_what_is_asked_and_not_of_the_layout(file: Path) -> None:
    original = inspected(file, {"id": "1", "question": "q", "answer": "5"}, {"id": "2", "question": "r", "answer": "6"})
    same = inspected(
        file,
        '  {"answer":5,   "id":1, "level": 3, "question":"\\u0071"}',
        "",
        '{"unused": [], "question":"r","id":"2","answer":"6"}\r',
    )
    assert same.fingerprint == original.fingerprint
    reordered = inspected(file, {"id": "2", "question": "r", "answer": 6}, {"id": "1", "question": "q", "answer": 5})
    assert reordered.fingerprint != original.fingerprint


@pytest.mark.parametrize("changed", [[GOOD, {**GOOD, "id": "more"}], [{**GOOD, "answer": "2"}], [], ["{"]])
def test_a_file_that_changes_under_way_is_noticed(file: Path, changed: list[object]) -> None:
    problems = inspected(file, GOOD)
    written(file, *changed)
    with pytest.raises(InvalidInput, match="the file has changed since it was checked"):
        list(problems)


@given(st.lists(st.tuples(st.text(), st.none() | st.text().filter(lambda key: "####" not in key)), min_size=1))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str | None]]) -> None:
    file = tmp_path_factory.mktemp("drawn") / "problems.jsonl"
    problems = [Problem(f"id {n}", f"Q {q}", None if a is None else f"A {a}") for n, (q, a) in enumerate(drawn)]
    rows = [{"id": p.problem_id, "question": p.question, "answer": p.reference} for p in problems]
    assert list(inspected(file, *rows)) == problems


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    file = tmp_path_factory.mktemp("drawn") / "problems.jsonl"
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(InvalidInput, match="problems"):
        inspect_problems(file, AUTO)


def test_no_text_is_held(file: Path) -> None:
    inspected(file, GOOD)  # loads what looks for repeated ids
    with file.open("w") as lines:
        lines.writelines(json.dumps({"id": n, "question": "q" * 20_000}) + "\n" for n in range(500))
    tracemalloc.start()
    num_read = sum(1 for _ in inspect_problems(file, AUTO))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_read == 500
    assert peak_bytes < 1_000_000, "the file has 10 MB"


MATH = {"problem": "q", "solution": r"so \boxed{\frac{1}{2}}.", "level": 3}
GSM8K = {"question": "q", "answer": "so\n#### 5"}


@pytest.mark.parametrize(
    ("row", "columns", "reference"),
    [
        (MATH, AUTO, r"\frac{1}{2}"),
        ({**MATH, "answer": "1/2"}, AUTO, "1/2"),
        ({**MATH, "solution": "no box"}, AUTO, None),
        (MATH, ProblemColumns(reference="solution"), r"\frac{1}{2}"),
        ({**MATH, "solution": "0.5"}, ProblemColumns(reference="solution"), "0.5"),
        (MATH, ProblemColumns(preset="math"), r"\frac{1}{2}"),
        ({**MATH, "answer": "1/2"}, ProblemColumns(preset="math"), "1/2"),
        (GSM8K, ProblemColumns(preset="gsm8k"), "5"),
        (GSM8K, ProblemColumns(preset="generic"), "so\n#### 5"),
        ({"question": "q", "gold": "so #### 5"}, ProblemColumns(preset="gsm8k", reference="gold"), "5"),
        (GSM8K, ProblemColumns(reference=""), None),
        (GSM8K, ProblemColumns(reference="none"), None),
        (GSM8K, ProblemColumns(preset="gsm8k", reference="none"), None),
    ],
)
def test_the_answer_key_is_where_the_layout_has_it(
    file: Path, row: dict[str, object], columns: ProblemColumns, reference: str | None
) -> None:
    assert list(inspected(file, row, columns=columns)) == [Problem("row-000001", "q", reference)]


@pytest.mark.parametrize(
    ("row", "preset", "mistake"),
    [
        (MATH, "gsm8k", "1: no question: neither question is a column"),
        ({"question": "q"}, "gsm8k", "1: no answer key: neither answer is a column"),
        ({"question": "q", "answer": "5"}, "gsm8k", "1: 'answer' has no '####' before the final answer"),
        ({**MATH, "solution": "no box"}, "math", r"1: 'solution' has no \boxed{...} with the final answer"),
    ],
)
def test_a_preset_says_what_a_row_must_have(file: Path, row: dict[str, object], preset: str, mistake: str) -> None:
    [found] = mistakes(file, row, columns=ProblemColumns(preset=preset))
    assert found.startswith(mistake)


def test_a_marker_that_the_first_row_has_not_is_told(file: Path) -> None:
    [found] = mistakes(file, GOOD, {**GSM8K, "id": "marked"})
    assert found.startswith("2: 'answer' has '####', and that of the first row has none")


def test_an_answer_key_that_the_grader_cannot_use_is_told(file: Path) -> None:
    rows = [{"question": "q", "answer": answer} for answer in ("many", None, "5", "B")]
    written(file, *rows)
    with pytest.raises(InvalidInput) as refused:
        inspect_problems(file, AUTO, reference_mistake=partial(reference_mistake, "numeric"))
    _, many, letter = str(refused.value).split("\n  ")
    assert many.startswith(f"{file}:1: the answer key 'many' is not a number")
    assert letter.startswith(f"{file}:4: the answer key 'B' is not a number")
    assert inspect_problems(file, AUTO, reference_mistake=partial(reference_mistake, "math-verify")).num_problems == 4


@pytest.mark.parametrize("grader", ["exact", "math-verify"])
@pytest.mark.parametrize("key", ["$$", r"\boxed{}", r"\text{}", "."])
def test_a_key_of_which_nothing_is_left_is_refused(file: Path, grader: str, key: str) -> None:
    written(file, {"question": "q", "answer": "5"}, {"question": "q", "answer": key})
    with pytest.raises(InvalidInput, match=":2: nothing is left of the answer key"):
        inspect_problems(file, AUTO, reference_mistake=partial(reference_mistake, grader))


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_repeated_ids_are_those_that_a_dictionary_finds(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    file = tmp_path_factory.mktemp("drawn") / "problems.jsonl"
    first: dict[str, int] = {}
    repeated = [
        f"{number}: the id {problem_id!r} is also that of line {first[problem_id]}; ids must differ"
        for number, problem_id in enumerate(ids, start=1)
        if first.setdefault(problem_id, number) != number
    ]
    rows = [{"id": problem_id, "question": "q"} for problem_id in ids]
    if repeated:
        assert mistakes(file, *rows) == repeated
    elif rows:
        assert inspected(file, *rows).num_problems == len(ids)


@pytest.mark.parametrize(
    ("name", "num_problems", "last"),
    [("gsm8k_test_600.jsonl", 600, "row-000600"), ("math500_first250.jsonl", 250, None)],
)
def test_published_files_are_read_as_they_are(name: str, num_problems: int, last: str | None) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    problems = inspect_problems(DATA / name, AUTO)
    assert problems.num_problems == problems.num_references == num_problems
    *_, final = problems
    assert last in (None, final.problem_id)
    assert final.reference is not None
    assert len(final.reference) < 40


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = {"pyarrow", "torch", "ray", "numpy", "pydantic"}
    probe = f"import sys, jobs.problems.problem_set; print(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
