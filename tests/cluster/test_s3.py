"""S3Store where things go wrong: lost replies, errors, cut transfers, servers that ignore conditions, settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.s3 import MAX_TRIES, S3Store
from cluster.s3_client import MAX_ATTEMPTS
from cluster.store import open_store, probe, refuses_second_create
from records.failure import InvalidInput, StoreFailed
from tests.services.servers import Bucket

BOTH = pytest.mark.parametrize("times", [1, MAX_ATTEMPTS - 1])


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    return S3Store(bucket.uri("run"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries that a test can wait for."""
    monkeypatch.setattr("time.sleep", lambda _: None)


# A write that took effect, and whose reply was lost


@BOTH
def test_a_create_whose_reply_was_lost_is_ours(bucket: Bucket, store: S3Store, times: int) -> None:
    bucket.fail("PUT", "/run/a", "drop", times=times)
    assert store.create("a", b"ours")
    assert store.read("a") == b"ours"
    assert bucket.proxy.count("PUT", "/run/a") == times + 1
    assert bucket.proxy.count("HEAD", "/run/a") == 1


def test_a_create_that_lost_the_race_and_then_its_reply_is_not_ours(bucket: Bucket, store: S3Store) -> None:
    bucket.put("run/a", b"theirs")
    bucket.fail("PUT", "/run/a", "drop")
    assert not store.create("a", b"ours")
    assert store.read("a") == b"theirs"


def test_the_same_content_by_another_writer_is_not_ours(bucket: Bucket, store: S3Store) -> None:
    assert S3Store(store.uri).create("a", b"same")
    bucket.fail("PUT", "/run/a", "drop")
    assert not store.create("a", b"same")


def test_a_create_that_never_hears_a_reply_fails_and_says_no_lie(bucket: Bucket, store: S3Store) -> None:
    bucket.fail("PUT", "/run/a", "drop", times=100)
    with pytest.raises(StoreFailed, match=r"create s3://.*/run/a"):
        store.create("a", b"ours")
    assert store.read("a") == b"ours"
    bucket.proxy.faults.clear()
    assert not store.create("a", b"ours")  # the caller reads it, and finds its own content


# Errors that pass


@BOTH
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("verb", ["create", "replace", "upload", "read", "list", "delete"])
def test_a_server_that_is_busy_for_a_while_is_waited_for(
    bucket: Bucket, store: S3Store, tmp_path: Path, verb: str, status: int, times: int
) -> None:
    file = tmp_path / "part"
    file.write_bytes(b"new")
    if verb in {"read", "delete"}:
        bucket.put("run/a", b"new")
    method = {"read": "GET", "list": "GET", "delete": "DELETE"}.get(verb, "PUT")
    bucket.fail(method, "" if verb == "list" else "/run/a", "status", status=status, times=times)
    actions = {
        "create": lambda: store.create("a", b"new"),
        "replace": lambda: store.replace("a", b"new"),
        "upload": lambda: store.upload("a", file),
        "read": lambda: store.read("a"),
        "list": lambda: store.list(""),
        "delete": lambda: store.delete("a"),
    }
    wanted = {"create": True, "read": b"new", "list": []}.get(verb)
    assert actions[verb]() == wanted
    assert store.read("a") == (None if verb in {"list", "delete"} else b"new")


@pytest.mark.parametrize("times", [1, MAX_TRIES - 1])
def test_a_conflict_of_two_creators_is_tried_again(bucket: Bucket, store: S3Store, times: int) -> None:
    bucket.fail("PUT", "/run/a", "status", status=409, times=times)
    assert store.create("a", b"ours")
    bucket.fail("PUT", "/run/a", "status", status=409, times=times)
    assert not store.create("a", b"again")
    assert store.read("a") == b"ours"


def test_conflicts_without_end_are_a_failure(bucket: Bucket, store: S3Store) -> None:
    bucket.fail("PUT", "/run/a", "status", status=409, times=1000)
    with pytest.raises(StoreFailed, match="other creators are in the way"):
        store.create("a", b"ours")


def test_errors_without_end_are_a_failure_that_names_verb_bucket_and_key(bucket: Bucket, store: S3Store) -> None:
    bucket.fail("PUT", "/run/a", "status", status=503, times=1000)
    with pytest.raises(StoreFailed, match=rf"replace s3://runs/{bucket.prefix}/run/a: .*503"):
        store.replace("a", b"")


# Transfers that are cut


@BOTH
@pytest.mark.parametrize("verb", ["create", "replace", "upload"])
def test_a_write_that_was_cut_leaves_nothing_and_is_sent_again_as_a_whole(
    bucket: Bucket, store: S3Store, tmp_path: Path, verb: str, times: int
) -> None:
    data = os.urandom(300_000)
    file = tmp_path / "part"
    file.write_bytes(data)
    bucket.fail("PUT", "/run/a", "cut", times=times)
    if verb == "create":
        assert store.create("a", data)
    elif verb == "replace":
        store.replace("a", data)
    else:
        store.upload("a", file)
    assert store.read("a") == data


def test_a_write_that_is_always_cut_leaves_what_was_there(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(os.urandom(300_000))
    bucket.put("run/old", b"old")
    for name in ("old", "new"):
        bucket.fail("PUT", f"/run/{name}", "cut", times=1000)
        with pytest.raises(StoreFailed, match="upload"):
            store.upload(name, file)
    assert (store.read("old"), store.read("new")) == (b"old", None)


@pytest.mark.parametrize("times", [1, MAX_TRIES - 1])
def test_a_read_that_was_cut_is_made_again(bucket: Bucket, store: S3Store, times: int) -> None:
    data = os.urandom(300_000)
    bucket.put("run/a", data)
    bucket.fail("GET", "/run/a", "short", times=times)
    assert store.read("a") == data


def test_a_read_that_is_always_cut_is_a_failure_and_not_half_a_file(bucket: Bucket, store: S3Store) -> None:
    bucket.put("run/a", b"x" * 1000)
    bucket.fail("GET", "/run/a", "short", times=1000)
    with pytest.raises(StoreFailed, match="cut short"):
        store.read("a")


def test_what_the_server_received_otherwise_is_found_out(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    """A file that changes between its hash and its sending: Content-MD5 shows it, or what the store has then."""

    class Changing(type(store)):  # type: ignore[misc]
        @property
        def _client(self):
            file.write_bytes(b"another")
            return super()._client

    file = tmp_path / "part"
    file.write_bytes(b"content")
    with pytest.raises(StoreFailed, match=r"BadDigest|the store does not hold the 7 bytes"):
        Changing(store.uri).upload("a", file)


def test_a_file_above_what_one_put_takes_is_refused_before_it_is_read(store: S3Store, tmp_path: Path) -> None:
    file = tmp_path / "part"
    with file.open("wb") as stream:
        stream.truncate(5 * 2**30 + 1)
    with pytest.raises(StoreFailed, match=r"5368709121 bytes.*output\.flush_problems"):
        store.upload("a", file)


# Servers that ignore conditions


def test_a_server_that_ignores_conditions_is_refused(nanio_bucket: Bucket) -> None:
    store = open_store(nanio_bucket.uri("run"))
    assert not refuses_second_create(store)
    with pytest.raises(InvalidInput, match="--single-writer"):
        probe(store)
    assert store.list("") == []


# Settings of the user that are wrong


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://b u/x", "s3://bucket//x", "s3://bucket/a/../b", "s3://x/y"])
def test_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(InvalidInput, match="write s3://bucket/prefix"):
        open_store(uri)


def test_an_address_may_end_in_a_slash_and_be_a_whole_bucket(bucket: Bucket) -> None:
    assert open_store(bucket.uri("run/")).uri == bucket.uri("run")
    assert open_store("s3://runs").uri == "s3://runs"
    whole = open_store("s3://runs/")
    whole.replace(f"{bucket.prefix}-whole", b"1")
    assert f"{bucket.prefix}-whole" in whole.list("")
    whole.delete(f"{bucket.prefix}-whole")


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket) -> None:
    with pytest.raises(InvalidInput, match=r"s3://no-such-bucket/run: .*create the bucket first"):
        open_store("s3://no-such-bucket/run")


def test_keys_that_the_server_does_not_know_are_named(radosgw_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(InvalidInput, match="check the credentials"):
        open_store(radosgw_bucket.uri("run"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(InvalidInput, match="check the credentials"):
        open_store(radosgw_bucket.uri("run"))


def test_no_credentials_at_all(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InvalidInput, match="Unable to locate credentials; check the credentials"):
        open_store(bucket.uri("run"))


def test_a_profile_that_is_not_there(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidInput, match="nobody"):
        open_store(bucket.uri("run"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "not a url"])
def test_an_endpoint_where_nobody_listens(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(InvalidInput, match=r"check AWS_ENDPOINT_URL|AWS settings cannot be used"):
        open_store(bucket.uri("run"))


def test_a_bucket_that_may_only_be_read(radosgw_bucket: Bucket) -> None:
    bucket = radosgw_bucket
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",'
        f'"Resource":"arn:aws:s3:::{bucket.server.bucket}/{bucket.prefix}/*"}}]}}'
    )
    client = bucket.client
    client.put_bucket_policy(Bucket=bucket.server.bucket, Policy=policy)
    try:
        store = open_store(bucket.uri("run"))
        with pytest.raises(InvalidInput, match=r"AccessDenied.*allow s3:PutObject on the prefix"):
            probe(store)
    finally:
        client.delete_bucket_policy(Bucket=bucket.server.bucket)


def test_settings_may_stand_in_a_file(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {bucket.proxy.url}\n")
    credentials.write_text(
        f"[lab]\naws_access_key_id = {bucket.server.access_key}\naws_secret_access_key = {bucket.server.secret_key}\n"
    )
    for name in bucket.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    store = open_store(bucket.uri("run"))
    assert store.create("a", b"1")
    assert bucket.get("run/a") == b"1"


def test_boto_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, jobs.cli, jobs.scoring.plan, jobs.status, cluster.store; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
