"""From what a pilot's problems cost to what all problems will: a total, and how far off it may be.

    known of every problem    features x (length of the question, the PRM's view of it) and planned work w (samples that
                              the strategy asks for first)
    known of the pilot        y, a cost
    model                     y = w (b . x) + e: the cost per planned sample is linear in the features
    total                     sum of y over the pilot + sum of w (b . x) over the others

What may differ: the coefficients, as another pilot would have given them (bootstrap over the pilot's problems), and
the problems themselves, each of which has an e of its own. The size of e is taken from the pilot's problems that are
alike in w, with residuals enlarged by their leverage (a fit comes too near the few points that it is made of). The sum
of e over many problems is normal. Errors of several costs of one problem go together, so one draw serves all of them.

This is the prediction (model-based) approach to a finite population's total: Valliant, Dorfman, Royall (2000), Finite
Population Sampling and Inference, chapters 2 and 5.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from records.run_folder.prediction import Range
from scaling.arrays import Floats, Ints
from scaling.seeds import seed_for
from scaling.statistics.bootstrap import draw_resamples

CONFIDENCE = 0.9
"""Of every interval of a prediction."""
NUM_RESAMPLES = 2000
PROBLEMS_PER_FEATURE = 10
"""A feature is used only if the pilot has this many problems for it."""
MIN_NEIGHBOURS = 10
"""The size of a problem's own error is that of so many problems of the pilot."""
_RIDGE = 1e-3
"""Share of the pilot's weight by which standardised coefficients are held back: features may be constant."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictedTotal:
    """Totals of Q costs over all problems, [Q], and the same as they might come out, [R, Q]."""

    totals: Floats
    draws: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """What is known of all N problems before they are run.

    Attributes:
        features: [N, F], the most telling first.
        planned: [N], above 0.
    """

    features: Floats
    planned: Floats


def predict_total(population: Population, index: Ints, costs: Floats, *, seed: int) -> PredictedTotal:
    """Predict the totals of some costs.

    Args:
        population: all problems.
        index: [k], positions of the pilot's problems, without repeats.
        costs: [k, Q], of these.
        seed: of the resampling.

    Raises:
        ValueError: the pilot is empty.
    """
    num_pilot = len(costs)
    if num_pilot == 0:
        raise ValueError("a pilot without problems says nothing")
    design = _design(population.features, index)
    others = np.setdiff1d(np.arange(len(design)), index)
    weighted = population.planned[others, np.newaxis] * design[others]
    reach = weighted.sum(axis=0)  # [F]: a coefficient counts so often
    x, planned = design[index], population.planned[index]
    rates = costs / planned[:, np.newaxis]
    seen = costs.sum(axis=0)
    best = _fit(x, rates, planned)
    multiplicity = draw_resamples(num_pilot, NUM_RESAMPLES, seed)
    fits = np.stack([_fit(x, rates, planned * times) for times in multiplicity])  # [R, F, Q]
    errors = (rates - x @ best) / np.sqrt(1.0 - _leverage(x, planned))[:, np.newaxis]
    spread = _own_errors(errors, planned, population.planned[others])
    noise = _normal_draws(spread, NUM_RESAMPLES, seed + 1)
    totals = np.maximum(seen + reach @ best, seen)
    draws = np.maximum(seen + np.einsum("f,rfq->rq", reach, fits) + noise, seen)
    there = costs.any(axis=0)  # a cost that nobody had is not a tiny one
    return PredictedTotal(np.where(there, totals, 0.0), np.where(there, draws, 0.0))


def predict_right(num_right: int, num_graded: int, num_problems: int, *, seed: int) -> tuple[float, Floats]:
    """Share of right answers among all problems: the pilot's, and [R] draws of what it may come to.

    The pilot's share is a share of few: the others' chance is drawn from its posterior under Jeffreys' prior, and their
    right answers from that (beta-binomial), so a pilot that is all right does not promise that all will be.
    """
    rng = np.random.default_rng(seed)
    chance = rng.beta(num_right + 0.5, num_graded - num_right + 0.5, NUM_RESAMPLES)
    others = rng.binomial(num_problems - num_graded, chance)
    return num_right / num_graded, np.asarray((num_right + others) / num_problems)


def ranged(estimate: float, draws: Floats) -> Range:
    """A number with the interval of its draws [R], which always holds the number itself."""
    lower, upper = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Range(float(estimate), min(float(lower), float(estimate)), max(float(upper), float(estimate)))


def _design(features: Floats, index: Ints) -> Floats:
    """[N, 1 + F']: a constant, and the features that the pilot is large enough for, on the pilot's scale."""
    used = features[:, : len(index) // PROBLEMS_PER_FEATURE]
    centre, scale = used[index].mean(axis=0), used[index].std(axis=0)
    varies = scale > 0
    scaled = (used[:, varies] - centre[varies]) / scale[varies]
    return np.concatenate([np.ones((len(features), 1)), scaled], axis=1)


def _normal(x: Floats, weights: Floats) -> Floats:
    """X'WX, held back a little but for the constant."""
    held_back = np.full(x.shape[1], _RIDGE * weights.sum())
    held_back[0] = 0.0
    return np.asarray((x * weights[:, np.newaxis]).T @ x + np.diag(held_back))


def _fit(x: Floats, rates: Floats, weights: Floats) -> Floats:
    """Coefficients [F, Q] by weighted least squares."""
    right = (x * weights[:, np.newaxis]).T @ rates
    return np.asarray(np.linalg.lstsq(_normal(x, weights), right, rcond=None)[0])


def _leverage(x: Floats, weights: Floats) -> Floats:
    """How much each point of the pilot is fitted by itself, [k], kept below 1."""
    inverse = np.linalg.pinv(_normal(x, weights))
    leverage = np.einsum("kf,fg,kg->k", x, inverse, x) * weights
    return np.minimum(np.asarray(leverage, dtype=np.float64), 0.9)


def _normal_draws(covariance: Floats, num_draws: int, seed: int) -> Floats:
    """[R, Q] of that covariance, which rounding may have left a little less than positive."""
    values, vectors = np.linalg.eigh(covariance)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(np.random.default_rng(seed).standard_normal((num_draws, len(values))) @ roots.T)


def _own_errors(errors: Floats, planned: Floats, others: Floats) -> Floats:
    """Covariance [Q, Q] of the sum of the other problems' own errors."""
    order = np.argsort(planned, kind="stable")
    ends = np.searchsorted(planned[order], others)
    num_near = min(MIN_NEIGHBOURS, len(order))
    firsts = np.clip(ends - num_near // 2, 0, len(order) - num_near)
    covariance = np.zeros((errors.shape[1], errors.shape[1]))
    for first in np.unique(firsts):
        near = errors[order[first : first + num_near]]
        size = float(np.sum(others[firsts == first] ** 2))
        covariance += size * (near.T @ near) / num_near
    return covariance


def stratified(difficulty: Sequence[float], num_wanted: int, *, run_seed: int) -> list[int]:
    """Positions of the pilot's problems, ascending: one out of each of `num_wanted` equally large groups.

    The problems are ordered by difficulty and cut into groups; chance chooses within each. So every problem is as
    likely as any other to be chosen (up to rounding), and the pilot is spread over all difficulties.

    Args:
        difficulty: [N], of each problem; only the order counts, and equal ones keep their order.
        num_wanted: at most N are chosen.
        run_seed: other seeds choose others.
    """
    order = sorted(range(len(difficulty)), key=lambda position: difficulty[position])
    num_chosen = min(num_wanted, len(order))
    rng = random.Random(seed_for(run_seed, "pilot", num_chosen))  # noqa: S311 (no secret)
    bounds = [len(order) * group // num_chosen for group in range(num_chosen + 1)] if num_chosen else []
    return sorted(rng.choice(order[first:end]) for first, end in pairwise(bounds))
