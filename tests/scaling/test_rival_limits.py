"""What must hold for every rival strategy: it ends within its caps whatever it is told, and arrival changes nothing."""

import math
import random
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.calls import SampleCall, SampledStep, Sampling
from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.accounting import Models, problem_record
from scaling.answers import extract_answer
from scaling.scheduler import Concluded
from scaling.selection import Selection
from scaling.strategies.adaptive_consistency import adaptive_consistency
from scaling.strategies.backtracking import backtracking
from scaling.strategies.deepconf import deepconf_offline, deepconf_online
from scaling.strategies.dvts import dvts
from scaling.strategies.lookahead_beam import lookahead_beam
from scaling.strategies.particle_filtering import Resampling, particle_filtering
from scaling.strategies.power_sampling import power_sampling
from scaling.strategies.rebase import rebase
from scaling.strategy import Choice, SearchLimits, Strategy, StrategyFactory
from tests.world import World, problems, scheduler_for, toy_steps

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
N, MAX_STEPS = 6, 12

RIVALS: dict[str, StrategyFactory] = {
    "dvts": partial(dvts, limits=LIMITS, num_samples=N, beam_width=2, max_steps=MAX_STEPS),
    "rebase": partial(rebase, limits=LIMITS, num_samples=N, max_steps=MAX_STEPS),
    "particles": partial(particle_filtering, limits=LIMITS, seed=3, num_samples=N, max_steps=MAX_STEPS),
    "systematic": partial(
        particle_filtering,
        limits=LIMITS,
        seed=3,
        num_samples=N,
        max_steps=MAX_STEPS,
        resampling=Resampling.SYSTEMATIC,
        resample_finished=False,
    ),
    "lookahead": partial(lookahead_beam, limits=LIMITS, num_samples=N, beam_width=3, lookahead=2, max_steps=MAX_STEPS),
    "adaptive": partial(adaptive_consistency, limits=LIMITS, num_samples=N, wave_size=2),
    "backtracking": partial(
        backtracking, limits=LIMITS, num_samples=N, beam_width=3, max_steps=MAX_STEPS, max_backtracks=3
    ),
    "deepconf-offline": partial(deepconf_offline, limits=LIMITS, num_samples=N, window=4, keep_share=0.5),
    "deepconf-online": partial(
        deepconf_online,
        limits=LIMITS,
        num_samples=N,
        num_warmup=2,
        wave_size=2,
        max_steps=MAX_STEPS,
        window=3,
        keep_share=0.5,
    ),
    "power-sampling": partial(power_sampling, limits=LIMITS, seed=3, num_samples=N, num_mcmc_steps=4),
    "power-best": partial(
        power_sampling, limits=LIMITS, seed=3, num_samples=2, num_mcmc_steps=3, selection=Selection.BEST
    ),
}
MOST_EXPANSIONS = {
    "dvts": MAX_STEPS - 1 + 3,  # the last step is one request per subtree
    "rebase": MAX_STEPS,
    "particles": MAX_STEPS,
    "systematic": MAX_STEPS,
    "lookahead": MAX_STEPS * 3,
    "adaptive": 3,
    "backtracking": MAX_STEPS + 6,
    "deepconf-offline": 1,
    "deepconf-online": 1 + 2 * MAX_STEPS,
    "power-sampling": 1 + 4,
    "power-best": 1 + 3,
}
every_rival = pytest.mark.parametrize("name", RIVALS)

ONE_TOKEN = ("and so on\n\n", 1, FinishReason.SEPARATOR)
TELLERS = {
    "endless": lambda rng: ONE_TOKEN,
    "empty": lambda rng: ("", 0, FinishReason.SEPARATOR),
    "long": lambda rng: ("words\n\n", 8, FinishReason.SEPARATOR),
    "at once": lambda rng: ("\\boxed{3}", 2, FinishReason.EOS),
    "mute": lambda rng: ("", 0, FinishReason.EOS),
    "cut": lambda rng: ("wor", 8, FinishReason.LENGTH),
    "mixed": lambda rng: rng.choice([ONE_TOKEN, ONE_TOKEN, (f"\\boxed{{{rng.randrange(3)}}}", 3, FinishReason.EOS)]),
}
SCORERS = {
    "equal": lambda rng: 0.5,
    "nought": lambda rng: 0.0,
    "certain": lambda rng: 1.0,
    "not a number": lambda rng: math.nan,
    "falling": lambda rng: next(rng.falling),
    "random": lambda rng: rng.random(),
    "some not a number": lambda rng: rng.choice([math.nan, 0.2, 0.9]),
}


class Fate(random.Random):
    """A random source that also counts down."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.falling = (0.5**count for count in range(10**9))


@dataclass
class Adversary:
    """Answers with what a strategy might not expect, checks what it asks, and runs dry after `num_full` expansions."""

    teller: str
    scorer: str
    rng: Fate
    num_full: int | None = None
    expansions: list[Expand] = field(default_factory=list)
    leaves: list[Path] = field(default_factory=list)
    num_nodes: int = 0

    def __call__(self, request: Expand | Score) -> Reply:
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, tuple(replace(path, score=self.score()) for path in request.paths))
        assert self.num_full is None or len(self.expansions) <= self.num_full, "asks on after the budget has run out"
        self.expansions.append(request)
        assert request.parents
        for path, num_samples in request.parents:
            assert num_samples > 0
            assert not path.finished
            assert len(path.solution_token_ids) < LIMITS.max_tokens
        children = [self.child(path, request) for path, num_samples in request.parents for _ in range(num_samples)]
        kind = ReplyKind.FULL
        if self.num_full is not None and len(self.expansions) > self.num_full:
            children = [child for child in children if self.rng.random() < 0.4]
            kind = ReplyKind.REDUCED if children else ReplyKind.BUDGET_EXHAUSTED
        self.leaves += children
        return Reply(kind, tuple(children))

    def child(self, parent: Path, request: Expand) -> Path:
        text, num_tokens, reason = TELLERS[self.teller](self.rng)
        while request.until is Until.END and reason is FinishReason.SEPARATOR:
            text, num_tokens, reason = text + "cut", request.max_tokens, FinishReason.LENGTH
        self.num_nodes += 1
        score = None if request.scoring is Scoring.NONE else self.score()
        if request.top_logprobs == 0:
            return Path(self.num_nodes, parent, text, (1,) * num_tokens, reason, None, score)
        numbers = [SCORERS[self.scorer](self.rng) for _ in range(num_tokens + 2)]
        sums, confidences = numbers[:2], tuple(numbers[2:])
        return Path(self.num_nodes, parent, text, (1,) * num_tokens, reason, sums[0], score, confidences, sums[1])

    def score(self) -> PrmScore:
        number = SCORERS[self.scorer](self.rng)
        return PrmScore(number, number, number)


def play(strategy: Strategy, adversary: Adversary) -> Choice:
    try:
        request = next(strategy)
        while True:
            request = strategy.send(adversary(request))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


@every_rival
@given(
    teller=st.sampled_from(list(TELLERS)),
    scorer=st.sampled_from(list(SCORERS)),
    seed=st.integers(0, 10**6),
    num_full=st.none() | st.integers(0, 8),
)
@settings(max_examples=150)
def test_it_ends_within_its_caps_whatever_it_is_told(name, teller, scorer, seed, num_full):
    adversary = Adversary(teller, scorer, Fate(seed), num_full)
    choice = play(RIVALS[name](Path(0, None, "question")), adversary)
    assert len(adversary.expansions) <= MOST_EXPANSIONS[name]
    assert all(sum(count for _, count in request.parents) <= N for request in adversary.expansions)
    assert all(len(path.solution_token_ids) < 40 + 8 for path in adversary.leaves)
    if not adversary.leaves:
        assert choice == Choice(None, None, ())
        return
    assert choice.path in choice.candidates
    assert {path.node_id for path in choice.candidates} <= {path.node_id for path in adversary.leaves}
    answers = {extract_answer(path.solution) for path in adversary.leaves}
    if num_full is not None and len(adversary.expansions) > num_full and answers != {None}:
        assert choice.answer is not None, "the budget ran out, and an answer that was paid for is kept back"


def outcomes(world: World) -> dict[str, tuple[object, ...]]:
    """What each problem came to, without who served it and when; not of those that died with too many replicas."""
    return {
        one.search.problem.problem_id: (
            one.search.choice and (one.search.choice.answer, [path.node_id for path in one.search.choice.candidates]),
            [replace(step, replica="", prm_replica=None) for step in one.search.steps],
            one.search.requests,
        )
        for one in world.concluded
        if one.search.error is None
    }


@every_rival
@given(seed=st.integers(0, 10**6), deaths=st.sampled_from([0.0, 0.01]), generators=st.integers(1, 3))
@settings(max_examples=20)
def test_arrival_deaths_and_forgotten_prefixes_change_nothing(name, seed, deaths, generators):
    calm = World(scheduler_for(RIVALS[name]), random.Random(0))
    calm.run(problems(5), generators=1, prms=1)
    rough = World(scheduler_for(RIVALS[name]), random.Random(seed), death_rate=deaths, missing_rate=0.3)
    rough.run(problems(5), generators=generators, prms=2)
    expected, found = outcomes(calm), outcomes(rough)
    assert len(expected) == 5
    assert found == {problem_id: expected[problem_id] for problem_id in found}
    assert deaths or len(found) == 5


@every_rival
@given(seed=st.integers(0, 10**6), total=st.integers(1, 600))
@settings(max_examples=15)
def test_under_a_cap_every_problem_concludes_and_no_token_is_spent_beyond(name, seed, total):
    world = World(scheduler_for(RIVALS[name], total_tokens=total), random.Random(seed), missing_rate=0.2)
    world.run(problems(5))
    assert len(world.concluded) == 5
    assert world.most_spent_tokens <= total
    for one in world.concluded:
        assert one.search.choice is not None
        answered = any(step.text.startswith("\\boxed") for step in one.search.steps)
        assert one.search.choice.answer is not None or not (one.search.cut and answered)


def test_simulated_steps_are_greedy_and_the_tables_say_so():
    temperatures: dict[tuple[str, str], set[float]] = {}

    def steps(call: SampleCall) -> list[SampledStep]:
        problem_id, request, *_ = call.key.split("/")
        temperatures.setdefault((problem_id, request), set()).add(call.sampling.temperature)
        return toy_steps(call)

    world = World(scheduler_for(RIVALS["lookahead"]), random.Random(1), steps=steps)
    world.run(problems(3))
    rows = {(row.problem_id, str(row.request)): row for one in world.concluded for row in one.search.requests}
    assert {row.temperature for row in rows.values()} == {0.0, None}
    assert temperatures == {
        key: {0.7 if row.temperature is None else 0.0} for key, row in rows.items() if row.kind == "expand"
    }


def test_power_sampling_asks_for_its_own_distribution_and_for_what_a_path_has_left():
    calls: list[SampleCall] = []
    parents: dict[str, int] = {}

    def steps(call: SampleCall) -> list[SampledStep]:
        calls.append(call)
        parents[call.key] = 0 if call.prefix is None else len(call.prefix.token_ids)
        return toy_steps(call)

    scheduler = scheduler_for(RIVALS["power-sampling"])
    scheduler._sampling = Sampling(0.7, top_p=0.5)
    world = World(scheduler, random.Random(1), steps=steps)
    world.run(problems(3))
    assert {(call.sampling, call.top_logprobs) for call in calls} == {(Sampling(0.25, top_p=1.0), 20)}
    in_full = [call for call in calls if call.prefix is not None]
    assert any(parents[call.key] for call in in_full)
    assert all(call.max_tokens == LIMITS.max_tokens - parents[call.key] for call in in_full)
    lengths = [len(path.solution_token_ids) for one in world.concluded for path in candidates_of(one)]
    assert max(lengths) <= LIMITS.max_tokens
    assert {row.temperature for one in world.concluded for row in one.search.requests} == {0.25}


def candidates_of(one: Concluded) -> tuple[Path, ...]:
    assert one.search.choice is not None
    return one.search.choice.candidates


def test_deepconf_asks_with_the_sampling_of_the_run_and_pays_for_what_it_aborts():
    calls: list[SampleCall] = []

    def steps(call: SampleCall) -> list[SampledStep]:
        calls.append(call)
        return toy_steps(call)

    online = partial(
        deepconf_online, limits=LIMITS, num_samples=30, num_warmup=6, wave_size=6, window=3, keep_share=0.5,
        consensus=1.0,
    )  # fmt: skip
    world = World(scheduler_for(online), random.Random(1), steps=steps)
    world.run(problems(5))
    assert {(call.sampling, call.top_logprobs) for call in calls} == {(Sampling(0.7), 20)}
    models = Models(10, None, None)
    for one in world.concluded:
        row = problem_record(one.search, correct=None, models=models, strategy="s", wall_seconds=0.0).problem
        assert 0 < row.pruned_tokens < row.generated_tokens
        for path in candidates_of(one):  # none of them was aborted
            assert path.finished or len(path.solution_token_ids) >= LIMITS.max_tokens
        begun = sum(count for row in one.search.requests if row.node_ids == (0,) for count in row.num_samples)
        assert len(candidates_of(one)) < begun <= 30
    assert all(step.token_confidences for one in world.concluded for step in one.search.steps)
