"""The Ray session of a driver: join a cluster or start a local one, and leave it clean.

A local cluster ends with the driver, whatever that dies of (`cluster.reaper`). Ray's ports are open to the network even
then, so every session asks for token authentication, unless the environment's `RAY_AUTH_MODE` says otherwise. It is
always set explicitly: Ray's own default depends on what earlier programs left in the user's home. A local cluster gets
a token of its own, for its lifetime.
"""

import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from cluster.reaper import Reaper

LOCAL_OBJECT_STORE_BYTES = 256 * 2**20
"""Results travel inline; a local cluster needs the object store for little more than actor arguments."""


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
    """
    address = address or os.environ.get("RAY_ADDRESS")
    prepare_environment(local=address is None)
    import ray  # noqa: PLC0415 - Ray reads its environment when it is imported

    with ExitStack() as ending:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            ending.callback(Reaper().close)
            ray.init(
                address="local",
                num_cpus=max(num_cpus or os.cpu_count() or 1, min_cpus),
                resources=dict(resources or {}),
                include_dashboard=False,
                object_store_memory=LOCAL_OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        ending.callback(ray.shutdown)
        yield


def prepare_environment(*, local: bool) -> None:
    """Set what Ray reads when it is imported; what the user has set stays. Too late for a Ray that is imported."""
    # Actors that ask for no GPU (writer, controller) see none, not all.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if "RAY_AUTH_MODE" in os.environ or "ray" in sys.modules:
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    if local and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
