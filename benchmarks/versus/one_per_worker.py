"""Workers that take one problem each to its end, against vLLM's OpenAI server and the PRM's server.

The shape of compute-optimal-tts, whose workers are Ray actors; here they are tasks of one event loop, which is cheaper.
A worker sends one request for each parent of a step, with `n` for its children, all at once, and then one request to
the PRM with all new paths.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from benchmarks.versus.job import Job
from benchmarks.versus.openai_server import MODEL_NAME
from benchmarks.versus.passes import Pass, Tokens
from benchmarks.versus.pool_peer import Answered, PoolSide, start_pool, timed_pass
from benchmarks.versus.searches import Asked, Drawn, Search, solution_of
from benchmarks.versus.servers import Servers, open_servers
from examples.arithmetic.common import Problem
from jobs.recipes.sections import Recipe
from jobs.recipes.strategy_factory import strategy_factory
from records.path import FinishReason
from records.request import Until

NUM_WORKERS = 12
"""As many as compute-optimal-tts starts for one model."""


@contextmanager
def open_one_per_worker(job: Job) -> Iterator["OnePerWorker"]:
    """Both servers and the workers' process."""
    with open_servers(job) as servers, start_pool(_load) as pool:
        job.watch.name_peers(servers.roles | {pool.submit(os.getpid).result(): "workers"})
        yield OnePerWorker(job, servers, pool)


def _load() -> None:
    """Nothing: the models are with the servers."""


class OnePerWorker(PoolSide):
    """The side of the workers."""

    def __init__(self, job: Job, servers: Servers, pool: ProcessPoolExecutor) -> None:
        super().__init__(job, pool)
        self._servers = servers

    def _pass(self, problems: Sequence[Problem]) -> Pass:
        questions = [problem.question for problem in problems]
        prompts = [self._job.prompt_ids(question) for question in questions]
        worker = Worker(self._servers.generator_url, self._servers.prm_url, self._job.recipe)
        before = self._servers.counters()

        def answer() -> Answered:
            answered: Answered = self._pool.submit(answer_all, worker, questions, prompts).result()
            return answered

        measured, _ = timed_pass(self._job, questions, answer)
        after = self._servers.counters()
        return replace(measured, tokens=after.tokens_since(before), notes=after.notes_since(before))


@dataclass(frozen=True)
class Worker:
    """How one problem is taken to its end."""

    generator_url: str
    prm_url: str | None
    recipe: Recipe

    async def solve(self, session: aiohttp.ClientSession, question: str, prompt: tuple[int, ...]) -> str | None:
        """The chosen solution."""
        search = Search(strategy_factory(self.recipe), question)
        while search.choice is None:
            wanted = search.samples()
            if wanted:
                search.deliver(await asyncio.gather(*(self._sample(session, prompt, asked) for asked in wanted)))
            paths = search.unscored()
            search.finish(await self._score(session, question, paths) if paths else ())
        return solution_of(search)

    async def _sample(self, session: aiohttp.ClientSession, prompt: tuple[int, ...], asked: Asked) -> list[Drawn]:
        section = self.recipe.generator
        body = {
            "model": MODEL_NAME,
            "prompt": [*prompt, *asked.prefix_ids],
            "n": asked.num_samples,
            "max_tokens": asked.max_tokens,
            "temperature": section.temperature,
            "stop": [section.separator] if asked.until is Until.STEP else [],
            "include_stop_str_in_output": True,
            "return_token_ids": True,
        }
        reply = await post(session, f"{self.generator_url}/v1/completions", body)
        return [drawn(choice, section.separator) for choice in reply["choices"]]

    async def _score(self, session: aiohttp.ClientSession, question: str, paths: Sequence[str]) -> Sequence[float]:
        reply = await post(session, f"{self.prm_url}/score", {"question": question, "solutions": paths})
        scores: Sequence[float] = reply["scores"]
        return scores


def drawn(choice: dict[str, Any], separator: str) -> Drawn:
    """One choice of a completion."""
    reason = FinishReason.LENGTH if choice["finish_reason"] == "length" else FinishReason.EOS
    return Drawn(
        text=choice["text"],
        token_ids=tuple(choice["token_ids"]),
        finish_reason=FinishReason.SEPARATOR if choice.get("stop_reason") == separator else reason,
    )


async def post(session: aiohttp.ClientSession, url: str, body: Any) -> dict[str, Any]:
    """The answer to a JSON request."""
    async with session.post(url, json=body) as response:
        response.raise_for_status()
        reply: dict[str, Any] = await response.json()
    return reply


def answer_all(worker: Worker, questions: Sequence[str], prompts: Sequence[tuple[int, ...]]) -> Answered:
    """All problems by `NUM_WORKERS` workers; runs in the workers' process."""
    return asyncio.run(_answer_all(worker, questions, prompts))


async def _answer_all(worker: Worker, questions: Sequence[str], prompts: Sequence[tuple[int, ...]]) -> Answered:
    solutions: list[str | None] = [None] * len(questions)
    problems = iter(range(len(questions)))

    async def work(session: aiohttp.ClientSession) -> None:
        for at in problems:
            solutions[at] = await worker.solve(session, questions[at], prompts[at])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        first_s = time.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(NUM_WORKERS):
                group.create_task(work(session))
        last_s = time.time()
    return Answered(first_s=first_s, last_s=last_s, solutions=solutions, errors=(), tokens=Tokens(generated=0))
