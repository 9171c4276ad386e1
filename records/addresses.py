"""Addresses with a password in them, which is for nobody to see: not in a message, a manifest or a log."""

import ipaddress
import logging
import re
from functools import cache
from urllib.parse import urlsplit

_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#\"'<>]*)@")
_log = logging.getLogger(__name__)
_LOCAL_NAMES = ("localhost", "ip6-localhost")


def without_passwords(text: str) -> str:
    """The text with `***@` where an address names a user and a password.

    >>> without_passwords('Could not connect to "http://me:secret@10.0.0.1:9000/b"')
    'Could not connect to "http://***@10.0.0.1:9000/b"'
    """
    return _USER.sub(r"\g<scheme>***@", text) if "@" in text else text


def has_password(text: str) -> bool:
    """Whether an address in the text names a user."""
    return _USER.search(text) is not None


def in_the_clear(endpoint: str) -> bool:
    """Whether what is sent to that endpoint crosses a network unencrypted."""
    parts = urlsplit(endpoint)
    if parts.scheme.lower() != "http":
        return False
    host = (parts.hostname or "").rstrip(".")
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


@cache
def warn_in_the_clear(endpoint: str) -> None:
    """Say once that an endpoint of an object store is spoken to unencrypted, where that is so."""
    if in_the_clear(endpoint):
        _log.warning(
            "warning: %s is no https://: whoever is on the way reads and changes what is stored there",
            without_passwords(endpoint),
        )
