"""A PRM engine without a model: it plays back the scores of an earlier run.

It stands behind the same `Prm` replica as the real engine, so mailbox, tokens, prefixes and remote calls are those of
any run; only the forward pass is missing. A path without a recorded score (the engines are not bit-reproducible, so a
few samples differ from those of the earlier run) gets `UNKNOWN`.
"""

import asyncio
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

from actors.engines.model_files import (
    PRM_CONFIG_FILE,
    TOKENIZER_FILE,
    context_length,
    identity_files,
    read_json,
    sha256_of,
)
from actors.engines.model_size import num_active_parameters
from actors.engines.prm.families import find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prm.writer import GOLDEN_FILE
from actors.engines.protocol import EngineFacts, EngineScore
from actors.engines.settings import PrmSettings
from actors.engines.text import read_tokenizer
from benchmarks.recorded import path_ids
from records.path import PrmScore

UNKNOWN = PrmScore(0.5, 0.5, 0.5)


class RecordedPrm:
    """Implements `PrmEngine`.

    Args:
        scores_file: a pickled mapping from input token ids to score; read when the engine is built.
        settings: of the real PRM.
    """

    def __init__(self, scores_file: Path, settings: PrmSettings) -> None:
        model = Path(settings.model)
        folder = PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE))
        family = find_family(model, settings.family)
        self.format = family.make_format(folder)
        config = read_json(model / PRM_CONFIG_FILE) if (model / PRM_CONFIG_FILE).is_file() else {}
        self.num_steps = 0
        trained_for = config.get("trained_for", {})
        self.facts = EngineFacts(
            model_sha256=sha256_of(identity_files(model)),
            tokenizer_sha256=sha256_of([model / TOKENIZER_FILE]),
            num_parameters=num_active_parameters(model),
            max_model_len=settings.max_model_len or context_length(model) or 0,
            device="recorded",
            dtype=settings.dtype,
            details={
                "family": family.name,
                "separator": config.get("separator"),
                "trained_for_generator": trained_for.get("generator"),
                "trained_for_temperature": trained_for.get("temperature"),
            },
        )
        self._scores: dict[tuple[int, ...], PrmScore] = pickle.loads(scores_file.read_bytes())  # noqa: S301 (our own)
        self._scores |= self._golden(model)

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """See `PrmEngine.score`."""
        self.num_steps += 1
        score = self._scores.get(tuple(token_ids), UNKNOWN)
        return EngineScore(score=score, cached_tokens=0, queued_s=0.0, run_s=0.0)

    async def watch(self) -> None:
        """See `PrmEngine.watch`: there is no process that could end."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `PrmEngine.close`."""

    def _golden(self, model: Path) -> dict[tuple[int, ...], PrmScore]:
        """The scores of the author's examples, which every PRM is asked for when it comes up."""
        file = model / GOLDEN_FILE
        found = {}
        for example in json.loads(file.read_text(encoding="utf-8")) if file.is_file() else ():
            for num_steps, score in enumerate(example["scores"]):
                ids = path_ids(self.format, example["question"], example["steps"][:num_steps])
                found[ids] = PrmScore(score, score, score)
        return found
