"""The mailbox: every accepted, uncancelled key ends in exactly one result, whatever is repeated, lost or reordered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.recall import Recall, unless_recalled
from actors.replicas.mailbox import Mailbox
from records.failure import QueueFull, ReplicaDied, StaleEpoch, StaleIncarnation

ME = "me"


@dataclass(frozen=True)
class Call:
    key: str


@dataclass
class Work:
    """`serve` of a mailbox: each call ends when the test says so."""

    ends: dict[str, asyncio.Event] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)

    async def serve(self, call: Call, recall: Recall) -> str:
        self.runs.append(call.key)
        try:
            if await unless_recalled(self.end(call.key).wait(), recall) is None:
                return f"part of {call.key}"
        except asyncio.CancelledError:
            self.aborted.append(call.key)
            raise
        if call.key == "bug":
            raise ZeroDivisionError("a bug")
        if call.key == "cancelled":
            raise asyncio.CancelledError
        if call.key == "dead":
            raise ReplicaDied("the engine died")
        return f"result of {call.key}"

    def end(self, key: str) -> asyncio.Event:
        return self.ends.setdefault(key, asyncio.Event())


def open_mailbox(
    work: Work, queue_limit: int = 100, die: Callable[[int], object] = lambda status: None
) -> Mailbox[Call, str]:
    return Mailbox(work.serve, incarnation=ME, queue_limit=queue_limit, die=die)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def calls(*keys: str) -> list[Call]:
    return [Call(key) for key in keys]


async def test_results_come_numbered_and_stay_until_they_are_acknowledged():
    work = Work()
    mailbox = open_mailbox(work)
    mailbox.submit(ME, 1, calls("a", "b", "c"))
    await settle()
    work.end("a").set()
    work.end("b").set()
    await settle()
    first = await mailbox.collect(ME, 1, 0, 0)
    again = await mailbox.collect(ME, 1, 0, 0)
    assert first == again
    assert first.results == ("result of a", "result of b")
    work.end("c").set()
    await settle()
    rest = await mailbox.collect(ME, 1, first.last, 0)
    assert rest.results == ("result of c",)
    assert (await mailbox.collect(ME, 1, rest.last, 0)).results == ()
    await mailbox.close()


async def test_collect_waits_for_the_first_result_and_brings_what_ended_with_it():
    work = Work()
    mailbox = open_mailbox(work)
    mailbox.submit(ME, 1, calls("a", "b", "c"))
    waiting = asyncio.create_task(mailbox.collect(ME, 1, 0, 60))
    await settle()
    assert not waiting.done()
    work.end("c").set()
    work.end("a").set()
    assert sorted((await waiting).results) == ["result of a", "result of c"]
    await mailbox.close()


async def test_a_known_key_is_not_run_again():
    work = Work()
    mailbox = open_mailbox(work)
    mailbox.submit(ME, 1, calls("a", "a"))
    mailbox.submit(ME, 1, calls("a"))
    await settle()
    work.end("a").set()
    collected = await mailbox.collect(ME, 1, 0, 60)
    mailbox.submit(ME, 1, calls("a"))
    assert (await mailbox.collect(ME, 1, collected.last, 0)).results == ()
    assert work.runs == ["a"]
    await mailbox.close()


async def test_a_full_queue_accepts_none_of_the_calls():
    work = Work()
    mailbox = open_mailbox(work, queue_limit=2)
    mailbox.submit(ME, 1, calls("a"))
    with pytest.raises(QueueFull):
        mailbox.submit(ME, 1, calls("b", "c"))
    await settle()
    assert work.runs == ["a"]
    mailbox.submit(ME, 1, calls("a", "b"))
    work.end("a").set()
    await settle()
    with pytest.raises(QueueFull):
        mailbox.submit(ME, 1, calls("c"))  # a result that nobody fetched takes room
    await mailbox.collect(ME, 1, 0, 0)
    mailbox.submit(ME, 1, calls("c"))
    await mailbox.close()


async def test_a_cancelled_call_ends_early_and_what_it_has_come_to_is_its_one_result():
    work = Work()
    mailbox = open_mailbox(work)
    mailbox.submit(ME, 1, calls("a", "b"))
    await settle()
    work.end("b").set()
    await settle()
    mailbox.cancel(ME, 1, ["a", "b", "unknown"])
    await settle()
    mailbox.cancel(ME, 1, ["a", "b"])
    await settle()
    assert work.aborted == []
    assert (await mailbox.collect(ME, 1, 0, 0)).results == ("result of b", "part of a")
    mailbox.submit(ME, 1, calls("a"))
    await settle()
    assert work.runs == ["a", "b"]
    assert (await mailbox.collect(ME, 1, 2, 0)).results == ()
    await mailbox.close()


async def test_a_newer_epoch_aborts_and_forgets_what_the_older_left():
    work = Work()
    mailbox = open_mailbox(work)
    mailbox.submit(ME, 1, calls("a", "b"))
    await settle()
    work.end("a").set()
    await settle()
    assert (await mailbox.collect(ME, 2, 0, 0)).results == ()
    await settle()
    assert work.aborted == ["b"]
    for refused in (
        lambda: mailbox.submit(ME, 1, calls("c")),
        lambda: mailbox.cancel(ME, 1, ["a"]),
    ):
        with pytest.raises(StaleEpoch):
            refused()
    with pytest.raises(StaleEpoch):
        await mailbox.collect(ME, 1, 0, 0)
    mailbox.submit(ME, 2, calls("a"))
    assert (await mailbox.collect(ME, 2, 0, 60)).last == 1
    await mailbox.close()


async def test_a_waiting_collect_learns_that_its_epoch_is_over():
    mailbox = open_mailbox(Work())
    waiting = asyncio.create_task(mailbox.collect(ME, 1, 0, 60))
    await settle()
    mailbox.submit(ME, 2, [])
    with pytest.raises(StaleEpoch):
        await waiting


async def test_a_caller_of_an_earlier_process_is_refused():
    mailbox = open_mailbox(Work())
    with pytest.raises(StaleIncarnation):
        mailbox.submit("another", 1, calls("a"))


async def test_acknowledging_what_was_never_numbered_is_a_bug_of_the_caller():
    mailbox = open_mailbox(Work())
    with pytest.raises(ValueError, match="acknowledged"):
        await mailbox.collect(ME, 1, 1, 0)


@pytest.mark.parametrize("key", ["bug", "dead", "cancelled"])
async def test_an_error_out_of_serve_ends_the_replica_and_reaches_every_caller(key, caplog):
    work, deaths = Work(), list[int]()
    mailbox = open_mailbox(work, die=deaths.append)
    mailbox.submit(ME, 1, calls(key, "a"))
    waiting = asyncio.create_task(mailbox.collect(ME, 1, 0, 60))
    await settle()
    work.end(key).set()
    with pytest.raises(ReplicaDied):
        await waiting
    with pytest.raises(ReplicaDied):
        mailbox.submit(ME, 1, calls("b"))
    assert deaths == [1]
    assert "broken" in caplog.text
    await mailbox.close()


moves = st.lists(
    st.tuples(st.sampled_from(["submit", "end", "collect", "lose", "cancel", "settle"]), st.integers(0, 5)), max_size=60
)


@given(moves=moves)
def test_every_accepted_key_ends_exactly_once(moves):
    asyncio.run(play(moves))


async def play(moves: list[tuple[str, int]]) -> None:
    """Duplicate submits, lost replies of collect (acknowledged or not), cancels, in any order."""
    work = Work()
    mailbox = open_mailbox(work, queue_limit=4)
    received: list[str] = []
    accepted: set[str] = set()
    cancelled: set[str] = set()
    acked = 0

    async def collect() -> None:
        nonlocal acked
        collected = await mailbox.collect(ME, 1, acked, 0)
        received.extend(collected.results)
        acked = collected.last

    async def submit(key: str) -> None:
        try:
            mailbox.submit(ME, 1, [Call(key)])
            accepted.add(key)
        except QueueFull:
            assert key not in accepted

    async def lose() -> None:
        await mailbox.collect(ME, 1, acked, 0)

    async def cancel(key: str) -> None:
        await settle()
        if key in accepted and not work.end(key).is_set():
            cancelled.add(key)
        mailbox.cancel(ME, 1, [key])

    async def end(key: str) -> None:
        work.end(key).set()
        await settle()

    verbs: dict[str, Callable[[str], Awaitable[None]]] = {
        "submit": submit,
        "end": end,
        "cancel": cancel,
        "collect": lambda _: collect(),
        "lose": lambda _: lose(),
        "settle": lambda _: settle(),
    }
    for verb, number in moves:
        await verbs[verb](f"k{number}")
    for key in accepted:
        work.end(key).set()
    await settle()
    await collect()
    assert sorted(result.rpartition(" ")[2] for result in received) == sorted(accepted)
    in_part = {result.rpartition(" ")[2] for result in received if result.startswith("part")}
    assert in_part <= cancelled  # one that ended in the same turn is whole
    assert len(work.runs) == len(set(work.runs))
    await mailbox.close()
