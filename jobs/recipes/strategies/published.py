"""Options of the strategies that others have published, to compare with."""

from typing import Self

from pydantic import model_validator

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import (
    BeamOptions,
    Spelled,
    SteppedOptions,
    StepSelection,
    WholeSampleOptions,
    look_setting,
    step_selection_setting,
)
from scaling.strategies.as_they_finish import Look
from scaling.strategies.published.particle_filtering import Resampling
from scaling.uncertainty.selection import Selection


class RebaseStrategy(SteppedOptions):
    """Reward balanced search: a tree whose width is shared out by the scores of its paths."""

    num_samples: int = setting(16, "Whole solutions, the width of the tree (W).", ge=1, le=65536)
    balance_temperature: float = setting(
        0.2, "Of the softmax over scores that shares out the width (T_b): the lower, the greedier.", ge=0.001, le=1000.0
    )
    selection: StepSelection = step_selection_setting(Selection.WEIGHTED_VOTE)


class ParticleFilteringStrategy(SteppedOptions):
    """Particle filtering: candidates are drawn anew by their odds after each step."""

    num_samples: int = setting(16, "Particles (N).", ge=1, le=65536)
    temperature: float = setting(
        1.0, "Of the softmax over log-odds that weighs particles: the lower, the greedier.", ge=0.001, le=1000.0
    )
    resampling: Spelled[Resampling] = setting(
        Resampling.MULTINOMIAL, "How particles are drawn: each on its own, or at even distances from one draw."
    )
    resample_finished: bool = setting(
        True, "Finished particles are drawn as the others are; false: they are kept, and the others share their slots."
    )


class LookaheadBeamStrategy(BeamOptions):
    """Beam search that ranks a candidate by where it leads to."""

    lookahead: int = setting(1, "Steps that each candidate is simulated further, greedily.", ge=1, le=65536)


class AdaptiveConsistencyStrategy(WholeSampleOptions):
    """Self-consistency that stops once its majority is sure."""

    num_samples: int = setting(40, "Most samples per problem.", ge=1, le=65536)
    wave_size: int = setting(1, "Samples between two looks at the votes, or under way.", ge=1, le=65536)
    look: Spelled[Look] = look_setting()
    confidence: float = setting(
        0.95, "Posterior probability that the majority stays one, at which sampling stops.", gt=0.5, lt=1.0
    )

    @property
    def needs_prm(self) -> bool:
        """False: plain votes are counted."""
        return False


class ShortMOfKStrategy(WholeSampleOptions):
    """The samples that finish first vote, and the rest is cancelled."""

    num_samples: int = setting(8, "Samples per problem, all under way at once (k).", ge=1, le=65536)
    num_first: int = setting(3, "Of these, the first to finish with an answer, which vote (m).", ge=1, le=65536)

    @property
    def depends_on_arrival(self) -> bool:
        """True: the first ones vote."""
        return True

    @property
    def needs_prm(self) -> bool:
        """False: plain votes are counted."""
        return False

    @model_validator(mode="after")
    def _first_are_a_part(self) -> Self:
        if self.num_first > self.num_samples:
            raise ValueError(f"num_first ({self.num_first}) must not be above num_samples ({self.num_samples})")
        return self


class BacktrackingStrategy(BeamOptions):
    """Beam search that draws a step again where the best lower bound falls."""

    max_fall: float = setting(
        0.5, "Share of the best lower bound that a step may lose before it is drawn again.", ge=0.0, lt=1.0
    )
    max_backtracks: int = setting(4, "Most returns to an earlier step.", ge=0, le=1000)
