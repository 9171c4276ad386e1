"""Rows as columns on their way to the writer: nothing is lost, nothing of another problem travels along."""

import pickle
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.writer.buffer import Buffer
from records.packing import SLICE_ROWS, packed_rows
from records.rows import OpenRecord, ProblemRecord
from records.run_folder.commits import OpenRows
from records.schemas import SCHEMAS, to_table
from tests.records import builders


def opened(name: str, first: int, last: int) -> OpenRecord:
    record = builders.record(name, num_steps=last)
    return OpenRecord(problem_id=name, steps=record.steps[first:], requests=record.requests)


def batches(draw_lengths: list[list[int]]) -> list[tuple[list[ProblemRecord], list[OpenRecord]]]:
    """Batches of problems that go on and of problems that end, some of them after they went on in a batch before."""
    made: list[tuple[list[ProblemRecord], list[OpenRecord]]] = [([], []) for _ in draw_lengths]
    for number, lengths in enumerate(draw_lengths):
        for place, length in enumerate(lengths):
            name = f"p{number}-{place}"
            if place % 2:
                made[number][0].append(builders.record(name, num_steps=length))
            else:
                made[number][1].append(opened(name, 0, length))
    for (_, before), (after, _) in pairwise(made):
        after += [builders.record(one.problem_id, num_steps=1) for one in before[::2]]
    return made


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=4), st.sampled_from([1, 2, SLICE_ROWS]))
def test_what_waits_is_what_rows_one_by_one_would_be(draw_lengths, slice_rows):
    buffer, made = Buffer([], []), batches(draw_lengths)
    for number, (records, of_open) in enumerate(made):
        with patch("records.packing.SLICE_ROWS", slice_rows):
            rows = packed_rows(records, of_open)
        buffer.append(number, *pickle.loads(pickle.dumps(rows, protocol=5)))  # noqa: S301
    ended = [record for records, _ in made for record in records]
    going_on = [record for _, of_open in made for record in of_open]
    assert buffer.problems == [record.problem for record in ended]
    for table in ("steps", "requests"):
        rows = [row for record in (*going_on, *ended) for row in getattr(record, table)]
        found = buffer.rows_of(table)
        assert (found is None) == (not rows)
        assert found is None or found.equals(to_table(table, rows))
        assert found is None or found.schema.equals(SCHEMAS[table])
    closed = {record.problem.problem_id for record in ended}
    wanted = [OpenRows(one.problem_id, one.generated_tokens) for one in going_on if one.problem_id not in closed]
    assert buffer.open_rows == tuple(wanted)
    assert buffer.empty == (not ended and not going_on)


def test_rows_of_another_problem_and_rows_that_fit_no_column_go_nowhere():
    record = builders.record("a")
    with pytest.raises(AssertionError, match="the record of problem 'a' holds rows of 'b'"):
        packed_rows([replace(record, requests=builders.record("b").requests)])
    with pytest.raises(AssertionError, match="the record of problem 'a' holds rows of 'b'"):
        packed_rows([], [replace(opened("b", 0, 2), problem_id="a")])
    with pytest.raises(ValueError, match=r"steps\.text is null"):
        packed_rows([replace(record, steps=(replace(record.steps[0], text=None),))])


def test_columns_travel_beside_the_pickle():
    records = [builders.record(f"p{number}", num_steps=50) for number in range(20)]
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(packed_rows(records)[1], protocol=5, buffer_callback=buffers.append)
    assert len(data) < sum(buffer.raw().nbytes for buffer in buffers) / 4
    [steps, _] = pickle.loads(data, buffers=buffers)  # noqa: S301
    assert isinstance(steps.rows, pa.RecordBatch)
    assert steps.rows.num_rows == 1000
