"""Prompt templates that name columns: what a problem's text is made of, and what is refused."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.problems.columns import ProblemColumns
from jobs.problems.file_rows import LineError
from jobs.problems.problem_set import inspect_problems
from jobs.problems.templates import ColumnName, PromptTemplate, parse_template, value_text
from records.failure import InvalidInput
from records.problem import Problem

ROW = {"prompt": "2 + 2 = ?", "target": "B", "choices": ["3", "4"], "meta": {"subject": "algebra"}}


def columns(template: str) -> ProblemColumns:
    return ProblemColumns(text=parse_template(template).text)


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_text_goes_from_the_first_column_to_the_last():
    template = parse_template("Solve.\n{question}\n{choices}\nAnswer:")
    assert template.frame == "Solve.\n{question}\nAnswer:"
    assert template.text == (ColumnName("question"), "\n", ColumnName("choices"))
    assert parse_template("Q: {question}\n{question}A:").text == ()


@pytest.mark.parametrize("template", [r"put it in \boxed{}: {question}", "{question} {a, b} {1}", "f{ {question}"])
def test_braces_around_what_is_no_name_are_text(template):
    assert parse_template(template).frame == template
    assert parse_template(template).text == ()


def test_doubled_braces_are_text():
    assert parse_template(r"\boxed{{answer}}: {question}").frame == r"\boxed{answer}: {question}"
    assert parse_template("{{question}}").frame == "{{question}}"  # as ever: a question in braces


@given(st.text(alphabet="{}ab question.\"'\n\\"))
def test_a_template_says_what_it_is_or_is_refused(template):
    try:
        found = parse_template(template)
    except ValueError:
        assert "{question}" not in template
        return
    assert "{question}" in found.frame
    if not found.text:
        assert found.frame.replace("{question}", "Q") == parse_template(template).frame.replace("{question}", "Q")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_any_column_may_be_named(tmp_path, kind):
    path = tmp_path / f"p.{kind}"
    if kind == "jsonl":
        written(path, ROW)
    else:
        pq.write_table(pa.Table.from_pylist([ROW]), path)
    [problem] = inspect_problems(path, columns("[{meta.subject}] {question}\n{choices}\nAnswer:"))
    assert problem == Problem("row-000001", "algebra] 2 + 2 = ?\nA. 3\nB. 4", "B")
    [named] = inspect_problems(path, columns('{"prompt"} {choices.1}'))
    assert named.question == "2 + 2 = ? 4"


def test_a_column_of_csv_may_have_any_name(tmp_path):
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["question", "meta.subject", "the hint"], ["1 + 1", "sums", "count"]])
    [problem] = inspect_problems(path, columns('{meta.subject}: {question} ({"the hint"})'))
    assert problem.question == "sums: 1 + 1 (count"


def test_a_file_without_a_question_has_what_the_template_names(tmp_path):
    path = written(tmp_path / "p.jsonl", {"context": "A cat.", "ask": "What is it?"})
    found = inspect_problems(path, columns("{context}\n\n{ask}\n"))
    assert [problem.question for problem in found] == ["A cat.\n\nWhat is it?"]
    assert found.columns.asked == ("context", "ask")
    assert "question from 'context' and 'ask'" in found.said


@pytest.mark.parametrize(
    ("template", "row", "said"),
    [
        ("{question} {hint}", ROW, "no column 'hint', which generator.prompt_template names"),
        ("{question} {target}", ROW, "names 'target', which is the answer key"),
        ("{question} {meta.level}", ROW, "no column 'meta.level'"),
        ("{question} {hint}", ROW | {"hint": None}, "1: 'hint' is null or empty, and the prompt names it"),
        ("{hint}", {"hint": " "}, "is empty; leave the line out"),
    ],
)
def test_what_a_prompt_cannot_be_made_of_is_named(tmp_path, template, row, said):
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")):
        inspect_problems(written(tmp_path / "p.jsonl", row), columns(template))


def test_a_later_row_without_the_column_is_named(tmp_path):
    path = written(tmp_path / "p.jsonl", ROW, {**ROW, "choices": None}, {key: ROW[key] for key in ("prompt", "target")})
    with pytest.raises(InvalidInput) as refused:
        inspect_problems(path, columns("{question}\n{choices}"))
    assert "p.jsonl:2: 'choices' is null" in str(refused.value)
    assert "p.jsonl:3: there is no 'choices'" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        ({"label": ["1", "2"], "text": ["x", "y"]}, "1. x\n2. y"),
        ({"A": "x", "B": 2}, "A. x\nB. 2"),
        ({"deep": ["x"]}, '{"deep": ["x"]}'),
        ([["a"], ["b"]], '[["a"], ["b"]]'),
        ([], "[]"),
    ],
)
def test_a_value_is_written_as_people_do(value, text):
    assert value_text({"x": value}, "x") == text


def test_bytes_are_no_text():
    with pytest.raises(LineError, match="cannot be written as text"):
        value_text({"x": [b"a", {"y": b"b"}]}, "x")


def test_other_choices_are_another_input(tmp_path):
    first, second = (
        inspect_problems(written(tmp_path / f"{at}.jsonl", ROW | {"choices": choices}), columns("{question}{choices}"))
        for at, choices in enumerate((["3", "4"], ["3", "5"]))
    )
    assert first.fingerprint != second.fingerprint


def test_other_columns_are_carried_as_text(tmp_path):
    row = ROW | {"level": 3, "sure": True, "hint": None}
    carried = ProblemColumns(carry=("level", "meta.subject", "sure", "hint", "choices"))
    found = inspect_problems(written(tmp_path / "p.jsonl", row), carried)
    [problem] = found
    assert problem.columns == (
        ("level", "3"), ("meta.subject", "algebra"), ("sure", "true"), ("hint", None), ("choices", '["3", "4"]'),
    )  # fmt: skip
    plain = inspect_problems(tmp_path / "p.jsonl", ProblemColumns())
    assert plain.fingerprint == found.fingerprint
    with pytest.raises(InvalidInput, match=r"no column 'grade', which report\.by or problems\.carry names"):
        inspect_problems(tmp_path / "p.jsonl", ProblemColumns(carry=("grade",)))


@pytest.mark.parametrize("written", [r"\boxed{answer}", r"\frac{a}{b}", r"\text{x}\boxed{answer}"])
def test_arguments_of_a_latex_command_are_text(written):
    template = f"{{question}} Put it in {written}."
    assert parse_template(template) == PromptTemplate(template, ())
    assert parse_template(f"{{question}} {{choices}} {written}").names == ("question", "choices")
    assert parse_template(r"\text{question} {choices}").names == ("question", "choices"), "the question always is one"
