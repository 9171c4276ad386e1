"""The main job on real models: vLLM generators and PRMs in Ray actors, once for each kind of strategy; an engine dies.

What is not about vLLM is tested on scripted engines, in `test_end_to_end.py`. One generator and one PRM are launched
for the module.
"""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.remote import wait_for
from jobs.command_line.score import ScoreOptions
from jobs.score import finished_summary, ray_session, score
from jobs.scoring.plan import make_plan
from jobs.scoring.replicas import launch
from records.run_folder.checkpoints import read_log
from records.run_folder.reader import read_run
from records.run_folder.store import Store

pytestmark = [pytest.mark.vllm, pytest.mark.ray]

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
QUICK = ("output.flush_interval_s=0.5", "output.flush_problems=20")


STRATEGIES = {
    "whole samples": "strategy={name='best-of-n', num_samples=8}",
    "steps": "strategy={name='beam-search', num_samples=8, beam_width=2}",
    "adaptive": "strategy.num_samples=16",  # the recipe's own, sequential
}


def options(output: Path, strategy: str, *, limit: int | None = None) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / "sequential.toml",
        output=str(output),
        overrides=(*QUICK, strategy),
        limit=limit,
    )


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    plan = make_plan(options(tmp_path_factory.mktemp("none") / "run", STRATEGIES["adaptive"]))
    with ray_session(plan.recipe):
        yield launch(plan.recipe)


@pytest.fixture(autouse=True)
def another_run_follows(replicas):
    yield
    replicas.prepare_run()


@pytest.fixture
def one_generator(replicas):
    return replace(replicas, prms=())


@pytest.mark.parametrize("kind", [
    pytest.param("whole samples", marks=pytest.mark.long),
    pytest.param("steps", marks=pytest.mark.ci),
    pytest.param("adaptive", marks=pytest.mark.long),
])  # fmt: skip
def test_a_strategy_of_each_kind_scores(tmp_path, replicas, kind):
    plan = make_plan(options(tmp_path / "run", STRATEGIES[kind], limit=24))
    summary = score(plan, replicas)
    assert summary.finished
    assert summary.problems == {"succeeded": 24, "failed": 0, "budget_exhausted": 0, "cancelled": 0}
    assert summary.graded == 24
    run = read_run(tmp_path / "run")
    problems, steps = run.problems().to_pylist(), run.steps().to_pylist()
    assert sum(row["generated_tokens"] for row in problems) == sum(len(row["token_ids"]) for row in steps) > 0
    assert 8 <= sum(row["correct"] for row in problems) <= 24  # the models are those of the example
    assert finished_summary(make_plan(plan.options)) == summary


@pytest.mark.ci
def test_an_engine_that_dies_in_the_middle_of_200_problems_costs_no_row(tmp_path, one_generator):
    """The whole process at once, as a fault of a kernel or the system's want of memory ends it."""
    plan = make_plan(options(tmp_path / "run", "strategy={name='sample'}", limit=200))
    assert plan.problems.num_problems == 200
    actor = one_generator.generators[0]._actor
    killed: list[int] = []
    killer = threading.Thread(target=kill_half_way, args=(plan.store, actor, killed))
    killer.start()
    summary = score(plan, one_generator)
    killer.join()
    assert len(killed) == 1
    ids = read_run(tmp_path / "run").problems()["problem_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 200
    assert summary.problems["succeeded"] == 200


def kill_half_way(store: Store, actor: Any, killed: list[int]) -> None:
    """SIGSEGV for the replica's process, once 40 problems are done."""
    while not killed:
        time.sleep(0.1)
        if read_log(store).totals.problems >= 40:
            killed.append(wait_for(actor.process_id.remote()))
            os.kill(killed[0], signal.SIGSEGV)
