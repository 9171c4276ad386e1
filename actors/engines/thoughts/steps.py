"""Where steps end in samples that think: thoughts have rules of their own, answers end theirs at the separator.

A step that holds the end of a thought ends as an answer's does, so thought and answer share it. A step ends with the
token that completes a text, in a search by steps and in a sample that is cut afterwards alike; of the latter, lines
without text stay with the step that they follow, as everywhere (`actors.engines.steps`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.engines.settings import ThinkingSettings
from actors.engines.steps import Step
from actors.engines.text import CONTEXT_TOKENS, TextTokenizer
from actors.engines.thoughts.families import ThinkingFamily
from actors.engines.thoughts.marks import completing_ids
from actors.engines.thoughts.scan import ThoughtScan
from records.path import FinishReason


class StepTexts:
    """Knows a vocabulary and texts that end a step."""

    def __init__(self, tokenizer: TextTokenizer, texts: Sequence[str]) -> None:
        """Look through the vocabulary once; an empty sequence ends nothing."""
        self._tokenizer, self._texts = tokenizer, tuple(texts)
        self._completing_ids = completing_ids(tokenizer, self._texts)
        self._window = 2 + max((len(text.encode()) for text in self._texts), default=0)

    def ended(self, ids: Sequence[int], start: int, at: int) -> bool:
        """Whether the token `ids[at]` of a step that began at `start` completes one."""
        if ids[at] not in self._completing_ids:
            return False
        begin = max(start, at + 1 - self._window)
        context = ids[max(0, begin - CONTEXT_TOKENS) : begin]
        before = self._tokenizer.decode_after(context, ids[begin:at])
        now = self._tokenizer.decode_after(context, ids[begin : at + 1])
        return any(now.count(text) > before.count(text) for text in self._texts)


@dataclass(frozen=True, slots=True)
class ThoughtSteps:
    """The rules of one generator.

    Attributes:
        tokenizer: of the model.
        answer: what ends a step of an answer.
        thought: what ends one of a thought.
        filler_ids: tokens that stay with the step that they follow.
        step_tokens: after so many tokens a step of a thought ends anyhow; None: it does not.
        max_steps: of the thoughts of a sample that is cut afterwards; None: any number.
    """

    tokenizer: TextTokenizer
    answer: StepTexts
    thought: StepTexts
    filler_ids: frozenset[int]
    step_tokens: int | None = None
    max_steps: int | None = None

    def end_of(self, ids: Sequence[int], num_before: int, *, thinking: bool) -> FinishReason | None:
        """How a step ends with the last of its tokens; None: it goes on.

        Args:
            ids: its last ones.
            num_before: how many it has before these.
            thinking: a thought is open behind them.
        """
        return self._end_at(ids, 0, len(ids) - 1, num_before, thinking=thinking)

    def split(self, context_ids: Sequence[int], token_ids: Sequence[int], scan: ThoughtScan) -> tuple[Step, ...]:
        """The steps of a sample.

        Args:
            context_ids: before it.
            token_ids: of the sample.
            scan: that has taken it in since `start_call`.
        """
        context = tuple(context_ids[-CONTEXT_TOKENS:])
        ids, first = context + tuple(token_ids), len(context)
        steps: list[Step] = []
        start = at = first
        num_thought = 1
        while at < len(ids):
            thinking = scan.is_open_after(at - first)
            bounded = thinking and self.max_steps is not None and num_thought >= self.max_steps
            whole = bounded or scan.was_put(at - first)
            reason = None if whole else self._end_at(ids, start, at, 0, thinking=thinking)
            at += 1
            if reason is None:
                continue
            while reason is FinishReason.SEPARATOR and at < len(ids) and ids[at] in self.filler_ids:
                at += 1
            num_thought += thinking
            self._add(steps, ids, start, at, reason)
            start = at
        if start < len(ids):
            self._add(steps, ids, start, len(ids), FinishReason.SEPARATOR)
        return tuple(steps)

    def _end_at(
        self, ids: Sequence[int], start: int, at: int, num_before: int, *, thinking: bool
    ) -> FinishReason | None:
        """How a step ends with the token at a place, of which the tokens from `start` and `num_before` others are."""
        if at >= start and (self.thought if thinking else self.answer).ended(ids, start, at):
            return FinishReason.SEPARATOR
        full = thinking and self.step_tokens is not None and num_before + at + 1 - start >= self.step_tokens
        return FinishReason.TOKENS if full else None

    def _add(self, steps: list[Step], ids: tuple[int, ...], start: int, end: int, reason: FinishReason) -> None:
        """One more step; what has no text, such as the end-of-answer token, stays with the step before."""
        text = self.tokenizer.decode_after(ids[max(0, start - CONTEXT_TOKENS) : start], ids[start:end])
        if steps and not text:
            steps[-1] = Step(steps[-1].text, steps[-1].token_ids + ids[start:end], reason)
        else:
            steps.append(Step(text, ids[start:end], reason))


def thought_steps(
    family: ThinkingFamily,
    thinking: ThinkingSettings,
    tokenizer: TextTokenizer,
    *,
    separator: str,
    filler_ids: frozenset[int],
) -> ThoughtSteps:
    """The rules of a generator.

    Args:
        family: how it writes thoughts.
        thinking: its section on thoughts.
        tokenizer: of the model.
        separator: that ends its steps elsewhere.
        filler_ids: as in `ThoughtSteps`.
    """
    answer = StepTexts(tokenizer, (separator,))
    words = family.turns if thinking.step_words is None else thinking.step_words
    texts = {"separator": (separator,), "words": words, "whole": ()}[thinking.steps]
    thought = answer if texts == (separator,) else StepTexts(tokenizer, texts)
    return ThoughtSteps(tokenizer, answer, thought, filler_ids, thinking.step_tokens, thinking.max_steps)
