"""What `submit score` sends, checked before anything is sent.

relative paths    travel with the working directory; the job starts in the same folder of it as the command did
absolute paths    are the cluster's own
OUTPUT            outlives the job: s3:// as a rule; a relative one would end with the job's temporary folder
"""

import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cluster.store import open_store
from jobs.command_line.score import score_arguments
from jobs.command_line.submit import SubmitScore
from jobs.recipes.load import load_recipe, shipped_recipe
from jobs.submission.working_dir import shipped_files, write_package
from records.failure import InvalidInput
from records.scratch import scratch_folder

if TYPE_CHECKING:
    from cluster.job_client import JobClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that can be submitted.

    Attributes:
        submission_id: of its first attempt.
        command: a line for the shell.
        run: that it works on.
        folder: working directory here.
        files: of the folder, that travel.
        warnings: for the user.
    """

    submission_id: str
    command: str
    run: str
    folder: Path
    files: tuple[PurePosixPath, ...]
    warnings: tuple[str, ...]

    def send(self, client: "JobClient", submission_id: str) -> int:
        """Submit an attempt; the bytes of the package."""
        from cluster.job_client import STOP_WAIT_S

        env_vars = {
            "RAY_AUTH_MODE": os.environ["RAY_AUTH_MODE"],  # never the token: a job's environment is there to be read
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
        }
        with scratch_folder() as temp:
            package = temp / "working_dir.zip"
            size = write_package(self.folder, self.files, package)
            client.submit(self.command, submission_id=submission_id, package=package, env_vars=env_vars, run=self.run)
        return size


def prepare(options: SubmitScore) -> Submission:
    """Check the files and the recipe, and find out what travels.

    Raises:
        InvalidInput: the job could not find its files, or keep its run.
    """
    folder, here = options.working_dir.resolve(), Path.cwd()
    if not folder.is_dir():
        raise InvalidInput(f"--working-dir {options.working_dir}: there is no such folder")
    if not here.is_relative_to(folder):
        raise InvalidInput(f"the current folder {here} must be {folder} (--working-dir) or inside it: paths start here")
    files = tuple(shipped_files(folder))
    shipped = frozenset(files)
    score, warnings = options.score, []
    for what, path in (("PROBLEMS", score.problems), ("--recipe", str(score.recipe))):
        if "://" in path or (what == "--recipe" and shipped_recipe(score.recipe) is not None):
            continue
        if Path(path).is_absolute():
            warnings.append(f"{what} {path} is absolute: the job reads the file of that name on the cluster")
        else:
            _check_shipped(what, path, here, folder, shipped)
    if not score.recipe.is_absolute():
        warnings += _check_recipe(options, folder, shipped)
    run, warning = _run(score.output)
    move = "" if here == folder else f"cd {shlex.quote(str(here.relative_to(folder)))} && "
    return Submission(
        submission_id=options.submission_id or f"parsimony-{hashlib.sha256(run.encode()).hexdigest()[:12]}",
        command=move + shlex.join(["python", "-m", "jobs.score", *score_arguments(score)]),
        run=run,
        folder=folder,
        files=files,
        warnings=(*warnings, *warning),
    )


def _run(output: str) -> tuple[str, list[str]]:
    """The run's address in one spelling, and a warning if it ends with the head's disk."""
    if output.startswith("s3://"):
        return output.rstrip("/"), []
    if "://" not in output and not Path(output).is_absolute():
        raise InvalidInput(
            f"--output {output} is relative: it would lie in the job's temporary folder. Give s3://BUCKET/PREFIX, or "
            "an absolute path on the cluster's head"
        )
    run = os.path.normpath(open_store(output).uri)
    return run, [f"--output {run} is on the disk of the cluster's head, and gone with it; s3:// outlives the cluster"]


def _check_shipped(what: str, path: str, here: Path, folder: Path, shipped: frozenset[PurePosixPath]) -> None:
    target = Path(os.path.normpath(here / path))
    if not target.is_relative_to(folder):
        raise InvalidInput(
            f"{what} {path} is outside the working directory {folder}, which is all that the job gets. Put it there, "
            "name a larger folder with --working-dir, or give an absolute path or address that the cluster can read"
        )
    if PurePosixPath(target.relative_to(folder)) in shipped:
        return
    if not target.exists():
        raise InvalidInput(f"{what} {path}: there is no such file")
    raise InvalidInput(f"{what} {path} does not travel with the working directory: it is no file, or git ignores it")


def _check_recipe(options: SubmitScore, folder: Path, shipped: frozenset[PurePosixPath]) -> list[str]:
    """Read the recipe as the job will, and look for its models in what travels; warnings.

    Raises:
        InvalidInput: what `score` says of it, or a model that stays behind.
    """
    recipe = load_recipe(options.score.recipe, options.score.overrides)
    if recipe.cluster.address is not None:
        raise InvalidInput(
            f"the recipe's cluster.address is {recipe.cluster.address}, but a job runs on the cluster that it is "
            "submitted to; leave it out, or add --set cluster.address="
        )
    warnings = []
    for role, section in (("generator", recipe.generator), ("prm", recipe.prm)):
        model = Path(section.model) if section is not None else Path()
        if not model.is_absolute():  # none, or a name on the hub
            continue
        if not model.is_relative_to(folder):
            warnings.append(f"{role}.model {model} is not in the working directory: the job reads the cluster's folder")
        elif not any(file.is_relative_to(model.relative_to(folder)) for file in shipped):
            raise InvalidInput(
                f"{role}.model {model} does not travel with the working directory: it holds no file of it"
            )
    if recipe.script.answers is not None and Path(recipe.script.answers).is_relative_to(folder):
        _check_shipped("script.answers", recipe.script.answers, Path.cwd(), folder, shipped)
    return warnings
