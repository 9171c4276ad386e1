"""LoRA on a PRM's backbone: put in by peft, trained in float32, given back as changes of the stored weights."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.engines.public_heads import PrmFolder
from actors.settings import LoraSpec
from records.failure import InvalidInput

if TYPE_CHECKING:
    import torch

ADAPTER = "default"


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
        if lora.rank == 0:
            return
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        names = chosen_layers([name for name, _ in backbone.named_modules()], lora)
        stored = {name: stored_name(folder, name) for name in names}
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=names)  # type: ignore[arg-type]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            inject_adapter_in_model(config, backbone, adapter_name=ADAPTER)
        self._layers = {stored[name]: backbone.get_submodule(name) for name in names}
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

    def changes(self) -> "dict[str, torch.Tensor]":
        """Name of a stored weight -> what the adapter adds to it, float32, on the CPU."""
        return {name: layer.get_delta_weight(ADAPTER).detach().float().cpu() for name, layer in self._layers.items()}


def chosen_layers(modules: list[str], lora: LoraSpec) -> list[str]:
    """The modules that get an adapter.

    Args:
        modules: names of all modules of a backbone.
        lora: which of them.

    Raises:
        InvalidInput: a target is none of them, or no layer is an n-th one.
    """
    chosen, last = [], -1
    numbered = [(name, match) for name in modules if (match := re.search(r"(?:^|\.)layers\.(\d+)\.", name))]
    for target in lora.target_modules:
        found = [(name, int(match[1])) for name, match in numbered if name.endswith(f".{target}")]
        if not found:
            raise InvalidInput(f"lora.target_modules: no layer of the PRM's backbone has a {target!r}")
        last = max(last, *(number for _, number in found))
        chosen += [name for name, number in found if (number + 1) % lora.every_nth_layer == 0]
    if not chosen:
        raise InvalidInput(
            f"lora.every_nth_layer is {lora.every_nth_layer}, and the PRM's backbone has {last + 1} layers: no layer "
            "would be adapted; lower it, or set lora.rank to 0"
        )
    return chosen


def stored_name(folder: PrmFolder, module: str) -> str:
    """The name of the stored tensor that is the weight of a backbone's module.

    Raises:
        InvalidInput: the weights do not have it under its own name: nothing could be written back.
    """
    for name in (f"model.{module}.weight", f"{module}.weight"):
        if name in folder.tensors:
            return name
    raise InvalidInput(f"{folder.model}: no file has `model.{module}.weight`: an adapter of it could not be merged")
