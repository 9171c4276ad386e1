"""How a PRM family writes a question and its steps as token ids, and where it reads the score.

The ids of a path are those of its question and of each step, one after the other. So a prefix of a path is a prefix of
its ids, and a score that reuses the prefix cache is exactly the score of the whole. A family that cannot be written so
(one that re-tokenises across steps) cannot be served incrementally and does not belong here. The formats of published
models are in `actors.engines.prm.public_formats`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.engines.text import TextTokenizer


class PrmFormat(Protocol):
    """One family. The score of a path is read at its last token."""

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """Ids that follow the bare question where its own score is read; no path goes on from them."""
        ...

    def question_ids(self, question: str) -> tuple[int, ...]:
        """Token ids that every path of the question begins with; at least one."""
        ...

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:
        """Token ids that one step adds, none for a step without text; `first` says that none is before it."""
        ...


def path_ids(form: PrmFormat, question: str, steps: Sequence[str]) -> list[int]:
    """Token ids of a path; its score is read at the last one."""
    ids = list(form.question_ids(question))
    num_question_ids = len(ids)
    for step in steps:
        ids += form.step_ids(step, first=len(ids) == num_question_ids)
    return ids if len(ids) > num_question_ids else [*ids, *form.root_suffix]


@dataclass(frozen=True, slots=True)
class SeparatorFormat:
    """Question and steps as plain text, each ended by one separator, where the score is read."""

    tokenizer: TextTokenizer
    separator: str

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """The question ends in a separator of its own."""
        return ()

    def question_ids(self, question: str) -> tuple[int, ...]:
        """The question as the model wants a text to begin, and a separator."""
        return self.tokenizer.encode(self.tokenizer.quote(question) + self.separator)

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:  # noqa: ARG002 (all steps are alike)
        """The step without the separators and newlines that it was sampled with, and one separator.

        A step without any text adds nothing: the model was never trained on one, and the path says no more than before.
        """
        text = step
        while text.endswith(self.separator):
            text = text.removesuffix(self.separator)
        text = text.rstrip("\n")
        if not text:
            return ()
        return self.tokenizer.encode(self.tokenizer.quote(text) + self.separator, special=False)
