"""Strategies of many problems, played side by side on stored samples under one cap: the dearest wish is served first.

The controller grants waiting requests in the order of their priority; here one request is served at a time, so
that every decision knows all that came before it. A real run has many in flight and decides a little earlier.
"""

import heapq
import math
from collections.abc import Sequence

from records.request import Expand
from scaling.stored.problem import StoredProblem
from scaling.stored.sample_player import Outcome, Playback
from scaling.strategy import StrategyFactory


def play_together(
    strategy: StrategyFactory,
    problems: Sequence[StoredProblem],
    orders: Sequence[Sequence[int]],
    total_tokens: int | None,
) -> list[Outcome]:
    """Run one strategy on all problems under a cap on generated tokens; an outcome per problem.

    The request with the highest priority goes first, of equals the earlier problem's; one that says nothing goes
    before all others. A request that does not fit into what is left ends the spending: all that wait conclude with what
    they have, and less than one request's tokens stay unspent.

    Raises:
        NotStored: a strategy asks for something else than the stored samples can give.
    """
    playbacks = [Playback(strategy, problem, order) for problem, order in zip(problems, orders, strict=True)]
    left = math.inf if total_tokens is None else total_tokens
    waiting = [(_rank(playback), number) for number, playback in enumerate(playbacks) if playback.request is not None]
    heapq.heapify(waiting)
    while waiting:
        _, number = heapq.heappop(waiting)
        playback = playbacks[number]
        tokens = playback.next_tokens
        if tokens > left:
            left = 0
            playback.deny()
            continue
        left -= tokens
        playback.serve()
        if playback.request is not None:
            heapq.heappush(waiting, (_rank(playback), number))
    return [playback.outcome() for playback in playbacks]


def _rank(playback: Playback) -> float:
    """Scores, which cost no tokens of the cap, before everything; then by falling worth."""
    priority = playback.priority
    return -math.inf if priority is None or not isinstance(playback.request, Expand) else -priority
