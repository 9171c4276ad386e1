"""Every setting on every problem of a run, problem by problem.

    rows of some problems --> trees --> each setting decides --> distinct answers graded --> lines

What is held: the rows of the problems in work and of those that the run's commits leave open, and one line for each
setting and problem. A setting whose problems share a cap decides for all of them together; for such the samples of the
whole run are held.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from actors.grading.verdicts import Verdicts
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import abstention
from jobs.recipes.strategy_factory import strategy_factory
from jobs.replaying.graders import Graders, grader_name
from jobs.replaying.orders import Numbers, numbers_of, over_orders, shared_out, uncut_or_why, whole_samples
from jobs.replaying.settings import ReplaySetting
from jobs.replaying.table import line, line_schema, replay_table
from records.failure import StrategyFailed
from records.rows import ProblemRecord, ProblemRow, Status
from scaling.search.accounting import Models, flops
from scaling.stored.problem import NotStored, StoredProblem, any_right
from scaling.stored.tree import StoredTree, stored_tree
from scaling.stored.tree_player import Replayed, replay
from scaling.strategy import StrategyFactory

BATCH_PROBLEMS = 64
"""Problems whose answers are graded together."""

TableLine = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Actual:
    """What the run itself came to on one problem: its row, and whether some sample of it is right."""

    row: ProblemRow
    covered: bool | None


@dataclass(frozen=True, slots=True)
class Played:
    """All that was played.

    Attributes:
        table: a row for each setting and problem that did not fail in the run (`jobs.replaying.table`).
        actual: each problem with a row, failed ones included, in the same order.
        num_left_at_once: label of a setting -> problems whose stored tree it left before it took a sample of it.
    """

    table: pa.Table
    actual: Sequence[Actual]
    num_left_at_once: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HeldProblems:
    """A problem in work."""

    record: ProblemRecord
    tree: StoredTree


@dataclass(slots=True, kw_only=True)
class Playing:
    """Settings under way on one run.

    Attributes:
        settings: all of them.
        grader: of the run's own recipe.
        num_logprobs: that the run's strategy asks for.
        seed: of the run, by which orders are named.
        num_orders: of whole samples.
        models: by whose sizes FLOPs are counted.
        on_played: told how many problems are done.
    """

    settings: Sequence[ReplaySetting]
    run: Recipe
    num_logprobs: int
    seed: int
    num_orders: int
    models: Models
    on_played: Callable[[int], None] = lambda _: None
    _strategies: dict[str, StrategyFactory] = field(default_factory=dict)
    _unlike: set[str] = field(default_factory=set)
    _shared: dict[str, list[StoredProblem]] = field(default_factory=dict)
    _unshared: dict[str, str] = field(default_factory=dict)
    _left_at_once: Counter[str] = field(default_factory=Counter)

    async def play(self, records: Iterator[ProblemRecord]) -> Played:
        """Play every setting on every problem.

        Raises:
            InvalidInput: a setting needs whole samples, and the run has others.
        """
        schema = line_schema(self.settings)
        self._strategies = {setting.label: strategy_factory(setting.recipe) for setting in self.settings}
        self._unlike = {setting.label for setting in self.settings if not setting.keeps_cap}
        tables: list[pa.Table] = []
        actual: list[Actual] = []
        async with Graders(self.run, [setting.recipe.grader for setting in self.settings]) as graders:
            while batch := list(islice(records, BATCH_PROBLEMS)):
                found, lines = await self._batch(batch, graders)
                actual += found
                tables.append(pa.Table.from_pylist(lines, schema=schema))
                self.on_played(len(actual))
        lines = [one for setting in self.settings if setting.shares_cap for one in self._together(setting)]
        tables.append(pa.Table.from_pylist(lines, schema=schema))
        return Played(replay_table(tables, self.settings, self._unlike), actual, self._left_at_once)

    async def _batch(self, batch: Sequence[ProblemRecord], graders: Graders) -> tuple[list[Actual], list[TableLine]]:
        held = [
            HeldProblems(record, stored_tree(record, top_logprobs=self.num_logprobs))
            for record in batch
            if record.problem.status is not Status.FAILED
        ]
        alone = [setting for setting in self.settings if not setting.shares_cap]
        trees = {one.label: [await graders.read(one.recipe, item.tree) for item in held] for one in self.settings}
        replays = {one.label: [replay(self._strategies[one.label], tree) for tree in trees[one.label]] for one in alone}
        answers = [
            _answers([item.tree, *(own[number] for own in trees.values())], [own[number] for own in replays.values()])
            for number, item in enumerate(held)
        ]
        rows = [item.record.problem for item in held]
        verdicts = {
            grader_name(section): await graders.verdicts(section, rows, answers) for section in graders.sections
        }
        lines: list[TableLine] = []
        for setting in self.settings:
            graded = verdicts[grader_name(setting.recipe.grader)]
            own = [replace(item, tree=tree) for item, tree in zip(held, trees[setting.label], strict=True)]
            if setting.shares_cap:
                self._hold(setting, own, graded)
                continue
            for item, found, known in zip(own, replays[setting.label], graded, strict=True):
                lines.append(self._line(setting, item, found, known))
                if found.differs:
                    self._unlike.add(setting.label)
        covered = {
            item.record.problem.problem_id: any_right([known[item.tree.answer_of(leaf)] for leaf in item.tree.finished])
            for item, known in zip(held, verdicts[grader_name(self.run.grader)], strict=True)
        }
        actual = [Actual(record.problem, covered.get(record.problem.problem_id)) for record in batch]
        return actual, lines

    def _line(self, setting: ReplaySetting, item: HeldProblems, found: Replayed, verdicts: Verdicts) -> TableLine:
        problem_id = item.record.problem.problem_id
        if found.choice is None:
            self._left_at_once[setting.label] += found.left is not None and not found.leaves
            why = found.left or f"failed: {found.error}"
            return line(setting, problem_id, {}, left=why, num_requests=found.num_requests)
        if self.num_orders == 1:
            numbers = self._numbers(setting, item.tree, found, verdicts)
            return line(
                setting,
                problem_id,
                numbers,
                answer=found.choice.answer,
                num_requests=found.num_requests,
                is_cut=found.is_cut,
            )
        try:
            strategy = self._strategies[setting.label]
            means = over_orders(
                strategy,
                item.record,
                verdicts,
                self.models,
                seed=self.seed,
                num_orders=self.num_orders,
                answers=item.tree.answers,
            )
        except (NotStored, StrategyFailed) as left:
            return line(setting, problem_id, {}, left=str(left), num_requests=found.num_requests)
        return line(setting, problem_id, means, num_requests=found.num_requests)

    def _numbers(self, setting: ReplaySetting, tree: StoredTree, found: Replayed, verdicts: Verdicts) -> Numbers:
        rule, p, cost = abstention(setting.recipe), found.answer_p, found.cost
        answer = found.choice.answer if found.choice else None
        computed = cost.generated_tokens + cost.prompt_tokens - cost.cached_tokens
        return {
            "correct": verdicts[answer],
            "covered": any_right([verdicts[tree.answer_of(leaf)] for leaf in found.finished]),
            "abstained": None if rule is None else rule.abstains(answer, p),
            "answer_p_lower": p.lower if p else None,
            "answer_p_median": p.median if p else None,
            "answer_p_upper": p.upper if p else None,
            "num_samples": found.num_samples,
            "num_steps": found.num_steps,
            "generated_tokens": cost.generated_tokens,
            "thinking_tokens": cost.thinking_tokens,
            "prompt_tokens": cost.prompt_tokens,
            "cached_tokens": cost.cached_tokens,
            "pruned_tokens": found.pruned_tokens,
            "prm_tokens": cost.prm_tokens,
            "prm_cached_tokens": cost.prm_cached_tokens,
            "flops": flops(self.models, computed, cost.prm_tokens - cost.prm_cached_tokens),
        }

    def _hold(self, setting: ReplaySetting, held: Sequence[HeldProblems], verdicts: Sequence[Verdicts]) -> None:
        """Keep the samples of some problems for when all are there."""
        kept = self._shared.setdefault(setting.label, [])
        for item, known in zip(held, verdicts, strict=True):
            stored = uncut_or_why(item.record, item.tree.answers)
            if isinstance(stored, str):
                self._unshared.setdefault(setting.label, stored)
                stored = whole_samples(item.record, item.tree.answers)
            kept.append(replace(stored, verdicts=known))

    def _together(self, setting: ReplaySetting) -> list[TableLine]:
        stored = self._shared.get(setting.label, [])
        found = self._unshared.get(setting.label) or shared_out(
            self._strategies[setting.label], stored, setting.recipe.budget.total_tokens
        )
        if isinstance(found, str):
            return [line(setting, problem.problem_id, {}, left=found) for problem in stored]
        return [
            line(setting, problem.problem_id, numbers_of(outcome, self.models))
            for problem, outcome in zip(stored, found, strict=True)
        ]


def _answers(trees: Sequence[StoredTree], replays: Sequence[Replayed]) -> set[str | None]:
    """All that a setting may be asked about: of samples and probes as each setting reads them, and what was chosen."""
    chosen = {found.choice.answer for found in replays if found.choice is not None}
    return {None, *(tree.answer_of(leaf) for tree in trees for leaf in tree.ended), *chosen}
