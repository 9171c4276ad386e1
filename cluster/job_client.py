"""Ray jobs over HTTP: submit, look, stop, and follow the log. What Ray says comes out as failures with names.

The address is the one given: Ray's own client lets `RAY_ADDRESS` and `RAY_API_SERVER_ADDRESS` override it. The
authentication mode is set explicitly, and token mode without a token is refused before anything is sent.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.session import prepare_environment
from records.failure import ClusterFailed, InvalidInput

RUN_KEY = "parsimony_run"
"""Key of a job's metadata: where its output lies, a run as a rule."""
COMMAND_KEY = "parsimony_command"
"""Key of a job's metadata: the command that it is."""

STOP_WAIT_S = 120
"""How long Ray waits for a clean stop before it kills; its own default is 3 s."""

RECONNECT_S = 1.0
GIVE_UP_S = 120.0
"""A dashboard that is gone for so long is not followed any longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the cluster says of a job.

    Attributes:
        submission_id: its name.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        exit_code: of its entrypoint; None while it runs, when it was stopped, or when nobody saw its end.
        message: Ray's words on the status; None if there are none.
        run: the run that it works on; None for a job that was submitted otherwise.
        started_s: seconds since 1970; None if unknown.
        ended_s: likewise; None before the end.
    """

    submission_id: str
    status: str
    exit_code: int | None
    message: str | None
    run: str | None
    command: str | None
    started_s: float | None
    ended_s: float | None

    @property
    def ended(self) -> bool:
        """It will not run any more."""
        return self.status in {"STOPPED", "SUCCEEDED", "FAILED"}


class JobClient:
    """The jobs of one cluster.

    Args:
        address: of the head's dashboard, http://HOST:8265.

    Raises:
        InvalidInput: no such address, no token, or a token that the cluster refuses.
        ClusterFailed: nothing answers there.
    """

    def __init__(self, address: str) -> None:
        if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname:
            raise InvalidInput(f"--address {address}: must be that of the head's dashboard, such as http://HEAD:8265")
        prepare_environment(local=False)
        check_token()
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            os.environ.pop(name, None)
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - Ray reads its environment on import

        for name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = address
        with self._failures():
            self._client = JobSubmissionClient(address)

    def submit(
        self,
        entrypoint: str,
        *,
        submission_id: str,
        package: Path,
        env_vars: Mapping[str, str],
        run: str,
        command: str,
    ) -> None:
        """Start a job.

        Args:
            entrypoint: a line for the shell, run in the unpacked package.
            submission_id: that no job of the cluster has had.
            package: a zip file, which becomes the job's working directory on every node.
            env_vars: for the driver and all its actors; anyone on the cluster can read them.
            run: where its output lies.
            command: that it is.

        Raises:
            InvalidInput: the id is taken.
        """
        runtime_env = {"working_dir": str(package), "env_vars": dict(env_vars)}
        try:
            with self._failures():
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=submission_id,
                    runtime_env=runtime_env,
                    metadata={RUN_KEY: run, COMMAND_KEY: command},
                )
        except ClusterFailed as failure:
            if "already exists" in str(failure):  # somebody else was faster
                raise InvalidInput(str(failure)) from failure
            raise

    def find(self, submission_id: str) -> Job | None:
        """The job of that id; None if there is none."""
        return next((job for job in self.jobs() if job.submission_id == submission_id), None)

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster remembers, oldest first."""
        with self._failures():
            details = self._client.list_jobs()
        found = [_job(item) for item in details if item.submission_id is not None]
        return sorted(found, key=lambda job: job.started_s or 0.0)

    def stop(self, submission_id: str) -> None:
        """Ask a job to stop: SIGTERM now, SIGKILL when it takes too long. Returns at once."""
        with self._failures():
            self._client.stop_job(submission_id)

    def logs(self, submission_id: str) -> str:
        """What a job has written so far."""
        with self._failures():
            text: str = self._client.get_job_logs(submission_id)
        return text

    async def follow(self, submission_id: str) -> AsyncIterator[str]:
        """What a job has written and writes, until it has ended; a lost connection is made again.

        Raises:
            ClusterFailed: the connection stays lost. The job is not touched by that.
        """
        import aiohttp  # noqa: PLC0415 - with Ray

        clock = asyncio.get_running_loop().time
        shown, heard_s = 0, clock()
        while True:
            passed = 0
            try:
                # Every connection tells the log from its beginning.
                async for text in self._client.tail_job_logs(submission_id):
                    heard_s = clock()
                    fresh = text[max(0, shown - passed) :]
                    passed += len(text)
                    shown = max(shown, passed)
                    if fresh:
                        yield fresh
                job = self.find(submission_id)
                if job is None or job.ended:
                    return
                heard_s = clock()
            except (aiohttp.ClientError, OSError, RuntimeError, ClusterFailed) as error:
                if clock() - heard_s > GIVE_UP_S:
                    raise ClusterFailed(f"lost the connection to {self.address}: {first_line(error)}") from error
            await asyncio.sleep(RECONNECT_S)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        from ray.exceptions import AuthenticationError  # noqa: PLC0415

        try:
            yield
        except AuthenticationError as error:
            raise InvalidInput(
                f"{self.address} refuses the token: {first_line(error)}. Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to "
                "a file that holds it; nothing was submitted"
            ) from error
        except OSError as error:  # what the client raises when nobody answers
            raise ClusterFailed(
                f"no Ray cluster answers at {self.address} (is it the dashboard's address?): {first_line(error)}"
            ) from error
        except RuntimeError as error:  # what it raises when an answer is an error
            raise ClusterFailed(f"{self.address}: {last_line(error)}") from error


def check_token() -> None:
    """Token mode needs a token; a file that cannot be read would end the process inside Ray.

    Raises:
        InvalidInput: there is none.
    """
    if os.environ.get("RAY_AUTH_MODE") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(path) if path else Path.home() / ".ray" / "auth_token"
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"RAY_AUTH_MODE is token and there is no token: {error}. Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH; for a "
            "cluster without authentication, set RAY_AUTH_MODE=disabled"
        ) from error
    if not token:
        raise InvalidInput(f"RAY_AUTH_MODE is token and {file} is empty: put the cluster's token there")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def last_line(error: BaseException) -> str:
    """The last line of what an error says (of a server's traceback, the one that counts), or its kind."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip(" .")), type(error).__name__)


def _job(details: Any) -> Job:
    told = details.metadata or {}
    return Job(
        submission_id=details.submission_id,
        status=str(details.status),
        exit_code=details.driver_exit_code,
        message=details.message,
        run=told.get(RUN_KEY),
        command=told.get(COMMAND_KEY, "score") if RUN_KEY in told else None,  # of old the only one, and not named
        started_s=_seconds(details.start_time),
        ended_s=_seconds(details.end_time),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
