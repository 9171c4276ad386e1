import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from scaling.statistics.accuracy import accuracy_interval, auc_of_paths, within_problem_auc

paths = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), max_size=20
)


def test_wilson_interval_of_a_known_case() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263.
    assert accuracy_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert accuracy_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert accuracy_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_nothing_graded_has_no_accuracy() -> None:
    assert accuracy_interval(0, 0) is None


@pytest.mark.parametrize(("num_correct", "num_graded", "level"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0)])
def test_impossible_counts_are_refused(num_correct: int, num_graded: int, level: float) -> None:
    with pytest.raises(ValueError, match="must be within"):
        accuracy_interval(num_correct, num_graded, level)


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.01, 0.999))
def test_the_interval_holds_the_accuracy_and_mirrors(num_correct: int, num_wrong: int, level: float) -> None:
    interval = accuracy_interval(num_correct, num_correct + num_wrong, level)
    mirrored = accuracy_interval(num_wrong, num_correct + num_wrong, level)
    assert interval is not None
    assert mirrored is not None
    assert 0 <= interval[0] <= num_correct / (num_correct + num_wrong) <= interval[1] <= 1
    assert (1 - interval[1], 1 - interval[0]) == pytest.approx(mirrored)


@given(paths)
def test_auc_counts_pairs(drawn: list[tuple[str, float, bool]]) -> None:
    ids, scores, correct = [p for p, _, _ in drawn], [s for _, s, _ in drawn], [c for _, _, c in drawn]

    def share_ordered(*, same_problem: bool) -> float | None:
        pairs = [
            (right_score > wrong_score) + (right_score == wrong_score) / 2
            for right_id, right_score, is_right in drawn
            for wrong_id, wrong_score, is_wrong in drawn
            if is_right and not is_wrong and (right_id == wrong_id or not same_problem)
        ]
        return sum(pairs) / len(pairs) if pairs else None

    assert auc_of_paths(scores, correct) == pytest.approx(share_ordered(same_problem=False))
    assert within_problem_auc(ids, scores, correct) == pytest.approx(share_ordered(same_problem=True))


def test_auc_refuses_what_it_cannot_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        auc_of_paths([0.5, float("nan")], [True, False])
    with pytest.raises(ValueError, match="as long as"):
        auc_of_paths([0.5], [True, False])


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.9999))
def test_wilson_intervals_are_scipys(counts: tuple[int, int], level: float) -> None:
    num_correct, num_graded = counts
    interval = binomtest(num_correct, num_graded).proportion_ci(level, method="wilson")
    found = accuracy_interval(num_correct, num_graded, level)
    assert found == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found is not None
    assert 0 <= found[0] <= num_correct / num_graded <= found[1] <= 1
