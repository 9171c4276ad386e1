"""What a controller is given: the settings of its run, and where earlier epochs left it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from actors.controller.protocols import NodeWatch, ReplicaHandle
from actors.controller.replica_client import HealthCheck
from records.calls import SampleCall, SampleResult, Sampling, ScoreCall, ScoreResult
from records.progress import Progress
from records.replica import ReplicaInfo
from records.rows import OpenRecord, ProblemRow, Status
from records.usage import Role, Usage
from scaling.answers.classes import DEFAULT_POLICY, AnswerPolicy
from scaling.budget.ledger import Ledger
from scaling.budget.metering import Meter, ReplicaRate
from scaling.scheduler.dispatch import OnFlight
from scaling.scheduler.scheduler import Scheduler
from scaling.strategy import StrategyFactory
from scaling.uncertainty.abstention import Abstention

GeneratorHandle = ReplicaHandle[SampleCall, SampleResult]
PrmHandle = ReplicaHandle[ScoreCall, ScoreResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushPolicy:
    """When rows become visible: after this many problems or this long, whichever is first; early in a run sooner."""

    num_problems: int
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What decides how a run goes.

    Attributes:
        replica_epoch: of this controller, as replicas see it: higher than any before it, of whatever run.
        run_seed: every sample's seed derives from it.
        strategy_name: for the rows.
        sampling: how tokens are drawn.
        total_tokens: cap on generated tokens of the whole run, earlier epochs included; None for none.
        deadline_s: stop granting after this time; None for never.
        total_usd: cap on what the replicas' time costs in the whole run; None for none.
        total_gpu_seconds: cap on the time that GPUs are held, likewise.
        max_open_problems: begun and not yet visible, at most; None: as many as the engines need.
        max_open_paths: steps that problems begun and not yet visible may have come to before no other is begun: a bound
            on memory.
        window_problems: that compete at a time, where they do.
        samples_at_once: what a problem asks for at a time, as far as its strategy says so.
        competing: under the cap all open problems compete for each sample, so they are opened in windows.
        flush: when rows become visible.
        heartbeat_s: time between two heartbeats.
        abstention: when an answer is not stood by; None: it always is.
        rates: of a replica of each role: its GPUs and its price.
        held_s: the replicas that had a node when the controller began, and the seconds that they had been held for this
            run by then; None: all of them, from now on.
        node_kinds: what nodes of a role are called, where only some will do.
        check_replica: what is wrong with a replica that comes up later, a sentence each.
        nodes: looks at the cluster's nodes; None where there are none to look at.
        health: when replicas are asked for a sign of life.
        policy: how answers are found and told apart.
        stop_on_failures: end when the first so many problems have all failed alike; None: never.
    """

    replica_epoch: int
    run_seed: int
    strategy_name: str
    sampling: Sampling
    total_tokens: int | None
    deadline_s: float | None
    total_usd: float | None = None
    total_gpu_seconds: float | None = None
    max_open_problems: int | None = None
    max_open_paths: int = 500_000
    window_problems: int = 512
    samples_at_once: int | None = None
    flush: FlushPolicy
    competing: bool = False
    heartbeat_s: float = 5.0
    abstention: Abstention | None = None
    rates: Mapping[Role, ReplicaRate] = field(default_factory=dict)
    held_s: Mapping[str, float] | None = None
    node_kinds: Mapping[Role, str] = field(default_factory=dict)
    check_replica: Callable[[ReplicaInfo], Sequence[str]] = lambda _: ()
    nodes: NodeWatch | None = None
    health: HealthCheck = field(default_factory=HealthCheck)
    policy: AnswerPolicy = DEFAULT_POLICY
    stop_on_failures: int | None = None

    def has_room(self, num_problems: int, num_paths: int) -> bool:
        """Whether another problem may be begun beside so many, which have come to so many steps; one always may."""
        most = self.max_open_problems
        return num_problems == 0 or ((most is None or num_problems < most) and num_paths < self.max_open_paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSoFar:
    """What earlier epochs left.

    Attributes:
        visible: as they ended.
        spent_tokens: accounted for or lost.
        leased_tokens: the committed ceiling.
        usages: of the replicas in each earlier epoch.
        next_batch: number of the writer's next batch.
        num_left: problems of the input without a row.
        num_owed: of these, those that this controller is given: all, or those of a pilot.
        journals: reads what problems without a row had come to, by id; they go on from there. May raise `StoreFailed`.
    """

    visible: Progress
    spent_tokens: int
    leased_tokens: int
    usages: tuple[Usage, ...] = ()
    next_batch: int
    num_left: int
    num_owed: int
    journals: Callable[[], Mapping[str, OpenRecord]]


def ledger_of(settings: RunSettings, so_far: RunSoFar) -> Ledger:
    """The run's budget where earlier epochs left it."""
    return Ledger(
        total_tokens=settings.total_tokens,
        spent_tokens=so_far.spent_tokens,
        leased_tokens=so_far.leased_tokens if settings.total_tokens is not None else None,
    )


def scheduler_of(
    settings: RunSettings, so_far: RunSoFar, strategy: StrategyFactory, on_flight: OnFlight, *, has_prm: bool
) -> Scheduler:
    """The pure half of the controller, its ledger where earlier epochs left it."""
    return Scheduler(
        strategy=strategy,
        run_seed=settings.run_seed,
        sampling=settings.sampling,
        ledger=ledger_of(settings, so_far),
        on_flight=on_flight,
        has_prm=has_prm,
        policy=settings.policy,
        samples_at_once=settings.samples_at_once,
    )


def roles_of(generators: Sequence[GeneratorHandle], prms: Sequence[PrmHandle]) -> dict[str, Role]:
    """The role of each replica, by name."""
    roles: dict[str, Role] = {handle.replica_id: "generator" for handle in generators}
    return roles | {handle.replica_id: "prm" for handle in prms}


def meter_of(
    settings: RunSettings,
    so_far: RunSoFar,
    generators: Sequence[GeneratorHandle],
    prms: Sequence[PrmHandle],
    *,
    now_s: float,
) -> Meter:
    """Of the replicas' time in this epoch, for the problems that have no row yet."""
    roles = roles_of(generators, prms)
    held_s = dict.fromkeys(roles, 0.0) if settings.held_s is None else settings.held_s
    held = {name: role for name, role in roles.items() if name in held_s}
    return Meter(held, num_problems=so_far.num_owed, startup_s=held_s, now_s=now_s)


def with_rows(progress: Progress, rows: Sequence[ProblemRow]) -> Progress:
    """`progress` after these rows have become visible."""
    return replace(
        progress,
        done_problems=progress.done_problems + len(rows),
        failed_problems=progress.failed_problems + sum(row.status is Status.FAILED for row in rows),
        exhausted_problems=progress.exhausted_problems + sum(row.status is Status.BUDGET_EXHAUSTED for row in rows),
        graded=progress.graded + sum(row.correct is not None for row in rows),
        correct=progress.correct + sum(row.correct is True for row in rows),
        finished_samples=progress.finished_samples + sum(row.num_finished or 0 for row in rows),
        unanswered_samples=progress.unanswered_samples + sum(row.num_unanswered or 0 for row in rows),
        prompt_tokens=progress.prompt_tokens + sum(row.prompt_tokens for row in rows),
        cached_tokens=progress.cached_tokens + sum(row.cached_tokens for row in rows),
        prm_tokens=progress.prm_tokens + sum(row.prm_tokens for row in rows),
    )
