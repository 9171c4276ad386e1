"""All problems in step with each other: one `LLM.generate` for all, then one PRM pass over all new paths, and again.

The shape of search-and-learn and prm-calibration, with both engines in one process's hands. No step begins before the
last sample and the last score of the one before are there.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from actors.engines.formats import path_ids
from actors.engines.serving.common import has_cuda, prepare_environment
from actors.engines.serving.vllm_generator import generator_arguments
from actors.engines.settings import GeneratorSettings, PrmSettings
from benchmarks.versus.job import Job
from benchmarks.versus.passes import Pass, Tokens
from benchmarks.versus.pool_peer import Answered, PoolSide, start_pool, timed_pass
from benchmarks.versus.prm_server import split_steps
from benchmarks.versus.searches import Asked, Drawn, Search, solution_of
from examples.arithmetic.common import Problem
from jobs.recipes.strategy_factory import strategy_factory
from records.path import FinishReason
from records.request import Until


@contextmanager
def open_lock_step(job: Job) -> Iterator["LockStep"]:
    """The process with its engines, loaded."""
    with start_pool(_load, job.generator, job.prm, job.recipe.generator.temperature) as pool:
        side = LockStep(job, pool)
        job.watch.name_peers({pool.submit(os.getpid).result(): "lock-step"})
        try:
            yield side
        finally:
            pool.submit(_end).result()


class LockStep(PoolSide):
    """The side of the search in step."""

    def _pass(self, problems: Sequence[Problem]) -> Pass:
        questions = [problem.question for problem in problems]
        prompts = [self._job.prompt_ids(question) for question in questions]

        def answer() -> Answered:
            answered: Answered = self._pool.submit(_answer, self._job.recipe, questions, prompts).result()
            return answered

        return timed_pass(self._job, questions, answer)[0]


_loaded: dict[str, Any] = {}


def _load(generator: GeneratorSettings, prm: PrmSettings | None, temperature: float) -> None:
    cuda = has_cuda()
    prepare_environment(generator, cuda=cuda)
    # An engine process with the model in it: see `benchmarks.offline`.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "01"
    from vllm import LLM  # noqa: PLC0415

    arguments = generator_arguments(generator, cuda=cuda)
    arguments.pop("use_tqdm_on_load")
    _loaded.update(llm=LLM(**arguments), separator=generator.separator, temperature=temperature, prm=None)
    _loaded["runner"] = asyncio.Runner()
    if prm is not None:
        _loaded["prm"] = _loaded["runner"].run(_load_prm(prm))


async def _load_prm(settings: PrmSettings) -> Any:
    from actors.engines.build import build_prm  # noqa: PLC0415

    return build_prm(settings)


def _end() -> None:
    if _loaded["prm"] is not None:
        _loaded["runner"].run(_loaded["prm"].close())
    _loaded.pop("llm").llm_engine.engine_core.shutdown()


def _answer(recipe: Any, questions: Sequence[str], prompts: Sequence[tuple[int, ...]]) -> Answered:
    factory = strategy_factory(recipe)
    counts = {"generated": 0, "prompt": 0, "cached": 0, "prm": 0, "prm_cached": 0}
    first_s = time.time()
    searches = [Search(factory, question) for question in questions]
    while growing := [(at, search) for at, search in enumerate(searches) if search.choice is None]:
        asked = [(at, each) for at, search in growing for each in search.samples()]
        drawn = iter(_generate([(prompts[at], each) for at, each in asked], counts))
        for _, search in growing:
            if wanted := search.samples():
                search.deliver([next(drawn) for _ in wanted])
        paths = [(search.question, text) for _, search in growing for text in search.unscored()]
        scores = iter(_loaded["runner"].run(_score(paths, counts)) if paths else ())
        for _, search in growing:
            search.finish([next(scores) for _ in search.unscored()])
    last_s = time.time()
    solutions = [solution_of(search) for search in searches]
    return Answered(first_s=first_s, last_s=last_s, solutions=solutions, errors=(), tokens=Tokens(**counts))


def _generate(batch: Sequence[tuple[tuple[int, ...], Asked]], counts: dict[str, int]) -> list[list[Drawn]]:
    if not batch:
        return []
    prompts = [{"prompt_token_ids": [*prompt, *asked.prefix_ids]} for prompt, asked in batch]
    outputs = _loaded["llm"].generate(prompts, [_parameters(asked) for _, asked in batch], use_tqdm=False)
    for output, prompt in zip(outputs, prompts, strict=True):
        counts["generated"] += sum(len(sample.token_ids) for sample in output.outputs)
        counts["prompt"] += len(prompt["prompt_token_ids"]) * len(output.outputs)
        counts["cached"] += (output.num_cached_tokens or 0) * len(output.outputs)
    return [[_drawn(sample) for sample in output.outputs] for output in outputs]


def _parameters(asked: Asked) -> Any:
    from vllm import SamplingParams  # noqa: PLC0415

    return SamplingParams(
        n=asked.num_samples,
        temperature=_loaded["temperature"],
        max_tokens=asked.max_tokens,
        stop=[_loaded["separator"]] if asked.until is Until.STEP else None,
        include_stop_str_in_output=True,
    )


def _drawn(sample: Any) -> Drawn:
    reason = FinishReason.LENGTH if sample.finish_reason == "length" else FinishReason.EOS
    stopped = sample.stop_reason == _loaded["separator"]
    return Drawn(
        text=sample.text,
        token_ids=tuple(sample.token_ids),
        finish_reason=FinishReason.SEPARATOR if stopped else reason,
    )


async def _score(paths: Sequence[tuple[str, str]], counts: dict[str, int]) -> list[float]:
    engine = _loaded["prm"]
    inputs = [path_ids(engine.format, question, split_steps(solution)) for question, solution in paths]
    scored = await asyncio.gather(*(engine.score(ids) for ids in inputs))
    counts["prm"] += sum(map(len, inputs))
    counts["prm_cached"] += sum(each.cached_tokens for each in scored)
    return [each.score.median for each in scored]
