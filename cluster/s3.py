"""A run in an object store: the seven verbs of `records.run_folder.store.Store` as plain S3 requests.

    create    PUT with If-None-Match: *  and a token of this write --200--> made
                                                                   --412--> HEAD: our token? made (a lost reply)
                                                                                  another's? it exists
                                                                   --409--> two creators met: again
    replace   PUT                 upload    PUT of a whole file, never in several parts
    read      GET                 list      as many pages as there are          delete   DELETE
    now_s     the Date of an answer

Everything is one PUT with Content-MD5, so an object is whole or is not there; a server that keeps something else than
was sent refuses it. botocore sends again what got no answer, or a 500 or 503; each of these requests may be sent twice.
"""

import base64
import hashlib
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from cluster.s3_client import (
    S3Address,
    code_of,
    errors,
    failure,
    make_client,
    parse_address,
    status_of,
)
from records.failure import StoreFailed
from records.run_folder.store import check_name

MAX_UPLOAD_BYTES = 5 * 2**30
"""Of one PUT, by S3."""
MAX_TRIES = 8
"""Of a create that meets others (409), and of a read whose reply is cut short."""
FIRST_PAUSE_S = 0.05
_WRITE = "parsimony-write"


class S3Store:
    """`records.run_folder.store.Store` below `s3://bucket/prefix`. Every method may raise `StoreFailed`.

    Travels: every process makes a client from its own AWS settings.
    """

    def __init__(self, uri: str) -> None:
        """Nothing is sent yet. Raises `InvalidInput` if `uri` is no address in an object store."""
        self._address: S3Address = parse_address(uri)
        self._made: Any = None

    def __getstate__(self) -> S3Address:
        """The address alone: a client holds credentials and sockets."""
        return self._address

    def __setstate__(self, address: S3Address) -> None:
        """Restore from pickled state, which holds no client."""
        self._address, self._made = address, None

    def __repr__(self) -> str:
        """Where it is."""
        return f"S3Store({self.uri!r})"

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return str(self._address)

    def check_access(self) -> None:
        """Ask for one name, patiently enough for a slow store and no longer.

        Raises:
            InvalidInput: endpoint, bucket, credentials or permissions are wrong; what to do.
        """
        try:
            make_client(max_attempts=2).list_objects_v2(Bucket=self._address.bucket, Prefix=self._key(""), MaxKeys=1)
        except errors() as error:
            raise failure(error, "list", self.uri, starting=True) from error

    def create(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`. False, and nothing changes, if it exists."""
        token = uuid4().hex
        with self._failures("create", name):
            for _ in _tries():
                try:
                    self._put(name, data, {_WRITE: token}, IfNoneMatch="*")
                except errors() as error:
                    if status_of(error) == 412:
                        there = self._head(name)
                        if there is not None:
                            return bool(there["Metadata"].get(_WRITE) == token)
                    elif status_of(error) != 409:
                        raise
                else:
                    return True
        raise StoreFailed(f"create {self._where(name)}: other creators are in the way, {MAX_TRIES} times over")

    def replace(self, name: str, data: bytes) -> None:
        """Create or overwrite `name` as a whole."""
        with self._failures("replace", name):
            self._put(name, data, {})

    def upload(self, name: str, file: Path) -> None:
        """Put a local file of at most `MAX_UPLOAD_BYTES` at `name`, as a whole."""
        with self._failures("upload", name), file.open("rb") as stream:
            size = file.stat().st_size
            if size > MAX_UPLOAD_BYTES:
                raise StoreFailed(
                    f"upload {self._where(name)}: {file} has {size} bytes, and one PUT takes {MAX_UPLOAD_BYTES}; "
                    "lower output.flush_problems"
                )
            self._put(name, stream, {})

    def read(self, name: str) -> bytes | None:
        """The content of `name`; None if there is none."""
        with self._failures("read", name):
            for _ in _tries():
                try:
                    answer = self._client.get_object(Bucket=self._address.bucket, Key=self._key(name))
                except errors() as error:
                    if status_of(error) == 404 and code_of(error) != "NoSuchBucket":
                        return None
                    raise
                try:
                    content: bytes = answer["Body"].read()
                except errors():  # cut short, which botocore leaves to us
                    continue
                return content
        raise StoreFailed(f"read {self._where(name)}: the reply was cut short, {MAX_TRIES} times over")

    def list(self, prefix: str) -> list[str]:
        """All names that begin with `prefix`, sorted."""
        start = len(self._key(""))
        with self._failures("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._address.bucket, Prefix=self._key(prefix)
            )
            return sorted(item["Key"][start:] for page in pages for item in page.get("Contents", ()))

    def delete(self, name: str) -> None:
        """Remove `name`, if it is there."""
        with self._failures("delete", name):
            self._client.delete_object(Bucket=self._address.bucket, Key=self._key(name))

    def now_s(self) -> float:
        """By the server's clock, to the second; ours where the answer has no date."""
        with self._failures("list", ""):
            answer = self._client.list_objects_v2(Bucket=self._address.bucket, Prefix=self._key(""), MaxKeys=1)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return time.time() if date is None else parsedate_to_datetime(date).timestamp()

    @property
    def _client(self) -> Any:
        """This process's client. Two threads may each make one; either will do."""
        if self._made is None:
            self._made = make_client()
        return self._made

    def _put(self, name: str, body: bytes | BinaryIO, metadata: Mapping[str, str], **condition: str) -> None:
        """One PUT, after which the store holds what was sent.

        The server checks Content-MD5 and answers with it as the ETag. Where it does not, what it holds is read back;
        only AWS's own encryption, which changes the ETag, is taken at its word.
        """
        digest, size = hashlib.md5(usedforsecurity=False), 0
        for block in [body] if isinstance(body, bytes) else iter(lambda: body.read(1 << 20), b""):
            digest.update(block)
            size += len(block)
        if not isinstance(body, bytes):
            body.seek(0)
        answer = self._client.put_object(
            Bucket=self._address.bucket,
            Key=self._key(name),
            Body=body,
            ContentMD5=base64.b64encode(digest.digest()).decode(),
            Metadata=dict(metadata),
            **condition,
        )
        etag, encrypted = (
            str(answer.get("ETag", "")).strip('"'),
            answer.get("ServerSideEncryption", "AES256") != "AES256",
        )
        if etag != digest.hexdigest() and not encrypted:
            kept = self.read(name)
            if kept is None or hashlib.md5(kept, usedforsecurity=False).digest() != digest.digest():
                raise StoreFailed(f"write {self._where(name)}: the store does not hold the {size} bytes that it took")

    def _head(self, name: str) -> dict[str, Any] | None:
        """What the store says of `name`; None if there is no such object (any more)."""
        try:
            answer: dict[str, Any] = self._client.head_object(Bucket=self._address.bucket, Key=self._key(name))
        except errors() as error:
            if status_of(error) == 404:
                return None
            raise
        return answer

    def _key(self, name: str) -> str:
        """Of a name, or of a prefix of names."""
        return f"{self._address.key}/{name}" if self._address.key else name

    def _where(self, name: str) -> str:
        return f"s3://{self._address.bucket}/{self._key(name)}"

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        if verb != "list":
            check_name(name)
        try:
            yield
        except errors() as error:
            raise failure(error, verb, self._where(name)) from error
        except OSError as error:
            raise StoreFailed(f"{verb} {self._where(name)}: {error}") from error


def _tries() -> Iterator[None]:
    """`MAX_TRIES` turns, with growing pauses between them."""
    for number in range(MAX_TRIES):
        if number:
            time.sleep(FIRST_PAUSE_S * 2**number * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        yield
