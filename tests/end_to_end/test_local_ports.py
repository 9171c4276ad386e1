"""What a local run listens on: loopback only, and nothing that docs/security.md does not name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
LISTENERS = """
import time
import psutil
from cluster.session import connect
with connect(None, num_cpus=1):
    import ray
    @ray.remote(num_cpus=0)
    class Actor:
        def ping(self):
            return 1
    actor = Actor.remote()
    ray.get(actor.ping.remote())
    time.sleep(3)
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            for one in process.net_connections(kind="inet"):
                if one.status == psutil.CONN_LISTEN:
                    print(process.name(), one.laddr.ip, sep="|")
        except psutil.Error:
            continue
"""


def kind_of(process: str) -> str:
    """The row of the table that a process belongs to."""
    if process.startswith(("python", "pytest")):
        return "driver"  # Ray's monitor and dashboard's head are called so too
    if process.startswith("ray::"):
        return "agent" if process.endswith("Agent") else "worker"
    return process


@pytest.mark.ci
def test_a_local_run_listens_on_loopback_only():
    done = subprocess.run([sys.executable, "-c", LISTENERS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    assert {kind_of(name) for name, _ in found} >= {"gcs_server", "raylet"}
    assert {address.removeprefix("::ffff:") for _, address in found} <= {"127.0.0.1", "::1"}
    table = (ROOT / "docs/security.md").read_text().partition("## Ports")[2].partition("## ")[0]
    named = set(re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE))
    assert {kind_of(name) for name, _ in found} <= named
