"""How sure an answer of whole samples is: what speaks for it, and that it means what it says in its own world."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Reply, ReplyKind
from scaling.statistics.risk_coverage import risk_coverage
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.sequential import sequential
from scaling.strategy import Choice, Request
from scaling.toy import TOY_LIMITS as LIMITS
from scaling.toy import TOY_ROOT as ROOT
from scaling.toy import ToyProblem
from scaling.toy import play_strategy as play
from scaling.uncertainty.abstention import Abstention
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate
from scaling.uncertainty.answer_p import posterior_of, with_answer_p
from scaling.uncertainty.selection import Selection, choose


def paths(*samples: tuple[str | None, float | None]) -> tuple[Path, ...]:
    """Whole samples with an answer and a score."""
    return tuple(
        Path(
            number, ROOT, "words" if answer is None else f"\\boxed{{{answer}}}", (1,), FinishReason.EOS, None,
            None if p is None else PrmScore(p, p, p),
        )
        for number, (answer, p) in enumerate(samples, 1)
    )  # fmt: skip


def sure(*samples: tuple[str | None, float | None], selection: Selection = Selection.MAJORITY) -> float:
    answer_p = posterior_of(choose(paths(*samples), selection, Aggregation.LAST))
    assert answer_p is not None
    assert answer_p.lower == answer_p.median == answer_p.upper
    return answer_p.median


def test_agreement_and_scores_speak_for_an_answer():
    agreed = sure(("1", None), ("1", None), ("1", None), ("2", None))
    assert agreed > sure(("1", None), ("1", None), ("3", None), ("2", None))
    assert sure(*[("1", None)] * 8) > agreed
    assert sure(("1", None), ("1.0", None), ("2/2", None), ("2", None)) == agreed, "canonical forms are counted"
    well_scored, badly_scored = (sure(("1", p), ("1", p), ("2", 0.5), ("3", 0.5)) for p in (0.9, 0.1))
    assert well_scored > badly_scored
    assert sure(("1", 0.9), ("1", None), ("2", 0.1)) == sure(("1", None), ("1", None), ("2", None)), "all or none"


def test_the_answer_that_was_chosen_is_the_one_that_is_weighed():
    samples = [("1", 0.95), *[("2", 0.6)] * 7]
    assert sure(*samples, selection=Selection.BEST) < 0.2
    assert sure(*samples) > 0.6


@pytest.mark.parametrize("samples", [(), (("1", 0.9),), ((None, 0.9), (None, 0.8)), (("1", None),)])
def test_nothing_is_made_up_of_one_sample_or_no_answer(samples):
    assert posterior_of(choose(paths(*samples), Selection.MAJORITY, Aggregation.LAST)) is None


def test_a_strategy_that_knows_better_keeps_its_word():
    choice = Choice(None, "1", paths(("1", 0.5), ("1", 0.5)), answer_p=PrmScore(0.1, 0.2, 0.3))

    def says(root: Path):
        yield from ()
        return choice

    def never(request: Request) -> Reply:
        raise AssertionError(request)

    assert play(with_answer_p(says, ROOT), never) == choice


@given(st.lists(st.tuples(st.sampled_from(["1", "2", None]), st.none() | st.floats(0, 1)), max_size=12))
def test_it_is_a_probability(samples):
    scored = (Selection.BEST, Selection.WEIGHTED_VOTE, Selection.MAJORITY)
    for selection in (Selection.MAJORITY,) if any(p is None for _, p in samples) else scored:
        answer_p = posterior_of(choose(paths(*samples), selection, Aggregation.LAST))
        assert answer_p is None or 0 <= answer_p.lower <= answer_p.upper <= 1


@pytest.mark.parametrize("function", [best_of_n, majority])
def test_in_a_toy_world_it_knows_when_it_is_wrong(function):
    """Chances uniform as the model has them, wrong answers less spread: risk where it is sure is what it promises."""
    p, right = [], []
    for seed in range(300):
        problem = ToyProblem(random.Random(seed).random(), seed, num_wrong=10)
        choice = play(with_answer_p(function, ROOT, limits=LIMITS, num_samples=8), problem.reply)
        p.append(choice.answer_p.median if choice.answer_p else 0.0)
        right.append(choice.answer == "right")
    curve = risk_coverage(p, right)
    coverage, risk = curve.at(0.9)
    assert risk is not None
    assert coverage > 0.3
    assert risk < 0.1
    assert curve.mean_risk < 0.5 * (1 - sum(right) / len(right))
    brier = sum((said - was) ** 2 for said, was in zip(p, right, strict=True)) / len(p)
    assert brier < 0.12


def test_sequential_has_its_own():
    problem = ToyProblem(0.5, 3)
    choice = play(sequential(ROOT, limits=LIMITS, num_samples=8), problem.reply)
    assert play(with_answer_p(sequential, ROOT, limits=LIMITS, num_samples=8), ToyProblem(0.5, 3).reply).answer_p == (
        choice.answer_p
    )


@given(
    quantiles=st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted),
    below=st.floats(0.01, 1),
    estimate=st.sampled_from(ScoreEstimate),
)
def test_abstaining_is_a_comparison(quantiles, below, estimate):
    lower, median, upper = quantiles
    p = {"lower": lower, "median": median, "upper": upper, "mean": 0.3 * lower + 0.4 * median + 0.3 * upper}[estimate]
    rule = Abstention(below, estimate)
    assert rule.abstains("4", PrmScore(lower, median, upper)) == (p < below)
    assert rule.abstains(None, PrmScore(1.0, 1.0, 1.0))
    assert rule.abstains("4", None)


def test_a_reply_that_is_cut_is_weighed_with_what_there_is():
    problem = ToyProblem(0.9, 1)

    def cut(request: Request) -> Reply:
        reply = problem.reply(request)
        return Reply(ReplyKind.REDUCED, reply.paths[:3]) if len(reply.paths) > 1 else reply

    choice = play(with_answer_p(best_of_n, ROOT, limits=LIMITS, num_samples=8), cut)
    assert len(choice.candidates) == 3
    assert choice.answer_p is not None
