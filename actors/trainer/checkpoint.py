"""How far a training is, as one file: what a killed trainer goes on from.

checkpoint-0000000120.zip   position.json, model, best, optimizer      the last one is enough; older ones are removed
"""

import io
import json
import re
import zipfile
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from records.bounded import parse_json
from records.failure import TrainingFailed
from records.run_folder.store import Store

CHECKPOINT = "checkpoint-"
_NAME = re.compile(r"checkpoint-(\d{10})\.zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What has been done.

    Attributes:
        num_done: batches.
        finished: no batch will follow.
        best_batch: batches before the best evaluation; 0 is the untrained model.
        best_loss: of the stopping problems there; None before the first evaluation.
        num_stale: evaluations since then.
        held_out: (batches done, loss of the stopping problems), each evaluation.
        seconds: spent in batches and evaluations, by all trainers so far.
    """

    num_done: int = 0
    finished: bool = False
    best_batch: int = 0
    best_loss: float | None = None
    num_stale: int = 0
    held_out: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0

    def evaluated(self, loss: float) -> "Position":
        """The state after one more evaluation."""
        held_out = (*self.held_out, (self.num_done, loss))
        if self.best_loss is None or loss < self.best_loss:
            return replace(self, best_loss=loss, best_batch=self.num_done, num_stale=0, held_out=held_out)
        return replace(self, num_stale=self.num_stale + 1, held_out=held_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """A position and the states that belong to it, as `TrainingEngine` gives them."""

    position: Position = field(default_factory=Position)
    model: bytes
    best: bytes
    optimizer: bytes


def write_training_state(store: Store, state: TrainingState) -> None:
    """Write a checkpoint, and remove those that are not as far. May raise `StoreFailed`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("position.json", json.dumps(asdict(state.position), allow_nan=False))
        archive.writestr("model", state.model)
        archive.writestr("best", state.best)
        archive.writestr("optimizer", state.optimizer)
    name = f"{CHECKPOINT}{state.position.num_done:010d}.zip"
    store.replace(name, content.getvalue())
    for older in store.list(CHECKPOINT):
        if _NAME.fullmatch(older) and older < name:
            store.delete(older)


def read_training_state(store: Store) -> TrainingState | None:
    """The checkpoint that is furthest; None where there is none.

    Raises:
        TrainingFailed: it is damaged; what to do.
    """
    while names := [name for name in store.list(CHECKPOINT) if _NAME.fullmatch(name)]:
        data = store.read(max(names))
        if data is not None:
            return _decoded(data, f"{store.uri}/{max(names)}")
        # A trainer that outlived its driver has just put a further one in its place.
    return None


def _decoded(data: bytes, uri: str) -> TrainingState:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content: dict[str, Any] = parse_json(archive.read("position.json"))
            parts = {name: archive.read(name) for name in ("model", "best", "optimizer")}
        content["held_out"] = tuple((int(at), float(loss)) for at, loss in content["held_out"])
        return TrainingState(position=Position(**content), **parts)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise TrainingFailed(f"{uri} is damaged ({error}): remove it to begin again") from error


def remove_training_states(store: Store) -> None:
    """Remove all checkpoints."""
    for name in store.list(CHECKPOINT):
        store.delete(name)
