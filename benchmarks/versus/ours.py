"""Our side: `score` on warm replicas, as `benchmarks.engine_ceiling` times it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.observed import ObservedReplica
from benchmarks.run_start import SPARES_START_S
from benchmarks.versus.job import Job
from benchmarks.versus.passes import Pass, Tokens
from benchmarks.versus.watch import cpu_seconds
from jobs.score import ray_session, score
from jobs.scoring.plan import Plan
from jobs.scoring.replicas import Replicas, launch

WARM_UP_SEED = 1


@contextmanager
def open_ours(job: Job) -> Iterator["Ours"]:
    """A Ray session with the recipe's replicas, loaded."""
    with ray_session(job.recipe):
        yield Ours(job, launch(job.recipe))


class Ours:
    """Implements `Side`."""

    def __init__(self, job: Job, launched: Replicas) -> None:
        self._job = job
        self._num_runs = 0
        self._replicas = replace(
            launched,
            generators=tuple(self._observed(handle) for handle in launched.generators),
            prms=tuple(self._observed(handle) for handle in launched.prms),
        )

    def warm_up(self) -> None:
        """See `Side.warm_up`."""
        self._score(self._plan(WARM_UP_SEED, len(self._job.warm_up_problems)))

    def run(self, seed: int) -> Pass:
        """See `Side.run`; the whole time is that of `score`, from its start to the last commit."""
        return self._score(self._plan(seed))

    def _observed(self, handle: Any) -> ObservedReplica[Any, Any]:
        return ObservedReplica(handle, self._job.folder)

    def _plan(self, seed: int, num_problems: int | None = None) -> Plan:
        self._num_runs += 1
        return self._job.plan(f"run{self._num_runs}", seed, num_problems)

    def _score(self, plan: Plan) -> Pass:
        from cluster.remote import wait_for  # noqa: PLC0415 - Ray reads its environment when it is imported

        needed = self._replicas.needed_by(plan.recipe)
        handles: list[Any] = [*needed.generators, *needed.prms]
        self._job.watch.name_ours(
            {wait_for(handle.inner._actor.process_id.remote()): handle.replica_id for handle in handles}
        )
        with self._job.watch.core_use() as use:
            started_s = time.time()
            summary = score(plan, self._replicas)
            ended_s = time.time()
        self._replicas.prepare_run()  # as whoever has another run to come does
        time.sleep(SPARES_START_S)  # and not on the time of a peer
        traffic = [handle.take_traffic() for handle in handles]
        first_s = min(each.first_call_s for each in traffic)
        last_s = max(each.last_result_s for each in traffic)
        done = summary.problems["succeeded"]
        tokens = {
            kind: summary.tokens.get(kind) or 0 for kind in ("generated", "prompt", "cached", "prm", "prm_cached")
        }
        return Pass(
            seconds=last_s - first_s,
            whole_seconds=ended_s - started_s,
            problems=plan.problems.num_problems,
            failed=plan.problems.num_problems - done,
            accuracy=summary.correct / plan.problems.num_problems,
            tokens=Tokens(**tokens),
            cpu_seconds=cpu_seconds(use, first_s, last_s, of_peer=False),
            notes={
                "submits": sum(each.num_submits for each in traffic),
                "calls": sum(each.num_calls for each in traffic),
                "collects": sum(each.num_collects for each in traffic),
            },
        )
