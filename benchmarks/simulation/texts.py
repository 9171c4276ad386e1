"""What simulated models say: texts whose lengths are lognormal, and scores.

All follows from the seed and the name of a call, so it is the same whatever else happens. Problems differ in how much
they need (`problem_sigma`), and the samples of one problem from each other (`sigma`).
"""

import math
import random
import zlib
from dataclasses import dataclass

from records.calls import SampleCall, SampledStep, ScoreCall
from records.path import FinishReason, PrmScore
from records.request import Until

CHARACTERS_PER_TOKEN = 4
_FILLER = "so we take the two numbers that the question gives and multiply them and add what was left of the first one "
_FILLER *= 80
NUM_ANSWERS = 5
_RIGHT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are, in tokens.

    Attributes:
        question: of a prompt.
        step_median: of one step; lognormal with `sigma`.
        steps_median: steps of a sample; lognormal with `problem_sigma` between problems and `sigma` between samples.
    """

    question: int = 120
    step_median: float = 60.0
    steps_median: float = 9.0
    sigma: float = 0.4
    problem_sigma: float = 0.3

    def num_steps(self, problem_id: str, rng: random.Random) -> int:
        """Steps of one whole sample of a problem."""
        of_problem = self.problem_sigma * _normal_of(problem_id)
        return max(1, round(self.steps_median * math.exp(of_problem + self.sigma * rng.gauss(0.0, 1.0))))

    def step_tokens(self, rng: random.Random) -> int:
        """Tokens of one step."""
        return max(1, round(self.step_median * math.exp(self.sigma * rng.gauss(0.0, 1.0))))


def _normal_of(name: str) -> float:
    """A standard normal number that belongs to a name."""
    return random.Random(zlib.crc32(name.encode())).gauss(0.0, 1.0)


def say(call: SampleCall, depth: int, lengths: Lengths) -> tuple[SampledStep, ...]:
    """What the generator samples after `depth` steps: one step, or all that are left."""
    rng = random.Random(call.seed)
    problem_id = call.key.rsplit("/", 2)[0]
    left = lengths.num_steps(problem_id, rng) - depth
    steps: list[SampledStep] = []
    tokens_left = call.max_tokens
    while True:
        left -= 1
        num_tokens = min(lengths.step_tokens(rng), tokens_left)
        tokens_left -= num_tokens
        reason = FinishReason.EOS if left <= 0 else FinishReason.SEPARATOR
        if tokens_left == 0 and reason is FinishReason.SEPARATOR:
            reason = FinishReason.LENGTH
        steps.append(_step(rng, num_tokens, reason))
        if reason is not FinishReason.SEPARATOR or call.until is not Until.END:
            return tuple(steps)


def _step(rng: random.Random, num_tokens: int, reason: FinishReason) -> SampledStep:
    number = rng.getrandbits(32)
    text = _FILLER[number % 97 : number % 97 + CHARACTERS_PER_TOKEN * num_tokens]
    if reason is FinishReason.EOS:
        answer = 0 if rng.random() < _RIGHT_SHARE else number % NUM_ANSWERS
        text += f" The answer is \\boxed{{{answer}}}."
    else:
        text += "\n\n"
    first = number % 100_000
    return SampledStep(text, tuple(range(first, first + num_tokens)), reason, -0.25 * num_tokens)


def judge(call: ScoreCall) -> tuple[PrmScore, ...]:
    """One score for each that was asked for."""
    median = zlib.crc32(call.key.encode()) % 1000 / 1000
    return (PrmScore(median / 2, median, (1 + median) / 2),) * (len(call.steps) if call.every and call.steps else 1)
