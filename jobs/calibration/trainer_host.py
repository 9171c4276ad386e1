"""A calibration's trainer: what it is made of, where it runs, and calls to it with a sign of life for user and lease.

A trainer that dies is replaced; the next one goes on from the last checkpoint.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.settings import LoraSpec, PrmSettings
from actors.engines.training.engine import TorchTraining, TrainingEngine
from actors.trainer.progress import TrainerProgress, TrainerSettings
from actors.trainer.trainer import Trainer
from actors.writer.lease import HeldLease
from actors.writer.store_retry import StoreRetry
from cluster.s3_client import is_s3
from cluster.staging import stage_folder
from jobs.calibration.plan import CalibrationPlan
from jobs.calibration.progress import CalibrationDisplay
from records.failure import ActorDied, ClusterFailed, InvalidInput, StoreFailed
from scaling.calibration.chains import STOPPING, TRAINING
from scaling.calibration.heads import HeadSpec
from scaling.seeds import seed_for

if TYPE_CHECKING:
    from cluster.launch import Resources
    from cluster.remote import RemoteTrainer

_POLL_S = 0.5
_HEARTBEAT_S = 5.0


class TrainerActor:
    """The trainer of one calibration, in the Ray session that we are in.

    Args:
        plan: of the calibration.
        lease: held by this driver.
        spool: local folder for the PRM on its way.
        display: where the user looks.
    """

    def __init__(self, plan: CalibrationPlan, lease: HeldLease, spool: Path, display: CalibrationDisplay) -> None:
        self._plan, self._lease, self._display = plan, lease, display
        self._outage = StoreRetry()
        self._beaten_s = 0.0
        self._on_gpu, self._resources = _resources(plan)
        self._beside_driver = not is_s3(plan.output.uri)
        _check_place(plan, on_gpu=self._on_gpu, beside_driver=self._beside_driver)
        self._build = _builder(
            plan, device="cuda" if self._on_gpu else "cpu", spool=spool if self._beside_driver else None
        )
        self._remote: RemoteTrainer | None = None

    def start(self) -> None:
        """Start it, in place of one that died.

        Raises:
            ClusterFailed: no node has room for it in time.
            Fenced: another driver has the output.
        """
        from cluster.remote import RemoteTrainer

        self.end()
        self._remote = RemoteTrainer(self._build, self._resources, beside_driver=self._beside_driver)
        begun_s = time.monotonic()
        limit_s = self._plan.recipe.cluster.start_timeout_s
        while not self._remote.started(_POLL_S):
            waited_s = time.monotonic() - begun_s
            self._show(TrainerProgress(phase="waiting for a node", elapsed_s=waited_s))
            if waited_s > limit_s:
                wanted = "a free GPU" if self._on_gpu else f"{self._resources.num_cpus:g} free CPU slots"
                raise ClusterFailed(f"no node with {wanted} could start the trainer within {limit_s:g} s")

    def perform(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the trainer, and show how far it is until it has come to an end.

        Raises:
            ActorDied: its process is gone; `start` another one.
            Fenced: another driver has the output.
        """
        remote = self._started()
        remote.begin(method, *args, **kwargs)
        while not remote.finished(_POLL_S):
            self._follow(remote)
        result = remote.result()
        self._follow(remote)
        return result

    def stop(self) -> None:
        """Let it end its training with a checkpoint; returns when it has."""
        remote = self._remote
        if remote is None or not remote.busy:
            return
        remote.call("stop")
        while not remote.finished(_POLL_S):
            self._follow(remote)
        remote.result()

    def end(self) -> None:
        """End the actor, if there is one."""
        if self._remote is not None:
            self._remote.end()
            self._remote = None

    def _started(self) -> "RemoteTrainer":
        if self._remote is None:
            raise AssertionError("start() comes first")
        return self._remote

    def _follow(self, remote: "RemoteTrainer") -> None:
        for note in remote.call("take_notes"):
            self._display.note(note)
        self._show(remote.call("progress"))

    def _show(self, progress: TrainerProgress) -> None:
        self._display.show(progress)
        now_s = time.monotonic()
        if now_s - self._beaten_s < _HEARTBEAT_S:
            return
        self._beaten_s = now_s
        try:
            self._lease.heartbeat(self._lease.clock(), asdict(progress))
            self._outage.end()
        except StoreFailed as failed:
            self._outage.wait_s(failed)  # raises when it has lasted too long


def survive(
    actor: TrainerActor,
    work: Callable[[], None],
    *,
    mark: Callable[[], object],
    tries: int,
    note: Callable[[str], None],
) -> None:
    """Do work on an actor; begin again with another one when it dies.

    Args:
        actor: started here.
        work: what is done with it; safe to repeat.
        mark: says how far it came.
        tries: deaths in a row at one mark that end it.
        note: tells the user.

    Raises:
        ActorDied: trainers in a row died and none came further.
    """
    marks: list[object] = []
    while True:
        try:
            actor.start()
            work()
        except ActorDied as died:
            marks.append(mark())
            if marks[-tries:] == [marks[-1]] * tries:
                raise
            note(f"{died}; a new trainer goes on from the last checkpoint")
        else:
            return


def engine_on(
    prm: PrmSettings, head: HeadSpec, lora: LoraSpec, *, device: str, cpu_threads: int, weight_decay: float, seed: int
) -> TrainingEngine:
    """The engine, with a model that may lie in an object store."""
    local = replace(prm, model=str(stage_folder(prm.model)))
    return TorchTraining.open(
        local, head, lora, device=device, cpu_threads=cpu_threads, weight_decay=weight_decay, seed=seed
    )


def _builder(plan: CalibrationPlan, *, device: str, spool: Path | None) -> Callable[[], Trainer]:
    """What makes the trainer of a plan in its own process; travels."""
    section = plan.section
    settings = TrainerSettings(
        seed=plan.seed,
        learning_rate=section.learning_rate,
        warmup_share=section.warmup_share,
        max_grad_norm=section.max_grad_norm,
        epochs=section.epochs,
        batch_prefixes=section.batch_prefixes,
        by_problem=section.weighting == "problem",
        evaluations_per_epoch=section.evaluations_per_epoch,
        patience=section.patience,
        pass_tokens=section.pass_tokens,
        checkpoint_interval_s=section.checkpoint_interval_s,
    )
    build_engine = partial(
        engine_on,
        plan.prm,
        section.head_spec(),
        section.lora_spec(),
        device=device,
        cpu_threads=section.cpu_threads,
        weight_decay=section.weight_decay,
        seed=seed_for("adapters", plan.seed),
    )
    splits = plan.splits
    return partial(
        Trainer, build_engine, splits[TRAINING], splits[STOPPING], settings=settings, store=plan.training, spool=spool
    )


def _resources(plan: CalibrationPlan) -> "tuple[bool, Resources]":
    from cluster.launch import Resources, has_gpus

    device = plan.recipe.cluster.device
    on_gpu = has_gpus() if device is None else device == "gpu"
    node_resource = plan.recipe.prm.node_resource if plan.recipe.prm is not None else None
    if on_gpu:
        return True, Resources(num_cpus=1, num_gpus=1, node_resource=node_resource)
    return False, Resources(num_cpus=plan.section.cpu_threads, node_resource=node_resource)


def _check_place(plan: CalibrationPlan, *, on_gpu: bool, beside_driver: bool) -> None:
    from cluster.launch import driver_node_has_gpus

    if on_gpu and beside_driver and not driver_node_has_gpus():
        raise InvalidInput(
            f"{plan.output.uri} is a folder of this node, which has no GPU, and the trainer writes it: give --output "
            "an s3:// address, or set cluster.device to cpu"
        )
