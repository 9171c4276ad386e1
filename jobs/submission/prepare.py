"""What `submit COMMAND` sends, checked before anything is sent.

relative paths    travel with the working directory; the job starts in the same folder of it as the command did
absolute paths    are the cluster's own
--output          outlives the job: s3:// as a rule; a relative one would end with the job's temporary folder
"""

import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cluster.store import local_path
from jobs.command_line.submit import SubmitCommand
from jobs.recipes.load import FILES, shipped_recipe
from jobs.recipes.read_files import is_jinja
from jobs.recipes.sections import MODELS, Recipe
from jobs.submission.inputs import JobInputs, inputs_of
from jobs.submission.working_dir import LEFT_OUT, shipped_files, write_package
from records.failure import InvalidInput
from records.scratch import scratch_folder

if TYPE_CHECKING:
    from cluster.job_client import JobClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that can be submitted.

    Attributes:
        submission_id: of its first attempt.
        name: of the command.
        line: for the shell.
        run: where its output lies, in one spelling: a run as a rule.
        folder: working directory here.
        files: of the folder, that travel.
        warnings: for the user.
    """

    submission_id: str
    name: str
    line: str
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
            client.submit(
                self.line,
                submission_id=submission_id,
                package=package,
                env_vars=env_vars,
                run=self.run,
                command=self.name,
            )
        return size


def prepare(options: SubmitCommand) -> Submission:
    """Check the files and the recipes, and find out what travels.

    Raises:
        InvalidInput: the job could not find its files, or keep its output.
    """
    folder, here = options.working_dir.resolve(), Path.cwd()
    if not folder.is_dir():
        raise InvalidInput(f"--working-dir {options.working_dir}: there is no such folder")
    if not here.is_relative_to(folder):
        raise InvalidInput(f"the current folder {here} must be {folder} (--working-dir) or inside it: paths start here")
    travels = _Travels(here, folder, frozenset(shipped_files(folder)))
    inputs = inputs_of(options.options)
    warnings = [warning for what, path in _named(inputs) for warning in travels.check(what, path)]
    if not any(recipe.is_absolute() for recipe in inputs.recipes):  # else the cluster's own say what they need
        warnings += [warning for recipe in inputs.load() for warning in _check_recipe(recipe, travels)]
    run, warning = _run(inputs.output)
    move = "" if here == folder else f"cd {shlex.quote(str(here.relative_to(folder)))} && "
    return Submission(
        submission_id=options.submission_id or f"parsimony-{hashlib.sha256(run.encode()).hexdigest()[:12]}",
        name=options.name,
        line=move + shlex.join(["python", "-m", f"jobs.{options.name}", *options.words]),
        run=run,
        folder=folder,
        files=tuple(sorted(travels.files)),
        warnings=tuple(dict.fromkeys([*warnings, *warning])),
    )


def _named(inputs: JobInputs) -> Iterator[tuple[str, str]]:
    """What is read, under the name that the command line has for it; recipes that come with the package are there."""
    for what, paths in inputs.read.items():
        yield from ((what, path) for path in paths)
    yield from (("--recipe", str(recipe)) for recipe in inputs.recipes if shipped_recipe(recipe) is None)


def _run(output: str) -> tuple[str, list[str]]:
    """The run's address in one spelling, and a warning if it ends with the head's disk."""
    if output.startswith("s3://"):
        return output.rstrip("/"), []
    if "://" not in output and not Path(output).is_absolute():
        raise InvalidInput(
            f"--output {output} is relative: it would lie in the job's temporary folder. Give an address, such as "
            "s3://BUCKET/PREFIX, or an absolute path on the cluster's head"
        )
    run = os.path.normpath(local_path(output))  # of the head: what lies there on this machine is something else
    return run, [f"--output {run} is on the disk of the cluster's head, and gone with it; s3:// outlives the cluster"]


@dataclass(frozen=True, slots=True)
class _Travels:
    """What goes with the job.

    Attributes:
        here: the current folder, where relative paths start.
        folder: the working directory.
        files: of it, that travel.
    """

    here: Path
    folder: Path
    files: frozenset[PurePosixPath]

    def check(self, what: str, path: str) -> list[str]:
        """Look for a file or folder that the command line or a recipe names; warnings.

        Raises:
            InvalidInput: it stays behind.
        """
        if "://" in path:
            return []
        if Path(path).is_absolute():
            return [f"{what} {path} is absolute: the job reads what has that name on the cluster"]
        target = Path(os.path.normpath(self.here / path))
        if not target.is_relative_to(self.folder):
            raise InvalidInput(
                f"{what} {path} is outside the working directory {self.folder}, which is all that the job gets. Put it "
                "there, name a larger folder with --working-dir, or give an absolute path or address that the cluster "
                "can read"
            )
        if self.holds(target):
            return []
        if not target.exists():
            raise InvalidInput(f"{what} {path}: there is no such file")
        raise InvalidInput(
            f"{what} {path} does not travel with the working directory: it is empty, git ignores it, or it lies in a "
            f"folder that never does ({', '.join(sorted(LEFT_OUT))}). Give an absolute path or address that the "
            "cluster can read"
        )

    def holds(self, target: Path) -> bool:
        """Whether a file, or a file of a folder, travels; an absolute path in the working directory."""
        inside = PurePosixPath(target.relative_to(self.folder))
        return inside in self.files or any(file.is_relative_to(inside) for file in self.files)


def _check_recipe(recipe: Recipe, travels: _Travels) -> list[str]:
    """Look for what a recipe names in what travels; warnings.

    Raises:
        InvalidInput: something that stays behind, or a recipe that is for another cluster.
    """
    if recipe.cluster.address is not None:
        raise InvalidInput(
            f"the recipe's cluster.address is {recipe.cluster.address}, but a job runs on the cluster that it is "
            "submitted to; leave it out, or add --set cluster.address="
        )
    warnings = []
    for key in MODELS:
        role, _, name = key.partition(".")
        folder = Path(getattr(getattr(recipe, role), name, None) or "")
        if not folder.is_absolute():  # none, or a name on the hub
            continue
        if not folder.is_relative_to(travels.folder):
            warnings.append(f"{key} {folder} is not in the working directory: the job reads the cluster's folder")
        elif not travels.holds(folder):
            raise InvalidInput(f"{key} {folder} does not travel with the working directory: it holds no file of it")
    for key in FILES:
        table, _, setting = key.partition(".")
        file = getattr(getattr(recipe, table), setting)
        if isinstance(file, str) and not is_jinja(file) and Path(file).is_relative_to(travels.folder):
            travels.check(key, os.path.relpath(file, travels.here))
    return warnings
