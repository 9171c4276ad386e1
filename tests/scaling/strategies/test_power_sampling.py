"""Power sampling on distributions small enough to be written out: all solutions of at most four steps."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.strategies.published import power_sampling as module
from scaling.strategies.published.power_sampling import log_acceptance, power_sampling
from scaling.strategy import Choice, SearchLimits, Strategy
from scaling.uncertainty.selection import Selection
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

MAX_STEPS = 4
LIMITS = SearchLimits(max_tokens=MAX_STEPS, max_step_tokens=1)
ROOT = Path(0, None, "question")
ALPHA = 3.0

Solution = tuple[str, ...]
Acceptance = Callable[[Path, Path, int, float], float]


@dataclass(frozen=True)
class Model:
    """A generator of steps "a" and "b", each of which may be the last; the fourth is.

    A token is a step and whether it is the last: its logits come from a hash of the steps so far.
    """

    seed: int

    def choices(self, past: Solution, temperature: float) -> dict[tuple[str, bool], float]:
        """Chances of each next (step, whether it is the last)."""
        rng = random.Random(f"{self.seed}|{past}")
        logits = {(step, last): 1.5 * rng.gauss(0, 1) for step in "ab" for last in (False, True)}
        if len(past) == MAX_STEPS - 1:
            logits = {(step, last): logit for (step, last), logit in logits.items() if last}
        total = sum(math.exp(logit / temperature) for logit in logits.values())
        return {choice: math.exp(logit / temperature) / total for choice, logit in logits.items()}

    def node(self, node_id: int, parent: Path, past: Solution, choice: tuple[str, bool], temperature: float) -> Path:
        step, last = choice
        reason = FinishReason.EOS if last else FinishReason.SEPARATOR
        text = f"\\boxed{{{''.join(past) + step}}}" if last else f"{step}\n\n"
        p, q = self.choices(past, 1.0)[choice], self.choices(past, temperature)[choice]
        return Path(node_id, parent, text, (1,), reason, math.log(p), None, (1.0,), math.log(q))

    def path(self, solution: Solution, temperature: float) -> Path:
        path = ROOT
        for number in range(len(solution)):
            last = number == len(solution) - 1
            path = self.node(number + 1, path, solution[:number], (solution[number], last), temperature)
        return path

    def chance(self, solution: Solution, temperature: float, start: int = 0) -> float:
        """Of what follows the first `start` steps."""
        chances = (
            self.choices(solution[:number], temperature)[solution[number], number == len(solution) - 1]
            for number in range(start, len(solution))
        )
        return math.prod(chances)


SOLUTIONS: list[Solution] = [
    steps for length in range(1, MAX_STEPS + 1) for steps in itertools.product("ab", repeat=length)
]


def target(model: Model, alpha: float) -> NDArray[np.float64]:
    weights = np.array([model.chance(solution, 1.0) ** alpha for solution in SOLUTIONS])
    return np.asarray(weights / weights.sum())


def transitions(model: Model, alpha: float, accept: Acceptance) -> NDArray[np.float64]:
    """The chain as a matrix: chance of going from each solution to each other in one move."""
    matrix = np.zeros((len(SOLUTIONS), len(SOLUTIONS)))
    paths = [model.path(solution, 1 / alpha) for solution in SOLUTIONS]
    for here, old in enumerate(SOLUTIONS):
        for cut in range(len(old)):
            for there, new in enumerate(SOLUTIONS):
                if len(new) > cut and new[:cut] == old[:cut]:
                    proposed = model.chance(new, 1 / alpha, cut) / len(old)
                    moved = proposed * min(1.0, math.exp(accept(paths[here], paths[there], cut, alpha)))
                    matrix[here, there] += moved
                    matrix[here, here] += proposed - moved
    return matrix


def without_cut_correction(current: Path, proposal: Path, cut: int, alpha: float) -> float:
    return log_acceptance(current, proposal, cut, alpha) - math.log(current.depth / proposal.depth)


def without_proposal_correction(current: Path, proposal: Path, cut: int, alpha: float) -> float:
    old, new = current.lineage[cut:], proposal.lineage[cut:]
    gain = sum(step.logprob_sum or 0.0 for step in new) - sum(step.logprob_sum or 0.0 for step in old)
    return alpha * gain + math.log(current.depth / proposal.depth)


def always(current: Path, proposal: Path, cut: int, alpha: float) -> float:
    return 0.0


def cut_to_equal_length(current: Path, proposal: Path, cut: int, alpha: float) -> float:
    """As in the paper's code: of the longer remainder only as much counts as the shorter one has."""
    old, new = current.lineage[cut:], proposal.lineage[cut:]
    shared = min(len(old), len(new))
    log_p = [sum(step.logprob_sum or 0.0 for step in steps[:shared]) for steps in (new, old)]
    log_q = [sum(step.sampled_logprob_sum or 0.0 for step in steps[:shared]) for steps in (new, old)]
    return alpha * (log_p[0] - log_p[1]) - (log_q[0] - log_q[1])


WRONG: list[Acceptance] = [without_cut_correction, without_proposal_correction, always, cut_to_equal_length]


@given(seed=st.integers(0, 10**6), alpha=st.floats(1.0, 6.0))
@settings(max_examples=some_of(30))
def test_detailed_balance_is_exact_and_the_chain_forgets_where_it_began(seed, alpha):
    model = Model(seed)
    wanted, chain = target(model, alpha), transitions(model, alpha, log_acceptance)
    assert chain.sum(axis=1) == pytest.approx(1.0)
    flow = wanted[:, None] * chain
    assert np.abs(flow - flow.T).max() < 1e-12
    assert np.abs(wanted @ chain - wanted).max() < 1e-12
    assert (chain[:, wanted.argmax()] > 0).all()  # the first cut leads everywhere


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_ratio_goes_elsewhere(wrong):
    """What the bounds of these tests would catch: the limit of the wrong chain is far from the target."""
    distances = []
    for seed in range(some_of(20)):
        chain = np.linalg.matrix_power(transitions(Model(seed), ALPHA, wrong), 4096)
        distances.append(0.5 * np.abs(chain[0] - target(Model(seed), ALPHA)).sum())
    assert np.mean(distances) > 0.05


class Sampler:
    """Plays the generator: the rest of a solution, drawn at the request's temperature."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model = model
        self.rng = random.Random(seed)
        self.num_nodes = 0
        self.asked: list[Expand] = []

    def __call__(self, request: Expand | Score) -> Reply:
        assert isinstance(request, Expand)
        assert (request.until, request.scoring, request.top_logprobs) == (Until.END, Scoring.NONE, 20)
        assert request.temperature == 1 / ALPHA
        assert request.max_path_tokens == LIMITS.max_tokens
        self.asked.append(request)
        leaves = [self.leaf(path, 1 / ALPHA) for path, count in request.parents for _ in range(count)]
        return Reply(ReplyKind.FULL, tuple(leaves))

    def leaf(self, path: Path, temperature: float) -> Path:
        while not path.finished:
            past = steps_of(path)
            choices = self.model.choices(past, temperature)
            [choice] = self.rng.choices(list(choices), weights=list(choices.values()))
            self.num_nodes += 1
            path = self.model.node(self.num_nodes, path, past, choice, temperature)
        return path


def steps_of(path: Path) -> Solution:
    return tuple(node.text.strip().removeprefix("\\boxed{").removesuffix("}")[-1] for node in path.lineage)


def play(strategy: Strategy, answer: Callable[[Any], Reply]) -> Choice:
    try:
        request = next(strategy)
        while True:
            request = strategy.send(answer(request))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def distance_of_samples(seed: int, num_chains: int, num_moves: int) -> float:
    """Total variation distance between the last solutions of many chains and the target."""
    strategy = power_sampling(
        ROOT, limits=LIMITS, seed=seed, num_samples=num_chains, alpha=ALPHA, num_mcmc_steps=num_moves
    )
    choice = play(strategy, Sampler(Model(MODEL_SEED), seed))
    counts = Counter(steps_of(path) for path in choice.candidates)
    found = np.array([counts[solution] / num_chains for solution in SOLUTIONS])
    return float(0.5 * np.abs(found - target(Model(MODEL_SEED), ALPHA)).sum())


MODEL_SEED = 5
BOUND = 0.025
"""Of the distance: 3,000 samples of the target itself are some 0.01 away from it."""


def test_the_strategy_samples_its_target():
    assert distance_of_samples(5, 3000, 12) < BOUND


@pytest.mark.parametrize("wrong", [*(pytest.param(wrong, marks=pytest.mark.long) for wrong in WRONG), "no moves"])
def test_with_a_wrong_ratio_or_without_moves_it_does_not(wrong, monkeypatch):
    if wrong == "no moves":
        assert distance_of_samples(5, 3000, 0) > BOUND
        return
    monkeypatch.setattr(module, "log_acceptance", wrong)
    assert distance_of_samples(5, 3000, 12) > BOUND


def chain_of(*texts: str, reason: FinishReason = FinishReason.EOS, log_p: float = -1.0, log_q: float = -0.5) -> Path:
    path = ROOT
    for number, text in enumerate(texts, start=1):
        why = reason if number == len(texts) else FinishReason.SEPARATOR
        path = Path(number, path, text, (1,), why, log_p, None, (1.0,), log_q)
    return path


def test_cut_solutions_are_left_and_never_entered():
    whole, cut = chain_of("a\n\n", "b"), chain_of("a\n\n", "b", reason=FinishReason.LENGTH)
    assert log_acceptance(whole, cut, 0, 4.0) == -math.inf
    assert log_acceptance(cut, cut, 0, 4.0) == -math.inf
    assert log_acceptance(cut, whole, 0, 4.0) == 0


def test_a_blank_step_after_the_cut_is_refused_both_ways():
    plain, blank = chain_of("a\n\n", "b"), chain_of("a\n\n", "\n\n", "b")
    assert log_acceptance(plain, blank, 1, 4.0) == log_acceptance(blank, plain, 1, 4.0) == -math.inf
    assert log_acceptance(plain, blank, 0, 4.0) == pytest.approx(4 * -1.0 + 0.5 + math.log(2 / 3))


def test_numbers_that_are_none_are_refused_and_missing_ones_named():
    assert log_acceptance(chain_of("a"), chain_of("b", log_p=math.nan), 0, 4.0) == -math.inf
    unknown = Path(1, ROOT, "a", (1,), FinishReason.EOS, -1.0)
    with pytest.raises(ValueError, match="did not ask"):
        log_acceptance(chain_of("a"), unknown, 0, 4.0)


def test_chains_share_rounds_and_the_best_scored_may_answer() -> None:
    sampler = Sampler(Model(3), 1)
    scored: list[Score] = []

    def answer(request: Expand | Score) -> Reply:
        if isinstance(request, Expand):
            return sampler(request)
        scored.append(request)
        scores = [PrmScore(at / 10, at / 10, at / 10) for at in range(len(request.paths))]
        paths = [replace(path, score=score) for path, score in zip(request.paths, scores, strict=True)]
        return Reply(ReplyKind.FULL, tuple(paths))

    strategy = power_sampling(
        ROOT, limits=LIMITS, seed=1, num_samples=5, alpha=ALPHA, num_mcmc_steps=3, selection=Selection.BEST
    )
    choice = play(strategy, answer)
    assert [sum(count for _, count in request.parents) for request in sampler.asked] == [5] * 4
    assert len(scored) == 1
    assert choice.path is not None
    assert choice.path.node_id == choice.candidates[-1].node_id
