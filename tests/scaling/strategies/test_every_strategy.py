"""What must hold for every strategy that a recipe can name: it ends within its caps, and arrival changes nothing.

A new strategy is one line in `CASES`; a test fails while it is missing.
"""

import math
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path as File

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recipes.load import load_recipe
from jobs.recipes.section import PLUGIN
from jobs.recipes.strategies.registry import STRATEGIES
from jobs.recipes.strategy_factory import strategy_factory
from records.calls import SampleCall, SampledStep
from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Next, Reply, ReplyKind, Score, Scoring, Until, is_each
from records.rows import ProblemRecord, Status
from scaling.answers.extract import extract_answer
from scaling.search.accounting import Models, problem_record
from scaling.strategy import Choice, Request, StrategyFactory
from scaling.toy import play_strategy as play
from tests.support.clocks import ClockedWorld
from tests.support.tiers import some_of
from tests.support.world import NOTHING, World, problems, scheduler_for, toy_steps

RECIPE = File(__file__).parents[3] / "examples/arithmetic/best-of-16.toml"
MAX_TOKENS, MAX_STEP_TOKENS = 20, 6
N, D = 4, 6
"""Width, and most steps of one candidate."""
SEARCH = f"num_samples={N}, max_steps={D}"
BEAM = f"{SEARCH}, beam_width=2"


@dataclass(frozen=True)
class Case:
    """A strategy of the recipe with options, and the most children that it may ask for in all.

    Attributes:
        counts_only: it is run for its counts, so what it answers is not held against it.
        by_arrival: it gets its samples one by one, so the order of arrival decides which ones it has.
    """

    name: str
    options: str
    most_children: int
    counts_only: bool = False
    by_arrival: bool = False

    def __str__(self) -> str:
        return f"{self.name}, {self.options}" if self.options else self.name


CASES = [
    Case("sample", "", 1),
    Case("majority", f"num_samples={N}", N),
    Case("majority", f"num_samples={N}, weight_by='product'", N),
    Case("majority", "num_samples=7, stop_when_decided=true", 7, by_arrival=True),
    Case("majority", "num_samples=7, stop_when_decided=true, begin_as_needed=true", 7, by_arrival=True),
    Case("majority", "num_samples=5, stop_when_decided=true, weight_by='min'", 5, by_arrival=True),
    Case("best-of-n", f"num_samples={N}", N),
    Case("best-of-n", f"num_samples={N}, aggregation='min', selection='weighted-vote'", N),
    Case("beam-search", BEAM, N * D),
    Case("beam-search", f"{BEAM}, frequency=2, aggregation='min'", N * D),
    Case("dvts", BEAM, N * D),
    Case("rebase", SEARCH, N * D),
    Case("particle-filtering", SEARCH, N * D),
    Case("particle-filtering", f"{SEARCH}, resampling='systematic', resample_finished=false", N * D),
    Case("lookahead-beam", f"{BEAM}, lookahead=2", N * D * (1 + 2)),
    Case("adaptive-consistency", f"num_samples={N}", N),
    Case("adaptive-consistency", "num_samples=8, wave_size=3, confidence=0.7", 8),
    Case("adaptive-consistency", "num_samples=8, wave_size=3, look='order'", 8, by_arrival=True),
    Case("adaptive-consistency", "num_samples=8, wave_size=3, confidence=0.7, look='arrival'", 8, by_arrival=True),
    Case("short-m-of-k", "num_samples=6, num_first=2", 6, by_arrival=True),
    Case("backtracking", f"{BEAM}, max_backtracks=3", N * (D + 6)),
    Case("adaptive-best-of-n", "num_samples=6, min_samples=2, confidence=0.9, min_upper_quantile=0.2", 6),
    Case("adaptive-beam-search", BEAM, N * D),
    Case("adaptive-beam-search", f"{BEAM}, adapt='children', confidence=0.8", N * D),
    Case("adaptive-beam-search", f"{BEAM}, adapt='both', adapt_root=true, confidence=0.8", N * D),
    Case("sequential", "num_samples=6, wave_size=2", 6),
    Case("sequential", "num_samples=5, wave_size=2, threshold=0.6, min_gain=0.02, selection='majority'", 5),
    Case("sequential", "num_samples=6, wave_size=3, look='order'", 6, by_arrival=True),
    Case("sequential", "num_samples=6, wave_size=2, look='arrival', selection='majority'", 6, by_arrival=True),
    Case("marginal", "num_samples=6", 6),
    Case("marginal", "num_samples=5, wave_size=2, objective='coverage', min_gain=0.02", 5),
    Case("deepconf-offline", f"num_samples={N}, window=3, keep_share=0.5", N),
    Case(
        "deepconf-online", f"num_samples={N}, num_warmup=2, wave_size=2, window=3, keep_share=0.5, max_steps={D}", N * D
    ),
    Case(
        "deepconf-online",
        f"num_samples={N}, num_warmup=2, wave_size=2, window=3, keep_share=0.5, max_steps={D}, look='order'",
        N * D,
        by_arrival=True,
    ),
    Case(
        "deepconf-online",
        f"num_samples={N}, num_warmup=1, wave_size=3, window=3, consensus=0.6, max_steps={D}, look='arrival'",
        N * D,
        by_arrival=True,
    ),
    Case("power-sampling", "num_samples=2, num_mcmc_steps=3", 2 * (1 + 3)),
    Case("probe", f"num_samples={N}, probe_every=3, probe_tokens=4, num_agree=2", 2 * N * (MAX_TOKENS // 3 + 1)),
    Case(
        "probe",
        f"num_samples={N}, probe_every=5, num_agree=0, min_confidence=0.5, vote_confidence=0.7",
        2 * N * (MAX_TOKENS // 5),
    ),
    Case("rollout", "num_trajectories=2, num_continuations=2", 2 + 2 * (1 + 2 * MAX_TOKENS), counts_only=True),
    Case("question-score", "", 0, counts_only=True),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_whole_case = pytest.mark.parametrize("case", [case for case in CASES if not case.by_arrival], ids=str)


def test_every_strategy_is_here():
    assert {case.name for case in CASES} == set(STRATEGIES) - {PLUGIN}


@cache
def begin(case: Case) -> StrategyFactory:
    """The strategy as a recipe makes it."""
    limits = [f"generator.max_tokens={MAX_TOKENS}", f"generator.max_step_tokens={MAX_STEP_TOKENS}"]
    options = f", {case.options}" if case.options else ""
    return strategy_factory(load_recipe(RECIPE, [f"strategy={{name='{case.name}'{options}}}", *limits]))


# --- adversarial replies

Told = tuple[str, int, FinishReason]
ONE_TOKEN = ("and so on\n\n", 1, FinishReason.SEPARATOR)
TELLERS: dict[str, Callable[[random.Random], Told]] = {
    "endless": lambda rng: ONE_TOKEN,
    "empty": lambda rng: ("", 0, FinishReason.SEPARATOR),
    "no separator": lambda rng: ("words", MAX_STEP_TOKENS, FinishReason.LENGTH),
    "long": lambda rng: ("words\n\n", MAX_STEP_TOKENS, FinishReason.SEPARATOR),
    "at once": lambda rng: ("\\boxed{3}", 2, FinishReason.EOS),
    "mute": lambda rng: ("", 0, FinishReason.EOS),
    "half a box": lambda rng: ("\\boxed{", 2, FinishReason.EOS),
    "mixed": lambda rng: rng.choice([ONE_TOKEN, ONE_TOKEN, (f"\\boxed{{{rng.randrange(3)}}}", 3, FinishReason.EOS)]),
}
SCORERS: dict[str, Callable[[random.Random, int], float]] = {
    "equal": lambda rng, count: 0.5,
    "nought": lambda rng, count: 0.0,
    "certain": lambda rng, count: 1.0,
    "not a number": lambda rng, count: math.nan,
    "falling": lambda rng, count: 0.5**count,
    "noughts and ones": lambda rng, count: float(rng.randrange(2)),
    "random": lambda rng, count: rng.random(),
    "some not a number": lambda rng, count: rng.choice([math.nan, 0.2, 0.9]),
}
MOST_STEPS_OF_A_SAMPLE = 9
"""An engine that is told to sample to the end and makes empty steps is stopped after so many."""


@dataclass
class Adversary:
    """Answers with what a strategy might not expect, checks what it asks, and runs dry after `num_full` expansions."""

    teller: str
    scorer: str
    rng: random.Random
    num_full: int | None = None
    expansions: list[Expand] = field(default_factory=list)
    leaves: list[Path] = field(default_factory=list)
    num_score_requests: int = 0
    num_scores: int = 0
    num_nodes: int = 0
    num_requests: int = 0
    open: list[tuple[Path, tuple[int, int]]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        self.num_requests += 1
        if not is_each(request):
            self.open.clear()
        if isinstance(request, Score):
            self.num_score_requests += 1
            return Reply(ReplyKind.FULL, tuple(replace(path, score=self.score()) for path in request.paths))
        if isinstance(request, Next):
            assert self.open, "waits for nothing"
            return self.one_of_all()
        assert self.num_full is None or len(self.expansions) <= self.num_full, "asks on after the budget has run out"
        self.expansions.append(request)
        self.check(request)
        children = [self.child(path, request) for path, count in request.parents for _ in range(count)]
        kind = ReplyKind.FULL
        if self.num_full is not None and len(self.expansions) > self.num_full:
            children = [child for child in children if self.rng.random() < 0.4]
            kind = ReplyKind.REDUCED if children else ReplyKind.BUDGET_EXHAUSTED
        if is_each(request):
            self.open += [(child, (self.num_requests, number)) for number, child in enumerate(children)]
            return self.one_of_all()
        self.leaves += children
        return Reply(kind, tuple(children))

    def one_of_all(self) -> Reply:
        """Any of the children that are open."""
        ran_dry = self.num_full is not None and len(self.expansions) > self.num_full
        if not self.open:
            return Reply(ReplyKind.REDUCED if self.leaves else ReplyKind.BUDGET_EXHAUSTED, ())
        leaf, name = self.open.pop(self.rng.randrange(len(self.open)))
        self.leaves.append(leaf)
        return Reply(ReplyKind.REDUCED if ran_dry else ReplyKind.FULL, (leaf,), (name,), len(self.open))

    @staticmethod
    def check(request: Expand) -> None:
        assert request.parents
        for path, count in request.parents:
            assert count > 0
            assert not path.finished
            left_tokens = MAX_TOKENS - len(path.solution_token_ids)
            assert left_tokens > 0
            most = MAX_STEP_TOKENS if request.until is Until.STEP else left_tokens
            assert 0 < request.most_tokens(path) <= most

    def child(self, parent: Path, request: Expand) -> Path:
        """One step, so many tokens, or steps to the end."""
        path, left_tokens = parent, request.most_tokens(parent)
        for number in range(MOST_STEPS_OF_A_SAMPLE):
            text, num_tokens, reason = TELLERS[self.teller](self.rng)
            to_the_end = request.until is not Until.STEP
            last = number == MOST_STEPS_OF_A_SAMPLE - 1 and to_the_end and reason is FinishReason.SEPARATOR
            if num_tokens > left_tokens or last:
                text, num_tokens = text[:3], min(num_tokens, left_tokens)
                reason = FinishReason.TOKENS if request.until is Until.TOKENS else FinishReason.LENGTH
            left_tokens -= num_tokens
            self.num_nodes += 1
            path = Path(self.num_nodes, path, text, (1,) * num_tokens, reason, *self.certainty(request, num_tokens))
            if request.scoring is Scoring.STEPS:
                path = replace(path, score=self.score())
            if reason is not FinishReason.SEPARATOR or not to_the_end:
                break
        return replace(path, score=self.score()) if request.scoring is Scoring.LEAF else path

    def certainty(
        self, request: Expand, num_tokens: int
    ) -> tuple[float | None, None, tuple[float, ...] | None, float | None]:
        """Log-probability, no score, confidences, log-probability as drawn; the scorer's numbers, if asked for."""
        if request.top_logprobs == 0:
            return None, None, None, None
        logprob, drawn, *confidences = (SCORERS[self.scorer](self.rng, number) for number in range(num_tokens + 2))
        return logprob, None, tuple(confidences), drawn

    def score(self) -> PrmScore:
        self.num_scores += 1
        number = SCORERS[self.scorer](self.rng, self.num_scores)
        return PrmScore(number, number, number)


def check_end(case: Case, choice: Choice, adversary: Adversary) -> None:
    """The strategy has ended: within its caps, with an answer that was sampled."""
    asked = [count for request in adversary.expansions for _, count in request.parents]
    assert sum(asked) <= case.most_children
    assert adversary.num_score_requests <= 2 * len(adversary.expansions) + 2
    assert all(len(path.solution_token_ids) < MAX_TOKENS + MAX_STEP_TOKENS for path in adversary.leaves)
    if not adversary.leaves:
        assert choice == Choice(None, None, ())
        return
    assert choice.path in choice.candidates
    assert {path.node_id for path in choice.candidates} <= {path.node_id for path in adversary.leaves}
    if choice.answer_p is not None:
        p = choice.answer_p
        assert 0 <= p.lower <= p.median <= p.upper <= 1
    ran_dry = adversary.num_full is not None and len(adversary.expansions) > adversary.num_full
    if ran_dry and not case.counts_only and any(extract_answer(path.solution) for path in adversary.leaves):
        assert choice.answer is not None, "the budget ran out, and an answer that was paid for is kept back"


def place(case: Case) -> int:
    """A number that follows from a strategy's name and options alone: where it begins where it is not to do all."""
    return zlib.crc32(str(case).encode())


def two_scorers(case: Case, teller: str) -> list[str]:
    """Each strategy meets every scorer twice over the eight tellers."""
    first = place(case) + list(TELLERS).index(teller)
    return [list(SCORERS)[at % len(SCORERS)] for at in (first, first + 3)]


@every_case
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_it_ends_within_its_caps_whatever_it_is_told(case, whole):
    """And wherever the budget ends it: after each of its expansions."""
    pairs = [(teller, scorer) for teller in TELLERS for scorer in (SCORERS if whole else two_scorers(case, teller))]
    for teller, scorer in pairs:
        full = Adversary(teller, scorer, random.Random(1))
        check_end(case, play(begin(case)(Path(0, None, "question")), full), full)
        for num_full in range(len(full.expansions)):
            cut = Adversary(teller, scorer, random.Random(1), num_full)
            check_end(case, play(begin(case)(Path(0, None, "question")), cut), cut)


@every_case
@given(
    teller=st.sampled_from(list(TELLERS)),
    scorer=st.sampled_from(list(SCORERS)),
    seed=st.integers(0, 10**6),
    num_full=st.none() | st.integers(0, 2 * D),
)
@settings(max_examples=some_of(30), deadline=None)
def test_it_ends_within_its_caps_in_random_worlds(case, teller, scorer, seed, num_full):
    adversary = Adversary(teller, scorer, random.Random(seed), num_full)
    check_end(case, play(begin(case)(Path(0, None, "question")), adversary), adversary)


# --- caps of the run


def record(world: World) -> Iterator[ProblemRecord]:
    """All rows of each problem."""
    for one in world.concluded:
        yield problem_record(
            one.search,
            correct=None,
            models=Models(10, 20, None),
            strategy="s",
            wall_seconds=one.wall_seconds,
            share=NOTHING,
        )


@every_case
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_a_cap_at_every_token_is_kept_and_the_problem_ends(case, every):
    """From no token at all up to what it takes without a cap, where nothing is missing."""
    free = World(scheduler_for(begin(case)), random.Random(0))
    free.run(problems(1))
    [whole] = record(free)
    num_tokens = whole.problem.generated_tokens
    for total in {*range(place(case) % every, num_tokens + 1, every), 0, num_tokens}:
        world = ClockedWorld(scheduler_for(begin(case), total_tokens=total), random.Random(total), seed=total)
        world.run(problems(1))
        [rows] = record(world)
        assert rows.problem.generated_tokens <= world.most_spent_tokens <= total
        assert world.scheduler.ledger.reserved_tokens == 0
        assert world.concluded[0].search.choice is not None
        answered = any(step.text.startswith("\\boxed") for step in rows.steps)
        if rows.problem.status is Status.BUDGET_EXHAUSTED and answered and not case.counts_only:
            assert rows.problem.answer is not None
        if rows.problem.status is Status.SUCCEEDED and not case.by_arrival:
            assert results(world, granted=False) == results(free, granted=False)


# --- the order of arrival


def results(world: World, *, granted: bool = True) -> dict[str, tuple[object, ...]]:
    """What must not depend on the world: all rows, but for who served them and when. None of a problem that failed.

    What was granted to each child is left out where one of the worlds has a cap: near a cap grants are clamped.
    """
    found: dict[str, tuple[object, ...]] = {}
    for rows in record(world):
        assert rows.problem.problem_id not in found, "a problem concluded twice"
        if rows.problem.status is Status.FAILED:
            continue
        steps = [
            replace(step, replica="", prm_replica=None, queued_seconds=0.0, run_seconds=0.0) for step in rows.steps
        ]
        requests = [row if granted else replace(row, granted_tokens=()) for row in rows.requests]
        found[rows.problem.problem_id] = (replace(rows.problem, wall_seconds=0.0), steps, requests, rows.rollouts)
    return found


NUM_PROBLEMS = 4


@cache
def calm(case: Case, *, granted: bool = True) -> dict[str, tuple[object, ...]]:
    """One replica of each kind, which answers in rounds, and no cap."""
    world = World(scheduler_for(begin(case)), random.Random(0))
    world.run(problems(NUM_PROBLEMS), generators=1, prms=1)
    return results(world, granted=granted)


@every_whole_case
def test_clocks_of_their_own_change_no_row(case):
    """Every other seed with deaths, in which a problem that met three of them may fail."""
    expected = calm(case)
    assert len(expected) == NUM_PROBLEMS
    num_deaths = num_found = 0
    seeds = range(some_of(20))
    for seed in seeds:
        world = ClockedWorld(
            scheduler_for(begin(case)),
            random.Random(seed),
            seed=seed,
            missing_rate=0.2,
            mean_life_s=8.0 if seed % 2 else None,
        )
        world.run(problems(NUM_PROBLEMS), generators=1 + seed % 3, prms=1 + seed % 2)
        found = results(world)
        assert found == {problem_id: expected[problem_id] for problem_id in found}
        assert len(found) == NUM_PROBLEMS or world.num_deaths
        assert len(world.concluded) == NUM_PROBLEMS
        num_deaths += world.num_deaths
        num_found += len(found)
    assert num_found > 0.8 * len(seeds) * NUM_PROBLEMS
    assert num_deaths > len(seeds) / 4


@every_whole_case
@given(seed=st.integers(0, 10**6), total=st.integers(1, 40 * NUM_PROBLEMS))
@settings(max_examples=some_of(10), deadline=None)
def test_under_a_cap_only_the_problems_that_it_cuts_differ(case, seed, total):
    world = ClockedWorld(scheduler_for(begin(case), total_tokens=total), random.Random(seed), seed=seed)
    world.run(problems(NUM_PROBLEMS), generators=1 + seed % 3)
    assert world.most_spent_tokens <= total
    rows = {row.problem.problem_id: row.problem for row in record(world)}
    assert len(rows) == NUM_PROBLEMS
    for problem_id, found in results(world, granted=False).items():
        if rows[problem_id].status is Status.SUCCEEDED:
            assert found == calm(case, granted=False)[problem_id]


def test_clocks_do_change_the_order_of_arrival():
    """So that the tests above say something: parts of one reply arrive in different orders."""
    orders = set()
    for seed in range(5):
        world = ClockedWorld(scheduler_for(begin(CASES[3])), random.Random(seed), seed=seed)
        seen: list[str] = []
        served = world._sample
        world._sample = lambda call, seen=seen, served=served: (seen.append(call.key), served(call))[1]
        world.run(problems(1))
        orders.add(tuple(seen))
    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1


def test_simulated_steps_are_greedy_and_the_tables_say_so():
    temperatures: dict[tuple[str, str], set[float]] = {}

    def steps(call: SampleCall) -> list[SampledStep]:
        problem_id, request, *_ = call.key.split("/")
        temperatures.setdefault((problem_id, request), set()).add(call.sampling.temperature)
        return toy_steps(call)

    [lookahead] = [case for case in CASES if case.name == "lookahead-beam"]
    world = World(scheduler_for(begin(lookahead)), random.Random(1), steps=steps)
    world.run(problems(3))
    rows = {(row.problem_id, str(row.request)): row for one in world.concluded for row in one.search.requests}
    assert {row.temperature for row in rows.values()} == {0.0, None}
    assert temperatures == {
        key: {0.7 if row.temperature is None else row.temperature} for key, row in rows.items() if row.kind == "expand"
    }
