"""Confidences and log-probabilities as drawn, against slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.logprobs import TopLogprobs, sampled_logprobs, token_confidences


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[list[float]], list[int], int]:
    """Log-probabilities of a whole vocabulary at each position, the sampled tokens, and k."""
    size = draw(st.integers(2, 12))
    logits = draw(st.lists(st.lists(st.floats(-30, 30), min_size=size, max_size=size), max_size=5))
    rows = [[each - max(row) - math.log(sum(math.exp(x - max(row)) for x in row)) for each in row] for row in logits]
    sampled = [draw(st.integers(0, size - 1)) for _ in rows]
    return rows, sampled, draw(st.integers(1, size))


def top_of(rows: list[list[float]], num_top: int) -> TopLogprobs:
    ids = [sorted(range(len(row)), key=lambda token: -row[token])[:num_top] for row in rows]
    return TopLogprobs(
        np.array(ids, dtype=np.int64).reshape(-1, num_top),
        np.array([[row[token] for token in top] for row, top in zip(rows, ids, strict=True)]).reshape(-1, num_top),
    )


@given(case=samples())
def test_confidence_is_minus_the_mean_over_the_likeliest(case):
    rows, _, num_top = case
    wanted = [-sum(sorted(row)[-num_top:]) / num_top for row in rows]
    found = token_confidences(top_of(rows, num_top))
    assert found == pytest.approx(wanted, rel=1e-6)
    assert all(confidence >= math.log(num_top) - 1e-5 for confidence in found)


@given(case=samples(), temperature=st.floats(0.1, 3.0) | st.sampled_from([0.25, 1.0]))
def test_log_probability_as_drawn_is_exact_with_the_whole_vocabulary_and_near_with_a_part(case, temperature):
    rows, sampled, num_top = case
    own = [row[token] for row, token in zip(rows, sampled, strict=True)]
    exact = [
        math.log(math.exp((row[token] - max(row)) / temperature))
        - math.log(sum(math.exp((each - max(row)) / temperature) for each in row))
        if (row[token] - max(row)) / temperature > -700
        else (row[token] - max(row)) / temperature
        - math.log(sum(math.exp((each - max(row)) / temperature) for each in row))
        for row, token in zip(rows, sampled, strict=True)
    ]
    size = len(rows[0]) if rows else 1
    assert sampled_logprobs(sampled, own, top_of(rows, size), temperature) == pytest.approx(exact, abs=1e-9)
    part = top_of(rows, num_top)
    for row, token, top, found, whole in zip(
        rows, sampled, part.token_ids.tolist(), sampled_logprobs(sampled, own, part, temperature), exact, strict=True
    ):
        # What is left out of the normaliser is what the tokens beside the likeliest and the sampled one weigh.
        seen = sum(math.exp((row[each] - max(row)) / temperature) for each in {*top, token})
        all_of_it = sum(math.exp((each - max(row)) / temperature) for each in row)
        if temperature != 1:
            assert found - whole == pytest.approx(math.log(all_of_it / seen), abs=1e-9)
        assert found <= 1e-9


def test_a_greedy_token_was_certain_and_nothing_has_nothing():
    top = top_of([[-1.0, -0.5]], 2)
    assert sampled_logprobs([1], [-0.5], top, 0.0) == (0.0,)
    empty = TopLogprobs(np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3)))
    assert token_confidences(empty) == sampled_logprobs([], [], empty, 0.5) == ()
