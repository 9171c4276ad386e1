"""The nodes of the cluster that we are in: which there are, which are about to go, and what they lack.

Nothing here waits for long: a head that does not answer is `HeadLost` after `HEAD_S`, while Ray itself would wait
for a minute and then end the process.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import ray
from ray._private.state import state
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.node_check import Expected, mistakes_as_told
from records.failure import HeadLost
from records.nodes import Node

HEAD_S = 20.0
"""A head that is silent for so long is taken for lost."""
ASK_S = 120.0
"""How long a node may take to answer: a process starts on it for that."""
HEAD_LOST = (
    f"the head of the Ray cluster has not answered for {HEAD_S:.0f} s: it is lost, and this run's processes end with "
    "it. What was committed stays; the same command goes on from there, on another cluster too"
)


def nodes() -> list[Node]:
    """All nodes that there are and were, by id. Raises `HeadLost` when the head does not answer."""
    try:
        return _begun(_read).result(timeout=HEAD_S)
    except TimeoutError:
        raise HeadLost(HEAD_LOST) from None


async def watched_nodes() -> list[Node]:
    """`nodes`, on an event loop."""
    try:
        async with asyncio.timeout(HEAD_S):
            return await asyncio.wrap_future(_begun(_read))
    except TimeoutError:
        raise HeadLost(HEAD_LOST) from None


def _begun(read: Callable[[], list[Node]]) -> "Future[list[Node]]":
    """A thread that nobody waits for: one that asks a lost head never comes back."""
    future: Future[list[Node]] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():  # from here on it cannot be cancelled under our hands
            return
        try:
            found = read()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(found)

    threading.Thread(target=work, daemon=True, name="nodes").start()
    return future


def _read() -> list[Node]:
    draining = state.get_draining_nodes()
    found = [
        Node(
            node_id=node["NodeID"],
            name=_name(node),
            alive=node["Alive"],
            draining=node["NodeID"] in draining,
            resources={name: value for name, value in node["Resources"].items() if not name.startswith("node:")},
            labels=node["Labels"],
        )
        for node in ray.nodes()
    ]
    return sorted(found, key=lambda node: node.node_id)


def _name(node: dict[str, Any]) -> str:
    """Its address, after the name that it was started with where that is another one."""
    address, name = node["NodeManagerAddress"], node["NodeName"]
    return address if name in ("", address) else f"{name} ({address})"


def other_nodes(found: Sequence[Node]) -> list[Node]:
    """Those that live, but for the one that we are on."""
    here = ray.get_runtime_context().get_node_id()
    return [node for node in found if node.alive and not node.draining and node.node_id != here]


def unfit(found: Sequence[Node], expected: Sequence[Expected]) -> list[str]:
    """What nodes lack, a sentence each that names the node; all are asked at the same time.

    Args:
        found: to be asked.
        expected: of each.
    """
    asked = {
        ray.remote(mistakes_as_told)
        .options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        )
        .remote(of_it.code, of_it.folders): (place, node)
        for place, (node, of_it) in enumerate(zip(found, expected, strict=True))
    }
    ray.wait(list(asked), num_returns=len(asked), timeout=ASK_S)
    said = sorted((place, f"node {node.name} {text}") for ref, (place, node) in asked.items() for text in _said(ref))
    return [text for _, text in said]


def _said(reference: Any) -> list[str]:
    """What a node says; one that goes, or does not answer, says nothing: no replica comes up there either."""
    try:
        answer: list[str] = ray.get(reference, timeout=0)
    except RayTaskError as error:  # it cannot even read the question
        return [f"does not have this version of Parsimony: {type(error.cause).__name__}: {error.cause}"]
    except (GetTimeoutError, RayError):
        return []
    return answer
