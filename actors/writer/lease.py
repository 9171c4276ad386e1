"""Taking, holding and releasing a run: the epoch file, who may have it, and who is dead.

newest lease    released / silent for `fresh_s` / its process is gone  --> create the next epoch's lease
                ours (an earlier try of this writer)                   --> go on with it
                held by someone alive                                  --> RunLocked, unless told to take over
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from actors.writer.store_clock import StoreClock
from records.failure import Fenced, RunLocked, StoreFailed
from records.jsonio import decode, encode
from records.run_folder import layout
from records.run_folder.epochs import Lease, Owner, utc
from records.run_folder.parallel import in_parallel
from records.run_folder.store import Store
from records.scratch import process_start, this_machine
from records.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants a run, and how.

    Attributes:
        writer: token of the writer.
        owner: the controller's process.
        take_over: even from someone alive.
        again: this process has held the run before, by a writer that is dead: its own lease binds it no more.
        fresh_s: a heartbeat younger than this means alive.
    """

    writer: str
    owner: Owner
    take_over: bool
    again: bool
    fresh_s: float


def this_process() -> Owner:
    """The calling process as the owner of a run."""
    return Owner(socket.gethostname(), this_machine(), os.getpid(), process_start(os.getpid()))


def newest_lease(store: Store) -> Lease | None:
    """The lease with the highest epoch; None before the first."""
    epochs = [epoch for name in store.list(layout.EPOCHS) if (epoch := layout.epoch_number(name)) is not None]
    return read_lease(store, max(epochs)) if epochs else None


def acquire(store: Store, claim: Claim, newest: Lease | None, now_s: float) -> Lease:
    """Create the lease of the epoch after `newest`, or of a later one if others are creating theirs.

    Raises:
        RunLocked: someone else holds the run and is alive.
    """
    while newest is None or newest.writer != claim.writer:
        if newest is not None and not claim.take_over and _held(newest, claim, now_s):
            raise RunLocked(_locked(newest, claim.fresh_s, now_s))
        epoch = newest.epoch + 1 if newest else 1
        moment = utc(now_s)
        lease = Lease(epoch=epoch, writer=claim.writer, owner=claim.owner, started_at=moment, heartbeat_at=moment)
        if store.create(layout.epoch_name(epoch), encode(lease)):
            return lease
        newest = read_lease(store, epoch)
        if newest is None:
            raise StoreFailed(f"{store.uri}/{layout.epoch_name(epoch)} exists and cannot be read")
    return newest


def read_leases(store: Store, below: int) -> list[Lease]:
    """The leases of all epochs below one, in order."""
    # Those that are there, not all up to it: a name may say any number.
    epochs = (layout.epoch_number(name) for name in store.list(layout.EPOCHS))
    leases = in_parallel(partial(read_lease, store), sorted(epoch for epoch in epochs if epoch and epoch < below))
    return [lease for lease in leases if lease is not None]


def read_lease(store: Store, epoch: int) -> Lease | None:
    """The lease of `epoch`; None if there is none."""
    name = layout.epoch_name(epoch)
    data = store.read(name)
    return decode(Lease, data, name) if data is not None else None


class HeldLease:
    """The lease of a writer that holds the run. Its methods may be called from several threads.

    Attributes:
        clock: of the store, for a holder that has no other.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self.clock = StoreClock(store)
        self._store = store
        self._lease = lease
        self._lock = threading.Lock()

    def heartbeat(self, now_s: float, progress: Mapping[str, object], usage: Usage | None = None) -> None:
        """Replace the file with this moment, `progress` and `usage`; nothing after `release`.

        Raises:
            Fenced: someone has taken over.
        """
        with self._lock:
            if self._lease.released_at is not None:
                return
            newest = newest_lease(self._store)
            if newest is not None and newest.epoch > self._lease.epoch:
                raise Fenced(f"epoch {newest.epoch} has taken {self._store.uri} over from epoch {self._lease.epoch}")
            usage = usage or self._lease.usage
            self._replace(replace(self._lease, heartbeat_at=utc(now_s), progress=dict(progress), usage=usage))

    def release(self, now_s: float) -> None:
        """Let the run go. Safe to repeat."""
        with self._lock:
            if self._lease.released_at is None:
                self._replace(replace(self._lease, released_at=utc(now_s)))

    def _replace(self, lease: Lease) -> None:
        self._store.replace(layout.epoch_name(lease.epoch), encode(lease))
        self._lease = lease


@contextmanager
def beating(lease: HeldLease, clock: Callable[[], float], interval_s: float) -> Iterator[None]:
    """Keep a lease fresh while its owner is busy with something long, such as reading the run."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(interval_s):
            with suppress(StoreFailed, Fenced):  # the next commit says so, and says it to the owner
                lease.heartbeat(clock(), {})

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def owner_is_gone(owner: Owner) -> bool:
    """Whether an owner is known to be dead: only a process of this boot and process namespace can be looked up."""
    if owner.process_start is None or not owner.machine:
        return False
    if (owner.host, owner.machine) != (socket.gethostname(), this_machine()):
        return False
    return process_start(owner.pid) != owner.process_start


def _held(lease: Lease, claim: Claim, now_s: float) -> bool:
    if lease.released_at is not None or (claim.again and lease.owner == claim.owner):
        return False
    return lease.age_s(now_s) < claim.fresh_s and not owner_is_gone(lease.owner)


def _locked(lease: Lease, fresh_s: float, now_s: float) -> str:
    age_s = lease.age_s(now_s)
    return (
        f"the run is held by process {lease.owner.pid} on {lease.owner.host} (epoch {lease.epoch}, begun "
        f"{lease.started_at}, last heartbeat {age_s:.0f} s ago). Stop it; or, if it is dead, try again in "
        f"{fresh_s - age_s:.0f} s; or take the run from it with --take-over"
    )
