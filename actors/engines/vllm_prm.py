"""The PRM engine: the backbone on vLLM's pooling runner with its prefix cache, the head in float32 beside it."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.engines.formats import PrmFormat, SeparatorFormat
from actors.engines.heads import load_head
from actors.engines.model_files import HEAD_FILE, PRM_CONFIG_FILE, read_json
from actors.engines.protocol import EngineRefused, EngineScore
from actors.engines.text import TextTokenizer
from actors.engines.vllm_common import EngineHandle, common_arguments, has_cuda, load_tokenizer, prepare_environment
from actors.settings import PrmSettings
from records.failure import InvalidInput, ReplicaDied


class VllmPrm:
    """Implements `PrmEngine`."""

    def __init__(self, settings: PrmSettings) -> None:
        """Load backbone and head. To be called within a running event loop, which it blocks until the engine is up."""
        cuda = has_cuda()
        prepare_environment(settings, cuda=cuda)
        model = Path(settings.model)
        config = read_json(model / PRM_CONFIG_FILE)
        with tempfile.TemporaryDirectory(prefix="parsimony-prm-") as backbone:
            link_backbone(model, Path(backbone))
            arguments = common_arguments(settings, cuda=cuda) | pooling_arguments() | {"model": backbone}
            self._handle = EngineHandle(arguments)
            tokenizer = load_tokenizer(self._handle.llm)
        self._head = load_head(model, self._handle.llm.model_config.get_hidden_size())
        self.format = build_format(config, tokenizer)
        trained_for = config.get("trained_for", {})
        self.facts = self._handle.facts(
            settings,
            family=config["family"],
            separator=config.get("separator"),
            num_quantiles=len(self._head.bias),
            trained_for_generator=trained_for.get("generator"),
            trained_for_temperature=trained_for.get("temperature"),
        )

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """See `PrmEngine.score`."""
        async with self._handle.request() as (request_id, waited_s):
            started = time.monotonic()
            output = await self._encode(token_ids, request_id)
            run_s = time.monotonic() - started
        hidden = output.outputs.data.float().numpy()
        if not np.isfinite(hidden).all():
            raise EngineRefused("the PRM's last hidden state is no number", retryable=True)
        return EngineScore(
            score=self._head.read(hidden), cached_tokens=output.num_cached_tokens or 0, queued_s=waited_s, run_s=run_s
        )

    @property
    def num_steps(self) -> int:
        """See `PrmEngine.num_steps`."""
        return self._handle.num_steps

    async def watch(self) -> None:
        """See `PrmEngine.watch`."""
        await self._handle.watch()

    async def close(self) -> None:
        """See `PrmEngine.close`."""
        self._handle.close()

    async def _encode(self, token_ids: Sequence[int], request_id: str) -> Any:
        from vllm import PoolingParams

        prompt = {"type": "token", "prompt_token_ids": list(token_ids)}
        parameters = PoolingParams(task="embed", use_activation=False)
        final = None
        async for output in self._handle.llm.encode(prompt, parameters, request_id):
            final = output
        if final is None:
            raise ReplicaDied("the engine ended a request without an output")
        return final


def pooling_arguments() -> dict[str, Any]:
    """Arguments that make vLLM give the last token's hidden state, after the final norm and unnormalised."""
    from vllm.config import PoolerConfig

    return {
        "runner": "pooling",
        "convert": "embed",
        "pooler_config": PoolerConfig(task="embed", seq_pooling_type="LAST", use_activation=False),
    }


def link_backbone(model: Path, target: Path) -> None:
    """Give vLLM a folder without the head: it would take every *.safetensors file for weights of the backbone."""
    for file in model.resolve().iterdir():
        if file.name != HEAD_FILE:
            (target / file.name).symlink_to(file)


def build_format(config: dict[str, Any], tokenizer: TextTokenizer) -> PrmFormat:
    """The format that prm_config.json names. A second family begins here."""
    if config.get("family") != "separator":
        raise InvalidInput(f"{PRM_CONFIG_FILE}: family is {config.get('family')!r}; the known one is 'separator'")
    return SeparatorFormat(tokenizer, config["separator"])
