"""Power sampling: whole solutions drawn from p^alpha, by Metropolis-Hastings (Karan and Du, arXiv 2510.14901).

    target    p(x)^alpha over solutions x that the generator ends itself, within the limit of tokens
    begin     each chain with a solution of q, the generator at temperature 1 / alpha
    move      a cut c, uniform over the n step boundaries of x before its last step; x' keeps c steps and goes on by q
    accept    with probability min(1, A),   A = [p(x') / p(x)]^alpha  q(x after c) / q(x' after c)  n / n'
    end       after `num_mcmc_steps` moves; the last solutions of all chains vote

p over whole sequences, not tokens: a token that makes all that follows unlikely is avoided, which a low temperature
does not do. q(.) is the product of the probabilities at temperature 1 / alpha of the tokens after the cut, and n / n'
corrects for the different chances of choosing the same cut in x and in x'.

Exact, so far as the engine's log-probabilities are. The paper's code is not across lengths: it compares an early end
with the other sequence cut to the same length. It also grows a sequence by blocks of tokens, with moves between them;
here the first draw is a whole solution, and blocks are steps. Two details keep it exact: what lies outside the target
(a cut solution) is never entered, and left by the first move out of it; and a cut after which a step is blank, in x or
in x', is refused, because such a step would be read as a part of the one before.

Draws are named (run seed, question, chain, move). What moves have thrown away counts as pruned.
"""

import math
from collections.abc import Sequence

from records.path import FinishReason, Path
from records.request import Expand, ReplyKind, Until
from scaling.answers.stated import answer_of
from scaling.seeds import uniform
from scaling.strategies.stepwise import scored
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import TOP_LOGPROBS, Selection, choose


def power_sampling(
    root: Path,
    *,
    limits: SearchLimits,
    seed: int,
    num_samples: int,
    alpha: float = 4.0,
    num_mcmc_steps: int = 10,
    top_logprobs: int = TOP_LOGPROBS,
    selection: Selection = Selection.MAJORITY,
) -> Strategy:
    """Run `num_samples` independent chains; `seed` is the run's."""
    most = limits.max_tokens

    def whole(parents: Sequence[tuple[Path, int]]) -> Expand:
        return Expand(
            tuple(parents), Until.END, most, temperature=1 / alpha, top_logprobs=top_logprobs, max_path_tokens=most
        )

    reply = yield whole([(root, num_samples)])
    chains = list(reply.paths)
    drawn = list(reply.paths)
    for move in range(num_mcmc_steps):
        if reply.kind is not ReplyKind.FULL:
            break
        cuts = [int(uniform("cut", seed, root.text, chain, move) * path.depth) for chain, path in enumerate(chains)]
        kept = [[root, *path.lineage][cut] for path, cut in zip(chains, cuts, strict=True)]
        reply = yield whole([(path, 1) for path in kept])
        drawn += reply.paths
        if reply.kind is not ReplyKind.FULL:  # which chains it left out cannot be told
            break
        for chain, (proposal, cut) in enumerate(zip(reply.paths, cuts, strict=True)):
            log_ratio = log_acceptance(chains[chain], proposal, cut, alpha)
            if uniform("accept", seed, root.text, chain, move) < math.exp(min(0.0, log_ratio)):
                chains[chain] = proposal
    if reply.kind is not ReplyKind.FULL and all(answer_of(path) is None for path in chains):
        chains = drawn
    if selection.reads_scores:
        chains = yield from scored(chains)
    return choose(chains, selection, Aggregation.LAST)


def log_acceptance(current: Path, proposal: Path, cut: int, alpha: float) -> float:
    """Logarithm of A for a move that keeps `cut` steps of `current`; -inf refuses it.

    Args:
        current: x, at least one step longer than `cut`.
        proposal: x', with the same first steps.
        cut: c, from 0.
        alpha: of the target.

    Raises:
        ValueError: a log-probability is missing: the strategy forgot to ask.
    """
    old, new = current.lineage[cut:], proposal.lineage[cut:]
    if proposal.finish_reason is not FinishReason.EOS:
        return -math.inf
    if cut and not (old[0].text.strip() and new[0].text.strip()):
        return -math.inf
    if current.finish_reason is not FinishReason.EOS:
        return 0.0
    gain = alpha * (_log_p(new) - _log_p(old)) + _log_q(old) - _log_q(new)
    log_ratio = gain + math.log(len(current.lineage) / len(proposal.lineage))
    return -math.inf if math.isnan(log_ratio) else log_ratio


def _log_p(steps: Sequence[Path]) -> float:
    return sum(_known(step.logprob_sum, step) for step in steps)


def _log_q(steps: Sequence[Path]) -> float:
    return sum(_known(step.sampled_logprob_sum, step) for step in steps)


def _known(value: float | None, step: Path) -> float:
    if value is None:
        raise ValueError(f"node {step.node_id} has no log-probability as drawn: its request did not ask for it")
    return value
