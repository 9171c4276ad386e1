"""its_hub as a client of vLLM's OpenAI server and of the PRM's server: our side of the pipe to its process.

Its beam search begins with N / M candidates where ours begins with N, so it is compared twice: as it comes, and with N
first candidates ("equal-first").
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engine_ceiling import say
from benchmarks.versus.environments import interpreter_of
from benchmarks.versus.job import Job
from benchmarks.versus.openai_server import MODEL_NAME
from benchmarks.versus.passes import Pass
from benchmarks.versus.processes import Pipe, client
from benchmarks.versus.servers import Servers, open_servers
from benchmarks.versus.watch import cpu_seconds
from examples.arithmetic.common import Problem

REQUIREMENTS = Path(__file__).parent / "requirements-its-hub.txt"


@contextmanager
def open_its_hub(job: Job, variant: str = "") -> Iterator["ItsHub"]:
    """Both servers and the client, ready."""
    interpreter = interpreter_of(REQUIREMENTS)
    log = job.folder / "its-hub-client.log"
    with open_servers(job) as servers:
        options = options_of(job, servers, variant)
        with client(interpreter, "benchmarks.versus.its_hub_client", options, log=log) as pipe:
            job.watch.name_peers(servers.roles | {pipe.process_id: "client"})
            yield ItsHub(job, servers, pipe)


def options_of(job: Job, servers: Servers, variant: str) -> dict[str, Any]:
    """What the client is told."""
    strategy, section = job.recipe.strategy, job.recipe.generator
    return {
        "method": job.method,
        "variant": variant,
        "generator_url": servers.generator_url,
        "prm_url": servers.prm_url,
        "model": MODEL_NAME,
        "separator": section.separator,
        "temperature": section.temperature,
        "max_tokens": section.max_tokens,
        "max_step_tokens": section.max_step_tokens,
        "num_samples": getattr(strategy, "num_samples", 1),
        "beam_width": getattr(strategy, "beam_width", 1),
        "max_steps": getattr(strategy, "max_steps", 1),
    }


class ItsHub:
    """Implements `Side`."""

    def __init__(self, job: Job, servers: Servers, pipe: Pipe) -> None:
        self._job = job
        self._servers = servers
        self._pipe = pipe

    def warm_up(self) -> None:
        """See `Side.warm_up`."""
        self._pass(self._job.warm_up_problems, 0)

    def run(self, seed: int) -> Pass:
        """See `Side.run`; the seed is of its draws, its requests have none."""
        return self._pass(self._job.problems, seed)

    def _pass(self, problems: Sequence[Problem], seed: int) -> Pass:
        before = self._servers.counters()
        with self._job.watch.core_use() as use:
            started_s = time.time()
            reply = self._pipe.ask({"questions": [problem.question for problem in problems], "seed": seed})
            accuracy = self._job.accuracy(reply["solutions"])
            ended_s = time.time()
        after = self._servers.counters()
        for error in reply["errors"]:
            say(f"its_hub: {error}")
        return Pass(
            seconds=reply["last_s"] - reply["first_s"],
            whole_seconds=ended_s - started_s,
            problems=len(problems),
            failed=len(reply["errors"]),
            accuracy=accuracy,
            tokens=after.tokens_since(before),
            cpu_seconds=cpu_seconds(use, reply["first_s"], reply["last_s"], of_peer=True),
            notes=after.notes_since(before),
        )
