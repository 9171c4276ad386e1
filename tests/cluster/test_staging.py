import multiprocessing
import struct
import threading
from pathlib import Path

import pytest

from cluster.staging import OUTLINE_BYTES, stage_file, stage_folder, stage_outline
from records.failure import InvalidInput, StoreFailed
from tests.services.servers import Bucket


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_below(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("stage", [stage_file, stage_folder, stage_outline])
def test_a_local_path_is_returned_as_it_is(stage) -> None:
    assert stage("some/where not there") == Path("some/where not there")


def test_a_file_is_downloaded_once(bucket: Bucket) -> None:
    bucket.put("in/problems.jsonl", b"one\n")
    first = stage_file(bucket.uri("in/problems.jsonl"))
    assert (first.name, first.read_bytes()) == ("problems.jsonl", b"one\n")
    requests = bucket.proxy.count("GET", "/in/problems.jsonl")
    assert stage_file(bucket.uri("in/problems.jsonl")) == first
    assert bucket.proxy.count("GET", "/in/problems.jsonl") == requests


def test_a_changed_object_is_another_file_and_the_old_one_stays(bucket: Bucket) -> None:
    bucket.put("problems.jsonl", b"one\n")
    first = stage_file(bucket.uri("problems.jsonl"))
    bucket.put("problems.jsonl", b"two\n")
    second = stage_file(bucket.uri("problems.jsonl"))
    assert (first.read_bytes(), second.read_bytes()) == (b"one\n", b"two\n")


@pytest.mark.parametrize("key", ["a b.jsonl", "caf\u00e9/\u6570.csv", "x%20y.jsonl", "q?a=1#b.jsonl", "n" * 255, "e"])
def test_odd_names(bucket: Bucket, key: str) -> None:
    content = b"" if key == "e" else key.encode()
    bucket.put(key, content)
    assert stage_file(bucket.uri(key)).read_bytes() == content


def test_what_is_not_there_is_named(bucket: Bucket) -> None:
    with pytest.raises(InvalidInput, match=r"s3://.*/none\.jsonl: there is no such object"):
        stage_file(bucket.uri("none.jsonl"))
    bucket.put("models/other", b"")
    with pytest.raises(InvalidInput, match=r"s3://.*/models/none: there are no objects below"):
        stage_folder(bucket.uri("models/none"))
    with pytest.raises(InvalidInput, match="create the bucket first"):
        stage_folder("s3://no-such-bucket/x")


def test_a_folder_comes_as_a_whole_and_a_changed_one_is_another(bucket: Bucket) -> None:
    content = {"config.json": b"{}", "deep/er/x": b"x" * 100, "model.safetensors": bytes(9 * 2**20)}
    for name, data in content.items():
        bucket.put(f"models/small/{name}", data)
    bucket.put("models/small/deep/", b"")  # as consoles write a folder
    bucket.put("models/smaller/config.json", b"another")
    folder = stage_folder(bucket.uri("models/small/"))
    assert (folder.name, files_below(folder)) == ("small", content)
    assert stage_folder(bucket.uri("models/small")) == folder
    bucket.put("models/small/config.json", b"[]")
    changed = stage_folder(bucket.uri("models/small"))
    assert changed != folder
    assert (changed / "config.json").read_bytes() == b"[]"


def test_a_name_that_leaves_the_folder_is_refused(bucket: Bucket) -> None:
    bucket.put("models/bad/../../x", b"")
    with pytest.raises(InvalidInput, match="cannot be a local file"):
        stage_folder(bucket.uri("models/bad"))


def test_an_outline_has_headers_and_sizes_but_no_weights(bucket: Bucket) -> None:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = struct.pack("<Q", len(header)) + header + b"\1" * OUTLINE_BYTES
    bucket.put("m/config.json", b"{}")
    bucket.put("m/model.safetensors", weights)
    bucket.put("m/pytorch_model.bin", weights)
    folder = stage_outline(bucket.uri("m"))
    assert (folder / "config.json").read_bytes() == b"{}"
    for name in ("model.safetensors", "pytorch_model.bin"):
        file = folder / name
        assert file.stat().st_size == len(weights)
        assert file.stat().st_blocks * 512 < 2**20
    start = (folder / "model.safetensors").read_bytes()[: 8 + len(header) + 8]
    assert start == weights[: 8 + len(header)] + bytes(8)
    assert stage_folder(bucket.uri("m")) != folder
    bucket.put("small/config.json", b"{}")
    assert stage_outline(bucket.uri("small")) == stage_folder(bucket.uri("small"))


def test_threads_and_processes_that_ask_at_once_share_one_download(bucket: Bucket) -> None:
    bucket.put("big", b"x" * 20 * 2**20)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(stage_file(bucket.uri("big")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found += pool.map(stage_file, [bucket.uri("big")] * 4)
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0].stat().st_size == 20 * 2**20
    assert sorted(file.name for file in found[0].parent.iterdir()) == [".lock", "big"]


def test_a_download_that_was_cut_is_taken_up_at_the_next_file(bucket: Bucket) -> None:
    for name in ("a", "b", "c"):
        bucket.put(f"m/{name}", name.encode())
    bucket.fail("GET", "/m/b", "status", status=403)
    with pytest.raises(InvalidInput, match=r"read s3://.*/m/b"):
        stage_folder(bucket.uri("m"))
    before = bucket.proxy.count("GET", "/m/a")
    assert files_below(stage_folder(bucket.uri("m"))) == {"a": b"a", "b": b"b", "c": b"c"}
    assert bucket.proxy.count("GET", "/m/a") == before


def test_a_cache_that_cannot_be_written_is_named(bucket: Bucket, cache: Path) -> None:
    bucket.put("x", b"")
    cache.write_text("a file where the folder should be")
    with pytest.raises(StoreFailed, match="set PARSIMONY_CACHE"):
        stage_file(bucket.uri("x"))
