"""Reading an object store with pyarrow, under the settings that every AWS tool has.

pyarrow finds credentials as the AWS SDK does, but not endpoint and region of a server that is not AWS's: they are taken
from the environment, else from the profile in `~/.aws/config`. Nothing is ever written this way: pyarrow publishes a
truncated file when a write breaks off.
"""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyarrow import fs

from records.addresses import warn_in_the_clear, without_passwords
from records.failure import InvalidInput


def s3_filesystem(bucket: str) -> Any:
    """A `pyarrow.fs.S3FileSystem` that reaches `bucket`.

    Raises:
        InvalidInput: the settings cannot be used, or nobody knows the bucket's region.
    """
    profile = _profile(os.environ)
    endpoint = (
        os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or profile.get("s3.endpoint_url")
        or profile.get("endpoint_url")
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    try:
        if endpoint:
            warn_in_the_clear(endpoint)
            virtual = profile.get("s3.addressing_style") == "virtual"
            return fs.S3FileSystem(
                endpoint_override=endpoint, region=region or "us-east-1", force_virtual_addressing=virtual
            )
        return fs.S3FileSystem(region=region or fs.resolve_s3_region(bucket))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            without_passwords(f"s3://{bucket} cannot be opened: {error}") + "; check AWS_REGION and AWS_ENDPOINT_URL"
        ) from error


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """The chosen profile of the AWS configuration; "s3.endpoint_url" for what it says of S3 alone."""
    name = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    file = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    section = name if name == "default" else f"profile {name}"
    found = dict(parser[section]) if parser.has_section(section) else {}
    services = f"services {found.get('services', '')}"
    own = parser[services].get("s3", "") if parser.has_section(services) else ""
    for line in (own + "\n" + found.get("s3", "")).splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[f"s3.{key.strip()}"] = value.strip()
    return found
