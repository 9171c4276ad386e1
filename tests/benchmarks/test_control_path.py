"""The benchmark of the control path: runs end, every part is there, and replicas do as real ones would."""

import pytest

from benchmarks.control_parts import parts_of_scheduler
from benchmarks.control_path import STRATEGIES, measured, problems
from benchmarks.instant_engines import sample
from benchmarks.long_samples import measured as measured_sample
from records.calls import SampleCall, Sampling, root_prefix_id
from records.path import FinishReason
from records.request import Until


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.long
def test_every_part_is_measured(name):
    found = measured(name, 2, 2, 1)
    assert all(found[part] > 0 for part in ("controller", "recorder", "serialisation", "receiving", "writer"))
    assert set(found) > {"scheduler", "search", "strategy", "locality", "loop", "writer's process"}


@pytest.mark.long
def test_a_beam_search_is_as_many_samples_as_it_should_be():
    _, num_samples = parts_of_scheduler(STRATEGIES["beam search"], problems(3), 2)
    assert num_samples == 3 * 16 * 10


@pytest.mark.parametrize(("until", "request_number", "reasons"), [
    (Until.STEP, 1, ["separator"]),
    (Until.STEP, 10, ["eos"]),
    (Until.END, 0, ["separator"] * 3 + ["eos"]),
])  # fmt: skip
def test_samples_end_where_they_should(until, request_number, reasons):
    prefix_id = root_prefix_id("question")
    call = SampleCall(f"p/{request_number}/3~1", prefix_id, None, until, 100, 12345, Sampling(0.7))
    made = sample(call)
    assert [step.finish_reason for step in made.steps] == [FinishReason(reason) for reason in reasons]
    assert made.generated_tokens == 17 * len(reasons)


def test_a_long_sample_is_taken_in_and_scored_to_its_end():
    found = measured_sample(700, 3)
    assert found.keys() == {"ms_per_sample", "longest_event_ms"}
    assert 0 < found["longest_event_ms"] <= 3 * found["ms_per_sample"]
