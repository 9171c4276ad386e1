"""Diverse verifier tree search (Beeching et al., Scaling test-time compute with open models, 2024; search-and-learn).

    N / M subtrees, each of which at every step
        draws M continuations of its path by one step
        takes the one that the PRM likes best; a path that has ended ends its subtree
    last step     M continuations to the end
    end           the last M candidates of every subtree compete: N in all

A subtree never looks at another, which keeps the search diverse where beam search lets one prefix take over.

From the code of search-and-learn: the candidates are the last M of each subtree, whatever the subtree chose among them.
Other than there, a path ends where the generator ends it (not at a box), `limits` bound every step and sample, and the
final choice aggregates scores as asked (there it reads the last score, whatever it is told).
"""

from records.path import Path
from records.request import Expand, ReplyKind, Until
from scaling.strategies.stepwise import best_of, closed, one_step, value
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose


def dvts(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    max_steps: int,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Search with `num_samples` / `beam_width` (N / M) greedy subtrees of `beam_width` (M) children a step."""
    live = dict.fromkeys(range(num_samples // beam_width), root)
    last: dict[int, tuple[Path, ...]] = {}
    passed_over: list[Path] = []
    for _ in range(max_steps - 1):
        reply = yield one_step([(path, beam_width) for path in live.values()], limits)
        if reply.kind is not ReplyKind.FULL:  # what was passed over may be the only answer there is
            return choose([*passed_over, *_all(last), *reply.paths], selection, aggregation)
        for number, subtree in enumerate(tuple(live)):
            passed_over += [path for path in last.get(subtree, ()) if path.finished]
            last[subtree] = reply.paths[number * beam_width : (number + 1) * beam_width]
            [best] = best_of([value(path, aggregation) for path in last[subtree]], 1)
            live[subtree] = last[subtree][best]
            if closed(live[subtree], limits):
                del live[subtree]
        if not live:
            break
    for subtree, path in live.items():
        left_tokens = limits.max_tokens - path.num_tokens
        reply = yield Expand(((path, beam_width),), Until.END, left_tokens, aggregation.scoring)
        if reply.kind is not ReplyKind.FULL:
            return choose([*passed_over, *_all(last), *reply.paths], selection, aggregation)
        passed_over += [path for path in last.get(subtree, ()) if path.finished]
        last[subtree] = reply.paths
    return choose(_all(last), selection, aggregation)


def _all(last: dict[int, tuple[Path, ...]]) -> list[Path]:
    return [path for subtree in sorted(last) for path in last[subtree]]
