"""One step of training a PRM: forward, backward, AdamW. Which prefixes come when: `actors.trainer.trainer`.

State travels as safetensors bytes, so a checkpoint never runs code when it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.engines.model_files import identity_files, sha256_of
from actors.engines.settings import LoraSpec, PrmSettings
from actors.engines.training.trainable import Example, TrainablePrm
from records.failure import TrainingFailed
from scaling.calibration.heads import HeadSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Sequences that go through the model together.

    Attributes:
        ids: token ids of each.
        places: of each, where scores are read; P in all.
        successes: of each place, in order [P]; `trials` and `weights` likewise.
    """

    ids: Sequence[Sequence[int]]
    places: Sequence[Sequence[int]]
    successes: NDArray[np.int64]
    trials: NDArray[np.int64]
    weights: NDArray[np.float64]


class TrainingEngine(Protocol):
    """A model in training, on one device. Every method may raise `TrainingFailed` where the device is full."""

    def accumulate(self, batch: Batch, share: float) -> float:
        """Add `share` times the gradient of the batch's loss to the gradient; the loss. Dropout is on."""
        ...

    def step(self, learning_rate: float, max_norm: float) -> float:
        """Clip the gradient to `max_norm`, take one step along it and forget it; its norm before clipping."""
        ...

    def seed(self, seed: int) -> None:
        """Seed dropout from here on."""
        ...

    def loss(self, batch: Batch) -> float:
        """The weighted mean over places. Dropout is off."""
        ...

    def outputs(self, batch: Batch) -> NDArray[np.float64]:
        """Raw outputs of the head [P, K]. Dropout is off."""
        ...

    def old_scores(self, batch: Batch) -> NDArray[np.float64]:
        """Scores of the model as it was before training [P]. Dropout is off."""
        ...

    def state(self) -> bytes:
        """Tensors that are trained, by name."""
        ...

    def load_state(self, state: bytes) -> None:
        """Go on from what `state` gave."""
        ...

    def optimizer_state(self) -> bytes:
        """State of the optimizer, as tensors by name."""
        ...

    def load_optimizer_state(self, state: bytes) -> None:
        """Go on from what `optimizer_state` gave."""
        ...

    def save(
        self,
        folder: Path,
        *,
        trained_for: Mapping[str, Any],
        notes: Mapping[str, Any],
        examples: Sequence[Example],
        lower_shift: float = 0.0,
    ) -> None:
        """Write the PRM's folder; see `TrainablePrm.save`."""
        ...


class TorchTraining:
    """`TrainingEngine` on a `TrainablePrm`, with AdamW.

    Args:
        prm: loaded.
        files: that decide what the model is, before training.
        weight_decay: of AdamW, on the adapters and the head's offset: towards the uncalibrated model.
    """

    def __init__(self, prm: TrainablePrm, files: list[Path], *, weight_decay: float) -> None:
        import torch

        self._prm, self._files = prm, files
        self._parameters = prm.parameters()
        fused = all(parameter.is_cuda for parameter in self._parameters)
        self._optimizer = torch.optim.AdamW(self._parameters, lr=0.0, weight_decay=weight_decay, fused=fused)

    @classmethod
    def open(
        cls,
        prm: PrmSettings,
        head: HeadSpec,
        lora: LoraSpec,
        *,
        device: str,
        cpu_threads: int,
        weight_decay: float,
        seed: int,
    ) -> "TorchTraining":
        """Load a PRM; see `TrainablePrm.open`."""
        import torch

        if device == "cpu":
            torch.set_num_threads(cpu_threads)
        trainable = TrainablePrm.open(prm, head, lora, device=device, seed=seed)
        return cls(trainable, identity_files(Path(prm.model)), weight_decay=weight_decay)

    def accumulate(self, batch: Batch, share: float) -> float:
        """See `TrainingEngine`."""
        import torch

        self._prm.train(mode=True)
        with _memory_for(batch):
            loss = self._loss(batch)
            torch.autograd.backward(loss * share)
        return float(loss.detach())

    def step(self, learning_rate: float, max_norm: float) -> float:
        """See `TrainingEngine`."""
        import torch

        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, max_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def seed(self, seed: int) -> None:
        """See `TrainingEngine`."""
        import torch

        torch.manual_seed(seed)

    def loss(self, batch: Batch) -> float:
        """See `TrainingEngine`."""
        import torch

        self._prm.train(mode=False)
        with _memory_for(batch), torch.no_grad():
            return float(self._loss(batch))

    def outputs(self, batch: Batch) -> NDArray[np.float64]:
        """See `TrainingEngine`."""
        self._prm.train(mode=False)
        with _memory_for(batch):
            return self._prm.predicted(batch.ids, batch.places)

    def old_scores(self, batch: Batch) -> NDArray[np.float64]:
        """See `TrainingEngine`."""
        self._prm.train(mode=False)
        with _memory_for(batch):
            return self._prm.old_scores(batch.ids, batch.places)

    def state(self) -> bytes:
        """See `TrainingEngine`."""
        from safetensors.torch import save

        return save({name: value.contiguous() for name, value in self._prm.state().items()})

    def load_state(self, state: bytes) -> None:
        """See `TrainingEngine`."""
        from safetensors.torch import load

        self._prm.load_state(load(state))

    def optimizer_state(self) -> bytes:
        """See `TrainingEngine`."""
        from safetensors.torch import save

        kept = self._optimizer.state_dict()["state"]
        return save({f"{at}.{key}": value.cpu() for at, values in kept.items() for key, value in values.items()})

    def load_optimizer_state(self, state: bytes) -> None:
        """See `TrainingEngine`."""
        from safetensors.torch import load

        kept: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in load(state).items():
            at, _, key = name.partition(".")
            kept.setdefault(int(at), {})[key] = value
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": kept})

    def save(
        self,
        folder: Path,
        *,
        trained_for: Mapping[str, Any],
        notes: Mapping[str, Any],
        examples: Sequence[Example],
        lower_shift: float = 0.0,
    ) -> None:
        """See `TrainingEngine`; the notes are told the sha256 of the PRM that it is made from."""
        self._prm.train(mode=False)
        told = {**notes, "prm_sha256": sha256_of(self._files)}
        self._prm.save(folder, trained_for=trained_for, notes=told, examples=examples, lower_shift=lower_shift)

    def _loss(self, batch: Batch) -> "torch.Tensor":
        import torch

        outputs = self._prm.outputs(batch.ids, batch.places)
        columns = (batch.successes, batch.trials, batch.weights)
        successes, trials, weights = (torch.tensor(each, dtype=torch.float32).to(outputs.device) for each in columns)
        return self._prm.loss(outputs, successes, trials, weights)


@contextmanager
def _memory_for(batch: Batch) -> Iterator[None]:
    """Say what to lower where a batch does not fit on the device."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        longest = max(map(len, batch.ids))
        raise TrainingFailed(
            f"the device is full with {len(batch.ids)} sequences of up to {longest} tokens: lower "
            "calibration.pass_tokens" + (", or prm.max_model_len" if len(batch.ids) == 1 else "")
        ) from error
