"""The heads of published PRMs, read from the models' own weights: a few tensors, as float32, wherever they lie.

Each family says which tensors of which shape it needs; that is checked against the headers of the safetensors files,
before anything is loaded.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.engines.model_files import CONFIG_FILE, TensorHeader, read_header, read_json, weight_files
from actors.engines.prm.head_file import logit_head
from actors.engines.prm.heads import ClassHead, Linear, PrmHead
from actors.engines.text import TextTokenizer
from records.bounded import quoted
from records.failure import InvalidInput

FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)  # no slots: the properties are kept
class PrmFolder:
    """A PRM's folder, opened: what its format and its head are made from.

    Attributes:
        model: the folder.
        tokenizer: its tokenizer.
    """

    model: Path
    tokenizer: TextTokenizer

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of the folder's config.json."""
        return read_json(self.model / CONFIG_FILE)

    @cached_property
    def tensors(self) -> dict[str, tuple[Path, TensorHeader]]:
        """Where each tensor of the weights lies."""
        return stored_tensors(self.model)

    @property
    def hidden_size(self) -> int:
        """Size of the hidden state, H.

        Raises:
            InvalidInput: config.json does not state it.
        """
        size = self.config.get("hidden_size")
        if type(size) is not int or not 0 < size < 2**31:
            raise InvalidInput(f"{self.model / CONFIG_FILE}: hidden_size is {quoted(repr(size))}")
        return size

    def check_tensor(self, name: str, *shape: int | None) -> tuple[int, ...]:
        """The shape of a tensor, which has to be `shape`; None stands for any size.

        Raises:
            InvalidInput: there is no such tensor, or it is another.
        """
        wanted = ["any" if size is None else size for size in shape]
        if name not in self.tensors:
            raise InvalidInput(
                f"{self.model}: no file has `{name}` {wanted}, the PRM's head: are the weights complete?"
            )
        file, header = self.tensors[name]
        fits = len(header.shape) == len(shape) and all(
            size in (None, found) for size, found in zip(shape, header.shape, strict=True)
        )
        if not fits or header.dtype not in FLOATS:
            raise InvalidInput(
                f"{file}: `{name}` is {header.dtype} {list(header.shape)}; the PRM's head needs {wanted} in one of "
                f"{', '.join(FLOATS)}"
            )
        return header.shape

    def read_tensor(self, name: str, rows: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """A tensor, or some of its rows, in float32."""
        from safetensors import safe_open

        with safe_open(self.tensors[name][0], framework="pt") as file:
            if rows is None:
                return np.asarray(file.get_tensor(name).float().numpy())
            whole = file.get_slice(name)
            return np.concatenate([whole[row : row + 1].float().numpy() for row in rows])


def stored_tensors(model: Path) -> dict[str, tuple[Path, TensorHeader]]:
    """File, type and shape of every tensor in a model's weights. Raises `InvalidInput` as `read_header`."""
    return {name: (file, header) for file in weight_files(model) for name, header in read_header(file).items()}


class HeadSource(Protocol):
    """Where a family's head lies."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """How the names of the tensors begin that the backbone does not know."""
        ...

    def check(self, folder: PrmFolder) -> None:
        """Look at the stored shapes. Raises `InvalidInput`."""
        ...

    def load(self, folder: PrmFolder) -> PrmHead:
        """The head. Raises `InvalidInput` as `check`."""
        ...


@dataclass(frozen=True, slots=True)
class MlpSource:
    """Qwen2.5-Math-PRM: `score`, a linear layer, a ReLU, and a linear layer to the logits of bad and good."""

    prefixes: tuple[str, ...] = ("score.",)

    def check(self, folder: PrmFolder) -> None:
        """See `HeadSource.check`."""
        width, _ = folder.check_tensor("score.0.weight", None, folder.hidden_size)
        folder.check_tensor("score.0.bias", width)
        folder.check_tensor("score.2.weight", 2, width)
        folder.check_tensor("score.2.bias", 2)

    def load(self, folder: PrmFolder) -> PrmHead:
        """See `HeadSource.load`."""
        self.check(folder)
        inner, last = (
            Linear(folder.read_tensor(f"{name}.weight"), folder.read_tensor(f"{name}.bias"))
            for name in ("score.0", "score.2")
        )
        return ClassHead(bad=last.rows(0, 1), good=last.rows(1), inner=inner)


@dataclass(frozen=True, slots=True)
class LinearSource:
    """A linear layer of the model to C classes, the first `num_bad` of them bad.

    With one class and none bad, the layer gives the logit of good: that of bad is 0. A missing bias is 0.
    """

    name: str
    num_classes: int
    num_bad: int

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Names of tensors that belong to this head begin with these."""
        return (f"{self.name.partition('.')[0]}.",)

    def check(self, folder: PrmFolder) -> None:
        """See `HeadSource.check`."""
        folder.check_tensor(f"{self.name}.weight", self.num_classes, folder.hidden_size)
        if f"{self.name}.bias" in folder.tensors:
            folder.check_tensor(f"{self.name}.bias", self.num_classes)

    def load(self, folder: PrmFolder) -> PrmHead:
        """See `HeadSource.load`."""
        self.check(folder)
        weight, bias = folder.read_tensor(f"{self.name}.weight"), np.zeros(self.num_classes, np.float32)
        if f"{self.name}.bias" in folder.tensors:
            bias = folder.read_tensor(f"{self.name}.bias")
        layer = Linear(weight, bias)
        if self.num_classes == 1:
            return logit_head(layer)
        return ClassHead(bad=layer.rows(0, self.num_bad), good=layer.rows(self.num_bad))


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """Two rows of the output layer: the score is how much likelier the model says `good` than `bad`.

    Attributes:
        bad: text whose last token is the bad answer.
        good: text whose last token is the good one.
        prefixes: none; the backbone knows its output layer.
    """

    bad: str
    good: str
    prefixes: tuple[str, ...] = ()

    def check(self, folder: PrmFolder) -> None:
        """See `HeadSource.check`."""
        rows, _ = folder.check_tensor(self._name(folder), None, folder.hidden_size)
        bad, good = self._token_ids(folder)
        if bad == good or max(bad, good) >= rows:
            raise InvalidInput(
                f"{folder.model}: the tokenizer gives {self.good!r} the id {good} and {self.bad!r} {bad}; "
                f"they have to be two of the {rows} rows of `{self._name(folder)}`"
            )

    def load(self, folder: PrmFolder) -> PrmHead:
        """See `HeadSource.load`."""
        self.check(folder)
        weight = folder.read_tensor(self._name(folder), self._token_ids(folder))
        layer = Linear(weight, np.zeros(2, np.float32))
        return ClassHead(bad=layer.rows(0, 1), good=layer.rows(1))

    def _token_ids(self, folder: PrmFolder) -> tuple[int, int]:
        bad, good = (folder.tokenizer.encode(text, special=False)[-1] for text in (self.bad, self.good))
        return bad, good

    def _name(self, folder: PrmFolder) -> str:
        tied = folder.config.get("tie_word_embeddings") and "lm_head.weight" not in folder.tensors
        return "model.embed_tokens.weight" if tied else "lm_head.weight"
