"""From the tables of a finished run back to what its engines were asked: pure functions, no engine, no Ray."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from actors.engines.formats import PrmFormat
from actors.replicas.prm import PathIds
from records.path import PrmScore
from records.request import Until

Row = Mapping[str, Any]
"""One row of a table of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSample:
    """One sample as the generator was asked for it.

    Attributes:
        prompt_ids: prompt and path.
        siblings: samples of the same prompt in the same request, this one included.
    """

    prompt_ids: tuple[int, ...]
    until: Until
    max_tokens: int
    seed: int
    siblings: int


def recorded_samples(
    questions: Mapping[str, str],
    steps: Iterable[Row],
    requests: Iterable[Row],
    prompt_ids: Callable[[str], tuple[int, ...]],
) -> list[RecordedSample]:
    """Every sample of a run, problem by problem, in the order of requests and children; siblings are neighbours.

    Args:
        questions: of the run's problems, by id; the samples come in its order.
        steps: rows of `steps`.
        requests: rows of `requests`; every request has to be granted in full.
        prompt_ids: a question's prompt as token ids.

    Raises:
        ValueError: a request was cut by a budget, so there is no sample for some child.
    """
    nodes = {(row["problem_id"], row["node_id"]): row for row in steps}
    by_problem: dict[str, list[Row]] = {problem_id: [] for problem_id in questions}
    for request in requests:
        if request["kind"] == "expand":
            by_problem[request["problem_id"]].append(request)
    samples: list[RecordedSample] = []
    for problem_id, expansions in by_problem.items():
        prompt = prompt_ids(questions[problem_id])
        for request in sorted(expansions, key=lambda row: int(row["request"])):
            if request["reply_kind"] != "full":
                raise ValueError(f"{problem_id}: request {request['request']} was answered {request['reply_kind']}")
            children = iter(zip(request["child_ids"], request["granted_tokens"], strict=True))
            for parent, num_samples in zip(request["node_ids"], request["num_samples"], strict=True):
                path = tuple(id_ for row in lineage(nodes, problem_id, parent) for id_ in row["token_ids"])
                for child, granted in (next(children) for _ in range(num_samples)):
                    samples.append(
                        RecordedSample(
                            prompt_ids=prompt + path,
                            until=Until(request["until"]),
                            max_tokens=granted,
                            seed=nodes[problem_id, child]["seed"],
                            siblings=num_samples,
                        )
                    )
    return samples


def recorded_scores(
    questions: Mapping[str, str], problems: Iterable[Row], steps: Sequence[Row], form: PrmFormat
) -> dict[tuple[int, ...], PrmScore]:
    """Every score of a run by the PRM's input that it was read from."""
    nodes = {(row["problem_id"], row["node_id"]): row for row in steps}
    found = {
        path_ids(form, questions[row["problem_id"]], ()): _score(row) for row in problems if row["p_median"] is not None
    }
    for row in steps:
        if row["p_median"] is not None:
            problem_id = row["problem_id"]
            texts = [node["text"] for node in lineage(nodes, problem_id, row["node_id"])]
            found[path_ids(form, questions[problem_id], texts)] = _score(row)
    return found


def path_ids(form: PrmFormat, question: str, steps: Sequence[str]) -> tuple[int, ...]:
    """The PRM's input for a path; `steps` are the texts of its steps."""
    path = PathIds(form.question_ids(question))
    for step in steps:
        path = path.extended(form, step)
    return tuple(path.inputs(form))


def lineage(nodes: Mapping[tuple[str, int], Row], problem_id: str, node_id: int) -> list[Row]:
    """Rows of a path from its first step on; none for the root."""
    path = []
    while node_id != 0:
        row = nodes[problem_id, node_id]
        path.append(row)
        node_id = row["parent_id"]
    return path[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One side's speed over the other's.

    Attributes:
        of_medians: median speed over median speed.
        lowest: of the pairs taken one after the other (`highest` alike).
    """

    of_medians: float
    lowest: float
    highest: float


def ratio(speeds: Sequence[float], ceilings: Sequence[float]) -> Ratio:
    """Compare paired speeds.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    pairs = [speed / ceiling for speed, ceiling in zip(speeds, ceilings, strict=True)]
    if not pairs:
        raise ValueError("nothing was measured")
    return Ratio(of_medians=median(speeds) / median(ceilings), lowest=min(pairs), highest=max(pairs))


def _score(row: Row) -> PrmScore:
    return PrmScore(row["p_lower"], row["p_median"], row["p_upper"])
