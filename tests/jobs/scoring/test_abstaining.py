"""Abstention from the recipe to the summary: what is refused, what is written, and what is told of it."""

import json
import random
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import operational_keys
from jobs.recipes.settings import abstention
from jobs.scoring.abstention import AbstentionReader, summarize_abstention
from jobs.scoring.run_status import read_status, status_json
from jobs.scoring.summary import print_summary
from records.failure import InvalidInput, RunMismatch
from records.packing import packed_rows
from records.run_folder.reader import read_run
from scaling.uncertainty.abstention import Abstention
from scaling.uncertainty.aggregation import ScoreEstimate
from tests.records import builders
from tests.support.local import LocalRun, problems

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"
RECIPE = {"strategy": {"name": "best-of-n"}, "answer": {"abstain_below": 0.8, "estimate": "lower"}}


def recipe(name: str, *overrides: str):
    return load_recipe(EXAMPLE / f"{name}.toml", overrides)


def test_off_unless_asked_for():
    assert abstention(recipe("best-of-16")) is None
    found = abstention(recipe("best-of-16", "answer.abstain_below=0.9", "answer.estimate=mean"))
    assert found == Abstention(0.9, ScoreEstimate.MEAN)
    assert abstention(recipe("beam-16", "answer.abstain_below=1.0")) == Abstention(1.0, ScoreEstimate.LOWER)


@pytest.mark.parametrize("below", ["0.0", "1.01", "-0.5", '"often"'])
def test_a_threshold_that_is_no_probability_is_refused(below):
    with pytest.raises(InvalidInput, match=r"answer\.abstain_below"):
        recipe("best-of-16", f"answer.abstain_below={below}")


def test_a_strategy_without_probabilities_is_refused_before_anything_starts():
    with pytest.raises(InvalidInput, match="strategy sample gives none"):
        recipe("sample", "answer.abstain_below=0.9")
    assert abstention(recipe("majority", "answer.abstain_below=0.9")) is not None, "its votes say how sure it is"
    assert (
        abstention(recipe("sample", "strategy.name=tests.support.plugins:first_of", "answer.abstain_below=0.9"))
        is not None
    )


def test_a_recipe_that_abstains_serves_rollouts_too():
    """Which answer nothing: their rows say so."""
    assert abstention(recipe("best-of-16", "answer.abstain_below=0.9", "strategy={name='rollout'}")) is None


def test_a_resume_with_another_threshold_is_refused(tmp_path):
    """Rows that are there carry decisions."""
    store = LocalStore(tmp_path / "run")
    Writer(store, tmp_path / "spool").open(builders.manifest(recipe=RECIPE), this_process())
    other = RECIPE | {"answer": {"abstain_below": 0.7, "estimate": "lower"}}
    with pytest.raises(RunMismatch, match=r"recipe\.answer\.abstain_below: was 0\.8, is 0\.7"):
        Writer(store, tmp_path / "spool").open(
            builders.manifest(recipe=other), this_process(), take_over=True, free=operational_keys()
        )


def some_rows(count: int, seed: int):
    """Rows as a run that abstains below .8 writes them."""
    rng = random.Random(seed)
    for index in range(count):
        p = rng.random()
        known = rng.random() < 0.9
        yield replace(
            builders.record(f"p{index}", num_steps=1).problem,
            correct=rng.choice([rng.random() < p, rng.random() < p, None]),
            answer_p_lower=p if known else None,
            answer_p_median=p if known else None,
            answer_p_upper=p if known else None,
            abstained=not known or p < 0.8,
        )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A run of two parts."""
    store = LocalStore(tmp_path / "run")
    writer = Writer(store, tmp_path / "spool")
    state = writer.open(builders.manifest(recipe=RECIPE, num_problems=60), this_process())
    for batch, rows in enumerate((list(some_rows(60, 1))[:25], list(some_rows(60, 1))[25:])):
        records = [replace(builders.record(row.problem_id, num_steps=1), problem=row) for row in rows]
        writer.append(state.next_batch + batch, *packed_rows(records))
        writer.flush()
    return store


def test_the_summary_is_what_counting_gives(store: LocalStore):
    rows = read_run(store.uri).problems().to_pylist()
    found = read_status(store, now_s=0.0).summary.abstention
    assert found is not None
    answered = [row for row in rows if not row["abstained"]]
    assert (found.answered, found.abstained) == (len(answered), 60 - len(answered))
    verdicts = [row["correct"] for row in answered if row["correct"] is not None]
    assert (found.graded, found.correct) == (len(verdicts), sum(verdicts))
    accuracy = sum(verdicts) / len(verdicts)
    assert found.accuracy == accuracy
    assert found.risk == pytest.approx(1 - accuracy)
    assert found.accuracy_lower is not None
    assert found.accuracy_upper is not None
    assert found.accuracy_lower < accuracy < found.accuracy_upper
    assert found.coverage == pytest.approx(len(verdicts) / sum(row["correct"] is not None for row in rows))
    assert found.aurc_best is not None
    assert found.aurc is not None
    assert found.aurc_random is not None
    assert 0 < found.aurc_best < found.aurc < found.aurc_random
    graded = [row["correct"] for row in rows if row["correct"] is not None]
    wrong, right = graded.count(False), graded.count(True)
    best = sum(k / (right + k) for k in range(1, wrong + 1)) / len(graded)
    assert found.aurc_best == pytest.approx(best)
    assert found.aurc_random == pytest.approx(wrong / len(graded))


def test_people_and_programs_are_told(store: LocalStore):
    status = read_status(store, now_s=0.0)
    found = status.summary.abstention
    assert found is not None
    assert json.loads(status_json(status))["summary"]["abstention"]["below"] == 0.8
    stream = StringIO()
    print_summary(status.summary, Console(file=stream, width=160))
    assert f"{found.answered} of 60, where answer_p (lower) is at least 0.8" in stream.getvalue()
    assert f"AURC {found.aurc:.4f}" in stream.getvalue()


def test_without_verdicts_nothing_is_made_up():
    rows = [{"abstained": index % 2 == 0, "correct": None} for index in range(6)]
    found = summarize_abstention(rows, {"abstain_below": 0.8, "estimate": "lower"})
    assert (found.answered, found.abstained, found.graded) == (3, 3, 0)
    assert {found.accuracy, found.coverage, found.risk, found.aurc, found.aurc_random, found.aurc_best} == {None}


def test_a_run_that_never_abstains_says_nothing_of_it(store: LocalStore):
    parts = read_run(store.uri).log.parts_of("problems")
    assert AbstentionReader(store, {"strategy": {"name": "sample"}}).read(parts) is None
    never = {"answer": {"abstain_below": None, "estimate": "lower"}}
    assert AbstentionReader(store, never).read(parts) is None
    assert AbstentionReader(store, RECIPE).read([]) is None


@pytest.mark.parametrize("rule", [None, Abstention(0.6, ScoreEstimate.LOWER), Abstention(0.6, ScoreEstimate.UPPER)])
async def test_a_run_writes_its_decisions_and_keeps_its_answers(tmp_path, rule):
    run = LocalRun(tmp_path / "run", problems(20), abstention=rule)
    await run.run()
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert len(rows) == 20
    assert all(row["answer"] is not None for row in rows)
    for row in rows:
        p = row[f"answer_p_{rule.estimate}"] if rule else None
        assert row["abstained"] == (None if rule is None else p < rule.below)
    assert rule is None or len({row["abstained"] for row in rows}) == 2
