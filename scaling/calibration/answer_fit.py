"""Fits the model of a problem's answers (`scaling.uncertainty.posterior`) on stored samples.

**With keys**: the parameters that make the truth likeliest given what a strategy sees. Of each problem some of its
samples are taken, in orders named by problem and seed and in sizes of 2, 4, 8, ...: the posterior's probability of what
is true (an answer seen is right, or none is) is the likelihood of that case. Problems weigh alike, and the strength and
the shares are those of the distribution that problems are drawn from (a hierarchy of two levels, the upper one fitted).

**Without keys**: the marginal likelihood of the answers alone, all hypotheses summed up, which says how samples agree:
spread, strength, mean, and how many state nothing. Nothing in it knows whether agreement is right, so the mean is the
share of samples that agree as right ones would, and scores have no weight.

Both with a weak pull towards the defaults, worth a few problems, so that what the samples do not say stays as it was.
Every number is one of arrays over all cases; `answer_posterior` is the slow twin in the tests.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, gammaln

from scaling.arrays import Bools, Floats, Ints
from scaling.seeds import seed_for
from scaling.uncertainty.fitted_answers import FittedModel, logit

NUM_ORDERS = 2
"""Of each problem's samples, in each size."""
_PULL = 0.3
"""The weight of the defaults, in problems for a parameter that is a unit away."""


@dataclass(frozen=True, slots=True)
class AnsweredProblem:
    """The samples of one problem, and what is right.

    Attributes:
        problem_id: its id.
        answers: of each sample, in canonical form; None: it states none.
        chances: that each is right, by the PRM; None where there is no PRM.
        question_chance: of the bare question; None where it has no score.
        right: the answers that are right; None where nobody knows.
    """

    problem_id: str
    answers: Sequence[str | None]
    chances: Sequence[float] | None
    question_chance: float | None
    right: frozenset[str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Prefixes of samples as arrays: C cases with H hypotheses, those of a case beside each other.

    The last hypothesis of each case is that no answer seen is right.

    Attributes:
        begins: of each case's hypotheses, [C].
        case: of each hypothesis, [H].
        count: samples with the hypothesis' answer, [H]; 0 for none.
        log_odds: sum of the logits of their chances, [H].
        is_true: [H].
        num_samples, num_answered: of each case, [C].
        sum_chances: of each case's samples, [C].
        question_logit: of each case's problem, [C]; 0 where it has no score.
        num_answers, sum_log_counts: answers of each case, and the sum of log (count - 1)! over them, [C].
        weight: of each case, [C]; those of a problem add up to 1.
        problem: of each case, its problem's place, [C].
    """

    begins: Ints
    case: Ints
    count: Floats
    log_odds: Floats
    is_true: Bools
    num_samples: Floats
    num_answered: Floats
    sum_chances: Floats
    question_logit: Floats
    num_answers: Floats
    sum_log_counts: Floats
    weight: Floats
    problem: Ints


def cases_of(problems: Sequence[AnsweredProblem], *, seed: int, with_question: bool, with_scores: bool) -> Cases:
    """Prefixes of the problems' samples, in named orders.

    Raises:
        ValueError: there is no problem with two samples.
    """
    rows: list[tuple[float, ...]] = []
    hypotheses: list[tuple[float, ...]] = []
    for place, problem in enumerate(problems):
        total = len(problem.answers)
        sizes = [size for size in (2**power for power in range(1, 11)) if size <= total]
        for size in sizes:
            for order in range(NUM_ORDERS):
                drawn = random.Random(seed_for(seed, problem.problem_id, "answers", size, order)).sample(  # noqa: S311
                    range(total), size
                )
                chances = [0.5 if problem.chances is None or not with_scores else problem.chances[at] for at in drawn]
                own = _hypotheses([problem.answers[at] for at in drawn], chances, problem.right)
                hypotheses += [(len(rows), *each) for each in own]
                known = problem.question_chance if with_question else None
                rows.append(
                    (
                        size,
                        sum(each[0] for each in own),
                        sum(chances),
                        0.0 if known is None else logit(known),
                        len(own) - 1,
                        sum(math.lgamma(each[0]) for each in own[:-1]),
                        1 / (len(sizes) * NUM_ORDERS),
                        place,
                    )
                )
    if not rows:
        raise ValueError("there must be a problem with two samples")
    case, count, log_odds, is_true = np.array(hypotheses, dtype=np.float64).T
    size, answered, chances_sum, question, num_answers, log_counts, weight, place_of = np.array(
        rows, dtype=np.float64
    ).T
    return Cases(
        np.flatnonzero(np.diff(case, prepend=-1.0)),
        case.astype(np.int64),
        count,
        log_odds,
        is_true.astype(np.bool_),
        size,
        answered,
        chances_sum,
        question,
        num_answers,
        log_counts,
        weight,
        place_of.astype(np.int64),
    )


def _hypotheses(
    answers: Sequence[str | None], chances: Sequence[float], right: frozenset[str] | None
) -> list[tuple[float, float, float]]:
    """Count, sum of logits and truth of each answer seen, and at the end of none of them."""
    counts: dict[str, int] = {}
    odds: dict[str, float] = {}
    for answer, chance in zip(answers, chances, strict=True):
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
            odds[answer] = odds.get(answer, 0.0) + logit(chance)
    truth = {answer for answer in counts if right is not None and answer in right}
    found = [(float(count), odds[answer], float(answer in truth)) for answer, count in counts.items()]
    return [*found, (0.0, 0.0, float(right is not None and not truth))]


def log_probabilities(cases: Cases, model: FittedModel) -> tuple[Floats, Floats]:
    """Of each hypothesis given its case's samples, [H]; and of each case's answers before, [C] (but for a constant)."""
    mean = expit(model.intercept + model.slope * cases.question_logit)
    alpha, beta = model.strength * mean, model.strength * (1 - mean)
    silent = model.unanswered_strength * model.unanswered
    spoken = model.unanswered_strength - silent
    base = _logit((mean + cases.sum_chances) / (1 + cases.num_samples))
    at, right = cases.case, cases.count
    is_seen = right > 0
    wrong_answered = cases.num_answered[at] - right
    num_silent = (cases.num_samples - cases.num_answered)[at]
    logs = _log_beta(alpha[at] + right, beta[at] + cases.num_samples[at] - right)
    logs += _log_beta(silent + num_silent, spoken + wrong_answered)
    logs -= gammaln(model.spread + wrong_answered) - gammaln(model.spread)
    logs -= np.where(is_seen, gammaln(np.maximum(right, 1)) + math.log(model.spread), 0.0)
    speaks = model.weight * (cases.log_odds - right * base[at])
    logs += np.where(is_seen, speaks / (1 + np.maximum(right - 1, 0) * model.correlation), 0.0)
    total = np.logaddexp.reduceat(logs, cases.begins)
    before = total - _log_beta(alpha, beta) - _log_beta(silent, spoken)
    before += cases.num_answers * math.log(model.spread) + cases.sum_log_counts
    return logs - total[at], before


def fit_answers(cases: Cases, *, default: FittedModel, use_question: bool, use_scores: bool, keys: bool) -> FittedModel:
    """The parameters under which the cases are likeliest.

    Args:
        cases: of all problems to fit on.
        default: where the search begins and what it is pulled to; where there are scores, once more with scores that
            err together (weight and correlation 1), and if the question has one too, without it (slope 0), because
            no slope leads from one to the other. The likelier is taken.
        use_question: whether the slope is fitted; else it is 0.
        use_scores: whether weight and correlation are; else they are 0.
        keys: whether it is known what is right.
    """
    free = ["intercept", "strength", "spread", "unanswered", "unanswered_strength"]
    free += ["slope"] * use_question + ["weight", "correlation"] * (use_scores and keys)
    fixed = {"slope": default.slope if use_question else 0.0}
    fixed |= {"weight": default.weight, "correlation": default.correlation}
    fixed |= {} if use_scores and keys else {"weight": 0.0}
    together = replace(default, weight=1.0, correlation=1.0)
    starts = [default, together, replace(together, slope=0.0)] if use_scores and keys else [default]

    def model_at(point: Floats) -> FittedModel:
        return FittedModel(**fixed | {name: float(_FORWARD[name](x)) for name, x in zip(free, point, strict=True)})

    def search(start: FittedModel) -> tuple[float, FittedModel]:
        begin = np.array([_INVERSE[name](getattr(start, name)) for name in free])

        def loss(point: Floats) -> float:
            given, before = log_probabilities(cases, model_at(point))
            likelihood = _log_truth(cases, given) if keys else before
            return float(-(cases.weight * likelihood).sum() + _PULL * ((point - begin) ** 2).sum())

        found = minimize(loss, begin, method="L-BFGS-B", bounds=[_BOUNDS[name] for name in free])
        return float(found.fun), model_at(found.x)

    return min((search(start) for start in starts), key=lambda pair: pair[0])[1]


def held_out_loss(cases: Cases, model: FittedModel) -> float:
    """Mean negative log-probability of what is true, in nats a problem."""
    given, _ = log_probabilities(cases, model)
    return float(-(cases.weight * _log_truth(cases, given)).sum() / cases.weight.sum())


def leading_answers(cases: Cases, model: FittedModel) -> tuple[Floats, Floats]:
    """Of each case, the probability of its likeliest answer, and whether that is right; NaN where none was stated."""
    given, _ = log_probabilities(cases, model)
    seen = np.where(cases.count > 0, given, -np.inf)
    most = np.maximum.reduceat(seen, cases.begins)
    is_leading = (seen == most[cases.case]) & np.isfinite(seen)
    first = np.zeros(len(seen), dtype=np.bool_)
    _, at = np.unique(cases.case[is_leading], return_index=True)
    first[np.flatnonzero(is_leading)[at]] = True
    stated = np.isfinite(most)
    is_right = np.logical_or.reduceat(first & cases.is_true, cases.begins)
    return np.where(stated, np.exp(most), np.nan), np.where(stated, is_right.astype(np.float64), np.nan)


def _log_truth(cases: Cases, given: Floats) -> Floats:
    """Of each case, the log-probability of what is true: several answers where several are right."""
    return np.logaddexp.reduceat(np.where(cases.is_true, given, -np.inf), cases.begins)


def _log_beta(a: Floats | float, b: Floats | float) -> Floats:
    return np.asarray(gammaln(a) + gammaln(b) - gammaln(a + b))


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _inner_logit(p: float) -> float:
    """Of a share that may be 0 or 1 by default: from within, where the slope is seen."""
    return logit(min(max(p, 0.05), 0.95))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))


_FORWARD: dict[str, Callable[[float], float]] = dict.fromkeys(("intercept", "slope"), float)
_FORWARD |= dict.fromkeys(("strength", "spread", "unanswered_strength"), math.exp)
_FORWARD |= dict.fromkeys(("unanswered", "weight", "correlation"), _expit)
_INVERSE: dict[str, Callable[[float], float]] = dict.fromkeys(("intercept", "slope"), float)
_INVERSE |= dict.fromkeys(("strength", "spread", "unanswered_strength"), math.log)
_INVERSE |= dict.fromkeys(("unanswered", "weight", "correlation"), _inner_logit)
_BOUNDS = {
    "intercept": (-6.0, 6.0),
    "slope": (-1.0, 4.0),
    "strength": (math.log(0.05), math.log(200.0)),
    "spread": (math.log(0.05), math.log(10_000.0)),
    "unanswered_strength": (math.log(0.05), math.log(200.0)),
    "unanswered": (-7.0, 7.0),
    "weight": (-7.0, 7.0),
    "correlation": (-7.0, 7.0),
}
"""Of the transformed parameters, within what floating point can tell apart."""
