"""What travels between the controller and the replicas.

Every call has a key. Calls are idempotent: a key that a replica has already accepted is not run again. What travels of
a path is its `prefix_id` (a chained hash of its content) and, only where the replica is not known to hold it, the
prefix itself; a replica that misses one answers `PrefixMissing` and gets the call again, in full.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields

from records.path import FinishReason, Phases, PrmScore
from records.request import Until


def root_prefix_id(question: str) -> str:
    """The id of the bare question."""
    return hashlib.blake2b(question.encode(), digest_size=16).hexdigest()


def child_prefix_id(parent_prefix_id: str, content: Sequence[int] | Sequence[str]) -> str:
    """The id of a prefix that is longer by `content`: token ids (generator) or step texts (PRM).

    Both ends make it by themselves, so it is the same on every machine, and other content never has the same bytes.
    """
    return hashlib.blake2b(parent_prefix_id.encode() + _bytes_of(content), digest_size=16).hexdigest()


def _bytes_of(content: Sequence[int] | Sequence[str]) -> bytes:
    """Tokens as 8 bytes each; texts with their lengths, since an engine may say half a surrogate pair too."""
    if content and isinstance(content[0], str):
        return "".join(f"{len(str(text))}:{text}" for text in content).encode("utf-8", "surrogatepass")
    return struct.pack(f"<{len(content)}q", *content)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn, and which texts end a sample. The defaults beside the temperature change nothing.

    Attributes:
        temperature: 0 is greedy.
        top_p: share of the distribution that is sampled from.
        top_k: likeliest tokens that are sampled from; 0: all.
        min_p: tokens below this share of the likeliest one's probability are left out.
        repetition_penalty: of tokens that are in the prompt or the sample; above 1 they come less often.
        presence_penalty: taken from the logits of tokens that this call has sampled.
        frequency_penalty: the same for each time.
        stop: texts that end a sample; they stay in it.
        logit_bias: (token id, what is added to its logit), by token.
    """

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()

    @property
    def beside_temperature(self) -> dict[str, object]:
        """What is not at its default, as JSON has it: with the temperature all that decides what is drawn."""
        told: dict[str, object] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "temperature" and getattr(self, field.name) != field.default
        }
        if self.stop:
            told["stop"] = list(self.stop)
        if self.logit_bias:
            told["logit_bias"] = {str(token_id): bias for token_id, bias in self.logit_bias}
        return told

    @property
    def reshaped(self) -> bool:
        """Whether tokens are drawn from another distribution than the model's at the temperature."""
        return not self.beside_temperature.keys() <= {"stop"}


@dataclass(frozen=True, slots=True)
class TokenPrefix:
    """A question and the tokens sampled after its prompt so far, in the generator's vocabulary."""

    question: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleCall:
    """Sample one continuation of a prefix.

    Attributes:
        key: unique within the epoch.
        prefix_id: chained over the token ids of each sampled piece.
        prefix: the prefix itself; None where the replica is expected to hold it.
        until: where to stop.
        max_tokens: never exceeded; the ledger has reserved this much.
        seed: 63 bits, derived from names.
        sampling: how tokens are drawn.
        top_logprobs: likeliest tokens per position that confidences are computed over; 0: none are.
        forced_text: put behind the prefix, as the sample's first step.
    """

    key: str
    prefix_id: str
    prefix: TokenPrefix | None
    until: Until
    max_tokens: int
    seed: int
    sampling: Sampling
    top_logprobs: int = 0
    forced_text: str = ""


@dataclass(frozen=True, slots=True)
class SampledStep:
    """One step of a sample: its text with the separator, its tokens, their summed log-probability in nats.

    Attributes:
        token_confidences: per token, rounded to float32; None where the call did not ask.
        sampled_logprob_sum: as `logprob_sum`, under the distribution that the tokens were drawn from, at its
            temperature; None where the call did not ask, or more than the temperature shapes it (`Sampling.reshaped`).
        phases: what of it is thought and what is answer; None where the generator's settings do not tell.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprob_sum: float | None
    token_confidences: tuple[float, ...] | None = None
    sampled_logprob_sum: float | None = None
    phases: Phases | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """A finished sample.

    Attributes:
        key: of the call.
        steps: at least one; all but the last end in `SEPARATOR`, or in a thought in `TOKENS`. Exactly one unless the
            call asked for `Until.END`. A forced text is one more, at their head.
        prompt_tokens: length of the prefix as the engine saw it, cached part and forced text included.
        cached_tokens: of those, found in the prefix cache.
        queued_s: from acceptance to the first scheduling.
        run_s: from there to the last token.
    """

    key: str
    steps: tuple[SampledStep, ...]
    prompt_tokens: int
    cached_tokens: int
    queued_s: float
    run_s: float

    @property
    def generated_tokens(self) -> int:
        """Tokens sampled, the end-of-answer token included, a forced text not."""
        return sum(len(step.token_ids) for step in self.steps if step.finish_reason is not FinishReason.FORCED)


@dataclass(frozen=True, slots=True)
class TextPrefix:
    """A question and the steps before the ones to score, each with its separator as it was sampled."""

    question: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreCall:
    """Score a path.

    Attributes:
        key: unique within the epoch.
        prefix_id: of the path without `steps`, chained over the text of each step: `child_prefix_id(parent, [step])`.
        prefix: the path without `steps`; None where the replica is expected to hold it.
        steps: the steps that follow the prefix; empty to score the prefix itself.
        every: one score after each of `steps`; otherwise one, after the last.
    """

    key: str
    prefix_id: str
    prefix: TextPrefix | None
    steps: tuple[str, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one call.

    Attributes:
        key: of the call.
        scores: one per step with `every`, else one.
        prm_tokens: tokens of the inputs as the engine saw them, cached part included, summed over the scores.
        cached_tokens: of those, found in the prefix cache.
        truncated: the input was over-long and the PRM's stated policy cut it.
        queued_s: from acceptance to the first scheduling.
        run_s: from there to the last score.
    """

    key: str
    scores: tuple[PrmScore, ...]
    prm_tokens: int
    cached_tokens: int
    truncated: bool
    queued_s: float
    run_s: float


@dataclass(frozen=True, slots=True)
class PrefixMissing:
    """The replica does not hold the prefix; the call has to be sent again with it."""

    key: str


NOTHING_SAMPLED = "it was cancelled before anything came of it"
"""The error of a call that was cancelled and has no other result."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The engine refused or lost this one call and lives on; or nothing had come of it when it was cancelled.

    Attributes:
        key: of the call.
        error: what happened, for the problem's row.
        retryable: whether the same call may go better another time.
    """

    key: str
    error: str
    retryable: bool


SampleResult = Sampled | PrefixMissing | CallFailed
ScoreResult = Scored | PrefixMissing | CallFailed
