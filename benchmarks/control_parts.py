"""The pure half of the controller taken apart: scheduler, search, strategy and locality, each timed by itself.

One run of the scheduler is recorded: what engines answered, what strategies were sent, what was asked of localities.
Each part is then played alone on that, so that no clock is read inside of what is timed.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.instant_engines import BATCH, SLOTS, sample, score
from records.calls import SampleCall, Sampled, Sampling, ScoreCall, Scored
from records.path import Path
from records.problem import Problem
from records.request import Reply
from scaling.budget.ledger import Ledger
from scaling.budget.metering import Meter
from scaling.scheduler.scheduler import Scheduler
from scaling.search.locality import Locality
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import SampleTask, ScoreTask, Task
from scaling.strategy import Request, Strategy, StrategyFactory

WRITES = ("sampled", "scored")
READS = ("generator", "prm")


@dataclass
class Recorded:
    """What was said in one run: answers by call, replies by problem, and what each locality was told, in order."""

    answers: dict[str, Sampled | Scored] = field(default_factory=dict)
    replies: list[tuple[Path, list[Reply | None]]] = field(default_factory=list)
    roots: dict[int, Path] = field(default_factory=dict)
    told: list[tuple[int, str, tuple[Any, ...]]] = field(default_factory=list)


def parts_of_scheduler(
    strategy: StrategyFactory, problems: Sequence[Problem], num_generators: int
) -> tuple[dict[str, float], int]:
    """Seconds of each part without those inside it, and the number of samples."""
    recorded = Recorded()
    with _listening(recorded):
        _run(_scheduler(_written_down(strategy, recorded), num_generators), problems, num_generators, recorded.answers)
    took_s = _timed(lambda: _run(_scheduler(strategy, num_generators), problems, num_generators, recorded.answers))
    search_s = _timed(lambda: _play_searches(strategy, problems, recorded.answers))
    strategy_s = _timed(lambda: _play_strategies(strategy, recorded))
    writes_s = _timed(lambda: _play_localities(recorded, WRITES))
    locality_s = _timed(lambda: _play_localities(recorded, (*WRITES, *READS)))
    parts = {
        "scheduler": took_s - search_s - (locality_s - writes_s),
        "search": search_s - strategy_s - writes_s,
        "strategy": strategy_s,
        "locality": locality_s,
    }
    return parts, sum(isinstance(answer, Sampled) for answer in recorded.answers.values())


def _timed(function: Callable[[], object]) -> float:
    """Processor time, the least of three: other work on the machine makes it more, never less."""
    took_s = []
    for _ in range(3):
        gc.collect()
        begun_s = time.process_time()
        function()
        took_s.append(time.process_time() - begun_s)
    return min(took_s)


@contextmanager
def _listening(recorded: Recorded) -> Iterator[None]:
    """Localities write down what they are told."""
    original = {name: getattr(Locality, name) for name in ("__init__", *WRITES, *READS)}

    def begin(self: Locality, root: Path, *, thoughts: bool = True) -> None:
        original["__init__"](self, root, thoughts=thoughts)
        recorded.roots[id(self)] = root
        keep.append(self)

    def listening(name: str) -> Callable[..., Any]:
        def method(self: Locality, *args: Any) -> Any:
            recorded.told.append((id(self), name, args))
            return original[name](self, *args)

        return method

    keep: list[Locality] = []  # an id is another's once its owner is gone
    try:
        for name in (*WRITES, *READS):
            setattr(Locality, name, listening(name))
        Locality.__init__ = begin  # type: ignore[method-assign]
        yield
    finally:
        for name, method in original.items():
            setattr(Locality, name, method)


def _written_down(strategy: StrategyFactory, recorded: Recorded) -> StrategyFactory:
    """The strategy, with what it is sent written down."""

    def begin(root: Path) -> Strategy:
        sent: list[Reply | None] = []
        recorded.replies.append((root, sent))
        inner, reply = strategy(root), None
        while True:
            sent.append(reply)
            try:
                request: Request = next(inner) if reply is None else inner.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = yield request

    return begin


def _scheduler(strategy: StrategyFactory, num_generators: int) -> Scheduler:
    """One with its replicas up and a meter, as in a run."""
    names = [f"generator-{number}" for number in range(num_generators)]
    meter = Meter(dict.fromkeys(names, "generator") | {"prm-0": "prm"}, num_problems=1)  # type: ignore[arg-type]
    sampling = Sampling(0.7)
    made = Scheduler(strategy=strategy, run_seed=7, sampling=sampling, ledger=Ledger(), on_flight=meter.change)
    for name in names:
        made.generator_up(name, SLOTS)
    made.prm_up("prm-0", SLOTS)
    return made


def _run(
    scheduler: Scheduler, problems: Sequence[Problem], num_generators: int, answers: dict[str, Sampled | Scored]
) -> None:
    """All problems to their end; every replica answers some of its calls in its turn, as it did before."""
    calls: dict[str, deque[Any]] = {f"generator-{number}": deque() for number in range(num_generators)}
    calls["prm-0"] = deque()
    waiting = deque(enumerate(problems))
    while waiting or scheduler.num_open:
        while waiting and scheduler.wants_more_problems:
            order, problem = waiting.popleft()
            scheduler.open(problem, order=order, now_s=0.0)
            _pump(scheduler, calls)
        for name, of_replica in calls.items():
            if of_replica:
                some = [of_replica.popleft() for _ in range(min(BATCH, len(of_replica)))]
                results: list[Any] = [answers.get(call.key) or _answer(call, answers) for call in some]
                take = scheduler.prm_results if name == "prm-0" else scheduler.generator_results
                take(name, results, now_s=0.0)
                _pump(scheduler, calls)


def _answer(call: SampleCall | ScoreCall, answers: dict[str, Sampled | Scored]) -> Sampled | Scored:
    answers[call.key] = sample(call) if isinstance(call, SampleCall) else score(call)
    return answers[call.key]


def _pump(scheduler: Scheduler, calls: dict[str, deque[Any]]) -> None:
    outgoing = scheduler.pump(now_s=0.0)
    for by_replica in (outgoing.samples, outgoing.scores):
        for name, some in by_replica.items():
            calls[name].extend(some)
    scheduler.take_concluded()


def _play_searches(
    strategy: StrategyFactory, problems: Sequence[Problem], answers: dict[str, Sampled | Scored]
) -> None:
    for problem in problems:
        search = ProblemSearch(problem, strategy, run_seed=7)
        tasks: deque[Task] = deque(search.begin())
        while tasks:
            task = tasks.popleft()
            result = answers[f"{task.key}~1"] if isinstance(task, SampleTask | ScoreTask) else None
            if isinstance(task, SampleTask) and isinstance(result, Sampled):
                tasks.extend(search.sampled(task, result, granted_tokens=task.max_tokens, replica="generator-0"))
            elif isinstance(task, ScoreTask) and isinstance(result, Scored):
                tasks.extend(search.scored(task, result, replica="prm-0"))
            else:
                raise TypeError(f"nothing was recorded for {task}")


def _play_strategies(strategy: StrategyFactory, recorded: Recorded) -> None:
    for root, replies in recorded.replies:
        playing = strategy(root)
        next(playing)
        for reply in replies[1:]:
            if reply is not None:
                try:
                    playing.send(reply)
                except StopIteration:
                    break


def _play_localities(recorded: Recorded, names: Sequence[str]) -> None:
    localities = {number: Locality(root) for number, root in recorded.roots.items()}
    for number, name, args in recorded.told:
        if name in names:
            getattr(localities[number], name)(*args)
