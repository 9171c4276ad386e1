"""A problem whose chance of success is known, and a PRM that sees it through some noise: replies to a strategy.

A solution has `num_steps` steps, of which each stays right with the same chance, so that all do with `p`. A wrong step
is never mended. A right solution answers "right", a wrong one gives one of `num_wrong` other answers.
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.strategy import Choice, Request, SearchLimits, Strategy

LIMITS = SearchLimits(max_tokens=1000, max_step_tokens=10)
ROOT = Path(0, None, "question")


@dataclass
class ToyProblem:
    """Grows solutions and counts what they cost; a child depends on its parent and its number only.

    Attributes:
        p: chance that one solution is right.
        noise: standard deviation of what the PRM adds to the logit of the true chance.
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

    def reply(self, request: Request) -> Reply:
        """Everything that was asked for."""
        self.requests.append(request)
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, tuple(self.scored(path) for path in request.paths))
        paths = [self.child(parent, request) for parent, count in request.parents for _ in range(count)]
        return Reply(ReplyKind.FULL, tuple(paths))

    def child(self, parent: Path, request: Expand) -> Path:
        """One more child of a path, by one step or to the end."""
        self.num_samples += 1
        path = self._step(parent)
        while request.until is Until.END and not path.finished:
            path = self._step(path)
        return path if request.scoring is Scoring.NONE else self.scored(path)

    def scored(self, path: Path) -> Path:
        """The path with the PRM's view of it."""
        rng = random.Random(f"{self.seed}|score|{path.text}")
        left = self.num_steps - path.depth
        chance = self.p ** (left / self.num_steps) if self._right(path) else 0.0
        clipped = min(max(chance, 0.03), 0.97)
        logit = math.log(clipped / (1 - clipped)) + rng.gauss(0, self.noise)
        lower, median, upper = (1 / (1 + math.exp(-logit - shift * self.noise)) for shift in (-1.28, 0, 1.28))
        return replace(path, score=PrmScore(lower, median, upper))

    def _step(self, parent: Path) -> Path:
        name = f"{parent.text.split()[0]}.{self.born[parent.text]}"
        self.born[parent.text] += 1
        rng = random.Random(f"{self.seed}|{name}")
        right = self._right(parent) and rng.random() < self.p ** (1 / self.num_steps)
        text = f"{name} {'right' if right else 'wrong'}\n\n"
        last = parent.depth + 1 == self.num_steps
        if last:
            text += f"\\boxed{{{'right' if right else rng.randrange(self.num_wrong)}}}"
        self.tokens += 5
        return Path(
            sum(self.born.values()), parent, text, (1,) * 5, FinishReason.EOS if last else FinishReason.SEPARATOR
        )

    @staticmethod
    def _right(path: Path) -> bool:
        return path.parent is None or path.text.split()[1] == "right"


def play(strategy: Strategy, answer: Callable[[Request], Reply]) -> Choice:
    """Run a strategy to its end."""
    try:
        request = next(strategy)
        while True:
            request = strategy.send(answer(request))
    except StopIteration as stop:
        choice = stop.value
        assert isinstance(choice, Choice)
        return choice
