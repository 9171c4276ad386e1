"""`parsimony export`: the finished paths of a run, with scores and outcomes, as training data. Again = written anew.

    run --groups of problems--> finished paths --graded, each answer once--> rows of a layout --> one file

Of a run under way, what is visible. Problems that failed are left out, and so are those that a layout can make nothing
of; how many and why is said. If none is left, nothing is written.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from actors.grading.grader import Grader
from actors.grading.verdicts import Verdicts, distinct_verdicts
from jobs.command_line.export import ExportOptions
from jobs.display.terminal import out
from jobs.exporting.files import RowFile, Target
from jobs.exporting.layouts import LAYOUTS, Shape, label_sources, schema_of
from jobs.exporting.source import ExportSource, stored_paths
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.sections import GraderSection, Recipe
from jobs.recipes.settings import generator_settings
from jobs.recipes.strategies.basic import RolloutStrategy
from jobs.recipes.trust import refuse_unnamed_code
from records.failure import InvalidInput
from records.run_folder.reader import read_run
from records.scratch import scratch_folder
from scaling.stored.training_data import ProblemPaths
from scaling.uncertainty.aggregation import Aggregation

_OF_LAYOUTS: dict[str, tuple[str, ...]] = {
    "chat": ("preference", "distillation"),
    "num_pairs": ("preference",),
    "threshold": ("stepwise",),
    "only_correct": ("distillation",),
}
"""Options that not every layout knows."""
_FLAGS = {"num_pairs": "--pairs-per-problem", "only_correct": "--only-correct"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What an export came to.

    Attributes:
        run, layout, output, format: as asked for.
        finished: the run is; otherwise what was visible was exported.
        rows: written.
        problems: of which there are rows.
        left_out: why others have none -> how many.
        graded_answers: distinct answers of a problem that were graded now, because the run holds no verdict of them.
        ungraded_answers: of those, which the grader failed on: their paths have no outcome.
        grader_error: what its first failure was; null without one.
        label_sources: of stepwise rows: where labels come from -> rows.
    """

    run: str
    layout: str
    output: str
    format: str
    finished: bool
    rows: int
    problems: int
    left_out: dict[str, int]
    graded_answers: int
    ungraded_answers: int
    grader_error: str | None
    label_sources: dict[str, int]


def run(options: ExportOptions) -> int:
    """Export; the exit status.

    Raises:
        InvalidInput: there is no run, an option does not fit the layout, the output cannot be written, or there would
            be no row.
    """
    summary = export(options)
    out(json.dumps(asdict(summary), indent=2) + "\n" if options.json else _told(summary))
    return 0


def export(options: ExportOptions) -> ExportSummary:
    """Write the file. Raises as `run` does, and `StoreFailed` where the run or the output fails."""
    _check_options(options)
    file_format = _format(options)
    target = Target(options.output)
    found = read_run(options.run)
    typed = [f"grader.kind={options.grader}"] if options.grader is not None else []
    recipe = recorded_recipe(found.manifest, typed)
    refuse_unnamed_code(recipe, typed, run=options.run, flag="--grader {name}", keys=("grader.kind",))
    if options.threshold is not None and not _is_rollout(recipe):
        raise InvalidInput(
            "--threshold is of counted continuations, which only a run of `parsimony rollout` has; steps of "
            f"{options.run} have the outcomes of their paths"
        )
    source = ExportSource.of(found)
    with scratch_folder() as scratch:
        file = scratch / "rows"
        summary = asyncio.run(_write(options, recipe, source, file, file_format))
        if not summary.rows:
            raise InvalidInput(_nothing(summary))
        target.put(file)
    return summary


async def _write(
    options: ExportOptions, recipe: Recipe, source: ExportSource, file: Path, file_format: str
) -> ExportSummary:
    layout, shape = LAYOUTS[options.layout], _shape(options, recipe)
    left_out = Counter({"failed": source.num_failed, "no row yet": source.num_missing})
    sources: Counter[str] = Counter()
    num_rows = num_problems = 0
    grading = _Grading(recipe.grader)
    try:
        with RowFile(file, file_format, schema_of(layout, shape)) as out:
            for group in stored_paths(source, file.parent, _aggregation(recipe)):
                asked = [replace(problem, paths=tuple(layout.candidates(problem, shape))) for problem in group]
                rows: list[dict[str, Any]] = []
                for problem in await grading.graded(asked):
                    made = layout.rows(problem, shape)
                    if isinstance(made, str):
                        left_out[made] += 1
                        continue
                    num_problems += 1
                    rows += made
                sources += label_sources(rows)
                num_rows += len(rows)
                out.write(rows)
    finally:
        await grading.close()
    return ExportSummary(
        run=options.run,
        layout=options.layout,
        output=options.output,
        format=file_format,
        finished=source.run.finished,
        rows=num_rows,
        problems=num_problems,
        left_out={reason: number for reason, number in sorted(left_out.items()) if number},
        graded_answers=grading.num_asked,
        ungraded_answers=grading.num_failed,
        grader_error=grading.first_error,
        label_sources=dict(sorted(sources.items())),
    )


class _Grading:
    """The recipe's grader, started when there is something to grade.

    Attributes:
        num_asked: answers that were given to it.
    """

    def __init__(self, section: GraderSection) -> None:
        self._grader = Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s)
        self.num_asked = 0

    @property
    def num_failed(self) -> int:
        """Number of answers on which the grader failed."""
        return sum(self._grader.failures.values())

    @property
    def first_error(self) -> str | None:
        """What its first failure was; None without one."""
        return next(iter(self._grader.first_errors.values()), None)

    async def graded(self, problems: Sequence[ProblemPaths]) -> list[ProblemPaths]:
        """Problems with the outcome of each path: what the run says of its answer, and the grader of the others."""
        known = [_known(problem) for problem in problems]
        answers = [[item.answer for item in problem.paths] for problem in problems]
        verdicts = await distinct_verdicts(self._grader, [one.reference for one in problems], answers, known)
        self.num_asked += sum(
            len(own) - len(before)
            for problem, own, before in zip(problems, verdicts, known, strict=True)
            if problem.reference is not None
        )
        return [
            replace(problem, paths=tuple(replace(item, outcome=own[item.answer]) for item in problem.paths))
            for problem, own in zip(problems, verdicts, strict=True)
        ]

    async def close(self) -> None:
        """End the grader's processes."""
        await self._grader.close()


def _known(problem: ProblemPaths) -> Verdicts:
    return {} if problem.correct is None else {problem.answer: problem.correct}


def _check_options(options: ExportOptions) -> None:
    for name, layouts in _OF_LAYOUTS.items():
        given = getattr(options, name)
        if given is not None and given is not False and options.layout not in layouts:
            flag = _FLAGS.get(name, f"--{name}")
            raise InvalidInput(f"{flag} is of --layout {' and '.join(layouts)}; {options.layout} has no use for it")


def _format(options: ExportOptions) -> str:
    if options.format is not None:
        return options.format
    for suffix, name in ((".parquet", "parquet"), (".jsonl", "jsonl")):
        if options.output.endswith(suffix):
            return name
    raise InvalidInput(f"--output {options.output}: end it in .parquet or .jsonl, or say --format")


def _shape(options: ExportOptions, recipe: Recipe) -> Shape:
    return Shape(
        generator=generator_settings(recipe),
        chat=options.chat,
        num_pairs=options.num_pairs or 1,
        threshold=options.threshold or 0.0,
        only_correct=options.only_correct,
        is_rollout=_is_rollout(recipe),
    )


def _aggregation(recipe: Recipe) -> Aggregation:
    """By which the run ranked its paths; that of most where it did not."""
    return Aggregation(getattr(recipe.strategy, "aggregation", Aggregation.LAST))


def _is_rollout(recipe: Recipe) -> bool:
    return isinstance(recipe.strategy, RolloutStrategy)


def _nothing(summary: ExportSummary) -> str:
    reasons = _reasons(summary) or "it has no problem"
    error = f". The grader: {summary.grader_error}" if summary.grader_error else ""
    return f"{summary.run}: there is nothing to export as {summary.layout}: {reasons}{error}. Nothing was written"


def _reasons(summary: ExportSummary) -> str:
    return ", ".join(f"{number} {_plural(number)}: {reason}" for reason, number in summary.left_out.items())


def _plural(number: int) -> str:
    return "problem" if number == 1 else "problems"


def _told(summary: ExportSummary) -> str:
    lines: list[str] = []
    say: Callable[[str], None] = lines.append
    if not summary.finished:
        say(f"{summary.run} is not finished: this is what is visible now.")
    say(
        f"{summary.output}: {summary.rows:,} rows ({summary.layout}, {summary.format}) of {summary.problems:,} "
        f"{_plural(summary.problems)}."
    )
    if summary.left_out:
        say(f"Left out: {_reasons(summary)}.")
    if summary.label_sources:
        say(
            "Labels: " + ", ".join(f"{number:,} rows by {name}" for name, number in summary.label_sources.items()) + "."
        )
    if summary.graded_answers:
        failed = (
            f"; {summary.ungraded_answers:,} could not be ({summary.grader_error})" if summary.ungraded_answers else ""
        )
        say(f"Answers that nobody had graded: {summary.graded_answers:,} graded{failed}.")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="export"))
