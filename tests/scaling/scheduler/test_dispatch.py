"""The dispatcher: every task is in one place, prefixes attract, the dead give back, culprits are isolated."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scaling.scheduler.dispatch import BUSY, Dispatcher, scanned
from scaling.scheduler.loads import Loads
from scaling.scheduler.waiting import SUSPECT_DEATHS
from tests.support.tiers import some_of


@dataclass(frozen=True)
class Job:
    key: str
    problem_id: str
    home: str | None = None


def job(name: str, home: str | None = None) -> Job:
    return Job(name, name.partition("/")[0], home)


def dispatcher(*replicas: str, slots: int = 4) -> Dispatcher[Job]:
    made: Dispatcher[Job] = Dispatcher(lambda one: one.home, lambda *_: None)
    for replica in replicas:
        made.replica_up(replica, slots)
    return made


def sent(made: Dispatcher[Job]) -> list[tuple[str, str]]:
    """Everything that can be sent now, as (call, replica)."""
    calls = []
    while (following := made.peek()) is not None:
        calls.append((made.take(following[0].key, following[1]), following[1]))
    return calls


def test_tasks_leave_by_rank_and_go_to_the_holder_of_their_prefix():
    made = dispatcher("a", "b")
    for name, home, rank in (
        ("late", "b", (0.0, 1, 0, 0)),
        ("first", "a", (0.0, 0, 0, 0)),
        ("second", "a", (0.0, 0, 0, 1)),
    ):
        made.push(job(name, home), rank)
    assert sent(made) == [("first~1", "a"), ("second~1", "a"), ("late~1", "b")]


def test_what_is_worth_most_leaves_first_and_equal_worth_by_rank():
    made = dispatcher("a")
    for name, worth, order in (("none", 0.0, 0), ("late", 0.5, 2), ("early", 0.5, 1), ("best", 0.7, 3)):
        made.push(job(name), (-worth, order, 0, 0))
    assert [call for call, _ in sent(made)] == ["best~1", "early~1", "late~1", "none~1"]


def test_a_replica_that_is_ahead_or_full_sheds_to_the_least_loaded():
    made = dispatcher("a", "b", slots=16)  # 20 calls each
    for index in range(50):
        made.push(job(f"{index:02}", "a"), (0.0, 0, 0, index))
    loads = [replica for _, replica in sent(made)]
    assert loads[:6] == ["a"] * 6
    assert loads[6:10] == ["b", "a", "b", "a"]
    assert (loads.count("a"), loads.count("b")) == (20, 18), "the rest waits for the holder: b has enough to do"
    assert made.num_waiting == 12


def test_a_slot_that_becomes_free_goes_to_what_is_held_there():
    made = dispatcher("a", "b", slots=8)  # 10 calls each
    for index in range(20):
        made.push(job(f"{index:02}", "ab"[index % 2]), (0.0, 0, 0, index))
    assert len(sent(made)) == 20
    for name, home, order in (("first", "a", 1), ("second", "b", 2), ("third", "b", 3), ("anywhere", None, 4)):
        made.push(job(name, home), (0.0, order, 0, 0))
    assert made.peek() is None
    made.settle("01")
    assert sent(made) == [("second~1", "b")]
    for name in ("03", "05", "07", "09"):
        made.settle(name)
    assert sent(made) == [("third~1", "b"), ("anywhere~1", "b"), ("first~1", "b")], "b would have run short"
    assert made.num_waiting == 0


def test_what_waits_for_a_replica_waits_for_any_when_that_dies_and_ranked_work_never_waits():
    made = dispatcher("a", "b", slots=8)
    for index in range(20):
        made.push(job(f"{index:02}", "ab"[index % 2]), (0.0, 0, 0, index))
    assert len(sent(made)) == 20
    made.push(job("waits", "a"), (0.0, 9, 0, 0))
    made.push(job("ranked", "a"), (-0.5, 10, 0, 0))
    assert made.peek() is None
    made.settle("01")
    assert sent(made) == [("ranked~1", "b")]
    made.replica_down("a")
    made.replica_up("c", 32)
    assert {call.partition("~")[0] for call, _ in sent(made)} == {
        "waits",
        *(f"{index:02}" for index in range(0, 20, 2)),
    }
    assert made.num_waiting == 0


def test_a_closed_replica_ends_what_it_has_and_what_waits_for_it_goes_elsewhere():
    made = dispatcher("a", "b", slots=8)
    for index in range(20):
        made.push(job(f"{index:02}", "ab"[index % 2]), (0.0, 0, 0, index))
    assert len(sent(made)) == 20
    made.push(job("waits", "a"), (0.0, 9, 0, 0))
    assert made.peek() is None
    assert made.close("a")
    assert not made.close("a"), "it is closed already"
    assert made.capacity == 10
    made.settle("00")  # of a
    made.push(job("new", "a"), (0.0, 10, 0, 0))
    assert made.peek() is None, "a has room and is closed, b is full"
    made.settle("01")
    made.settle("03")
    assert sent(made) == [("waits~1", "b"), ("new~1", "b")]
    assert made.open("a")
    made.push(job("later", "a"), (0.0, 11, 0, 0))
    assert sent(made) == [("later~1", "a")]
    assert not made.close("unknown")


def test_a_dead_replicas_work_goes_before_everything_that_was_never_sent():
    made = dispatcher("a", slots=1)
    made.push(job("old"), (0.0, 5, 0, 0))
    assert sent(made) == [("old~1", "a")]
    made.push(job("new"), (0.0, 0, 0, 0))
    assert made.replica_down("a") == []
    made.replica_up("b", 2)
    assert sent(made) == [("old~2", "b"), ("new~1", "b")]
    assert made.flying("old~1", "a") is None
    assert made.flying("old~2", "b") == job("old")


def test_a_suspect_travels_alone_and_is_the_culprit_of_the_next_death():
    made = dispatcher("a")
    for index in range(3):
        made.push(job(f"p{index}/x"), (0.0, index, 0, 0))
    for _ in range(SUSPECT_DEATHS):
        sent(made)
        assert made.replica_down("a") == []
        made.replica_up("a", 4)
    assert [call for call, _ in sent(made)] == ["p0/x~3"]
    assert made.replica_down("a") == [job("p0/x")]
    made.replica_up("a", 4)
    assert [call for call, _ in sent(made)] == ["p1/x~3"]
    made.settle("p1/x")
    assert [call for call, _ in sent(made)] == ["p2/x~3"]


class Machine(RuleBasedStateMachine):
    """Random pushes, sends, results, deaths and drops against a plain model of where each task is."""

    def __init__(self) -> None:
        super().__init__()
        self.made = dispatcher()
        self.up: set[str] = set()
        self.closed: set[str] = set()
        self.waiting: set[str] = set()
        self.flying: dict[str, tuple[str, str]] = {}
        self.count = 0

    @rule(home=st.sampled_from([None, "a", "b"]))
    def push(self, home: str | None) -> None:
        self.count += 1
        self.made.push(job(f"k{self.count}", home), (0.0, self.count % 5, 0, self.count))
        self.waiting.add(f"k{self.count}")

    @rule(replica=st.sampled_from("abc"), slots=st.integers(1, 4))
    def start(self, replica: str, slots: int) -> None:
        if replica not in self.up:
            self.made.replica_up(replica, slots)
            self.up.add(replica)

    @rule(replica=st.sampled_from("abc"))
    def kill(self, replica: str) -> None:
        culprits = {task.key for task in self.made.replica_down(replica)}
        self.up.discard(replica)
        self.closed.discard(replica)
        for key in [key for key, (where, _) in self.flying.items() if where == replica]:
            del self.flying[key]
            if key not in culprits:
                self.waiting.add(key)

    @rule(replica=st.sampled_from("abc"), closed=st.booleans())
    def close_or_open(self, replica: str, closed: bool) -> None:
        if closed:
            changed = self.made.close(replica)
            assert changed == (replica in self.up and replica not in self.closed)
            self.closed |= {replica} & self.up
        else:
            assert self.made.open(replica) == (replica in self.closed)
            self.closed.discard(replica)

    @rule()
    def send_all(self) -> None:
        for call, replica in sent(self.made):
            key = call.partition("~")[0]
            assert replica in self.up - self.closed or self.made._items[key].suspect
            self.waiting.remove(key)
            self.flying[key] = (replica, call)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), again=st.booleans())
    def result(self, data: st.DataObject, again: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        replica, call = self.flying.pop(key)
        assert self.made.flying(call, replica) is not None
        if again:
            self.made.retry(key)
            self.waiting.add(key)
        else:
            self.made.settle(key)
        assert self.made.flying(call, replica) is None

    @precondition(lambda self: self.waiting or self.flying)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from(sorted(self.waiting | set(self.flying)))))
        expected: dict[str, set[str]] = {}
        for key in keys:
            self.waiting.discard(key)
            if key in self.flying:
                replica, call = self.flying.pop(key)
                expected.setdefault(replica, set()).add(call)
        assert {where: set(calls) for where, calls in self.made.drop(sorted(keys)).items()} == expected

    @rule()
    def refuse(self) -> None:
        task = self.made.refuse()
        if task is None:
            assert not self.waiting
        else:
            self.waiting.remove(task.key)

    @invariant()
    def everything_is_somewhere(self) -> None:
        assert self.made.num_waiting == len(self.waiting)
        assert self.made.num_in_flight == len(self.flying)
        for replica in self.up:
            held = sum(where == replica for where, _ in self.flying.values())
            assert self.made.load(replica) == held


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=some_of(60), stateful_step_count=40, deadline=None)


def test_a_broken_replica_proves_nothing_against_its_calls_while_there_is_another():
    made = dispatcher("bad", "good")
    made.push(job("p0/x", "bad"), (0.0, 0, 0, 0))
    for _ in range(SUSPECT_DEATHS + 3):
        calls = sent(made)
        if calls and calls[0][1] == "good":
            break
        assert made.replica_down("bad") == []
        made.replica_up("bad", 4)
    assert calls[0][1] == "good"


def test_a_suspect_empties_one_replica_and_the_others_go_on():
    made = dispatcher("a", "b", "c", slots=2)
    made.push(job("p0/x"), (0.0, 0, 0, 0))
    for _ in range(SUSPECT_DEATHS):
        [(_, replica)] = sent(made)
        made.replica_down(replica)
        made.replica_up(replica, 2)
    for index in range(6):
        made.push(job(f"q{index}"), (0.0, 1, 0, index))
    where = dict(sent(made))
    alone = where.pop("p0/x~3")
    assert alone not in where.values()
    assert len(set(where.values())) == 2


@given(
    capacities=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    moves=st.lists(
        st.tuples(st.sampled_from(["take", "give", "alone", "down", "up", "close", "open"]), st.integers(0, 5)),
        max_size=60,
    ),
)
def test_the_least_loaded_is_the_one_that_looking_at_all_finds(capacities, moves):
    loads, names = Loads(), [f"r{number}" for number in range(len(capacities))]
    for name, capacity in zip(names, capacities, strict=True):
        loads.up(name, capacity)
    for number, (move, place) in enumerate(moves):
        name = names[place % len(names)]
        load = loads.by_name.get(name)
        if move == "down":
            loads.down(name)
        elif move == "up" and load is None:
            loads.up(name, capacities[place % len(names)])
        elif load is not None:
            if move == "take" and load.room:
                load.keys.add(f"{number}")
            elif move == "give" and load.keys:
                load.keys.pop()
            elif move == "close":
                loads.close(name)
            elif move == "open":
                loads.open(name)
            load.isolated = move == "alone"
            loads.changed(name)
        assert loads.least_loaded() == scanned(loads.with_room(), None, ())
        assert loads.fewest_calls() == min((len(one.keys) for _, one in loads.with_room()), default=None)
        assert loads.capacity == sum(one.capacity for one in loads.by_name.values() if not one.closed)


@given(
    slots=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    homes=st.lists(st.integers(0, 6), max_size=120),
    settled=st.sets(st.integers(0, 119)),
)
def test_every_task_goes_where_looking_at_all_replicas_would_send_it(slots, homes, settled):
    made = dispatcher()
    for number, count in enumerate(slots):
        made.replica_up(f"r{number}", count)
    for number, home in enumerate(homes):
        task = job(f"{number}", f"r{home}")  # some homes are no replica
        made.push(task, (0.0, 0, 0, number))
        wanted = where(made, task)
        following = made.peek()
        assert (None if following is None else following[1]) == wanted
        if following is None:
            made.refuse()
        else:
            made.take(task.key, following[1])
        if number in settled:
            made.drop([f"{number // 2}"])


def where(made: Dispatcher[Job], task: Job) -> str | None:
    """Where looking at all replicas sends a task; None: nowhere now."""
    open_loads, holder = dict(made._loads.with_room()), made._loads.by_name.get(task.home or "")
    short = any(len(load.keys) < BUSY * load.capacity for load in open_loads.values())
    if holder is not None and not holder.room and not short:
        return None
    return scanned(open_loads.items(), task.home, ())


@given(
    slots=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    moves=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=150),
    data=st.data(),
)
@settings(max_examples=some_of(100), deadline=None)
def test_no_replica_runs_short_while_a_task_waits_and_none_is_forgotten(slots, moves, data):
    made = dispatcher()
    for number, count in enumerate(slots):
        made.replica_up(f"r{number}", count)
    flying: list[str] = []
    for number, (home, settles) in enumerate(moves):
        made.push(job(f"{number}", f"r{home}"), (0.0, 0, 0, number))
        if settles and flying:
            made.settle(flying.pop(data.draw(st.integers(0, len(flying) - 1))))
        flying += [call.partition("~")[0] for call, _ in sent(made)]
        if made.num_waiting:
            assert all(len(load.keys) >= BUSY * load.capacity for load in made._loads.by_name.values())
    while flying:
        made.settle(flying.pop())
        flying += [call.partition("~")[0] for call, _ in sent(made)]
    assert made.num_waiting == 0


def test_the_heaps_do_not_grow_with_the_calls():
    loads = Loads()
    for name in ("idle", "busy"):
        loads.up(name, 100)
    for number in range(5000):
        loads.by_name["busy"].keys = set(map(str, range(number % 7 + 1)))
        loads.changed("busy")
        assert loads.least_loaded() == "idle"
        assert loads.fewest_calls() == 0
    assert max(len(loads._by_share.heap), len(loads._by_number.heap)) < 100
