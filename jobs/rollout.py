"""`parsimony rollout`: how often do continuations of each prefix succeed? Again = resume.

A run like any other, under the same controller, replicas, commits and resume; its strategy is `rollout`, and its
problems' rows come with rows of the table `rollouts`.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc
from rich.console import Console

from jobs.command_line.rollout import RolloutOptions
from jobs.display.consoles import new_console
from jobs.display.numbers import count, percent, ratio
from jobs.display.terminal import out
from jobs.problems.problem_set import ProblemSet
from jobs.score import SOME_FAILED, carry_out
from jobs.scoring.plan import make_plan
from jobs.scoring.summary import print_summary
from records.failure import InvalidInput
from records.run_folder.reader import read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSummary:
    """What the table `rollouts` of a run adds up to.

    Attributes:
        prefixes: rows, the terminal ones included.
        terminal_prefixes: finished solutions.
        trials: graded continuations of the others.
        success: share of right ones among them; null without any.
        cut_trials: of them, cut at a token limit.
        prompt_tokens: prefix tokens of the continuations.
        cached_tokens: of those, found in the prefix cache.
        cached_share: cached / prompt; null without any.
    """

    prefixes: int
    terminal_prefixes: int
    trials: int
    success: float | None
    cut_trials: int
    prompt_tokens: int
    cached_tokens: int
    cached_share: float | None


def run(options: RolloutOptions) -> int:
    """Make rollouts of a problem set; the exit status."""
    asked: dict[str, Any] = {
        "name": "rollout",
        "num_trajectories": options.num_trajectories,
        "num_continuations": options.num_continuations,
    }
    plan = make_plan(options, strategy={key: value for key, value in asked.items() if value is not None})
    _check_references(plan.problems)
    summary = carry_out(plan)
    rollouts = summarize_rollouts(options.output)
    if options.json:
        out(json.dumps(asdict(summary) | {"rollouts": asdict(rollouts)}, indent=2, allow_nan=False) + "\n")
    else:
        print_summary(summary, new_console())
        _print(rollouts, new_console())
    return SOME_FAILED if summary.problems["failed"] else 0


def summarize_rollouts(run_uri: str) -> RolloutSummary:
    """Add up the visible rollouts of a run. Raises as `records.run_folder.reader.read_run`."""
    table = read_run(run_uri).rollouts()
    sampled = table.filter(pc.invert(table["terminal"]))

    def total(column: str) -> int:
        return int(pc.sum(sampled[column]).as_py() or 0)

    trials, prompt, cached = total("trials"), total("prompt_tokens"), total("cached_tokens")
    return RolloutSummary(
        prefixes=table.num_rows,
        terminal_prefixes=table.num_rows - sampled.num_rows,
        trials=trials,
        success=ratio(total("successes"), trials),
        cut_trials=total("cut_trials"),
        prompt_tokens=prompt,
        cached_tokens=cached,
        cached_share=ratio(cached, prompt),
    )


def _check_references(problems: ProblemSet) -> None:
    missing = problems.num_problems - problems.num_references
    if missing:
        raise InvalidInput(
            f"{problems.path}: {missing} of {problems.num_problems} problems have no answer key, and nobody can say "
            "whether a continuation of theirs succeeds; leave them out, or name the column with problems.answer"
        )


def _print(rollouts: RolloutSummary, console: Console) -> None:
    console.print(
        f"{count(rollouts.prefixes)} prefixes ({count(rollouts.terminal_prefixes)} of them finished solutions); "
        f"{percent(rollouts.success)} of {count(rollouts.trials)} continuations succeed; "
        f"{percent(rollouts.cached_share)} of their {count(rollouts.prompt_tokens)} prefix tokens were cached",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="rollout"))
