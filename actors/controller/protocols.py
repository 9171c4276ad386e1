"""What the controller asks of the things around it; `cluster` and the tests provide them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from records.metrics import Reading
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

    async def replace(self) -> None:
        """End the process, if it still lives; a fresh one takes its place, and `hello` waits for it."""
        ...

    def let_go(self) -> None:
        """Keep nothing open to it; the replica goes on, and the next call opens again what it needs."""
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
