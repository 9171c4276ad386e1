"""The recipe's `[calibration]`: how `parsimony calibrate` fits the model of `[prm]`.

Defaults are those of "Know What You Don't Know" (arXiv 2506.09338) where it says something: levels, adapters, learning
rate, epochs, and 32 prefixes a batch. They are meant for PRMs of some billion parameters.

A field marked `operational` changes how fast a calibration is, not what comes out of it.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from actors.engines.settings import LoraSpec
from jobs.recipes.section import Section, setting
from records.failure import InvalidInput
from scaling.calibration.chains import Shares
from scaling.calibration.heads import LEVELS, HeadSpec

_LORA = LoraSpec()


class CalibrationSection(Section):
    """How a PRM is fitted to rollouts."""

    head: Literal["quantile", "beta-binomial"] = setting(
        "quantile", "What the new head gives: quantiles of the success probability, or a Beta distribution of it."
    )
    levels: tuple[float, ...] = Field(
        default=LEVELS,
        strict=False,
        description="Levels of the quantiles, rising, 0.5 among them; the first is served as lower, the last as upper.",
    )
    conformal: bool = setting(False, "Shift the lower quantile so that it holds as often as conformal_coverage says.")
    conformal_coverage: float | None = setting(
        None, "Share of prefixes of new problems above the lower quantile; omitted: 1 - the first level.", gt=0, lt=1
    )
    lora_rank: int = setting(_LORA.rank, "Rank of the adapters; 0: only the head is trained.", ge=0, le=1024)
    lora_alpha: float = setting(_LORA.alpha, "Adapters are scaled by lora_alpha / lora_rank.", gt=0)
    lora_dropout: float = setting(_LORA.dropout, "Of the adapters' inputs, while training.", ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=_LORA.target_modules, strict=False, min_length=1, description="Linear layers that get adapters."
    )
    every_nth_layer: int = setting(
        _LORA.every_nth_layer, "4: adapters in layers 3, 7, 11, ... (from 0); 1: in all.", ge=1
    )
    learning_rate: float = setting(1e-4, "Of AdamW, at its peak.", gt=0, le=1)
    warmup_share: float = setting(0.03, "Share of the batches in which the rate rises; then it falls to 0.", ge=0, lt=1)
    weight_decay: float = setting(0.0, "Of AdamW: pulls towards the uncalibrated model.", ge=0, le=1)
    max_grad_norm: float = setting(1.0, "Longer gradients are scaled down to it.", gt=0)
    epochs: int = setting(3, "Times that each prefix is seen, at most.", ge=1, le=1000)
    batch_prefixes: int = setting(32, "Prefixes of one optimizer step, or a few more: sequences are not cut.", ge=1)
    weighting: Literal["prefix", "problem"] = setting(
        "prefix",
        'What weighs the same in the loss: each "prefix" of each trajectory, or each "problem" with all of its.',
    )
    stopping_share: float = setting(0.1, "Share of the problems that say when to stop.", gt=0, lt=1)
    conformal_share: float = setting(0.2, "Share that the shift is fitted on; none without conformal.", gt=0, lt=1)
    test_share: float = setting(0.2, "Share that the table is made from, and nothing else.", gt=0, lt=1)
    evaluations_per_epoch: int = setting(4, "Looks at the stopping problems in each epoch; the best state stays.", ge=1)
    patience: int = setting(4, "Looks without a better loss after which training stops.", ge=1)
    seed: int | None = setting(None, "Of splits, order and dropout; omitted: the recipe's.", ge=0, lt=2**63)
    num_resamples: int = setting(
        2000, "Bootstrap resamples of problems behind the table's intervals.", operational=True, ge=100, le=100_000
    )
    pass_tokens: int = setting(
        4096, "Tokens that go through the model at once; what the device's memory holds.", operational=True, ge=1
    )
    checkpoint_interval_s: float = setting(60.0, "Longest time between two checkpoints.", operational=True, gt=0)
    cpu_threads: int = setting(1, "Threads of a trainer without a GPU.", operational=True, ge=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            self.head_spec()
        except InvalidInput as error:
            raise ValueError(str(error).replace("head.", "calibration.")) from error
        shares = self.shares()
        if shares.stopping + shares.conformal + shares.test >= 1:
            raise ValueError("stopping_share, conformal_share and test_share leave nothing to train on")
        if self.conformal_coverage is not None and not self.conformal:
            raise ValueError("conformal_coverage needs conformal = true")
        return self

    def head_spec(self) -> HeadSpec:
        """The head before any shift."""
        return HeadSpec(kind=self.head, levels=self.levels)

    def lora_spec(self) -> LoraSpec:
        """The adapters that are trained."""
        return LoraSpec(
            rank=self.lora_rank,
            alpha=self.lora_alpha,
            dropout=self.lora_dropout,
            target_modules=self.target_modules,
            every_nth_layer=self.every_nth_layer,
        )

    def shares(self) -> Shares:
        """Shares of the problems in each part."""
        return Shares(
            stopping=self.stopping_share,
            conformal=self.conformal_share if self.conformal else 0.0,
            test=self.test_share,
        )

    def coverage(self) -> float | None:
        """Of the shifted lower quantile; None without a shift."""
        if not self.conformal:
            return None
        return 1 - self.levels[0] if self.conformal_coverage is None else self.conformal_coverage
