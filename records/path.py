"""Steps and paths: the tree that a search grows for one problem.

A `Path` is immutable and points to its parent, so siblings share their past. Node ids are given when a reply is
delivered, in child order: 0 is the root (the bare question), the rest count up, whatever order the parts arrived in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class FinishReason(StrEnum):
    """Why the sampling of a step ended."""

    SEPARATOR = "separator"
    """At the step separator: the path can go on."""
    TOKENS = "tokens"
    """After the number of tokens that an `until="tokens"` request asked for: the path can go on."""
    EOS = "eos"
    """The model ended its answer."""
    LENGTH = "length"
    """Cut at `max_tokens`, at the context limit, or where the budget ran out."""
    CANCELLED = "cancelled"
    """Ended before its time, because the strategy needed it no more: what was sampled of it belongs to no reply."""
    UNFINISHED_THOUGHT = "unfinished_thought"
    """The model ended, or was cut, within its thought: there is no answer."""
    FORCED = "forced"
    """Not sampled: a text that the strategy put behind the path. What was sampled after it is the next step."""


ENDS = frozenset({FinishReason.EOS, FinishReason.LENGTH, FinishReason.UNFINISHED_THOUGHT})
"""After which nothing can follow."""


class Phases(NamedTuple):
    """How the tokens and the text of one step divide into thought and answer.

    A token that completes a mark belongs to the thought, and so do those that the mark began with.

    Attributes:
        thinking_tokens: of the step; the others are of the answer.
        thought_chars: of the step's text; what follows them is of the answer.
        is_open: a thought goes on where the step ends.
        is_closed: a budget has closed a thought in it.
        num_prolonged: ends of thoughts in it that came too early and were replaced.
    """

    thinking_tokens: int
    thought_chars: int
    is_open: bool
    is_closed: bool = False
    num_prolonged: int = 0


def text_after_thought(steps: Iterable[tuple[str, Phases | None]]) -> str | None:
    """What follows the last thought; None where that goes on, the whole text where nobody has told thoughts apart.

    Args:
        steps: text and phases of each step of a path, the last one first.
    """
    texts: list[str] = []
    for text, phases in steps:
        if phases is None:
            texts.append(text)
            continue
        if phases.is_open and not texts:
            return None
        texts.append(text[phases.thought_chars :])
        if phases.thinking_tokens:
            break
    return "".join(reversed(texts))


class AnswerReader(Protocol):
    """Knows which answer a solution of a problem states, and what it is counted as."""

    def answer(self, solution: str | None) -> str | None:
        """The answer that a solution states, after its thought; None where it states none, or there is none."""
        ...

    def form(self, answer: str) -> str:
        """One text for all answers that are the same."""
        ...


@dataclass(frozen=True, slots=True)
class PrmScore:
    """Quantiles of the success probability of a path, in [0, 1], lower <= median <= upper.

    An uncalibrated PRM gives one number: all three are equal.
    """

    lower: float
    median: float
    upper: float


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A prefix of steps; its last step is the node's own.

    Attributes:
        node_id: number within the problem; 0 is the root.
        parent: the path without its last step; None for the root.
        text: the last step, with its separator. The root's is the question.
        token_ids: the last step's tokens in the generator's vocabulary; empty for the root.
        finish_reason: why the last step ended; None for the root.
        logprob_sum: summed log-probability (nats) of the last step's tokens; None where the engine gave none.
        score: the PRM's view of the whole path; None where nobody asked.
        token_confidences: of each of the last step's tokens: minus the mean log-probability (nats) of the k tokens that
            were likeliest there, so the more peaked, the higher; None where nobody asked.
        sampled_logprob_sum: as `logprob_sum`, under the distribution that the tokens were drawn from; None where nobody
            asked, or more than the temperature shapes it.
        phases: what of the last step is thought and what is answer; None where the run does not tell.
        answers: of the root: how answers of this problem are read; None elsewhere, and where the defaults hold.
    """

    node_id: int
    parent: "Path | None"
    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    logprob_sum: float | None = None
    score: PrmScore | None = None
    token_confidences: tuple[float, ...] | None = None
    sampled_logprob_sum: float | None = None
    answers: AnswerReader | None = None
    phases: Phases | None = None

    @property
    def finished(self) -> bool:
        """Nothing can follow: the answer is complete, or it was cut."""
        return self.finish_reason in ENDS

    @property
    def thinking(self) -> bool:
        """A thought goes on where the path ends; of a path without steps nobody knows."""
        return self.phases is not None and self.phases.is_open

    @property
    def sampled_tokens(self) -> int:
        """Sampled in the last step; a forced text has none."""
        return 0 if self.finish_reason is FinishReason.FORCED else len(self.token_ids)

    @property
    def lineage(self) -> list["Path"]:
        """This path and its ancestors without the root, in the order of the text."""
        return list(self._backwards())[::-1]

    @property
    def depth(self) -> int:
        """Number of steps; 0 for the root."""
        return sum(1 for _ in self._backwards())

    @property
    def root(self) -> "Path":
        """The bare question that this path began at."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    @property
    def solution(self) -> str:
        """The text of all steps."""
        return "".join(node.text for node in self.lineage)

    @property
    def answer_text(self) -> str | None:
        """The text after the last thought; None within one."""
        return text_after_thought((node.text, node.phases) for node in self._backwards())

    @property
    def solution_token_ids(self) -> tuple[int, ...]:
        """The tokens of all steps: [num_tokens]."""
        return tuple(token_id for node in self.lineage for token_id in node.token_ids)

    @property
    def num_tokens(self) -> int:
        """Of all steps together."""
        return sum(len(node.token_ids) for node in self._backwards())

    @property
    def thinking_tokens(self) -> int:
        """Of the thoughts of all steps together; 0 where the run does not tell."""
        return sum(node.phases.thinking_tokens for node in self._backwards() if node.phases is not None)

    def _backwards(self) -> Iterator["Path"]:
        node = self
        while node.parent is not None:
            yield node
            node = node.parent
