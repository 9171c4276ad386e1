"""The trainer around a fake model: order, stopping, checkpoints, and a resume that ends in the same place."""

import json
from dataclasses import replace

import numpy as np
import pytest

from actors.trainer.batches import epoch_batches, evaluation_points, learning_rate, passes
from actors.trainer.checkpoint import Position, TrainingState, read_training_state, write_training_state
from actors.trainer.dataset import training_set
from actors.trainer.progress import TrainerSettings
from actors.trainer.trainer import Trainer
from cluster.store import LocalStore
from records.failure import StoreFailed, TrainingFailed
from tests.actors.trainer.test_training_set import Suffixed
from tests.support.fake_training import FakeTraining, rollout_row

SETTINGS = TrainerSettings(
    seed=3,
    learning_rate=0.5,
    warmup_share=0.1,
    max_grad_norm=1.0,
    epochs=3,
    batch_prefixes=6,
    by_problem=False,
    evaluations_per_epoch=2,
    patience=100,
    pass_tokens=60,
    checkpoint_interval_s=1e9,
)


def rows(num_problems, prefix="p"):
    """Problems whose even steps help and whose odd ones do not."""
    made = []
    for number in range(num_problems):
        name, steps = f"{prefix}{number}", tuple(f"step {number % 5}{depth}" for depth in range(4))
        made += [rollout_row(name, depth, steps[:depth], (number + depth) % 5, 8) for depth in range(4)]
        made.append(rollout_row(name, 4, ("another way",), 7 if number % 2 else 0, 8))
    return made


def sets(num_problems=20):
    form = Suffixed()
    training, _ = training_set(rows(num_problems), form, max_model_len=99, keep_tail=True)
    stopping, _ = training_set(rows(6, "q"), form, max_model_len=99, keep_tail=True)
    return training, stopping


def trainer(store, engine, settings=SETTINGS, **other):
    training, stopping = sets()
    return Trainer(lambda: engine, training, stopping, settings=settings, store=store, **other)


class Killed(BaseException):
    """As a process dies: nothing that follows is run."""


class Dying(FakeTraining):
    """Dies in a call of `accumulate`."""

    die_at = 0

    def accumulate(self, batch, share):
        if self.calls + 1 == self.die_at:
            raise Killed
        return super().accumulate(batch, share)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "training")


def test_it_learns_and_keeps_the_best_state(store):
    engine = FakeTraining()
    position = trainer(store, engine).train()
    assert position.finished
    losses = dict(position.held_out)
    assert position.best_loss == min(losses.values()) == losses[position.best_batch] < losses[0]
    _, stopping = sets()
    (batch, _), *_ = passes(stopping, stopping.chains, np.ones(len(stopping)), num_tokens=10**6)
    assert engine.loss(batch) == pytest.approx(position.best_loss)


def test_every_prefix_is_seen_once_an_epoch(store):
    engine = FakeTraining()
    trainer(store, engine).train()
    training, _ = sets()
    seen = [ids for group in engine.seen for ids in group]
    assert sorted(seen) == sorted([chain.ids for chain in training.chains] * SETTINGS.epochs)
    assert all(len(group) * max(map(len, group)) <= SETTINGS.pass_tokens or len(group) == 1 for group in engine.seen)
    half = len(engine.rates) // SETTINGS.epochs
    assert seen[:half] != seen[half : 2 * half]


@pytest.mark.parametrize("interval_s", [0.0, 1e9])
def test_a_killed_training_ends_where_an_unbroken_one_does(tmp_path, interval_s):
    settings = replace(SETTINGS, checkpoint_interval_s=interval_s)
    whole = FakeTraining()
    expected = trainer(LocalStore(tmp_path / "whole"), whole, settings).train()
    for die_at in (1, 9, whole.calls):
        store = LocalStore(tmp_path / f"killed-{die_at}")
        dying = Dying()
        dying.die_at = die_at
        with pytest.raises(Killed):
            trainer(store, dying, settings).train()
        engine = FakeTraining()
        again = trainer(store, engine, settings)
        position = again.train()
        assert replace(position, seconds=0.0) == replace(expected, seconds=0.0)
        assert engine.state() == whole.state()
        # One checkpoint at least since the kill at the latest: only what came after the last is done again.
        assert engine.calls < whole.calls or die_at <= 2 or interval_s > 0
        assert len(store.list("checkpoint-")) == 1


def test_a_finished_training_is_not_done_again(store):
    first = FakeTraining()
    position = trainer(store, first).train()
    engine = FakeTraining()
    assert trainer(store, engine).train() == position
    assert (engine.calls, engine.state()) == (0, first.state())


def test_a_stop_leaves_a_checkpoint_to_go_on_from(store):
    engine = FakeTraining()
    stopped = trainer(store, engine, replace(SETTINGS, checkpoint_interval_s=1e9))
    accumulate = engine.accumulate

    def stop_soon(batch, share):
        if engine.calls == 7:
            stopped.stop()
        return accumulate(batch, share)

    engine.accumulate = stop_soon
    position = stopped.train()
    assert not position.finished
    kept = read_training_state(store)
    assert kept.position == position
    assert 0 < position.num_done < 10
    again = trainer(store, FakeTraining())
    assert again.train().finished
    assert again.take_notes() == [f"going on from the checkpoint after batch {position.num_done}"]


def test_a_checkpoint_that_gives_way_to_a_further_one_is_not_a_beginning(tmp_path):
    class Overtaken(LocalStore):
        """Another trainer writes the next checkpoint, and removes this one, while the first is about to be read."""

        further = None

        def read(self, name):
            if self.further is not None:
                further, self.further = self.further, None
                write_training_state(self, further)
            return super().read(name)

    store = Overtaken(tmp_path)
    states = [
        TrainingState(position=Position(num_done=done), model=b"m", best=b"b", optimizer=b"o") for done in (10, 11)
    ]
    write_training_state(store, states[0])
    store.further = states[1]
    assert read_training_state(store) == states[1]


def test_it_stops_when_nothing_is_gained(store):
    engine = FakeTraining()
    losses = iter([0.5, 0.4, 0.45, 0.41, 0.3])
    stopped = trainer(store, engine, replace(SETTINGS, patience=2, epochs=50))
    _, stopping = sets()
    num_passes = len(list(passes(stopping, stopping.chains, np.ones(len(stopping)), num_tokens=60)))
    asked = iter([loss for loss in losses for _ in range(num_passes)])
    engine.accumulate = lambda batch, share: 0.0
    engine.loss = lambda batch: next(asked)
    position = stopped.train()
    assert [round(loss, 6) for _, loss in position.held_out] == [0.5, 0.4, 0.45, 0.41]
    assert (position.num_stale, position.best_batch) == (2, position.held_out[1][0])


def test_a_loss_that_is_no_number_ends_it(store):
    with pytest.raises(TrainingFailed, match="learning_rate"):
        trainer(store, FakeTraining(fail_at=5)).train()
    assert read_training_state(store).position.num_done < 5  # nothing of it was written


@pytest.mark.parametrize("num_good", [0, 1])
def test_a_held_out_loss_that_is_no_number_ends_it(store, num_good):
    engine = FakeTraining()
    judged = trainer(store, engine, replace(SETTINGS, pass_tokens=10**6))
    held_out = iter([*[0.5] * num_good, float("nan")])
    engine.accumulate = lambda batch, share: 0.5
    engine.loss = lambda batch: next(held_out)
    with pytest.raises(TrainingFailed, match=r"stopping problems is nan: lower calibration\.learning_rate"):
        judged.train()
    kept = read_training_state(store)
    assert (kept is None) if num_good == 0 else (kept.position.held_out == ((0, 0.5),))


def test_notes_of_one_outage_are_not_lost_when_some_are_taken(tmp_path, monkeypatch):
    class Out(LocalStore):
        failures_left = 2

        def list(self, prefix):
            if self.failures_left:
                self.failures_left -= 1
                raise StoreFailed(f"out, {self.failures_left} more")
            return super().list(prefix)

    taken = []
    told = trainer(Out(tmp_path / "training"), FakeTraining(), replace(SETTINGS, epochs=1))
    monkeypatch.setattr("actors.writer.store_retry.time.sleep", lambda _: taken.extend(told.take_notes()))
    told.train()
    assert [note.partition(",")[2][:7] for note in taken] == [" 1 more", " 0 more"]


def test_a_damaged_checkpoint_is_not_used(store):
    store.replace("checkpoint-0000000007.zip", b"PK")
    with pytest.raises(TrainingFailed, match="remove it"):
        trainer(store, FakeTraining()).train()


def test_predictions_are_in_the_order_of_rows(store):
    engine = FakeTraining()
    trained = trainer(store, engine)
    trained.train()
    training, _ = sets()
    found = trained.predict(training)
    assert found.outputs.shape == (len(training), 3)
    for chain in training.chains:
        for place, row in zip(chain.places, chain.rows, strict=True):
            alone = replace(training, chains=(replace(chain, places=(place,), rows=(row,)),))
            ((batch, _),) = passes(alone, alone.chains, np.ones(len(training)), num_tokens=1)
            assert found.outputs[row] == pytest.approx(engine.outputs(batch)[0])


def test_config_comes_last(tmp_path, store):
    order = []

    class Watching(LocalStore):
        def upload(self, name, file):
            order.append(name)
            super().upload(name, file)

    published = Watching(tmp_path / "prm")
    trained = trainer(store, FakeTraining(), spool=tmp_path)
    trained.train()
    trained.publish(
        published, trained_for={"generator": "a"}, notes={"x": 1}, examples=[("q", ("s",))], lower_shift=0.1
    )
    assert order[-1] == "config.json"
    assert sorted(order) == published.list("")
    assert json.loads(published.read("prm_config.json"))["lower_shift"] == 0.1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("parsimony-")] == []


def test_progress_says_how_far_it_is(store):
    seen = []
    engine = FakeTraining()
    watched = trainer(store, engine, clock=iter(np.arange(0, 1e6, 0.25)).__next__)
    step = engine.step

    def look(learning_rate, max_norm):
        seen.append(watched.progress())
        return step(learning_rate, max_norm)

    engine.step = look
    watched.train()
    done = [progress.done_batches for progress in seen]
    assert done == list(range(seen[0].num_batches))
    assert seen[-1].time_left_s < seen[5].time_left_s
    assert seen[-1].prefixes_per_s > 0
    assert seen[0].held_out_loss == seen[0].best_loss is not None


def test_batches_and_rates():
    training, _ = sets()
    batches = epoch_batches(training, seed=1, epoch=0, num_prefixes=6)
    sizes = [sum(len(chain.rows) for chain in batch) for batch in batches]
    assert all(6 <= size < 6 + 5 for size in sizes[:-1])
    assert epoch_batches(training, seed=1, epoch=1, num_prefixes=6) != batches
    rates = [learning_rate(at, 100, peak=2.0, warmup_share=0.1) for at in range(100)]
    assert max(rates) == rates[10] == 2.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(2.0 / 90)
    assert learning_rate(0, 1, peak=1.0, warmup_share=0.03) == 1.0
    assert evaluation_points([5, 4], 2) == {3, 5, 7, 9}
    assert evaluation_points([1], 4) == {1}


def test_an_evaluation_that_is_worse_is_counted():
    position = Position().evaluated(0.5).evaluated(0.6).evaluated(0.55)
    assert (position.best_loss, position.num_stale) == (0.5, 2)
    assert position.evaluated(0.4).num_stale == 0
