"""Writers that come, freeze, die and succeed each other on one run, in any order, against a twin that is obvious.

The twin is what a reader may see: of each problem its row or the steps that it has come to, and what was lost. It knows
nothing of parts, commits or checkpoints. A writer's store fails or its process dies before or after any one operation.
"""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.writer.journals import read_journals
from actors.writer.lease import newest_lease
from actors.writer.parts import read_columns
from actors.writer.writer import FRESH_S, Writer
from records.failure import Fenced, RunLocked, StoreFailed
from records.packing import packed_rows
from records.rows import OpenRecord, ProblemRecord
from records.run_folder import layout
from records.run_folder.checkpoints import read_log
from records.run_folder.epochs import Owner
from tests.records import builders
from tests.records.stores import Crash, FaultyStore, MemoryStore
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

PROBLEMS = [f"p{number}" for number in range(5)]
STEP_TOKENS = 5
MOST = 3
"""Writers that are there at the same time."""
NO_FAULT = (10**9, False, StoreFailed)

Fault = tuple[int, bool, type[Exception]]
pieces = st.tuples(st.sampled_from(PROBLEMS), st.integers(1, 2), st.integers(0, 2).map(lambda number: number == 0))
"""A problem, so many steps more, and whether it ends with them."""
faults = (
    st.just(NO_FAULT)
    | st.just(NO_FAULT)
    | st.tuples(st.integers(0, 12), st.booleans(), st.sampled_from((StoreFailed, Crash)))
)


@dataclass(frozen=True)
class View:
    """What a reader sees: tokens of each problem with a row, and of each that is open."""

    rows: dict[str, int] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)

    def plus(self, batch: "Batch") -> "View":
        """After this has become visible too."""
        opened, tokens = dict(self.opened), batch.num_steps * STEP_TOKENS
        tokens += opened.pop(batch.problem_id, 0)
        if batch.ends:
            return View(self.rows | {batch.problem_id: tokens}, opened)
        return View(self.rows, opened | {batch.problem_id: tokens})

    @property
    def tokens(self) -> int:
        return sum(self.rows.values()) + sum(self.opened.values())


@dataclass(frozen=True)
class Batch:
    """Steps of a problem, which may end with them."""

    number: int
    problem_id: str
    first: int
    num_steps: int
    ends: bool

    def given_to(self, writer: Writer) -> None:
        numbers = range(self.first, self.first + self.num_steps)
        steps = tuple(replace(builders.step(self.problem_id, n, STEP_TOKENS), request=n - 1) for n in numbers)
        [request] = builders.record(self.problem_id).requests
        requests = tuple(replace(request, request=n - 1, node_ids=(n - 1,), child_ids=(n,)) for n in numbers)
        if not self.ends:
            opened = OpenRecord(problem_id=self.problem_id, steps=steps, requests=requests)
            writer.append(self.number, *packed_rows([], [opened]))
            return
        tokens = (self.first - 1 + self.num_steps) * STEP_TOKENS
        problem = replace(builders.record(self.problem_id).problem, generated_tokens=tokens)
        record = ProblemRecord(problem=problem, steps=steps, requests=requests)
        writer.append(self.number, *packed_rows([record], []))


@dataclass
class Author:
    """A writer, its store, and what its controller knows."""

    writer: Writer
    store: "Switch"
    epoch: int
    next_batch: int
    num_steps: dict[str, int]
    ended: set[str]
    unconfirmed: list[Batch] = field(default_factory=list)
    dead: bool = False


class Switch:
    """A store whose faults can be chosen again for each call."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self.fail(NO_FAULT)

    def fail(self, fault: Fault) -> None:
        at, performed, error = fault
        self._store = FaultyStore(self._inner, at, performed=performed, error=error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class RunMachine(RuleBasedStateMachine):
    """One run. Writers are numbered in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.files = MemoryStore()
        self.now_s = 1_800_000_000.0
        self.view, self.authors = View(), list[Author]()

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize()
    def begun(self) -> None:
        self.comes(take_over=False, fault=NO_FAULT)

    @precondition(lambda self: sum(not author.dead for author in self.authors) < MOST)
    @rule(take_over=st.booleans(), fault=faults)
    def comes(self, take_over: bool, fault: Fault) -> None:
        """Somebody wants the run, from another machine."""
        self._come(take_over, fault, heir_of=None)

    @precondition(lambda self: self.authors and self.authors[-1].dead)
    @rule(fault=faults)
    def succeeds(self, fault: Fault) -> None:
        """The controller of a writer that died starts another one, and sends again what no flush has confirmed."""
        self._come(take_over=True, fault=fault, heir_of=self.authors[-1])

    def _come(self, take_over: bool, fault: Fault, heir_of: Author | None) -> None:
        store = Switch(self.files)
        store.fail(fault)
        writer = Writer(store, Path(self._folder.name), clock=lambda: self.now_s)  # type: ignore[arg-type]
        owner = Owner("elsewhere", "boot/pid:[1]", len(self.authors) + 1, 99)
        before, locked = read_log(self.files), self._locked()
        try:
            state = writer.open(builders.manifest(num_problems=len(PROBLEMS)), owner, take_over=take_over)
        except RunLocked:
            assert not take_over
            assert locked
            return
        except (StoreFailed, Crash):
            return
        store.fail(NO_FAULT)
        if state.finished:
            assert set(state.done) == set(self.view.rows) == set(PROBLEMS)
            return
        lost_tokens = before.leased_tokens - self.view.tokens
        assert take_over or not locked
        assert state.done == frozenset(self.view.rows)
        assert {one.problem_id: one.generated_tokens for one in state.open_problems} == self.view.opened
        assert (state.spent_tokens, state.lost_tokens) == (before.leased_tokens, lost_tokens)
        steps = {name: tokens // STEP_TOKENS for name, tokens in self.view.opened.items()}
        author = Author(writer, store, state.epoch, state.next_batch, steps, set(self.view.rows))
        if heir_of is not None:
            for batch in heir_of.unconfirmed:
                batch.given_to(writer)
            author.next_batch = max(author.next_batch, heir_of.next_batch)
            author.unconfirmed = [batch for batch in heir_of.unconfirmed if batch.number not in before.batches]
            author.num_steps, author.ended = dict(heir_of.num_steps), set(heir_of.ended)
        self.authors.append(author)

    def _locked(self) -> bool:
        newest = newest_lease(self.files)
        return newest is not None and newest.released_at is None and newest.age_s(self.now_s) < FRESH_S

    def _holds(self, author: Author) -> bool:
        """Whether nobody has fenced it. One that died while it opened the run may have, or only have the lease."""
        return author.epoch == read_log(self.files).epoch

    def _spent(self, author: Author) -> int:
        """What its controller says: visible or lost, and what it has handed over."""
        handed = sum(batch.num_steps * STEP_TOKENS for batch in author.unconfirmed)
        return self.view.tokens + read_log(self.files).lost_tokens + handed

    @precondition(lambda self: any(not author.dead for author in self.authors))
    @rule(data=st.data(), work=st.lists(pieces, min_size=1, max_size=3))
    def appends(self, data: st.DataObject, work: list[tuple[str, int, bool]]) -> None:
        """A controller hands over what some problems have come to."""
        author = self._one(data)
        for problem_id, num_steps, ends in work:
            self._append(author, problem_id, num_steps, ends)

    def _append(self, author: Author, problem_id: str, num_steps: int, ends: bool) -> None:
        if problem_id in author.ended:
            return
        first = author.num_steps.get(problem_id, 0) + 1
        batch = Batch(author.next_batch, problem_id, first, num_steps, ends)
        batch.given_to(author.writer)
        author.next_batch += 1
        author.num_steps[problem_id] = first - 1 + num_steps
        author.ended |= {problem_id} if ends else set()
        author.unconfirmed.append(batch)

    @precondition(lambda self: any(not author.dead for author in self.authors))
    @rule(data=st.data(), work=st.lists(pieces, max_size=2), ahead=st.integers(0, 30), fault=faults)
    def flushes(self, data: st.DataObject, work: list[tuple[str, int, bool]], ahead: int, fault: Fault) -> None:
        """Make it visible, and commit a ceiling some way ahead."""
        author = self._one(data)
        for problem_id, num_steps, ends in work:
            self._append(author, problem_id, num_steps, ends)
        ceiling = self._spent(author) + ahead
        self._call(author, fault, lambda: author.writer.flush(ceiling))

    @precondition(lambda self: any(not author.dead for author in self.authors))
    @rule(data=st.data(), killed=st.booleans(), fault=faults)
    def leaves(self, data: st.DataObject, killed: bool, fault: Fault) -> None:
        """Its process is gone; or a clean stop: all is written, and what was leased and not used is given back."""
        author = self._one(data)
        spent = self._spent(author)
        if killed or self._call(author, fault, lambda: author.writer.release(spent)):
            author.dead = True

    @rule(seconds=st.sampled_from((1.0, FRESH_S + 1)))
    def waits(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    @precondition(lambda self: self.authors and not self.authors[-1].dead and len(self.view.rows) > 2)
    @rule(fault=faults)
    def finishes(self, fault: Fault) -> None:
        """Whoever holds the run ends what is left, and the run."""
        author = self.authors[-1]
        if not self._holds(author):
            return
        for problem_id in PROBLEMS:
            self._append(author, problem_id, 1, ends=True)
        spent = self._spent(author)
        if self._call(author, fault, lambda: author.writer.finish(PROBLEMS, spent)):
            author.dead = True
            assert set(self.view.rows) == set(PROBLEMS)

    def _one(self, data: st.DataObject) -> Author:
        """Somebody who lives, of those who have something to write if there are such."""
        living = [author for author in self.authors if not author.dead]
        pending = [author for author in living if author.unconfirmed]
        return data.draw(st.sampled_from(pending or living))

    def _call(self, author: Author, fault: Fault, do: object) -> bool:
        """Whether it came to its end. Only one that nobody has fenced may change what readers see."""
        assert callable(do)
        author.store.fail(fault)
        holds = self._holds(author)
        nothing_to_do = not author.unconfirmed
        try:
            do()
        except Fenced:
            assert not holds
            author.dead = True
        except StoreFailed:
            pass
        except Crash:
            author.dead = True
        else:
            assert holds or nothing_to_do
            if holds:
                self._show(author, len(author.unconfirmed))
            author.store.fail(NO_FAULT)
            return True
        author.store.fail(NO_FAULT)
        if holds:
            self._show(author, self._num_visible(author))
        return False

    def _num_visible(self, author: Author) -> int:
        """How many of its batches were committed by a call that did not come to its end: any number, in order."""
        seen = self._seen()
        view = self.view
        for number, batch in enumerate([*author.unconfirmed, None]):
            if seen == view:
                return number
            assert batch is not None, f"a reader sees {seen}, which is no prefix of {author.unconfirmed}"
            view = view.plus(batch)
        raise AssertionError("unreachable")

    def _show(self, author: Author, count: int) -> None:
        for batch in author.unconfirmed[:count]:
            self.view = self.view.plus(batch)
        author.unconfirmed = author.unconfirmed[count:]

    def _seen(self) -> View:
        log = read_log(self.files)
        columns = ["problem_id", "generated_tokens"]
        rows = [row for part in log.parts_of("problems") for row in read_columns(self.files, part, columns).to_pylist()]
        assert len({row["problem_id"] for row in rows}) == len(rows)
        journals = read_journals(self.files, log.open_problems.values())
        opened = {name: record.generated_tokens for name, record in journals.items()}
        return View({row["problem_id"]: row["generated_tokens"] for row in rows}, opened)

    @invariant()
    def readers_see_the_twin(self) -> None:
        """Rows, open problems, sums; and nothing is spent that was not leased."""
        log = read_log(self.files)
        assert self._seen() == self.view
        assert log.totals.generated_tokens == sum(self.view.rows.values())
        assert log.open_tokens == sum(self.view.opened.values())
        assert log.spent_tokens <= log.leased_tokens
        if self.files.read(layout.SUCCESS) is not None:
            assert set(self.view.rows) == set(PROBLEMS)


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(max_examples=some_of(100), stateful_step_count=25)
