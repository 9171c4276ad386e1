"""The arguments of each command, as the command line hands them to it. Standard library only: `--help` is instant."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """`parsimony score`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipe: TOML file.
        output: folder or s3:// prefix of the run; one that is there is resumed.
        overrides: `section.key=value`, in the order given.
        limit: score only so many problems, from the first on; None for all.
        take_over: take the run from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print a machine-readable summary on stdout.
    """

    problems: str
    recipe: Path
    output: str
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    take_over: bool = False
    single_writer: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """`parsimony status`.

    Attributes:
        run: folder or s3:// prefix of the run.
        json: print it machine-readable.
    """

    run: str
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAdapterOptions:
    """`parsimony import-adapter`.

    Attributes:
        adapter: folder of the checkpoint, local or s3://.
        base: folder of the PRM that it was trained on, local or s3://.
        output: local folder to write.
        generator: folder of the generator that it was trained for; None if unknown.
        temperature: of that generator; None if unknown.
    """

    adapter: str
    base: str
    output: str
    generator: str | None = None
    temperature: float | None = None
