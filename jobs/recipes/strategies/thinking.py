"""Options of the strategies for models that think before they answer."""

from typing import Self

from pydantic import model_validator

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import StrategyOptions


class ProbeStrategy(StrategyOptions):
    """Chains that are asked on their way what they would answer, and end once that is certain."""

    num_samples: int = setting(16, "Chains per problem.", ge=1, le=65536)
    probe_text: str = setting(
        "</think>\\boxed{",
        "What is put behind an unfinished thought so that an answer follows: the end of the thought, and how an answer "
        "begins.",
        min_length=1,
    )
    probe_every: int = setting(256, "Tokens of a chain between two probes.", ge=1, le=1_000_000)
    probe_tokens: int = setting(20, "Most tokens of a probe.", ge=1, le=65536)
    num_agree: int = setting(
        3, "A chain ends when so many probes one after the other answer the same; 0: however they do.", ge=0, le=1000
    )
    min_confidence: float = setting(
        1.0,
        "A chain ends when the geometric mean of the probabilities of a probe's tokens is at least this; 1: never.",
        gt=0,
        le=1,
    )
    vote_confidence: float = setting(
        1.0,
        "The problem ends when the majority stays one with this posterior probability; 1: only when no other answer "
        "can win.",
        gt=0.5,
        le=1,
    )

    @property
    def needs_prm(self) -> bool:
        """False: the generator's own answers decide."""
        return False

    @property
    def num_logprobs(self) -> int:
        """What a probe's confidence needs, also where `generator.logprobs` is off: that of the sampled token."""
        return int(self.min_confidence < 1)

    @model_validator(mode="after")
    def _something_ends_a_chain(self) -> Self:
        if self.num_agree == 0 and self.min_confidence == 1:
            raise ValueError(
                "num_agree = 0 and min_confidence = 1 end no chain early: set one of them, or use majority"
            )
        return self
