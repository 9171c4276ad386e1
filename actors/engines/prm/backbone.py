"""Gives vLLM and transformers a PRM's folder as the plain language model that it was made from.

vLLM knows neither the published architectures of most PRMs nor the tensors of their heads, and refuses both. So it gets
a folder of links with a config.json of its own, which names the plain architecture and the tensors to leave out; the
loader that leaves them out is made known in each of vLLM's worker processes by the extension class that they import.
transformers reads the same folder of links, and leaves out by itself what the model does not have.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.model_files import CONFIG_FILE, HEAD_FILE, PRM_CONFIG_FILE
from actors.engines.prm.families import plain_architecture
from actors.engines.prm.public_heads import PrmFolder
from records.failure import InvalidInput
from records.scratch import scratch_folder

if TYPE_CHECKING:
    import torch

LOAD_FORMAT = "parsimony-backbone"
LEFT_OUT = "parsimony_left_out"
"""Field of config.json: prefixes of the names of the tensors that are not loaded."""


def link_backbone(folder: PrmFolder, target: Path, prefixes: tuple[str, ...]) -> None:
    """Fill `target` with links to all files of a PRM but its head, and with the config.json of its backbone."""
    for file in folder.model.resolve().iterdir():
        if file.name not in (HEAD_FILE, PRM_CONFIG_FILE, CONFIG_FILE):
            (target / file.name).symlink_to(file)
    config = {name: value for name, value in folder.config.items() if name != "auto_map"}
    config |= {"architectures": [plain_architecture(folder)], LEFT_OUT: list(prefixes)}
    (target / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")


def load_backbone(folder: PrmFolder, prefixes: tuple[str, ...], dtype: str) -> "torch.nn.Module":
    """The backbone by transformers, frozen, on the CPU: token ids to hidden states after the final norm.

    Args:
        folder: of the PRM.
        prefixes: of the names of the head's tensors.
        dtype: of the weights; "auto" takes what config.json says.

    Raises:
        InvalidInput: weights are missing.
    """
    import torch
    from transformers import AutoModel

    with scratch_folder() as linked, _silence():
        link_backbone(folder, linked, prefixes)
        backbone, report = AutoModel.from_pretrained(
            linked, dtype="auto" if dtype == "auto" else getattr(torch, dtype), output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        raise InvalidInput(f"{folder.model}: the weights lack {', '.join(missing[:3])}; is the folder complete?")
    found: torch.nn.Module = backbone.requires_grad_(requires_grad=False)
    return found


@contextmanager
def _silence() -> Iterator[None]:
    """No progress bar, and no report that the output layer and the head are left out."""
    import transformers

    logging: Any = transformers.logging

    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def backbone_arguments() -> dict[str, Any]:
    """Arguments of `AsyncEngineArgs` that load the linked folder."""
    return {"load_format": LOAD_FORMAT, "worker_extension_cls": f"{__name__}.WorkerExtension"}


def __getattr__(name: str) -> Any:
    """Where vLLM's workers look up their extension class: the moment to register the loader, in their process."""
    if name != "WorkerExtension":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _register_loader()


@cache
def _register_loader() -> type:
    from dataclasses import replace

    from vllm.model_executor.model_loader import DefaultModelLoader, register_model_loader

    class BackboneLoader(DefaultModelLoader):  # type: ignore[misc]
        """Safetensors without the head's tensors."""

        def __init__(self, load_config: Any) -> None:
            super().__init__(replace(load_config, load_format="safetensors"))

        def get_all_weights(self, model_config: Any, model: Any) -> Any:
            left_out = tuple(getattr(model_config.hf_config, LEFT_OUT))
            for name, tensor in super().get_all_weights(model_config, model):
                if not (left_out and name.startswith(left_out)):
                    yield name, tensor

    register_model_loader(LOAD_FORMAT)(BackboneLoader)
    return type("WorkerExtension", (), {})
