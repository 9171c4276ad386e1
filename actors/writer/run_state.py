"""A run as a writer finds it: whether it may go on there, and what is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from actors.writer.parts import read_problem_ids
from records.failure import RunMismatch, StoreFailed
from records.jsonio import decode, encode
from records.run_folder import layout
from records.run_folder.commits import Totals
from records.run_folder.epochs import Lease
from records.run_folder.log import Log, OpenProblem
from records.run_folder.manifest import Manifest, differences, drift
from records.run_folder.parallel import in_parallel
from records.run_folder.store import Store
from records.usage import Usage, last_by_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run as a writer finds it.

    Attributes:
        finished: nothing is left to do; the writer holds no epoch and takes nothing.
        epoch: of this writer; of the last commit if finished.
        next_commit: number of the next commit.
        next_batch: the lowest batch number that is above all committed ones.
        done: ids of the problems with a row.
        open_problems: without a row, some of whose steps are visible (`actors.writer.journals` reads them).
        totals: of the rows.
        lost_tokens: leased by earlier controllers and never accounted for; charged as spent.
        leased_tokens: the committed ceiling.
        previous: the lease of the epoch before, with its last heartbeat and progress; None in the first.
        usages: of the replicas in each earlier epoch: its last word, by commit or heartbeat. Empty if finished.
        drift: a line for each package version that is another than when the run was begun.
    """

    finished: bool
    epoch: int
    next_commit: int
    next_batch: int
    done: frozenset[str]
    open_problems: tuple[OpenProblem, ...]
    totals: Totals
    lost_tokens: int
    leased_tokens: int
    previous: Lease | None
    usages: tuple[Usage, ...]
    drift: tuple[str, ...]

    @property
    def spent_tokens(self) -> int:
        """Where the ledger begins: accounted for in rows, or lost."""
        return self.totals.generated_tokens + self.open_tokens + self.lost_tokens

    @property
    def open_tokens(self) -> int:
        """Of problems without a row, by their visible steps."""
        return sum(problem.generated_tokens for problem in self.open_problems)


def agree_on_manifest(store: Store, manifest: Manifest, free: tuple[str, ...]) -> tuple[str, ...]:
    """Create the manifest, or hold `manifest` against the one that is there; what has drifted, to show.

    Raises:
        RunMismatch: something that decides results differs; the message has a line for each.
    """
    data = store.read(layout.MANIFEST)
    if data is None and store.create(layout.MANIFEST, encode(manifest)):
        return ()
    data = data or store.read(layout.MANIFEST)
    if data is None:
        raise StoreFailed(f"{store.uri}/{layout.MANIFEST} exists and cannot be read")
    begun = decode(Manifest, data, layout.MANIFEST)
    lines = differences(begun, manifest, free)
    if lines:
        raise RunMismatch("\n".join([f"{store.uri} was begun with other settings or input:", *lines]))
    return tuple(drift(begun, manifest))


def read_run_state(
    store: Store, log: Log, *, earlier: Sequence[Lease], drift: tuple[str, ...], finished: bool = False
) -> RunState:
    """The state after `log` and the `earlier` leases. Raises `StoreFailed` if parts do not hold what commits say."""
    parts = log.parts_of("problems")
    done = frozenset(chain.from_iterable(in_parallel(partial(read_problem_ids, store), parts)))
    num_rows = sum(part.rows for part in parts)
    if not num_rows == len(done) == log.totals.problems:
        raise StoreFailed(
            f"{store.uri} is damaged: {num_rows} rows of {len(done)} problems, and {log.totals.problems} by its commits"
        )
    return RunState(
        finished=finished,
        epoch=log.epoch,
        next_commit=log.number + 1,
        next_batch=max(log.batches, default=-1) + 1,
        done=done,
        open_problems=tuple(log.open_problems.values()),
        totals=log.totals,
        lost_tokens=log.lost_tokens,
        leased_tokens=log.leased_tokens,
        previous=earlier[-1] if earlier else None,
        usages=() if finished else last_usages(log, earlier),
        drift=drift,
    )


def last_usages(log: Log, leases: Sequence[Lease]) -> tuple[Usage, ...]:
    """The last word of each epoch on its replicas: of its commits and its lease, the one that was said later."""
    last = last_by_epoch(log.usages)
    for lease in leases:
        said = lease.usage
        if said is not None and (lease.epoch not in last or said.elapsed_s >= last[lease.epoch].elapsed_s):
            last[lease.epoch] = said
    return tuple(last[epoch] for epoch in sorted(last))
