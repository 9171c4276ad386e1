"""LoRA on a PRM's backbone: put in by peft, trained in float32, given back as changes of the stored weights."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.engines.prm.public_heads import PrmFolder
from actors.engines.settings import LoraSpec
from records.failure import InvalidInput

if TYPE_CHECKING:
    import torch

ADAPTER = "default"
LAYER = re.compile(r"(?:model\.)?(?P<module>layers\.(?P<number>\d+)\..+)\.weight")
"""Name of a stored weight of a decoder layer; the backbone knows it without `model.`."""


class Adapters:
    """The adapters of one backbone."""

    def __init__(self, backbone: "torch.nn.Module", lora: LoraSpec, folder: PrmFolder, *, seed: int) -> None:
        """Put adapters into `backbone`, whose own weights stay as they are.

        Args:
            backbone: frozen.
            lora: where, and how large.
            folder: that the backbone was loaded from.
            seed: of their first values; they change nothing before training.

        Raises:
            InvalidInput: the backbone has no such layers, or stores their weights in another form.
        """
        self._backbone = backbone
        self._layers: dict[str, Any] = {}
        """Name of the stored weight -> peft's layer in its place."""
        chosen = adapted_layers(folder, lora)
        if not chosen:
            return
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]
            lora_dropout=lora.dropout,
            target_modules=list(chosen),
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            inject_adapter_in_model(config, backbone, adapter_name=ADAPTER)
        self._layers = {stored: backbone.get_submodule(name) for name, stored in chosen.items()}
        for parameter in self.parameters().values():
            parameter.data = parameter.data.float()

    def parameters(self) -> "dict[str, torch.nn.Parameter]":
        """What is trained, by name."""
        return {name: each for name, each in self._backbone.named_parameters() if each.requires_grad}

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The backbone as it was."""
        for layer in self._layers.values():
            layer.enable_adapters(enabled=False)
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.enable_adapters(enabled=True)

    def changes(self) -> "dict[str, Callable[[], torch.Tensor]]":
        """Name of a stored weight -> what the adapter adds to it, float32, on the CPU; computed when it is called."""

        def change(layer: Any) -> "torch.Tensor":
            found: torch.Tensor = layer.get_delta_weight(ADAPTER)
            return found.detach().float().cpu()

        return {name: partial(change, layer) for name, layer in self._layers.items()}


def adapted_layers(folder: PrmFolder, lora: LoraSpec) -> dict[str, str]:
    """Which layers of a PRM's backbone get an adapter: name in the backbone -> name of the stored weight.

    Read from the headers of the weights: nothing is loaded.

    Raises:
        InvalidInput: a target is no layer, no layer is an n-th one, or the weights are quantised.
    """
    if lora.rank == 0:
        return {}
    if folder.config.get("quantization_config"):
        raise InvalidInput(
            f"{folder.model}: its weights are quantised; an adapter cannot be merged into them: set the LoRA rank to 0"
        )
    layers = [match for name in folder.tensors if (match := LAYER.fullmatch(name))]
    chosen: dict[str, str] = {}
    for target in lora.target_modules:
        found = [match for match in layers if match["module"].endswith(f".{target}")]
        if not found:
            raise InvalidInput(f"{folder.model}: no layer has a `{target}`, which calibration.target_modules asks for")
        chosen |= {
            match["module"]: match[0] for match in found if (int(match["number"]) + 1) % lora.every_nth_layer == 0
        }
    if lora.target_modules and not chosen:
        num_layers = 1 + max(int(match["number"]) for match in layers)
        raise InvalidInput(
            f"{folder.model}: has {num_layers} layers, and every {lora.every_nth_layer}th is to be adapted, which is "
            "none: lower calibration.every_nth_layer, or set calibration.lora_rank = 0"
        )
    return chosen
