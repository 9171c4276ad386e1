"""`score`: a scoring run from Python."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path

from jobs.command_line.score import ScoreOptions
from parsimony.inputs import Problems, as_in_a_program, overrides_of, problem_file, strategy_overrides
from parsimony.runs import StoredRun, open_run


def score(
    problems: Problems,
    *,
    recipe: str | PathLike[str],
    output: str | PathLike[str],
    strategy: str | Callable[..., object] | None = None,
    settings: Mapping[str, object] | None = None,
    limit: int | None = None,
    take_over: bool = False,
) -> StoredRun:
    """Search every problem, grade the answers, write rows as Parquet; what `parsimony score` does. Again = resume.

    Progress goes to stderr. The call returns when every problem has its row; some may have failed, and say why.

    Args:
        problems: a JSON Lines, CSV or Parquet file, local or under s3://; a table of pyarrow, pandas or Polars; or rows
            as dictionaries.
        recipe: a TOML file, or the name of a shipped recipe.
        output: folder or s3:// prefix of the run; one that is there is gone on with.
        strategy: in place of the recipe's: a name, or a generator function of your own at the top level of a module or
            notebook, which gets `strategy.options` as keyword arguments.
        settings: `{"section.key": value}`, as `--set`; None takes a key out.
        limit: only so many problems, from the first on.
        take_over: take the run from a controller whose heartbeat is fresh.

    Returns:
        The finished run.

    Raises:
        InvalidInput: file, line or field, and what to do; nothing was started.
        RunMismatch: the run at `output` was begun with something that decides results otherwise.
        FailedAlike: the first problems all failed for one reason.
        Failure: what else ended it early; the same call resumes it.
        KeyboardInterrupt: what there is is written, and the same call resumes it.
    """
    with as_in_a_program(), problem_file(problems) as file:
        from jobs.score import carry_out
        from jobs.scoring.plan import make_plan

        options = ScoreOptions(
            problems=file,
            recipe=Path(recipe),
            output=str(output),
            overrides=(*strategy_overrides(strategy), *overrides_of(settings)),
            limit=limit,
            take_over=take_over,
        )
        carry_out(make_plan(options))
    return open_run(output)
