"""One simulated run, and what is to be known of it."""

import asyncio
import gc
import math
import pickle
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.controller.controller import Controller
from actors.controller.settings import FlushPolicy, RunSettings, RunSoFar
from benchmarks.control_path import NoGrader, NoMetrics, nothing_yet
from benchmarks.simulation.clock import SimulatedLoop
from benchmarks.simulation.engines import SimulatedGenerator, SimulatedPrm
from benchmarks.simulation.rates import EngineRates
from benchmarks.simulation.replicas import SimulatedReplica
from benchmarks.simulation.texts import Lengths
from records.calls import SampleCall, SampleResult, Sampling, ScoreCall, ScoreResult
from records.path import Path
from records.problem import Problem
from records.usage import Usage
from scaling.strategy import Strategy, StrategyFactory

LOOK_EVERY_S = 2.0
"""Simulated seconds between two looks at what is open and what waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a run is simulated on.

    Attributes:
        num_generators: replicas.
        num_prms: likewise; 0 where the strategy asks for no scores.
        num_slots: calls in a generator's batch.
        generator: its engine's rates.
        prm: likewise.
        lengths: of what is said.
        message_s: a message between controller and replica is on its way so long, each way.
        commit_s: what a commit takes beside its bytes.
        store_bytes_per_s: how fast parts are written.
    """

    num_generators: int
    num_prms: int
    num_slots: int
    generator: EngineRates
    prm: EngineRates
    lengths: Lengths
    message_s: float
    commit_s: float
    store_bytes_per_s: float


class CommittingWriter:
    """The writer of a run: rows are packed for their way to it as in a run, and its commits take their time.

    Attributes:
        num_commits: made so far.
        num_bytes: of rows, as they travel.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.num_commits = self.num_bytes = 0
        self._cluster, self._unwritten_bytes = cluster, 0

    async def append(self, batch: int, *rows: Any) -> None:
        """See `RunWriter`."""
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps((batch, *rows), protocol=5, buffer_callback=buffers.append)
        num_bytes = len(data) + sum(buffer.raw().nbytes for buffer in buffers)
        self.num_bytes += num_bytes
        self._unwritten_bytes += num_bytes
        await asyncio.sleep(self._cluster.message_s)

    async def flush(self, leased_tokens: int | None, usage: Usage | None) -> None:
        """See `RunWriter`."""
        num_bytes, self._unwritten_bytes = self._unwritten_bytes, 0
        self.num_commits += 1
        await asyncio.sleep(self._cluster.commit_s + num_bytes / self._cluster.store_bytes_per_s)

    async def heartbeat(self, progress: Mapping[str, object], usage: Usage) -> None:
        """See `RunWriter`."""


@dataclass(slots=True)
class Looks:
    """What was open and waited, each time that somebody looked."""

    open_problems: list[int] = field(default_factory=list)
    unwritten_problems: list[int] = field(default_factory=list)
    waiting_samples: list[int] = field(default_factory=list)
    waiting_scores: list[int] = field(default_factory=list)
    paths: list[int] = field(default_factory=list)


class Simulation:
    """A run on engines that exist on a clock.

    Args:
        strategy: of the run.
        num_problems: that it has.
        cluster: that it is on.
        total_tokens: cap of the run; None for none.
        competing: under the cap problems compete, in windows.
        bounds: more fields of `RunSettings`.
    """

    def __init__(
        self,
        strategy: StrategyFactory,
        num_problems: int,
        cluster: Cluster,
        *,
        total_tokens: int | None = None,
        competing: bool = False,
        bounds: Mapping[str, Any],
    ) -> None:
        self._strategy, self._num_problems, self._cluster = strategy, num_problems, cluster
        self._loop = SimulatedLoop()
        self._generators: list[SimulatedGenerator] = []
        self._prms: list[SimulatedPrm] = []
        self._writer = CommittingWriter(cluster)
        self._looks = Looks()
        self._concluded_s: list[float] = []
        self._num_opened, self._opened_at_s, self._slot_s_then = 0, 0.0, 0.0
        self._settings = RunSettings(
            replica_epoch=1,
            run_seed=7,
            strategy_name="simulated",
            sampling=Sampling(0.7),
            total_tokens=total_tokens,
            deadline_s=None,
            competing=competing,
            flush=FlushPolicy(num_problems=64, interval_s=10.0),
            **bounds,
        )

    def run(self) -> dict[str, Any]:
        """Run to the end; see `docs/performance.md` for what each entry is."""
        asyncio.set_event_loop(self._loop)
        before = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)  # as a run's controller (`jobs.scoring.driver`)
        try:
            begun_s = time.process_time()
            controller = self._loop.run_until_complete(self._whole())
            took_s = time.process_time() - begun_s
        finally:
            gc.set_threshold(*before)
            asyncio.set_event_loop(None)
            self._loop.close()
        return self._found(controller, took_s)

    async def _whole(self) -> Controller:
        controller = Controller(
            problems=self._problems(),
            strategy=self._begin,
            settings=self._settings,
            so_far=RunSoFar(
                visible=nothing_yet(self._num_problems), spent_tokens=0, leased_tokens=0, next_batch=1,
                num_left=self._num_problems, num_owed=self._num_problems, journals=dict,
            ),
            generators=self._generator_replicas(),
            prms=self._prm_replicas(),
            writer=self._writer,
            grader=NoGrader(),
            metrics=NoMetrics(),
            clock=self._loop.time,
        )  # fmt: skip
        looking = asyncio.create_task(self._look(controller))
        if not await controller.run():
            raise RuntimeError("the run did not come to its end")
        looking.cancel()
        return controller

    def _problems(self) -> Iterator[Problem]:
        for number in range(self._num_problems):
            yield Problem(f"problem-{number}", f"What is {number} times {number}, and how do you know?", "0")

    def _begin(self, root: Path) -> Strategy:
        self._num_opened += 1
        if self._num_opened == self._num_problems:
            self._opened_at_s, self._slot_s_then = self._loop.time(), self._slot_s()
        return self._timed(self._strategy(root))

    def _timed(self, strategy: Strategy) -> Strategy:
        """The same strategy; when it has concluded is noted."""
        choice = yield from strategy
        self._concluded_s.append(self._loop.time())
        return choice

    def _slot_s(self) -> float:
        for one in self._generators:
            one.used.count(one.used.num_running)
        return sum(one.used.slot_s for one in self._generators)

    def _generator_replicas(self) -> list[SimulatedReplica[SampleCall, SampleResult]]:
        cluster = self._cluster

        def engine(done: Any) -> SimulatedGenerator:
            made = SimulatedGenerator(self._loop, cluster.generator, cluster.num_slots, cluster.lengths, done)
            self._generators.append(made)
            return made

        return [
            SimulatedReplica(f"generator-{number}", cluster.num_slots, cluster.message_s, engine)
            for number in range(cluster.num_generators)
        ]

    def _prm_replicas(self) -> list[SimulatedReplica[ScoreCall, ScoreResult]]:
        cluster = self._cluster

        def engine(done: Any) -> SimulatedPrm:
            made = SimulatedPrm(self._loop, cluster.prm, cluster.lengths, done)
            self._prms.append(made)
            return made

        return [
            SimulatedReplica(f"prm-{number}", cluster.num_slots, cluster.message_s, engine)
            for number in range(cluster.num_prms)
        ]

    async def _look(self, controller: Controller) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            scheduler, looks = controller.scheduler, self._looks
            looks.open_problems.append(scheduler.num_open)
            looks.unwritten_problems.append(controller.progress().open_problems - scheduler.num_open)
            looks.waiting_samples.append(scheduler.samples.num_waiting)
            looks.waiting_scores.append(scheduler.scores.num_waiting)
            looks.paths.append(scheduler.num_paths)

    def _tail_s(self, share: float) -> float:
        """Seconds from when all but the last `share` of the problems had concluded to the last of them."""
        return self._concluded_s[-1] - self._concluded_s[math.ceil((1 - share) * len(self._concluded_s)) - 1]

    def _found(self, controller: Controller, took_s: float) -> dict[str, Any]:
        cluster, counts, looks = self._cluster, controller.scheduler.counts, self._looks
        total_s, slots = self._loop.time(), cluster.num_generators * cluster.num_slots
        num_tokens = sum(one.num_tokens for one in self._generators)
        full = cluster.num_slots / cluster.generator.by_batch(cluster.num_slots)[-1]
        engines_s = sum(one.used.spent_s for one in self._generators) + sum(one.used.spent_s for one in self._prms)
        controller_s = took_s - engines_s
        return {
            "utilisation_until_last_opened": self._slot_s_then / (slots * self._opened_at_s)
            if self._opened_at_s
            else None,
            "utilisation": self._slot_s() / (slots * total_s),
            "last_opened_s": self._opened_at_s,
            "simulated_s": total_s,
            "last_5_percent_s": self._tail_s(0.05),
            "samples": counts.samples,
            "scores": counts.scores,
            "tokens": num_tokens,
            "cached_share_of_prompts": counts.cached_tokens / counts.prompt_tokens,
            "longest_sample_s": counts.longest_sample_s,
            "tokens_per_s": num_tokens / total_s,
            "tokens_per_s_of_full_engines": full * cluster.num_generators,
            "prm_utilisation": sum(one.used.slot_s for one in self._prms) / (max(1, cluster.num_prms) * total_s),
            "waiting_samples": _mean(looks.waiting_samples),
            "waiting_scores": _mean(looks.waiting_scores),
            "open_problems": _mean(looks.open_problems),
            "most_open_problems": max(looks.open_problems, default=0),
            "most_unwritten_problems": max(looks.unwritten_problems, default=0),
            "most_paths": max(looks.paths, default=0),
            "commits": self._writer.num_commits,
            "bytes_of_rows": self._writer.num_bytes,
            "controller_seconds_per_step": controller_s / counts.samples,
            "controller_cores": controller_s / total_s,
        }


def _mean(values: Sequence[int]) -> float:
    return statistics.fmean(values) if values else 0.0
