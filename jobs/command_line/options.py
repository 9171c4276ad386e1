"""The arguments of each command, as the command line hands them to it. Standard library only: `--help` is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class RolloutOptions(ScoreOptions):
    """`parsimony rollout`.

    Attributes:
        num_trajectories: per problem; None for what the recipe says, or 8.
        num_continuations: per prefix; None likewise.
    """

    num_trajectories: int | None = None
    num_continuations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """`parsimony calibrate`.

    Attributes:
        rollouts: a finished run of `parsimony rollout`, local or under s3://, or one .parquet file of its rows.
        recipe: TOML file, or the name of a shipped recipe.
        output: folder or s3:// prefix of the calibrated PRM; one that was begun is gone on with.
        evaluations: name -> other rollouts that the table is made for.
        overrides: `section.key=value`, in the order given.
        take_over: take the output from a driver whose heartbeat is fresh.
        json: print a machine-readable report on stdout.
    """

    rollouts: str
    recipe: Path
    output: str
    evaluations: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    take_over: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """`parsimony compare`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipes: TOML files, or names of shipped recipes.
        strategies: `[RECIPE@]STRATEGY[:key=value]...`, each on every recipe that it does not name.
        output: folder or s3:// prefix of the comparison; runs that are there are resumed or used.
        baseline: label of the setting that the others are compared with; None for the first.
        margin: accuracy that a setting may lose against it and still count as not worse.
        num_orders: orders of shared samples that are averaged over, the one they were drawn in included.
        overrides: `section.key=value`, for every setting.
        limit: only so many problems, from the first on; None for all.
        take_over: take a run from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print the comparison machine-readable on stdout.
    """

    problems: str
    recipes: tuple[Path, ...]
    strategies: tuple[str, ...]
    output: str
    baseline: str | None = None
    margin: float = 0.01
    num_orders: int = 30
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    take_over: bool = False
    single_writer: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateOptions:
    """`parsimony estimate`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipe: TOML file, or the name of a shipped recipe.
        output: folder or s3:// prefix of the estimate; pilots that are there are resumed or used.
        strategies: as of `parsimony compare`; empty for the recipe's own.
        pilot: problems that are run for real.
        replicas: (generators, PRMs) for which time and money are predicted; empty for the recipe's own numbers.
        accuracy: that is wanted; None if nobody said.
        max_usd: what may be spent; None likewise.
        overrides: `section.key=value`, for every strategy.
        limit: only so many problems, from the first on; None for all.
        take_over: take a pilot from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print the estimate machine-readable on stdout.
    """

    problems: str
    recipe: Path
    output: str
    strategies: tuple[str, ...] = ()
    pilot: int = 50
    replicas: tuple[tuple[int, int], ...] = ()
    accuracy: float | None = None
    max_usd: float | None = None
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
        watch: until it is finished or stopped.
        interval_s: seconds between two readings; None for 2.
        json: print it machine-readable; when watching, a line for each reading.
    """

    run: str
    watch: bool = False
    interval_s: float | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """`parsimony export`. What only some layouts know is None where it was not given.

    Attributes:
        run: folder or s3:// prefix of the run.
        layout: one of `jobs.exporting.layouts.LAYOUTS`.
        output: file to write, local or under s3://.
        format: "parquet" or "jsonl"; None: by the output's suffix.
        chat: prompts and completions as messages (preference, distillation).
        num_pairs: most pairs of one problem (preference); None: 1.
        threshold: share of right continuations above which a step counts as right (stepwise); None: 0.
        only_correct: the best-scored right path, not the run's answer (distillation).
        json: print a machine-readable summary on stdout.
    """

    run: str
    layout: str
    output: str
    format: str | None = None
    chat: bool = False
    num_pairs: int | None = None
    threshold: float | None = None
    only_correct: bool = False
    json: bool = False
