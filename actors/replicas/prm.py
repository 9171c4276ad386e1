"""The PRM replica: paths in, quantiles of their success probability out; a step costs its own tokens only."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.engines.build import build_prm
from actors.engines.formats import PrmFormat
from actors.engines.model_files import read_json_value
from actors.engines.prm.writer import GOLDEN_FILE
from actors.engines.protocol import EngineRefused, PrmEngine
from actors.engines.recall import Recall, unless_recalled
from actors.engines.settings import PrmSettings
from actors.replicas.base import ModelReplica
from actors.replicas.prefix_store import MAX_TOKENS, PrefixStore
from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    PrefixMissing,
    ScoreCall,
    Scored,
    ScoreResult,
    TextPrefix,
    child_prefix_id,
    root_prefix_id,
)
from records.failure import PreflightFailed
from records.replica import ReplicaInfo

FULL_PRECISION_TOLERANCE = 1e-3
HALF_PRECISION_TOLERANCE = 5e-2


@dataclass(frozen=True, slots=True)
class PathIds:
    """Token ids of a path, step by step, because an over-long one loses whole steps.

    Attributes:
        question: ids of the question.
        steps: ids of each step; none for a step without text.
        texts: the steps themselves: what becomes the first step may have to be written anew.
    """

    question: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens of question and steps."""
        return len(self.question) + sum(map(len, self.steps))

    def flat(self) -> list[int]:
        """All ids, one after the other: [num_tokens]."""
        return [*self.question, *(token_id for step in self.steps for token_id in step)]

    def extended(self, form: PrmFormat, step: str) -> "PathIds":
        """The path with one more step."""
        ids = form.step_ids(step, first=not any(self.steps))
        return PathIds(self.question, (*self.steps, ids), (*self.texts, step))

    def without_oldest(self, form: PrmFormat) -> "PathIds":
        """The path without its first step; what comes first now is written so."""
        steps, texts = list(self.steps[1:]), self.texts[1:]
        first = next((number for number, ids in enumerate(steps) if ids), None)
        if first is not None:
            steps[first] = form.step_ids(texts[first], first=True)
        return PathIds(self.question, tuple(steps), texts)

    def fitted(self, form: PrmFormat, limit: int, *, keep_tail: bool) -> "PathIds":
        """The path as it is scored where the context holds `limit` tokens: with `keep_tail` without its oldest steps.

        At least one step stays, so it may still be too long.
        """
        path = self
        while keep_tail and len(path.steps) > 1 and len(path.inputs(form)) > limit:
            path = path.without_oldest(form)
        return path

    def inputs(self, form: PrmFormat) -> list[int]:
        """What the engine scores: all ids; where no step has text, also what the bare question is read after."""
        return self.flat() if any(self.steps) else [*self.flat(), *form.root_suffix]


class Prm(ModelReplica[ScoreCall, ScoreResult, PrmEngine]):
    """One PRM replica."""

    def __init__(
        self,
        settings: PrmSettings,
        *,
        build_engine: Callable[[PrmSettings], PrmEngine] = build_prm,
        die: Callable[[int], object] = os._exit,
        max_prefix_tokens: int = MAX_TOKENS,
    ) -> None:
        """Prepare a replica; the arguments are those of `Generator`."""
        super().__init__(lambda: build_engine(settings), queue_limit=settings.queue_limit, die=die)
        self._settings = settings
        self._prefixes: PrefixStore[PathIds] = PrefixStore(max_prefix_tokens)

    async def _introduce(self, engine: PrmEngine) -> ReplicaInfo:
        settings, facts = self._settings, engine.facts
        golden_error = await self._check_golden(facts.dtype)
        return ReplicaInfo(
            incarnation=self.incarnation,
            role="prm",
            model=settings.model,
            model_sha256=facts.model_sha256,
            tokenizer_sha256=facts.tokenizer_sha256,
            num_parameters=facts.num_parameters,
            max_model_len=facts.max_model_len,
            max_concurrency=settings.max_num_seqs,
            device=facts.device,
            details={"dtype": facts.dtype, "golden_max_error": golden_error, **facts.details},
        )

    async def _check_golden(self, dtype: str) -> float | None:
        """Score the author's examples as any call is scored; the largest error, or None where there are none.

        Raises:
            PreflightFailed: a score is off by more than the precision explains, or is no number.
        """
        file = Path(self._settings.model) / GOLDEN_FILE
        if not file.is_file():
            await self._score_example("1 + 1", ("1 + 1 = 2",))
            return None
        errors = []
        for example in read_json_value(file):
            scores = await self._score_example(example["question"], example["steps"])
            off = max(abs(score - wanted) for score, wanted in zip(scores, example["scores"], strict=True))
            full = dtype == example.get("dtype", "float32") == "float32"
            tolerance = FULL_PRECISION_TOLERANCE if full else HALF_PRECISION_TOLERANCE
            if off > tolerance:
                raise PreflightFailed(
                    f"{file}: a score is off by {off:.2g}, more than {tolerance:g} ({dtype}): weights, head, "
                    "tokenizer or format differ from those that the example was made with"
                )
            errors.append(off)
        return float(max(errors))

    async def _score_example(self, question: str, steps: Sequence[str]) -> list[float]:
        """Medians at the question and after each step."""
        prefix_id, prefix = root_prefix_id(question), TextPrefix(question, ())
        results = [await self._score(ScoreCall("golden", prefix_id, prefix, (), every=False))]
        if steps:
            results.append(await self._score(ScoreCall("golden", prefix_id, prefix, tuple(steps), every=True)))
        medians = []
        for result in results:
            if not isinstance(result, Scored):
                raise PreflightFailed(f"the example {question!r} could not be scored: {result}")
            medians += [score.median for score in result.scores]
        if not all(map(math.isfinite, medians)):
            raise PreflightFailed(f"the scores of the example {question!r} are no numbers: {medians}")
        return medians

    async def _canary(self) -> None:
        await self.engine.score(self.engine.format.question_ids("1 + 1"))

    async def _serve(self, call: ScoreCall, recall: Recall) -> ScoreResult:
        result = await unless_recalled(self._score(call), recall)
        return CallFailed(call.key, NOTHING_SAMPLED, retryable=False) if result is None else result

    async def _score(self, call: ScoreCall) -> ScoreResult:
        """Score path by path, each one step longer than the one before, so that each finds the one before cached."""
        prefix = self._resolve(call)
        if prefix is None:
            return PrefixMissing(call.key)
        paths = self._extend(call.prefix_id, prefix, call.steps)
        wanted = paths[1:] if call.every and call.steps else paths[-1:]
        started = time.monotonic()
        try:
            fitted = [self._fit(path) for path in wanted]
            inputs = [ids for _, ids in fitted]
            found = [await self.engine.score(ids) for ids in inputs]
        except EngineRefused as refused:
            return CallFailed(call.key, str(refused), retryable=refused.retryable)
        return Scored(
            key=call.key,
            scores=tuple(each.score for each in found),
            prm_tokens=sum(map(len, inputs)),
            cached_tokens=sum(each.cached_tokens for each in found),
            truncated=[path for path, _ in fitted] != wanted,
            queued_s=found[0].queued_s,
            run_s=time.monotonic() - started - found[0].queued_s,
        )

    def _resolve(self, call: ScoreCall) -> PathIds | None:
        """The path before the call's steps; None where the call carries no prefix and none is held."""
        held = self._prefixes.get(call.prefix_id)
        if held is not None or call.prefix is None:
            return held
        form = self.engine.format
        path = PathIds(form.question_ids(call.prefix.question))
        for step in call.prefix.steps:
            path = path.extended(form, step)
        self._prefixes.put(call.prefix_id, path, path.num_tokens)
        return path

    def _extend(self, prefix_id: str, path: PathIds, steps: tuple[str, ...]) -> list[PathIds]:
        """The path, and the path after each step; each is held for the calls to come."""
        paths = [path]
        for step in steps:
            prefix_id = child_prefix_id(prefix_id, [step])
            path = path.extended(self.engine.format, step)
            self._prefixes.put(prefix_id, path, path.num_tokens)
            paths.append(path)
        return paths

    def _fit(self, path: PathIds) -> tuple[PathIds, list[int]]:
        """The path, or with "keep_tail" as many of its last steps after the question as the context holds; its ids."""
        form, limit = self.engine.format, self.engine.facts.max_model_len
        fitted = path.fitted(form, limit, keep_tail=self._settings.overlong == "keep_tail")
        ids = fitted.inputs(form)
        if len(ids) > limit:
            raise EngineRefused(f"the path is {len(ids)} tokens long and the context {limit}", retryable=False)
        return fitted, ids
