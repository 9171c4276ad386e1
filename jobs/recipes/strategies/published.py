"""Options of the strategies that others have published, to compare with; named as the arguments of their functions."""

from typing import Literal

from pydantic import Field

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import BeamOptions, SelectionName, SteppedOptions, StrategyOptions, selection_setting


class DvtsStrategy(BeamOptions):
    """Diverse verifier tree search."""

    name: Literal["dvts"] = Field(description="N / M greedy searches side by side, each with M children a step.")


class RebaseStrategy(SteppedOptions):
    """Reward balanced search."""

    name: Literal["rebase"] = Field(description="A tree whose width is shared out by the scores of its paths.")
    num_samples: int = setting(16, "Whole solutions, the width of the tree (W).", ge=1, le=65536)
    balance_temperature: float = setting(
        0.2, "Of the softmax over scores that shares out the width (T_b): the lower, the greedier.", ge=0.001, le=1000.0
    )
    selection: SelectionName = selection_setting("weighted-vote")


class ParticleFilteringStrategy(SteppedOptions):
    """Particle filtering."""

    name: Literal["particle-filtering"] = Field(description="Candidates drawn anew by their odds after each step.")
    num_samples: int = setting(16, "Particles (N).", ge=1, le=65536)
    temperature: float = setting(
        1.0, "Of the softmax over log-odds that weighs particles: the lower, the greedier.", ge=0.001, le=1000.0
    )
    resampling: Literal["multinomial", "systematic"] = setting(
        "multinomial", "How particles are drawn: each on its own, or at even distances from one draw."
    )
    resample_finished: bool = setting(
        True, "Finished particles are drawn as the others are; false: they are kept, and the others share their slots."
    )


class LookaheadBeamStrategy(BeamOptions):
    """Lookahead beam search."""

    name: Literal["lookahead-beam"] = Field(description="Beam search that ranks a candidate by where it leads to.")
    lookahead: int = setting(1, "Steps that each candidate is simulated further, greedily.", ge=1, le=65536)


class AdaptiveConsistencyStrategy(StrategyOptions):
    """Self-consistency that stops once its majority is sure."""

    name: Literal["adaptive-consistency"] = Field(description="Sample until the majority is sure.")
    num_samples: int = setting(40, "Most samples per problem.", ge=1, le=65536)
    wave_size: int = setting(1, "Samples between two looks at the votes.", ge=1, le=65536)
    confidence: float = setting(
        0.95, "Posterior probability that the majority stays one, at which sampling stops.", gt=0.5, lt=1.0
    )

    @property
    def needs_prm(self) -> bool:
        """Votes only."""
        return False

    @property
    def most_samples(self) -> int:
        """It asks for nothing else."""
        return self.num_samples


class BacktrackingStrategy(BeamOptions):
    """Beam search that goes back where the best lower bound falls."""

    name: Literal["backtracking"] = Field(description="Beam search that draws a step again where the bound falls.")
    max_fall: float = setting(
        0.5, "Share of the best lower bound that a step may lose before it is drawn again.", ge=0.0, lt=1.0
    )
    max_backtracks: int = setting(4, "Most returns to an earlier step.", ge=0, le=1000)
