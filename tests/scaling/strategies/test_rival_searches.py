"""The rival strategies step by step: fed by hand, and against slow twins on random trees."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.answers.extract import extract_answer
from scaling.strategies.beam_search import beam_search
from scaling.strategies.majority import majority
from scaling.strategies.published.adaptive_consistency import adaptive_consistency, majority_probability
from scaling.strategies.published.backtracking import backtracking
from scaling.strategies.published.dvts import dvts
from scaling.strategies.published.lookahead_beam import lookahead_beam
from scaling.strategies.published.particle_filtering import (
    Resampling,
    draw_particles,
    particle_filtering,
    particle_weights,
)
from scaling.strategies.published.rebase import rebase
from scaling.strategy import Choice, SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation

LIMITS = SearchLimits(max_tokens=60, max_step_tokens=10)
ROOT = Path(0, None, "question")

Content = tuple[str, FinishReason, int, PrmScore]
"""Text, finish reason, number of tokens, score of a child."""


def certain(p: float) -> PrmScore:
    return PrmScore(p, p, p)


def step(text: str, p: float, lower: float | None = None) -> Content:
    return f"{text}\n\n", FinishReason.SEPARATOR, 1, PrmScore(p if lower is None else lower, p, p)


def answer(text: str, p: float) -> Content:
    return f"\\boxed{{{text}}}", FinishReason.EOS, 1, certain(p)


def random_child(seed: int, finish_rate: float, solution: str, name: int | str) -> Content:
    """A child as a function of its past and its name among its siblings; equal scores are frequent."""
    rng = random.Random(f"{seed}|{solution}|{name}")
    lower, median = sorted((rng.randrange(8) / 7, rng.randrange(8) / 7))
    score = PrmScore(lower, median, 1.0)
    if rng.random() < finish_rate:
        return f"\\boxed{{{rng.randrange(3)}}}", FinishReason.EOS, rng.randint(1, 10), score
    return f"step {name} {rng.randrange(1000)}\n\n", FinishReason.SEPARATOR, rng.randint(1, 10), score


@dataclass
class Tree:
    """Answers requests from a function of (path, child); keeps what was asked.

    `child` counts over all samples of a path, as if one stream of samples lay ready for each.
    """

    content: Callable[[Path, int | str], Content]
    asked: list[Expand | Score] = field(default_factory=list)
    nodes: dict[int, Path] = field(default_factory=dict)
    given: dict[int, int] = field(default_factory=dict)

    def __call__(self, request: Expand | Score) -> Reply:
        self.asked.append(request)
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, tuple(replace(path, score=self.score(path)) for path in request.paths))
        return Reply(ReplyKind.FULL, tuple(self.leaves(request)))

    def leaves(self, request: Expand) -> Iterator[Path]:
        for path, num_samples in request.parents:
            for _ in range(num_samples):
                leaf = self.grow(path, request)
                while request.until is Until.END and not leaf.finished:
                    leaf = self.grow(leaf, request)
                yield leaf

    def grow(self, path: Path, request: Expand) -> Path:
        number = self.given.get(path.node_id, 0)
        if request.temperature != 0:
            self.given[path.node_id] = number + 1
        text, reason, num_tokens, score = self.content(path, "greedy" if request.temperature == 0 else number)
        child = Path(len(self.nodes) + 1, path, text, (1,) * num_tokens, reason, None, score)
        self.nodes[child.node_id] = child
        return child if request.scoring is not Scoring.NONE else replace(child, score=None)

    def score(self, path: Path) -> PrmScore:
        known = self.nodes[path.node_id].score if path.parent else certain(0.5)
        assert known is not None
        return known

    @property
    def expansions(self) -> list[Expand]:
        return [request for request in self.asked if isinstance(request, Expand)]

    def asked_texts(self) -> list[list[tuple[str, int]]]:
        """Of each expansion, the last steps that were continued, and how often."""
        return [[(path.text.strip(), count) for path, count in request.parents] for request in self.expansions]


def play(strategy: Strategy, tree: Callable[[Any], Reply]) -> Choice:
    try:
        request = next(strategy)
        while True:
            request = strategy.send(tree(request))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def scripted(script: dict[str, list[Content]]) -> Tree:
    """Children by the text of their parent's step; the greedy child stands under "parent greedy"."""

    def content(path: Path, name: int | str) -> Content:
        key = path.text.strip()
        return script[f"{key} greedy"][0] if name == "greedy" else script[key][int(name)]

    return Tree(content)


def random_tree(seed: int, finish_rate: float) -> Tree:
    return Tree(lambda path, name: random_child(seed, finish_rate, path.solution, name))


seeds = st.integers(0, 10**9)
rates = st.sampled_from([0.0, 0.2, 0.6, 1.0])
shapes = st.sampled_from([(4, 2), (6, 3), (8, 2), (4, 4), (3, 1)])


# ------------------------------------------------------------------------------------------------------------- DVTS


def to_the_end(seed: int, rate: float, solution: str, reason: FinishReason) -> str:
    if reason is FinishReason.EOS:
        return solution
    text, reason, _, _ = random_child(seed, rate, solution, 0)
    return to_the_end(seed, rate, solution + text, reason)


def slow_subtree(seed: int, rate: float, slots: range, max_steps: int) -> list[str]:
    """One greedy search on its own: texts of its last candidates."""
    prefix, num_tokens, names = "", 0, list(slots)
    for number in range(1, max_steps + 1):
        children = [(prefix, random_child(seed, rate, prefix, name)) for name in names]
        if number == max_steps:
            return [to_the_end(seed, rate, past + child[0], child[1]) for past, child in children]
        text, reason, length, _ = max((child for _, child in children), key=lambda child: child[3].median)
        num_tokens += length
        if reason is FinishReason.EOS or num_tokens >= LIMITS.max_tokens:
            return [past + child[0] for past, child in children]
        prefix, names = prefix + text, list(range(len(slots)))
    raise AssertionError("max_steps is at least 1")


@given(seed=seeds, shape=shapes, rate=st.sampled_from([0.2, 0.6, 1.0]), max_steps=st.integers(1, 8))
def test_dvts_is_a_few_greedy_searches_that_know_nothing_of_each_other(seed, shape, rate, max_steps):
    n, m = shape
    tree = random_tree(seed, rate)
    choice = play(dvts(ROOT, limits=LIMITS, num_samples=n, beam_width=m, max_steps=max_steps), tree)
    alone = [slow_subtree(seed, rate, range(start, start + m), max_steps) for start in range(0, n, m)]
    assert [path.solution for path in choice.candidates] == [text for subtree in alone for text in subtree]
    best = max((path for path in choice.candidates if extract_answer(path.solution)), key=median, default=None)
    assert best is None or choice.path is best


def median(path: Path) -> float:
    assert path.score is not None
    return path.score.median


def test_dvts_gives_its_last_step_what_is_left_of_a_sample():
    tree = scripted({"question": [step("a", 0.9), step("b", 0.1)], "a": [answer("1", 0.3), answer("2", 0.8)]})
    choice = play(dvts(ROOT, limits=LIMITS, num_samples=2, beam_width=2, max_steps=2), tree)
    assert (choice.answer, len(choice.candidates)) == ("2", 2)
    last = tree.expansions[-1]
    assert (last.until, last.max_tokens) == (Until.END, LIMITS.max_tokens - 1)


def test_dvts_out_of_budget_answers_with_what_it_had_passed_over():
    tree = scripted({"question": [step("a", 0.9), answer("7", 0.2)], "a": [step("b", 0.9), step("c", 0.8)]})

    def poor(request: Expand | Score) -> Reply:
        return tree(request) if len(tree.expansions) < 2 else Reply(ReplyKind.BUDGET_EXHAUSTED, ())

    choice = play(dvts(ROOT, limits=LIMITS, num_samples=2, beam_width=2, max_steps=9), poor)
    assert choice.answer == "7"


# ----------------------------------------------------------------------------------------------------------- REBASE


def test_rebase_lowers_its_width_by_what_has_ended_and_votes():
    tree = scripted(
        {
            "question": [answer("1", 0.5), step("a", 0.8), step("b", 0.6), step("c", 0.1)],
            # Three are left: a gets ceil(3 x .72) = 3, so b and c are dropped.
            "a": [answer("2", 0.2), step("d", 0.5), step("e", 0.5)],
            "d": [answer("2", 0.2)],
            "e": [answer("2", 0.2)],
        }
    )
    choice = play(rebase(ROOT, limits=LIMITS, num_samples=4, max_steps=9), tree)
    assert tree.asked_texts() == [[("question", 4)], [("a", 3)], [("d", 1), ("e", 1)]]
    assert choice.answer == "2"  # 3 x 0.2 against 0.5
    assert len(choice.candidates) == 4


def test_a_high_temperature_keeps_more_prefixes():
    first = [step("a", 0.8), step("b", 0.6), step("c", 0.4), step("d", 0.2)]
    script = {"question": first} | {name: [answer("1", 0.5)] * 4 for name in "abcd"}
    # At 100, a's part of 4 is 1.003: its ceiling is 2, as published.
    cases = {0.05: [("a", 4)], 0.2: [("a", 3), ("b", 1)], 100.0: [("a", 2), ("b", 1), ("c", 1)]}
    for temperature, expected in cases.items():
        tree = scripted(script)
        play(rebase(ROOT, limits=LIMITS, num_samples=4, max_steps=9, balance_temperature=temperature), tree)
        assert tree.asked_texts()[1] == expected


@given(seed=seeds, n=st.integers(1, 12), rate=rates, max_steps=st.integers(1, 9))
def test_rebase_ends_with_as_many_solutions_as_it_is_wide(seed, n, rate, max_steps):
    tree = random_tree(seed, rate)
    choice = play(rebase(ROOT, limits=LIMITS, num_samples=n, max_steps=max_steps), tree)
    assert len(choice.candidates) == n
    ended = 0
    for number, request in enumerate(tree.expansions):
        assert sum(count for _, count in request.parents) == n - ended
        children = [path for path in tree.nodes.values() if path.depth == number + 1]
        ended += sum(path.finished or len(path.solution_token_ids) >= LIMITS.max_tokens for path in children)


# ----------------------------------------------------------------------------------------------- particle filtering


@pytest.mark.parametrize("resampling", list(Resampling))
@pytest.mark.parametrize("resample_finished", [True, False])
def test_particles_are_drawn_by_weight_after_every_step(resampling, resample_finished):
    first = [step("a", 0.9), answer("1", 0.8), step("b", 0.5), step("c", 0.0)]
    script = {"question": first} | {name: [answer(name, 0.9 - 0.1 * i) for i in range(4)] for name in "abc"}
    tree = scripted(script)
    strategy = particle_filtering(
        ROOT,
        limits=LIMITS,
        seed=5,
        num_samples=4,
        max_steps=9,
        resampling=resampling,
        resample_finished=resample_finished,
    )
    choice = play(strategy, tree)
    # The weights of all four as they were sampled, or of the unfinished ones only.
    order = ["a", "1", "b", "c"] if resample_finished else ["a", "b", "c"]
    scores = {"1": 0.8, "a": 0.9, "b": 0.5, "c": 0.0}
    drawn = draw_particles(
        particle_weights([scores[name] for name in order], 1.0), len(order), resampling, (5, "question", 0)
    )
    names = [order[index] for index in drawn]
    wanted = {name: names.count(name) for name in names if name != "1"}
    assert dict(tree.asked_texts()[1]) == wanted
    ones = names.count("1") if resample_finished else 1
    assert [path.solution for path in choice.candidates].count("\\boxed{1}") == ones
    assert len(choice.candidates) == 4
    assert choice.path is not None
    assert median(choice.path) == max(median(path) for path in choice.candidates)


@given(seed=seeds, n=st.integers(1, 8), rate=rates, resampling=st.sampled_from(list(Resampling)), kept=st.booleans())
def test_there_are_always_as_many_particles(seed, n, rate, resampling, kept):
    tree = random_tree(seed, rate)
    strategy = particle_filtering(
        ROOT, limits=LIMITS, seed=1, num_samples=n, max_steps=6, resampling=resampling, resample_finished=kept
    )
    choice = play(strategy, tree)
    assert len(choice.candidates) == n
    assert all(sum(count for _, count in request.parents) <= n for request in tree.expansions)
    assert len(tree.expansions) <= 6


def test_the_run_seed_decides_the_draws():
    script = {"question": [step(str(i), 0.5) for i in range(8)]} | {str(i): [answer("1", 0.5)] * 8 for i in range(8)}

    def second(seed: int) -> list[tuple[str, int]]:
        tree = scripted(script)
        play(particle_filtering(ROOT, limits=LIMITS, seed=seed, num_samples=8, max_steps=3), tree)
        return tree.asked_texts()[1]

    assert second(1) == second(1)
    assert len({tuple(second(seed)) for seed in range(10)}) > 5


def test_particles_out_of_budget_answer_with_what_was_not_drawn_again():
    tree = scripted({"question": [answer("7", 0.0), step("a", 1.0)], "a": [step("b", 0.9), step("c", 0.8)]})

    def poor(request: Expand | Score) -> Reply:
        return tree(request) if len(tree.expansions) < 2 else Reply(ReplyKind.BUDGET_EXHAUSTED, ())

    choice = play(particle_filtering(ROOT, limits=LIMITS, seed=1, num_samples=2, max_steps=9), poor)
    assert choice.answer == "7"


# --------------------------------------------------------------------------------------------------- lookahead beam


def test_lookahead_ranks_a_step_by_where_it_leads_to():
    script = {
        "question": [step("promising", 0.9), step("plain", 0.2)],
        "promising greedy": [step("dead end", 0.1)],
        "plain greedy": [step("clear", 0.8)],
        "plain": [answer("1", 0.6), answer("2", 0.7)],
        "promising": [answer("3", 0.5), answer("4", 0.4)],
    }
    tree = scripted(script)
    choice = play(lookahead_beam(ROOT, limits=LIMITS, num_samples=2, beam_width=2, lookahead=1, max_steps=9), tree)
    assert choice.answer == "2"
    assert [request.temperature for request in tree.expansions] == [None, 0.0, None]
    tree = scripted(script)
    beam = play(beam_search(ROOT, limits=LIMITS, num_samples=2, beam_width=2, max_steps=9), tree)
    assert beam.answer == "3"


@given(
    seed=seeds, shape=shapes, rate=rates, max_steps=st.integers(1, 8), aggregation=st.sampled_from(list(Aggregation))
)
def test_without_lookahead_it_is_beam_search(seed, shape, rate, max_steps, aggregation):
    n, m = shape
    options = {"limits": LIMITS, "num_samples": n, "beam_width": m, "max_steps": max_steps, "aggregation": aggregation}
    one, other = random_tree(seed, rate), random_tree(seed, rate)
    found = play(lookahead_beam(ROOT, lookahead=0, **options), one)
    beam = play(beam_search(ROOT, **options), other)
    assert found.answer == beam.answer
    assert [path.solution for path in found.candidates] == [path.solution for path in beam.candidates]
    assert one.asked_texts() == other.asked_texts()


@given(seed=seeds, shape=shapes, rate=rates, lookahead=st.integers(1, 3), max_steps=st.integers(1, 6))
def test_lookahead_beam_is_its_slow_twin(seed, shape, rate, lookahead, max_steps):
    n, m = shape

    def simulated(path: Path) -> float:
        """The score where greedy steps lead to."""
        solution, reason, num_tokens = path.solution, path.finish_reason, len(path.solution_token_ids)
        number = median(path)
        for _ in range(lookahead):
            if reason is FinishReason.EOS or num_tokens >= LIMITS.max_tokens:
                break
            text, reason, length, score = random_child(seed, rate, solution, "greedy")
            solution, num_tokens, number = solution + text, num_tokens + length, score.median
        return number

    slow = random_tree(seed, rate)
    every = Expand((), Until.STEP, 10, Scoring.LEAF)
    beams = [slow.grow(ROOT, every) for _ in range(n)]
    for _ in range(1, max_steps):
        if all(done(beam) for beam in beams):
            break
        beams = sorted(beams, key=lambda beam: -simulated(beam))[: n // m]
        ended, growing = [b for b in beams if done(b)], [b for b in beams if not done(b)]
        beams = ended + [slow.grow(beam, every) for beam in growing for _ in range(m)]
    fast = random_tree(seed, rate)
    choice = play(
        lookahead_beam(ROOT, limits=LIMITS, num_samples=n, beam_width=m, lookahead=lookahead, max_steps=max_steps), fast
    )
    assert [path.solution for path in choice.candidates] == [beam.solution for beam in beams]


def done(path: Path) -> bool:
    return path.finished or len(path.solution_token_ids) >= LIMITS.max_tokens


def test_no_path_is_scored_twice():
    script = {
        "question": [answer("1", 0.9), step("a", 0.5)],
        "a": [step("b", 0.5)],
        "a greedy": [step("b'", 0.5)],
        "b": [answer("2", 0.5)],
        "b greedy": [answer("2", 0.5)],
    }
    tree = scripted(script)
    play(lookahead_beam(ROOT, limits=LIMITS, num_samples=2, beam_width=1, lookahead=1, max_steps=9), tree)
    scored = [path.node_id for request in tree.asked if isinstance(request, Score) for path in request.paths]
    assert len(scored) == len(set(scored))


# --------------------------------------------------------------------------------------------- adaptive consistency


def stream(answers: list[str]) -> Tree:
    return Tree(lambda _path, name: answer(answers[int(name)], 0.5) if answers[int(name)] else empty())


def empty() -> Content:
    return "no answer", FinishReason.EOS, 1, certain(0.5)


def test_unanimous_samples_end_early_and_split_votes_do_not():
    tree = stream(["3"] * 40)
    assert play(adaptive_consistency(ROOT, limits=LIMITS, num_samples=40), tree).answer == "3"
    assert len(tree.nodes) == 4  # 1 - 2^-5 = 0.97
    tree = stream(["1", "2"] * 20)
    assert play(adaptive_consistency(ROOT, limits=LIMITS, num_samples=40), tree).answer == "1"
    assert len(tree.nodes) == 40
    tree = stream(["3"] * 40)
    play(adaptive_consistency(ROOT, limits=LIMITS, num_samples=40, wave_size=3), tree)
    assert [request.parents[0][1] for request in tree.expansions] == [3, 3]


def test_samples_without_an_answer_say_nothing():
    tree = stream(["", "", "", "3", "", "3", "3", "3", "4"])
    play(adaptive_consistency(ROOT, limits=LIMITS, num_samples=40), tree)
    assert len(tree.nodes) == 8


@given(
    answers=st.lists(st.sampled_from(["1", "2", "3", ""]), min_size=1, max_size=20),
    wave=st.integers(1, 5),
    confidence=st.sampled_from([0.6, 0.8, 0.95, 1 - 1e-15]),
)
def test_it_stops_at_the_first_wave_that_is_sure_or_decided(answers, wave, confidence):
    tree = stream(answers)
    n = len(answers)
    choice = play(adaptive_consistency(ROOT, limits=LIMITS, num_samples=n, wave_size=wave, confidence=confidence), tree)
    drawn = len(tree.nodes)
    for so_far in (min(end, n) for end in range(wave, n + wave, wave)):
        counts = sorted((answers[:so_far].count(name) for name in "123"), reverse=True)
        if majority_probability(counts[0], counts[1]) >= confidence or counts[0] - counts[1] > n - so_far:
            break
    assert drawn == so_far
    assert choice.answer == play(majority(ROOT, limits=LIMITS, num_samples=drawn), stream(answers)).answer
    if confidence > 0.95:  # only what is decided ends it: the answer is that of all samples
        assert choice.answer == play(majority(ROOT, limits=LIMITS, num_samples=n), stream(answers)).answer


# ----------------------------------------------------------------------------------------------------- backtracking


def test_a_step_that_lowers_the_bound_is_drawn_again_then_the_one_before():
    script = {
        "question": [step("a", 0.6), step("x", 0.4), step("good", 0.7, 0.5), step("y", 0.1)],
        "a": [step("b", 0.3, 0.1), step("c", 0.2, 0.1), step("d", 0.2, 0.1), step("e", 0.2, 0.2)],
        "good": [answer("1", 0.9), step("f", 0.3)],
    }
    tree = scripted(script)
    choice = play(backtracking(ROOT, limits=LIMITS, num_samples=2, beam_width=2, max_steps=9), tree)
    # a keeps a bound of 0.6, its children have 0.1: drawn again; still 0.2 < 0.3: the first step is drawn again.
    assert tree.asked_texts() == [[("question", 2)], [("a", 2)], [("a", 2)], [("question", 2)], [("good", 2)]]
    assert choice.answer == "1"


BAD = [step(f"bad {number}", 0.1) for number in range(6)]
AFTER_BAD = {f"bad {number}": [answer("0", 0.1)] for number in range(6)}


def followed(script: dict[str, list[Content]], max_backtracks: int) -> list[str]:
    """The last step of the one path that each expansion continues."""
    tree = scripted(script | AFTER_BAD)
    strategy = backtracking(
        ROOT, limits=LIMITS, num_samples=1, beam_width=1, max_steps=5, max_backtracks=max_backtracks
    )
    play(strategy, tree)
    return [request.parents[0][0].text.strip() for request in tree.expansions]


def test_returns_reach_further_back_until_the_search_has_come_past_the_place():
    script = {"question": [step("a", 0.9), *BAD], "a": [step("b", 0.8), *BAD], "b": BAD}
    # What follows b falls: b again; a again, with b still the best; then from the question on, as far as it goes.
    back = ["b", "a", "b", "question", "a", "b", "question", "a", "b"]
    assert followed(script, 4) == ["question", "a", "b", *back, "bad 0"]
    script["a"] = [step("b", 0.8), step("c", 0.9), *BAD]
    script["c"] = [step("d", 0.9), *BAD]
    script["d"] = [*BAD[:2], answer("1", 0.9)]
    # c leads past the place where b fell: the next fall is a new one, and the step after d is drawn again first.
    assert followed(script, 4) == ["question", "a", "b", "b", "a", "c", "d", "d", "c", "d"]


def test_a_fall_on_the_way_back_reaches_further_too():
    script = {
        "question": [step("a", 1.0), *BAD],
        "a": [step("b", 0.6), step("c", 0.7, 0.4), step("d", 0.9, 0.6)],
        "b": BAD,
        "d": BAD,
    }
    # b falls twice; then c, of the better median and the lower bound, falls at a: back to the question; d falls where b
    # did, which the search has not come past: the question again.
    assert followed(script, 3) == ["question", "a", "b", "b", "a", "question", "a", "d", "bad 0"]
    script["a"] += BAD
    assert followed(script, 4) == ["question", "a", "b", "b", "a", "question", "a", "d", "question", "a", "d", "bad 0"]


def test_a_first_step_that_cannot_be_drawn_again_is_what_there_is():
    tree = scripted({"question": [step("a", 0.1)]})

    def poor(request: Expand | Score) -> Reply:
        return tree(request) if len(tree.expansions) < 1 else Reply(ReplyKind.BUDGET_EXHAUSTED, ())

    choice = play(backtracking(ROOT, limits=LIMITS, num_samples=1, beam_width=1, max_steps=4), poor)
    assert [path.text for path in choice.candidates] == ["a\n\n"]


def test_what_was_drawn_before_stays_in_the_competition():
    script = {
        "question": [step("a", 0.8), step("x", 0.1)],
        "a": [step("b", 0.3), answer("9", 0.25), step("c", 0.2), step("d", 0.1)],
        "b": [answer("1", 0.2), answer("2", 0.1)],
    }
    tree = scripted(script)
    options = {"limits": LIMITS, "num_samples": 2, "beam_width": 2, "max_steps": 9}
    choice = play(backtracking(ROOT, max_backtracks=1, **options), tree)
    # The second draw is no better, and no return is left: on with b of the first.
    assert tree.asked_texts() == [[("question", 2)], [("a", 2)], [("a", 2)], [("b", 2)]]
    assert choice.answer == "9"  # finished beside the path that was followed, and better


@given(seed=seeds, shape=shapes, rate=rates, max_steps=st.integers(1, 8))
def test_without_returns_it_samples_what_beam_search_samples(seed, shape, rate, max_steps):
    n, m = shape
    options = {"limits": LIMITS, "num_samples": n, "beam_width": m, "max_steps": max_steps}
    one, other = random_tree(seed, rate), random_tree(seed, rate)
    found = play(backtracking(ROOT, max_backtracks=0, **options), one)
    beam = play(beam_search(ROOT, **options), other)
    assert [path.solution for path in one.nodes.values()] == [path.solution for path in other.nodes.values()]
    assert beam.answer is None or found.answer is not None


@given(seed=seeds, shape=shapes, rate=rates, returns=st.integers(0, 6), fall=st.sampled_from([0.0, 0.3, 0.9]))
def test_returns_are_few_and_paid_for(seed, shape, rate, returns, fall):
    n, m = shape
    tree = random_tree(seed, rate)
    play(
        backtracking(
            ROOT, limits=LIMITS, num_samples=n, beam_width=m, max_steps=5, max_fall=fall, max_backtracks=returns
        ),
        tree,
    )
    depths = [request.parents[0][0].depth for request in tree.expansions]
    went_back = sum(later <= earlier for earlier, later in pairwise(depths))
    assert went_back <= returns
    assert len(tree.nodes) <= n * (5 + returns * (returns + 1) // 2)
