"""Pairs, labels and best paths: against what they mean, and whatever the order of paths."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from scaling.stored.training_data import (
    FinishedPath,
    LabelSource,
    ProblemPaths,
    StepLabels,
    answering_path,
    best_right_path,
    by_score,
    preference_pairs,
    ranking_score,
    step_labels,
)
from scaling.uncertainty.aggregation import Aggregation

EOS, LENGTH = FinishReason.EOS, FinishReason.LENGTH


def finished(node_id, text, *, score=None, outcome=None, finish=EOS, answer=None):
    path = Path(node_id, Path(0, None, "q"), text, tuple(text.encode()), finish)
    return FinishedPath(path, 0, answer, score, outcome)


def problem(paths, **changes):
    values = {"problem_id": "p", "question": "q", "reference": "1", "answer": None, "correct": None, "trials": {}}
    return ProblemPaths(paths=tuple(paths), num_finished=len(paths), **(values | changes))


@st.composite
def some_paths(draws):
    drawn = draws(
        st.lists(
            st.tuples(
                st.sampled_from("abcdefgh"),
                st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]),
                st.sampled_from([EOS, EOS, LENGTH]),
            ),
            max_size=8,
        )
    )
    outcomes = draws(st.fixed_dictionaries({text: st.sampled_from([True, False, None]) for text in "abcdefgh"}))
    return [
        finished(at + 1, text, score=score, outcome=outcomes[text], finish=finish)
        for at, (text, score, finish) in enumerate(drawn)
    ]


@given(some_paths(), st.integers(1, 20), st.randoms(use_true_random=False))
def test_pairs_are_right_against_wrong_and_go_by_names(paths, num_pairs, random):
    pairs = preference_pairs(paths, num_pairs)
    shuffled = random.sample(paths, len(paths))
    assert preference_pairs(shuffled, num_pairs) == pairs
    for chosen, rejected in pairs:
        assert chosen.outcome is True
        assert chosen.ended
        assert rejected.outcome is False
    texts = [(chosen.path.text, rejected.path.text) for chosen, rejected in pairs]
    assert len(set(texts)) == len(texts)
    right = {item.path.text for item in paths if item.outcome is True and item.ended}
    wrong = {item.path.text for item in paths if item.outcome is False}
    assert len(pairs) == min(num_pairs, len(right) * len(wrong))
    if pairs:
        best = max((-1 if item.score is None else item.score) for item in paths if item.outcome is False)
        assert pairs[0][1].score == (None if best == -1 else best)
        used = min(num_pairs, max(len(right), len(wrong)))
        longer = 0 if len(right) >= len(wrong) else 1
        assert len({pair[longer] for pair in texts}) == used  # none comes again before all have come


def test_the_hardest_pair_comes_first_and_every_pair_once():
    right = [finished(at, f"r{at}", score=at / 10, outcome=True) for at in (1, 2, 3)]
    wrong = [finished(at, f"w{at}", score=at / 10, outcome=False) for at in (4, 5)]
    told = [(a.path.text, b.path.text) for a, b in preference_pairs([*right, *wrong], 99)]
    assert told[:3] == [("r3", "w5"), ("r2", "w4"), ("r1", "w5")]
    assert sorted(told) == sorted(itertools.product(["r1", "r2", "r3"], ["w4", "w5"]))


def test_equals_go_by_node_and_unscored_ones_come_last():
    paths = [finished(3, "a"), finished(2, "b", score=0.5), finished(1, "c", score=0.5), finished(4, "d", score=0.0)]
    assert [item.path.node_id for item in by_score(paths)] == [1, 2, 4, 3]


def test_the_run_s_answer_is_found_as_votes_are_counted():
    paths = [
        finished(1, "a", answer="0.50", score=0.2, outcome=True),
        finished(2, "b", answer="1/2", score=0.9, outcome=True, finish=LENGTH),
        finished(3, "c", answer="\\frac12", score=0.4, outcome=True),
        finished(4, "d", answer="7", score=0.95, outcome=False),
        finished(5, "e", score=0.99, outcome=False),
    ]
    assert answering_path(problem(paths, answer="0.5")).path.node_id == 3
    assert answering_path(problem(paths, answer="8")) is None
    assert answering_path(problem(paths)) is None
    assert best_right_path(problem(paths, answer="7")).path.node_id == 3
    assert best_right_path(problem(paths[3:])) is None


def chain(*scores):
    path = Path(0, None, "q")
    for at, score in enumerate(scores):
        three = None if score is None else PrmScore(score / 2, score, score)
        path = Path(at + 1, path, f"s{at}", (at, at), EOS if at == len(scores) - 1 else None, None, three)
    return path


@pytest.mark.parametrize(
    ("scores", "aggregation", "expected"),
    [
        ((0.5, 0.25), Aggregation.LAST, 0.25),
        ((None, 0.25), Aggregation.LAST, 0.25),
        ((0.5, None), Aggregation.LAST, None),
        ((0.5, 0.25), Aggregation.PRODUCT, 0.125),
        ((0.25, 0.5), Aggregation.MIN, 0.25),
        ((None, 0.5), Aggregation.MIN, None),
    ],
)
def test_a_path_ranks_as_in_its_run(scores, aggregation, expected):
    assert ranking_score(chain(*scores), aggregation) == expected


@given(
    st.lists(st.none() | st.integers(0, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1),
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    st.sampled_from([True, False, None]),
)
def test_labels_are_shares_of_continuations_or_the_outcome(counts, threshold, outcome):
    path = chain(*[None] * len(counts))
    item = FinishedPath(path, 0, None, None, outcome)
    prefixes = [tuple(at // 2 for at in range(2 * depth)) for depth in range(1, len(counts) + 1)]
    trials = {prefix: count for prefix, count in zip(prefixes, counts, strict=True) if count is not None}
    labels = step_labels(item, trials, threshold)
    if all(count is not None and count[1] for count in counts):
        assert labels.source is LabelSource.MONTE_CARLO
        assert labels.labels == tuple(successes > threshold * tried for successes, tried in counts)
        assert all(math.isclose(s * n, z) for s, (z, n) in zip(labels.soft_labels, counts, strict=True))
        assert labels.trials == tuple(tried for _, tried in counts)
    elif outcome is None:
        assert labels is None
    else:
        whole = (outcome,) * len(counts)
        assert labels == StepLabels(whole, tuple(map(float, whole)), (), LabelSource.OUTCOME)
