"""Our strategies driven by hand, for peers whose shape is another way to schedule the same search.

A strategy asks for samples and scores; who answers, and in what company, is the peer's. The bare question is not
scored, since none of the systems imitated does: where a strategy asks for that, it gets one half at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.strategy import Choice, Request, StrategyFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One sample as an engine gave it."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Samples of one parent: `prefix_ids` follow the prompt."""

    prefix_ids: tuple[int, ...]
    num_samples: int
    until: Until
    max_tokens: int


class Search:
    """One problem's strategy between two requests.

    life: samples() -> deliver(drawn) -> unscored() -> finish(scores), again and again until `choice` is there.
    """

    def __init__(self, factory: StrategyFactory, question: str) -> None:
        self.question = question
        self._root = Path(0, None, question)
        self._strategy = factory(self._root)
        self._num_nodes = 1
        self._drawn: list[Path] = []
        self._request: Request | None = None
        self.choice: Choice | None = None
        self._resume(None)

    def samples(self) -> list[Asked]:
        """What is to be sampled now, parent by parent; none where only scores are asked for."""
        request = self._request
        if not isinstance(request, Expand):
            return []
        return [
            Asked(
                prefix_ids=parent.solution_token_ids,
                num_samples=num_samples,
                until=request.until,
                max_tokens=request.most_tokens(parent),
            )
            for parent, num_samples in request.parents
        ]

    def deliver(self, drawn: Sequence[Sequence[Drawn]]) -> None:
        """The samples, parent by parent in the order asked for."""
        if not isinstance(self._request, Expand):
            raise TypeError("no samples were asked for")
        self._drawn = []
        for (parent, _), children in zip(self._request.parents, drawn, strict=True):
            for child in children:
                self._drawn.append(Path(self._num_nodes, parent, child.text, child.token_ids, child.finish_reason))
                self._num_nodes += 1

    def unscored(self) -> list[str]:
        """The solutions, as far as they go, that the PRM is to score now."""
        return [path.solution for path in self._to_score()]

    def finish(self, scores: Sequence[float]) -> None:
        """The scores, in order; the strategy goes on."""
        found: Mapping[int, Path] = {
            path.node_id: replace(path, score=PrmScore(score, score, score))
            for path, score in zip(self._to_score(), scores, strict=True)
        }
        paths = self._drawn if isinstance(self._request, Expand) else self._paths()
        self._resume(Reply(ReplyKind.FULL, tuple(found.get(path.node_id, path) for path in paths)))

    def _to_score(self) -> Sequence[Path]:
        if isinstance(self._request, Expand):
            if self._request.scoring is Scoring.STEPS:
                raise ValueError("these peers score a path at its last step only")
            return self._drawn if self._request.scoring is Scoring.LEAF else ()
        return self._paths()

    def _paths(self) -> Sequence[Path]:
        return self._request.paths if isinstance(self._request, Score) else ()

    def _resume(self, reply: Reply | None) -> None:
        try:
            self._request = next(self._strategy) if reply is None else self._strategy.send(reply)
            while isinstance(self._request, Score) and all(path.parent is None for path in self._request.paths):
                half = PrmScore(0.5, 0.5, 0.5)
                scored = tuple(replace(path, score=half) for path in self._request.paths)
                self._request = self._strategy.send(Reply(ReplyKind.FULL, scored))
        except StopIteration as stop:
            self._request = None
            self.choice = stop.value


def solution_of(search: Search) -> str | None:
    """The text of the chosen path; None where nothing was chosen."""
    path = None if search.choice is None else search.choice.path
    return None if path is None else path.solution
