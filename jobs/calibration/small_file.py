"""The file that a calibration writes for a recipe to name: whole or not at all, and not without a place for it."""

from pathlib import Path

from records.failure import InvalidInput


def check_place(file: Path) -> None:
    """Refuse a place where no file can be, before any work.

    Raises:
        InvalidInput: it is a folder, or its folder does not exist.
    """
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InvalidInput(f"--output {file}: must be a file in a folder that exists")


def write_whole(file: Path, text: str) -> None:
    """Write it whole or not at all: a recipe that names it may be read at any moment.

    Raises:
        InvalidInput: it cannot be written.
    """
    aside = file.with_name(f".{file.name}.new")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        raise InvalidInput(f"--output {file}: cannot be written ({error.strerror})") from error
