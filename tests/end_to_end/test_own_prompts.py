"""A newcomer's own columns, examples and chat, from the command line alone, on a real model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.describing.toml import toml_value
from records.run_folder.reader import read_run

pytestmark = [pytest.mark.vllm, pytest.mark.ray]

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples/arithmetic/sample.toml"
CHAT = (
    "{{ bos_token }}{% for turn in messages %}"
    "{% if turn.role == 'user' %}{{ turn.content }}\n\n{% else %}{{ turn.content }}{{ eos_token }}{{ bos_token }}"
    "{% endif %}{% endfor %}{{ opening }}"
)
SETTINGS = [
    "generator.prompt_template={question}\n{choices}\n[{meta.subject}]",
    "generator.chat=true",
    "generator.chat_template=chat.jinja",
    'generator.chat_template_kwargs={opening = "Go: "}',
    "prompt.examples_file=shots.jsonl",
    "prompt.num_examples=3",
    "generator.max_tokens=128",
    'report.by=["meta.subject"]',
]
DRAWN = {
    "top_k": 40,
    "min_p": 0.01,
    "repetition_penalty": 1.01,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "stop": ["zzz"],
    "logit_bias": {"7": -1.0},
}
SETTINGS += [f"generator.{key}={toml_value(value)}" for key, value in DRAWN.items()]


def parsimony(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def row(left: int, right: int, **more: object) -> dict[str, object]:
    found = {"prompt": f"Compute {left} + {right}.", "target": left + right, "choices": [left, left + right]}
    return found | {"meta.subject": "sums"} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    problems = [row(2, 3), row(4, 5), row(7, 1, prompt="Compute 7 + 1.<eos>")]
    shots = [row(n, n, solution=f"{n} + {n} = {2 * n}") for n in (11, 12, 13, 14)]
    for name, rows in (("p.jsonl", problems), ("shots.jsonl", shots)):
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "chat.jinja").write_text(CHAT)
    return tmp_path


@pytest.mark.ci
def test_own_columns_score_with_three_examples_in_a_chat_and_check_shows_the_prompt(folder):
    given = ["p.jsonl", "--recipe", str(RECIPE), *(word for each in SETTINGS for word in ("--set", each))]
    checked = parsimony(folder, "check", *given, "--json")
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert found["columns"] == {"id": None, "question": "prompt, choices, meta.subject", "answer key": "target"}
    turns = "".join(
        f"Compute {n} + {n}.\nA. {n}\nB. {2 * n}\n[sums]\n\n{n} + {n} = {2 * n}<eos><bos>" for n in (11, 12, 13)
    )
    assert found["prompt"] == f"<bos>{turns}Compute 2 + 3.\nA. 2\nB. 5\n[sums]\n\nGo: "

    scored = parsimony(folder, "score", *given, "--output", "run", "--json")
    assert scored.returncode == 0, scored.stderr
    run = read_run(folder / "run")
    problems = {one["problem_id"]: one for one in run.problems().to_pylist()}
    assert [one["status"] for one in problems.values()] == ["succeeded"] * 3
    first, last = problems["row-000001"], problems["row-000003"]
    assert first["question"] == "Compute 2 + 3.\nA. 2\nB. 5\n[sums"
    assert first["prompt_tokens"] == found["prompt_tokens"]
    # "<eos>" is five tokens of text, and the model's own has not ended the prompt.
    assert last["prompt_tokens"] - first["prompt_tokens"] == len("<eos>")
    written = run.manifest.recipe
    assert written["prompt"]["num_examples"] == 3
    assert len(written["prompt"]["examples"]) == 3
    assert written["generator"]["chat_template"] == CHAT
    assert {key: written["generator"][key] for key in DRAWN} == DRAWN
    assert last["columns"] == [("meta.subject", "sums")]

    reported = parsimony(folder, "report", "run", "--json")
    assert reported.returncode == 0, reported.stderr
    [group] = json.loads(reported.stdout)["groups"]["meta.subject"]
    assert (group["value"], group["num_problems"], group["graded"]) == ("sums", 3, 3)
    assert "Accuracy by meta.subject" in (folder / "report.html").read_text()


def test_a_template_that_names_no_column_of_the_file_is_refused_before_a_model_loads(folder):
    given = ["p.jsonl", "--recipe", str(RECIPE), "--set", "generator.prompt_template={question} {hint}"]
    for command in (["check", *given], ["score", *given, "--output", "run"]):
        done = parsimony(folder, *command)
        assert done.returncode == 2
        assert "there is no column 'hint', which generator.prompt_template names" in done.stderr
    assert not (folder / "run").exists()
