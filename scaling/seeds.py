"""Randomness has a name: order of arrival, retries and replica count never change a seed."""

import hashlib


def seed_for(*name: str | int) -> int:
    """A 63-bit seed from a name such as (run_seed, problem_id, request, child)."""
    digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def uniform(*name: str | int) -> float:
    """A number in [0, 1) from a name."""
    return (seed_for(*name) >> 10) / 2**53
