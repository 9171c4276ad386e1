import errno
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.s3 import S3Store
from cluster.store import LocalStore, check_writable, open_store, probe
from records.failure import InvalidInput, StoreFailed
from records.run_folder.store import Store
from tests.records.stores import MemoryStore
from tests.services.servers import Bucket

REAL = ["local", "moto", pytest.param("radosgw", marks=pytest.mark.s3)]


def _make(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    if kind == "local":
        return LocalStore(folder / "deep" / "run")
    if kind == "memory":
        return MemoryStore()
    bucket: Bucket = request.getfixturevalue(f"{kind}_bucket")
    return S3Store(bucket.uri("deep/run"))


@pytest.fixture(params=[*REAL, "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every store, and the twin in memory that other tests rely on."""
    return _make(request.param, request, tmp_path)


@pytest.fixture(params=REAL)
def real_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every store that several processes may share."""
    return _make(request.param, request, tmp_path)


def test_what_was_created_can_be_read_and_not_created_again(store: Store) -> None:
    assert store.create("_commits/1.json", b"one")
    assert not store.create("_commits/1.json", b"two")
    assert not store.create("_commits/1.json", b"one")
    assert store.read("_commits/1.json") == b"one"


def test_replace_creates_and_overwrites(store: Store) -> None:
    store.replace("a/b/c", b"one")
    store.replace("a/b/c", b"two")
    assert store.read("a/b/c") == b"two"


def test_upload_puts_a_whole_file(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(b"x" * 3_000_000)
    store.upload("problems/part-1.parquet", file)
    assert store.read("problems/part-1.parquet") == file.read_bytes()
    assert file.exists()


def test_what_is_not_there_reads_as_none_and_deletes_quietly(store: Store) -> None:
    assert store.read("a/b") is None
    store.delete("a/b")
    assert store.list("") == []
    store.create("a/b", b"")
    assert store.read("a/b") == b""
    store.delete("a/b")
    assert store.read("a/b") is None


def test_list_gives_sorted_names_by_prefix(store: Store) -> None:
    for name in ("b", "a/2", "a/10", "a/x/y", "ab", "a-1"):
        store.create(name, b"")
    assert store.list("") == ["a-1", "a/10", "a/2", "a/x/y", "ab", "b"]
    assert store.list("a/") == ["a/10", "a/2", "a/x/y"]
    assert store.list("a/1") == ["a/10"]
    assert store.list("a/x") == ["a/x/y"]
    assert store.list("none/") == []


def test_names_are_kept_letter_by_letter(store: Store) -> None:
    names = ["a b", "a+b", "a%20b", "caf\u00e9/\u6570\U0001f600", "q?x=1&y#z", "'\"", "~!@$^*()", "dots...", "a=1/b=2"]
    for name in names:
        assert store.create(name, name.encode())
    assert store.list("") == sorted(names)
    assert [store.read(name) for name in names] == [name.encode() for name in names]
    assert store.list("caf\u00e9/") == ["caf\u00e9/\u6570\U0001f600"]
    for name in names:
        store.delete(name)
    assert store.list("") == []


def test_neighbours_of_a_run_are_not_in_it(bucket: Bucket) -> None:
    run = S3Store(bucket.uri("run"))
    for key in ("run-2/a", "run2", "other/run/a"):
        bucket.put(key, b"not ours")
    run.create("a", b"ours")
    assert run.list("") == ["a"]


@pytest.mark.parametrize("kind", ["moto", pytest.param("radosgw", marks=pytest.mark.s3)])
def test_a_listing_has_as_many_pages_as_it_needs(kind: str, request: pytest.FixtureRequest) -> None:
    bucket: Bucket = request.getfixturevalue(f"{kind}_bucket")
    names = [f"_commits/{number:010d}.json" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bucket.put(f"run/{name}", b""), names))
    assert S3Store(bucket.uri("run")).list("_commits/") == names


def test_of_twelve_creators_one_wins_and_its_content_is_whole(real_store: Store) -> None:
    store = real_store
    for number in range(15):
        won: list[int] = []
        start = threading.Barrier(12)

        def race(
            racer: int, name: str = f"_commits/{number}.json", start: threading.Barrier = start, won: list[int] = won
        ) -> None:
            start.wait()
            if store.create(name, b"%d" % racer * 100_000):
                won.append(racer)

        threads = [threading.Thread(target=race, args=(racer,)) for racer in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.read(f"_commits/{number}.json") == b"%d" % won[0] * 100_000


def test_a_copy_in_another_process_is_the_same_store(real_store: Store) -> None:
    real_store.create("a", b"1")
    travelled = pickle.dumps(real_store)
    copy = pickle.loads(travelled)  # noqa: S301 - our own bytes
    assert (copy.uri, copy.read("a"), copy.create("a", b"2")) == (real_store.uri, b"1", False)
    for secret in (os.environ.get("AWS_SECRET_ACCESS_KEY"), os.environ.get("AWS_ACCESS_KEY_ID")):
        assert secret is None or (secret.encode() not in travelled and secret not in repr(real_store))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "a\0b"])
def test_a_name_stays_in_the_run(real_store: Store, name: str) -> None:
    for action in (real_store.read, real_store.delete, lambda name: real_store.create(name, b"x")):
        with pytest.raises(ValueError, match="name of a file in a run"):
            action(name)


def test_files_in_the_making_have_no_name_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="files in the making"):
        LocalStore(tmp_path).create(".tmp/x", b"x")


def test_files_in_the_making_are_never_listed_and_are_gone_afterwards(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a", b"1")
    store.create("a", b"2")
    assert list((tmp_path / ".tmp").iterdir()) == []
    (tmp_path / ".tmp" / "left-by-a-killed-process").write_bytes(b"half")
    assert store.list("") == ["a"]


def test_an_error_of_the_disk_is_a_store_failure_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    store = LocalStore(tmp_path / "run")
    with pytest.raises(StoreFailed, match=r"create _commits/1\.json in .*/run"):
        store.create("_commits/1.json", b"x")
    with pytest.raises(StoreFailed, match="upload x"):
        LocalStore(tmp_path / "other").upload("x", tmp_path / "missing")
    folder = LocalStore(tmp_path / "third")
    folder.create("a/b", b"")
    with pytest.raises(StoreFailed, match="read a in"):
        folder.read("a")
    with pytest.raises(StoreFailed, match="replace a in"):
        folder.replace("a", b"")


def test_uris_of_local_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs/1").uri == str(tmp_path / "runs" / "1")
    assert open_store(str(tmp_path)).uri == str(tmp_path)
    assert open_store(f"file://{tmp_path}/a%20b").uri == f"{tmp_path}/a b"
    assert open_store(f"file://localhost{tmp_path}").uri == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["gs://bucket/run", "s3a://bucket/run", "file://host/run", "file://", "http://x/y"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match=uri):
        open_store(uri)


class LastWriterWins(MemoryStore):
    """A store that ignores If-None-Match, as some S3 servers do."""

    def create(self, name: str, data: bytes) -> bool:
        self.files[name] = data
        return True


class PretendsToRefuse(MemoryStore):
    """A store that says no and overwrites all the same."""

    def create(self, name: str, data: bytes) -> bool:
        new = name not in self.files
        self.files[name] = data
        return new


def test_the_probe_accepts_a_store_that_refuses_a_second_create(store: Store) -> None:
    probe(store)
    assert store.list("") == []


@pytest.mark.parametrize("careless", [LastWriterWins(), PretendsToRefuse()])
def test_the_probe_refuses_one_that_does_not(careless: MemoryStore) -> None:
    with pytest.raises(InvalidInput, match="--single-writer"):
        probe(careless)
    assert careless.files == {}


def test_a_local_folder_that_cannot_be_written_is_the_users_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for uri in (str(tmp_path / "file"), f"file://{tmp_path}/file/run"):
        with pytest.raises(InvalidInput, match="is a file, and a run is a folder"):
            open_store(uri)
    store = open_store(str(tmp_path / "run"))
    check_writable(store)
    assert not (tmp_path / "run").exists(), "nothing is left of it"
    assert store.list("") == []

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(LocalStore, "_make_folder", denied)  # root may write everywhere
    with pytest.raises(InvalidInput, match=r"cannot be written: Permission denied\. Name an --output that can"):
        check_writable(open_store(str(tmp_path / "other")))
