"""Replicas to test against: scripted engines, and (mark `vllm`) one real engine of each role for the whole session."""

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import pytest
import pytest_asyncio

from actors.replicas.generator import Generator
from actors.replicas.mailbox import Keyed
from actors.replicas.prm import Prm
from records.calls import SampleCall, SampleResult, ScoreCall, ScoreResult
from records.replica import Replica, ReplicaInfo
from tests.support.fakes import GENERATOR_SETTINGS, PRM_SETTINGS

EXAMPLE = Path(__file__).parents[2] / "examples" / "arithmetic"
REAL_GENERATOR = replace(
    GENERATOR_SETTINGS, model=str(EXAMPLE / "generator"), max_model_len=512, block_size=32, kv_cache_gib=0.25
)
REAL_PRM = replace(PRM_SETTINGS, model=str(EXAMPLE / "prm"), max_model_len=512, block_size=32, kv_cache_gib=0.25)

CallT = TypeVar("CallT", bound=Keyed)
ResultT = TypeVar("ResultT")


@dataclass
class Client(Generic[CallT, ResultT]):
    """The caller's side of the protocol; every `ask` is an epoch of its own."""

    replica: Replica[CallT, ResultT]
    info: ReplicaInfo
    real: bool
    _epochs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_epoch(self) -> int:
        """A number above all others."""
        return next(self._epochs)

    async def ask(self, calls: Sequence[CallT]) -> list[ResultT]:
        """The results of all calls, in the order of their keys as given."""
        epoch = self.new_epoch()
        await self.replica.submit(self.info.incarnation, epoch, calls)
        found: dict[str, ResultT] = {}
        acked = 0
        while len(found) < len(calls):
            collected = await self.replica.collect(self.info.incarnation, epoch, acked, 60.0)
            acked = collected.last
            found |= {result.key: result for result in collected.results}  # type: ignore[attr-defined]
        return [found[call.key] for call in calls]


GeneratorClient = Client[SampleCall, SampleResult]
PrmClient = Client[ScoreCall, ScoreResult]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def generator_on_scripted() -> GeneratorClient:
    """A generator of the scripted world."""
    replica = Generator(replace(GENERATOR_SETTINGS, kind="scripted"))
    return Client(replica, await replica.hello(), real=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def generator_on_vllm() -> AsyncIterator[GeneratorClient]:
    """The arithmetic example's generator on vLLM: one for the whole session, up when it is first asked for."""
    deaths: list[int] = []
    replica = Generator(REAL_GENERATOR, die=deaths.append)
    yield Client(replica, await replica.hello(), real=True)
    await replica.close()
    assert deaths == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def prm_on_scripted() -> PrmClient:
    """A PRM of the scripted world."""
    replica = Prm(replace(PRM_SETTINGS, kind="scripted"))
    return Client(replica, await replica.hello(), real=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def prm_on_vllm() -> AsyncIterator[PrmClient]:
    """The arithmetic example's PRM on vLLM."""
    deaths: list[int] = []
    replica = Prm(REAL_PRM, die=deaths.append)
    yield Client(replica, await replica.hello(), real=True)
    await replica.close()
    assert deaths == []


ENGINES = ["scripted", pytest.param("vllm", marks=pytest.mark.vllm)]


@pytest.fixture(params=ENGINES, scope="session")
def generator(request: pytest.FixtureRequest) -> GeneratorClient:
    """A generator, scripted and real."""
    client: GeneratorClient = request.getfixturevalue(f"generator_on_{request.param}")
    return client


@pytest.fixture(params=ENGINES, scope="session")
def prm(request: pytest.FixtureRequest) -> PrmClient:
    """A PRM, scripted and real."""
    client: PrmClient = request.getfixturevalue(f"prm_on_{request.param}")
    return client
