"""Paths scored outside of any run: each once, whatever dies; and what cannot be scored is said."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from actors.controller.path_scorer import PathScorer
from actors.controller.replica_client import HealthCheck
from records.calls import ScoreCall, Scored, TextPrefix, child_prefix_id, root_prefix_id
from records.failure import ReplicaDied
from scaling.scheduler.retries import MAX_ATTEMPTS
from scaling.scheduler.waiting import SUSPECT_DEATHS
from tests.support.fakes import SEPARATOR, Faults, deaths, fake_prm, true_score
from tests.support.local import LocalHandle

HEALTH = HealthCheck(interval_s=0.2, deadline_s=5.0, backoff_s=0.001)


def group(number: int, num_steps: int) -> list[ScoreCall]:
    """The bare question, and each of its steps after those before it."""
    question, steps = f"question {number}", tuple(f"step {step}{SEPARATOR}" for step in range(num_steps))
    ids = [root_prefix_id(question)]
    for step in steps:
        ids.append(child_prefix_id(ids[-1], [step]))
    calls = [ScoreCall(f"{number}/0", ids[0], TextPrefix(question, ()), (), every=False)]
    return calls + [
        ScoreCall(f"{number}/{at + 1}", ids[at], TextPrefix(question, steps[:at]), (steps[at],), every=False)
        for at in range(num_steps)
    ]


GROUPS = [group(number, 1 + number % 5) for number in range(40)]


class Collected:
    def __init__(self) -> None:
        self.scores: dict[str, Scored] = {}
        self.failed: dict[str, str] = {}

    def on_scored(self, call: ScoreCall, result: Scored) -> None:
        assert call.key not in self.scores
        self.scores[call.key] = result

    def on_failed(self, call: ScoreCall, error: str) -> None:
        assert call.key not in self.failed
        self.failed[call.key] = error


def scored(
    makes: Sequence[Callable[[], Any]],
    *,
    handle: type[LocalHandle[Any]] = LocalHandle,
    groups: Sequence[Sequence[ScoreCall]] = GROUPS,
) -> Collected:
    collected = Collected()

    async def run() -> None:
        handles: list[LocalHandle[Any]] = [handle(f"prm-{number}", make) for number, make in enumerate(makes)]
        scorer = PathScorer(handles, on_scored=collected.on_scored, on_failed=collected.on_failed, health=HEALTH)
        async with asyncio.timeout(30):
            await scorer.score(iter(groups))
        for one in handles:
            await one.close()

    asyncio.run(run())
    return collected


def check_all(collected: Collected, *, without: Sequence[str] = ()) -> None:
    calls = {call.key: call for own in GROUPS for call in own}
    assert collected.scores.keys() == calls.keys() - set(without)
    for key, result in collected.scores.items():
        prefix = calls[key].prefix
        assert prefix is not None
        text = "".join((*prefix.steps, *calls[key].steps))
        assert result.scores == (true_score(prefix.question, text),)


@pytest.mark.parametrize("count", [1, 3])
def test_every_path_has_its_score(count):
    collected = scored([fake_prm] * count)
    check_all(collected)
    assert not collected.failed


def test_an_empty_group_is_no_end():
    collected = scored([fake_prm], groups=[[], GROUPS[0], [], [], GROUPS[1], []])
    assert collected.scores.keys() == {call.key for call in (*GROUPS[0], *GROUPS[1])}
    assert not scored([fake_prm], groups=[]).scores


def test_a_group_finds_its_beginnings_cached():
    collected = scored([fake_prm, fake_prm])
    shares = [
        collected.scores[call.key].cached_tokens / collected.scores[call.key].prm_tokens
        for own in GROUPS
        for call in own[2:]
    ]
    assert min(shares) > 0


def dying(*die_at: int) -> Callable[[], Any]:
    """Lives that end at these calls, one after the other; the lives after them are calm."""
    lives = iter(die_at)
    return lambda: fake_prm(faults=Faults(die_at=next(lives, None)))


@pytest.mark.parametrize("lives", [[(5, 40)], [(3, 9, 20), (30,)]], ids=["alone", "two"])
def test_what_a_dead_replica_had_is_scored_by_another(lives):
    collected = scored([dying(*die_at) for die_at in lives])
    check_all(collected, without=list(collected.failed))
    # Whoever fails has a death of its own, after those that made it a suspect.
    assert len(collected.failed) <= sum(map(len, lives)) - SUSPECT_DEATHS


class Poisoned(LocalHandle[Any]):
    """Its process dies of one path."""

    num_died = 0

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[ScoreCall]) -> None:
        if any(call.key.startswith("7/1~") for call in calls):
            Poisoned.num_died += 1
            deaths(self.replica).append(1)
        await super().submit(incarnation, epoch, calls)


def test_a_path_that_kills_every_engine_fails_alone():
    collected = scored([fake_prm, fake_prm], handle=Poisoned)
    assert list(collected.failed) == ["7/1"]
    assert "killed its PRM repeatedly" in collected.failed["7/1"]
    check_all(collected, without=["7/1"])
    assert Poisoned.num_died == SUSPECT_DEATHS + 1


def test_refusals_are_failures_and_losses_are_tried_again():
    collected = scored([lambda: fake_prm(faults=Faults(refuse_at={10}, lose_at={5, 6, 30}))])
    assert len(collected.failed) == 1
    check_all(collected, without=list(collected.failed))
    always = scored([lambda: fake_prm(faults=Faults(lose_at=set(range(3, 10_000))))])
    assert len(always.failed) == sum(map(len, GROUPS))
    assert not always.scores
    assert MAX_ATTEMPTS > 1


def test_when_every_replica_is_given_up_it_ends():
    with pytest.raises(ReplicaDied, match="every PRM replica was given up"):
        scored([lambda: fake_prm(faults=Faults(die_at=1))])
