"""Monte Carlo rollouts: how likely is success from each prefix of some trajectories?

    trajectories   N_val solutions of the question
    prefixes       the question, every step of every trajectory, and the finished solutions; equal ones are one
    continuations  N_MC of each unfinished prefix, to the end; how many of them are right is the prefix' success count

Sampled as scoring samples, with the same bound on a whole solution: a continuation gets what its prefix has left of it.
No sample is preferred to another (the official code of arXiv 2506.09338 draws a quarter more and keeps those with an
answer first, which makes the counts too high). The paper leaves finished solutions out; here they are prefixes too,
because answer selection scores them.
"""

from collections.abc import Sequence

from records.path import Path
from records.request import Expand, ReplyKind, Until
from scaling.strategy import Choice, PrefixTrials, SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote


def rollout(root: Path, *, limits: SearchLimits, num_trajectories: int, num_continuations: int) -> Strategy:
    """Sample `num_trajectories` (N_val) solutions, and `num_continuations` (N_MC) from each of their prefixes.

    One request a prefix: what a crash takes is little, and other problems fill the engines. Where the budget ends a
    request early, its prefix gets no count: which children it cut short is not known.
    """
    reply = yield Expand(((root, num_trajectories),), Until.END, limits.max_tokens)
    voted = choose_by_vote(reply.paths, None)
    if reply.kind is not ReplyKind.FULL:
        return voted
    found: list[PrefixTrials] = []
    sampled = list(reply.paths)
    for path, passing in distinct_prefixes(root, reply.paths):
        if path.finished:
            found.append(PrefixTrials(path, passing, (path,)))
            continue
        left_tokens = limits.max_tokens - path.num_tokens
        reply = yield Expand(((path, num_continuations),), Until.END, left_tokens)
        sampled += reply.paths
        if reply.kind is not ReplyKind.FULL:
            break
        found.append(PrefixTrials(path, passing, reply.paths))
    return Choice(voted.path, voted.answer, tuple(sampled), tuple(found))


def distinct_prefixes(root: Path, trajectories: Sequence[Path]) -> list[tuple[Path, int]]:
    """Prefixes with different tokens, by depth, and how many of the trajectories pass through each."""
    nodes: dict[tuple[int, ...], Path] = {}
    passing: dict[tuple[int, ...], int] = {}
    for leaf in trajectories:
        token_ids: tuple[int, ...] = ()
        for node in [root, *leaf.lineage]:
            token_ids += node.token_ids
            nodes.setdefault(token_ids, node)
            passing[token_ids] = passing.get(token_ids, 0) + 1
    by_depth = sorted(nodes, key=lambda ids: (nodes[ids].depth, nodes[ids].node_id))
    return [(nodes[ids], passing[ids]) for ids in by_depth]
