"""Options of the strategies that decide by themselves how much a problem gets."""

from typing import Self

from pydantic import model_validator

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import (
    BeamOptions,
    Spelled,
    WholeSampleOptions,
    confidence_setting,
    estimate_setting,
    look_setting,
    sample_aggregation_setting,
    sample_selection_setting,
)
from scaling.strategies.adaptive_beam_search import Adapt
from scaling.strategies.as_they_finish import Look
from scaling.strategies.marginal import Objective
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate
from scaling.uncertainty.selection import Selection


class AdaptiveBestOfNStrategy(WholeSampleOptions):
    """Best-of-N with N from the PRM's view of the question."""

    num_samples: int = setting(64, "Most samples per problem.", ge=1, le=65536)
    min_samples: int = setting(1, "Fewest samples per problem.", ge=1, le=65536)
    confidence: float = confidence_setting()
    estimate: Spelled[ScoreEstimate] = estimate_setting()
    min_upper_quantile: float = setting(
        0.0,
        "A question whose upper quantile is below this gets min_samples (not in the paper); 0: none is hopeless.",
        ge=0,
        le=1,
    )
    aggregation: Spelled[Aggregation] = sample_aggregation_setting()
    selection: Spelled[Selection] = sample_selection_setting()

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.min_samples > self.num_samples:
            raise ValueError(f"min_samples ({self.min_samples}) must not be above num_samples ({self.num_samples})")
        return self


class AdaptiveBeamSearchStrategy(BeamOptions):
    """Beam search; the PRM decides how many candidates are kept, how many children they get, or both."""

    num_samples: int = setting(64, "Most candidates at a time (N); a multiple of beam_width.", ge=1, le=65536)
    beam_width: int = setting(8, "Most children of each kept candidate (M).", ge=1, le=65536)
    adapt: Spelled[Adapt] = setting(
        Adapt.BEAMS,
        "What follows the PRM: the number of kept candidates (the paper's IASoK), of their children (IASoM), or both "
        "(divided by the candidates kept, not in the paper).",
    )
    confidence: float = confidence_setting()
    estimate: Spelled[ScoreEstimate] = estimate_setting()
    adapt_root: bool = setting(False, "Take fewer first steps where the bare question looks easy (not in the paper).")
    frequency: int = setting(1, "Score, prune and adapt every so many steps; the paper's code has 5.", ge=1)


class WaveOptions(WholeSampleOptions):
    """Options of the strategies that look at the posterior of the answer after every wave of samples."""

    num_samples: int = setting(64, "Most samples per problem.", ge=1, le=65536)
    wrong_spread: float = setting(
        10.0, "Small: wrong samples tend to agree with each other; large: agreement is a good sign.", gt=0, le=10_000
    )
    score_weight: float = setting(
        0.2, "Weight of the PRM's scores; below 1 where samples with the same answer are misjudged alike.", ge=0, le=1
    )
    estimate: Spelled[ScoreEstimate] = setting(
        ScoreEstimate.MEAN,
        "What of the PRM's view is read as the chance of success: a quantile (lower, median, upper) or the mean.",
    )
    aggregation: Spelled[Aggregation] = setting(
        Aggregation.LAST, "How the scores of a sample's steps become one, for ranking."
    )
    selection: Spelled[Selection] | None = setting(
        None,
        "How the answer is chosen: best, weighted-vote, majority or confidence-vote; omitted: the likeliest by the "
        "posterior.",
    )


class SequentialStrategy(WaveOptions):
    """Samples in waves, until the answer in hand is sure enough."""

    wave_size: int = setting(4, "Samples between two looks at what there is, or under way.", ge=1, le=65536)
    look: Spelled[Look] = look_setting()
    threshold: float = setting(
        0.95, "Stop when the answer in hand is right with this probability; 1: never.", gt=0, le=1
    )
    min_gain: float = setting(
        0.001,
        "Stop when the chance that the answer in hand is wrong and the next wave holds a right one is below this, per "
        "sample of the wave: what a sample has to be worth. 0: hopeless problems go on.",
        ge=0,
        le=1,
    )
    prior_strength: float = setting(
        2.0, "How many samples the PRM's view of the bare question is worth.", gt=0, le=10_000
    )


class MarginalStrategy(WaveOptions):
    """Under budget.total_tokens each sample goes to the problem where the next one is worth most."""

    wave_size: int = setting(1, "Samples of one problem that are asked for at a time.", ge=1, le=65536)
    objective: Spelled[Objective] = setting(
        Objective.COVERAGE,
        "What a sample is worth: the chance that none before it is right and it is (coverage), and part of the chance "
        "that it helps a right one that is there and not chosen (accuracy).",
    )
    min_gain: float = setting(
        0.0, "A problem ends when its next sample is worth less than this, also without a cap; 0: never.", ge=0, le=1
    )
    typical_tokens: int | None = setting(
        None, "Length of a sample before any is known; omitted: a quarter of generator.max_tokens.", ge=1
    )
    prior_strength: float | None = setting(
        None,
        "How many samples the PRM's view of the bare question is worth; omitted: as its quantiles spread, 2 if they "
        "do not.",
        gt=0,
        le=10_000,
    )

    @property
    def allocates(self) -> bool:
        """True: every request has a priority, what it is worth per token."""
        return True
