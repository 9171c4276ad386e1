"""A row of a problem file, the mistakes that may stand in its place, and how far a file may unpack."""

from typing import NamedTuple

from records.failure import InvalidInput

MIN_UNPACKED_BYTES, MAX_EXPANSION = 256 * 2**20, 200
"""What a packed file may unpack to: so much in any case, else so many times its size. Texts unpack to 3 to 20 times."""


class LineError(Exception):
    """One mistake: what it is and what to do. The place is added by who knows the line."""


class NoColumns(LineError):
    """It is not even known what to read, so there is no use in looking at the next line."""


class TooLong(Exception):
    """A line or a row beyond its bound: where the next one begins is not known."""


class FileRow(NamedTuple):
    """One row of a file.

    Attributes:
        number: the line on which it begins, from 1; of Parquet the row, from 1.
        columns: name -> value as the file has it; or the mistake that stands there.
    """

    number: int
    columns: dict[str, object] | LineError


class Expansion:
    """Counts what a packed file has unpacked to.

    Args:
        path: of the file, for the message.
        num_bytes: of the file as it is.
    """

    def __init__(self, path: str, num_bytes: int) -> None:
        self._path, self._packed = path, num_bytes
        self._bound = max(MIN_UNPACKED_BYTES, MAX_EXPANSION * num_bytes)
        self._unpacked = 0

    def add(self, num_bytes: int) -> None:
        """So many bytes more.

        Raises:
            InvalidInput: they are too many.
        """
        self._unpacked += num_bytes
        if self._unpacked > self._bound:
            raise InvalidInput(
                f"{self._path}: its {self._packed:,} bytes unpack to more than {self._bound:,}; unpack it yourself if "
                "it is what you want"
            )
