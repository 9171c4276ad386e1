"""The PRM engine: the backbone on vLLM's pooling runner with its prefix cache, the head in float32 beside it."""

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
from actors.engines.serving.common import common_arguments, engine_facts, has_cuda, prepare_environment
from actors.engines.serving.engine_thread import EngineThread
from actors.engines.settings import PrmSettings
from actors.engines.text import read_tokenizer
from records.scratch import scratch_folder


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
        with scratch_folder() as backbone:
            link_backbone(folder, backbone, family.head.prefixes)
            arguments = common_arguments(settings, cuda=cuda) | pooling_arguments() | backbone_arguments()
            threads = None if cuda else settings.cpu_threads
            self._thread = EngineThread(arguments | {"model": str(backbone)}, cpu_threads=threads)
        config = read_json(model / PRM_CONFIG_FILE) if (model / PRM_CONFIG_FILE).is_file() else {}
        trained_for = read_trained_for(model)
        self.facts = engine_facts(
            self._thread.llm,
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
        from vllm import PoolingParams

        done = await self._thread.run(token_ids, PoolingParams(task="embed", use_activation=False))
        if done.pooled is None:
            raise EngineRefused(f"the engine ended the request with {done.finish_reason!r}", retryable=True)
        hidden = done.pooled.float().numpy()
        if not np.isfinite(hidden).all():
            raise EngineRefused("the PRM's last hidden state is no number", retryable=True)
        return EngineScore(
            score=self._head.read(hidden), cached_tokens=done.cached_tokens, queued_s=done.queued_s, run_s=done.run_s
        )

    @property
    def num_steps(self) -> int:
        """See `PrmEngine.num_steps`."""
        return self._thread.num_steps

    async def watch(self) -> None:
        """See `PrmEngine.watch`."""
        await self._thread.watch()

    async def close(self) -> None:
        """See `PrmEngine.close`."""
        await self._thread.close()


def pooling_arguments() -> dict[str, Any]:
    """Arguments that make vLLM give the last token's hidden state, after the final norm and unnormalised."""
    from vllm.config import PoolerConfig

    return {
        "runner": "pooling",
        "convert": "embed",
        "pooler_config": PoolerConfig(task="embed", seq_pooling_type="LAST", use_activation=False),
    }
