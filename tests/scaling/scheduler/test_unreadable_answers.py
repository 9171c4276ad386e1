"""An answer that cannot be read fails its problem with the reason, keeps what was sampled, and costs no other."""

import random
from typing import Any

import pytest

from records.path import FinishReason
from scaling.answers.classes import AnswerPolicy
from scaling.answers.extract import Extraction
from scaling.search.accounting import Models, problem_record
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategy import SearchLimits
from tests.support.world import NOTHING, World, problems, scheduler_for

LIMITS = SearchLimits(max_tokens=60, max_step_tokens=6)


def raises(solution: str) -> str | None:
    if len(solution) % 3 == 0:
        raise KeyError(solution)
    return solution[-2:]


def wrong_kind(solution: str) -> Any:
    return 7 if len(solution) % 3 == 0 else None


POLICIES = {
    "raises": (AnswerPolicy(extractor=raises), "answer.extract raised KeyError"),
    "returns a number": (AnswerPolicy(extractor=wrong_kind), "answer.extract returned int, and has to return text"),
    "a pattern without end": (AnswerPolicy(Extraction(pattern=r"^(\w|\w|\w\w|.|\s)+$(?<!x)x")), "answer.pattern"),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("stops", [False, True], ids=["whole", "one by one"])
def test_it_fails_its_problem_and_no_other(name, stops):
    policy, why = POLICIES[name]

    def strategy(root):
        return majority(root, limits=LIMITS, num_samples=4, stop_when_decided=stops)

    world = World(scheduler_for(strategy, policy=policy), random.Random(3))
    world.run(problems(8 if policy.extractor else 1), generators=2)
    found = {one.search.problem.problem_id: one.search for one in world.concluded}
    failed = {name: search for name, search in found.items() if search.error is not None}
    assert len(found) == (8 if policy.extractor else 1)
    assert failed
    for search in failed.values():
        assert search.error is not None
        assert search.error.startswith(why)
        record = problem_record(
            search, correct=None, models=Models(1, None, None), strategy="s", wall_seconds=1.0, share=NOTHING
        )
        assert record.problem.generated_tokens == sum(step.generated_tokens for step in record.steps) > 0
        ended = [step for step in record.steps if step.finish_reason == FinishReason.EOS]
        assert ended
        assert all(step.answer is not None for step in ended), "a reader reads none of them again"
    assert world.scheduler.ledger.reserved_tokens == 0
    assert not world.scheduler.num_open


def test_scores_under_way_are_nobodys():
    def strategy(root):
        return best_of_n(root, limits=LIMITS, num_samples=4)

    world = World(scheduler_for(strategy, policy=AnswerPolicy(extractor=raises)), random.Random(5))
    world.run(problems(8), generators=2, prms=1)
    assert len(world.concluded) == 8
    assert any(one.search.error for one in world.concluded)
