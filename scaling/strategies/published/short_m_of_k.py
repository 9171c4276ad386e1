"""short-m@k: of k samples the first m to finish vote, and the rest is cancelled (Hassid et al., arXiv 2505.17813).

    k    `num_samples`, all under way at once
    m    `num_first`; among answers with as many votes, that of the shortest sample

For models that think: chains that are right tend to be short ones. The rule leans towards short samples on purpose, and
no order of counting corrects it. Different from the paper: there a chain counts when its thought ends, here when its
answer does; samples that state no answer are not among the m (ours).
"""

from records.path import Path
from records.request import Expand, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategies.as_they_finish import Look, as_they_finish
from scaling.strategy import Choice, SearchLimits, Strategy


def short_m_of_k(root: Path, *, limits: SearchLimits, num_samples: int, num_first: int) -> Strategy:
    """The majority of the `num_first` of `num_samples` samples that finish first with an answer."""
    stated: list[Path] = []

    def enough(path: Path, _: int) -> bool:
        if answer_of(path) is not None:
            stated.append(path)
        return len(stated) >= num_first

    one = Expand(((root, 1),), Until.END, limits.max_tokens)
    came = yield from as_they_finish(
        one, num_samples=num_samples, at_once=num_samples, look=Look.ARRIVAL, enough=enough
    )
    return choose_by_short_vote(came)


def choose_by_short_vote(candidates: list[Path]) -> Choice:
    """The answer of most candidates; of several the one with the shortest, which is the chosen path of any answer."""
    by_answer: dict[str, list[Path]] = {}
    for path in candidates:
        answer = answer_of(path)
        if answer is not None:
            by_answer.setdefault(form_of(path, answer), []).append(path)
    if not by_answer:
        return Choice(candidates[0] if candidates else None, None, tuple(candidates))
    shortest = [min(paths, key=lambda path: path.num_tokens) for paths in by_answer.values()]
    votes = [len(paths) for paths in by_answer.values()]
    best = min(range(len(votes)), key=lambda index: (-votes[index], shortest[index].num_tokens))
    return Choice(shortest[best], answer_of(shortest[best]), tuple(candidates))
