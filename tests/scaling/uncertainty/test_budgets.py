"""N_IAS and the rules for K and M against straightforward re-derivations, and the values of the paper's code."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.uncertainty.samples_needed import MIN_P, beams_needed, children_needed, samples_needed
from tests.support.tiers import some_of

NUM_INPUTS = 100_000
probabilities = st.floats(0, 1)
confidences = st.floats(0.01, 0.9999)
THRESHOLDS = [0.438, 0.250, 0.175, 0.134, 0.109, 0.091, 0.079, 0.069]
"""With C = .99 and M = 8, k beams are enough when the k-th best candidate has at least this p."""


def some_probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Half of them uniform, half near 0, a few 0 or 1."""
    p = np.where(rng.random(shape) < 0.5, rng.random(shape), 10 ** rng.uniform(-3, 0, shape))
    return np.where(rng.random(shape) < 0.002, rng.integers(0, 2, shape), p)


def counted(p: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The fewest samples by counting up: multiply by the chance of another failure until failing is unlikely enough."""
    failure = 1 - np.clip(p, 1e-4, 1 - 1e-4)
    unlikely = 1 - confidence
    num_samples = np.zeros(p.shape, dtype=int)
    open_ones, all_failed = np.arange(len(p)), np.ones(len(p))
    while len(open_ones):
        num_samples[open_ones] += 1
        all_failed = all_failed * failure[open_ones]
        going_on = all_failed > unlikely[open_ones]
        open_ones, all_failed = open_ones[going_on], all_failed[going_on]
    return num_samples


def formula(p: np.ndarray, confidence: float) -> np.ndarray:
    return np.asarray(np.log(1 - confidence) / np.log(1 - np.clip(p, 1e-4, 1 - 1e-4)))


def test_samples_needed_is_what_counting_up_finds():
    rng = np.random.default_rng(1)
    p = some_probabilities(rng, (NUM_INPUTS,))
    confidence = rng.choice([0.5, 0.9, 0.95, 0.99, 0.999], NUM_INPUTS) + rng.uniform(-1e-4, 1e-4, NUM_INPUTS)
    found = [samples_needed(float(p), float(c)) for p, c in zip(p, confidence, strict=True)]
    # Counting up multiplies where the rule takes a logarithm: at most the last digit of a tie can differ.
    different = np.flatnonzero(np.array(found) != counted(p, confidence))
    assert len(different) == 0


def test_beams_needed_is_the_rule_for_k_written_out():
    rng = np.random.default_rng(2)
    width, confidence = 12, 0.99
    for num_children, max_beams in ((8, 8), (4, 4), (2, 12), (1, 5), (16, 2)):
        p = some_probabilities(rng, (NUM_INPUTS // 5, width))
        num_candidates = rng.integers(1, width + 1, len(p))
        p[np.arange(width) >= num_candidates[:, None]] = -1.0  # no candidate there
        ordered = -np.sort(-p, axis=1)
        enough = np.arange(1, width + 1) * num_children >= np.ceil(formula(ordered, confidence))
        first = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, width)
        expected = np.minimum(first, np.minimum(max_beams, num_candidates))
        found = [
            beams_needed(row[row >= 0].tolist(), confidence, num_children=num_children, max_beams=max_beams)
            for row in p
        ]
        assert found == expected.tolist()


def test_children_needed_is_the_rule_for_m_written_out():
    rng = np.random.default_rng(3)
    p = some_probabilities(rng, (NUM_INPUTS, 3))
    max_children, shared_by = rng.integers(1, 17, NUM_INPUTS), rng.integers(1, 17, NUM_INPUTS)
    expected = np.minimum(np.ceil(formula(p.min(axis=1), 0.95) / shared_by), max_children)
    found = [
        children_needed(row, 0.95, max_children=most, shared_by=shared)
        for row, most, shared in zip(p.tolist(), max_children.tolist(), shared_by.tolist(), strict=True)
    ]
    assert found == expected.tolist()


EDGES = (0.0, 1.0, MIN_P, 1 - MIN_P, 5e-5, 1 - 5e-5)


def enough(num_samples: int, p: float, confidence: float) -> bool:
    """What all three rules mean: so many samples hold a right one with probability C; no logarithm, no ceiling."""
    p = 0.0001 if p < 0.0001 else min(p, 0.9999)
    return (1 - p) ** num_samples <= 1 - confidence


def test_all_rules_are_the_napkin_over_unsorted_candidates_at_any_confidence():
    """One hundred thousand searches (a part where `long` is left out): shuffled, edges among them, any options."""
    rng = random.Random(4)
    for _ in range(some_of(NUM_INPUTS)):
        confidence = rng.uniform(0.3, 0.999)
        most_children, max_beams, shared_by = rng.randint(1, 16), rng.randint(1, 12), rng.randint(1, 16)
        candidates = [
            rng.choice(EDGES) if rng.random() < 0.05 else rng.choice([rng.random(), 10 ** rng.uniform(-3, 0)])
            for _ in range(rng.randint(1, 10))
        ]
        by_chance = candidates.copy()
        by_chance.sort()
        by_chance.reverse()
        num_beams = 1
        while num_beams < min(max_beams, len(candidates)):
            if enough(num_beams * most_children, by_chance[num_beams - 1], confidence):
                break
            num_beams += 1
        num_children = 1
        while num_children < most_children and not enough(num_children * shared_by, by_chance[-1], confidence):
            num_children += 1
        found = beams_needed(candidates, confidence, num_children=most_children, max_beams=max_beams)
        assert found == num_beams, (candidates, confidence, most_children, max_beams)
        found = children_needed(candidates, confidence, max_children=most_children, shared_by=shared_by)
        assert found == num_children, (candidates, confidence, most_children, shared_by)
        num_samples = samples_needed(candidates[0], confidence)
        assert enough(num_samples, candidates[0], confidence), (candidates[0], confidence)
        assert num_samples == 1 or not enough(num_samples - 1, candidates[0], confidence), (candidates[0], confidence)


@given(st.permutations([0.9, 0.3, 0.2, math.nan]), st.sampled_from([1, 4, 40]))
def test_nan_is_refused_wherever_it_stands(candidates, most):
    """A sort or a minimum may or may not come across it."""
    with pytest.raises(ValueError, match="NaN"):
        beams_needed(candidates, 0.99, num_children=most, max_beams=most)
    with pytest.raises(ValueError, match="NaN"):
        children_needed(candidates, 0.99, max_children=most, shared_by=most)


@pytest.mark.parametrize(
    ("p", "num_samples"),
    [(0.5, 7), (0.4, 10), (0.3, 13), (0.2, 21), (0.1, 44), (0.0694, 65), (0.05, 90), (0.01, 459), (1, 1), (0, 46_050)],
)
def test_known_numbers_of_samples(p, num_samples):
    assert samples_needed(p, 0.99) == num_samples


@pytest.mark.parametrize(("num_beams", "threshold"), list(enumerate(THRESHOLDS, 1)))
def test_known_thresholds_of_the_rule_for_k(num_beams, threshold):
    exact = 1 - 0.01 ** (1 / (8 * num_beams))
    assert exact == pytest.approx(threshold, abs=5e-4)
    for p, expected in ((exact + 1e-6, num_beams), (exact - 1e-6, min(num_beams + 1, 8))):
        assert beams_needed([p] * 64, 0.99, num_children=8, max_beams=8) == expected
    assert beams_needed([0.0] * 64, 0.99, num_children=8, max_beams=8) == 8


@pytest.mark.parametrize(("p", "children"), [(0.9, 1), (0.4381, 1), (0.4370, 2), (0.0791, 7), (0.0788, 8), (0.0, 8)])
def test_known_thresholds_of_the_rule_for_m(p, children):
    assert children_needed([0.99, p], 0.99, max_children=8, shared_by=8) == children


def test_one_kept_beam_gets_all_its_children_when_divided_by_the_beams_kept():
    assert children_needed([0.45], 0.99, max_children=8, shared_by=1) == 8
    assert children_needed([0.45], 0.99, max_children=8, shared_by=8) == 1, "the paper's code leaves one path"


@given(st.lists(probabilities, min_size=2, max_size=2), confidences, st.integers(1, 9))
def test_a_likelier_problem_never_needs_more(pair, confidence, shared_by):
    low, high = sorted(pair)
    assert samples_needed(low, confidence, shared_by=shared_by) >= samples_needed(high, confidence, shared_by=shared_by)


@given(probabilities, st.lists(confidences, min_size=2, max_size=2))
def test_more_confidence_never_needs_less(p, pair):
    low, high = sorted(pair)
    assert 1 <= samples_needed(p, low) <= samples_needed(p, high)


@given(st.lists(probabilities, min_size=1, max_size=20), st.integers(0, 19), probabilities, confidences)
def test_a_better_candidate_never_widens_a_search(estimates, index, better, confidence):
    improved = list(estimates)
    improved[index % len(estimates)] = max(better, improved[index % len(estimates)])
    num_beams = [beams_needed(chances, confidence, num_children=4, max_beams=8) for chances in (improved, estimates)]
    num_children = [
        children_needed(chances, confidence, max_children=8, shared_by=2) for chances in (improved, estimates)
    ]
    assert num_beams[0] <= num_beams[1]
    assert num_children[0] <= num_children[1]


@given(st.lists(probabilities, min_size=1, max_size=20), confidences, st.integers(1, 9), st.integers(1, 9))
def test_widths_stay_within_their_bounds(estimates, confidence, most, shared_by):
    num_beams = beams_needed(estimates, confidence, num_children=4, max_beams=most)
    assert 1 <= num_beams <= min(most, len(estimates))
    assert 1 <= children_needed(estimates, confidence, max_children=most, shared_by=shared_by) <= most


def test_estimates_are_clipped_and_nonsense_is_refused():
    assert samples_needed(0.0, 0.99) == samples_needed(MIN_P, 0.99)
    assert samples_needed(1.0, 0.99) == samples_needed(1 - MIN_P, 0.99) == 1
    with pytest.raises(ValueError, match="NaN"):
        samples_needed(math.nan, 0.99)
    for confidence in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="confidence"):
            samples_needed(0.5, confidence)
