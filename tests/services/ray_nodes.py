"""A Ray cluster of several nodes on this machine, to be joined, killed, frozen, woken and left.

with LocalCluster() as cluster:                       # a head without CPU slots, on which drivers live
    one = cluster.add("generator-a", labels={"kind": "generator"})
    cluster.kill(one)                                 # SIGKILL of the raylet and all that it has started
    cluster.add_apart("prm-a", {hidden: empty})       # in a mount namespace: other files at the same paths; root only
    cluster.cut(cluster.add_away("prm-b"))            # in a network namespace: off the net, nobody is told; root only

What a test leaves is ended after it, by its own processes and nobody else's.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import ray
from ray._private.state import GlobalState
from ray.cluster_utils import Cluster

from cluster.session import prepare_environment
from tests.services.servers import free_ports

JOIN_S = 60.0
NODE_CPUS = 2
_AGENT_OPTIONS = (
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "dashboard-agent-listen-port",
    "runtime-env-agent-port",
)


@dataclass
class LocalNode:
    """One node; `processes` are its raylet and agents, with all that they have started by now."""

    name: str
    roots: Sequence[psutil.Process]
    handle: Any = None
    started: Sequence["subprocess.Popen[bytes]"] = ()
    frozen: list[psutil.Process] = field(default_factory=list)
    link: str = ""

    def processes(self) -> list[psutil.Process]:
        """Those that live."""
        found: dict[int, psutil.Process] = {}
        for root in self.roots:
            with suppress(psutil.NoSuchProcess):
                found |= {one.pid: one for one in (root, *root.children(recursive=True))}
        return list(found.values())


class LocalCluster:
    """See above.

    Attributes:
        address: that drivers join.
        nodes: those that were not killed, but for the head.
    """

    def __init__(self) -> None:
        prepare_environment(local=True)
        self._cluster = _with_head()
        self.address: str = self._cluster.address
        self.nodes: list[LocalNode] = []
        self.head = _of_cluster("head", self._cluster.head_node)
        self._gone: list[psutil.Process] = []
        self._links: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all."""
        for node in [*self.nodes, self.head]:
            self.wake(node)
        left = [one for node in [*self.nodes, self.head] for one in node.processes()]
        for node in self.nodes:
            if node.handle is None:
                _kill(node.processes())
        with suppress(Exception):
            self._cluster.shutdown()
        _kill([*left, *self._gone])
        for one in (one for node in [*self.nodes, self.head] for one in node.started):
            one.wait()
        for link in self._links:
            subprocess.run(["ip", "link", "del", link], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["ip", "netns", "del", link], check=False)

    def add(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, float] | None = None,
        num_cpus: int = NODE_CPUS,
    ) -> LocalNode:
        """Start a node and wait until it is known."""
        handle = self._cluster.add_node(
            wait=False,
            num_cpus=num_cpus,
            labels=dict(labels or {}),
            resources=dict(resources or {}),
            node_name=name,
            **_agent_ports(),
        )
        node = _of_cluster(name, handle)
        self.nodes.append(node)
        self._wait_for(name)
        return node

    def add_apart(self, name: str, binds: Mapping[Path, Path], *, labels: Mapping[str, str] | None = None) -> LocalNode:
        """Start a node that sees other folders at the same paths (`binds`: path -> what lies there for it)."""
        mounts = "".join(f"mount --bind '{source}' '{target}' && " for target, source in binds.items())
        start = f"exec {shlex.join(self._joining(name, labels))}"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts + start]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        node = LocalNode(name, [psutil.Process(process.pid)], started=[process])
        self.nodes.append(node)
        self._wait_for(name)
        return node

    def add_away(self, name: str, *, labels: Mapping[str, str] | None = None) -> LocalNode:
        """Start a node in a network namespace with an address of its own, which `cut` takes off the net; root only."""
        number = len(self._links) + 1
        link = f"pn{os.getpid() % 10_000}-{number}"
        here, there = f"10.77.{number}.1", f"10.77.{number}.2"
        for words in (
            f"netns add {link}",
            f"link add {link} type veth peer name eth0 netns {link}",
            f"addr add {here}/24 dev {link}",
            f"link set {link} up",
            f"-n {link} addr add {there}/24 dev eth0",
            f"-n {link} link set lo up",
            f"-n {link} link set eth0 up",
            f"-n {link} route add default via {here}",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        self._links.append(link)
        start = ["ip", "netns", "exec", link, *self._joining(name, labels), f"--node-ip-address={there}"]
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        node = LocalNode(name, [psutil.Process(process.pid)], started=[process], link=link)
        self.nodes.append(node)
        self._wait_for(name)
        return node

    def _joining(self, name: str, labels: Mapping[str, str] | None) -> list[str]:
        """The command of a node that joins as a process of its own."""
        words = [str(Path(sys.executable).parent / "ray"), "start", f"--address={self.address}", "--block"]
        words += ["--disable-usage-stats", f"--num-cpus={NODE_CPUS}", f"--node-name={name}"]
        words += [f"--{option}={port}" for option, port in zip(_AGENT_OPTIONS, free_ports(4), strict=True)]
        said = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        return [*words, *([f"--labels={said}"] if said else [])]

    def cut(self, node: LocalNode) -> None:
        """Nothing comes to a node of `add_away`, or from it; nobody is told."""
        subprocess.run(["ip", "link", "set", node.link, "down"], check=True)

    def mend(self, node: LocalNode) -> None:
        """It is on the net again."""
        subprocess.run(["ip", "link", "set", node.link, "up"], check=True)

    def kill(self, node: LocalNode) -> None:
        """SIGKILL of all that is on a node at this moment."""
        if node in self.nodes:
            self.nodes.remove(node)
        processes = node.processes()
        self._gone += processes
        _kill(processes)
        for one in node.started:
            one.wait()

    def kill_gcs(self) -> None:
        """SIGKILL of what makes the head the head; its node lives on for a minute."""
        _kill([one for one in self.head.processes() if one.name() == "gcs_server"])

    def freeze(self, node: LocalNode) -> None:
        """SIGSTOP likewise."""
        node.frozen = node.processes()
        _signal(node.frozen, signal.SIGSTOP)

    def wake(self, node: LocalNode) -> None:
        """SIGCONT of what was frozen."""
        _signal(node.frozen, signal.SIGCONT)
        node.frozen = []

    def _wait_for(self, name: str) -> None:
        state = GlobalState()
        state._initialize_global_state(ray._raylet.GcsClientOptions.create(self.address, None, True, False))
        deadline_s = time.monotonic() + JOIN_S
        try:
            while not any(node["NodeName"] == name and node["Alive"] for node in state.node_table()):
                assert time.monotonic() < deadline_s, f"{name} did not join"
                time.sleep(0.1)
        finally:
            state.disconnect()


def _agent_ports() -> dict[str, int]:
    """Of a node's agents: a raylet that is not told them waits 15 s for its agents to find some, and then dies."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    return dict(zip(names, free_ports(len(names)), strict=True))


def _with_head() -> Cluster:
    """A cluster of a head; Ray gives a start 30 s, which a busy machine does not always keep."""
    for tries_left in (2, 1, 0):
        cluster = Cluster(shutdown_at_exit=False)  # its handlers are for the main thread, and nodes join from others
        try:
            cluster.add_node(num_cpus=0, include_dashboard=False, node_name="head", **_agent_ports())
        except Exception as late:
            cluster.shutdown()
            if not tries_left or "timed out during startup" not in str(late):
                raise
        else:
            return cluster
    raise AssertionError("unreachable")


def can_mount() -> bool:
    """Whether `add_apart` works here."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False)
    return done.returncode == 0


def can_have_networks() -> bool:
    """Whether `add_away` works here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"pn{os.getpid() % 10_000}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made


def _of_cluster(name: str, handle: Any) -> LocalNode:
    """A node of `Cluster`, with the processes that it has begun with."""
    started = [info.process for infos in handle.all_processes.values() for info in infos]
    return LocalNode(name, [psutil.Process(one.pid) for one in started if one.poll() is None], handle, started)


def _kill(processes: Sequence[psutil.Process]) -> None:
    _signal(processes, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
