"""All that a calibration needs to know before a model is loaded: checked rollouts, splits, token ids, PRM, output.

rollouts --by problem--> training, stopping, conformal, test      each --PRM's format--> sequences and places
evaluation sets -----------------------------------------------> likewise
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.engines.formats import PrmFormat, SeparatorFormat
from actors.engines.model_files import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    context_length,
)
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.settings import PrmSettings
from actors.engines.text import read_tokenizer
from actors.engines.training.trainable import check_trainable
from actors.replicas.preflight import check_prm
from actors.trainer.dataset import TrainingSet, training_set
from cluster.staging import stage_outline
from cluster.store import open_store, probe
from jobs.calibration.manifest import FORMAT_VERSION, MANIFEST, CalibrationManifest, agree_on
from jobs.calibration.rollouts import Rollouts, read_rollouts
from jobs.command_line.calibrate import CalibrateOptions
from jobs.recipes.calibration import CalibrationSection
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import prm_settings
from jobs.scoring.models import checked_model
from jobs.scoring.plan import git_revision, package_versions
from records.failure import InvalidInput
from records.rows import RolloutRow
from records.run_folder.epochs import utc
from records.run_folder.store import Store
from scaling.calibration.chains import CONFORMAL, STOPPING, TEST, TRAINING, split_of
from scaling.calibration.conformal import least_problems

TRAINING_FOLDER = "_training"
"""Below the output: manifest, lease and checkpoints."""
SUCCESS = "_SUCCESS"
"""In that folder: the PRM is whole."""
_MIN_PROBLEMS = 2
"""Of each split: fewer say nothing about another problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """A calibration that can begin.

    Attributes:
        recipe: resolved.
        prm: settings of the model that is calibrated.
        rollouts: as read; `splits` and `evaluations` are made from them and the evaluation sets.
        splits: split -> its rows as sequences; "conformal" only where a shift is asked for.
        evaluations: name -> set; the split "test" comes first.
        output: the PRM's folder.
        training: the store below it.
        manifest: what decides the result.
        finished: the PRM is there.
        warnings: what the user should be told, a sentence each.
    """

    recipe: Recipe
    prm: PrmSettings
    rollouts: Rollouts
    splits: Mapping[str, TrainingSet]
    evaluations: Mapping[str, TrainingSet]
    output: Store
    training: Store
    manifest: CalibrationManifest
    finished: bool
    warnings: tuple[str, ...]

    @property
    def section(self) -> CalibrationSection:
        """The recipe's `[calibration]` section."""
        return self.recipe.calibration

    @property
    def seed(self) -> int:
        """Seed of splits, order and dropout."""
        return seed_of(self.recipe)


def make_calibration_plan(options: CalibrateOptions) -> CalibrationPlan:
    """Check everything that can be checked without a model.

    Raises:
        InvalidInput: file, row or field, and what to do.
        RunMismatch: the output was begun with something else.
    """
    recipe = load_recipe(options.recipe, options.overrides, strategy={"name": "rollout"})
    prm = prm_settings(recipe)
    if prm is None:
        raise InvalidInput(f"{options.recipe}: no [prm] section: its model is what is calibrated")
    if prm.kind == SCRIPTED:
        raise InvalidInput(
            'prm.kind is "scripted": there is no model to calibrate; set prm.kind = "vllm" and prm.model'
        )
    rollouts = read_rollouts(options.rollouts)
    others = {name: read_rollouts(uri) for name, uri in options.evaluations.items()}
    identity = checked_model(prm, check_prm)
    model = PrmFolderFacts.of(prm, recipe.calibration)
    for each in (rollouts, *others.values()):
        _check_texts(each, model.form)
    writer = _SetWriter(model, prm)
    splits = _split(rollouts, recipe, writer)
    evaluations = {TEST: splits[TEST]} | {name: writer.write(each.rows, each.uri) for name, each in others.items()}
    for name, chosen in evaluations.items():
        if not len(chosen):
            raise InvalidInput(f"--evaluate {name}: the PRM would score none of its prefixes (prm.max_model_len)")
    output, training = open_store(options.output), open_store(f"{options.output.rstrip('/')}/{TRAINING_FOLDER}")
    manifest = CalibrationManifest(
        format_version=FORMAT_VERSION,
        created_at=utc(time.time()),
        settings=_deciding(recipe),
        data={"rollouts": _told(rollouts), "evaluate": {name: _told(each) for name, each in others.items()}},
        prm=identity,
        versions=package_versions(),
        git_revision=git_revision(),
    )
    _take(output, training, manifest)
    return CalibrationPlan(
        recipe=recipe,
        prm=prm,
        rollouts=rollouts,
        splits=splits,
        evaluations=evaluations,
        output=output,
        training=training,
        manifest=manifest,
        finished=training.read(SUCCESS) is not None,
        warnings=(*writer.warnings, *_warnings(rollouts, others, splits, evaluations)),
    )


def seed_of(recipe: Recipe) -> int:
    """Of a calibration: its own, or the recipe's."""
    return recipe.seed if recipe.calibration.seed is None else recipe.calibration.seed


@dataclass(frozen=True, slots=True)
class PrmFolderFacts:
    """What the PRM's folder says without its weights: how it writes paths, and how much it takes."""

    form: PrmFormat
    max_model_len: int

    @classmethod
    def of(cls, prm: PrmSettings, section: CalibrationSection) -> "PrmFolderFacts":
        """Read them.

        Raises:
            InvalidInput: the PRM is calibrated already, or has no layers of the names that adapters are asked for.
        """
        model = stage_outline(prm.model)
        folder = PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE))
        family = check_trainable(folder, replace(prm, model=str(model)), section.head_spec(), section.lora_spec())
        form = family.make_format(folder)
        length = prm.max_model_len or context_length(model)
        if length is None:
            raise InvalidInput(f"{prm.model}/{CONFIG_FILE}: no max_position_embeddings: set prm.max_model_len")
        return cls(form, length)


class _SetWriter:
    """Turns rows into what is trained on, and remembers what it had to leave out."""

    def __init__(self, model: PrmFolderFacts, prm: PrmSettings) -> None:
        self._model, self._prm = model, prm
        self.warnings: list[str] = []

    def write(self, rows: Sequence[RolloutRow], where: str) -> TrainingSet:
        """The set of these rows."""
        length = self._model.max_model_len
        written, left_out = training_set(
            rows, self._model.form, max_model_len=length, keep_tail=self._prm.overlong == "keep_tail"
        )
        if left_out:
            self.warnings.append(
                f"{where}: {left_out} of {len(rows)} prefixes are longer than the PRM's {length} tokens "
                f"(prm.overlong = {self._prm.overlong!r}) and are left out, since it would not score them"
            )
        return written


def _split(rollouts: Rollouts, recipe: Recipe, writer: _SetWriter) -> dict[str, TrainingSet]:
    section, seed = recipe.calibration, seed_of(recipe)
    rows: dict[str, list[RolloutRow]] = {TRAINING: [], STOPPING: [], TEST: []}
    if section.conformal:
        rows[CONFORMAL] = []
    for row in rollouts.rows:
        rows[split_of(row.problem_id, seed=seed, shares=section.shares())].append(row)
    splits = {name: writer.write(own, f"{rollouts.uri}, {name} problems") for name, own in rows.items()}
    coverage = section.coverage()
    for name, own in splits.items():
        open_problems = {own.observed.problem_ids[row] for row in np.flatnonzero(~own.observed.terminal)}
        found = len(open_problems)
        least = max(_MIN_PROBLEMS, least_problems(coverage) if name == CONFORMAL and coverage is not None else 0)
        if found < least:
            share = "what the shares leave" if name == TRAINING else f"calibration.{name}_share"
            raise InvalidInput(
                f"{rollouts.uri}: {rollouts.num_problems} problems, of which {found} fall to the {name} split, which "
                f"needs {least}: make rollouts of more problems, or change {share} (or calibration.seed)"
            )
    return splits


def _check_texts(rollouts: Rollouts, form: PrmFormat) -> None:
    """Refuse steps that end otherwise than the PRM reads them."""
    if not isinstance(form, SeparatorFormat):
        return  # a published PRM writes marks of its own after any step
    wanted = form.separator
    inner = [row.steps[-2] for row in rollouts.rows if row.depth > 1]
    other = rollouts.separator is not None and rollouts.separator != wanted
    if other or (inner and not any(step.endswith(wanted) for step in inner)):
        found = rollouts.separator if other else inner[0][-8:]
        raise InvalidInput(
            f"{rollouts.uri}: steps end in {found!r}, and the PRM reads steps that end in {wanted!r}: make rollouts "
            f"with generator.separator = {wanted!r}"
        )


def _deciding(recipe: Recipe) -> dict[str, object]:
    """Settings that decide what comes out, as JSON."""
    section, prm = recipe.calibration, recipe.prm
    kept = {
        name: value
        for name, value in section.model_dump(mode="json").items()
        if not _operational(section, name) and name != "seed"
    }
    own = {} if prm is None else {name: getattr(prm, name) for name in ("family", "dtype", "max_model_len", "overlong")}
    return {"calibration": kept | {"seed": seed_of(recipe)}, "prm": own}


def _operational(section: CalibrationSection, name: str) -> bool:
    extra = type(section).model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("operational"))


def _told(rollouts: Rollouts) -> dict[str, object]:
    return {
        "fingerprint": rollouts.fingerprint,
        "rows": len(rollouts.rows),
        "problems": rollouts.num_problems,
        "generator": rollouts.generator,
        "temperature": rollouts.temperature,
    }


def _take(output: Store, training: Store, manifest: CalibrationManifest) -> None:
    """Begin in an empty place, or go on in one that was begun with the same."""
    if training.read(MANIFEST) is None:
        names = [name for name in output.list("") if not name.startswith(f"{TRAINING_FOLDER}/")]
        if names:
            raise InvalidInput(f"{output.uri} holds {names[0]} and is no calibration: choose a new place for --output")
        probe(training)
    agree_on(training, manifest)


def _warnings(
    rollouts: Rollouts,
    others: Mapping[str, Rollouts],
    splits: Mapping[str, TrainingSet],
    evaluations: Mapping[str, TrainingSet],
) -> list[str]:
    lines = []
    for each in (rollouts, *others.values()):
        if each.untried:
            lines.append(f"{each.uri}: {each.untried} prefixes without a graded continuation are left out")
        if each.missing:
            lines.append(f"{each.uri}: {each.missing} of its problems have no rollouts (failed, or out of budget)")
    lines += [
        f"{name}: its rollouts are of another {field} than those that the PRM is calibrated for"
        for name, other in others.items()
        for field in ("generator", "temperature", "sampling")
        if getattr(other, field) != getattr(rollouts, field)
        and not (field == "sampling" and None in (other.sampling, rollouts.sampling))  # of before it was recorded
    ]
    fitted_on = frozenset().union(*(split.questions for name, split in splits.items() if name != TEST))
    for name, chosen in evaluations.items():
        seen = len(chosen.questions & fitted_on)
        if seen:
            lines.append(f"{name}: the PRM is fitted on {seen} of its questions; its table flatters")
    fitted = [name for name in splits if name != TEST]
    for at, name in enumerate(fitted):
        for other in fitted[at + 1 :]:
            shared = len(splits[name].questions & splits[other].questions)
            if shared:
                lines.append(f"{shared} questions are in the {name} and in the {other} split, under different names")
    return lines
