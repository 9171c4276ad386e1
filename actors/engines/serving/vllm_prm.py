"""The PRM engine: the backbone on vLLM's pooling runner with its prefix cache, the head in float32 beside it."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.engines.model_files import PRM_CONFIG_FILE, TOKENIZER_FILE, read_json
from actors.engines.prm.backbone import backbone_arguments, link_backbone
from actors.engines.prm.families import find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prm.trained_for import read_trained_for
from actors.engines.protocol import EngineRefused, EngineScore
from actors.engines.serving.common import EngineHandle, common_arguments, has_cuda, prepare_environment
from actors.engines.settings import PrmSettings
from actors.engines.text import read_tokenizer
from records.failure import ReplicaDied


class VllmPrm:
    """Implements `PrmEngine`."""

    def __init__(self, settings: PrmSettings) -> None:
        """Load backbone and head. To be called within a running event loop, which it blocks until the engine is up."""
        cuda = has_cuda()
        prepare_environment(settings, cuda=cuda)
        model = Path(settings.model)
        folder = PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE))
        family = find_family(model, settings.family)
        self.format = family.make_format(folder)
        self._head = family.head.load(folder)
        with tempfile.TemporaryDirectory(prefix="parsimony-prm-") as backbone:
            link_backbone(folder, Path(backbone), family.head.prefixes)
            arguments = common_arguments(settings, cuda=cuda) | pooling_arguments() | backbone_arguments()
            self._handle = EngineHandle(arguments | {"model": backbone})
        config = read_json(model / PRM_CONFIG_FILE) if (model / PRM_CONFIG_FILE).is_file() else {}
        trained_for = read_trained_for(model)
        self.facts = self._handle.facts(
            settings,
            family=family.name,
            separator=config.get("separator"),
            num_quantiles=self._head.num_quantiles,
            trained_for_generator=trained_for.generator,
            trained_for_temperature=trained_for.temperature,
            calibrated=trained_for.calibrated,
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
