"""Probes: what was sampled behind a forced text, and when that is a sample of its problem.

A strategy that forces an answer in the middle of a path, only to look at it, goes on with the path. Such a probe is no
sample: it is not counted, not graded with the others, not exported. Where nothing else was sampled from there, the path
ends with the probe, and that is its answer like any other.
"""

from collections.abc import Iterable
from typing import NamedTuple

from records.path import FinishReason
from records.rows import StepRow


class ProbeStep(NamedTuple):
    """What has to be known of a step to tell probes: columns of `steps`."""

    node_id: int
    parent_id: int
    finish_reason: str


def passing_probes(steps: Iterable[ProbeStep | StepRow]) -> frozenset[int]:
    """The nodes of one problem that belong to probes of paths that went on; the forced texts are among them.

    Args:
        steps: of the problem, a parent before its children.
    """
    ordered = list(steps)
    gone_on = {step.parent_id for step in ordered if step.finish_reason != FinishReason.FORCED}
    passing: set[int] = set()
    for step in ordered:
        is_beside = step.finish_reason == FinishReason.FORCED and step.parent_id in gone_on
        if is_beside or step.parent_id in passing:
            passing.add(step.node_id)
    return frozenset(passing)
