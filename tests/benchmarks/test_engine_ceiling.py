"""The pure parts of the benchmark: recorded requests back to prompts, recorded scores back to inputs, ratios."""

import time
from functools import partial

import pytest

from actors.engines.protocol import EngineSample, EngineScore, SampleRequest
from actors.engines.recall import Recall
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from benchmarks.engine_ceiling import arguments_of, ratios
from benchmarks.observed import CoreUse, ObservedReplica
from benchmarks.offline import Pass
from benchmarks.recorded import RecordedSample, ratio, recorded_samples, recorded_scores
from records.calls import SampleCall, SampleResult, Sampling, TokenPrefix, root_prefix_id
from records.path import PrmScore
from records.request import Until
from records.run_folder.reader import read_run
from scaling.strategies.beam_search import beam_search
from scaling.strategies.majority import majority
from tests.support.fakes import (
    GENERATOR_SETTINGS,
    PRM_SETTINGS,
    FakeGeneratorEngine,
    FakePrmEngine,
    byte_tokenizer,
    fake_generator,
)
from tests.support.local import LIMITS, LocalHandle, LocalRun, problems

QUESTIONS = {"a": "What is 1 + 1?", "b": "What is 2 + 5?"}
"""Of the hand-made run below."""
STEPS = [
    {"problem_id": "a", "node_id": 1, "parent_id": 0, "token_ids": [5, 6], "seed": 11, "text": "x\n\n", "p": 0.1},
    {"problem_id": "a", "node_id": 2, "parent_id": 0, "token_ids": [7], "seed": 12, "text": "y\n\n", "p": None},
    {"problem_id": "a", "node_id": 3, "parent_id": 2, "token_ids": [8], "seed": 13, "text": "z\n\n", "p": 0.3},
    {"problem_id": "a", "node_id": 4, "parent_id": 2, "token_ids": [9], "seed": 14, "text": "w\n\n", "p": 0.4},
    {"problem_id": "b", "node_id": 1, "parent_id": 0, "token_ids": [4], "seed": 15, "text": "v\n\n", "p": 0.5},
    {"problem_id": "b", "node_id": 2, "parent_id": 1, "token_ids": [3], "seed": 15, "text": "u\n\n", "p": 0.6},
]
REQUESTS = [
    {"problem_id": "a", "request": 2, "node_ids": [2], "num_samples": [2], "child_ids": [3, 4], "granted": [16, 15]},
    {"problem_id": "b", "request": 0, "node_ids": [0], "num_samples": [1], "child_ids": [2], "granted": [64]},
    {"problem_id": "a", "request": 1, "node_ids": [0], "num_samples": [2], "child_ids": [1, 2], "granted": [16, 16]},
]


def steps():
    return [row | {"p_lower": row["p"], "p_median": row["p"], "p_upper": row["p"]} for row in STEPS]


def requests(reply_kind="full"):
    common = {"kind": "expand", "reply_kind": reply_kind, "until": "step"}
    expansions = [common | row | {"granted_tokens": row["granted"]} for row in REQUESTS]
    return [{"problem_id": "a", "request": 0, "kind": "score"}, *expansions]


def prompt_ids(question):
    return (len(question), 0)


def test_recorded_requests_become_prompts_in_order():
    found = recorded_samples(QUESTIONS, steps(), requests(), prompt_ids)
    root = prompt_ids(QUESTIONS["a"])
    wanted = [(root, 16, 11, 2), (root, 16, 12, 2), ((*root, 7), 16, 13, 2), ((*root, 7), 15, 14, 2)]
    wanted.append((prompt_ids(QUESTIONS["b"]), 64, 15, 1))
    assert found == [
        RecordedSample(prompt_ids=ids, until=Until.STEP, max_tokens=granted, seed=seed, siblings=siblings)
        for ids, granted, seed, siblings in wanted
    ]


def test_a_run_that_a_budget_cut_is_no_ceiling():
    with pytest.raises(ValueError, match="request 1 was answered reduced"):
        recorded_samples(QUESTIONS, steps(), requests("reduced"), prompt_ids)


def test_ratio_compares_medians_and_shows_the_range_of_the_pairs():
    found = ratio([50.0, 80.0, 60.0], [100.0, 100.0, 200.0])
    assert (found.of_medians, found.lowest, found.highest) == (0.6, 0.3, 0.8)
    with pytest.raises(ValueError, match="nothing was measured"):
        ratio([], [])
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0], [])


def test_every_way_of_score_is_held_against_every_ceiling():
    fast, slow = Pass(tokens=100, seconds=1.0), Pass(tokens=100, seconds=2.0)
    found = ratios({"score": [slow], "playback": [], "offline": [fast], "offline_plain": [fast]})
    assert {name: each["of_medians"] for name, each in found.items()} == {
        "score/offline": 0.5,
        "score/offline_plain": 0.5,
    }


def test_both_recipes_are_measured_unless_some_are_named():
    assert arguments_of([]).recipe is None
    assert arguments_of(["--recipe", "majority", "--set", "a=1", "--set", "b=2"]).set == ["a=1", "b=2"]


class HeardGenerator(FakeGeneratorEngine):
    """Keeps what it is asked for."""

    def __init__(self, settings):
        super().__init__(settings)
        self.heard: list[SampleRequest] = []

    async def sample(self, request: SampleRequest, recall: Recall | None = None) -> EngineSample:
        self.heard.append(request)
        return await super().sample(request, recall)


class HeardPrm(FakePrmEngine):
    """Keeps what it was asked for and what it said."""

    def __init__(self, settings):
        super().__init__(settings)
        self.said: dict[tuple[int, ...], PrmScore] = {}

    async def score(self, token_ids) -> EngineScore:
        found = await super().score(token_ids)
        self.said[tuple(token_ids)] = found.score
        return found


STRATEGIES = {
    "majority": partial(majority, limits=LIMITS, num_samples=4),
    "beam": partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=8),
}


@pytest.mark.parametrize("name", STRATEGIES)
async def test_the_tables_of_a_run_say_all_that_its_engines_were_asked(tmp_path, name):
    run = LocalRun(
        tmp_path / "run",
        problems(12),
        STRATEGIES[name],
        make_generator=lambda: Generator(GENERATOR_SETTINGS, build_engine=HeardGenerator),
        make_prm=lambda: Prm(PRM_SETTINGS, build_engine=HeardPrm),
    )
    await run.run()
    asked = {problem.problem_id: problem.question for problem in problems(12)}
    tables = read_run(tmp_path / "run")
    rows = tables.steps().to_pylist()
    template = GENERATOR_SETTINGS.prompt_template
    found = recorded_samples(
        asked,
        rows,
        tables.requests().to_pylist(),
        lambda question: byte_tokenizer().encode(template.replace("{question}", question)),
    )
    heard = run.generators[0].replica.engine.heard
    assert sorted((each.prompt_ids, each.until, each.max_tokens, each.seed) for each in found) == sorted(
        (tuple(each.prompt_ids), each.until, each.max_tokens, each.seed) for each in heard
    )
    prm = run.prms[0].replica.engine
    example = prm.format.question_ids("1 + 1")
    said = {ids: score for ids, score in prm.said.items() if ids[: len(example)] != example}
    assert recorded_scores(asked, tables.problems().to_pylist(), rows, prm.format) == said
    assert bool(said) == (name == "beam")


async def test_an_observed_replica_counts_what_goes_over_it(tmp_path):
    replica = ObservedReplica(LocalHandle("generator-0", fake_generator), tmp_path)
    before_s = time.time()
    info = await replica.hello()
    prefix_id, prefix = root_prefix_id("question 1"), TokenPrefix("question 1", ())
    calls = [SampleCall(str(seed), prefix_id, prefix, Until.END, 64, seed, Sampling(0.7)) for seed in range(5)]
    await replica.submit(info.incarnation, 1, calls[:2])
    await replica.submit(info.incarnation, 1, calls[2:])
    results: list[SampleResult] = []
    last = 0
    while len(results) < len(calls):
        collected = await replica.collect(info.incarnation, 1, last, 1.0)
        last = collected.last
        results += collected.results
    after_s = time.time()
    assert (await replica.collect(info.incarnation, 1, last, 0.0)).results == ()
    traffic = replica.take_traffic()
    assert (traffic.num_submits, traffic.num_calls, traffic.num_results) == (2, 5, 5)
    assert 1 <= traffic.num_collects <= 5
    assert before_s <= traffic.first_call_s <= traffic.last_result_s <= after_s
    assert 0.0 <= traffic.caller_cpu_s <= after_s - before_s + 1.0


def test_the_cores_in_use_are_told_by_role():
    with CoreUse({}) as use:
        started_s = time.time()
        while time.time() < started_s + 2.3:
            sum(range(1000))
    ended_s = time.time()
    cores = use.cores(started_s, ended_s)
    assert 0.0 < cores["driver"] <= 1.1  # how much of a core we got is the machine's business
