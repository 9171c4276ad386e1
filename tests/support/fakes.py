r"""Fake engines, plugged into the same `Generator` and `Prm` as the real ones, and a world that they agree on.

The world: a question has a right answer, a number of steps and a difficulty, all hashed from its text. A sample goes
through the steps; in each it slips with the question's probability, by its seed, and says so ("Step 2 of 4: slip"). It
ends in the right `\boxed{answer}` if it never slipped, and in a wrong one otherwise. The PRM reads the slips.

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
import functools
import hashlib
import heapq
import itertools
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from actors.engines.formats import SeparatorFormat
from actors.engines.logprobs import TopLogprobs
from actors.engines.protocol import EngineFacts, EngineRefused, EngineSample, EngineScore, SampleRequest
from actors.engines.settings import GeneratorSettings, PrmSettings
from actors.engines.text import TextTokenizer
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from records.calls import SampleCall, SampleResult, ScoreCall, ScoreResult
from records.failure import ReplicaDied
from records.path import FinishReason, PrmScore
from records.replica import Replica
from records.request import Until

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


def draw(*name: str | int) -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def right_answer(question: str) -> int:
    """What a sample that never slips ends with."""
    return int(draw(question, "answer") * 1000)


def num_steps(question: str) -> int:
    """Steps before the final one."""
    return 2 + int(draw(question, "steps") * 4)


def slip_rate(question: str) -> float:
    """Probability that a step slips: hard questions slip often."""
    return 0.5 * draw(question, "difficulty")


def success_rate(question: str) -> float:
    """Probability that a sample of the question is right."""
    return (1 - slip_rate(question)) ** num_steps(question)


def byte_tokenizer() -> TextTokenizer:
    """All bytes, the separator as one token, and <bos>, <eos>."""
    return TextTokenizer(byte_backend())


@functools.cache
def byte_backend() -> Tokenizer:
    """The tokenizer that the fakes share."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<bos>", "<eos>")])
    backend.add_tokens([AddedToken(SEPARATOR, special=False, normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", backend.token_to_id("<bos>"))]
    )
    return backend


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


class FakeEngine:
    """What both fakes share: counting, faults, a prefix cache, death."""

    def __init__(self, name: str, faults: Faults) -> None:
        self.name = name
        self.faults = faults
        self.num_calls = 0
        self.num_running = 0
        self.num_steps = 0
        self.closed = False
        self._dead = asyncio.Event()
        self._blocks: set[int] = set()

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

    async def _take_time(self, num_tokens: int) -> float:
        seconds = self.faults.seconds_per_token * num_tokens
        self.num_running += 1
        try:
            if seconds > 0:
                await self._unless_dead(self.faults.clock.sleep(seconds))
        finally:
            self.num_running -= 1
        self.num_steps += 1
        self._check_alive()
        return seconds

    async def _unless_dead(self, waiting: Coroutine[None, None, object]) -> None:
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(waiting), asyncio.create_task(self._dead.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _check_alive(self) -> None:
        if self._dead.is_set():
            raise ReplicaDied(f"{self.name} died, as told")

    def _cached_tokens(self, token_ids: Sequence[int]) -> int:
        """Whole blocks of `token_ids` that an earlier call had; the last token is always computed."""
        chain, cached, unbroken = 0, 0, True
        for start in range(0, len(token_ids) - BLOCK_SIZE + 1, BLOCK_SIZE):
            chain = hash((chain, tuple(token_ids[start : start + BLOCK_SIZE])))
            unbroken = unbroken and chain in self._blocks and start + BLOCK_SIZE < len(token_ids)
            cached += BLOCK_SIZE * unbroken
            self._blocks.add(chain)
        return cached

    def _facts(self, max_model_len: int | None, dtype: str) -> EngineFacts:
        return EngineFacts(
            model_sha256=None,
            tokenizer_sha256=hashlib.sha256(byte_backend().to_str().encode()).hexdigest(),
            num_parameters=1_000_000,
            max_model_len=max_model_len or 1024,
            device="cpu",
            dtype=dtype,
        )


class FakeGeneratorEngine(FakeEngine):
    """Samples of the fake world. The same seed after the same prefix gives the same sample."""

    def __init__(self, settings: GeneratorSettings, faults: Faults | None = None) -> None:
        super().__init__(settings.model, faults or Faults())
        self.tokenizer = byte_tokenizer()
        self.facts = self._facts(settings.max_model_len, settings.dtype)
        self._prompt_head, self._prompt_tail = settings.prompt_template.split("{question}")
        self._eos = self.tokenizer.encode("<eos>", special=False)[0]

    async def sample(self, request: SampleRequest) -> EngineSample:
        """See `GeneratorEngine.sample`."""
        await self._begin()
        cached = self._cached_tokens(request.prompt_ids)
        token_ids, reason = self._draw(request)
        run_s = await self._take_time(len(token_ids))
        return EngineSample(
            token_ids=token_ids,
            logprobs=tuple(-0.25 for _ in token_ids),
            finish_reason=reason,
            cached_tokens=cached,
            queued_s=0.0,
            run_s=run_s,
            top=top_of(token_ids, request.top_logprobs) if request.top_logprobs else None,
        )

    def _draw(self, request: SampleRequest) -> tuple[tuple[int, ...], FinishReason]:
        text = self.tokenizer.decode(request.prompt_ids).removeprefix(self._prompt_head)
        question, _, solution = text.partition(self._prompt_tail)
        ids: list[int] = []
        while len(ids) < request.max_tokens:
            piece, final = next_piece(question, solution, request.seed)
            solution += piece
            ids += self.tokenizer.encode(piece, special=False)
            if final:
                ids.append(self._eos)
            if final or request.until is Until.STEP:
                break
        if len(ids) > request.max_tokens:
            return tuple(ids[: request.max_tokens]), FinishReason.LENGTH
        if ids[-1] == self._eos:
            return tuple(ids), FinishReason.EOS
        return tuple(ids), FinishReason.SEPARATOR if request.until is Until.STEP else FinishReason.LENGTH


def top_of(token_ids: Sequence[int], num_top: int) -> TopLogprobs:
    """The sampled token first, as likely as the samples say; then others, each half as likely as the one before."""
    ranks = np.arange(num_top)
    ids = (np.array(token_ids, dtype=np.int64)[:, None] + ranks) % len(byte_backend().get_vocab())
    rest = math.log(1 - math.exp(-0.25)) - ranks * math.log(2)
    logprobs = np.where(ranks == 0, -0.25, rest) * np.ones((len(token_ids), 1))
    return TopLogprobs(ids, logprobs)


def next_piece(question: str, solution: str, seed: int) -> tuple[str, bool]:
    """What follows `solution` up to the next separator, or to the end; and whether that is the end.

    A solution that was cut in the middle of a step is completed, whatever the seed would have said.
    """
    done = solution.count(SEPARATOR)
    begun = solution.rpartition(SEPARATOR)[2]
    if done < num_steps(question):
        slips = draw(seed, done) < slip_rate(question)
        head = f"Step {done + 1} of {num_steps(question)}: "
        variants = [head + word + SEPARATOR for word in (("slip", "fine") if slips else ("fine", "slip"))]
    else:
        wrong = right_answer(question) + 1 + int(draw(seed, "wrong") * 3)
        answer = wrong if "slip" in solution else right_answer(question)
        variants = [f"The answer is \\boxed{{{answer}}}."]
    chosen = next((each for each in variants if each.startswith(begun)), begun + variants[0])
    return chosen[len(begun) :], done >= num_steps(question)


class FakePrmEngine(FakeEngine):
    """Reads the slips of the fake world: an honest PRM, unsure at first and surer with every step."""

    def __init__(self, settings: PrmSettings, faults: Faults | None = None) -> None:
        super().__init__(settings.model, faults or Faults())
        self._tokenizer = byte_tokenizer()
        self.format = SeparatorFormat(self._tokenizer, SEPARATOR)
        self.facts = replace(self._facts(settings.max_model_len, settings.dtype), details={"separator": SEPARATOR})

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """See `PrmEngine.score`."""
        await self._begin()
        cached = self._cached_tokens(token_ids)
        run_s = await self._take_time(len(token_ids) - cached)
        question, _, solution = self._tokenizer.decode(token_ids).partition(SEPARATOR)
        return EngineScore(score=true_score(question, solution), cached_tokens=cached, queued_s=0.0, run_s=run_s)


def true_score(question: str, solution: str) -> PrmScore:
    """What the fake PRM says of a solution so far, whose steps each end with one separator."""
    done = solution.count(SEPARATOR)
    left = max(0, num_steps(question) - done)
    p = 0.02 if "slip" in solution else (1 - slip_rate(question)) ** left
    margin = 0.2 * left / num_steps(question)
    return PrmScore(lower=max(0.0, p - margin), median=p, upper=min(1.0, p + margin))


_deaths: dict[str, list[int]] = {}


def deaths(replica: Generator | Prm) -> list[int]:
    """Exit statuses with which the replica would have ended its process: [] while it lives."""
    return _deaths.setdefault(replica.incarnation, [])


def fake_generator(
    settings: GeneratorSettings = GENERATOR_SETTINGS, faults: Faults | None = None, max_prefix_tokens: int = 1_000_000
) -> Generator:
    """A generator replica with a fake engine; its engine is `replica.engine` after `hello()`."""
    replica = Generator(
        settings,
        build_engine=lambda settings: FakeGeneratorEngine(settings, faults),
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
