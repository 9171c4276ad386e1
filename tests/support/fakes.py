"""Replicas with the scripted engines of `actors.engines.scripted`, which die, hang, refuse and lose as they are told.

    generator = fake_generator()                   # a Generator; await generator.hello() as with any replica
    prm = fake_prm()
    clock = FakeClock()                            # no real time passes
    generator = fake_generator(faults=Faults(seconds_per_token=0.01, clock=clock))
    clock.advance(1.0)                             # everything that is due by then goes on
    gate = asyncio.Event()
    generator = fake_generator(faults=Faults(gate=gate, die_at=5, refuse_at={2}, lose_at={3}))
    generator = fake_generator(max_prefix_tokens=0)   # forgets every prefix at once: PrefixMissing for each short call

A dead fake raises `ReplicaDied` from every method, and `deaths(replica)` has the exit status; a restarted replica is a
new `fake_generator()`, with an incarnation of its own.
"""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tokenizers import Tokenizer

from actors.engines.protocol import EngineRefused, EngineSample, EngineScore, SampleRequest
from actors.engines.recall import Recall, unless_recalled
from actors.engines.scripted import tokens, world
from actors.engines.scripted.engines import ScriptedEngine, ScriptedGenerator, ScriptedPrm
from actors.engines.settings import GeneratorSettings, PrmSettings
from actors.engines.text import TextTokenizer
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from records.calls import SampleCall, SampleResult, ScoreCall, ScoreResult
from records.failure import ReplicaDied
from records.path import PrmScore
from records.replica import Replica

SEPARATOR = "\n\n"
BLOCK_SIZE = 16
"""Tokens of one block of the fakes' prefix caches."""

GENERATOR_SETTINGS = GeneratorSettings(
    model="fake-generator",
    dtype="float32",
    max_model_len=1024,
    max_num_seqs=64,
    max_num_batched_tokens=None,
    block_size=BLOCK_SIZE,
    kv_cache_gib=None,
    gpu_memory_utilization=0.9,
    enforce_eager=True,
    tensor_parallel_size=1,
    queue_limit=256,
    cpu_threads=1,
    prompt_template="{question}" + SEPARATOR,
    chat=False,
    system_prompt=None,
    separator=SEPARATOR,
    max_logprobs=20,
)
PRM_SETTINGS = PrmSettings(
    model="fake-prm",
    dtype="float32",
    max_model_len=1024,
    max_num_seqs=64,
    max_num_batched_tokens=None,
    block_size=BLOCK_SIZE,
    kv_cache_gib=None,
    gpu_memory_utilization=0.9,
    enforce_eager=True,
    tensor_parallel_size=1,
    queue_limit=256,
    cpu_threads=1,
    overlong="keep_tail",
    family="auto",
)


def byte_tokenizer() -> TextTokenizer:
    """Of the scripted engines, for the fakes' separator."""
    return tokens.byte_tokenizer(SEPARATOR)


def byte_backend() -> Tokenizer:
    """Likewise."""
    return tokens.byte_backend(SEPARATOR)


def true_score(question: str, solution: str) -> PrmScore:
    """What the fake PRM says of a solution so far, whose steps each end with one separator."""
    return world.true_score(question, solution, separator=SEPARATOR)


class FakeClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has passed the time."""
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now_s + seconds, next(self._count), due))
        await due

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever is due by then goes on when the loop next runs."""
        self.now_s += seconds
        while self._waiting and self._waiting[0][0] <= self.now_s:
            _, _, due = heapq.heappop(self._waiting)
            if not due.done():
                due.set_result(None)

    @property
    def next_due_s(self) -> float | None:
        """When the next waiter is due; None if nobody waits."""
        return self._waiting[0][0] if self._waiting else None


class Tap(asyncio.Event):
    """A gate that lets so many calls through, and no more."""

    def __init__(self, num_calls: int) -> None:
        super().__init__()
        self._left = num_calls

    async def wait(self) -> Literal[True]:
        self._left -= 1
        return True if self._left >= 0 else await super().wait()


@dataclass(slots=True)
class Faults:
    """What goes wrong, and how long things take. Calls are counted from 1 in the order in which they start.

    Attributes:
        gate: every call waits until it is set.
        seconds_per_token: of a call's generated (or scored) tokens, on `clock`.
        die_at: numbers of the call at which the engine dies, with all that it works on.
        refuse_at: calls that the engine refuses for good.
        lose_at: calls that fail and may be tried again.
    """

    gate: asyncio.Event | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    seconds_per_token: float = 0.0
    die_at: int | None = None
    refuse_at: frozenset[int] | set[int] = frozenset()
    lose_at: frozenset[int] | set[int] = frozenset()


class FaultyEngine(ScriptedEngine):
    """What both fakes add to the scripted engines: counting, faults, death, a clock of the test's own."""

    def __init__(self, settings: Any, faults: Faults | None = None) -> None:
        super().__init__(settings)
        self.name = settings.model
        self.faults = faults or Faults()
        self.num_calls = 0
        self.num_running = 0
        self.closed = False
        self._dead = asyncio.Event()

    def die(self) -> None:
        """Die now, with all that runs."""
        self._dead.set()

    async def watch(self) -> None:
        """Raise `ReplicaDied` when it has died."""
        await self._dead.wait()
        self._check_alive()

    async def close(self) -> None:
        """Nothing to end."""
        self.closed = True

    async def _begin(self) -> None:
        """Count the call, and fail as the faults say."""
        self.num_calls += 1
        number = self.num_calls
        if number == self.faults.die_at:
            self.die()
        if self.faults.gate is not None:
            await self._unless_dead(self.faults.gate.wait())
        self._check_alive()
        if number in self.faults.refuse_at:
            raise EngineRefused(f"call {number} is refused, as told", retryable=False)
        if number in self.faults.lose_at:
            raise EngineRefused(f"call {number} is lost, as told", retryable=True)

    async def _take_time(self, num_tokens: int, recall: Recall | None = None) -> tuple[float, float, int]:
        faults, begun_s = self.faults, self.faults.clock.now_s
        seconds = faults.seconds_per_token * num_tokens
        self.num_running += 1
        try:
            if recall is not None and recall.done():
                num_tokens = 0
            elif seconds > 0 and await unless_recalled(self._unless_dead(faults.clock.sleep(seconds)), recall) is None:
                num_tokens = min(num_tokens, round((faults.clock.now_s - begun_s) / faults.seconds_per_token))
        finally:
            self.num_running -= 1
        self.num_steps += 1
        self._check_alive()
        return 0.0, faults.seconds_per_token * num_tokens, num_tokens

    async def _unless_dead(self, waiting: Coroutine[None, None, object]) -> bool:
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(waiting), asyncio.create_task(self._dead.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return True

    def _check_alive(self) -> None:
        if self._dead.is_set():
            raise ReplicaDied(f"{self.name} died, as told")


class FakeGeneratorEngine(FaultyEngine, ScriptedGenerator):
    """A scripted generator with faults."""

    async def sample(self, request: SampleRequest, recall: Recall | None = None) -> EngineSample:
        """See `GeneratorEngine.sample`."""
        await unless_recalled(self._begin(), recall)
        return await super().sample(request, recall)


class FakePrmEngine(FaultyEngine, ScriptedPrm):
    """A scripted PRM with faults."""

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """See `PrmEngine.score`."""
        await self._begin()
        return await super().score(token_ids)


_deaths: dict[str, list[int]] = {}


def deaths(replica: Generator | Prm) -> list[int]:
    """Exit statuses with which the replica would have ended its process: [] while it lives."""
    return _deaths.setdefault(replica.incarnation, [])


def fake_generator(
    settings: GeneratorSettings = GENERATOR_SETTINGS,
    faults: Faults | None = None,
    max_prefix_tokens: int = 1_000_000,
    engine: type[FakeGeneratorEngine] = FakeGeneratorEngine,
) -> Generator:
    """A generator replica with a fake engine; its engine is `replica.engine` after `hello()`."""
    replica = Generator(
        settings,
        build_engine=lambda settings: engine(settings, faults),
        die=lambda status: deaths(replica).append(status),
        max_prefix_tokens=max_prefix_tokens,
    )
    return replica


def fake_prm(
    settings: PrmSettings = PRM_SETTINGS, faults: Faults | None = None, max_prefix_tokens: int = 1_000_000
) -> Prm:
    """A PRM replica with a fake engine. `hello()` scores an example, so two of its engine's calls are used by then."""
    replica = Prm(
        settings,
        build_engine=lambda settings: FakePrmEngine(settings, faults),
        die=lambda status: deaths(replica).append(status),
        max_prefix_tokens=max_prefix_tokens,
    )
    return replica


def _fits_the_protocol(generator: Generator, prm: Prm) -> None:
    """A replica that drifts from the protocol does not type-check."""
    _generator: Replica[SampleCall, SampleResult] = generator
    _prm: Replica[ScoreCall, ScoreResult] = prm
