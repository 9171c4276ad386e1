"""From the samples of a run to a fitted model of its answers, and what that is worth on problems it was not fitted on.

Problems are dealt into `NUM_FOLDS` folds by their ids; each fold is judged by a fit on the others, and the model that
is kept is fitted on all. What is judged is what strategies decide by: the probability of the leading answer, and that
of what is true.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actors.grading.verdicts import Verdicts
from jobs.comparison.stored_samples import problem_of, verdicts_of
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput
from records.rows import Status
from records.run_folder.by_problem import records_of
from records.run_folder.reader import Run
from scaling.answers.stated import form_of
from scaling.calibration.answer_fit import AnsweredProblem, Cases, cases_of, fit_answers, held_out_loss, leading_answers
from scaling.calibration.observed import Observed
from scaling.calibration.reliability import ReliabilityBin, reliability
from scaling.seeds import seed_for
from scaling.stored.problem import StoredProblem, check_whole_samples, stored_problem
from scaling.uncertainty.aggregation import ScoreEstimate, success_probability
from scaling.uncertainty.fitted_answers import DEFAULTS, FittedModel

NUM_FOLDS = 5
MIN_PROBLEMS = 20
"""Fewer say too little about others."""
_NUM_BINS = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """How good some probabilities are, on problems that no fit has seen.

    Attributes:
        log_loss: of what is true, nats a problem.
        brier: of the leading answer's probability.
        bins: of that probability against how often it is right.
    """

    log_loss: float
    brier: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class FitReport:
    """One of the three models; `before` and `after` are null without keys."""

    name: str
    model: FittedModel
    num_problems: int
    num_cases: int
    before: Judged | None
    after: Judged | None


def answered_problems(run: Run, recipe: Recipe) -> list[AnsweredProblem]:
    """The samples of each problem of a run, graded where it has a key.

    Raises:
        InvalidInput: the run searched by steps.
        StoreFailed: the run cannot be read, or is damaged.
    """
    records = [record for record in records_of(run) if record.problem.status is not Status.FAILED]
    for record in records:
        check_whole_samples(record, "answers are fitted on whole samples that know nothing of each other")
    stored = [stored_problem(problem_of(each.problem), each.steps, each.requests) for each in records]
    has_keys = any(each.problem.reference is not None for each in records)
    answers = [[sample.answer for sample in item.samples] if has_keys else [] for item in stored]
    verdicts = verdicts_of(recipe.grader, [problem_of(each.problem) for each in records], answers)
    return [_answered(item, own) for item, own in zip(stored, verdicts, strict=True) if len(item.samples) > 1]


def _answered(stored: StoredProblem, verdicts: Verdicts) -> AnsweredProblem:
    root = stored.root
    forms = [None if sample.answer is None else form_of(root, sample.answer) for sample in stored.samples]
    scored = all(sample.path.score is not None for sample in stored.samples)
    chances = [success_probability(each.path, ScoreEstimate.MEAN) for each in stored.samples] if scored else None
    known = [verdicts.get(sample.answer) for sample in stored.samples if sample.answer is not None]
    right = {form for form, each in zip(forms, stored.samples, strict=True) if form and verdicts.get(each.answer)}
    return AnsweredProblem(
        stored.problem_id,
        forms,
        chances,
        None if root.score is None else ScoreEstimate.MEAN.of(root.score),
        None if None in known or not verdicts else frozenset(right),
    )


def fit_reports(problems: Sequence[AnsweredProblem], *, seed: int) -> list[FitReport]:
    """The three models, those that the run has the scores for; with keys on the problems that have one.

    Raises:
        InvalidInput: there are too few problems.
    """
    labelled = [problem for problem in problems if problem.right is not None]
    keys = bool(labelled)
    kept = labelled if keys else list(problems)
    if len(kept) < MIN_PROBLEMS:
        raise InvalidInput(
            f"{len(kept)} problems with two samples and more are too few to fit on; {MIN_PROBLEMS} are not"
        )
    has_scores = all(problem.chances is not None for problem in kept)
    has_question = has_scores and all(problem.question_chance is not None for problem in kept)
    names = ["question"] * (keys and has_question) + ["scores"] * (keys and has_scores) + ["votes"]
    return [_fit_report(name, kept, keys=keys, seed=seed) for name in names]


def _fit_report(name: str, problems: Sequence[AnsweredProblem], *, keys: bool, seed: int) -> FitReport:
    default = DEFAULTS[name]

    def cases(own: Sequence[AnsweredProblem]) -> Cases:
        return cases_of(own, seed=seed, with_question=name == "question", with_scores=name != "votes")

    def fit(own: Sequence[AnsweredProblem]) -> FittedModel:
        use = {"use_question": name == "question", "use_scores": name != "votes"}
        return fit_answers(cases(own), default=default, keys=keys, **use)

    every = cases(problems)
    if not keys:
        return FitReport(name, fit(problems), len(problems), len(every.begins), None, None)
    fold = [seed_for(seed, problem.problem_id, "fold") % NUM_FOLDS for problem in problems]
    parts = [[each for each, own in zip(problems, fold, strict=True) if own == number] for number in range(NUM_FOLDS)]
    held = [(part, fit([each for other in parts if other is not part for each in other])) for part in parts if part]
    before = [(part, cases(part), default) for part, _ in held]
    after = [(part, cases(part), model) for part, model in held]
    return FitReport(name, fit(problems), len(problems), len(every.begins), _judged(before), _judged(after))


def _judged(parts: Sequence[tuple[Sequence[AnsweredProblem], Cases, FittedModel]]) -> Judged:
    weights = np.array([cases.weight.sum() for _, cases, _ in parts])
    losses = np.array([held_out_loss(cases, model) for _, cases, model in parts])
    said, right, owner = [], [], []
    for part, cases, model in parts:
        p, is_right = leading_answers(cases, model)
        said.append(p)
        right.append(is_right)
        owner += [part[number].problem_id for number in cases.problem.tolist()]
    predicted, is_true = np.concatenate(said), np.concatenate(right)
    known = ~np.isnan(predicted)
    ids = [owner[at] for at in np.flatnonzero(known)]
    predicted, is_true = predicted[known], is_true[known]
    count = len(predicted)
    observed = Observed(
        problem_ids=ids,
        successes=is_true.astype(np.int64),
        trials=np.ones(count, dtype=np.int64),
        terminal=np.zeros(count, dtype=np.bool_),
        depth=np.zeros(count, dtype=np.int64),
    )
    bins = reliability(observed, predicted, num_bins=_NUM_BINS)
    brier = float(((predicted - is_true) ** 2).mean())
    return Judged(float((weights * losses).sum() / weights.sum()), brier, bins)


def models_json(reports: Sequence[FitReport]) -> dict[str, Any]:
    """What a recipe reads of the file."""
    return {report.name: asdict(report.model) for report in reports}
