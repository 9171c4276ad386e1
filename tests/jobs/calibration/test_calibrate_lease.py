"""A calibration's driver and its lease, without Ray: kept while Ray starts, and nothing is written without it."""

import time
from contextlib import contextmanager, nullcontext

import pytest

from actors.trainer.checkpoint import CHECKPOINT
from actors.trainer.trainer import Trainer
from actors.writer.lease import Claim, HeldLease, acquire, newest_lease, this_process
from cluster.store import LocalStore
from jobs import calibrate
from jobs.calibration.plan import SUCCESS, make_calibration_plan
from jobs.calibration.progress import CalibrationDisplay
from records.failure import Fenced, StoreFailed
from scaling.calibration.chains import STOPPING, TRAINING
from tests.actors.trainer.test_trainer import SETTINGS
from tests.jobs.calibration.test_calibration_plan import options, stepwise, table
from tests.support.fake_training import FakeTraining


def take(store, writer):
    claim = Claim(writer=writer, owner=this_process(), take_over=True, again=False, fresh_s=60.0)
    return HeldLease(store, acquire(store, claim, newest_lease(store), time.time()))


@pytest.fixture
def plan(tmp_path):
    rollouts = table(tmp_path / "rollouts.parquet", stepwise())
    return make_calibration_plan(options(rollouts, tmp_path / "prm", "calibration.num_resamples=100"))


class Local:
    """A trainer in this process, with a fake model; another driver takes the output over before one of its calls."""

    def __init__(self, plan, taken_before):
        self._trainer = Trainer(
            FakeTraining, plan.splits[TRAINING], plan.splits[STOPPING], settings=SETTINGS, store=plan.training
        )
        self._plan, self._taken_before = plan, taken_before

    def perform(self, method, *args, **kwargs):
        if method == self._taken_before:
            take(self._plan.training, "another")
        return getattr(self._trainer, method)(*args, **kwargs)


@pytest.mark.parametrize("taken_before", [None, "predict"])
def test_a_fenced_driver_publishes_nothing(plan, tmp_path, taken_before):
    lease = take(plan.training, "me")
    with CalibrationDisplay() as display, nullcontext() if taken_before is None else pytest.raises(Fenced):
        calibrate._fit_and_publish(plan, Local(plan, taken_before), lease, display, tmp_path)
    assert (plan.output.read("config.json") is None) == (taken_before is not None)


def test_a_fenced_driver_says_of_nothing_that_it_is_whole(tmp_path):
    store = LocalStore(tmp_path)
    mine, checkpoint = take(store, "me"), f"{CHECKPOINT}0000000007.zip"
    store.replace(checkpoint, b"state")
    other = take(store, "another")
    with pytest.raises(Fenced):
        calibrate.finish(store, mine, print)
    assert store.read(SUCCESS) is None
    assert store.list(CHECKPOINT) == [checkpoint]
    calibrate.finish(store, other, print)
    assert store.read(SUCCESS) == b""
    assert store.list(CHECKPOINT) == []


def test_a_store_that_is_out_when_a_trainer_dies_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("actors.writer.store_retry.RETRY_S", (0.001,))

    class Out(LocalStore):
        num_failures = 0

        def list(self, prefix):
            if self.num_failures < 2:
                self.num_failures += 1
                raise StoreFailed("out")
            return super().list(prefix)

    store, notes = Out(tmp_path), []
    assert calibrate.last_checkpoint(LocalStore(tmp_path), notes.append) == []
    for number in (3, 5):
        store.replace(f"{CHECKPOINT}{number:010d}.zip", b"state")
    assert calibrate.last_checkpoint(store, notes.append) == [f"{CHECKPOINT}0000000005.zip"]
    assert len(notes) == 2


def test_the_lease_is_kept_while_ray_starts(plan, monkeypatch):
    monkeypatch.setattr(calibrate, "FRESH_S", 0.3)
    beats, inside = [], []

    @contextmanager
    def slow(*_, **__):
        deadline_s = time.monotonic() + 10
        while len(set(beats)) < 3:
            assert time.monotonic() < deadline_s, beats
            beats.append(newest_lease(plan.training).heartbeat_at)
            time.sleep(0.02)
        yield
        inside.append("closed")

    monkeypatch.setattr("cluster.session.connect", slow)
    monkeypatch.setattr(calibrate, "treat_sigterm_as_interrupt", lambda: None)
    monkeypatch.setattr(calibrate, "_work", lambda *_: inside.append("work"))
    calibrate.calibrate(plan, take_over=False)
    assert inside == ["work", "closed"]
    assert newest_lease(plan.training).released_at is not None
