"""The fitted model of answers: the arrays against the posterior, and that a fit finds the world it was drawn from."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.calibration.answer_fit import (
    AnsweredProblem,
    cases_of,
    fit_answers,
    held_out_loss,
    log_probabilities,
)
from scaling.uncertainty.fitted_answers import FittedAnswers, FittedModel
from scaling.uncertainty.posterior import answer_posterior
from tests.scaling.uncertainty.test_posterior import drawn_answers

DEFAULT = FittedModel(
    intercept=0.0, slope=1.0, strength=2.0, spread=10.0, weight=0.2, correlation=0.01, unanswered=0.2,
    unanswered_strength=1.0,
)  # fmt: skip

MODELS = st.builds(
    FittedModel,
    intercept=st.floats(-2, 2),
    slope=st.floats(0, 2),
    strength=st.floats(0.1, 50),
    spread=st.floats(0.1, 50),
    weight=st.floats(0, 1),
    correlation=st.floats(0, 1),
    unanswered=st.floats(0.01, 0.99),
    unanswered_strength=st.floats(0.1, 50),
)


@given(
    answers=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=2),
    chances=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2),
    question=st.floats(0.01, 0.99) | st.none(),
    model=MODELS,
)
def test_the_arrays_say_what_the_posterior_says(answers, chances, question, model):
    problem = AnsweredProblem("p", answers, chances, question, frozenset({"a"}))
    cases = cases_of([problem], seed=1, with_question=True, with_scores=True)
    found, _ = log_probabilities(cases, model)
    wanted = answer_posterior(answers, chances, model.begin(0.5 if question is None else question))
    of_a = [math.exp(x) for x, true, count in zip(found, cases.is_true, cases.count, strict=True) if true and count]
    assert of_a == pytest.approx([wanted.probabilities["a"]] * 2 if "a" in answers else [])
    assert np.exp(found[cases.count == 0]) == pytest.approx([wanted.unseen] * 2, abs=1e-12)


@given(answers=st.lists(st.sampled_from(["a", "b", None]), min_size=2, max_size=2), model=MODELS)
def test_what_is_likely_before_adds_up_over_all_that_might_have_come(answers, model):
    """Two samples: the chances of all five patterns of answers and silence add up to 1."""
    patterns = [("a", "a"), ("a", "b"), ("a", None), (None, "a"), (None, None)]
    found = 0.0
    for pattern in patterns:
        problem = AnsweredProblem("p", pattern, None, None, None)
        cases = cases_of([problem], seed=0, with_question=False, with_scores=False)
        found += math.exp(log_probabilities(cases, replace(model, weight=0.0))[1][0])
    assert found == pytest.approx(1.0)


def world(seed: int, num_problems: int, spread: float, silent: float) -> list[AnsweredProblem]:
    """Problems of which the PRM's view is a third too sure, with scores that know something."""
    found = []
    for number in range(num_problems):
        rng = random.Random(f"{seed} {number}")
        p = rng.betavariate(0.8, 1.2)
        answers = drawn_answers(rng, 16, p, spread, silent)
        chances = [min(max(rng.gauss(0.65 if answer == "right" else 0.4, 0.15), 0.02), 0.98) for answer in answers]
        found.append(AnsweredProblem(str(number), answers, chances, min(max(p, 0.02), 0.98), frozenset({"right"})))
    return found


def test_a_fit_is_better_on_problems_that_it_has_not_seen():
    """Wrong answers that agree, many silent: the default is far off, and the fit nearer on other problems."""
    seen, unseen = world(1, 300, spread=2.0, silent=0.6), world(2, 300, spread=2.0, silent=0.6)
    options = {"with_question": True, "with_scores": True}
    fitted = fit_answers(
        cases_of(seen, seed=3, **options), default=DEFAULT, use_question=True, use_scores=True, keys=True
    )
    others = cases_of(unseen, seed=3, **options)
    assert held_out_loss(others, fitted) < held_out_loss(others, DEFAULT) - 0.05
    assert fitted.spread < 5


def test_without_keys_agreement_is_fitted_and_scores_have_no_weight():
    seen = [replace(problem, right=None) for problem in world(4, 300, spread=2.0, silent=0.6)]
    cases = cases_of(seen, seed=3, with_question=False, with_scores=False)
    fitted = fit_answers(cases, default=DEFAULT, use_question=False, use_scores=False, keys=False)
    assert (fitted.slope, fitted.weight) == (0.0, 0.0)
    assert fitted.spread < 5
    assert 0.4 < fitted.unanswered < 0.75
    labelled = cases_of(world(5, 300, spread=2.0, silent=0.6), seed=3, with_question=False, with_scores=False)
    assert held_out_loss(labelled, fitted) < held_out_loss(labelled, replace(DEFAULT, slope=0.0, weight=0.0))


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(ValueError, match="two samples"):
        cases_of([AnsweredProblem("p", ["a"], None, None, None)], seed=0, with_question=False, with_scores=False)
    with pytest.raises(ValueError, match="votes"):
        FittedAnswers.of({"votes": None})
