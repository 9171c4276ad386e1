"""Early exit: chains that are asked on their way what they would answer, and end once that is certain.

    round     each open chain grows by `probe_every` tokens
    probe     each that has not come to its answer by itself gets `probe_text` behind it and answers, greedily, in at
              most `probe_tokens` tokens; the chain goes on without the probe
    certain   its last `num_agree` probes answer the same (the certainty index of Dynasor, Fu et al., arXiv 2412.20993),
              or the geometric mean of the probabilities of a probe's tokens is at least `min_confidence` (DEER, Yang et
              al., arXiv 2504.15895): the chain ends, and its last probe is its answer
    decided   the chains that are open cannot change the vote any more, or `vote_confidence` says so
              (`published.adaptive_consistency`): the problem ends

Every chain goes as far in every round, so what is decided depends on no order of arrival. Ours: a chain that ends
without an answer, at a bound or by itself, answers what a probe last said. Chains that end early answer first, so a
vote that is ended by `vote_confidence` leans towards short thoughts; one that is decided does not.
"""

import math
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from records.path import FinishReason, Path
from records.request import Expand, Reply, ReplyKind, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategies.published.adaptive_consistency import majority_probability
from scaling.strategy import Request, SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote, two_most

NEVER = 1.0
"""A confidence that ends nothing."""


@dataclass(slots=True)
class _Chain:
    """One sample on its way.

    Attributes:
        path: as far as it has come; the root before it has begun.
        forms: what each probe answered, as answers are counted; None where it stated none.
        said: the last probe that stated an answer.
        certain: its probes have decided it.
        closed: it does not grow any more.
    """

    path: Path
    forms: list[str | None] = field(default_factory=list)
    said: Path | None = None
    certain: bool = False
    closed: bool = False

    @property
    def answering(self) -> bool:
        """It has ended its thought by itself."""
        return self.path.phases is not None and not self.path.phases.is_open

    @property
    def end(self) -> Path:
        """The path that it answers with."""
        own = None if self.certain else answer_of(self.path)
        return self.path if own is not None or self.said is None else self.said


def probe(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    probe_text: str,
    probe_every: int = 256,
    probe_tokens: int = 20,
    num_agree: int = 3,
    min_confidence: float = NEVER,
    vote_confidence: float = NEVER,
) -> Strategy:
    """Grow `num_samples` chains, each until its answer is certain and all until their vote is.

    With `num_agree` 0 probes need not agree; a confidence of 1 (`NEVER`) ends nothing.
    """
    chains = [_Chain(root) for _ in range(num_samples)]
    for _ in range(math.ceil(limits.max_tokens / probe_every)):
        growing = [chain for chain in chains if not chain.closed]
        thinking = [chain for chain in growing if not chain.answering]
        full = yield from _grown(thinking, Until.TOKENS, probe_every, limits)
        answering = [chain for chain in growing if chain.answering and not chain.path.finished]
        if full and answering:
            full = yield from _grown(answering, Until.END, limits.max_tokens, limits)
        for chain in growing:
            chain.closed = chain.path.finished or chain.answering or chain.path.num_tokens >= limits.max_tokens
        asked = [chain for chain in growing if not chain.closed]
        if full and asked:
            full = yield from _probed(asked, probe_text, probe_tokens, limits, with_logprobs=min_confidence != NEVER)
        for chain in asked:
            chain.certain = chain.closed = _agree(chain.forms, num_agree) or _confident(chain, min_confidence)
        if not full or all(chain.closed for chain in chains):
            break
        if _decided(chains, vote_confidence):
            return choose_by_vote([chain.end for chain in chains if chain.closed], None)
    return choose_by_vote([chain.end for chain in chains if chain.path is not root], None)


def _grown(
    chains: Sequence[_Chain], until: Until, max_tokens: int, limits: SearchLimits
) -> Generator[Request, Reply, bool]:
    """Let chains grow; whether all did."""
    if not chains:
        return True
    if chains[0].path.parent is None:  # none has begun
        parents: tuple[tuple[Path, int], ...] = ((chains[0].path, len(chains)),)
    else:
        parents = tuple((chain.path, 1) for chain in chains)
    reply = yield Expand(parents, until, max_tokens, max_path_tokens=limits.max_tokens)
    if len(parents) < len(chains):
        found: Iterable[tuple[_Chain, Path]] = zip(chains, reply.paths, strict=False)
    else:
        found = _matched(chains, reply.paths)
    for chain, leaf in found:
        chain.path = leaf
    return reply.kind is ReplyKind.FULL


def _probed(
    chains: Sequence[_Chain], text: str, max_tokens: int, limits: SearchLimits, *, with_logprobs: bool
) -> Generator[Request, Reply, bool]:
    """Ask chains what they would answer; whether all were asked."""
    reply = yield Expand(
        tuple((chain.path, 1) for chain in chains),
        Until.END,
        max_tokens,
        temperature=0.0,
        top_logprobs=int(with_logprobs),
        max_path_tokens=limits.max_tokens,
        forced_text=text,
    )
    for chain, leaf in _matched(chains, reply.paths):
        answer = answer_of(leaf)
        chain.forms.append(None if answer is None else form_of(leaf, answer))
        chain.said = chain.said if answer is None else leaf
    return reply.kind is ReplyKind.FULL


def _matched(chains: Sequence[_Chain], leaves: Iterable[Path]) -> list[tuple[_Chain, Path]]:
    """Each leaf with the chain that it continues."""
    chain_at: Mapping[int, _Chain] = {chain.path.node_id: chain for chain in chains}
    found = []
    for leaf in leaves:
        node: Path | None = leaf
        while node is not None and node.node_id not in chain_at:
            node = node.parent
        if node is not None:
            found.append((chain_at[node.node_id], leaf))
    return found


def _agree(forms: Sequence[str | None], num_agree: int) -> bool:
    """The last so many probes answer the same."""
    if num_agree == 0 or len(forms) < num_agree:
        return False
    last = forms[-num_agree:]
    return last[0] is not None and len(set(last)) == 1


def _confident(chain: _Chain, min_confidence: float) -> bool:
    """The last probe states an answer, and the generator was sure of it."""
    if min_confidence == NEVER or chain.said is None or chain.forms[-1] is None:
        return False
    return confidence(chain.said) >= min_confidence


def confidence(probed: Path) -> float:
    """Geometric mean of the probabilities of the tokens behind a forced text, in [0, 1]; 0 where nobody knows them."""
    logprob_sum, num_tokens = 0.0, 0
    for node in reversed(probed.lineage):
        if node.finish_reason is FinishReason.FORCED:
            break
        if node.logprob_sum is None:
            return 0.0
        logprob_sum, num_tokens = logprob_sum + node.logprob_sum, num_tokens + len(node.token_ids)
    mean = logprob_sum / num_tokens if num_tokens else -math.inf
    return 0.0 if math.isnan(mean) else min(1.0, math.exp(min(0.0, mean)))


def _decided(chains: Sequence[_Chain], vote_confidence: float) -> bool:
    """The chains that are closed have the vote, whatever the others would answer, or as good as."""
    closed = [chain for chain in chains if chain.closed]
    answers = [(chain.end, answer_of(chain.end)) for chain in closed]
    votes = Counter(form_of(path, answer) for path, answer in answers if answer is not None)
    first, second = two_most(votes.values())
    if first - second > len(chains) - len(closed):
        return True
    return vote_confidence != NEVER and majority_probability(first, second) >= vote_confidence
