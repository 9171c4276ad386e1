"""Generator and PRM in one process or in one each, where they share a core: is it worth the building?

    python -m benchmarks.one_process --problems 24 --pairs 3 > one-process.json

Both engines are those of runs, behind their replicas and channels, and have one core together (`--cores` for others);
the caller has another. It keeps `--in-flight` samples going, and each that has come is scored at once: best-of-N as a
controller plays it. In one process the two engines step one after the other, as they have to there; in two the system
shares the core out. The sides take turns A B B A; samples are seeded, so both do the same work. `ratio` is samples/s in
one process over those in two, the median of the pairs with the lowest and the highest.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from benchmarks.versus.passes import spread
from cluster.channel import Address, Channel, ChannelServer
from jobs.problems.columns import ProblemColumns
from jobs.problems.problem_set import inspect_problems
from jobs.recipes.load import load_recipe
from jobs.recipes.settings import generator_settings, prm_settings
from records.calls import SampleCall, Sampled, Sampling, ScoreCall, Scored, TextPrefix, TokenPrefix, root_prefix_id
from records.request import Until

EXAMPLE = Path(__file__).parents[1] / "examples/arithmetic"
RECIPE = EXAMPLE / "best-of-16.toml"
ROLES = ("generator", "prm")


async def host(roles: Sequence[str], cores: set[int]) -> None:
    """Load the engines of some roles on some cores, say where they are, and serve until the process is ended."""
    os.sched_setaffinity(0, cores)
    recipe = load_recipe(RECIPE)
    prm = prm_settings(recipe)
    if prm is None:
        raise SystemExit(f"{RECIPE} has no PRM")
    servers, said = [], {}
    for role in roles:
        replica: Any = Generator(generator_settings(recipe)) if role == "generator" else Prm(prm)
        info = await replica.hello()
        servers.append(ChannelServer(replica))
        address = await servers[-1].start("127.0.0.1")
        said[role] = {"port": address.port, "token": address.token.hex(), "incarnation": info.incarnation}
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


@contextmanager
def hosted(together: bool, cores: str) -> Iterator[dict[str, Any]]:
    """Both engines, in one process or in two; where they are."""
    groups = [ROLES] if together else [(role,) for role in ROLES]
    command = [sys.executable, "-m", "benchmarks.one_process", "--cores", cores, "--host"]
    processes = [subprocess.Popen([*command, *group], stdout=subprocess.PIPE, text=True) for group in groups]
    try:
        found: dict[str, Any] = {}
        for process in processes:
            said = process.stdout or ()
            found |= json.loads(next(line for line in said if line.startswith("{")))
        yield found
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Line:
    """One replica, asked over its channel."""

    def __init__(self, where: dict[str, Any], channel: Channel, epoch: int) -> None:
        self._incarnation, self._channel, self._epoch, self._acked = where["incarnation"], channel, epoch, 0

    @classmethod
    async def to(cls, where: dict[str, Any], epoch: int) -> "Line":
        """Connect, as whoever comes after all before."""
        address = Address("127.0.0.1", where["port"], bytes.fromhex(where["token"]))
        return cls(where, await Channel.connect(address, 10.0), epoch)

    async def submit(self, calls: Sequence[Any]) -> None:
        """Send calls."""
        await self._channel.submit(self._incarnation, self._epoch, calls)

    async def collect(self) -> Sequence[Any]:
        """What has come."""
        collected = await self._channel.collect(self._incarnation, self._epoch, self._acked, 2.0)
        self._acked = collected.last
        return collected.results


async def one_pass(
    generator: Line, prm: Line, questions: Sequence[str], number: int, options: argparse.Namespace
) -> float:
    """Seconds that all samples of the questions and their scores take."""
    calls = [
        SampleCall(
            f"{number}/{at}/{sample}", root_prefix_id(question), TokenPrefix(question, ()), Until.END,
            options.max_tokens, 1000 * at + sample, Sampling(0.7),
        )
        for at, question in enumerate(questions)
        for sample in range(options.num_samples)
    ]  # fmt: skip
    question_of = {call.key: call.prefix.question for call in calls if call.prefix is not None}
    left, num_scored, begun_s = list(reversed(calls)), 0, time.monotonic()

    async def sample() -> None:
        num_flying = num_done = 0
        while num_done < len(calls):
            count = min(len(left), options.in_flight - num_flying)
            if count:
                await generator.submit([left.pop() for _ in range(count)])
                num_flying += count
            results = [one for one in await generator.collect() if isinstance(one, Sampled)]
            num_done, num_flying = num_done + len(results), num_flying - len(results)
            if results:
                await prm.submit([_score(one, question_of[one.key]) for one in results])

    async def score() -> None:
        nonlocal num_scored
        while num_scored < len(calls):
            num_scored += sum(isinstance(one, Scored) for one in await prm.collect())

    await asyncio.gather(sample(), score())
    return time.monotonic() - begun_s


def _score(sampled: Sampled, question: str) -> ScoreCall:
    texts = tuple(step.text for step in sampled.steps)
    return ScoreCall(sampled.key, root_prefix_id(question), TextPrefix(question, ()), texts, False)


async def passes(where: dict[str, Any], options: argparse.Namespace, first: int, count: int) -> list[float]:
    """Seconds of so many passes after one that is not counted."""
    generator, prm = await Line.to(where["generator"], first + 1), await Line.to(where["prm"], first + 1)
    problems = inspect_problems(str(EXAMPLE / "test.jsonl"), ProblemColumns(), options.problems)
    questions = [problem.question for problem in problems]
    await one_pass(generator, prm, questions[:4], 1000 + first, options)
    return [await one_pass(generator, prm, questions, first + number, options) for number in range(count)]


def main() -> int:
    """Print the JSON document; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_process", description="One process for both")
    parser.add_argument("--host", nargs="+", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--cores", default="0", help="of the engines, comma-separated (0)")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--num-samples", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    if options.host:
        asyncio.run(host(options.host, {int(core) for core in options.cores.split(",")}))
        return 0
    seconds: dict[str, list[float]] = {"together": [], "apart": []}
    number = 0
    with hosted(True, options.cores) as together, hosted(False, options.cores) as apart:
        for _ in range(options.pairs):
            for name, where in (("together", together), ("apart", apart), ("apart", apart), ("together", together)):
                seconds[name] += asyncio.run(passes(where, options, number, 1))
                number += 1
    pairs = [
        (sum(seconds["apart"][2 * at : 2 * at + 2])) / sum(seconds["together"][2 * at : 2 * at + 2])
        for at in range(options.pairs)
    ]
    print(json.dumps({"seconds": seconds, "ratio": asdict(spread(pairs)), "cores": options.cores}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
