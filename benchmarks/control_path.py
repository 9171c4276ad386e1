"""What the controller's process and the writer spend on one scored step: a sample of one step and its PRM score.

    python -m benchmarks.control_path --problems 200

Replicas answer at once (`benchmarks.instant_engines`), so what remains is the work of the controller and the writer:
the real controller, scheduler, recorder and writer in one process, processor time throughout. Prints JSON: for each
workload and number of generators the microseconds of each part, the lowest of several rounds.

    scheduler, search, strategy, locality   each by itself, on the calls of the same run; what contains it, without it
    recorder       rows of problems and batches of rows for the writer
    serialisation  of those batches, in the controller's process: columns, pickle
    loop           what is left of the controller: asyncio, lines to the replicas, metrics
    receiving      of those batches, in the writer's process
    writer         buffer, Arrow, Parquet, commit
"""

import argparse
import asyncio
import gc
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ray import cloudpickle

from actors.controller import recorder as recorder_module
from actors.controller.controller import Controller
from actors.controller.recorder import Recorder
from actors.controller.settings import FlushPolicy, RunSettings, RunSoFar
from actors.grading.grader import GradeRequest
from actors.grading.process import GradeFailure
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from benchmarks.control_parts import parts_of_scheduler
from benchmarks.instant_engines import InstantReplica, sample, score
from cluster.store import LocalStore
from records.calls import SampleCall, SampleResult, Sampling, ScoreCall, ScoreResult
from records.metrics import Reading
from records.problem import Problem
from records.progress import Progress
from records.run_folder.manifest import Manifest
from records.schemas import SCHEMA_VERSION
from records.usage import Usage
from scaling.strategies.beam_search import beam_search
from scaling.strategies.majority import majority
from scaling.strategy import SearchLimits, StrategyFactory

LIMITS = SearchLimits(max_tokens=4096, max_step_tokens=64)
STRATEGIES: dict[str, StrategyFactory] = {
    "beam search": partial(beam_search, limits=LIMITS, num_samples=16, beam_width=4, max_steps=10),
    "majority": partial(majority, limits=LIMITS, num_samples=16),
}
SETTINGS = RunSettings(
    replica_epoch=1,
    run_seed=7,
    strategy_name="benchmark",
    sampling=Sampling(0.7),
    total_tokens=None,
    deadline_s=None,
    flush=FlushPolicy(num_problems=64, interval_s=10.0),
)


class Spent:
    """Processor time by part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time counted."""

        def call(*args: Any, **kwargs: Any) -> Any:
            begun_s = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.process_time() - begun_s

        return call


class TravellingWriter:
    """The writer behind what travels to it: rows are serialised and received as between processes."""

    def __init__(self, writer: Writer, spent: Spent) -> None:
        self.writer, self._spent = writer, spent

    async def append(self, batch: int, *rows: Any) -> None:
        """See `RunWriter`."""
        buffers: list[Any] = []
        dumps = self._spent.timed("serialisation", cloudpickle.dumps)
        data = dumps((batch, *rows), protocol=5, buffer_callback=buffers.append)
        received = self._spent.timed("receiving", cloudpickle.loads)(data, buffers=buffers)
        self._spent.timed("writer", self.writer.append)(*received)

    async def flush(self, leased_tokens: int | None, usage: Usage | None) -> None:
        """See `RunWriter`."""
        self._spent.timed("writer", self.writer.flush)(leased_tokens, usage)

    async def heartbeat(self, progress: Mapping[str, object], usage: Usage) -> None:
        """See `RunWriter`."""
        self._spent.timed("writer", self.writer.heartbeat)(progress, usage)


class NoGrader:
    """Compares texts."""

    failures: Mapping[GradeFailure, int] = {}
    first_errors: Mapping[GradeFailure, str] = {}

    async def grade(self, requests: Sequence[GradeRequest]) -> list[bool | None]:
        """See `AnswerGrader`."""
        return [request.answer == request.reference for request in requests]

    async def same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """See `AnswerGrader`."""
        return [left == right for left, right in pairs]


class NoMetrics:
    """Reads what is exported and forgets it."""

    def export(self, readings: Iterable[Reading]) -> None:
        """See `MetricsExporter`."""
        for _ in readings:
            pass


def problems(count: int) -> list[Problem]:
    """Numbered problems."""
    return [Problem(f"problem-{number}", f"What is {number} times {number}?", "3") for number in range(count)]


def whole_run(strategy: StrategyFactory, count: int, num_generators: int, folder: Path) -> dict[str, float]:
    """Seconds of one run by part; `controller` is all of the controller's process."""
    spent = Spent()
    writer = Writer(LocalStore(folder / "run"), folder / "spool")
    state = writer.open(_manifest(count), this_process())
    generators = [
        InstantReplica[SampleCall, SampleResult](f"generator-{number}", sample) for number in range(num_generators)
    ]
    prms = [InstantReplica[ScoreCall, ScoreResult]("prm-0", score)]
    so_far = RunSoFar(
        visible=nothing_yet(count), spent_tokens=0, leased_tokens=0, next_batch=state.next_batch, num_left=count,
        num_owed=count, journals=dict,
    )  # fmt: skip
    made = Controller(
        problems=problems(count), strategy=strategy, settings=SETTINGS, so_far=so_far, generators=generators, prms=prms,
        writer=TravellingWriter(writer, spent), grader=NoGrader(), metrics=NoMetrics(),
    )  # fmt: skip
    with _timed_parts(spent):
        begun_s = time.process_time()
        asyncio.run(_run(made))
        total_s = time.process_time() - begun_s
    writer.release(made.charged_tokens())
    engines_s = sum(one.spent_s for one in generators) + sum(one.spent_s for one in prms)
    elsewhere_s = spent.seconds["writer"] + spent.seconds["receiving"]
    return {**spent.seconds, "controller": total_s - engines_s - elsewhere_s}


@contextmanager
def _timed_parts(spent: Spent) -> Iterator[None]:
    """Count the time of what the recorder does for a whole problem or batch at once."""
    parts: list[tuple[Any, str, str]] = [
        (recorder_module, "problem_record", "recorder"),
        (Recorder, "_unwritten", "recorder"),
        (Recorder, "_closed", "recorder"),
        (recorder_module, "row_slices", "serialisation"),
        (recorder_module, "packed", "serialisation"),
    ]
    originals = [getattr(owner, name) for owner, name, _ in parts]
    try:
        for (owner, name, part), original in zip(parts, originals, strict=True):
            setattr(owner, name, spent.timed(part, original))
        yield
    finally:
        for (owner, name, _), original in zip(parts, originals, strict=True):
            setattr(owner, name, original)


async def _run(made: Controller) -> None:
    if not await made.run():
        raise RuntimeError("the run did not come to its end")


def measured(name: str, count: int, num_generators: int, rounds: int) -> dict[str, float]:
    """Microseconds per sample by part, the lowest of `rounds`."""
    strategy, found = STRATEGIES[name], defaultdict[str, list[float]](list)
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp())
        try:
            seconds = whole_run(strategy, count, num_generators, folder)
        finally:
            shutil.rmtree(folder)
        gc.collect()
        parts, num_samples = parts_of_scheduler(strategy, problems(count), num_generators)
        for part, took_s in (seconds | parts).items():
            found[part].append(took_s / num_samples * 1e6)
    lowest = {part: min(values) for part, values in found.items()}
    inside = ("scheduler", "search", "strategy", "locality", "recorder", "serialisation")
    lowest["loop"] = lowest["controller"] - sum(lowest[part] for part in inside)
    lowest["writer's process"] = lowest["writer"] + lowest["receiving"]
    order = (*inside, "loop", "controller", "receiving", "writer", "writer's process")
    return {part: round(lowest[part], 1) for part in order}


def _manifest(count: int) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION, created_at="2026-01-01T00:00:00.000+00:00", recipe={}, versions={},
        git_revision=None, models={}, seed=7, input_fingerprint="", num_problems=count,
    )  # fmt: skip


def nothing_yet(count: int) -> Progress:
    """Where a run of so many problems stands before anything is done."""
    return Progress(
        phase="starting", total_problems=count, done_problems=0, failed_problems=0, exhausted_problems=0,
        finished_samples=0, unanswered_samples=0, graded=0, correct=0, open_problems=0, generated_tokens=0,
        prompt_tokens=0, cached_tokens=0, prm_tokens=0, total_tokens_cap=None, total_usd_cap=None, elapsed_s=0.0,
        replicas_ready=0, replicas_wanted=1, replicas_lost=0,
    )  # fmt: skip


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=200, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="the lowest of so many counts")
    parser.add_argument("--generators", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--workload", choices=list(STRATEGIES), nargs="+", default=list(STRATEGIES))
    options = parser.parse_args()
    found = {
        name: {number: measured(name, options.problems, number, options.rounds) for number in options.generators}
        for name in options.workload
    }
    json.dump({"microseconds_per_sample": found}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
