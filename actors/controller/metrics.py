"""From a controller at work to readings of its metrics, once a second: a snapshot, never an event, so it costs nothing.

scheduler, fleet, recorder, progress --> readings --> exporter (`cluster.metrics`, on Ray)
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from actors.controller.fleet import Fleet
from actors.controller.protocols import MetricsExporter
from actors.controller.recorder import Recorder
from records import metrics
from records.metrics import Reading
from records.progress import Progress
from records.rows import ProblemRow, Status
from records.usage import Role, Usage
from scaling.budget.metering import ReplicaRate, cost_of
from scaling.scheduler.scheduler import Scheduler

METRICS_INTERVAL_S = 1.0
"""Between two snapshots. Ray hands them on every 10 s (`RAY_metrics_report_interval_ms`), and every second at most."""


class RunMetrics:
    """What one controller tells of itself.

    Args:
        exporter: is told.
        scheduler: of the controller, likewise `fleet` and `recorder`.
        rates: of a replica of each role.
    """

    def __init__(
        self,
        exporter: MetricsExporter,
        scheduler: Scheduler,
        fleet: Fleet,
        recorder: Recorder,
        rates: Mapping[Role, ReplicaRate],
    ) -> None:
        self._exporter, self._rates = exporter, rates
        self._scheduler, self._fleet, self._recorder = scheduler, fleet, recorder
        self._pruned_tokens = 0

    def add_rows(self, rows: Iterable[ProblemRow]) -> None:
        """Rows have become visible."""
        self._pruned_tokens += sum(row.pruned_tokens for row in rows)

    async def run(self, snapshot: Callable[[], tuple[Progress, Usage]]) -> None:
        """Export until cancelled. `snapshot`: how far the run is, and what it has held, now."""
        while True:
            self.export(*snapshot())
            await asyncio.sleep(METRICS_INTERVAL_S)

    def export(self, progress: Progress, usage: Usage) -> None:
        """Export what is true now."""
        self._exporter.export(self._readings(progress, usage))

    def _readings(self, progress: Progress, usage: Usage) -> Iterator[Reading]:
        yield from self._of_problems(progress)
        yield from self._of_tokens()
        yield from self._of_caps(progress)
        yield from self._of_replicas()
        yield from self._of_time(usage)
        yield metrics.COMMIT_LAG.of(self._recorder.lag_s)

    @staticmethod
    def _of_problems(progress: Progress) -> Iterator[Reading]:
        failed, exhausted = progress.failed_problems, progress.exhausted_problems
        yield metrics.INPUT_PROBLEMS.of(progress.total_problems)
        yield metrics.OPEN_PROBLEMS.of(progress.open_problems)
        yield metrics.DONE_PROBLEMS.of(progress.done_problems - failed - exhausted, Status.SUCCEEDED)
        yield metrics.DONE_PROBLEMS.of(failed, Status.FAILED)
        yield metrics.DONE_PROBLEMS.of(exhausted, Status.BUDGET_EXHAUSTED)
        yield metrics.GRADED_PROBLEMS.of(progress.graded)
        yield metrics.CORRECT_PROBLEMS.of(progress.correct)

    def _of_tokens(self) -> Iterator[Reading]:
        ledger, counts = self._scheduler.ledger, self._scheduler.counts
        yield metrics.SPENT_TOKENS.of(ledger.spent_tokens)
        yield metrics.RESERVED_TOKENS.of(ledger.reserved_tokens)
        if ledger.total_tokens is not None:
            yield metrics.CAP_TOKENS.of(ledger.total_tokens)
        yield metrics.SAMPLES.of(counts.samples)
        yield metrics.SCORES.of(counts.scores)
        yield metrics.TOKENS.of(counts.generated_tokens, "generated")
        yield metrics.TOKENS.of(self._pruned_tokens, "pruned")
        yield metrics.TOKENS.of(counts.prompt_tokens, "prompt")
        yield metrics.TOKENS.of(counts.cached_tokens, "cached")
        yield metrics.TOKENS.of(counts.prm_tokens, "prm")
        yield metrics.TOKENS.of(counts.prm_cached_tokens, "prm_cached")

    @staticmethod
    def _of_caps(progress: Progress) -> Iterator[Reading]:
        """What the replicas' time has come to, beside its caps."""
        known = (
            (metrics.SPENT_USD, progress.usd),
            (metrics.CAP_USD, progress.total_usd_cap),
            (metrics.SPENT_GPU_SECONDS, progress.gpu_seconds),
            (metrics.CAP_GPU_SECONDS, progress.total_gpu_seconds_cap),
        )
        yield from (metric.of(value) for metric, value in known if value is not None)

    def _of_replicas(self) -> Iterator[Reading]:
        samples, scores = self._scheduler.samples, self._scheduler.scores
        yield metrics.WAITING_CALLS.of(samples.num_waiting, "generator")
        yield metrics.WAITING_CALLS.of(scores.num_waiting, "prm")
        for one in self._fleet.replicas:
            labels = one.role, one.replica_id
            load = samples.load if one.role == "generator" else scores.load
            yield metrics.CALLS_IN_FLIGHT.of(load(one.replica_id), *labels)
            yield metrics.REPLICA_UP.of(one.up, *labels)
            yield metrics.REPLICA_DEATHS.of(one.num_deaths, *labels)

    def _of_time(self, usage: Usage) -> Iterator[Reading]:
        for one in usage.replicas:
            yield metrics.HELD_SECONDS.of(one.held_s, one.role, one.name)
            yield metrics.BUSY_SECONDS.of(one.busy_s, one.role, one.name)
            yield metrics.CALL_SECONDS.of(one.call_s, one.role, one.name)
        held_s = {role: usage.held_s(role) for role in self._rates}
        for role, rate in self._rates.items():
            for metric, spent in zip((metrics.GPU_SECONDS, metrics.USD), cost_of(held_s, {role: rate}), strict=True):
                if spent is not None:
                    yield metric.of(spent, role)
