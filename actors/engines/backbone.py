"""Gives vLLM a PRM's folder as the plain language model that it was made from.

vLLM knows neither the published architectures of most PRMs nor the tensors of their heads, and refuses both. So it gets
a folder of links with a config.json of its own, which names the plain architecture and the tensors to leave out; the
loader that leaves them out is made known in each of vLLM's worker processes by the extension class that they import.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from actors.engines.families import plain_architecture
from actors.engines.model_files import CONFIG_FILE, HEAD_FILE, PRM_CONFIG_FILE
from actors.engines.public_heads import PrmFolder

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
