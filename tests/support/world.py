"""A toy world for the scheduler: models made of hashes, replicas that answer in any order, forget and die.

Everything that the world does is drawn from one `random.Random`, so hypothesis can replay it; what the models say
depends on seeds and texts only, so it must not depend on what the world does.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    PrefixMissing,
    SampleCall,
    Sampled,
    SampledStep,
    SampleResult,
    Sampling,
    ScoreCall,
    Scored,
    ScoreResult,
)
from records.path import FinishReason, PrmScore
from records.problem import Problem
from records.request import Until
from records.rows import OpenRecord
from scaling.answers.classes import DEFAULT_POLICY, AnswerPolicy
from scaling.answers.equivalence import same_answer
from scaling.budget.ledger import Ledger
from scaling.budget.metering import Meter, Share
from scaling.scheduler.dispatch import OnFlight
from scaling.scheduler.open_search import Concluded
from scaling.scheduler.scheduler import Scheduler
from scaling.search.tasks import CompareTask
from scaling.strategy import StrategyFactory

NOTHING = Share(0.0, 0.0)
"""No part of the replicas' time, where nobody looks at it."""

TokenSource = Callable[[SampleCall], list[SampledStep]]


def toy_steps(call: SampleCall) -> list[SampledStep]:
    """What the toy generator says to a call: a function of its seed and bounds."""
    rng = random.Random(call.seed)
    steps: list[SampledStep] = []
    if call.forced_text:
        steps.append(SampledStep(call.forced_text, tuple(call.forced_text.encode()), FinishReason.FORCED, None))
    left = call.max_tokens
    while True:
        last = rng.random() < 0.35
        length = rng.randint(1, 6)
        token_ids = tuple(rng.randrange(50) for _ in range(min(length, left)))
        left -= len(token_ids)
        if length > len(token_ids) or (left == 0 and not last):
            reason = FinishReason.TOKENS if call.until is Until.TOKENS else FinishReason.LENGTH
        else:
            reason = FinishReason.EOS if last else FinishReason.SEPARATOR
        text = f"\\boxed{{{rng.randrange(4)}}}" if reason is FinishReason.EOS else f"{token_ids}\n\n"
        steps.append(
            SampledStep(text, token_ids, reason, -0.5 * len(token_ids), *toy_certainty(call, rng, len(token_ids)))
        )
        if reason is not FinishReason.SEPARATOR or call.until is Until.STEP:
            return steps


def toy_certainty(
    call: SampleCall, rng: random.Random, num_tokens: int
) -> tuple[tuple[float, ...] | None, float | None]:
    """Confidences and log-probability as drawn, if the call asks for them."""
    if call.top_logprobs == 0:
        return None, None
    return tuple(rng.randrange(8, 40) / 8 for _ in range(num_tokens)), -rng.random() * num_tokens


def toy_score(question: str, steps: tuple[str, ...]) -> PrmScore:
    """What the toy PRM says to a path: a function of its text."""
    digest = hashlib.blake2b("".join((question, *steps)).encode(), digest_size=4).digest()
    median = int.from_bytes(digest, "big") / 2**32
    return PrmScore(median / 2, median, (1 + median) / 2)


@dataclass
class World:
    """Drives a scheduler to its end.

    Attributes:
        rng: of all that may not matter: order, deaths, forgetting.
        death_rate: chance per round that some replica dies.
        missing_rate: chance that a call without its prefix is answered with `PrefixMissing`.
        steps: the generator.
        max_rounds: the world ends after so many, whatever is open then.
        journals: what problems had come to in a world before this one.
        window: problems that compete at a time, as the controller opens them; None: they are opened when wanted.
        meter: of the replicas' time, if anyone looks.
    """

    scheduler: Scheduler
    rng: random.Random
    death_rate: float = 0.0
    missing_rate: float = 0.0
    steps: TokenSource = toy_steps
    max_rounds: int | None = None
    journals: dict[str, OpenRecord] = field(default_factory=dict)
    window: int | None = None
    meter: Meter | None = None
    samples: dict[str, list[SampleCall]] = field(default_factory=dict)
    scores: dict[str, list[ScoreCall]] = field(default_factory=dict)
    comparisons: list[CompareTask] = field(default_factory=list)
    texts: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    concluded: list[Concluded] = field(default_factory=list)
    most_spent_tokens: int = 0
    recalled: set[str] = field(default_factory=set)
    now_s: float = 0.0

    def run(self, problems: list[Problem], *, generators: int = 2, prms: int = 2, slots: int = 4) -> None:
        """Open all problems as the scheduler wants them, and serve until all are concluded."""
        for index in range(generators):
            self.samples[f"g{index}"] = []
            self.scheduler.generator_up(f"g{index}", slots)
        for index in range(prms):
            self.scores[f"p{index}"] = []
            self.scheduler.prm_up(f"p{index}", slots)
        waiting = list(enumerate(problems))
        for number in range(200_000):
            if number == self.max_rounds:
                return
            num_wanted = self._num_wanted(waiting)
            while waiting and (num_wanted > 0 or (self.window is None and self.scheduler.wants_more_problems)):
                num_wanted -= 1
                order, problem = waiting.pop(0)
                record = self.journals.get(problem.problem_id)
                self.scheduler.open(problem, order=order, now_s=self.now_s, record=record)
                self._pump()
            if not waiting and self.scheduler.num_open == 0:
                self._pump()
                return
            self._round(slots)
        raise AssertionError("the scheduler does not come to an end")

    def _num_wanted(self, waiting: list[tuple[int, Problem]]) -> int:
        """Problems to be opened now because a window begins."""
        if self.window is None or not waiting or self.scheduler.num_open:
            return 0
        window = [problem.problem_id for _, problem in waiting[: self.window]]
        held_tokens = sum(self.journals[name].generated_tokens for name in window if name in self.journals)
        self.scheduler.begin_window(num_problems=len(window), num_left=len(waiting), held_tokens=held_tokens)
        return len(window)

    def _round(self, slots: int) -> None:
        self.now_s += 1.0
        if self.meter is not None:
            self.meter.advance(self.now_s)
        if self.rng.random() < self.death_rate:
            self._kill(self.rng.choice([*self.samples, *self.scores]), slots)
        replica = self.rng.choice([*self.samples, *self.scores])
        if replica in self.samples:
            calls = self._some(self.samples[replica])
            results = [self._sample(call) for call in calls]
            self.scheduler.generator_results(replica, results, now_s=self.now_s)
        else:
            scored = [self._score(call) for call in self._some(self.scores[replica])]
            self.scheduler.prm_results(replica, scored, now_s=self.now_s)
        self._compare(self._some(self.comparisons))
        self._pump()

    def _compare(self, tasks: list[CompareTask]) -> None:
        for task in tasks:
            same = {pair: same_answer(*pair) for pair in task.pairs}
            self.scheduler.compared(task, same, now_s=self.now_s)

    def _pump(self) -> None:
        outgoing = self.scheduler.pump(now_s=self.now_s)
        for replica, samples in outgoing.samples.items():
            self.samples[replica] += samples
        for replica, scores in outgoing.scores.items():
            self.scores[replica] += scores
        for calls in outgoing.cancelled_samples.values():
            self.recalled.update(calls)
        self.comparisons += outgoing.comparisons
        if outgoing.wants_lease:
            self.scheduler.ledger.leased_tokens = self.scheduler.ledger.next_lease(10)
            self._pump()
        self.concluded += self.scheduler.take_concluded()
        ledger = self.scheduler.ledger
        self.most_spent_tokens = max(self.most_spent_tokens, ledger.spent_tokens + ledger.reserved_tokens)

    def _kill(self, replica: str, slots: int) -> None:
        if replica in self.samples:
            self.samples[replica].clear()
            self.scheduler.generator_down(replica, "killed", now_s=self.now_s)
            self.scheduler.generator_up(replica, slots)
        else:
            self.scores[replica].clear()
            self.scheduler.prm_down(replica, "killed", now_s=self.now_s)
            self.scheduler.prm_up(replica, slots)
        self._pump()

    def _some(self, calls: list) -> list:
        self.rng.shuffle(calls)
        count = self.rng.randint(0, len(calls))
        taken = calls[:count]
        del calls[:count]
        return taken

    def _sample(self, call: SampleCall) -> SampleResult:
        if call.prefix is None and self.rng.random() < self.missing_rate:
            return PrefixMissing(call.key)
        whole = tuple(self.steps(call))
        if call.key not in self.recalled:
            return Sampled(call.key, whole, 7, 3, 0.1, 0.2)
        ending = self.rng.choice(["nothing", "a part", "too late"])
        if ending == "nothing":
            return CallFailed(call.key, NOTHING_SAMPLED, retryable=False)
        steps = whole if ending == "too late" else self._part_of(whole)
        return Sampled(call.key, steps, 7, 3, 0.1, 0.2)

    def _part_of(self, steps: tuple[SampledStep, ...]) -> tuple[SampledStep, ...]:
        """What an engine had sampled when the call was cancelled: some tokens, the last step cut anywhere."""
        number = self.rng.randrange(len(steps))
        last = steps[number]
        count = self.rng.randint(1, len(last.token_ids))
        sure = None if last.token_confidences is None else last.token_confidences[:count]
        text = last.text[: self.rng.randrange(len(last.text))]
        cut = replace(
            last,
            text=text,
            token_ids=last.token_ids[:count],
            finish_reason=FinishReason.CANCELLED,
            token_confidences=sure,
        )
        return (*steps[:number], cut)

    def _score(self, call: ScoreCall) -> ScoreResult:
        if call.prefix is not None:
            self.texts[call.prefix_id] = (call.prefix.question, call.prefix.steps)
        elif self.rng.random() < self.missing_rate or call.prefix_id not in self.texts:
            return PrefixMissing(call.key)
        question, before = self.texts[call.prefix_id]
        ends = range(1, len(call.steps) + 1) if call.every and call.steps else [len(call.steps)]
        scores = tuple(toy_score(question, before + call.steps[:end]) for end in ends)
        return Scored(call.key, scores, 11 * len(scores), 5, False, 0.1, 0.2)


def scheduler_for(
    strategy: StrategyFactory,
    *,
    total_tokens: int | None = None,
    run_seed: int = 1,
    on_flight: OnFlight = lambda *_: None,
    policy: AnswerPolicy = DEFAULT_POLICY,
) -> Scheduler:
    """A scheduler with a ledger of its own."""
    ledger = Ledger(total_tokens=total_tokens, leased_tokens=0 if total_tokens is not None else None)
    return Scheduler(
        strategy=strategy,
        run_seed=run_seed,
        sampling=Sampling(0.7),
        ledger=ledger,
        on_flight=on_flight,
        policy=policy,
    )


def problems(count: int) -> list[Problem]:
    """Numbered problems with a key that the toy generator sometimes hits."""
    return [Problem(f"p{index}", f"question {index}", str(index % 4)) for index in range(count)]
