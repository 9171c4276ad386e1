"""Machines whose clocks are minutes apart take the same decisions on a lease: all go by the store's clock."""

import time

import pytest

from actors.writer.store_clock import REFRESH_S, StoreClock
from actors.writer.writer import FRESH_S, Writer
from cluster.store import LocalStore
from records.failure import RunLocked, StoreFailed
from records.run_folder.epochs import Owner
from tests.records.stores import MemoryStore
from tests.support.local import manifest

ELSEWHERE = Owner("elsewhere", "", 1, None)
MINUTES_S = 300.0


class SharedClock(MemoryStore):
    """A store with a clock of its own, which can be out."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s, self.out, self.asked = 1_000_000.0, False, 0

    def now_s(self) -> float:
        self.asked += 1
        if self.out:
            raise StoreFailed("out, as told")
        return self.time_s


@pytest.mark.parametrize("skew_s", [-MINUTES_S, MINUTES_S])
@pytest.mark.parametrize("silent_s", [FRESH_S / 2, FRESH_S * 2])
def test_a_clock_that_is_minutes_off_changes_no_decision(tmp_path, monkeypatch, skew_s, silent_s):
    """A holder that is alive keeps the run, one that was silent for long loses it, whoever's clock is off."""
    store = SharedClock()
    Writer(store, tmp_path / "first").open(manifest(1), ELSEWHERE)
    store.time_s += silent_s
    here = time.time()
    monkeypatch.setattr(time, "time", lambda: here + skew_s)
    second = Writer(store, tmp_path / "second")
    if silent_s > FRESH_S:
        assert second.open(manifest(1), ELSEWHERE).epoch == 2
    else:
        with pytest.raises(RunLocked, match=f"try again in {FRESH_S - silent_s:.0f} s"):
            second.open(manifest(1), ELSEWHERE)


def test_the_store_is_asked_seldom_and_an_outage_later_is_borne():
    store, here = SharedClock(), [50.0]
    clock = StoreClock(store, monotonic=lambda: here[0])
    assert clock() == store.time_s
    here[0] += 10
    assert clock() == store.time_s + 10
    assert store.asked == 1
    here[0] += REFRESH_S
    store.time_s += REFRESH_S + 25  # somebody has set it
    assert clock() == store.time_s
    store.out = True
    here[0] += REFRESH_S + 1
    assert clock() == store.time_s + REFRESH_S + 1


def test_a_store_that_has_never_answered_gives_no_time():
    store = SharedClock()
    store.out = True
    with pytest.raises(StoreFailed):
        StoreClock(store)()


def test_a_local_folder_has_the_clock_of_its_file_system(tmp_path):
    store = LocalStore(tmp_path / "run")
    assert store.now_s() == pytest.approx(time.time(), abs=5)
    assert not (tmp_path / "run").exists(), "to ask for the time makes no folder"
    store.create("name", b"")
    store.delete("name")
    assert store.now_s() == pytest.approx(time.time(), abs=5)
    assert list((tmp_path / "run").rglob("*")) == [tmp_path / "run" / ".tmp"]
