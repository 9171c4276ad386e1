"""Connections to object stores: addresses, boto3 clients made from the usual AWS settings, and what errors mean.

Endpoint, region and credentials come from where every AWS tool takes them (`AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_PROFILE`, `~/.aws`, the machine's role); nothing of them is ever stored, pickled or shown. boto3 is loaded by the
first client.
"""

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from records.addresses import warn_in_the_clear, without_passwords
from records.failure import InvalidInput, StoreFailed
from records.run_folder.store import check_name

SCHEME = "s3://"
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
MAX_CONNECTIONS = 32
"""At a time: as many threads as read one run side by side, and others that write to it."""
MAX_ATTEMPTS = 5
"""Of one request, the first included; all within a second or so. Whoever needs more patience asks again."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_AWS_HOST = re.compile(r"\.amazonaws\.com(\.cn)?$")

_CREDENTIALS = (
    "check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with ~/.aws/credentials, or "
    "the machine's role"
)
_PERMISSIONS = "allow {action} (docs/object-storage.md, Permissions), or " + _CREDENTIALS
_READ = "s3:GetObject on the prefix and s3:ListBucket on the bucket, without which what is missing looks forbidden"
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket on the bucket",
    "GetObject": _READ,
    "HeadObject": _READ,
    "PutObject": "s3:PutObject on the prefix",
    "DeleteObject": "s3:DeleteObject on the prefix",
}
"""Operation -> what has to be allowed for it."""
_ALL_ACTIONS = "s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and s3:DeleteObject on the prefix"
_ENDPOINT = "check AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_S3, or endpoint_url in ~/.aws/config), region and network"
_ADVICE_BY_CODE = {
    "NoSuchBucket": "create the bucket first, or correct its name (and AWS_ENDPOINT_URL)",
    "InvalidBucketName": "correct the name of the bucket",
    "AccessDenied": _PERMISSIONS,
    "AllAccessDisabled": _PERMISSIONS,
    "Forbidden": _PERMISSIONS,
    "403": _PERMISSIONS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "IllegalLocationConstraintException": "set AWS_REGION to the bucket's region",
    "301": "set AWS_REGION to the bucket's region",
}
_ADVICE_BY_TYPE = {
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "CredentialRetrievalError": _CREDENTIALS,
    "TokenRetrievalError": _CREDENTIALS,
    "UnauthorizedSSOTokenError": _CREDENTIALS,
    "SSOTokenLoadError": _CREDENTIALS,
    "EndpointConnectionError": _ENDPOINT,
    "ConnectTimeoutError": _ENDPOINT,
    "SSLError": _ENDPOINT,
    "ProxyConnectionError": "check HTTPS_PROXY and NO_PROXY",
}


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket and a key or prefix in it, without slashes at its ends; the prefix of a whole bucket is empty."""

    bucket: str
    key: str

    def __str__(self) -> str:
        """As a user would write it."""
        return f"{SCHEME}{self.bucket}/{self.key}".rstrip("/")


def is_s3(uri: str) -> bool:
    """Whether `uri` is an address in an object store."""
    return uri.startswith(SCHEME)


def parse_address(uri: str) -> S3Address:
    """`s3://bucket/key` taken apart; the key is literal: nothing in it is an escape, a query or a fragment.

    Raises:
        InvalidInput: it is no such address.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    key = key.rstrip("/")
    if not is_s3(uri) or not _BUCKET.fullmatch(bucket):
        raise InvalidInput(f"{without_passwords(uri)}: not an address in an object store; write s3://bucket/prefix")
    try:
        check_name(key or "all")
    except ValueError as error:
        raise InvalidInput(f"{uri}: {error}; write s3://bucket/prefix") from error
    return S3Address(bucket, key)


def make_client(*, max_attempts: int = MAX_ATTEMPTS) -> Any:
    """An S3 client; safe to use from several threads of this process.

    Checksums beyond Content-MD5 are sent only where an operation requires them, and buckets of endpoints that are not
    AWS's stand in the path unless the AWS configuration says otherwise: that is what other servers understand.

    Raises:
        InvalidInput: the AWS settings make no client (unknown profile, malformed endpoint).
    """
    import boto3  # noqa: PLC0415 - half a second that only runs in an object store have to spend
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": max_attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        max_pool_connections=MAX_CONNECTIONS,
    )
    try:
        # botocore knows AWS_DEFAULT_REGION only; every other tool, this one too.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        client = session.client("s3", config=config)
        settings = session._session.get_scoped_config().get("s3", {})
        custom = not _AWS_HOST.search(urlsplit(client.meta.endpoint_url).hostname or "")
        if custom and "addressing_style" not in settings:
            client = session.client("s3", config=config.merge(Config(s3={"addressing_style": "path"})))
    except (BotoCoreError, ValueError) as error:
        raise InvalidInput(without_passwords(f"the AWS settings cannot be used: {error}")) from None
    warn_in_the_clear(client.meta.endpoint_url)
    return client


def errors() -> tuple[type[Exception], ...]:
    """Errors that the methods of a client raise."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return (BotoCoreError, ClientError, Boto3Error)


def code_of(error: Exception) -> str:
    """The server's word for what went wrong ("NoSuchKey", or an HTTP status), or the error's type."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else type(error).__name__


def status_of(error: Exception) -> int | None:
    """The HTTP status of the server's answer; None where there was none."""
    response = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    return int(status) if status is not None else None


def advice(error: BaseException | None) -> str | None:
    """What the user can do about an error of a client; None where it is not theirs to mend."""
    if not isinstance(error, Exception):
        return None
    found = _ADVICE_BY_TYPE.get(type(error).__name__) or _ADVICE_BY_CODE.get(code_of(error))
    operation = getattr(error, "operation_name", "")
    return found and found.format(action=_ACTIONS.get(operation, _ALL_ACTIONS))


def failure(error: Exception, verb: str, where: str, *, starting: bool = False) -> StoreFailed | InvalidInput:
    """What a verb raises from a client's error; `InvalidInput` at the start if the user can mend it."""
    mend = advice(error)
    message = without_passwords(f"{verb} {where}: {error}") + (f"; {mend}" if mend else "")
    return InvalidInput(message) if starting and mend else StoreFailed(message)
