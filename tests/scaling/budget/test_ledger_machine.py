"""The ledger against a twin that keeps a list of what happened and adds it up each time it is asked."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scaling.budget.ledger import Ledger, Refusal
from tests.support.tiers import some_of

KEYS = [f"k{number}" for number in range(6)]


class LedgerMachine(RuleBasedStateMachine):
    """One run's cap over several controllers: each begins with what was leased before it as spent or lost."""

    @initialize(total=st.none() | st.integers(0, 300))
    def begins(self, total: int | None) -> None:
        """A run with a cap, or without."""
        self.total = total
        self.settled: list[int] = []
        self.lost = 0
        self.committed = 0
        self._next_controller()

    def _next_controller(self) -> None:
        self.held: dict[str, int] = {}
        leased = None if self.total is None else self.committed
        self.ledger = Ledger(total_tokens=self.total, spent_tokens=self._spent(), leased_tokens=leased)

    def _spent(self) -> int:
        return sum(self.settled) + self.lost

    @rule(key=st.sampled_from(KEYS), wanted=st.integers(1, 60), useful=st.integers(1, 60))
    def grants(self, key: str, wanted: int, useful: int) -> None:
        """Somebody wants tokens."""
        granted = self.ledger.grant(key, wanted_tokens=wanted, useful_tokens=useful)
        if key in self.held:
            assert granted == self.held[key]
            return
        held = sum(self.held.values())
        if self.total is None:
            assert granted == wanted
            self.held[key] = wanted
            return
        left = self.total - self._spent() - held
        if isinstance(granted, int):
            assert 0 < granted <= min(wanted, left)
            assert granted == min(wanted, left)
            assert self._spent() + held + granted <= self.committed
            assert granted >= min(wanted, useful) or not self.held
            self.held[key] = granted
        elif granted is Refusal.EXHAUSTED:
            assert self._spent() >= self.total
        elif granted is Refusal.WAIT:
            assert self.held
            assert left < min(wanted, useful)
        else:
            assert self._spent() + held + min(wanted, left) > self.committed

    @rule(key=st.sampled_from(KEYS), share=st.floats(0, 1))
    def settles(self, key: str, share: float) -> None:
        """Work has come back, or comes back a second time."""
        granted = self.held.pop(key, 0)
        used = int(granted * share)
        assert self.ledger.settle(key, used_tokens=used) == granted
        self.settled.append(used if granted else 0)

    @rule(headroom=st.integers(0, 40), kept=st.booleans())
    def leases(self, headroom: int, kept: bool) -> None:
        """The ceiling is committed; or the controller dies before it hears that it was."""
        ceiling = self.ledger.next_lease(headroom)
        if ceiling is None:
            return
        assert self.total is not None
        assert self.committed < ceiling <= self.total
        self.committed = ceiling
        if kept:
            self.ledger.leased_tokens = ceiling
        else:
            self.dies()

    @rule()
    def dies(self) -> None:
        """Another controller begins; under a cap all that was leased and stands in no row is lost."""
        if self.total is not None:
            self.lost += max(0, self.committed - self._spent())
        self._next_controller()

    @rule()
    def everything_waits_for_a_lease_that_is_enough(self) -> None:
        """Whoever waits for the ceiling gets something once it is raised: no run stands still."""
        refused = self.ledger.grant("last", wanted_tokens=10, useful_tokens=1)
        if refused is Refusal.LEASE:
            ceiling = self.ledger.next_lease(0)
            assert ceiling is not None
            self.committed = self.ledger.leased_tokens = ceiling
            refused = self.ledger.grant("last", wanted_tokens=10, useful_tokens=1)
            assert isinstance(refused, int)
        if isinstance(refused, int):
            self.held["last"] = refused
            self.settles("last", 1.0)

    @invariant()
    def every_token_is_in_one_place(self) -> None:
        """Remaining + reserved + spent == total."""
        if not hasattr(self, "ledger"):
            return
        assert self.ledger.spent_tokens == self._spent()
        assert self.ledger.reserved_tokens == sum(self.held.values())
        if self.total is not None:
            remaining = self.ledger.remaining_tokens
            assert remaining is not None
            assert remaining + self.ledger.reserved_tokens + self.ledger.spent_tokens == self.total
            assert remaining >= 0
            assert self._spent() + sum(self.held.values()) <= max(self.committed, self._spent())


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=some_of(200), stateful_step_count=40)
