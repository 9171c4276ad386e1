"""The posterior of an answer: against the chain rule, sample by sample, and against the world that it describes."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.uncertainty.posterior import AnswerModel, answer_posterior

ANSWERS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=10)
MODELS = st.builds(
    AnswerModel,
    mean=st.floats(0.01, 0.99),
    strength=st.floats(0.1, 50),
    spread=st.floats(0.1, 50),
    weight=st.floats(0, 1),
    correlation=st.floats(0, 1),
    unanswered=st.floats(0.01, 0.99),
    unanswered_strength=st.floats(0.1, 50),
)


def slow_posterior(answers, chances, model) -> dict[str | None, float]:
    """How likely each hypothesis makes the samples, one after the other; None: no answer seen is right."""
    base = (model.mean + sum(chances)) / (1 + len(chances))
    likelihoods: dict[str | None, float] = {}
    for hypothesis in {*answers, None} if answers else {None}:
        likelihood, rights, wrongs = 1.0, model.strength * model.mean, model.strength * (1 - model.mean)
        silent, stated = (model.unanswered_strength * share for share in (model.unanswered, 1 - model.unanswered))
        tables: dict[str, int] = {}
        for answer, chance in zip(answers, chances, strict=True):
            if answer is not None and answer == hypothesis:
                ratio = chance / (1 - chance) / (base / (1 - base))
                discount = 1 + (answers.count(answer) - 1) * model.correlation
                likelihood *= rights / (rights + wrongs) * ratio ** (model.weight / discount)
                rights += 1
                continue
            likelihood *= wrongs / (rights + wrongs)
            wrongs += 1
            likelihood *= (silent if answer is None else stated) / (silent + stated)
            if answer is None:
                silent += 1
            else:
                stated += 1
                seated = sum(tables.values())
                likelihood *= tables.get(answer, model.spread) / (model.spread + seated)
                tables[answer] = tables.get(answer, 0) + 1
        likelihoods[hypothesis] = likelihood
    total = sum(likelihoods.values())
    return {hypothesis: likelihood / total for hypothesis, likelihood in likelihoods.items()}


@given(answers=ANSWERS, model=MODELS, seed=st.integers(0, 10**6))
def test_the_closed_form_is_the_chain_rule(answers, model, seed):
    rng = random.Random(seed)
    chances = [rng.uniform(0.02, 0.98) for _ in answers]
    found = answer_posterior(answers, chances, model)
    slow = slow_posterior(answers, chances, model)
    assert found.unseen == pytest.approx(slow.pop(None), rel=1e-6, abs=1e-9)
    assert found.probabilities == pytest.approx(slow, rel=1e-6, abs=1e-9)


@given(answers=ANSWERS, model=MODELS, num_samples=st.integers(1, 6), chosen=st.sampled_from(["a", "b", None]))
def test_what_more_samples_can_win_is_counted_out(answers, model, num_samples, chosen):
    posterior = answer_posterior(answers, [0.5] * len(answers), model)
    expected = 0.0
    alpha, beta = model.strength * model.mean, model.strength * (1 - model.mean)
    for hypothesis in {*answers, None}:
        if hypothesis is not None and hypothesis == chosen:
            continue
        count = answers.count(hypothesis) if hypothesis is not None else 0
        a, b = alpha + count, beta + len(answers) - count
        none_right = math.prod((b + i) / (a + b + i) for i in range(num_samples))
        probability = posterior.unseen if hypothesis is None else posterior.probabilities[hypothesis]
        expected += probability * (1 - none_right)
        if hypothesis is None:
            assert posterior.coverage_gain(num_samples) == pytest.approx(
                probability * (1 - none_right), rel=1e-6, abs=1e-9
            )
    assert posterior.gain(chosen, num_samples) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(
    answers=st.lists(st.sampled_from(["a", "b", None]), max_size=60),
    chances=st.lists(st.sampled_from([0.0, 1.0, 0.5, 1e-300]), min_size=60, max_size=60),
    mean=st.sampled_from([0.0, 1.0, 0.5]),
    strength=st.sampled_from([1e-9, 1.0, 10_000.0]),
)
def test_extreme_scores_and_beliefs_stay_probabilities(answers, chances, mean, strength):
    model = AnswerModel(mean=mean, strength=strength, spread=1.0, weight=1.0)
    found = answer_posterior(answers, chances[: len(answers)], model)
    assert sum(found.probabilities.values()) + found.unseen == pytest.approx(1)
    assert all(0 <= p <= 1 for p in [*found.probabilities.values(), found.unseen])
    assert 0 <= found.gain(found.leading, 4) <= 1 + 1e-9


def test_agreement_and_scores_speak_for_an_answer():
    model = AnswerModel(mean=0.5, strength=2.0, spread=3.0, weight=1.0)

    def p_of_a(answers: str, *chances: float) -> float:
        return answer_posterior(list(answers), chances or [0.5] * len(answers), model).probabilities["a"]

    assert p_of_a("a") < p_of_a("aa") < p_of_a("aaaa")
    assert p_of_a("aab") < p_of_a("aa")
    assert p_of_a("ab", 0.9, 0.5) > p_of_a("ab", 0.5, 0.5) > p_of_a("ab", 0.5, 0.9)
    # With base 1/2 and one sample that says something, it is right, or wrong and not one of the silent fifth.
    assert p_of_a("a", 0.5) == pytest.approx(1 / (1 + 0.8))


def test_nothing_sampled_is_nothing_known():
    found = answer_posterior([], [], AnswerModel(mean=0.3, strength=2.0, spread=3.0, weight=1.0))
    assert (found.probabilities, found.unseen, found.leading) == ({}, 1.0, None)
    assert found.gain(None, 1) == pytest.approx(0.3)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
def test_it_is_calibrated_whatever_share_of_wrong_samples_states_no_answer(share):
    """Problems drawn from the model, `share` of wrong samples silent: within .02 with the share known, .035 without."""
    rng = random.Random(f"unanswered {share}")
    vague = AnswerModel(mean=0.4, strength=2.0, spread=5.0, weight=0.0)
    known = replace(vague, unanswered=min(max(share, 1e-3), 1 - 1e-3), unanswered_strength=1000.0)
    excess = {vague: 0.0, known: 0.0}
    num_problems = 3000
    for _ in range(num_problems):
        answers = drawn_answers(rng, 16, rng.betavariate(0.8, 1.2), vague.spread, share)
        for model in excess:
            found = answer_posterior(answers, [0.5] * 16, model)
            if found.leading is not None:
                excess[model] += (found.probabilities[found.leading] - (found.leading == "right")) / num_problems
    assert excess[known] == pytest.approx(0, abs=0.02)
    assert excess[vague] == pytest.approx(0, abs=0.035)


def drawn_answers(rng: random.Random, num_samples: int, p: float, spread: float, share: float) -> list[str | None]:
    """Answers of one problem, from the model itself; the right one is "right"."""
    answers: list[str | None] = []
    wrong: list[str] = []
    for _ in range(num_samples):
        if rng.random() < p:
            answers.append("right")
        elif rng.random() < share:
            answers.append(None)
        else:
            seat = rng.random() * (spread + len(wrong))
            wrong.append(wrong[int(seat)] if seat < len(wrong) else f"w{len(wrong)}")
            answers.append(wrong[-1])
    return answers


def test_samples_without_an_answer_make_those_with_one_likelier():
    """Two of one kind among silent ones: the silent ones are wrong ones, so few wrong ones have spoken."""
    model = AnswerModel(mean=0.3, strength=2.0, spread=10.0, weight=0.0)
    agreeing = answer_posterior(["a", "a", None, None], [0.5] * 4, model).probabilities["a"]
    rarely_silent = replace(model, unanswered=0.01, unanswered_strength=1000.0)
    ignored = answer_posterior(["a", "a", None, None], [0.5] * 4, rarely_silent).probabilities["a"]
    assert agreeing > ignored + 0.1


def test_it_is_calibrated_in_the_world_that_it_describes():
    """Problems drawn from the model itself: of answers given with probability q, a share of q is right."""
    rng = random.Random(5)
    model = AnswerModel(mean=0.4, strength=2.0, spread=3.0, weight=0.0)
    sure: list[tuple[float, bool]] = []
    for _ in range(4000):
        p = rng.betavariate(0.8, 1.2)
        answers = drawn_answers(rng, 6, p, model.spread, 0.0)
        found = answer_posterior(answers, [0.5] * 6, model)
        sure.append((found.probabilities[found.leading or ""], found.leading == "right"))
    sure.sort(key=lambda pair: pair[0])
    for part in (sure[:1000], sure[1000:2000], sure[2000:3000], sure[3000:]):
        assert sum(p for p, _ in part) / 1000 == pytest.approx(sum(right for _, right in part) / 1000, abs=0.045)
