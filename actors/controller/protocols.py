"""What the controller asks of the things around it; `cluster` and the tests provide them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from records.metrics import Reading
from records.nodes import Node
from records.packing import Columns
from records.replica import Replica
from records.rows import ProblemRow
from records.usage import Usage

CallT_contra = TypeVar("CallT_contra", contravariant=True)
_ResultT = TypeVar("_ResultT")


class ReplicaHandle(Replica[CallT_contra, _ResultT], Protocol[CallT_contra, _ResultT]):
    """A replica that can be replaced when it dies or hangs."""

    @property
    def replica_id(self) -> str:
        """Its name; it stays when the process behind it changes."""
        ...

    async def place(self) -> None:
        """Wait until the replica has a process on some node; `hello` comes next.

        Raises:
            NoNode: no node had room for it in time.
        """
        ...

    async def replace(self) -> None:
        """End the process, if it still lives; a fresh one takes its place, and `place` waits for it."""
        ...

    def node_died(self) -> None:
        """Its node is gone, whatever its process still says: there is nothing to end."""
        ...

    def let_go(self) -> None:
        """Keep nothing open to it; the replica goes on, and the next call opens again what it needs."""
        ...


class ElasticHandle(ReplicaHandle[CallT_contra, _ResultT], Protocol[CallT_contra, _ResultT]):
    """One that may be let go before its run ends."""

    def dismiss(self) -> None:
        """End the process for good, or, where it has none yet, what asks for a node for it."""
        ...


class NodeWatch(Protocol):
    """Looks at the nodes of the cluster."""

    async def __call__(self) -> Sequence[Node]:
        """All that there are and were.

        Raises:
            HeadLost: the cluster's head does not answer.
        """
        ...


class RunWriter(Protocol):
    """The writer of one run, opened by this controller's epoch. Every method may raise `Fenced` or `StoreFailed`."""

    async def append(self, batch: int, problems: Sequence[ProblemRow], columns: Sequence[Columns], /) -> None:
        """Take finished problems and rows of these and of others; a batch number that it already has is ignored."""
        ...

    async def flush(self, leased_tokens: int | None, usage: Usage | None) -> None:
        """Make what was appended visible, and commit the spending ceiling and the replicas' usage with it."""
        ...

    async def heartbeat(self, progress: Mapping[str, object], usage: Usage) -> None:
        """Say that this controller lives, how far it is (JSON-ready values), and what its replicas have come to."""
        ...


class MetricsExporter(Protocol):
    """Shows readings to whoever watches the cluster."""

    def export(self, readings: Iterable[Reading]) -> None:
        """Take the latest readings; those of a counter are totals since the exporter was made."""
        ...
