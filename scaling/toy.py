"""A toy world for strategies: a problem whose chance of success is known, and a PRM that sees it through some noise.

    choice = toy_run(my_strategy, ToyProblem(p=0.7), num_samples=8)     # microseconds, no model

A solution has `num_steps` steps, of which each stays right with the same chance, so that all do with `p`. A wrong step
is never mended. A right solution answers "right", a wrong one gives one of `num_wrong` other answers.
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until, is_each
from scaling.guarded import guarded
from scaling.stored.arrivals import Arrivals
from scaling.strategy import Choice, Request, SearchLimits, Strategy

TOY_LIMITS = SearchLimits(max_tokens=1000, max_step_tokens=10)
TOY_ROOT = Path(0, None, "question")


@dataclass
class ToyProblem:
    """Grows solutions and counts what they cost; a child depends on its parent and its number only.

    Attributes:
        p: chance that one solution is right; its answer is then "right", otherwise one of "0", "1", ...
        seed: of everything that is drawn.
        num_steps: of every solution; each has 5 tokens.
        noise: standard deviation of what the PRM adds to the logit of the true chance.
        num_wrong: different wrong answers.
        requests: that came so far.
        num_samples: children that were grown so far.
        tokens: that they took.
        born: of each node's text, children so far.
        under_way: children that are asked for one by one, and their names; the shortest arrives first.
    """

    p: float
    seed: int = 0
    num_steps: int = 4
    noise: float = 1.0
    num_wrong: int = 6
    requests: list[Request] = field(default_factory=list)
    num_samples: int = 0
    tokens: int = 0
    born: Counter[str] = field(default_factory=Counter)
    under_way: Arrivals[tuple[Path, tuple[int, int]]] = field(default_factory=Arrivals)

    def reply(self, request: Request) -> Reply:
        """Everything that was asked for."""
        self.requests.append(request)
        if isinstance(request, Score):
            self.under_way.cancel()
            return Reply(ReplyKind.FULL, tuple(self.scored(path) for path in request.paths))
        number = len(self.requests) - 1
        if isinstance(request, Expand):
            paths = [self.child(parent, request) for parent, count in request.parents for _ in range(count)]
            if not is_each(request):
                self.under_way.cancel()
                return Reply(ReplyKind.FULL, tuple(paths))
            for child, path in enumerate(paths):
                self.under_way.begin((path, (number, child)), path.num_tokens)
        arrived = self.under_way.next()
        if arrived is None:
            return Reply(ReplyKind.FULL, ())
        return Reply(ReplyKind.FULL, (arrived[0],), (arrived[1],), len(self.under_way))

    def child(self, parent: Path, request: Expand) -> Path:
        """One more child of a path, by one step or to the end; behind a forced text an answer at once."""
        self.num_samples += 1
        path = self._probe(parent, request.forced_text) if request.forced_text else self._step(parent)
        while request.until is Until.END and not path.finished:
            path = self._step(path)
        return path if request.scoring is Scoring.NONE else self.scored(path)

    def scored(self, path: Path) -> Path:
        """The path with the PRM's view of it."""
        rng = random.Random(f"{self.seed}|score|{path.text}")  # noqa: S311 (a toy)
        left = self.num_steps - path.depth
        chance = self.p ** (left / self.num_steps) if self._right(path) else 0.0
        clipped = min(max(chance, 0.03), 0.97)
        logit = math.log(clipped / (1 - clipped)) + rng.gauss(0, self.noise)
        lower, median, upper = (1 / (1 + math.exp(-logit - shift * self.noise)) for shift in (-1.28, 0, 1.28))
        return replace(path, score=PrmScore(lower, median, upper))

    def _step(self, parent: Path) -> Path:
        name = f"{parent.text.split()[0]}.{self.born[parent.text]}"
        self.born[parent.text] += 1
        rng = random.Random(f"{self.seed}|{name}")  # noqa: S311 (a toy)
        right = self._right(parent) and rng.random() < self.p ** (1 / self.num_steps)
        text = f"{name} {'right' if right else 'wrong'}\n\n"
        last = parent.depth + 1 == self.num_steps
        if last:
            text += f"\\boxed{{{'right' if right else rng.randrange(self.num_wrong)}}}"
        self.tokens += 5
        return Path(
            sum(self.born.values()), parent, text, (1,) * 5, FinishReason.EOS if last else FinishReason.SEPARATOR
        )

    def _probe(self, parent: Path, forced_text: str) -> Path:
        """What a path answers when it is asked: as likely right as what it would come to by itself."""
        place = f"{parent.text} {forced_text}"
        numbers = []
        for _ in range(2):
            self.born[place] += 1
            numbers.append(sum(self.born.values()))
        rng = random.Random(f"{self.seed}|{place}|{self.born[place]}")  # noqa: S311 (a toy)
        chance = self.p ** ((self.num_steps - parent.depth) / self.num_steps) if self._right(parent) else 0.0
        answer = "right" if rng.random() < chance else rng.randrange(self.num_wrong)
        self.tokens += 5
        forced = Path(numbers[0], parent, forced_text, (1,), FinishReason.FORCED)
        return Path(numbers[1], forced, f"\\boxed{{{answer}}}", (1,) * 5, FinishReason.EOS)

    @staticmethod
    def _right(path: Path) -> bool:
        return path.parent is None or path.text.split()[1] == "right"


def play_strategy(strategy: Strategy, answer: Callable[[Request], Reply]) -> Choice:
    """Run a strategy that has been begun to its end; `answer` replies to its requests."""
    try:
        request = next(strategy)
        while True:
            request = strategy.send(answer(request))
    except StopIteration as stop:
        choice: Choice = stop.value
        return choice


def toy_run(strategy: Callable[..., Strategy], problem: ToyProblem, **options: Any) -> Choice:
    """Run a strategy of one's own on a toy problem, held to its contract as in a run.

    Args:
        strategy: its function, called with a root, `limits` (1000 tokens a sample, 10 a step) and `options`.
        problem: which replies, and counts what was asked for.
        options: as `strategy.options` in a recipe.

    Raises:
        StrategyFailed: what it raised, or yielded or returned that the contract does not have; in a run this is the
            `error` of the problem's row.
    """
    name = getattr(strategy, "__name__", "strategy")
    return play_strategy(guarded(strategy, name, TOY_ROOT, limits=TOY_LIMITS, **options), problem.reply)
