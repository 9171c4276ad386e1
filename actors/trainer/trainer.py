"""The trainer: fits a PRM's head and adapters to rollouts, stops in time, and survives whatever kills it.

    train    evaluate (batch 0, then so many times an epoch) --> best state kept --> stop after `patience` without gain
             batch: order, dropout and learning rate follow from seed and number: a resumed training does the same
             checkpoint: after each evaluation, and every so many seconds
    predict  raw outputs of the best state on any set, and the uncalibrated scores
    publish  the PRM's folder into a store; `config.json` last, without which nothing is a model

A plain class. `train` blocks; `progress`, `take_notes` and `stop` may be called from another thread meanwhile.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.engines.model_files import CONFIG_FILE
from actors.engines.training.engine import Batch, TrainingEngine
from actors.trainer.batches import epoch_batches, evaluation_points, learning_rate, passes
from actors.trainer.checkpoint import Position, TrainingState, read_training_state, write_training_state
from actors.trainer.dataset import TrainingSet
from actors.trainer.progress import Speed, TrainerProgress, TrainerSettings
from actors.writer.store_retry import patiently_blocking
from records.failure import TrainingFailed
from records.run_folder.store import Store
from records.scratch import scratch_folder
from scaling.calibration.chains import Chain
from scaling.seeds import seed_for


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Of each row of a set: raw outputs of the head [N, K], and the uncalibrated score [N]."""

    outputs: NDArray[np.float64]
    old_scores: NDArray[np.float64]


class Trainer:
    """One trainer; see the module.

    Args:
        build_engine: loads the model; called once, by the first method that needs it.
        training: what is fitted on.
        stopping: what says which state is best, and when to stop.
        settings: how.
        store: for checkpoints; nothing else may be below it under the name of one.
        spool: local folder for the PRM on its way; None for one of this machine's own.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        build_engine: Callable[[], TrainingEngine],
        training: TrainingSet,
        stopping: TrainingSet,
        *,
        settings: TrainerSettings,
        store: Store,
        spool: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build_engine, self._settings, self._store, self._spool = build_engine, settings, store, spool
        self._training, self._stopping, self._clock = training, stopping, clock
        self._weights = training.weights(by_problem=settings.by_problem)
        self._stopping_weights = stopping.weights(by_problem=settings.by_problem)
        self._engine: TrainingEngine | None = None
        self._stop = threading.Event()
        self._notes: list[str] = []
        self._begun_s = clock()
        self._progress = TrainerProgress(phase="waiting")
        self._speed = Speed()

    def progress(self) -> TrainerProgress:
        """How far it is."""
        return replace(self._progress, elapsed_s=self._clock() - self._begun_s)

    def take_notes(self) -> list[str]:
        """What the user should be told since the last call."""
        taken, self._notes = self._notes, []
        return taken

    def stop(self) -> None:
        """Let `train` return after the batch that it is in, with a checkpoint."""
        self._stop.set()

    def train(self) -> Position:
        """Train from the last checkpoint to the end, or until it is told to stop; the best state is then loaded.

        Raises:
            TrainingFailed: the loss is no number, or the device is full.
            StoreFailed: the store was out for too long.
        """
        engine = self._loaded()
        plan = self._plan()
        state = self._begin(engine)
        position, best, written_s = state.position, state.best, self._clock()
        while True:
            self._show(position, plan)
            due = position.num_done in plan.evaluations
            if due and (not position.held_out or position.held_out[-1][0] != position.num_done):
                position = self._evaluate(engine, position, plan)
                best = engine.state() if position.best_batch == position.num_done else best
                written_s = self._write(engine, position, best)
                self._show(position, plan)
            if position.finished or self._stop.is_set():
                break
            position = self._train_batch(engine, position, plan)
            if self._clock() - written_s >= self._settings.checkpoint_interval_s:
                written_s = self._write(engine, position, best)
        if not position.finished:
            self._write(engine, position, best)
        engine.load_state(best)
        self._phase("waiting")
        return position

    def predict(self, chosen: TrainingSet) -> Outputs:
        """Of what is loaded, after `train` the best state; and of the model before training."""
        engine = self._loaded()
        return Outputs(self._of_rows(chosen, engine.outputs), self.old_scores(chosen))

    def old_scores(self, chosen: TrainingSet) -> NDArray[np.float64]:
        """The uncalibrated score of each row [N]."""
        return self._of_rows(chosen, self._loaded().old_scores)

    def _of_rows(self, chosen: TrainingSet, ask: Callable[[Batch], NDArray[np.float64]]) -> NDArray[np.float64]:
        """What `ask` says of the places of a batch, for all rows of a set, in their order."""
        self._phase("predicting")
        found: list[NDArray[np.float64]] = []
        order: list[int] = []
        for batch, rows in passes(chosen, chosen.chains, np.ones(len(chosen)), num_tokens=self._settings.pass_tokens):
            found.append(ask(batch))
            order += rows
        self._phase("waiting")
        return np.concatenate(found)[np.argsort(order)]

    def publish(
        self,
        store: Store,
        *,
        trained_for: Mapping[str, Any],
        notes: Mapping[str, Any],
        examples: Sequence[tuple[str, Sequence[str]]],
        lower_shift: float,
    ) -> None:
        """Put the PRM that is loaded into `store`. Safe to repeat; `config.json` comes last.

        Args:
            store: of the PRM's folder.
            trained_for: see `TrainablePrm.save`.
            notes: likewise.
            examples: likewise.
            lower_shift: likewise.
        """
        self._phase("publishing")
        with scratch_folder(self._spool) as spool:
            folder = spool / "prm"
            self._loaded().save(
                folder, trained_for=trained_for, notes=notes, examples=examples, lower_shift=lower_shift
            )
            files = [file for file in folder.rglob("*") if file.is_file()]
            for file in sorted(files, key=lambda file: (file == folder / CONFIG_FILE, file)):
                name = file.relative_to(folder).as_posix()
                patiently_blocking(partial(store.upload, name, file), self._note)
        self._phase("waiting")

    def _note(self, note: str) -> None:
        """Tell the user; `take_notes` puts another list in the place of the one it takes."""
        self._notes.append(note)

    def _loaded(self) -> TrainingEngine:
        if self._engine is None:
            self._phase("loading the model")
            self._engine = self._build_engine()
        return self._engine

    def _plan(self) -> "_Plan":
        settings = self._settings
        epochs = [
            epoch_batches(self._training, seed=settings.seed, epoch=epoch, num_prefixes=settings.batch_prefixes)
            for epoch in range(settings.epochs)
        ]
        points = evaluation_points([len(batches) for batches in epochs], settings.evaluations_per_epoch)
        batches = [batch for epoch in epochs for batch in epoch]
        sizes = [sum(len(chain.rows) for chain in batch) for batch in batches]
        left = np.concatenate([np.cumsum(sizes[::-1])[::-1], [0]]).tolist()
        return _Plan(batches, left, points | {0})

    def _begin(self, engine: TrainingEngine) -> TrainingState:
        """The last checkpoint, loaded; or the untrained model."""
        state = patiently_blocking(lambda: read_training_state(self._store), self._note)
        if state is None:
            untrained = engine.state()
            return TrainingState(model=untrained, best=untrained, optimizer=engine.optimizer_state())
        engine.load_state(state.model)
        engine.load_optimizer_state(state.optimizer)
        if not state.position.finished:
            self._notes.append(f"going on from the checkpoint after batch {state.position.num_done}")
        return state

    def _train_batch(self, engine: TrainingEngine, position: Position, plan: "_Plan") -> Position:
        settings, number, begun_s = self._settings, position.num_done, self._clock()
        chains = plan.batches[number]
        engine.seed(seed_for("dropout", settings.seed, number))
        whole = sum(self._weights[row] for chain in chains for row in chain.rows)
        loss = 0.0
        for batch, _ in passes(self._training, chains, self._weights, num_tokens=settings.pass_tokens):
            share = float(batch.weights.sum() / whole)
            loss += share * engine.accumulate(batch, share)
        rate = learning_rate(number, len(plan.batches), peak=settings.learning_rate, warmup_share=settings.warmup_share)
        norm = engine.step(rate, settings.max_grad_norm)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingFailed(
                f"batch {number}: the loss is {loss} and the norm of its gradient {norm}: lower "
                "calibration.learning_rate; with prm.dtype float16, take bfloat16 or float32"
            )
        seconds = self._clock() - begun_s
        self._speed.add(sum(len(chain.rows) for chain in chains), seconds, loss)
        return replace(position, num_done=number + 1, seconds=position.seconds + seconds)

    def _evaluate(self, engine: TrainingEngine, position: Position, plan: "_Plan") -> Position:
        self._phase("evaluating")
        begun_s = self._clock()
        total = weight = 0.0
        all_passes = passes(
            self._stopping, self._stopping.chains, self._stopping_weights, num_tokens=self._settings.pass_tokens
        )
        for batch, _ in all_passes:
            total += engine.loss(batch) * float(batch.weights.sum())
            weight += float(batch.weights.sum())
        mean = total / weight
        if not math.isfinite(mean):
            raise TrainingFailed(
                f"after batch {position.num_done}: the loss on the stopping problems is {mean}: lower "
                "calibration.learning_rate; with prm.dtype float16, take bfloat16 or float32"
            )
        position = position.evaluated(mean)
        last = position.num_done == len(plan.batches) or position.num_stale >= self._settings.patience
        return replace(position, finished=last, seconds=position.seconds + self._clock() - begun_s)

    def _write(self, engine: TrainingEngine, position: Position, best: bytes) -> float:
        """Write a checkpoint; when it was written."""
        state = TrainingState(position=position, model=engine.state(), best=best, optimizer=engine.optimizer_state())
        patiently_blocking(lambda: write_training_state(self._store, state), self._note)
        return self._clock()

    def _show(self, position: Position, plan: "_Plan") -> None:
        rate = self._speed.prefixes_per_s
        left = plan.prefixes_left[position.num_done]
        self._progress = TrainerProgress(
            phase="training",
            done_batches=position.num_done,
            num_batches=len(plan.batches),
            epoch=self._settings.epochs * position.num_done / len(plan.batches),
            loss=self._speed.loss,
            held_out_loss=position.held_out[-1][1] if position.held_out else None,
            best_loss=position.best_loss,
            prefixes_per_s=rate,
            time_left_s=left / rate if rate else None,
        )

    def _phase(self, phase: str) -> None:
        self._progress = replace(self._progress, phase=phase)


@dataclass(frozen=True, slots=True)
class _Plan:
    """All batches of all epochs, the prefixes from each on, and after which numbers of them there is an evaluation."""

    batches: list[list[Chain]]
    prefixes_left: list[int]
    evaluations: frozenset[int]
