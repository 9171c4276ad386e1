"""What a replica needs of an engine: a generator samples token ids after token ids, a PRM scores token ids.

Everything above token ids (prompts, steps, prefixes, keys) is the replica's and is the same for the real engines and
for the scripted ones. An engine that has died raises `ReplicaDied` from every method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.engines.formats import PrmFormat
from actors.engines.logprobs import TopLogprobs
from actors.engines.recall import Recall
from actors.engines.text import TextTokenizer
from records.calls import Sampling
from records.path import FinishReason, PrmScore
from records.request import Until


class EngineRefused(Exception):
    """The engine refused or lost one request and lives on. It never leaves the replica's process."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine knows of itself once it is up; the fields are those of `records.replica.ReplicaInfo`.

    Attributes:
        dtype: of the weights as they are served.
    """

    model_sha256: str | None
    tokenizer_sha256: str
    num_parameters: int
    max_model_len: int
    device: str
    dtype: str
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Sample after `prompt_ids`; prompt and `max_tokens` together fit the context.

    Attributes:
        top_logprobs: likeliest tokens per position whose log-probabilities are wanted; 0: none.
        num_sampled: the last so many of `prompt_ids` were sampled before; a stop string may have begun in them.
        ends: asked after each token, in another thread, with all sampled so far whether the sample ends there; None:
            only what else is said here ends it.
    """

    prompt_ids: Sequence[int]
    until: Until
    max_tokens: int
    seed: int
    sampling: Sampling
    top_logprobs: int = 0
    num_sampled: int = 0
    ends: Callable[[Sequence[int]], bool] | None = None

    @property
    def path_ids(self) -> Sequence[int]:
        """Those that were sampled before."""
        return self.prompt_ids[len(self.prompt_ids) - self.num_sampled :]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSample:
    """Sampled tokens, the end-of-answer token included.

    Attributes:
        logprobs: of each token, in nats, before temperature and top-p; None where the engine gives none.
        finish_reason: SEPARATOR (only with `Until.STEP`), EOS (also at a stop string), TOKENS where `ends` said so and
            the model has not ended there by itself, LENGTH, or CANCELLED (recalled).
        top: of the `top_logprobs` likeliest tokens at each position; None where none were asked for.
        cached_tokens: prompt tokens found in the prefix cache.
        queued_s: from the request to its first scheduling.
        run_s: from there to the last token.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: FinishReason
    cached_tokens: int
    queued_s: float
    run_s: float
    top: TopLogprobs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineScore:
    """The score of one sequence; the other fields as in `EngineSample`."""

    score: PrmScore
    cached_tokens: int
    queued_s: float
    run_s: float


class GeneratorEngine(Protocol):
    """Samples tokens. Its constructor loads the model."""

    @property
    def facts(self) -> EngineFacts:
        """Identity and limits."""
        ...

    @property
    def num_steps(self) -> int:
        """Engine steps so far: it grows while the engine works, also when no call ends for long."""
        ...

    @property
    def flying_tokens(self) -> int:
        """Generated so far for samples that have not ended; asked for several times a second, so it costs no step."""
        ...

    @property
    def tokenizer(self) -> TextTokenizer:
        """The model's own."""
        ...

    async def sample(self, request: SampleRequest, recall: Recall | None = None) -> EngineSample:
        """One sample. Cancelling the task aborts it in the engine.

        Once `recall` is done it ends before the engine's next step, with the tokens that it has; there may be none.

        Raises:
            EngineRefused: this request did not go through.
            ReplicaDied: the engine is gone.
        """
        ...

    async def watch(self) -> None:
        """Wait until the engine has ended, whatever the reason, and raise `ReplicaDied`."""
        ...

    async def close(self) -> None:
        """End the engine and its processes."""
        ...


class PrmEngine(Protocol):
    """Scores tokens. Its constructor loads the model."""

    @property
    def facts(self) -> EngineFacts:
        """Identity and limits."""
        ...

    @property
    def num_steps(self) -> int:
        """Engine steps so far: it grows while the engine works, also when no call ends for long."""
        ...

    @property
    def format(self) -> PrmFormat:
        """How questions and steps become token ids."""
        ...

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """The score read at the last token. Raises as `GeneratorEngine.sample`."""
        ...

    async def watch(self) -> None:
        """Wait until the engine has ended, whatever the reason, and raise `ReplicaDied`."""
        ...

    async def close(self) -> None:
        """End the engine and its processes."""
        ...
