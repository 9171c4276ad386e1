"""Before any test module imports Ray: authentication as a driver has it. Object stores, one each for the session."""

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from cluster.session import prepare_environment
from tests.services.debian import CannotStart
from tests.services.proxy import Proxy
from tests.services.radosgw import REQUIRED, RadosGateway
from tests.services.servers import Bucket, ProcessServer, Server, moto, nanio
from tests.support.drivers import Driver
from tests.support.tiers import Tier, some_of

prepare_environment(local=True)

LONGEST = (
    "test_joining_nodes.py",
    "test_walk_through.py",
    "test_ray_jobs.py",
    "test_on_vllm.py",
    "test_own_prompts.py",
)
"""Files that begin first: workers take whole files, and the last to begin is the last to end."""
STORES = {"moto_server", "nanio_server", "radosgw", "moto"}
"""Fixtures, and parameters, that start an object store: a test that asks for one is marked `s3`."""


def pytest_configure(config: pytest.Config) -> None:
    """How much is looked at, before a test module is read.

    The machines that tests run on pause now and then; a deadline per example would call that a failure. A change lands
    or not for what is in it: the examples are then the same each time. Everywhere else each run looks at others.
    """
    Tier.thorough = "not long" not in config.option.markexpr
    hypothesis.settings.register_profile(
        "patient",
        deadline=None,
        print_blob=True,
        max_examples=some_of(100),
        derandomize="PARSIMONY_SAME_EXAMPLES" in os.environ,
    )
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = tuple(item.callspec.params.values()) if hasattr(item, "callspec") else ()
        if not STORES.isdisjoint([*getattr(item, "fixturenames", ()), *map(str, parameters)]):
            item.add_marker(pytest.mark.s3)
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
        if "moto" in map(str, parameters) and _has_radosgw() and item.path.name != "test_s3.py":
            item.add_marker(pytest.mark.long)

    items.sort(key=lambda item: item.path.name not in LONGEST)


def _has_radosgw() -> bool:
    """Whether a real store is to be had here: what it is asked, an imitation is asked in `make test-all` only."""
    return os.geteuid() == 0 or shutil.which("radosgw") is not None


def pytest_collection_finish() -> None:
    """Keep what is there by now out of the collector's way: each full collection would walk all of it once more."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    """Where a test puts the drivers that it starts: what is left of them is ended after it."""
    made: list[Driver] = []
    yield made
    for driver in made:
        driver.kill()


@pytest.fixture(scope="session")
def radosgw() -> Iterator[RadosGateway]:
    """A real object store that can be killed: `kill_gateway()`, `start_gateway()`. For tests marked `s3`."""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(RadosGateway())
        except CannotStart as why:
            if os.environ.get(REQUIRED):
                raise
            pytest.skip(f"no radosgw: {why}")
        yield store


@pytest.fixture(scope="session")
def moto_server() -> Iterator[ProcessServer]:
    """An imitation of S3 that knows all conditions."""
    with moto().running() as server:
        yield server


@pytest.fixture(scope="session")
def nanio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """A server that ignores conditions."""
    with nanio(tmp_path_factory.mktemp("nanio")).running() as server:
        yield server


@pytest.fixture
def moto_bucket(moto_server: ProcessServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A place of the test's own on moto; the environment leads there."""
    yield from _bucket(moto_server, monkeypatch)


@pytest.fixture
def radosgw_bucket(radosgw: RadosGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A place of the test's own on radosgw; the environment leads there."""
    yield from _bucket(radosgw, monkeypatch)


@pytest.fixture
def nanio_bucket(nanio_server: ProcessServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A place of the test's own on nanio; the environment leads there."""
    yield from _bucket(nanio_server, monkeypatch)


@pytest.fixture(params=["moto", "radosgw"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A place of the test's own on each store that takes conditions."""
    chosen: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return chosen


def _bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Proxy(server.endpoint_url).running() as proxy:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        chosen = Bucket(server, proxy)
        for name, value in chosen.environment.items():
            monkeypatch.setenv(name, value)
        yield chosen
