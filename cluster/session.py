"""The Ray session of a driver: join a cluster or start a local one, and leave it clean.

A local cluster ends with the driver, whatever that dies of (`cluster.reaper`), and listens on loopback only
(docs/security.md). Every session asks for token authentication, unless the environment's `RAY_AUTH_MODE` says
otherwise. It is always set explicitly: Ray's own default depends on what earlier programs left in the user's home. A
local cluster gets a token of its own, for its lifetime.
"""

import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from cluster.reaper import Reaper
from records.failure import ClusterFailed, HeadLost

_log = logging.getLogger(__name__)

_MANY_NODES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, Ray takes 127.0.0.1 for its node's address on any system, and what it starts listens there only."""
LOCAL_OBJECT_STORE_BYTES = 256 * 2**20
"""Results travel inline; a local cluster needs the object store for little more than actor arguments."""

LONG_START_S = 120.0
"""Time that a local cluster has on its second try."""


@contextmanager
def connect(
    address: str | None,
    *,
    num_cpus: int | None = None,
    min_cpus: int = 0,
    resources: Mapping[str, int] | None = None,
) -> Iterator[None]:
    """Be in a Ray session.

    Args:
        address: of a cluster; None joins the one that `RAY_ADDRESS` names (so inside a Ray job), else starts a local
            one.
        num_cpus: CPU slots of a local cluster; None takes the machine's.
        min_cpus: slots that it has at least, even if the machine has fewer.
        resources: custom resources that it has, so that a recipe for a cluster's nodes runs on one machine too.

    Raises:
        ClusterFailed: the cluster cannot be reached, or a local one does not come up.
    """
    local, address = is_local(address), address or os.environ.get("RAY_ADDRESS")
    prepare_environment(local=local)
    if local and "ray" not in sys.modules:
        os.environ.setdefault(_MANY_NODES, "0")
    import ray  # noqa: PLC0415 - Ray reads its environment when it is imported

    with ExitStack() as ending:
        if address:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
            except ConnectionError as error:
                raise ClusterFailed(f"the Ray cluster at {address} cannot be reached: {_line(error)}") from error
            except ray.exceptions.AuthenticationError as error:
                raise ClusterFailed(
                    f"the Ray cluster at {address} wants a token, or is taken to want one, and none is here: set "
                    "RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN, or RAY_AUTH_MODE=disabled for a cluster without tokens"
                ) from error
        else:
            num_slots = max(num_cpus or os.cpu_count() or 1, min_cpus)
            ending.callback(_started_locally(num_slots, dict(resources or {})).close)
        ending.push(_leave)
        yield


def _started_locally(num_cpus: int, resources: dict[str, int]) -> Reaper:
    """Start a local cluster, once more with a longer wait where it does not come up; what ends what it leaves behind.

    Raises:
        ClusterFailed: it does not come up.
    """
    import ray  # noqa: PLC0415

    for wait_s in (None, LONG_START_S):
        reaper = Reaper()
        try:
            with _patience(wait_s):
                ray.init(
                    address="local",
                    num_cpus=num_cpus,
                    resources=resources,
                    include_dashboard=False,
                    object_store_memory=LOCAL_OBJECT_STORE_BYTES,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                )
        except BaseException as error:
            ray.shutdown()
            reaper.close()
            if not isinstance(error, Exception):  # Ctrl-C; Ray itself raises bare ones
                raise
            if wait_s is not None:
                raise ClusterFailed(_not_started(error)) from error
            _log.warning("%s; once more, with %.0f s to come up", _not_started(error), LONG_START_S)
        else:
            break
    return reaper


def _not_started(error: Exception) -> str:
    load = f", with a load of {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    return f"a local Ray did not start{load}: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def _patience(wait_s: float | None) -> Iterator[None]:
    """Let a local node have so long to come up; None: as Ray has it, 30 s that no setting changes.

    Ray looks for its node until these are over, and asks `get_node` at each look; this one looks again by itself.
    """
    if wait_s is None:
        yield
        return
    from ray._private import services  # noqa: PLC0415

    asked = services.get_node
    deadline_s = time.monotonic() + wait_s

    def patient(*arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return asked(*arguments, **named)
            except RuntimeError:  # not there yet
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(0.2)

    services.get_node = patient
    try:
        yield
    finally:
        services.get_node = asked


def _leave(_kind: object, error: BaseException | None, _trace: object) -> None:
    """Leave a cluster; one whose head is lost would wait for our farewell until Ray ends the process."""
    import ray  # noqa: PLC0415 - as above

    if not isinstance(error, HeadLost):
        ray.shutdown()


def bounded(do: Callable[[], object], limit_s: float) -> bool:
    """Do something that may never end; whether it has ended within the limit. What it raises is raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - raised below
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if raised:
        raise raised[0]
    return not thread.is_alive()


def is_local(address: str | None) -> bool:
    """Whether `connect` with this address starts a cluster of its own, of one node."""
    return not (address or os.environ.get("RAY_ADDRESS"))


def prepare_environment(*, local: bool) -> None:
    """Set what Ray reads when it is imported; what the user has set stays. Too late for a Ray that is imported."""
    # Actors that ask for no GPU (writer, controller) see none, not all.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if "RAY_AUTH_MODE" in os.environ or "ray" in sys.modules:
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    if local and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
