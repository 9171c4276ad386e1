"""How a trainer is set up, and what it says of itself while it works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """How a PRM is fitted; see the recipe's `[calibration]` for each.

    Attributes:
        seed: of order and dropout.
        by_problem: each problem weighs the same, else each row.
        pass_tokens: of one forward pass, padding included.
        checkpoint_interval_s: longest time between two checkpoints.
    """

    seed: int
    learning_rate: float
    warmup_share: float
    max_grad_norm: float
    epochs: int
    batch_prefixes: int
    by_problem: bool
    evaluations_per_epoch: int
    patience: int
    pass_tokens: int
    checkpoint_interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerProgress:
    """How far a trainer is.

    Attributes:
        phase: "loading the model", "training", "evaluating", "predicting", "publishing" or "waiting".
        done_batches: of `num_batches`, which is 0 while the model is loaded.
        epoch: as a fraction of all epochs gone by: 1.5 is the middle of the second.
        loss: mean over the last batches; null before the first.
        held_out_loss: of the stopping problems, lately; null before the first evaluation; `best_loss` alike.
        prefixes_per_s: of this trainer's batches; null before the first.
        time_left_s: to the last batch, if nothing stops it before; null while unknown.
        elapsed_s: since this trainer was made.
    """

    phase: str
    done_batches: int = 0
    num_batches: int = 0
    epoch: float = 0.0
    loss: float | None = None
    held_out_loss: float | None = None
    best_loss: float | None = None
    prefixes_per_s: float | None = None
    time_left_s: float | None = None
    elapsed_s: float = 0.0


class Speed:
    """How fast batches go, and their loss of late, in moving means."""

    def __init__(self) -> None:
        self.loss: float | None = None
        self._prefixes = self._seconds = 0.0

    def add(self, num_prefixes: int, seconds: float, loss: float) -> None:
        """One more batch."""
        self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss
        self._prefixes = 0.95 * self._prefixes + num_prefixes
        self._seconds = 0.95 * self._seconds + seconds

    @property
    def prefixes_per_s(self) -> float | None:
        """Of late; None before the first batch."""
        return self._prefixes / self._seconds if self._seconds > 0 else None
