"""What happens to nodes, as the cluster says it, for a controller whose connections may not show it.

A process that is killed is noticed by its connection. One that is frozen, or cut off, only stops to answer; the head
declares its node dead long before the controller's own patience ends, and starts its replicas elsewhere.
"""

import asyncio

from actors.controller.fleet import Fleet
from actors.controller.protocols import NodeWatch

LOOK_S = 2.0
"""Between two looks."""


async def watch_nodes(look: NodeWatch | None, fleet: Fleet) -> None:
    """Look, and tell the fleet, until cancelled; at once over where there are no nodes to look at.

    Raises:
        HeadLost: the head does not answer.
    """
    while look is not None:
        fleet.nodes_seen(await look())
        await asyncio.sleep(LOOK_S)
