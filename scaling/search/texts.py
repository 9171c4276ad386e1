"""What of a sample is read, and by whom: its answer by the one, its steps with or without their thoughts by the PRM."""

from records.calls import Sampled, SampledStep
from records.path import Path, text_after_thought


def stated_text(parent: Path, sampled: Sampled) -> str | None:
    """What a sample says after its last thought; None where it ends within one.

    Args:
        parent: the path that it continues.
        sampled: its steps.
    """
    before = [(node.text, node.phases) for node in parent.lineage]
    steps = [*before, *((step.text, step.phases) for step in sampled.steps)]
    return text_after_thought(reversed(steps))


def scored_text(step: Path | SampledStep, *, thoughts: bool) -> str:
    """What the PRM is given of a step: all of it with `thoughts`, else what is of the answer, which may be nothing."""
    return step.text if thoughts or step.phases is None else step.text[step.phases.thought_chars :]
