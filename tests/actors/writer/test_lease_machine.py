"""The lease against a twin: who may have the run, whoever comes, dies, freezes and wakes up, in any order."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from actors.writer.lease import Claim, HeldLease, acquire, newest_lease
from records.failure import Fenced, RunLocked
from records.run_folder.epochs import Owner
from tests.records.stores import Crash, FaultyStore, MemoryStore
from tests.support.tiers import some_of

FRESH_S = 30.0


@dataclass
class Holder:
    """One who has had the run, and what the twin knows of him."""

    lease: HeldLease
    epoch: int
    beat_s: float
    released: bool = False


class LeaseMachine(RuleBasedStateMachine):
    """One run's leases. The twin: the holders in the order in which they came; the last one holds."""

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryStore()
        self.now_s, self.num_writers = 1_800_000_000.0, 0
        self.holders: list[Holder] = []

    @rule(take_over=st.booleans(), at=st.none() | st.integers(0, 3), performed=st.booleans())
    def comes(self, take_over: bool, at: int | None, performed: bool) -> None:
        """Another writer wants it; its process may die on the way."""
        self.num_writers += 1
        store = self.files if at is None else FaultyStore(self.files, at, performed=performed)
        claim = Claim(
            writer=f"w{self.num_writers}",
            owner=Owner("elsewhere", "boot/pid:[1]", self.num_writers, 99),
            take_over=take_over,
            again=False,
            fresh_s=FRESH_S,
        )
        last = self.holders[-1] if self.holders else None
        free = last is None or last.released or self.now_s - last.beat_s >= FRESH_S
        epoch = last.epoch + 1 if last is not None else 1
        try:
            lease = acquire(store, claim, newest_lease(store), self.now_s)
        except RunLocked:
            assert not free
            assert not take_over
            return
        except Crash:
            newest = newest_lease(self.files)
            if newest is not None and newest.epoch == epoch:  # it was made, and he never knew
                assert free or take_over
                self.holders.append(Holder(HeldLease(self.files, newest), epoch, self.now_s))
            return
        assert free or take_over
        assert lease.epoch == epoch
        self.holders.append(Holder(HeldLease(self.files, lease), epoch, self.now_s))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def beats(self, data: st.DataObject) -> None:
        """A holder says that he lives: the last one may, an earlier one hears that he has lost it."""
        holder = data.draw(st.sampled_from(self.holders))
        before = dict(self.files.files)
        try:
            holder.lease.heartbeat(self.now_s, {"n": 1})
        except Fenced:
            assert holder is not self.holders[-1]
            assert self.files.files == before
            return
        if holder.released:
            assert self.files.files == before
        else:
            assert holder is self.holders[-1]
            holder.beat_s = self.now_s

    @precondition(lambda self: self.holders)
    @rule()
    def lets_go(self) -> None:
        """The last holder is done."""
        self.holders[-1].lease.release(self.now_s)
        self.holders[-1].released = True

    @rule(seconds=st.sampled_from((1.0, 20.0, FRESH_S)))
    def waits(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    def teardown(self) -> None:
        """Epochs count from 1 without gaps, one each."""
        newest = newest_lease(self.files)
        assert [holder.epoch for holder in self.holders] == list(range(1, len(self.holders) + 1))
        assert (newest.epoch if newest else 0) == len(self.holders)


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=some_of(200), stateful_step_count=30)
