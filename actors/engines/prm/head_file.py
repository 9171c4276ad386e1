"""`head.safetensors`, a head of our own, and what `prm_config.json` says of it.

A head of the kind `probability` is `weight` [1, H] and `bias` [1]. One of another kind adds an offset to an older
score:

    inner.weight [F, H], inner.bias [F]            only where the features are not the hidden state
    bad.weight [B, F], bad.bias [B]                logits of the older score's bad classes
    good.weight [G, F], good.bias [G]              and of its good ones
    offset.weight [K, F], offset.bias [K]          what is added for each output

All are float32. Shapes are checked against the file's header, before anything is loaded.
"""

from pathlib import Path

import numpy as np

from actors.engines.model_files import HEAD_FILE, PRM_CONFIG_FILE, TensorHeader, read_header, read_json
from actors.engines.prm.heads import ClassHead, Linear, OffsetHead, PrmHead
from records.failure import InvalidInput
from scaling.calibration.heads import PROBABILITY, HeadSpec

LAYERS = ("inner", "bad", "good", "offset")


def read_spec(model: Path) -> HeadSpec:
    """What the outputs of a PRM's own head mean.

    Raises:
        InvalidInput: prm_config.json does not say it, or not so.
    """
    file = model / PRM_CONFIG_FILE
    content = read_json(file).get("head")
    try:
        return HeadSpec.from_json(content)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error}") from error


def check_head(model: Path, hidden_size: int) -> HeadSpec:
    """What the outputs mean, after a look at the stored shapes.

    Raises:
        InvalidInput: weights and configuration do not fit each other or the backbone.
    """
    spec, file = read_spec(model), model / HEAD_FILE
    header = read_header(file)
    if spec.kind == PROBABILITY:
        _check_layer(file, header, "", 1, hidden_size)
        return spec
    num_features = hidden_size
    if "inner.weight" in header:
        num_features = _check_layer(file, header, "inner.", None, hidden_size)
    for name in ("bad.", "good."):
        _check_layer(file, header, name, None, num_features)
    _check_layer(file, header, "offset.", spec.num_outputs, num_features)
    return spec


def load_head(model: Path, hidden_size: int) -> PrmHead:
    """The head of a PRM's folder. Raises `InvalidInput` as `check_head`."""
    from safetensors.numpy import load_file

    spec = check_head(model, hidden_size)
    tensors = load_file(model / HEAD_FILE)
    if spec.kind == PROBABILITY:
        return logit_head(Linear(tensors["weight"], tensors["bias"]))
    layers = {
        name: Linear(tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        for name in LAYERS
        if f"{name}.weight" in tensors
    }
    base = ClassHead(bad=layers["bad"], good=layers["good"], inner=layers.get("inner"))
    return OffsetHead(base, layers["offset"], spec)


def save_head(model: Path, head: OffsetHead) -> None:
    """Write head.safetensors; `head.spec.to_json()` belongs into prm_config.json."""
    from safetensors.numpy import save_file

    layers = {"inner": head.base.inner, "bad": head.base.bad, "good": head.base.good, "offset": head.offset}
    tensors = {}
    for name, layer in layers.items():
        if layer is not None:
            tensors[f"{name}.weight"] = np.ascontiguousarray(layer.weight, dtype=np.float32)
            tensors[f"{name}.bias"] = np.ascontiguousarray(layer.bias, dtype=np.float32)
    save_file(tensors, model / HEAD_FILE)


def logit_head(layer: Linear, inner: Linear | None = None) -> ClassHead:
    """The head of one logit: that of good, while the logit of bad is 0."""
    nothing = Linear(np.zeros_like(layer.weight), np.zeros_like(layer.bias))
    return ClassHead(bad=nothing, good=layer, inner=inner)


def _check_layer(
    file: Path, header: dict[str, TensorHeader], prefix: str, num_outputs: int | None, num_inputs: int
) -> int:
    """The layer's number of outputs, which has to be `num_outputs`; None stands for any."""
    found = header.get(f"{prefix}weight")
    if num_outputs is None:
        num_outputs = found.shape[0] if found is not None and found.shape and found.shape[0] else 1
    for name, shape in ((f"{prefix}weight", (num_outputs, num_inputs)), (f"{prefix}bias", (num_outputs,))):
        stored = header.get(name)
        if stored is None or stored.shape != shape or stored.dtype != "F32":
            have = f"{stored.dtype} {list(stored.shape)}" if stored else "missing"
            raise InvalidInput(
                f"{file}: `{name}` is {have}; {num_outputs} output(s) over a size of {num_inputs} need F32 "
                f"{list(shape)}, and the backbone, the layer before or {PRM_CONFIG_FILE} say these sizes"
            )
    return num_outputs
