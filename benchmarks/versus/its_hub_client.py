"""The process that drives its_hub; it runs in an environment with its_hub and without our packages' dependencies.

    python -m benchmarks.versus.its_hub_client '{"method": ..., "generator_url": ..., ...}'

A line on stdin is a pass, its answer a line on stdout:

    {"questions": [...], "seed": int}
    {"first_s": float, "last_s": float, "solutions": [text or null, ...], "errors": [text, ...]}

All problems run at once in one event loop, as its documentation shows for several prompts, and as concurrently as it
can: no cap on requests but those of aiohttp (100 connections a session). `first_s` is before the first request is
made, `last_s` after the last solution is there, in seconds since 1970.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
from its_hub import BestOfN, LMOrchestrator, OpenAICompatibleLanguageModel, SelfConsistency, StepGeneration
from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering

from examples.arithmetic.common import boxed_answer

STOP = "\\boxed"
"""What tells its_hub that a solution is complete: it does not look at why the model stopped."""


class HttpPrm(AbstractProcessRewardModel, AbstractOutcomeRewardModel):  # type: ignore[misc]
    """The PRM's server, as reward model of steps and of whole solutions."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/score"
        self._session: aiohttp.ClientSession | None = None

    async def ascore(self, prompt: Any, solutions: Any = None, **_: Any) -> list[float]:
        """Scores of solutions that end anywhere; for best-of-n of conversations that end with one."""
        if solutions is None:
            conversations = prompt
            prompt = conversations[0][0].content
            solutions = [conversation[-1].content for conversation in conversations]
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with self._session.post(self._url, json={"question": prompt, "solutions": solutions}) as response:
            response.raise_for_status()
            scores: list[float] = (await response.json())["scores"]
        return scores

    def score(self, *_: Any, **__: Any) -> list[float]:
        """Nobody asks without a loop here."""
        raise NotImplementedError


class EqualFirstBeamSearch(BeamSearch):  # type: ignore[misc]
    """Its beam search with as many first candidates as later ones; it begins with budget / beam_width as it comes."""

    async def _asearch_one_level(self, lm: Any, candidates: list[Any], *args: Any, **kwargs: Any) -> Any:
        if not any(candidate.steps for candidate in candidates):
            candidates = [candidate.deepcopy() for candidate in candidates for _ in range(self.beam_width)]
        return await super()._asearch_one_level(lm, candidates, *args, **kwargs)


def language_model(options: dict[str, Any]) -> Any:
    """Its client; a step may have `max_step_tokens`, a whole solution `max_tokens`."""
    by_step = options["method"] in ("beam-search", "particle-filtering")
    return OpenAICompatibleLanguageModel(
        endpoint=f"{options['generator_url']}/v1",
        api_key="none",
        model_name=options["model"],
        temperature=options["temperature"],
        max_completion_tokens=options["max_step_tokens"] if by_step else options["max_tokens"],
        max_concurrency=-1,
    )


def algorithm(options: dict[str, Any]) -> Any:
    """The method by its_hub's classes."""
    prm = HttpPrm(options["prm_url"]) if options["prm_url"] else None
    # A candidate stops when it has `max_steps` steps before its next one: that is one more than ours has.
    steps = StepGeneration(
        max_steps=options["max_steps"] - 1,
        step_token=options["separator"],
        stop_token=STOP,
        temperature=options["temperature"],
    )
    beam = EqualFirstBeamSearch if options["variant"] == "equal-first" else BeamSearch
    made: dict[str, Any] = {
        "self-consistency": lambda: SelfConsistency(boxed_number, orchestrator=LMOrchestrator(max_concurrency=-1)),
        "best-of-n": lambda: BestOfN(prm, orchestrator=LMOrchestrator(max_concurrency=-1)),
        "beam-search": lambda: beam(steps, prm, beam_width=options["beam_width"]),
        "particle-filtering": lambda: ParticleFiltering(steps, prm),
    }
    return made[options["method"]]()


def boxed_number(solution: str) -> str:
    """What solutions are compared by in the vote."""
    return str(boxed_answer(solution))


async def solve_all(search: Any, lm: Any, questions: Sequence[str], budget: int) -> dict[str, Any]:
    """One pass over all problems; a problem that fails has no solution."""
    first_s = time.time()
    found = await asyncio.gather(
        *(search.ainfer(lm, question, budget) for question in questions), return_exceptions=True
    )
    last_s = time.time()
    return {
        "first_s": first_s,
        "last_s": last_s,
        "solutions": [None if isinstance(each, BaseException) else each["content"] for each in found],
        "errors": [repr(each) for each in found if isinstance(each, BaseException)],
    }


async def answer_lines(options: dict[str, Any], replies: Any) -> None:
    """Passes as they are asked for, until stdin ends."""
    search, lm = algorithm(options), language_model(options)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        random.seed(asked["seed"])
        replies.write(json.dumps(await solve_all(search, lm, asked["questions"], options["num_samples"])) + "\n")
        replies.flush()


def main() -> None:
    """Serve passes; whatever else is printed goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(answer_lines(json.loads(sys.argv[1]), replies))


if __name__ == "__main__":
    main()
