"""Processor time of a side's processes between two moments, told from that of the side that waits its turn."""

from collections.abc import Mapping

import psutil

from benchmarks.observed import CoreUse

PEER_MARK = "peer "
"""What the names of a peer's processes begin with; whatever else is below this process belongs to our side."""
IDLE, OTHERS = "waiting side", "others"


class Watch:
    """Knows the processes of both sides, as far as they have told."""

    def __init__(self) -> None:
        self._roles: dict[int, str] = {}

    def name_ours(self, roles: Mapping[int, str]) -> None:
        """Process id -> what it is, on our side."""
        self._roles.update(roles)

    def name_peers(self, roles: Mapping[int, str]) -> None:
        """The same for a peer; processes of an earlier peer are gone."""
        ours = {process_id: role for process_id, role in self._roles.items() if not role.startswith(PEER_MARK)}
        self._roles = ours | {process_id: PEER_MARK + role for process_id, role in roles.items()}

    def core_use(self) -> CoreUse:
        """To be entered while a pass runs."""
        return _CoreUseBySide(dict(self._roles))


class _CoreUseBySide(CoreUse):
    """Also what a peer's processes have started is the peer's."""

    def _role(self, process: psutil.Process) -> str:
        role = super()._role(process)
        if role.startswith(PEER_MARK) or process.pid in self._roles:
            return role
        known = [self._roles.get(parent.pid, "") for parent in process.parents()]
        return PEER_MARK + role if any(name.startswith(PEER_MARK) for name in known) else role


def cpu_seconds(use: CoreUse, first_s: float, last_s: float, *, of_peer: bool) -> dict[str, float]:
    """Seconds of a side by process between two times since 1970; empty where that is too short to be sampled."""
    seconds = last_s - first_s
    return by_side({role: cores * seconds for role, cores in use.cores(first_s, last_s).items()}, of_peer=of_peer)


def by_side(spent: Mapping[str, float], *, of_peer: bool) -> dict[str, float]:
    """The side's own processes by name, those of the other side as one, and the rest of the machine."""
    found: dict[str, float] = {}
    for role, seconds in spent.items():
        own = role.startswith(PEER_MARK) is of_peer
        name = role if role == OTHERS else role.removeprefix(PEER_MARK) if own else IDLE
        found[name] = round(found.get(name, 0.0) + seconds, 3)
    return found
