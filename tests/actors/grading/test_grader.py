import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.grading.grader import Grader, GradeRequest
from actors.grading.process import GradeFailure, Lost, Worker
from actors.grading.worker import load_compare
from records.failure import InvalidInput
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

GRADERS = """
import ctypes, os, sys, time

def says(answer, reference):
    print("this must not reach the pipe")
    assert sys.stdin.read() == ""
    if answer.startswith("announce "):
        open(answer.removeprefix("announce "), "wb").close()
        answer = "loop"
    if answer == "loop":
        while True:
            time.sleep(1)
    if answer == "held":
        ctypes.PyDLL(None).pause()  # in C, with the interpreter's lock, as 10 ** 10 ** 10 would be
    if answer == "raise":
        raise LookupError("no such thing " * 1000)
    if answer == "exit":
        os._exit(7)
    if answer == "leave":
        sys.exit()
    if answer == "crash":
        os.abort()
    if answer == "memory":
        bytearray(8 * 2**30)
    if answer == "none":
        return None
    if answer == "half":
        return 0.5
    return answer == reference
"""


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A grader of the user's own, in a module that is found where this process would find it."""
    (tmp_path / "users_graders.py").write_text(GRADERS)
    monkeypatch.syspath_prepend(tmp_path)
    return "users_graders:says"


def asked(*answers: str | None, reference: str | None = "yes") -> list[GradeRequest]:
    return [GradeRequest(answer, reference) for answer in answers]


async def test_every_verdict_is_where_its_request_was(says: str) -> None:
    async with Grader(says, num_workers=2, timeout_s=60) as grader:
        assert await grader.grade(asked(*["yes", "no", "raise"] * 20, None)) == [True, False, None] * 20 + [False]
        assert await grader.grade([]) == []
        assert await grader.grade(asked("yes", None, reference=None)) == [None, None]
        assert grader.failures == {GradeFailure.RAISED: 20}
        assert grader.first_errors[GradeFailure.RAISED].startswith("LookupError: no such thing")


@pytest.mark.parametrize("stuck", ["loop", "held"])
async def test_one_that_never_returns_holds_up_nobody(says: str, stuck: str) -> None:
    async with Grader(says, num_workers=2, timeout_s=5) as grader:
        hopeless = asyncio.create_task(grader.grade(asked(stuck)))
        assert await grader.grade(asked(*["yes", "no"] * 20)) == [True, False] * 20
        assert not hopeless.done()
        assert await hopeless == [None]
        assert grader.failures == {GradeFailure.TIMED_OUT: 1}
        assert await grader.grade(asked(*["yes"] * 4)) == [True] * 4


@pytest.mark.parametrize("death", ["exit", "leave", "crash"])
async def test_one_that_dies_takes_nobody_with_it(says: str, death: str) -> None:
    async with Grader(says, num_workers=2, timeout_s=60) as grader:
        assert await grader.grade(asked("yes", death, "no", death, "yes")) == [True, None, False, None, True]
        assert grader.failures == {GradeFailure.DIED: 2}
        assert "ended with status" in grader.first_errors[GradeFailure.DIED]


async def test_what_is_no_verdict_is_not_graded(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        assert await grader.grade(asked("none", "half", "yes")) == [None, None, True]
        assert grader.failures == {GradeFailure.RAISED: 2}


async def test_memory_is_limited(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60, memory_gib=4) as grader:
        assert await grader.grade(asked("memory", "yes")) == [None, True]
        assert grader.first_errors == {GradeFailure.RAISED: "MemoryError: "}


async def test_a_cancelled_request_leaves_no_reply_for_the_next_one(says: str, tmp_path: Path) -> None:
    announced = tmp_path / "busy"
    os.mkfifo(announced)
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        waiting = asyncio.create_task(grader.grade(asked(f"announce {announced}", "loop")))
        await asyncio.to_thread(announced.read_bytes)
        waiting.cancel()
        assert await grader.grade(asked("no", "yes")) == [False, True]
        assert waiting.cancelled()
        assert not grader.failures


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "guess",
            "'guess': it is one of math-verify, exact, numeric, multiple-choice, or module:function",
        ),
        ("no_such_module:grade", "ModuleNotFoundError"),
        ("users_graders:missing", "has no function 'missing'"),
        ("users_graders_broken:grade", "ZeroDivisionError"),
        ("users_graders_fatal:grade", "ended with status 3"),
    ],
)
async def test_a_grader_that_cannot_be_loaded_is_named_before_anything_is_graded(
    says: str, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "users_graders_broken.py").write_text("1 / 0")
    (tmp_path / "users_graders_fatal.py").write_text("import os; os._exit(3)")
    grader = Grader(name, num_workers=2, timeout_s=60)
    for _ in range(2):
        with pytest.raises(InvalidInput, match=why):
            await grader.grade(asked("yes"))
    await grader.close()


async def test_a_grader_that_cannot_be_started_again_fails_its_answers_only(says: str, tmp_path: Path) -> None:
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        module = tmp_path / "users_graders.py"
        module.write_text("1 / 0")
        assert await grader.grade(asked("exit", "yes")) == [None, None]
        module.write_text(GRADERS)
        assert await grader.grade(asked("yes")) == [True]
        assert grader.failures == {GradeFailure.DIED: 2}


async def test_a_flood_that_never_returns_costs_its_own_answers_only(says: str) -> None:
    async with Grader(says, num_workers=2, timeout_s=3) as grader:
        assert await grader.grade(asked(*["loop", "yes", "held", "no"] * 2)) == [None, True, None, False] * 2
        assert grader.failures == {GradeFailure.TIMED_OUT: 4}


@pytest.fixture
def no_more_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes this process's last file descriptors away when called, so that no pipe can be made: OSError."""
    monkeypatch.setattr("actors.grading.grader.SPAWN_RETRY_S", (0.05, 0.05))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def take() -> None:
        with Path(os.devnull).open() as lowest_free:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), before[1]))

    yield take
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_process_that_cannot_be_had_fails_its_answers_only(
    says: str, no_more_files: Callable[[], None]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    grader = Grader(says, num_workers=1, timeout_s=60)
    no_more_files()
    assert await grader.grade(asked("yes", None)) == [None, False], "the first one is never loaded"
    with pytest.raises(InvalidInput, match="cannot be loaded: no process for the grader"):
        await grader.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert await grader.grade(asked("yes", "exit")) == [True, None]
    no_more_files()
    assert await grader.grade(asked("yes")) == [None]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert await grader.grade(asked("yes")) == [True]
    assert grader.failures == {GradeFailure.COULD_NOT_START: 2, GradeFailure.DIED: 1}
    assert "Too many open files" in grader.first_errors[GradeFailure.COULD_NOT_START]
    await grader.close()


async def test_a_process_that_can_be_had_a_little_later_grades(says: str, no_more_files: Callable[[], None]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        assert await grader.grade(asked("exit")) == [None]
        no_more_files()
        waiting = asyncio.create_task(grader.grade(asked("yes")))
        await asyncio.sleep(0.02)  # it has failed once
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert await waiting == [True]


@pytest.mark.parametrize("name", ["math-verify", "exact", "numeric", "multiple-choice", "users_graders:says"])
async def test_an_empty_answer_is_wrong_and_one_without_a_key_is_not_graded(says: str, name: str) -> None:
    async with Grader(name, num_workers=1, timeout_s=60) as grader:
        assert await grader.grade(asked("", " \n", None, reference="2")) == [False] * 3
        assert await grader.grade(asked("", "2", None, reference=None)) == [None] * 3
        assert not grader.failures


async def test_a_closed_grader_refuses_to_grade(says: str) -> None:
    grader = Grader(says, num_workers=1, timeout_s=60)
    await grader.close()
    await grader.close()
    with pytest.raises(RuntimeError, match="closed"):
        await grader.grade(asked("yes"))


@pytest.mark.parametrize(("num_workers", "timeout_s"), [(0, 1.0), (1, 0.0)])
def test_senseless_settings_are_refused(num_workers: int, timeout_s: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Grader("exact", num_workers=num_workers, timeout_s=timeout_s)


MATH_VERIFY_CASES: list[tuple[str, str, bool | None]] = [
    ("18", "18", True),
    ("18.0", "18", True),
    (r"\frac{36}{2}", "18", True),
    ("18", r"so \boxed{18}", True),
    (r"\boxed{18}", "$18$", True),
    ("x = 18", "18", True),
    (r"\$9 \cdot 2", "18", True),
    ("17", "18", False),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", True),
    (r"(3, \pi/2)", r"\left( 3, \frac{\pi}{2} \right)", True),
    (r"[2,5)", r"(2,5)", False),
    ("Evelyn", r"\text{Evelyn}", True),
    ("Briana", r"\text{Evelyn}", False),
    ("1,234", "1234", True),
    (r"\frac{}{", "18", False),
    ("(" * some_of(300), "18", False),
    ("9" * 3000, "18", False),
    ("\ud800\0", "18", False),
    ("", "18", False),
    ("18", "", None),
]


async def test_math_verify() -> None:
    async with Grader("math-verify", num_workers=2, timeout_s=60) as grader:
        verdicts = await grader.grade([GradeRequest(answer, reference) for answer, reference, _ in MATH_VERIFY_CASES])
        many = range(some_of(200))
        requests = [GradeRequest(rf"\frac{{{n * 6}}}{{\sqrt{{4}}}}", str(n * 3 + (n % 4 == 0))) for n in many]
        assert await grader.grade(requests) == [n % 4 != 0 for n in many]
    graded = [(*case[:2], verdict) for case, verdict in zip(MATH_VERIFY_CASES, verdicts, strict=True)]
    assert graded == MATH_VERIFY_CASES


async def test_math_verify_survives_an_answer_that_cannot_be_computed() -> None:
    async with Grader("math-verify", num_workers=1, timeout_s=5) as grader:
        assert await grader.grade(asked("9^{9^{9^{9}}}", "(10^6)!", "2^{10^9}", "18", reference="18")) == [
            *(False, False, False, True)
        ]
        assert await grader.grade(asked("9^{9^{9^{9}}}", reference="9^{9^{9^9}}")) == [True], "as it is written"


async def test_two_answers_are_compared_once_by_the_same_rules() -> None:
    pairs = [("(x+1)^2", "x^2+2x+1"), ("x", "y"), ("18 eggs", "18"), (r"\foo{1}", "1"), ("(x+1)^2", "x^2+2x+1")]
    async with Grader("math-verify", num_workers=2, timeout_s=60) as grader:
        assert await grader.same(pairs) == [True, False, True, False, True]
        assert await grader.same([("9^{9^{9^{9}}}", "9^{9^{9^{9}}}+1")]) == [False], "what nobody can tell is different"
        assert await grader.same([]) == []


async def test_a_grader_of_the_users_own_compares_answers_too(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        assert await grader.same([("a", "a"), ("a", "b"), ("raise", "raise"), ("exit", "exit"), ("c", "c")]) == [
            *(True, False, False, False, True)
        ]
        assert grader.failures == {GradeFailure.RAISED: 1, GradeFailure.DIED: 1}


async def test_a_spare_process_takes_the_place_of_one_that_is_lost(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60) as grader:
        assert await grader.grade(asked("yes", "exit")) == [True, None]
        spare = grader._spare
        assert spare is not None
        process = (await asyncio.shield(spare))._process
        assert await grader.grade(asked("yes")) == [True]
        worker = grader._slots.get_nowait()
        grader._slots.put_nowait(worker)
        assert worker is not None
        assert worker._process is process


async def test_a_warm_spare_is_there_before_the_first_is_lost(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60, warm_spare=True) as grader:
        assert await grader.grade(asked("yes")) == [True]
        spare = grader._spare
        assert spare is not None
        process = (await asyncio.shield(spare))._process
        worker = grader._slots.get_nowait()
        grader._slots.put_nowait(worker)
        assert worker is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        assert await grader.grade(asked("yes")) == [None]
        assert grader._slots.get_nowait() is None
        grader._slots.put_nowait(None)
        assert await grader.grade(asked("yes")) == [True]
        worker = grader._slots.get_nowait()
        grader._slots.put_nowait(worker)
        assert worker is not None
        assert worker._process is process
    assert worker._process.returncode is not None


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("warm_spare", [True, False])
def test_a_worker_that_ends_while_it_is_idle_costs_no_verdict(says: str, loop: Any, warm_spare: bool) -> None:
    """On both kinds of loop: Ray's actors run on uvloop, whose closed pipes fail otherwise."""

    async def killed_between() -> None:
        async with Grader(says, num_workers=1, timeout_s=60, warm_spare=warm_spare) as grader:
            assert await grader.grade(asked("yes")) == [True]
            worker = grader._slots.get_nowait()
            grader._slots.put_nowait(worker)
            assert worker is not None
            os.kill(worker._process.pid, signal.SIGKILL)
            while not worker.gone:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            assert await grader.grade(asked("yes", "no")) == [True, False]
            assert grader.failures == {}
            os.kill(_only(grader)._process.pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
            with pytest.raises(Lost, match="ended with status -9"):  # whoever asks all the same hears what it is
                await _only(grader).ask({"answer": "yes", "reference": "yes"}, 5)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(killed_between())


def _only(grader: Grader) -> Worker:
    worker = grader._slots.get_nowait()
    grader._slots.put_nowait(worker)
    assert worker is not None
    return worker


async def test_a_spare_that_is_still_importing_is_not_waited_for_at_the_end(says: str) -> None:
    async with Grader(says, num_workers=1, timeout_s=60, warm_spare=True) as grader:
        assert await grader.grade(asked("yes")) == [True]
        spare = grader._spare
        assert spare is not None
        assert not spare.done()
    assert spare.cancelled()


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}", True),
        (r"\sum_{k=1}^{n} k", r"\frac{n(n-1)}{2}", False),
        (r"\int_0^1 x^2 dx", "1/3", True),
        (r"\int_0^1 x^2 dx", "1/2", False),
    ],
)
def test_sums_and_integrals_are_for_the_computer_algebra_system(answer: str, reference: str, verdict: bool) -> None:
    is_right, is_same = load_compare("math-verify")
    assert is_right(answer, reference) is verdict
    assert is_same(reference, answer) is verdict


async def test_exact_and_numeric() -> None:
    async with Grader("exact", num_workers=1, timeout_s=60) as grader:
        requests = [*asked("0.5", "18 apples", reference="1/2"), GradeRequest("18", "$")]
        assert await grader.grade(requests) == [True, False, None]
    async with Grader("numeric", num_workers=1, timeout_s=60) as grader:
        requests = [*asked("18 apples", "many", reference="18"), GradeRequest("18", "many")]
        assert await grader.grade(requests) == [True, False, None]


async def test_multiple_choice() -> None:
    async with Grader("multiple-choice", num_workers=1, timeout_s=60) as grader:
        answers = asked("(B)", "b", r"\boxed{\text{B}}", "B. 18", "C", "B or C", "18", reference="B")
        assert await grader.grade(answers) == [True] * 4 + [False] * 3
        assert await grader.grade([GradeRequest("B", "(b)"), GradeRequest("B", "18")]) == [True, None]
        assert "names no letter" in grader.first_errors[GradeFailure.RAISED]


@settings(max_examples=5, deadline=None)
@given(answers=st.lists(st.sampled_from(["right", "wrong", "raise", "exit", None, "unkeyed"]), max_size=12))
def test_as_many_verdicts_as_requests_whatever_happens(
    answers: list[str | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("graders")
    (folder / "any_grader.py").write_text(GRADERS)
    expected = {"right": True, "wrong": False, None: False}
    requests = [GradeRequest(answer, None if answer == "unkeyed" else "right") for answer in answers]

    async def grade() -> list[bool | None]:
        async with Grader("any_grader:says", num_workers=2, timeout_s=60) as grader:
            return await grader.grade(requests)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        assert asyncio.run(grade()) == [expected.get(answer) for answer in answers]


@pytest.mark.skipif(sys.platform != "linux", reason="a stuck worker outlives a killed parent elsewhere")
@pytest.mark.parametrize("busy", ["while True: pass", "return True"], ids=["stuck", "idle"])
def test_workers_end_when_the_parent_is_killed(tmp_path: Path, busy: str) -> None:
    (tmp_path / "orphaned.py").write_text(
        f"import os, sys\ndef grade(answer, reference):\n    print(os.getpid(), flush=True)\n    {busy}\n"
    )
    parent = """
        import asyncio
        from actors.grading.grader import Grader, GradeRequest

        async def main():
            grader = Grader("orphaned:grade", num_workers=1, timeout_s=600)
            await grader.grade([GradeRequest("a", "b")])
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path), str(Path.cwd())])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent)], stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stderr is not None
        worker = os.pidfd_open(int(process.stderr.readline()))
        process.send_signal(signal.SIGKILL)
        ended, _, _ = select.select([worker], [], [], 60)
        os.close(worker)
    assert ended == [worker]
