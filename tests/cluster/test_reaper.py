"""What a driver's local Ray session has started ends with the driver, whatever that dies of."""

import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

pytestmark = pytest.mark.ray

DRIVER = """
import os, sys, time
from cluster.session import connect
with connect(None):
    import ray
    from cluster.launch import launch_beside_driver
    actors = [launch_beside_driver(None) for _ in range(2)]
    print(*[ray.get(actor.process_id.remote()) for actor in actors], flush=True)
    sys.stdin.read()
"""
LIMIT_S = 15.0


@pytest.mark.parametrize(
    "kill_raylet", [False, pytest.param(True, marks=pytest.mark.long)], ids=["driver", "driver and raylet"]
)
def test_everything_ends_with_a_killed_driver(kill_raylet):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        [frozen, _] = (psutil.Process(int(pid)) for pid in driver.stdout.readline().split())
        session = psutil.Process(driver.pid).children(recursive=True)
        assert {"raylet", "gcs_server"} <= {process.name() for process in session}
        time.sleep(2.5)  # the reaper's next look: it knows of workers that came up late
        frozen.suspend()  # it hears of nobody's end
        if kill_raylet:
            next(process for process in session if process.name() == "raylet").kill()
        driver.kill()
        _, alive = psutil.wait_procs(session, timeout=LIMIT_S)
        assert not alive
    finally:
        driver.kill()
        driver.communicate()
        for process in session:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.ci
def test_a_driver_that_ends_by_itself_leaves_nothing_behind():
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    driver.stdout.readline()
    session = psutil.Process(driver.pid).children(recursive=True)
    driver.communicate("")
    assert driver.returncode == 0
    assert not [process for process in session if process.is_running()]
