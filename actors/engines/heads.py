"""A PRM's head: from the backbone's last hidden state to quantiles of the success probability, in float32.

A head folder entry is `{"kind": "probability"}` (one logit; its sigmoid is all three quantiles) or
`{"kind": "quantile", "levels": [0.1, 0.5, 0.9]}` (one logit per level; their sigmoids, sorted, are the quantiles, of
which the first, the one at level 0.5 and the last are read).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.engines.model_files import HEAD_FILE, PRM_CONFIG_FILE, read_header, read_json
from records.failure import InvalidInput
from records.path import PrmScore

MEDIAN = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """K outputs over a hidden state of size H.

    Attributes:
        weight: [K, H].
        bias: [K].
        median_at: which of the K sorted outputs is the median.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    median_at: int

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.bias)

    def read(self, hidden: NDArray[np.float32]) -> PrmScore:
        """The quantiles for a hidden state [H]."""
        logits = self.weight @ hidden + self.bias
        values = np.sort(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))
        return PrmScore(lower=float(values[0]), median=float(values[self.median_at]), upper=float(values[-1]))


def read_levels(model: Path) -> list[float]:
    """The quantile levels of the PRM's head; one level for a plain probability.

    Raises:
        InvalidInput: the kind is unknown, or the levels are not increasing or lack the median.
    """
    file = model / PRM_CONFIG_FILE
    head: Any = read_json(file).get("head")
    kind = head.get("kind") if isinstance(head, dict) else None
    if kind == "probability":
        return [MEDIAN]
    if kind != "quantile":
        raise InvalidInput(f"{file}: head.kind is {kind!r}; it must be 'probability' or 'quantile'")
    levels = head.get("levels")
    numbers = isinstance(levels, list) and all(isinstance(level, int | float) for level in levels)
    if not numbers or levels != sorted(set(levels)) or MEDIAN not in levels or not 0 < levels[0] <= levels[-1] < 1:
        raise InvalidInput(f"{file}: head.levels is {levels!r}; it must increase within (0, 1) and contain 0.5")
    return [float(level) for level in levels]


def check_head(model: Path, hidden_size: int) -> list[float]:
    """The levels, after a look at the stored shapes.

    Raises:
        InvalidInput: weights and configuration do not fit each other or the backbone.
    """
    levels = read_levels(model)
    header = read_header(model / HEAD_FILE)
    wanted = {"weight": (len(levels), hidden_size), "bias": (len(levels),)}
    for name, shape in wanted.items():
        found = header.get(name)
        if found is None or found.shape != shape or found.dtype != "F32":
            have = f"{found.dtype} {list(found.shape)}" if found else "missing"
            raise InvalidInput(
                f"{model / HEAD_FILE}: `{name}` is {have}; {len(levels)} level(s) over a hidden size of {hidden_size} "
                f"need F32 {list(shape)}"
            )
    return levels


def load_head(model: Path, hidden_size: int) -> Head:
    """The head of a PRM's folder. Raises `InvalidInput` as `check_head`."""
    from safetensors.numpy import load_file

    levels = check_head(model, hidden_size)
    tensors = load_file(model / HEAD_FILE)
    return Head(weight=tensors["weight"], bias=tensors["bias"], median_at=levels.index(MEDIAN))
