"""`parsimony replay` on stored runs: what the run says, what a direct computation says, or that it is unknown."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from actors.controller.path_scorer import PathScorer
from jobs import replay
from jobs.cli import main
from jobs.command_line.replay import ReplayOptions
from jobs.comparison.measure import played, shared
from jobs.comparison.settings import Setting
from jobs.comparison.stored_samples import stored_samples
from jobs.recipes.recorded import recorded_recipe
from jobs.replaying.table import CUT
from jobs.scoring.replicas import Replicas, Unmetered
from records.failure import InvalidInput
from records.rows import Status
from records.run_folder.manifest import ModelIdentity
from records.run_folder.reader import Run
from scaling.statistics.bootstrap import interval
from tests.support.fakes import SEPARATOR, fake_prm, true_score
from tests.support.local import LocalHandle
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

BEST_OF_64 = "strategy={name='best-of-n', num_samples=64}"
BEST_OF_16 = "strategy={name='best-of-n', num_samples=16}"
BEAM = "strategy={name='beam-search', num_samples=4, beam_width=2, max_steps=6}"
SEQUENTIAL = "strategy={name='sequential', num_samples=6, wave_size=2}"
MARGINAL = "strategy={name='marginal', num_samples=6}"
PROBE = "strategy={name='probe', num_samples=5, probe_every=5, num_agree=2, min_confidence=0.3}"
SAME = ("num_samples", "num_steps", "generated_tokens", "prompt_tokens", "cached_tokens", "pruned_tokens", "prm_tokens",
        "prm_cached_tokens", "flops", "answer_p_lower", "answer_p_median", "answer_p_upper", "answer", "correct",
        "abstained")  # fmt: skip


@pytest.fixture(scope="module")
def best_of_64(tmp_path_factory) -> Run:
    return stored_run(tmp_path_factory.mktemp("best") / "run", BEST_OF_64, num_problems=12)


@pytest.fixture(scope="module")
def beam(tmp_path_factory) -> Run:
    return stored_run(tmp_path_factory.mktemp("beam") / "run", BEAM, num_problems=12)


def test_probes_decide_again_when_chains_end(tmp_path):
    """One run in which probes end nothing serves all settings that end chains earlier."""
    never = "strategy={name='probe', num_samples=5, probe_every=5, num_agree=12}"
    run = stored_run(tmp_path / "run", never, num_problems=12)
    assert any(request["forced_text"] for request in run.requests().to_pylist())
    lines = replayed(run, tmp_path / "out", sweeps=("strategy.num_agree=1,2,12",))
    assert not any(line["left_tree"] for line in lines)
    tokens: Counter[str] = Counter()
    for line in lines:
        tokens[line["setting"]] += line["generated_tokens"]
    assert list(tokens.values()) == sorted(tokens.values())
    assert len(set(tokens.values())) > 1


def test_answers_can_be_found_and_told_apart_otherwise(tmp_path):
    """The toy's answers are in boxes, behind a cue nowhere; parity makes two answers of four."""
    run = stored_run(tmp_path / "run", "strategy={name='majority', num_samples=9}", num_problems=12)
    as_recorded = replayed(run, tmp_path / "same")
    assert [line["answer"] for line in as_recorded] == [row["answer"] for row in run.problems().to_pylist()]
    cues = replayed(run, tmp_path / "cues", "answer.extract=cue")
    assert {line["answer"] for line in cues} == {None}
    assert not any(line["correct"] for line in cues)
    mild = replayed(run, tmp_path / "mild", "grader.kind=tests.jobs.replaying.test_replay_command:of_one_parity")
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for step in run.steps().to_pylist():
        if step["answer"] and step["answer"].isdigit():
            votes[step["problem_id"]][int(step["answer"]) % 2] += 1
    for line in mild:
        [(parity, most), *others] = [*votes[line["problem_id"]].most_common(2), (0, 0)][:2]
        if line["answer"] is not None and line["answer"].isdigit() and most > others[0][1]:
            assert int(line["answer"]) % 2 == parity
    assert [line["answer"] for line in mild] != [line["answer"] for line in as_recorded]


def of_one_parity(answer: str, other: str) -> bool:
    """A grader: two numbers are the same if both are even or odd."""
    return answer.isdigit() and other.isdigit() and int(answer) % 2 == int(other) % 2


def replayed(run: Run, output: Path, *overrides: str, sweeps: tuple[str, ...] = (), **more) -> list[dict[str, Any]]:
    """The rows of `replay.parquet`, by setting and problem."""
    options = ReplayOptions(run=run.uri, output=str(output), overrides=overrides, sweeps=sweeps, **more)
    assert replay.run(options) == 0
    lines: list[dict[str, Any]] = pq.read_table(output / "replay.parquet").to_pylist()
    return lines


def refused(run: Run, output: Path, *overrides: str, sweeps: tuple[str, ...] = (), **more) -> str:
    with pytest.raises(InvalidInput) as caught:
        replayed(run, output, *overrides, sweeps=sweeps, **more)
    assert not output.exists()
    return str(caught.value)


def summary_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "summary.json").read_text())
    return found


@pytest.mark.parametrize(
    "strategy", [BEST_OF_16, BEAM, SEQUENTIAL, MARGINAL, PROBE], ids=lambda text: text.split("'")[1]
)
@pytest.mark.parametrize("cap", [None, 0.5, 0.8])
def test_the_recorded_settings_give_back_the_run(tmp_path, strategy, cap):
    abstains = () if strategy == PROBE else ("answer.abstain_below=0.6",)  # it has no probability of its answer
    run = stored_run(tmp_path / "run", strategy, *abstains)
    if cap is not None:
        total = round(cap * run.totals.generated_tokens)
        run = stored_run(tmp_path / "capped", strategy, *abstains, total_tokens=total)
        assert run.totals.budget_exhausted
    rows = {row["problem_id"]: row for row in run.problems().to_pylist()}
    lines = replayed(run, tmp_path / "out")
    assert len(lines) == len(rows) == 10
    for line in lines:
        row = rows[line["problem_id"]]
        assert {name: line[name] for name in SAME} == {name: row[name] for name in SAME}
        assert not line["left_tree"]
        assert line["covered"] >= line["correct"]
    [setting] = summary_of(tmp_path / "out")["settings"]
    assert setting["setting"] == "as recorded"
    assert setting["accuracy"] == setting["run_accuracy"] == summary_of(tmp_path / "out")["actual"]["accuracy"]
    assert setting["accuracy_difference"]["value"] == 0.0
    known = [one for one in setting["ratios"].values() if one["value"] is not None]
    assert all(set(one.values()) <= {1.0, None} for one in known)  # one problem with any pruned tokens has no interval
    assert known


def twin(run: Run, num_samples: int) -> Iterator[tuple[str, str | None, bool, int]]:
    """Best of the first n samples from the tables alone: problem, answer, correct, generated tokens."""
    steps = run.steps().to_pylist()
    for request in run.requests().to_pylist():
        if request["kind"] != "expand":
            continue
        own = sorted(
            (step for step in steps if step["problem_id"] == request["problem_id"]), key=lambda step: step["node_id"]
        )
        best, tokens, begin = (False, -1.0, None), 0, 0
        for leaf in request["child_ids"][:num_samples]:
            sample = [step for step in own if begin < step["node_id"] <= leaf]
            begin = leaf
            tokens += sum(len(step["token_ids"]) for step in sample)
            text = sample[-1]["text"]
            answer = text.removeprefix("\\boxed{").removesuffix("}") if text.startswith("\\boxed{") else None
            if (answer is not None, sample[-1]["p_median"]) > best[:2]:
                best = (answer is not None, sample[-1]["p_median"], answer)
        key = str(int(request["problem_id"][1:]) % 4)
        yield request["problem_id"], best[2], best[2] == key, tokens


def test_best_of_64_as_best_of_n_equals_a_direct_computation(best_of_64, tmp_path):
    """For every n, in one sweep."""
    every = ",".join(map(str, range(1, 65)))
    lines = replayed(best_of_64, tmp_path / "out", sweeps=(f"strategy.num_samples={every}",))
    assert len(lines) == 64 * 12
    found = {(line["strategy.num_samples"], line["problem_id"]): line for line in lines}
    answers = set()
    for num_samples in range(1, 65):
        wanted = list(twin(best_of_64, num_samples))
        assert len(wanted) == 12
        for problem_id, answer, correct, tokens in wanted:
            line = found[num_samples, problem_id]
            assert (line["answer"], line["correct"]) == (answer, float(correct))
            assert (line["generated_tokens"], line["num_samples"]) == (tokens, num_samples)
            answers.add((problem_id, answer))
    assert len(answers) > 12  # they change with n
    labels = [setting["setting"] for setting in summary_of(tmp_path / "out")["settings"]]
    assert labels == [f"num_samples={number}" for number in range(1, 65)]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_an_adaptive_budget_on_it_equals_the_run_of_that_budget(best_of_64, tmp_path, confidence):
    own = f"strategy={{name='adaptive-best-of-n', num_samples=64, confidence={confidence}}}"
    run = stored_run(tmp_path / "run", own, num_problems=12)
    rows = {row["problem_id"]: row for row in run.problems().to_pylist()}
    changed = ("strategy.name=adaptive-best-of-n", f"strategy.confidence={confidence}")
    for line in replayed(best_of_64, tmp_path / "out", *changed):
        assert {name: line[name] for name in SAME} == {name: rows[line["problem_id"]][name] for name in SAME}


def test_another_selection_keeps_the_grants_and_another_width_does_not(tmp_path):
    """What the cap cut is known only where every problem of the run asks for what it did then."""
    total = round(0.6 * stored_run(tmp_path / "free", BEST_OF_16).totals.generated_tokens)
    run = stored_run(tmp_path / "run", BEST_OF_16, total_tokens=total)
    status = {row["problem_id"]: row["status"] for row in run.problems().to_pylist()}
    cut = {problem_id for problem_id, found in status.items() if found == Status.BUDGET_EXHAUSTED.value}
    assert 0 < len(cut) < len(status)
    lines = replayed(run, tmp_path / "majority", sweeps=("strategy.selection=majority,weighted-vote",))
    assert not any(line["left_tree"] for line in lines)
    lines = replayed(run, tmp_path / "narrow", "strategy.num_samples=2")
    left = {line["problem_id"]: line["left_why"] for line in lines if line["left_tree"]}
    assert left.keys() <= cut
    assert left  # some samples were cut, or never drawn
    assert all(line["answer"] is None and line["correct"] is None for line in lines if line["left_tree"])
    lines = replayed(run, tmp_path / "uncapped", "budget.total_tokens=")
    assert {line["problem_id"] for line in lines if line["left_tree"]} == cut
    assert {line["left_why"] for line in lines if line["left_tree"]} == {CUT}
    [setting] = summary_of(tmp_path / "uncapped")["settings"]
    assert (setting["num_left"], setting["num_known"]) == (len(cut), len(status) - len(cut))
    known = [line["correct"] for line in lines if not line["left_tree"]]
    assert setting["accuracy"]["value"] == pytest.approx(sum(known) / len(known))
    assert setting["accuracy_if_wrong"] == pytest.approx(sum(known) / len(status))
    assert setting["accuracy_if_right"] == pytest.approx((sum(known) + len(cut)) / len(status))


def test_searches_leave_their_tree_and_that_is_said(beam, tmp_path, capsys):
    sweeps = ("strategy.confidence=0.5,0.9", "strategy.adapt=beams,children")
    lines = replayed(beam, tmp_path / "out", "strategy.name=adaptive-beam-search", sweeps=sweeps)
    assert list(lines[0])[:4] == ["setting", "strategy.confidence", "strategy.adapt", "problem_id"]
    assert len(lines) == 4 * 12
    num_left = sum(line["left_tree"] for line in lines)
    assert 0 < num_left < len(lines)
    for line in lines:
        assert (line["generated_tokens"] is None) == (line["answer_p_median"] is None) == line["left_tree"]
        assert (line["left_why"] is not None) == line["left_tree"]
    settings = summary_of(tmp_path / "out")["settings"]
    assert [one["swept"] for one in settings] == [
        {"strategy.confidence": confidence, "strategy.adapt": adapt}
        for confidence in (0.5, 0.9)
        for adapt in ("beams", "children")
    ]
    assert sum(one["num_left"] for one in settings) == num_left
    assert all(0 <= one["left_requests"] <= one["left_problems"] for one in settings)
    said = capsys.readouterr().out
    assert "confidence=0.9" in said
    assert "more children are asked for" in said


def test_other_orders_are_those_of_compare(best_of_64, tmp_path):
    changed = ("strategy.name=sequential", "strategy.wave_size=4")
    lines = replayed(best_of_64, tmp_path / "out", *changed, num_orders=7)
    stored = stored_samples(best_of_64)
    recipe = recorded_recipe(best_of_64.manifest, changed)
    setting = Setting("sequential", "r", Path("r.toml"), changed, recipe, None)
    means = played(setting, shared("samples", best_of_64, list(stored.values()), 7))
    assert [line["problem_id"] for line in lines] == list(stored)
    names = ("correct", "covered", "num_samples", "generated_tokens", "cached_tokens", "prm_tokens", "flops")
    for name in names:
        assert [line[name] for line in lines] == pytest.approx(getattr(means, name).tolist())
    assert [line["answer_p_median"] for line in lines] == pytest.approx(means.answer_p.tolist())


def test_a_cap_is_shared_out_among_stored_samples(best_of_64, tmp_path):
    total = round(0.2 * best_of_64.totals.generated_tokens)
    changed = ("strategy.name=marginal", "strategy.num_samples=64")
    lines = replayed(best_of_64, tmp_path / "out", *changed, sweeps=(f"budget.total_tokens={total},{2 * total}",))
    for cap in (total, 2 * total):
        own = [line for line in lines if line["budget.total_tokens"] == cap]
        assert len(own) == 12
        assert 0.9 * cap < sum(line["generated_tokens"] for line in own) <= cap
    beyond = replayed(
        best_of_64, tmp_path / "more", *changed[:1], "strategy.num_samples=65", f"budget.total_tokens={10**9}"
    )
    assert all(line["left_tree"] for line in beyond)
    assert "one problem that leaves the tree makes all unknown" in beyond[0]["left_why"]


def never_right(answer: str, reference: str) -> bool:
    """A grader that cannot tell some answers."""
    if answer == "1":
        raise ValueError("cannot tell")
    return False


def test_another_grader_grades_again_and_its_failures_are_null(best_of_64, tmp_path):
    graders = "grader.kind=exact,tests.jobs.replaying.test_replay_command:never_right"
    lines = replayed(best_of_64, tmp_path / "out", sweeps=(graders,))
    own, other = lines[:12], lines[12:]
    for before, after in zip(own, other, strict=True):
        assert before["answer"] == after["answer"]
        assert after["correct"] == (None if after["answer"] == "1" else 0.0)
    assert {line["answer"] for line in other} > {"1"}
    [first, second] = summary_of(tmp_path / "out")["settings"]
    assert (first["num_graded"], second["num_graded"]) == (12, sum(line["answer"] != "1" for line in other))
    assert second["accuracy"]["value"] == 0.0


def test_abstaining_is_decided_again(best_of_64, tmp_path, capsys):
    lines = replayed(best_of_64, tmp_path / "out", "answer.estimate=median", sweeps=("answer.abstain_below=0.1,0.9",))
    for line in lines:
        assert line["abstained"] == (line["answer"] is None or line["answer_p_median"] < line["answer.abstain_below"])
    assert "abstained" in capsys.readouterr().out
    settings = summary_of(tmp_path / "out")["settings"]
    assert settings[0]["abstained"]["value"] < settings[1]["abstained"]["value"]


@pytest.mark.parametrize(
    ("overrides", "more", "said"),
    [
        (["generator.temperature=1"], {}, "--set generator.temperature: it decides what is sampled"),
        (["seed=3"], {}, "--set seed: it decides what is sampled"),
        (["prm.model=x"], {}, "--prm MODEL scores anew"),
        (["prm.overlong=refuse"], {}, "no model is loaded by a replay without --prm"),
        (["output.flush_problems=3"], {}, "says nothing to a replay"),
        (["problems.preset=math"], {}, "says nothing to a replay"),
        ([], {"sweeps": ("generator.separator=a,b",)}, "--sweep generator.separator: it decides what is sampled"),
        ([], {"sweeps": ("strategy.num_samples",)}, "must be section.key=value,value"),
        ([], {"sweeps": ("strategy.num_samples=2,2",)}, "num_samples=2 is there twice"),
        ([], {"sweeps": ("strategy.num_samples=2,3", "strategy.num_samples=4")}, "is there twice"),
        ([], {"sweeps": ("strategy.confidense=1",)}, "not a known key"),
        (["budget.total_tokens=100"], {}, "ends problems by chance of order"),
        (["budget.deadline_s=5"], {}, "a replay takes no time"),
        (["strategy.name=beam-search"], {"num_orders": 3}, "only whole samples have orders"),
        (["strategy.name=deepconf-offline"], {"num_orders": 3}, "reads confidences"),
        (["strategy.name=rollout"], {}, "not run for its answers"),
        (["strategy.name=a.b:c"], {}, "cannot be imported"),
        ([], {"prm": "no/such/folder"}, "--prm no/such/folder: no such folder"),
    ],
)
def test_mistakes_are_named_before_anything_is_played(best_of_64, tmp_path, overrides, more, said):
    assert said in refused(best_of_64, tmp_path / "out", *overrides, **more)


def test_steps_are_no_whole_samples(beam, tmp_path):
    assert all(line["left_tree"] for line in replayed(beam, tmp_path / "out", "strategy.name=majority", num_orders=2))
    message = refused(beam, tmp_path / "other", "strategy.name=marginal", "budget.total_tokens=100")
    assert "was searched step by step" in message


def test_the_output_is_not_the_run(best_of_64):
    with pytest.raises(InvalidInput, match="is the run itself"):
        replay.run(ReplayOptions(run=best_of_64.uri, output=best_of_64.uri + "/"))


def test_values_may_hold_commas(best_of_64, tmp_path):
    sweep = "strategy={name='best-of-n', num_samples=2},{name='majority', num_samples=3}"
    lines = replayed(best_of_64, tmp_path / "out", sweeps=(sweep,))
    assert [line["num_samples"] for line in lines] == [2.0] * 12 + [3.0] * 12


def test_the_command_prints_what_it_writes(best_of_64, tmp_path, capsys):
    words = [best_of_64.uri, "--output", str(tmp_path / "out"), "--set", "strategy.num_samples=4", "--json"]
    assert main(["replay", *words]) == 0
    assert json.loads(capsys.readouterr().out) == summary_of(tmp_path / "out")
    assert main(["replay", *words[:-1]]) == 0
    said = capsys.readouterr().out
    assert "the run itself" in said
    assert max(map(len, said.splitlines())) <= 120


def test_intervals_are_those_of_resampled_problems(best_of_64, tmp_path):
    """The obvious twin: draw problems with replacement, or leave one out, and sum."""
    lines = replayed(best_of_64, tmp_path / "out", "strategy.num_samples=4")
    [setting] = summary_of(tmp_path / "out")["settings"]
    rows = {row["problem_id"]: row for row in best_of_64.problems().to_pylist()}
    own = np.asarray([line["generated_tokens"] for line in lines])
    actual = np.asarray([rows[line["problem_id"]]["generated_tokens"] for line in lines], dtype=np.float64)
    assert setting["ratios"]["generated_tokens"]["value"] == pytest.approx(own.sum() / actual.sum())
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 12, size=12) for _ in range(4000)]
    ratios = [own[index].sum() / actual[index].sum() for index in drawn]
    rest = [np.delete(np.arange(12), at) for at in range(12)]
    left_out = np.array([own[index].sum() / actual[index].sum() for index in rest])
    lower, upper = interval(np.array(ratios), 12, value=own.sum() / actual.sum(), left_out=left_out)
    found = setting["ratios"]["generated_tokens"]
    assert (found["lower"], found["upper"]) == pytest.approx((lower, upper), abs=0.1 * (upper - lower))
    assert asdict(best_of_64.totals)["generated_tokens"] == actual.sum()


def test_a_run_without_keys_has_costs_and_no_accuracy(tmp_path, capsys):
    run = stored_run(tmp_path / "run", BEST_OF_16, has_keys=False)
    lines = replayed(run, tmp_path / "out", "strategy.num_samples=8")
    assert {(line["correct"], line["num_samples"]) for line in lines} == {(None, 8.0)}
    [setting] = summary_of(tmp_path / "out")["settings"]
    assert setting["accuracy"] == {"value": None, "lower": None, "upper": None}
    assert setting["accuracy_if_wrong"] is None
    assert 0.3 < setting["ratios"]["generated_tokens"]["value"] < 0.7
    assert "?" in capsys.readouterr().out


def test_a_run_that_goes_on_is_replayed_as_far_as_it_is(tmp_path, capsys):
    run = stored_run(tmp_path / "run", BEST_OF_16, num_owed=3)
    assert not run.finished
    assert len(replayed(run, tmp_path / "out")) == 10
    assert summary_of(tmp_path / "out")["num_owed"] == 3
    assert "3 have no row yet" in " ".join(capsys.readouterr().out.split())


# --- another PRM


@pytest.fixture
def other_prm(tmp_path, monkeypatch):
    """The fake PRM in this process for `--prm`; how many paths it was asked to score in all."""
    folder = tmp_path / "other-prm"
    folder.mkdir()
    (folder / "weights").write_text("x")
    asked: list[str] = []

    def launch(recipe):
        assert recipe.prm.model == str(folder)
        assert not recipe.strategy.samples

        class Counting(LocalHandle):
            async def submit(self, incarnation, epoch, calls):
                asked.extend(call.key for call in calls)
                await super().submit(incarnation, epoch, calls)

        return Replicas((), (Counting("prm-0", fake_prm), Counting("prm-1", fake_prm)), {}, Unmetered(0.0))

    identity = ModelIdentity(str(folder), "ee", "ff", 7)
    monkeypatch.setattr("jobs.replaying.rescoring.launch", launch)
    monkeypatch.setattr("jobs.replaying.rescoring.ray_session", lambda _: nullcontext())
    monkeypatch.setattr("jobs.replaying.rescoring.checked_model", lambda settings, check: identity)
    return folder, asked


def said_of(question: str, steps: list[str]) -> tuple[float, float, float]:
    """By the fake PRM, which reads a separator after the last step too."""
    text = "".join(steps)
    score = true_score(question, text + SEPARATOR if text and not text.endswith(SEPARATOR) else text)
    return score.lower, score.median, score.upper


def test_other_scores_decide_and_are_kept(best_of_64, tmp_path, other_prm):
    folder, asked = other_prm
    sweep = ("strategy.num_samples=4,64",)
    lines = replayed(best_of_64, tmp_path / "out", sweeps=sweep, prm=str(folder))
    steps = best_of_64.steps().to_pylist()
    [file] = (tmp_path / "out").glob("scores-*.parquet")
    table = {(row["problem_id"], row["node_id"]): row for row in pq.read_table(file).to_pylist()}
    leaves = {
        (request["problem_id"], leaf)
        for request in best_of_64.requests().to_pylist()
        for leaf in (request["child_ids"] or request["node_ids"])
    }
    assert table.keys() == leaves
    texts = {(problem["problem_id"], 0): [] for problem in best_of_64.problems().to_pylist()}
    questions = {problem["problem_id"]: problem["question"] for problem in best_of_64.problems().to_pylist()}
    for step in sorted(steps, key=lambda step: step["node_id"]):
        key = step["problem_id"], step["node_id"]
        texts[key] = [*texts[step["problem_id"], step["parent_id"]], step["text"]]
    for key, row in table.items():
        assert (row["p_lower"], row["p_median"], row["p_upper"]) == said_of(questions[key[0]], texts[key])
    assert len(asked) == len({(key[0], *texts[key]) for key in table}) < len(table)  # each distinct path once
    # The twin: the best of all 64 by these scores, and the first among equals; a sample with an answer before others.
    for line in (line for line in lines if line["strategy.num_samples"] == 64):
        own = sorted(key for key in leaves if key[0] == line["problem_id"] and key[1])
        ranks = [(texts[key][-1].startswith("\\boxed"), table[key]["p_median"]) for key in own]
        best = own[ranks.index(max(ranks))]
        assert line["answer"] == texts[best][-1].removeprefix("\\boxed{").removesuffix("}")
        assert line["prm_tokens"] == sum(table[key]["prm_tokens"] for key in leaves if key[0] == line["problem_id"])
        computed = line["generated_tokens"] + line["prompt_tokens"] - line["cached_tokens"]
        assert line["flops"] == 2 * (10 * computed + 7 * (line["prm_tokens"] - line["prm_cached_tokens"]))
    assert summary_of(tmp_path / "out")["prm"] == str(folder)

    asked.clear()
    again = replayed(best_of_64, tmp_path / "out", sweeps=sweep, prm=str(folder))
    assert again == lines
    assert not asked  # no model was loaded
    more = replayed(best_of_64, tmp_path / "out", "strategy.aggregation=min", prm=str(folder))
    assert not any(line["left_tree"] for line in more)
    new = {(row["problem_id"], row["node_id"]) for row in pq.read_table(file).to_pylist()}
    assert new == texts.keys()
    assert len(asked) == len({(key[0], *texts[key]) for key in new - leaves})


def test_a_search_that_followed_other_scores_leaves_its_tree(beam, tmp_path, other_prm):
    folder, _ = other_prm
    lines = replayed(beam, tmp_path / "out", prm=str(folder))
    left = [line for line in lines if line["left_tree"]]
    assert 0 < len(left) < len(lines)
    assert all("more children are asked for" in line["left_why"] for line in left)


def test_without_scores_there_is_nothing_to_score_anew(best_of_64, tmp_path, other_prm):
    assert "no setting reads scores" in refused(
        best_of_64, tmp_path / "out", "strategy.name=majority", prm=str(other_prm[0])
    )


def test_what_was_scored_before_an_end_is_kept(best_of_64, tmp_path, other_prm, monkeypatch):
    folder, asked = other_prm
    count = 0
    scored = PathScorer._results

    def interrupted(self, replica, results):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        scored(self, replica, results)

    monkeypatch.setattr(PathScorer, "_results", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replayed(best_of_64, tmp_path / "out", prm=str(folder))
    [file] = (tmp_path / "out").glob("scores-*.parquet")
    num_kept = pq.read_metadata(file).num_rows
    assert num_kept > 0
    monkeypatch.setattr(PathScorer, "_results", scored)
    asked.clear()
    replayed(best_of_64, tmp_path / "out", prm=str(folder))
    assert pq.read_metadata(file).num_rows > num_kept
    assert asked


def test_a_strategy_that_leaves_the_tree_at_once_is_said_before_the_table(best_of_64, tmp_path, capsys):
    arguments = ["replay", best_of_64.uri, "--output", str(tmp_path / "out"), "--set"]
    assert main([*arguments, "strategy={name='beam-search', num_samples=4, beam_width=2}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("leaves what is stored on every problem before it has taken a sample") < said.index("Setting")
    assert main([*arguments, "strategy.num_samples=4"]) == 0
    assert "before it has taken a sample" not in capsys.readouterr().out


def test_an_output_that_is_a_file_is_refused_before_anything_is_read(best_of_64, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    for output in ("taken", "taken/below"):
        assert main(["replay", best_of_64.uri, "--output", str(tmp_path / output)]) == 2
        assert "is a file, and a run is a folder" in capsys.readouterr().err
