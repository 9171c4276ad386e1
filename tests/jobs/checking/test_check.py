"""`parsimony check`: what a run would read and ask, and verdicts that explain themselves."""

import json
from pathlib import Path

import pytest

from jobs.cli import main

GSM8K: dict[str, object] = {"question": "How many eggs?", "answer": "16 - 7 = 9\n#### 9", "split": "test"}
MODEL = Path(__file__).parents[3] / "examples" / "arithmetic" / "generator"
PAIRS: list[dict[str, object]] = [
    {"kind": "unit", "answer": "18 eggs", "reference": 18},
    {"answer": "6 or more", "reference": "6"},
    {"answer": "(B) Paris", "reference": "B"},
    {"answer": "4", "reference": "4\\foo{3}"},
    {"answer": None, "reference": "4"},
    {"answer": "4", "reference": None},
]


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""
        [generator]
        model = "{MODEL}"
        prompt_template = "Q: {{question}}\\nA:"
        [strategy]
        name = "majority"
        num_samples = 4
        [grader]
        kind = "numeric"
        """
    )
    return path


def test_a_problem_set_is_shown_as_the_run_would_read_it(tmp_path, recipe, capsys) -> None:
    problems = lines(tmp_path / "p.jsonl", [GSM8K, GSM8K | {"answer": "#### 1,234 dollars"}])
    assert main(["check", str(problems), "--recipe", str(recipe)]) == 0
    said = capsys.readouterr().out
    assert "2 problems, 2 with an answer key" in said
    assert "id from nothing, question from 'question', answer key from 'answer'; not read: 'split'" in said
    assert "  | Q: How many eggs?\n  | A:\n" in said
    assert " tokens):" in said
    assert "'9': mathematics 9" in said
    assert "'1,234 dollars': mathematics 1234 (unit: dollars)" in said
    assert "warning: no id column" in said


def test_a_problem_that_is_its_own_example_is_told(tmp_path, recipe, capsys) -> None:
    problems = lines(tmp_path / "p.jsonl", [{"question": f"1 + {n}", "answer": n + 1} for n in range(6)])
    given = ["check", str(problems), "--recipe", str(recipe), "--set", f"prompt.examples_file={problems}"]
    assert main([*given, "--set", "prompt.num_examples=2"]) == 0
    said = capsys.readouterr().out
    assert "  | Q: 1 + 0\n  | A:1" in said
    assert "warning: 2 problems are among the examples of the prompt, which shows them solved: 'row-000001'" in said
    assert main([*given, "--set", "prompt.num_examples=0"]) == 0
    assert "among the examples" not in capsys.readouterr().out


def test_json_has_the_same(tmp_path, recipe, capsys) -> None:
    problems = lines(tmp_path / "p.jsonl", [GSM8K])
    assert main(["check", str(problems), "--recipe", str(recipe), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"] == {"id": None, "question": "question", "answer key": "answer"}
    assert found["prompt"] == "Q: How many eggs?\nA:"
    assert found["prompt_tokens"] > 5


def test_what_cannot_be_graded_is_told_before_a_run_would_begin(tmp_path, recipe, capsys) -> None:
    problems = lines(tmp_path / "p.jsonl", [{"question": "q", "answer": r"4\foo{3}"}, {"question": "r", "answer": "5"}])
    assert main(["check", str(problems), "--recipe", str(recipe), "--set", "grader.kind=math-verify"]) == 0
    said = capsys.readouterr().out
    assert "warning: 1 of 2 answer keys cannot be read" in said
    assert "\\foo is not known" in said
    assert main(["check", str(problems), "--recipe", str(recipe)]) == 2
    assert "is not a number, which the grader numeric needs" in capsys.readouterr().err


def test_answers_are_graded_by_themselves(tmp_path, capsys) -> None:
    file = lines(tmp_path / "pairs.jsonl", PAIRS)
    assert main(["check", "--grade", str(file), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["correct"] for line in found] == [True, False, True, None, False, None]
    assert found[0] == {
        "kind": "unit",
        "answer": "18 eggs",
        "reference": "18",
        "correct": True,
        "answer_reading": "mathematics 18 (unit: eggs)",
        "reference_reading": "mathematics 18",
    }
    assert "cannot be read" in found[3]["why"]
    assert found[5]["why"] == "there is no answer key"
    assert main(["check", "--grade", str(file)]) == 0
    said = capsys.readouterr().out
    assert "not graded" in said
    assert "text 6 or more" in said


def test_another_grader_can_be_asked(tmp_path, capsys) -> None:
    file = lines(tmp_path / "pairs.jsonl", [{"answer": "the answer is (B)", "reference": "b"}])
    assert main(["check", "--grade", str(file), "--grader", "multiple-choice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] is True
    assert main(["check", "--grade", str(file), "--grader", "exactly"]) == 2
    assert "--grader exactly: must be math-verify" in capsys.readouterr().err


def test_solutions_give_their_answers(tmp_path, recipe, capsys) -> None:
    file = lines(tmp_path / "s.jsonl", [{"solution": "So 3 and 4.\n#### 7", "id": 1}, {"solution": "I give up at 5."}])
    assert main(["check", "--extract", str(file), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["answer"] for line in found] == ["7", None]
    assert found[0]["id"] == 1
    last = ["--recipe", str(recipe), "--set", 'answer.extract="last-number"']
    assert main(["check", "--extract", str(file), *last]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("5 ")


@pytest.mark.parametrize(
    ("text", "flag", "said"),
    [
        ('{"answer": 1', "--grade", "bad.jsonl:1: not JSON"),
        ("[1]", "--grade", "bad.jsonl:1: not an object"),
        ('{"answer": "1"}', "--grade", "bad.jsonl:1: `reference` must be a text or a number, not null"),
        ('\n{"answer": [1], "reference": "1"}', "--grade", "bad.jsonl:2: `answer` must be a text or a number, not [1]"),
        ('{"answer": "1"}', "--extract", "bad.jsonl:1: `solution` must be a text, not null"),
    ],
)
def test_a_line_that_is_no_use_is_named(tmp_path, capsys, text: str, flag: str, said: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    assert main(["check", flag, str(file)]) == 2
    assert said in capsys.readouterr().err


def test_something_has_to_be_checked(tmp_path, capsys) -> None:
    assert main(["check"]) == 2
    assert "nothing to check" in capsys.readouterr().err
    assert main(["check", "problems.jsonl"]) == 2
    assert "--recipe R.toml" in capsys.readouterr().err
    assert main(["check", "--grade", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_closing_text_that_closes_nothing_is_told_before_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[3] / "examples/thinking"
    words = ["check", str(example / "test.jsonl"), "--limit", "3", "--recipe", str(example / "majority.toml")]
    assert main([*words, "--set", "generator.thinking.max_thinking_tokens=64"]) == 0
    settings = ["generator.thinking.max_thinking_tokens=64", "generator.thinking.closing_text=Final answer:"]
    assert main([*words, *(word for setting in settings for word in ("--set", setting))]) == 2
    assert "does not end a thought" in capsys.readouterr().err
