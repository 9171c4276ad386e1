"""The protocol that a generator or PRM replica speaks, in process or through Ray.

    controller                               replica
      hello()            ------------------>   who are you?  (models loaded; a fresh incarnation id)
      submit(calls)      ------------------>   accepted, by key; a known key is ignored
      collect(acked)     ------------------>   waits until something is finished, or `max_wait_s`
             <-- results after `acked`, with the number of the last

Results are kept until they are acknowledged, so a lost reply costs nothing: the next `collect` brings them again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

CallT_contra = TypeVar("CallT_contra", contravariant=True)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """What a replica says of itself once its engine is up.

    Attributes:
        incarnation: new for every process; a call that names another one is refused.
        role: "generator" or "prm".
        model: path or name, as the recipe gave it.
        model_sha256: of the weight files, in order of their names, and of a PRM's own head and description; None where
            the model has none (fakes).
        tokenizer_sha256: of the tokenizer's vocabulary and rules.
        num_parameters: that a token is multiplied with, for FLOPs (2 per parameter and token).
        max_model_len: context limit in tokens.
        max_concurrency: calls that the engine works on at the same time.
        device: "cpu" or the CUDA device's name.
        details: what else preflight compares or the manifest records, as JSON-ready values.
        node_id: of the node that it runs on; "" where it is no actor.
        node: that node's name, for people.
    """

    incarnation: str
    role: str
    model: str
    model_sha256: str | None
    tokenizer_sha256: str
    num_parameters: int
    max_model_len: int
    max_concurrency: int
    device: str
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    node_id: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Collected(Generic[ResultT]):
    """Results numbered up to `last`; acknowledge that number to have them forgotten.

    Attributes:
        flying_tokens: generated so far for calls that have not ended; of a generator.
    """

    last: int
    results: tuple[ResultT, ...]
    flying_tokens: int = 0


class Replica(Protocol[CallT_contra, ResultT]):
    """One generator or PRM replica. Every method may raise `ReplicaFailed`."""

    async def hello(self) -> ReplicaInfo:
        """Wait until the engine is up and say who is there."""
        ...

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[CallT_contra]) -> None:
        """Accept calls. A known key is ignored; a newer epoch aborts what an older one left.

        Raises:
            StaleIncarnation: the replica is not the one that the caller knew.
            StaleEpoch: a newer epoch has spoken to it.
            QueueFull: it holds as many calls as it accepts; none of these was accepted.
        """
        ...

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> "Collected[ResultT]":
        """Results after number `acked` (0 at first), as soon as there are any; empty after `max_wait_s`."""
        ...

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """End these calls early; a key that is unknown or finished is ignored.

        Each has a result all the same: what was sampled of it until then, or `CallFailed` where that is nothing.
        """
        ...

    async def check_health(self, deadline_s: float) -> None:
        """Run a canary through the engine. Raises `ReplicaDied` if it does not come back in time."""
        ...

    async def close(self) -> None:
        """End the engine and its processes."""
        ...
