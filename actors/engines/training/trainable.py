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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from actors.engines.formats import PrmFormat, path_ids
from actors.engines.model_files import TOKENIZER_FILE, context_length
from actors.engines.prm.backbone import load_backbone
from actors.engines.prm.families import FAMILIES, Family, FolderHead, find_family
from actors.engines.prm.head_file import read_spec
from actors.engines.prm.heads import ClassHead
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prm.writer import PrmDescription, refuse_existing, write_prm
from actors.engines.settings import LoraSpec, PrmSettings
from actors.engines.text import read_tokenizer
from actors.engines.training.lora import Adapters, adapted_layers
from actors.engines.training.losses import losses
from actors.engines.training.torch_head import TorchHead
from records.failure import InvalidInput
from scaling.calibration.heads import BETA_BINOMIAL, POINT, PROBABILITY, QUANTILE, HeadSpec, predict_success, score

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

    def __init__(
        self, folder: PrmFolder, family: Family, backbone: "torch.nn.Module", adapters: Adapters, head: TorchHead
    ) -> None:
        """Put the parts together; `open` makes them."""
        self.form: PrmFormat = family.make_format(folder)
        self.head = head.spec
        self.max_model_len = 0
        self._folder, self._family = folder, family
        self._backbone, self._adapters, self._torch_head = backbone, adapters, head

    @staticmethod
    def open(settings: PrmSettings, head: HeadSpec, lora: LoraSpec, *, device: str, seed: int = 0) -> "TrainablePrm":
        """Load a PRM's folder, with a new head and new adapters.

        Args:
            settings: model, family, dtype of the backbone and max_model_len are used. Adapters and head are float32.
            head: what the new head's outputs mean; its shift is not used.
            lora: adapters.
            device: "cpu" or "cuda".
            seed: of the adapters' first values.

        Raises:
            InvalidInput: the folder is no PRM of a known family, is calibrated already, or has no such layers.
        """
        model = Path(settings.model)
        folder = PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE))
        family = check_trainable(folder, settings, head, lora)
        old = cast("ClassHead", family.head.load(folder))  # what all known families have before they are calibrated
        backbone = load_backbone(folder, family.head.prefixes, settings.dtype).to(device)
        adapters = Adapters(backbone, lora, folder, seed=seed)
        opened = TrainablePrm(folder, family, backbone, adapters, TorchHead(old, head, device))
        opened.max_model_len = settings.max_model_len or context_length(model) or 0
        opened.train(mode=False)
        return opened

    def train(self, *, mode: bool) -> None:
        """Turn dropout on or off. It is off at first."""
        self._backbone.train(mode)

    def outputs(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Raw outputs [P, K], float32, differentiable.

        Args:
            batch: token ids of each sequence; they are padded on the right here.
            places: of each sequence, the indices of the tokens at which scores are read. P counts all of them, in
                order.
        """
        return self._torch_head.outputs(self._hidden(batch, places))

    def predicted(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Raw outputs [P, K] without gradients; arguments as for `outputs`."""
        import torch

        with torch.no_grad():
            found = self.outputs(batch, places)
        return np.asarray(found.double().cpu().numpy())

    def old_scores(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The uncalibrated scores [P]: no adapters, no offset. Arguments as for `outputs`."""
        import torch

        with torch.no_grad(), self._adapters.disabled():
            logits = self._torch_head.old_logits(self._hidden(batch, places))
        return predict_success(POINT, logits.double().cpu().numpy()[:, None], [0.5]).mean

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
        on = outputs.device
        each = losses(self.head, outputs, successes.to(on), trials.to(on))
        weights = weights.to(on).double()
        return (weights * each).sum() / weights.sum()

    def parameters(self) -> "list[torch.nn.Parameter]":
        """What is trained: adapters and offset."""
        return list(self._named().values())

    def state(self) -> "dict[str, torch.Tensor]":
        """What is trained, by name, on the CPU: a checkpoint."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self._named().items()}

    def load_state(self, state: "Mapping[str, torch.Tensor]") -> None:
        """Go on from what `state` gave.

        Raises:
            InvalidInput: names or shapes are others: it is of another model, head or adapter.
        """
        import torch

        named = self._named()
        own, given = ({name: tuple(each.shape) for name, each in side.items()} for side in (named, state))
        if own != given:
            differing = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise InvalidInput(f"a checkpoint of another PRM, head or LoRA: {', '.join(differing[:3])} differ")
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(state[name])

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
        refuse_existing(folder)
        served = replace(self.head, lower_shift=lower_shift)
        write_prm(
            self._folder,
            self._family,
            folder,
            head=self._torch_head.served(served),
            changes=self._adapters.changes(),
            golden=[self._golden(question, steps, served) for question, steps in examples],
            description=PrmDescription(trained_for=trained_for, notes=notes),
        )

    def _golden(self, question: str, steps: Sequence[str], served: HeadSpec) -> dict[str, Any]:
        """One entry of golden.json: the medians of the question and after each step, as the head is served."""
        training = self._backbone.training
        self.train(mode=False)
        ids = [path_ids(self.form, question, steps[:number]) for number in range(len(steps) + 1)]
        outputs = self.predicted(ids, [[len(each) - 1] for each in ids])
        self.train(mode=training)
        dtype = str(next(self._backbone.parameters()).dtype).removeprefix("torch.")
        scores = [score(served, each).median for each in outputs]
        return {"question": question, "steps": list(steps), "scores": scores, "dtype": dtype}

    def _named(self) -> "dict[str, torch.nn.Parameter]":
        return {**self._adapters.parameters(), **self._torch_head.parameters()}

    def _hidden(self, batch: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Hidden states [P, H], float32."""
        import torch

        device = next(self._backbone.parameters()).device
        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        states = self._backbone(
            input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
        ).last_hidden_state
        rows = [row for row, at in enumerate(places) for _ in at]
        columns = [place for at in places for place in at]
        found: torch.Tensor = states[torch.tensor(rows, device=device), torch.tensor(columns, device=device)]
        return found.float()


def check_trainable(folder: PrmFolder, settings: PrmSettings, head: HeadSpec, lora: LoraSpec) -> Family:
    """Whether a PRM can be trained so, as its small files and the headers of its weights tell; its family.

    Raises:
        InvalidInput: it is no PRM of a known family, is calibrated already, or has no such layers.
    """
    if head.kind not in (QUANTILE, BETA_BINOMIAL):
        raise InvalidInput(f"head.kind is {head.kind!r}; {QUANTILE} and {BETA_BINOMIAL} can be trained")
    family = find_family(folder.model, settings.family)
    if family.name not in FAMILIES:
        raise InvalidInput(f"prm.family is {settings.family!r}; only {', '.join(FAMILIES)} can be calibrated")
    family.head.check(folder)
    if isinstance(family.head, FolderHead) and (kind := read_spec(folder.model).kind) != PROBABILITY:
        raise InvalidInput(
            f"{folder.model}: is calibrated already (a {kind} head); calibrate the PRM that it was made from"
        )
    adapted_layers(folder, lora)
    if settings.max_model_len is None and context_length(folder.model) is None:
        raise InvalidInput(f"{folder.model}: config.json states no max_position_embeddings: set prm.max_model_len")
    return family
