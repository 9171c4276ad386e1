"""`parsimony export` on runs in folders: what stands in each layout, what is left out, and nothing else is left."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.cli import main
from jobs.command_line.export import FORMATS
from jobs.command_line.export import LAYOUT_NAMES as NAMES
from jobs.exporting import source as export_source
from jobs.exporting.layouts import LAYOUTS
from jobs.exporting.source import ExportSource, stored_paths
from records.rows import RolloutRow, Status
from scaling.uncertainty.aggregation import Aggregation
from tests.records.trees import Sample, ending, problem, write_run
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

CHAT = {"chat": True, "system_prompt": "Be brief.", "prompt_template": "Q: {question}"}


def sums():
    """Problems of all kinds."""
    return [
        problem("both", [ending("4", 0.75), ending("5", 0.9), ending("4", 0.8), ending("6", 0.1)], answer="5"),
        problem(
            "beam",
            [
                Sample(("one\n\n",), (0.5,), finish="separator"),
                Sample(("two\n\n",), (0.4,), finish="separator"),
                ending("4", 0.6, parent=1, request=1),
                ending("7", 0.7, parent=2, request=1),
                Sample(("rambling",), (0.2,), finish="length", parent=1, request=1),
            ],
            answer="4",
            correct=True,
        ),
        problem("easy", [ending("4", 0.9), ending("4", 0.8)], answer="4", correct=True),
        problem("hard", [ending("9"), Sample(("no idea",))], answer="9"),
        problem("no-key", [ending("1", 0.5)], answer="1", correct=None, reference=None),
        problem("open-ended", [Sample(("never done\n\n",), finish="separator")]),
        problem("broken", [ending("4")], status=Status.FAILED, error="boom", correct=None),
    ]


def export(capsys, tmp_path, layout, *more, name="out.jsonl"):
    """The rows and the summary."""
    output = tmp_path / "new folder" / name
    assert main(["export", str(tmp_path / "run"), "--layout", layout, "--output", str(output), "--json", *more]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [path.name for path in output.parent.iterdir()] == [name]  # nothing in the making is left
    return [json.loads(line) for line in output.read_text().splitlines()], summary


def refused(capsys, *words):
    assert main(["export", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_the_names_on_the_command_line_are_those_of_the_layouts():
    assert tuple(LAYOUTS) == NAMES


def test_preference_sets_the_best_right_path_against_the_best_wrong_one(capsys, tmp_path):
    write_run(tmp_path, sums())
    rows, summary = export(capsys, tmp_path, "preference")
    assert rows == [
        {
            "prompt": "What is 2 + 2, beam?\n\n",
            "chosen": "one\n\nso it is 4\n\n\\boxed{4}",
            "rejected": "two\n\nso it is 7\n\n\\boxed{7}",
            "chosen_score": 0.6,
            "rejected_score": 0.7,
            "chosen_outcome": True,
            "rejected_outcome": False,
            "chosen_answer": "4",
            "rejected_answer": "7",
            "chosen_tokens": len("one--so it is 4--[boxed{4}"),
            "rejected_tokens": len("two--so it is 7--[boxed{7}"),
            "problem_id": "beam",
            "chosen_node_id": 4,
            "rejected_node_id": 6,
        },
        rows[1],
    ]
    assert [rows[1][name] for name in ("problem_id", "chosen_score", "rejected_score")] == ["both", 0.8, 0.9]
    assert (summary["rows"], summary["problems"], summary["finished"]) == (2, 2, True)
    assert summary["left_out"] == {
        "failed": 1,
        "no answer key": 1,
        "no finished path": 1,
        "no right path": 1,
        "no wrong path": 1,
    }
    # The answers of no one's choice: 4 and 6 of `both`, 7 and none of `beam`, none of `hard`.
    assert (summary["graded_answers"], summary["ungraded_answers"], summary["grader_error"]) == (5, 0, None)

    more, summary = export(capsys, tmp_path, "preference", "--pairs-per-problem", "9")
    assert summary["rows"] == 4
    both = [(row["chosen_score"], row["rejected_score"]) for row in more if row["problem_id"] == "both"]
    assert both == [(0.8, 0.9), (0.8, 0.1)]  # the other path to 4 has the same text


def test_chats_have_the_messages_that_the_generator_got(capsys, tmp_path):
    write_run(tmp_path, sums(), generator=CHAT)
    rows, _ = export(capsys, tmp_path, "preference", "--chat")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q: What is 2 + 2, beam?"}]
    assert rows[0]["prompt"] == asked
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "one\n\nso it is 4\n\n\\boxed{4}"}]
    rows, _ = export(capsys, tmp_path, "distillation", "--chat")
    assert rows[0]["prompt"] == asked
    assert rows[0]["completion"][0]["content"].endswith("\\boxed{4}")
    text, _ = export(capsys, tmp_path, "distillation")
    assert (text[0]["prompt"], text[0]["completion"]) == (asked[1]["content"], rows[0]["completion"][0]["content"])


def test_distillation_takes_the_run_s_answer_or_the_best_right_path(capsys, tmp_path):
    write_run(tmp_path, sums())
    rows, summary = export(capsys, tmp_path, "distillation")
    told = [(row["problem_id"], row["answer"], row["score"], row["outcome"], row["num_paths"]) for row in rows]
    assert told == [
        ("beam", "4", 0.6, True, 3),
        ("both", "5", 0.9, False, 4),
        ("easy", "4", 0.9, True, 2),
        ("hard", "9", None, False, 2),
        ("no-key", "1", 0.5, None, 1),
    ]
    assert summary["left_out"] == {"failed": 1, "no answer": 1}
    assert summary["graded_answers"] == 0
    rows, summary = export(capsys, tmp_path, "distillation", "--only-correct")
    assert [(row["problem_id"], row["score"]) for row in rows] == [("beam", 0.6), ("both", 0.8), ("easy", 0.9)]
    assert summary["left_out"] == {"failed": 1, "no answer key": 1, "no finished path": 1, "no right path": 1}


def test_stepwise_of_a_search_has_the_outcomes_of_its_paths(capsys, tmp_path):
    write_run(tmp_path, sums())
    rows, summary = export(capsys, tmp_path, "stepwise")
    assert summary["label_sources"] == {"outcome": len(rows)}
    both = [row for row in rows if row["problem_id"] == "both"]
    assert [(row["completions"], row["labels"], row["soft_labels"], row["num_paths"]) for row in both] == [
        (["so it is 4", "\\boxed{4}"], [True, True], [1.0, 1.0], 2),
        (["so it is 5", "\\boxed{5}"], [False, False], [0.0, 0.0], 1),
        (["so it is 6", "\\boxed{6}"], [False, False], [0.0, 0.0], 1),
    ]
    assert {(row["label_source"], row["trials"]) for row in rows} == {("outcome", None)}
    assert summary["left_out"] == {"failed": 1, "no answer key": 1, "no finished path": 1}


def rollout(name, texts, successes, trials):
    token_ids = tuple("".join(texts).encode())
    return RolloutRow(
        problem_id=name, node_id=len(texts), question=f"What is 2 + 2, {name}?", steps=tuple(texts),
        token_ids=token_ids, depth=len(texts), terminal=False, num_trajectories=1, successes=successes, trials=trials,
        cut_trials=0, generator=None, temperature=1.0, generated_tokens=0, prompt_tokens=0, cached_tokens=0,
    )  # fmt: skip


def test_stepwise_of_rollouts_has_shares_of_continuations(capsys, tmp_path):
    first, last = "so it is 4\n\n", "\\boxed{4}"
    counted = [rollout("mc", (), 3, 8), rollout("mc", (first,), 2, 8), rollout("mc", (first, last), 1, 1)]
    records = [
        problem("mc", [ending("4"), ending("5"), ending("4", parent=1, request=1)], rollouts=counted),
        problem("cut", [ending("4")], status=Status.BUDGET_EXHAUSTED),
    ]
    write_run(tmp_path, records, strategy={"name": "rollout"})
    rows, summary = export(capsys, tmp_path, "stepwise")
    by = {(row["problem_id"], row["label_source"]): row for row in rows}
    assert summary["label_sources"] == {"monte_carlo": 1, "outcome": 2}
    assert len(by) == 3  # no continuation among them
    row = by["mc", "monte_carlo"]
    assert (row["labels"], row["soft_labels"], row["trials"]) == ([True, True], [0.25, 1.0], [8, 1])
    assert by["mc", "outcome"]["labels"] == [False, False]
    assert by["cut", "outcome"]["labels"] == [True, True]
    rows, _ = export(capsys, tmp_path, "stepwise", "--threshold", "0.25")
    assert next(row["labels"] for row in rows if row["trials"]) == [False, True]


def test_paths_are_all_there_is(capsys, tmp_path):
    records = sums()
    score = replace(records[3].requests[0], request=5, kind="score", node_ids=(2, 3), child_ids=())
    records[3] = replace(
        records[3],
        requests=(*records[3].requests, replace(score, p_lower=(0.1, None), p_median=(0.2, None), p_upper=(0.3, None))),
    )
    write_run(tmp_path, records)
    rows, summary = export(capsys, tmp_path, "paths")
    assert [(row["problem_id"], row["node_id"], row["outcome"]) for row in rows] == [
        ("beam", 4, True), ("beam", 6, False), ("beam", 7, False),
        ("both", 2, True), ("both", 4, False), ("both", 6, True), ("both", 8, False),
        ("easy", 2, True), ("easy", 4, True),
        ("hard", 2, False), ("hard", 3, False),
        ("no-key", 2, None),
    ]  # fmt: skip
    cut = rows[2]
    assert (cut["steps"], cut["finish_reason"], cut["answer"]) == (["one\n\n", "rambling"], "length", None)
    assert (cut["p_median"], cut["step_tokens"], cut["generated_tokens"]) == ([0.5, 0.2], [5, 8], 13)
    assert bytes(cut["token_ids"]) == b"one\n\nrambling"
    assert (rows[9]["p_lower"], rows[9]["score"]) == ([None, 0.1], 0.2)  # scored by a request of its own
    assert summary["left_out"] == {"failed": 1, "no finished path": 1}


@pytest.mark.parametrize(
    ("layout", "chat"),
    [(name, chat) for name, layout in LAYOUTS.items() for chat in ((False, True) if layout.text_columns else (False,))],
)
def test_both_formats_hold_the_same_rows_of_the_same_types(capsys, tmp_path, layout, chat):
    write_run(tmp_path, sums())
    more = ("--chat",) if chat else ()
    rows, _ = export(capsys, tmp_path, layout, *more)
    output = tmp_path / "out"
    words = ["--layout", layout, "--output", str(output), "--format", "parquet", *more]
    assert main(["export", str(tmp_path / "run"), *words]) == 0
    table = pq.read_table(output)
    assert table.to_pylist() == rows
    messages = pa.list_(
        pa.field(
            "element",
            pa.struct(
                [pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)]
            ),
            nullable=False,
        )
    )
    strings, flags = (pa.list_(pa.field("element", kind, nullable=False)) for kind in (pa.string(), pa.bool_()))
    text = messages if chat else pa.string()
    read_by_trl = {
        "preference": {"prompt": text, "chosen": text, "rejected": text},
        "stepwise": {"prompt": pa.string(), "completions": strings, "labels": flags},
        "distillation": {"prompt": text, "completion": text},
        "paths": {},
    }[layout]
    for at, (name, kind) in enumerate(read_by_trl.items()):
        assert table.schema.field(at) == pa.field(name, kind, nullable=False)
    for field in table.schema:
        assert field.nullable or table[field.name].null_count == 0


def test_half_a_run_is_exported_as_far_as_it_goes(capsys, tmp_path):
    write_run(tmp_path, sums(), finished=False)
    assert main(["export", str(tmp_path / "run"), "--layout", "paths", "--output", str(tmp_path / "a.parquet")]) == 0
    text = capsys.readouterr().out
    assert "is not finished" in text
    assert "1 problem: no row yet" in text
    assert "12 rows" in text


@pytest.mark.ci
def test_the_order_of_rows_in_the_run_decides_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(export_source, "GROUP_STEPS", 8)  # several groups
    for seed in range(3):
        write_run(tmp_path / str(seed), sums(), seed=seed)
    for layout in NAMES:
        for suffix in FORMATS:
            files = [tmp_path / str(seed) / f"out.{suffix}" for seed in range(3)]
            for file in files:
                words = ["--layout", layout, "--output", str(file)]
                assert main(["export", str(file.parent / "run"), *words]) == 0
            assert len({file.read_bytes() for file in files}) == 1, (layout, suffix)
    capsys.readouterr()


SAMPLES = st.lists(
    st.builds(ending, st.sampled_from("456"), st.sampled_from([None, 0.1, 0.9]), request=st.integers(0, 3)), max_size=4
)


@examples(max_examples=some_of(15), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(SAMPLES, min_size=1, max_size=5), st.integers(1, 99), st.sampled_from([1, 5, 1000]))
def test_paths_come_by_names_however_they_were_written(tmp_path_factory, drawn, seed, group_steps):
    folder = tmp_path_factory.mktemp("runs")
    records = [
        problem(f"p{at}", sorted(samples, key=lambda sample: sample.request)) for at, samples in enumerate(drawn)
    ]
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_source, "GROUP_STEPS", group_steps)
        for number in (0, seed):
            source = ExportSource.of(write_run(folder / str(number), records, seed=number))
            scratch = folder / f"scratch-{number}"
            scratch.mkdir()
            groups = list(stored_paths(source, scratch, Aggregation.LAST))
            assert list(scratch.iterdir()) == []
            told.append(
                [
                    [
                        (one.problem_id, [(p.path.node_id, p.path.solution, p.request, p.score) for p in one.paths])
                        for one in group
                    ]
                    for group in groups
                ]
            )
    assert told[0] == told[1]
    expected = [
        (
            record.problem.problem_id,
            [
                (2 * at + 2, "".join(sample.texts), sample.request, sample.scores[-1])
                for at, sample in enumerate(sorted(samples, key=lambda sample: sample.request))
            ],
        )
        for record, samples in zip(records, drawn, strict=True)
    ]
    assert [one for group in told[0] for one in group] == expected
    for group in told[0]:
        assert len(group) == 1 or sum(1 + 2 * len(paths) for _, paths in group) <= group_steps + 1


def test_a_grader_that_fails_leaves_its_paths_out(capsys, tmp_path):
    records = [problem("p", [ending("4", 0.9), ending("5", 0.8)], answer="4", correct=True), *sums()[:1]]
    write_run(tmp_path, records, grader={"kind": f"{__name__}:no_answer_is_five"})
    named = ("--grader", f"{__name__}:no_answer_is_five")
    rows, summary = export(capsys, tmp_path, "preference", *named)
    assert [row["problem_id"] for row in rows] == ["both"]
    assert summary["left_out"] == {"no wrong path": 1}
    assert summary["ungraded_answers"] == 1
    assert "five" in summary["grader_error"]
    rows, _ = export(capsys, tmp_path, "paths", *named)
    assert [row["outcome"] for row in rows if row["problem_id"] == "p"] == [True, None]


def no_answer_is_five(answer, reference):
    if (answer, reference) == ("5", "4"):
        raise RuntimeError("five")
    return answer == reference


def test_nothing_to_export_is_refused_and_nothing_is_written(capsys, tmp_path):
    write_run(tmp_path, sums()[2:5])
    target = tmp_path / "old.jsonl"
    target.write_text("as it was")
    run = tmp_path / "run"
    error = refused(capsys, run, "--layout", "preference", "--output", target)
    assert "1 problem: no right path" in error
    assert "Nothing was written" in error
    assert target.read_text() == "as it was"
    new = tmp_path / "new" / "x.jsonl"
    write_run(tmp_path / "keyless", sums()[4:5])
    error = refused(capsys, tmp_path / "keyless" / "run", "--layout", "stepwise", "--output", new)
    assert "1 problem: no answer key" in error
    write_run(tmp_path / "empty", [], finished=False)
    error = refused(capsys, tmp_path / "empty" / "run", "--layout", "paths", "--output", new)
    assert "1 problem: no row yet" in error
    assert not new.parent.exists()


def test_bad_input_is_refused(capsys, tmp_path):
    write_run(tmp_path, sums()[:1])
    run, output = tmp_path / "run", tmp_path / "x.jsonl"
    assert "is not a run" in refused(capsys, tmp_path / "none", "--layout", "paths", "--output", output)
    assert "is a folder" in refused(capsys, run, "--layout", "paths", "--output", tmp_path, "--format", "jsonl")
    assert "end it in .parquet" in refused(capsys, run, "--layout", "paths", "--output", tmp_path / "x.csv")
    assert "nothing can be" in refused(capsys, run, "--layout", "paths", "--output", run / "_SUCCESS" / "x.jsonl")
    assert "s3://" in refused(capsys, run, "--layout", "paths", "--output", "ftp://there/x.jsonl")
    for layout, *flags in (
        ("paths", "--chat"),
        ("stepwise", "--chat"),
        ("stepwise", "--pairs-per-problem", "2"),
        ("preference", "--threshold", "0"),
        ("preference", "--only-correct"),
    ):
        assert flags[0] in refused(capsys, run, "--layout", layout, "--output", output, *flags)
    assert "only a run of `parsimony rollout`" in refused(
        capsys, run, "--layout", "stepwise", "--output", output, "--threshold", "0.5"
    )
    with pytest.raises(SystemExit):
        main(["export", str(run), "--layout", "stepwise", "--output", str(output), "--threshold", "1"])
    assert "below 1" in capsys.readouterr().err
    assert not output.exists()


def test_a_damaged_run_is_said_to_be(capsys, tmp_path):
    run = write_run(tmp_path, sums()[:2])
    for part in run.part_paths("steps"):
        Path(part).unlink()
    assert main(["export", str(tmp_path / "run"), "--layout", "paths", "--output", str(tmp_path / "x.jsonl")]) == 2
    assert "gone or damaged" in capsys.readouterr().err
    assert not (tmp_path / "x.jsonl").exists()
