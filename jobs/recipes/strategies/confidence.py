"""Options of the strategies that read the generator's own probabilities."""

from typing import Literal, Self

from pydantic import model_validator

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import Spelled, StrategyOptions, look_setting, sample_selection_setting
from scaling.strategies.as_they_finish import Look
from scaling.uncertainty.selection import TOP_LOGPROBS, Selection
from scaling.uncertainty.token_confidence import TraceConfidence


class LogprobsOptions(StrategyOptions):
    """Options of a strategy that asks for the log-probabilities of the likeliest tokens."""

    top_logprobs: int = setting(
        TOP_LOGPROBS, "Likeliest tokens per position whose log-probabilities are read (k).", ge=1, le=65536
    )

    @property
    def num_logprobs(self) -> int:
        """The option `top_logprobs`, whatever the selection reads."""
        return self.top_logprobs


class DeepConfOptions(LogprobsOptions):
    """Options that both kinds of DeepConf have."""

    window: int = setting(128, "Tokens of one group; the paper's 2048 is for traces of many thousands.", ge=1, le=2**24)
    keep_share: float = setting(0.9, "Share of the traces, the surest ones, that votes (eta).", gt=0, le=1)
    trace_confidence: Spelled[TraceConfidence] = setting(
        TraceConfidence.LOWEST_GROUP,
        "How sure a trace was: its lowest group, lowest tenth of groups, last window, or mean token.",
    )
    selection: Literal[Selection.CONFIDENCE_VOTE, Selection.MAJORITY] = setting(
        Selection.CONFIDENCE_VOTE,
        "A vote weighs as much as its trace's confidence (confidence-vote), or one (majority).",
    )

    @property
    def needs_prm(self) -> bool:
        """False: the generator's confidence takes the place of scores."""
        return False


class DeepConfOfflineStrategy(DeepConfOptions):
    """Votes of the samples that the generator was surest of."""

    num_samples: int = setting(16, "Samples per problem.", ge=1, le=65536)

    @property
    def most_samples(self) -> int:
        """The option `num_samples`: traces are whole samples, and all are drawn."""
        return self.num_samples


class DeepConfOnlineStrategy(DeepConfOptions):
    """Samples are aborted where the generator is unsure; the others vote until they agree."""

    num_samples: int = setting(64, "Most samples per problem, warm-up and aborted ones included.", ge=1, le=65536)
    num_warmup: int = setting(16, "Whole samples first, which say what unsure is.", ge=1, le=65536)
    wave_size: int = setting(8, "Samples between two looks at the votes, or under way.", ge=1, le=65536)
    look: Spelled[Look] = look_setting()
    max_steps: int = setting(1000, "Most steps of one sample after the warm-up.", ge=1, le=65536)
    consensus: float = setting(0.95, "Share of all votes for one answer, at which sampling stops (tau).", gt=0, le=1)

    @model_validator(mode="after")
    def _warmup_is_a_part(self) -> Self:
        if self.num_warmup > self.num_samples:
            raise ValueError(f"num_warmup ({self.num_warmup}) must not be above num_samples ({self.num_samples})")
        return self


class PowerSamplingStrategy(LogprobsOptions):
    """Samples from p^alpha over whole solutions, by MCMC; p is the generator's distribution."""

    num_samples: int = setting(4, "Independent chains; the paper has one.", ge=1, le=65536)
    alpha: float = setting(
        4.0, "Power of the distribution; proposals are drawn at temperature 1 / alpha.", ge=1, le=100
    )
    num_mcmc_steps: int = setting(10, "Moves of each chain.", ge=0, le=65536)
    selection: Spelled[Selection] = sample_selection_setting(Selection.MAJORITY)

    @property
    def needs_prm(self) -> bool:
        """Whether the selection reads scores; the chains themselves do not."""
        return self.selection.reads_scores
