"""`probe`: when a chain ends, when the vote ends, and that ending it changes no answer."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path
from records.request import Expand, Reply, ReplyKind, Until
from scaling.strategies.probe import confidence, probe
from scaling.strategy import Choice, Request, SearchLimits
from scaling.toy import play_strategy

TEXT = "</think>"
LIMITS = SearchLimits(max_tokens=40, max_step_tokens=10)
EVERY = 10
ROOT = Path(0, None, "question")


@dataclass
class Told:
    """Chains whose probes answer as a table says: `said[chain][round]`, None for no answer.

    Attributes:
        own_end: of a chain, the round in which it ends by itself, with the answer that its table has there.
        logprobs: of the three tokens of each probe, likewise by chain and round.
    """

    said: Sequence[Sequence[int | None]]
    own_end: dict[int, int] = field(default_factory=dict)
    logprobs: dict[tuple[int, int], float] = field(default_factory=dict)
    chain_of: dict[int, int] = field(default_factory=dict)
    num_nodes: int = 0
    num_pieces: int = 0
    num_probes: int = 0

    def __call__(self, request: Request) -> Reply:
        assert isinstance(request, Expand)
        parents = [path for path, count in request.parents for _ in range(count)]
        paths = [self._child(number, path, request) for number, path in enumerate(parents)]
        return Reply(ReplyKind.FULL, tuple(paths))

    def _child(self, number: int, parent: Path, request: Expand) -> Path:
        chain = number if parent.parent is None else self.chain_of[parent.node_id]
        if not request.forced_text:
            assert request.until is Until.TOKENS
            self.num_pieces += 1
            at = parent.depth
            ends = self.own_end.get(chain) == at
            text = _boxed(self.said[chain][at]) if ends else "so "
            return self._node(
                parent, chain, text, request.most_tokens(parent), FinishReason.EOS if ends else FinishReason.TOKENS
            )
        assert request.forced_text == TEXT
        assert request.temperature == 0.0
        self.num_probes += 1
        at = parent.depth - 1
        forced = self._node(parent, chain, TEXT, 1, FinishReason.FORCED)
        logprob = self.logprobs.get((chain, at), -9.0)
        return self._node(forced, chain, _boxed(self.said[chain][at]), 3, FinishReason.EOS, 3 * logprob)

    def _node(
        self, parent: Path, chain: int, text: str, tokens: int, reason: FinishReason, logprob: float | None = None
    ) -> Path:
        self.num_nodes += 1
        self.chain_of[self.num_nodes] = chain
        return Path(self.num_nodes, parent, text, (1,) * tokens, reason, logprob)


def _boxed(answer: int | None) -> str:
    return "hm" if answer is None else f"\\boxed{{{answer}}}"


def played(told: Told, **options: Any) -> Choice:
    arguments: dict[str, Any] = {
        "probe_text": TEXT,
        "probe_every": EVERY,
        "num_samples": len(told.said),
        "num_agree": 2,
    } | options
    return play_strategy(probe(ROOT, limits=LIMITS, **arguments), told)


def test_a_chain_ends_once_its_last_probes_agree():
    told = Told([(5, 7, 7, 7)])
    choice = played(told)
    assert (choice.answer, told.num_pieces, told.num_probes) == ("7", 3, 3)
    assert choice.path.parent.finish_reason is FinishReason.FORCED
    assert choice.candidates == (choice.path,)


def test_a_probe_without_an_answer_agrees_with_nothing():
    told = Told([(7, None, 7, None)])
    choice = played(told)
    assert (choice.answer, told.num_pieces) == ("7", 4)


def test_a_chain_that_ends_by_itself_answers_for_itself():
    told = Told([(5, 6, 8, 9)], own_end={0: 2})
    choice = played(told)
    assert (choice.answer, told.num_pieces, told.num_probes) == ("8", 3, 2)
    assert choice.path.finish_reason is FinishReason.EOS


def test_one_that_ends_without_an_answer_answers_what_it_last_said():
    told = Told([(5, 6, None, 9)], own_end={0: 2})
    assert played(told).answer == "6"


@pytest.mark.parametrize(("least", "pieces"), [(0.9, 2), (0.5, 1), (0.99, 4)])
def test_a_chain_ends_when_a_probe_is_sure(least, pieces):
    told = Told([(5, 6, 7, 8)], logprobs={(0, 0): math.log(0.6), (0, 1): math.log(0.95)})
    choice = played(told, num_agree=0, min_confidence=least)
    assert told.num_pieces == pieces
    assert choice.answer == str(told.said[0][min(pieces, 3) - 1])  # at the bound on tokens nobody is asked


def test_confidence_is_the_geometric_mean_of_what_was_sampled():
    forced = Path(2, Path(1, ROOT, "so", (1,) * 9, FinishReason.TOKENS, -50.0), TEXT, (1,), FinishReason.FORCED)
    said = Path(3, forced, "\\boxed{1}", (1, 2), FinishReason.EOS, math.log(0.9) + math.log(0.4))
    assert confidence(said) == pytest.approx(math.sqrt(0.36))
    assert confidence(Path(3, forced, "x", (1,), FinishReason.EOS, None)) == 0
    assert confidence(Path(3, forced, "", (), FinishReason.LENGTH, 0.0)) == 0
    assert confidence(Path(3, forced, "x", (1,), FinishReason.EOS, math.nan)) == 0


def test_the_problem_ends_when_the_others_cannot_change_the_vote():
    told = Told([(3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (1, 2, 1, 2), (2, 1, 2, 1)])
    choice = played(told)
    assert choice.answer == "3"
    assert told.num_pieces == 10  # two rounds
    assert len(choice.candidates) == 3


tables = st.lists(st.lists(st.none() | st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=6)


@given(said=tables, agree=st.integers(1, 3), ends=st.dictionaries(st.integers(0, 5), st.integers(0, 3)))
def test_ending_the_vote_changes_no_answer(said, agree, ends):
    told = Told(said, own_end=ends)
    answer = played(told, num_agree=agree).answer
    votes = Counter(
        found
        for table, chain in zip(said, range(len(said)), strict=True)
        if (found := _alone(table, ends.get(chain), agree)) is not None
    )
    most = max(votes.values(), default=0)
    assert answer in {str(each) for each, count in votes.items() if count == most} or (answer is None and not votes)


def _alone(table: Sequence[int | None], own_end: int | None, agree: int) -> int | None:
    """What one chain answers, by the rule in words."""
    said: list[int | None] = []
    for at, answer in enumerate(table):
        if own_end == at:
            last = [each for each in said if each is not None]
            return answer if answer is not None else (last[-1] if last else None)
        if (at + 1) * EVERY >= LIMITS.max_tokens:
            break  # nobody is asked at the bound
        said.append(answer)
        if len(said) >= agree and answer is not None and all(each == answer for each in said[-agree:]):
            return answer
    last = [each for each in said if each is not None]
    return last[-1] if last else None


def test_a_sure_vote_ends_the_problem_where_one_asks_for_it():
    said = [(3, 3, 3, 3)] * 3 + [(0, 1, 0, 1)] * 5
    assert len(played(Told(said)).candidates) == 8
    assert len(played(Told(said), vote_confidence=0.9).candidates) == 3
