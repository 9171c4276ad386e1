"""`parsimony replay --prm`: the stored paths scored by another PRM, once; the scores are kept beside the result.

    run --> nodes that the settings read scores of --> distinct paths not yet in scores-NAME.parquet --> PRM replicas
                                                                                                            |
    records whose scores are the other PRM's, and nothing else of the old one's  <-- table, written back <--+

NAME is of the PRM's weights and of what decides its scores, so a table is never taken for another PRM's.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from actors.controller.path_scorer import PathScorer
from actors.replicas.preflight import check_prm
from actors.writer.store_retry import patiently_blocking
from jobs.comparison.runs import scoring_of
from jobs.recipes.sections import BudgetSection, Recipe
from jobs.recipes.settings import prm_settings, recorded_policy
from jobs.recipes.strategies.basic import QuestionScoreStrategy
from jobs.replaying.settings import ReplaySetting
from jobs.score import ray_session
from jobs.scoring.models import checked_model
from jobs.scoring.replicas import launch
from records.calls import ScoreCall, Scored, TextPrefix, child_prefix_id, root_prefix_id
from records.failure import InvalidInput
from records.path import Path, PrmScore
from records.request import Scoring
from records.rows import ProblemRecord, RequestRow, Status, StepRow
from records.run_folder.by_problem import records_of
from records.run_folder.manifest import ModelIdentity
from records.run_folder.reader import Run
from records.run_folder.store import Store
from records.schemas import PARQUET_OPTIONS
from records.scratch import scratch_folder
from scaling.search.journal import parent_of, recorded_leaf
from scaling.search.texts import scored_text
from scaling.stored.tree import StoredScore

SCORES = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("node_id", pa.int32(), nullable=False),
        pa.field("p_lower", pa.float64(), nullable=False),
        pa.field("p_median", pa.float64(), nullable=False),
        pa.field("p_upper", pa.float64(), nullable=False),
        pa.field("prm_tokens", pa.int64(), nullable=False),
        pa.field("prm_cached_tokens", pa.int64(), nullable=False),
    ]
)

Scores = dict[str, dict[int, StoredScore]]
"""Problem id -> node -> its score; a repeat of a path has the numbers of the first one."""

Nodes = tuple[str, tuple[int, ...]]
"""A problem, and its nodes that are one path."""

Group = list[tuple[ScoreCall, Nodes]]
"""The paths of one problem."""

NOTE_EVERY = 5000


@dataclass(frozen=True, slots=True)
class OtherPrm:
    """A PRM that scores stored paths anew.

    Attributes:
        recipe: with its `[prm]` section.
        model: what it is.
        scoring: which nodes the settings read.
    """

    recipe: Recipe
    model: ModelIdentity
    scoring: Scoring

    @property
    def file(self) -> str:
        """File name of this PRM's scores."""
        section = self.recipe.prm
        decides = section and (section.dtype, section.max_model_len, section.overlong, section.family)
        reads = () if recorded_policy(self.recipe).prm_reads_thoughts else ("answer",)
        identity = (self.model.model_sha256 or self.model.model, self.model.tokenizer_sha256, decides, *reads)
        return f"scores-{hashlib.blake2b(repr(identity).encode(), digest_size=6).hexdigest()}.parquet"


def other_prm(settings: Sequence[ReplaySetting]) -> OtherPrm:
    """The PRM of `--prm`, checked without loading it.

    Raises:
        InvalidInput: it cannot be served; no setting reads scores.
    """
    scoring = max((scoring_of(setting.recipe.strategy) for setting in settings), key=list(Scoring).index)
    recipe = settings[0].recipe
    served = prm_settings(recipe)
    if scoring is Scoring.NONE or served is None:
        raise InvalidInput("--prm: no setting reads scores")
    return OtherPrm(recipe, checked_model(served, check_prm), scoring)


def scored_anew(run: Run, prm: OtherPrm, store: Store, note: Callable[[str], None]) -> Scores:
    """The PRM's scores of all nodes that the settings read: those at the output, and what is missing, which is added.

    Raises:
        Failure: the engines could not serve; what was scored until then is kept.
    """
    scores = _read(store, prm.file)
    groups = _missing(run, prm, scores)
    first = next(groups, None)
    if first is None:
        note(f"all scores are in {store.uri}/{prm.file}")
        return scores
    try:
        _score(chain([first], groups), prm, scores, note)
    finally:
        _write(scores, store, prm.file, note)
    return scores


def rescored(records: Iterator[ProblemRecord], scores: Scores) -> Iterator[ProblemRecord]:
    """The same rows with the scores of another PRM; null where it has none."""
    for record in records:
        own = scores.get(record.problem.problem_id, {})
        yield replace(
            record,
            steps=tuple(_step(row, own) for row in record.steps),
            requests=tuple(_request(row, own) if row.kind == "score" else row for row in record.requests),
        )


def wanted_nodes(record: ProblemRecord, scoring: Scoring) -> list[int]:
    """The nodes of a stored tree whose scores strategies of that kind read, parents first."""
    if scoring is Scoring.STEPS:
        return [0, *(row.node_id for row in record.steps)]
    asked = (request.node_ids if request.kind == "score" else request.child_ids for request in record.requests)
    return sorted({0, *(node for nodes in asked for node in nodes)})


@dataclass(slots=True)
class _Collecting:
    """What comes back from the replicas."""

    scores: Scores
    note: Callable[[str], None]
    open_calls: dict[str, Nodes] = field(default_factory=dict)
    num_scored: int = 0
    num_failed: int = 0
    first_error: str = ""

    def calls(self, groups: Iterable[Group]) -> Iterator[list[ScoreCall]]:
        """The calls of each group, which are open from then on."""
        for group in groups:
            self.open_calls.update((call.key, nodes) for call, nodes in group)
            yield [call for call, _ in group]

    def scored(self, call: ScoreCall, result: Scored) -> None:
        """Take in the score of one path."""
        problem_id, nodes = self.open_calls.pop(call.key)
        stored = StoredScore(result.scores[-1], result.prm_tokens, result.cached_tokens)
        self.scores.setdefault(problem_id, {}).update(dict.fromkeys(nodes, stored))
        self.num_scored += 1
        if self.num_scored % NOTE_EVERY == 0:
            self.note(f"{self.num_scored:,} paths scored")

    def failed(self, call: ScoreCall, error: str) -> None:
        """Note that one path gets no score."""
        problem_id, _ = self.open_calls.pop(call.key)
        self.first_error = self.first_error or f"problem {problem_id!r}: {error}"
        self.num_failed += 1


def _score(groups: Iterable[Group], prm: OtherPrm, scores: Scores, note: Callable[[str], None]) -> None:
    note(f"scoring stored paths with {prm.model.model}")
    collecting = _Collecting(scores, note)
    # The run's caps were of that run.
    changed = {"strategy": QuestionScoreStrategy(name="question-score"), "budget": BudgetSection()}
    scores_only = prm.recipe.model_copy(update=changed)
    with ray_session(scores_only):
        replicas = launch(scores_only)
        scorer = PathScorer(replicas.prms, on_scored=collecting.scored, on_failed=collecting.failed)
        asyncio.run(scorer.score(collecting.calls(groups)))
    note(f"{collecting.num_scored:,} distinct paths scored")
    if collecting.num_failed:
        note(f"warning: {collecting.num_failed:,} paths have no score, the first: {collecting.first_error}")


def _missing(run: Run, prm: OtherPrm, scores: Scores) -> Iterator[Group]:
    """Calls for the distinct paths of each problem that have no score yet."""
    thoughts, root = recorded_policy(prm.recipe).prm_reads_thoughts, Path(0, None, "")
    for number, record in enumerate(records_of(run)):
        problem_id = record.problem.problem_id
        known = scores.get(problem_id, {})
        wanted = [node for node in wanted_nodes(record, prm.scoring) if node not in known]
        if not wanted or record.problem.status is Status.FAILED:
            continue
        texts: dict[int, tuple[str, ...]] = {0: ()}
        for row in record.steps:
            own = scored_text(recorded_leaf(root, [row]), thoughts=thoughts)
            texts[row.node_id] = (*parent_of(row, texts), own)
        alike: dict[tuple[str, ...], list[int]] = {}
        for node in wanted:
            alike.setdefault(texts[node], []).append(node)
        question = record.problem.question
        yield [
            (_call(f"{number}/{nodes[0]}", question, steps), (problem_id, tuple(nodes)))
            for steps, nodes in sorted(alike.items())  # beginnings first, and beside each other what begins alike
        ]


def _call(key: str, question: str, steps: tuple[str, ...]) -> ScoreCall:
    prefix_id = root_prefix_id(question)
    for step in steps[:-1]:
        prefix_id = child_prefix_id(prefix_id, [step])
    return ScoreCall(key, prefix_id, TextPrefix(question, steps[:-1]), steps[-1:], every=False)


def _step(row: StepRow, scores: Mapping[int, StoredScore]) -> StepRow:
    stored = scores.get(row.node_id)
    return replace(
        row,
        p_lower=stored.score.lower if stored else None,
        p_median=stored.score.median if stored else None,
        p_upper=stored.score.upper if stored else None,
        prm_tokens=stored.prm_tokens if stored else 0,
        prm_cached_tokens=stored.prm_cached_tokens if stored else 0,
    )


def _request(row: RequestRow, scores: Mapping[int, StoredScore]) -> RequestRow:
    stored = [scores.get(node) for node in row.node_ids]
    return replace(
        row,
        p_lower=tuple(one.score.lower if one else None for one in stored),
        p_median=tuple(one.score.median if one else None for one in stored),
        p_upper=tuple(one.score.upper if one else None for one in stored),
        prm_tokens=sum(one.prm_tokens for one in stored if one),
        prm_cached_tokens=sum(one.prm_cached_tokens for one in stored if one),
    )


def _read(store: Store, name: str) -> Scores:
    data = store.read(name)
    scores: Scores = {}
    if data is None:
        return scores
    for row in pq.read_table(pa.BufferReader(data), schema=SCORES).to_pylist():
        score = PrmScore(row["p_lower"], row["p_median"], row["p_upper"])
        stored = StoredScore(score, row["prm_tokens"], row["prm_cached_tokens"])
        scores.setdefault(row["problem_id"], {})[row["node_id"]] = stored
    return scores


def _write(scores: Scores, store: Store, name: str, note: Callable[[str], None]) -> None:
    lines = [
        {
            "problem_id": problem_id,
            "node_id": node,
            "p_lower": one.score.lower,
            "p_median": one.score.median,
            "p_upper": one.score.upper,
            "prm_tokens": one.prm_tokens,
            "prm_cached_tokens": one.prm_cached_tokens,
        }
        for problem_id, own in scores.items()
        for node, one in sorted(own.items())
    ]
    with scratch_folder() as folder:
        file = folder / name
        pq.write_table(pa.Table.from_pylist(lines, schema=SCORES), file, **PARQUET_OPTIONS)
        patiently_blocking(partial(store.upload, name, file), note)
