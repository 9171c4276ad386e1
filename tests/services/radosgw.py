"""A real object store on loopback: Ceph's S3 gateway on a monitor and one storage daemon in memory.

Everything lies in one temporary folder and listens on 127.0.0.1 at free ports; every process is a child of this one and
dies with it, also by SIGKILL. Needs Linux, and the Debian packages below, which root installs.
"""

import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from tests.services.debian import CannotStart, install
from tests.services.servers import aws_environment, free_ports, plain_client

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "setpriv")
# A monitor ends by itself where less than 5% of the disk is free, however little it needs; hence `mon_data_avail_crit`.
STORE_BYTES = 4 * 2**30
"""Most that the store holds; it takes memory for what it holds only."""
START_TIMEOUT_S = 120.0
REQUIRED = "PARSIMONY_REQUIRE_RADOSGW"
"""Environment variable: set where a store that cannot be started is an error and no reason to skip."""

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_port}/0]
mon_initial_members = a
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = true
keyring = {folder}/keyring
public_addr = 127.0.0.1
ms_bind_ipv6 = false
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
run_dir = {folder}
admin_socket =
log_file = {folder}/$name.log
pid_file =
[mon.a]
mon_data = {folder}/mon
mon_data_avail_crit = 0
mon_data_avail_warn = 0
[osd.0]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = {store_bytes}
"""
_CAPABILITIES = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow *"),
}


class RadosGateway:
    """A running store, with one user and one bucket: `with RadosGateway() as store: ...`.

    Attributes:
        endpoint_url: of the gateway; stays the same when it is killed and started again.
        access_key: of the user.
        secret_key: of the user.
        bucket: that is there.
        environment: `AWS_*` variables that make any AWS tool use this store and nothing else.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="radosgw-"))
        [self._port] = free_ports(1)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._gateway: subprocess.Popen[bytes] | None = None
        self.endpoint_url = f"http://127.0.0.1:{self._port}"
        self.access_key, self.secret_key, self.bucket = "tester", uuid.uuid4().hex, "runs"
        self.environment = aws_environment(self.endpoint_url, self.access_key, self.secret_key)

    def __enter__(self) -> Self:
        """Start all of it. Raises `CannotStart`."""
        try:
            install(PACKAGES, PROGRAMS)
            self._start_cluster()
            self.start_gateway()
            self._make_user_and_bucket()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End all of it."""
        self.close()

    def start_gateway(self) -> None:
        """Start the gateway, and wait until it answers. It dies with the thread that starts it."""
        assert self._gateway is None, "the gateway runs"
        self._gateway = self._daemon(
            "radosgw", "-n", "client.rgw", f"--rgw_frontends=beast endpoint=127.0.0.1:{self._port}"
        )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._gateway.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.05)
        raise CannotStart(f"radosgw does not answer: {self._last_words('client.rgw')}")

    def make_user(self, name: str, secret_key: str) -> None:
        """Another user, who may do nothing yet; the access key is the name."""
        keys = ("--access-key", name, "--secret-key", secret_key)
        self._do("radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}", *keys)

    def kill_gateway(self) -> None:
        """Kill the gateway as `kill -9` does. What it has acknowledged is in the storage daemon, which lives on."""
        assert self._gateway is not None, "the gateway does not run"
        self._gateway.kill()
        self._gateway.wait()
        self._gateway = None

    def close(self) -> None:
        """End every process and remove the folder."""
        processes = [*self._processes, *([self._gateway] if self._gateway else [])]
        for process in reversed(processes):
            process.kill()
            process.wait()
        self._processes, self._gateway = [], None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_cluster(self) -> None:
        folder, fsid, [mon_port] = self._folder, str(uuid.uuid4()), free_ports(1)
        text = _CONFIGURATION.format(folder=folder, fsid=fsid, mon_port=mon_port, store_bytes=STORE_BYTES)
        (folder / "ceph.conf").write_text(text)
        for data in ("mon", "osd"):
            (folder / data).mkdir()
        self._do("ceph-authtool", "--create-keyring", folder / "keyring")
        for name, granted in _CAPABILITIES.items():
            capabilities = [word for kind, what in zip(granted[::2], granted[1::2], strict=True)
                            for word in ("--cap", kind, what)]  # fmt: skip
            self._do("ceph-authtool", folder / "keyring", "--gen-key", "-n", name, *capabilities)
        address = f"[v2:127.0.0.1:{mon_port}/0]"
        self._do("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, folder / "monmap")
        self._do("ceph-mon", "-i", "a", "--mkfs", "--monmap", folder / "monmap", "--keyring", folder / "keyring")
        self._processes.append(self._daemon("ceph-mon", "-i", "a"))
        osd = str(uuid.uuid4())
        self._do("ceph", "osd", "new", osd, "0")
        self._do("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._processes.append(self._daemon("ceph-osd", "-i", "0"))

    def _make_user_and_bucket(self) -> None:
        keys = ("--access-key", self.access_key, "--secret-key", self.secret_key)
        self._do("radosgw-admin", "user", "create", "--uid=tester", "--display-name=tester", *keys)
        try:
            plain_client(self).create_bucket(Bucket=self.bucket)
        except (BotoCoreError, ClientError) as error:
            raise CannotStart(f"radosgw makes no bucket: {error}") from error

    def _do(self, *command: str | Path) -> None:
        program, *arguments = map(str, command)
        try:
            subprocess.run(
                [program, "-c", str(self._folder / "ceph.conf"), *arguments]
                if not program.endswith("tool")
                else [program, *arguments],
                capture_output=True,
                timeout=START_TIMEOUT_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise CannotStart(f"{program}: {error.stderr.decode(errors='replace')[-1000:]}") from error
        except subprocess.TimeoutExpired as error:
            raise CannotStart(f"{program} took more than {START_TIMEOUT_S:g} s") from error

    def _daemon(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """A process in the foreground that is killed when this one dies, whatever it dies of."""
        output = (self._folder / f"{program}.out").open("ab")
        with output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "-f", "-c", str(self._folder / "ceph.conf"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _last_words(self, name: str) -> str:
        files = [file for file in self._folder.glob("*") if name in file.name or file.suffix == ".out"]
        return " | ".join(file.read_text(errors="replace")[-500:] for file in files if file.is_file())
