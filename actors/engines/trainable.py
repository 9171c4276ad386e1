"""A PRM that can be trained: backbone by transformers, LoRA by peft, and a head that begins at the old score.

    z_k = u(h) + (dW_k . f(h) + db_k)      k = 1..K

h is the backbone's last hidden state after the final norm at a place where a score is read, f(h) the features that the
family's last layer reads (h, or those behind an inner layer with a ReLU), and u(h) the logit of the family's score:
log-sum-exp of the good classes' logits less that of the bad ones. dW and db begin at 0, so that before training
sigmoid(z_k) is the uncalibrated score, for every family. A Beta-Binomial head's second output has no u(h); it begins at
the logarithm of the stated concentration.

Token ids are those of the family's `PrmFormat`, the same that are served. What `save` writes is served as it is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actors.engines.formats import PrmFormat
from actors.settings import LoraSpec, PrmSettings
from scaling.heads import HeadSpec

if TYPE_CHECKING:
    import torch

Example = tuple[str, Sequence[str]]
"""A question and its steps."""


class TrainablePrm:
    """One PRM in training, on one device.

    Attributes:
        form: how questions and steps become token ids.
        head: what the outputs mean.
        max_model_len: tokens of the longest sequence that it takes.
    """

    form: PrmFormat
    head: HeadSpec
    max_model_len: int

    @staticmethod
    def open(settings: PrmSettings, head: HeadSpec, lora: LoraSpec, *, device: str) -> "TrainablePrm":
        """Load a PRM's folder, with a new head and new adapters.

        Args:
            settings: model, family, dtype of the backbone and max_model_len are used. Adapters and head are float32.
            head: what the new head's outputs mean.
            lora: adapters.
            device: "cpu" or "cuda".

        Raises:
            InvalidInput: the folder is no PRM of a known family, is calibrated already, or has no such layers.
        """
        raise NotImplementedError

    def train(self, *, mode: bool) -> None:
        """Turn dropout on or off. It is off at first."""
        raise NotImplementedError

    def outputs(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Raw outputs [P, K], float32, differentiable.

        Args:
            batch: token ids of each sequence; they are padded on the right here.
            places: of each sequence, the indices of the tokens at which scores are read. P counts all of them, in
                order.
        """
        raise NotImplementedError

    def old_scores(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The uncalibrated scores [P]: no adapters, no offset. Arguments as for `outputs`."""
        raise NotImplementedError

    def loss(
        self, outputs: "torch.Tensor", successes: "torch.Tensor", trials: "torch.Tensor", weights: "torch.Tensor"
    ) -> "torch.Tensor":
        """The weighted mean over places of the head's loss, a scalar.

        Args:
            outputs: [P, K].
            successes: [P], Z.
            trials: [P], N.
            weights: [P], not all 0.
        """
        raise NotImplementedError

    def parameters(self) -> "list[torch.nn.Parameter]":
        """What is trained: adapters and offset."""
        raise NotImplementedError

    def state(self) -> "dict[str, torch.Tensor]":
        """What is trained, by name, on the CPU: a checkpoint."""
        raise NotImplementedError

    def load_state(self, state: "Mapping[str, torch.Tensor]") -> None:
        """Go on from what `state` gave. Raises `InvalidInput` where names or shapes are others."""
        raise NotImplementedError

    def save(
        self,
        folder: Path,
        *,
        trained_for: Mapping[str, Any],
        notes: Mapping[str, Any],
        examples: Sequence[Example],
        lower_shift: float = 0.0,
    ) -> None:
        """Write the PRM's folder, as a whole or not at all: adapters merged, head, tokenizer, golden.json.

        Args:
            folder: must not be there; its parent has room for the model.
            trained_for: sha256 of the `generator` and its `temperature`.
            notes: what prm_config.json says under `calibration`.
            examples: whose scores golden.json keeps; at least one.
            lower_shift: of the lower quantile, by split conformal prediction.

        Raises:
            InvalidInput: there is such a folder already.
        """
        raise NotImplementedError
