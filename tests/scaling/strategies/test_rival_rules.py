"""The arithmetic of the rival strategies, against hand-computed cases and slow twins."""

import math
from collections import Counter
from decimal import ROUND_CEILING, Decimal, localcontext
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scaling.seeds import seed_for
from scaling.strategies.published.adaptive_consistency import majority_probability
from scaling.strategies.published.particle_filtering import Resampling, draw_particles, particle_weights
from scaling.strategies.published.rebase import balanced_shares
from tests.support.tiers import some_of


def published_shares(scores: list[float], width: int, temperature: float) -> list[int]:
    """REBASE's loop as published: sort, then ceil(what is left x weight / weights left), with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        weights = {index: (Decimal(score) / Decimal(temperature)).exp() for index, score in enumerate(scores)}
        shares = {}
        for index in sorted(weights, key=lambda index: -scores[index]):
            exact = Decimal(width) * weights[index] / sum(weights[other] for other in weights if other not in shares)
            shares[index] = int((exact - Decimal(10) ** -40).to_integral_value(ROUND_CEILING))
            width -= shares[index]
        return [shares[index] for index in range(len(scores))]


def test_rebase_shares_by_hand():
    # Weights 1, e^-1, e^-2 of sum 1.503: ceil(16 / 1.503) = 11; ceil(5 x .368 / .503) = 4; the last takes the rest.
    assert balanced_shares([0.8, 1.0, 0.6], 16, 0.2) == [4, 11, 1]
    assert balanced_shares([0.5, 0.5, 0.5], 4, 0.2) == [2, 1, 1]
    assert balanced_shares([0.1, 0.9], 3, 0.01) == [0, 3]
    assert balanced_shares([0.3, 0.7], 0, 0.2) == [0, 0]
    assert balanced_shares([], 5, 0.2) == []


@given(
    scores=st.lists(st.integers(0, 100).map(lambda percent: percent / 100), min_size=1, max_size=12),
    width=st.integers(1, 70),
    temperature=st.sampled_from([0.05, 0.2, 1.0, 50.0]),
)
def test_rebase_shares_are_the_published_ones(scores, width, temperature):
    shares = balanced_shares(scores, width, temperature)
    assert shares == published_shares(scores, width, temperature)
    assert sum(shares) == width


@given(score=st.floats(0, 1), count=st.integers(1, 40), width=st.integers(0, 300))
def test_rebase_shares_of_equal_scores_are_even(score, count, width):
    shares = balanced_shares([score] * count, width, 0.2)
    assert sum(shares) == width
    assert max(shares) - min(shares) <= 1


def test_particles_weigh_by_their_odds():
    assert particle_weights([0.5, 0.75, 0.9], 1.0) == pytest.approx([1 / 13, 3 / 13, 9 / 13])
    assert particle_weights([0.75, 0.9], 0.5) == pytest.approx([9 / 90, 81 / 90])
    assert particle_weights([0.0, 0.0, 1.0], 1.0) == pytest.approx([0, 0, 1], abs=1e-12)
    assert particle_weights([1.0, 1.0], 0.001) == [0.5, 0.5]


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=20), temperature=st.floats(0.001, 1000))
def test_particle_weights_are_a_distribution_in_the_order_of_the_scores(scores, temperature):
    weights = particle_weights(scores, temperature)
    assert sum(weights) == pytest.approx(1.0)
    for score, weight in zip(scores, weights, strict=True):
        for other, other_weight in zip(scores, weights, strict=True):
            assert not score > other or weight >= other_weight


def uniform(*name: str | int) -> float:
    return (seed_for("particles", *name) >> 10) / 2**53


def slow_draw(weights: list[float], positions: list[float]) -> list[int]:
    """Walk along the weights until they have passed each position."""
    drawn = []
    for position in positions:
        passed, index = 0.0, -1
        while passed <= position * math.fsum(weights) and index + 1 < len(weights):
            index += 1
            passed = math.fsum(weights[: index + 1])
        while weights[index] == 0.0:
            index -= 1
        drawn.append(index)
    return drawn


weight_lists = st.lists(st.integers(0, 64).map(lambda part: part / 64), min_size=1, max_size=9).filter(any)


@given(weights=weight_lists, count=st.integers(1, 12), seed=st.integers(0, 2**60))
def test_draws_are_those_of_a_slow_walk(weights, count, seed):
    """Weights in 64ths, so that both ways of adding them up are exact."""
    alone = [uniform(seed, "question", 3, index) for index in range(count)]
    even = [(index + uniform(seed, "question", 3)) / count for index in range(count)]
    assert draw_particles(weights, count, Resampling.MULTINOMIAL, (seed, "question", 3)) == slow_draw(weights, alone)
    assert draw_particles(weights, count, Resampling.SYSTEMATIC, (seed, "question", 3)) == slow_draw(weights, even)


@given(weights=weight_lists, count=st.integers(1, 30), seed=st.integers(0, 2**60))
def test_systematic_draws_take_each_floor_or_ceiling_times(weights, count, seed):
    drawn = Counter(draw_particles(weights, count, Resampling.SYSTEMATIC, (seed,)))
    for index, weight in enumerate(weights):
        expected = count * weight / math.fsum(weights)
        assert math.floor(expected - 1e-9) <= drawn[index] <= math.ceil(expected + 1e-9)


@pytest.mark.parametrize("resampling", list(Resampling))
def test_draws_are_in_proportion_to_weights(resampling):
    weights, rounds = [0.5, 0.0, 0.3, 0.15, 0.05], 2000
    drawn = Counter(index for name in range(rounds) for index in draw_particles(weights, 8, resampling, ("q", name)))
    for index, weight in enumerate(weights):
        spread = math.sqrt(rounds * 8 * weight * (1 - weight))
        assert abs(drawn[index] - rounds * 8 * weight) <= 4 * spread
    assert draw_particles(weights, 8, resampling, ("q", 1)) == draw_particles(weights, 8, resampling, ("q", 1))
    assert draw_particles(weights, 8, resampling, ("q", 1)) != draw_particles(weights, 8, resampling, ("q", 2))


@given(first=st.integers(0, 60), second=st.integers(0, 60))
@settings(max_examples=some_of(200))
def test_the_majority_is_as_sure_as_its_beta_posterior(first, second):
    found = majority_probability(first, second)
    assert found == pytest.approx(stats.beta.sf(0.5, first + 1, second + 1), rel=1e-9)
    trials = first + second + 1  # the same as a tail of fair coin tosses, exactly
    assert found == pytest.approx(sum(comb(trials, k) for k in range(first + 1)) / 2**trials, rel=1e-9)


def test_four_votes_of_four_are_enough():
    assert majority_probability(0, 0) == pytest.approx(0.5)
    assert majority_probability(3, 0) == pytest.approx(15 / 16)
    assert majority_probability(4, 0) == pytest.approx(31 / 32)
