"""The nouns: problem, step, path, request, outcome, failure, tables, manifest. Standard library and pyarrow only."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from records.run_folder.reader import read_run

__all__ = ["read_run"]


def __getattr__(name: str) -> object:
    """`records.read_run`, found when it is first used: most of the package does without pyarrow."""
    if name != "read_run":
        raise AttributeError(f"module 'records' has no attribute {name!r}")
    from records.run_folder.reader import read_run  # noqa: PLC0415 - pyarrow is slow to load

    return read_run
