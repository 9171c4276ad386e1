"""Rollout rows as what is trained on: the ids that serving scores, each row in one place."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.formats import path_ids
from actors.engines.prm.families import find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.text import read_tokenizer
from actors.trainer.dataset import training_set
from tests.support.fake_training import rollout_row

PRM = Path(__file__).parents[3] / "examples/arithmetic/prm"
STEPS = ("1+1=2\n\n", "so 2", "", "\\boxed{2}\n\n", "\n\n")


@dataclass(frozen=True)
class Suffixed:
    """A family whose bare question is read after a token of its own, and whose first step is written otherwise."""

    root_suffix: tuple[int, ...] = (9,)

    def question_ids(self, question):
        return (1, *question.encode())

    def step_ids(self, step, *, first):
        text = step.rstrip("\n")
        return (2 if first else 3, *text.encode(), 4) if text else ()


FORMS = {
    "separator": find_family(PRM, "auto").make_format(PrmFolder(PRM, read_tokenizer(PRM / "tokenizer.json"))),
    "suffixed": Suffixed(),
}


def tree(paths, problem_id="p0"):
    """A row for each path, in the order given."""
    return [
        rollout_row(problem_id, number, path, number % 5, 4 + number % 2, terminal=number % 7 == 0)
        for number, path in enumerate(paths)
    ]


def slow_ids(row, form, limit):
    """What serving scores: the path from scratch, its oldest steps dropped while it is too long."""
    steps = row.steps
    while len(steps) > 1 and len(path_ids(form, row.question, steps)) > limit:
        steps = steps[1:]
    return path_ids(form, row.question, steps)


PATHS = st.lists(st.lists(st.sampled_from(STEPS), max_size=4).map(tuple), min_size=1, max_size=12, unique=True)


@pytest.mark.parametrize("name", FORMS)
@given(paths=PATHS, limit=st.integers(10, 40), chance=st.randoms())
def test_every_row_is_read_where_serving_reads_it(name, paths, limit, chance):
    form = FORMS[name]
    rows = [*tree(paths), *tree(paths[:3], "p1")]
    by_name = {(row.problem_id, row.node_id): row for row in rows}
    shuffled = list(rows)
    chance.shuffle(shuffled)
    found, left_out = training_set(shuffled, form, max_model_len=limit, keep_tail=True)
    kept = sorted(key for key, row in by_name.items() if len(slow_ids(row, form, limit)) <= limit)
    assert left_out == len(rows) - len(kept)
    assert [*found.observed.problem_ids] == [problem_id for problem_id, _ in kept]
    assert Counter(row for chain in found.chains for row in chain.rows) == Counter(range(len(kept)))
    for chain in found.chains:
        assert len({found.observed.problem_ids[row] for row in chain.rows}) == 1
        for place, row in zip(chain.places, chain.rows, strict=True):
            told = by_name[kept[row]]
            assert list(chain.ids[: place + 1]) == list(slow_ids(told, form, limit))
            assert (found.observed.successes[row], found.observed.trials[row]) == (told.successes, told.trials)
            assert (found.observed.terminal[row], found.observed.depth[row]) == (told.terminal, told.depth)


def test_what_the_prm_would_refuse_is_left_out():
    rows = tree([(), ("1+1=2\n\n",), ("1+1=2\n\n", "x" * 30)])
    form = FORMS["separator"]
    limit = len(path_ids(form, rows[0].question, ("1+1=2\n\n",)))
    assert training_set(rows, form, max_model_len=limit, keep_tail=False)[1] == 1
    found, left_out = training_set(rows, form, max_model_len=limit + 30, keep_tail=True)
    assert left_out == 0
    assert len(found.chains) == 2  # the cut path is no continuation of the others


def test_a_chain_costs_its_tokens_once():
    steps = tuple(f"{number}+1={number + 1}\n\n" for number in range(6))
    rows = tree([steps[:depth] for depth in range(7)])
    found, _ = training_set(rows, FORMS["separator"], max_model_len=512, keep_tail=True)
    assert (len(found), len(found.chains)) == (7, 1)
    assert found.num_tokens == len(path_ids(FORMS["separator"], rows[0].question, steps))


def test_weights_by_row_and_by_problem():
    rows = [*tree([(), ("a",), ("b",)]), *tree([()], "p1")]
    found, _ = training_set(rows, FORMS["suffixed"], max_model_len=99, keep_tail=True)
    assert found.weights(by_problem=False).tolist() == [1, 1, 1, 1]
    weights = found.weights(by_problem=True)
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert np.mean(weights) == pytest.approx(1)


def test_a_prefix_counts_as_often_as_trajectories_pass_through_it():
    rows = [*tree([(), ("a",), ("b",)]), *tree([()], "p1")]
    passing = [replace(row, num_trajectories=number) for row, number in zip(rows, (3, 2, 1, 2), strict=True)]
    found, _ = training_set(passing, FORMS["suffixed"], max_model_len=99, keep_tail=True)
    assert found.sampled.tolist() == [0, 0, 0, 1, 1, 2, 3, 3]
    assert found.weights(by_problem=False).tolist() == pytest.approx([1.5, 1, 0.5, 1])
    assert found.weights(by_problem=True).tolist() == pytest.approx([1, 2 / 3, 1 / 3, 2])
    repeated = found.observed.at(found.sampled)
    assert repeated.problem_ids == ["p0"] * 6 + ["p1"] * 2
    assert repeated.share.tolist() == [found.observed.share[row] for row in found.sampled]


def test_rows_of_a_problem_may_differ_in_text_only():
    rows = [rollout_row("p0", 0, (), 1, 2), replace(rollout_row("p0", 1, (), 0, 2), depth=0)]
    found, _ = training_set(rows, FORMS["separator"], max_model_len=99, keep_tail=True)
    assert found.chains[0].places[0] == found.chains[0].places[1]
