"""`parsimony submit`: a command as a Ray job. One output has one job id, so that submitting twice is not running twice.

    arguments checked, as by the command --> files found in what is shipped --> job of that id?
        none                    submit ID
        ended,    --resume      submit ID-2, ID-3 ...   (the run goes on; earlier attempts keep their logs)
        running,  --resume      follow it
        any,   no --resume      refused

The cluster forgets its jobs when its head is lost. The run is in its store, and the same command resumes it.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobs.command_line.signals import TERMINATED, treat_sigterm_as_interrupt
from jobs.command_line.submit import JobCommand, SubmitCommand, SubmitOptions
from jobs.display.terminal import err, out
from jobs.submission.prepare import Submission, prepare
from records.failure import ClusterFailed, InvalidInput
from records.run_folder.epochs import utc

if TYPE_CHECKING:
    from cluster.job_client import Job, JobClient

_POLL_S = 0.5
_FAILED = 1
_RUNS = ("score", "rollout")
"""Commands whose output is a run, of which there is a status."""


def run(options: SubmitOptions) -> int:
    """Do what was asked of the cluster; the exit status."""
    if isinstance(options, SubmitCommand):
        submission = prepare(options)
        for warning in submission.warnings:
            _say(f"warning: {warning}")
        return begin(options, submission, _connect(options.address))
    return _COMMANDS[options.action](options, _connect(options.address))


def attempts(jobs: "list[Job]", submission_id: str) -> "list[Job]":
    """The jobs ID, ID-2, ID-3 ... in this order."""
    numbered = {}
    for job in jobs:
        suffix = job.submission_id.removeprefix(submission_id)
        if job.submission_id.startswith(submission_id) and re.fullmatch(r"|-([2-9]|[1-9]\d+)", suffix):
            numbered[int(suffix[1:] or 1)] = job
    return [numbered[number] for number in sorted(numbered)]


def exit_status(job: "Job") -> int:
    """What the job's driver ended with: its own exit status, 143 when it was stopped, 1 when nobody knows."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return TERMINATED
    if job.exit_code is None:
        return _FAILED
    return job.exit_code if job.exit_code > 0 else 128 - job.exit_code  # Ray says -9 of a process that SIGKILL ended


def begin(options: SubmitCommand, submission: Submission, client: "JobClient") -> int:
    """Submit what was prepared, or follow the job that does it already; the exit status.

    Raises:
        InvalidInput: there is a job of that id, and nobody said that it is to go on; or it does something else.
        ClusterFailed: the cluster does not answer.
    """
    earlier = attempts(client.jobs(), submission.submission_id)
    newest = earlier[-1] if earlier else None
    if newest is not None and not options.resume:
        raise InvalidInput(_taken(newest, client.address))
    if newest is not None and newest.command != submission.name:
        raise InvalidInput(
            f"{newest.submission_id} is another command, {newest.command}, with the output {newest.run}: name another "
            "--output or --submission-id"
        )
    if newest is not None and not newest.ended:
        _say(f"{newest.submission_id} is {newest.status}: nothing was submitted")
        return _follow_or_name(newest.submission_id, client, wait=options.wait)
    submission_id = submission.submission_id if newest is None else _next(submission.submission_id, newest)
    size = submission.send(client, submission_id)
    _say(f"submitted {submission_id} with {len(submission.files)} files, {size / 2**20:.1f} MiB, as {submission.line}")
    return _follow_or_name(submission_id, client, wait=options.wait)


def _connect(address: str) -> "JobClient":
    from cluster.job_client import JobClient

    client = JobClient(address)
    treat_sigterm_as_interrupt()  # importing Ray has replaced the handler
    return client


def _follow_or_name(submission_id: str, client: "JobClient", *, wait: bool) -> int:
    if wait:
        return _follow(submission_id, client)
    out(submission_id + "\n")
    _say(_ways(submission_id, client.address))
    return 0


def _next(submission_id: str, newest: "Job") -> str:
    number = int(newest.submission_id.removeprefix(submission_id)[1:] or 1)
    return f"{submission_id}-{number + 1}"


def _taken(job: "Job", address: str) -> str:
    if job.ended:
        end = f"{job.status} with exit status {exit_status(job)}" if job.exit_code else job.status
        return (
            f"{address} already has the job {job.submission_id}, which is {end}. To do the same again, where a run "
            "goes on, add --resume; to begin something else, name another --output"
        )
    return (
        f"{address} already has the job {job.submission_id}, which is {job.status}. To follow it, add --resume; to "
        f"stop it: parsimony submit stop {job.submission_id} --address {address}"
    )


def _follow(submission_id: str, client: "JobClient") -> int:
    """Show the log until the job has ended; its exit status. An interrupt leaves the job alone."""

    async def show() -> None:
        async for text in client.follow(submission_id):
            out(text)

    try:
        asyncio.run(show())
    except (KeyboardInterrupt, ClusterFailed):
        _say(f"{submission_id} goes on. {_ways(submission_id, client.address)}")
        raise
    job = _found(client, submission_id)
    _say(_state(job))
    if job.status == "FAILED" and job.exit_code is None and job.message:
        _say(job.message)
    return exit_status(job)


def _logs(options: JobCommand, client: "JobClient") -> int:
    job = _attempts(client, options.submission_id)[-1]
    if options.wait:
        return _follow(job.submission_id, client)
    out(client.logs(job.submission_id))
    return 0


def _stop(options: JobCommand, client: "JobClient") -> int:
    from cluster.job_client import STOP_WAIT_S

    job = _attempts(client, options.submission_id)[-1]
    if job.ended:
        _say(f"nothing to stop: {_state(job)}")
        return 0
    client.stop(job.submission_id)
    _say(f"stopping {job.submission_id}: it writes what there is; killed after {STOP_WAIT_S} s")
    deadline_s = time.monotonic() + 2 * STOP_WAIT_S
    while options.wait and not job.ended:
        if time.monotonic() > deadline_s:
            raise ClusterFailed(f"{job.submission_id} is still {job.status} after {2 * STOP_WAIT_S} s")
        time.sleep(_POLL_S)
        job = _found(client, job.submission_id)
    _say(_state(job))
    return 0


def _status(options: JobCommand, client: "JobClient") -> int:
    found = _attempts(client, options.submission_id)
    job = found[-1]
    if options.json:
        out(json.dumps({"job": asdict(job), "attempts": [asdict(item) for item in found]}, indent=2) + "\n")
        return 0
    for item in found:
        out(_state(item) + "\n")
    if job.run is not None and job.command in _RUNS:
        out(f"progress of the run: parsimony status {job.run}\n")
    return 0


def _list(options: JobCommand, client: "JobClient") -> int:
    found = [job for job in client.jobs() if job.run is not None]
    if options.json:
        out(json.dumps([asdict(job) for job in found], indent=2) + "\n")
    else:
        out("".join(_state(job) + "\n" for job in found))
        if not found:
            _say(f"{client.address} has no job of parsimony; submit one: parsimony submit score ... --address URL")
    return 0


_COMMANDS: "dict[str, Callable[[JobCommand, JobClient], int]]" = {
    "logs": _logs,
    "stop": _stop,
    "status": _status,
    "list": _list,
}


def _attempts(client: "JobClient", submission_id: str) -> "list[Job]":
    found = attempts(client.jobs(), submission_id)
    if not found:
        raise InvalidInput(
            f"{client.address} has no job {submission_id}; parsimony submit list --address {client.address} names "
            "those it has"
        )
    return found


def _found(client: "JobClient", submission_id: str) -> "Job":
    job = client.find(submission_id)
    if job is None:
        raise ClusterFailed(f"{client.address} has forgotten the job {submission_id}; the same command resumes its run")
    return job


def _state(job: "Job") -> str:
    parts = [job.submission_id, job.status]
    if job.status == "FAILED":
        parts.append(f"exit status {exit_status(job)}" if job.exit_code is not None else "end unknown")
    if job.started_s is not None:
        parts.append(f"begun {utc(job.started_s)}")
    if job.ended_s is not None:
        parts.append(f"ended {utc(job.ended_s)}")
    if job.run is not None and job.command is not None:
        parts += [job.command, job.run]
    return " | ".join(parts)


def _ways(submission_id: str, address: str) -> str:
    return (
        f"follow it: parsimony submit logs {submission_id} --address {address}; "
        f"stop it: parsimony submit stop {submission_id} --address {address}"
    )


def _say(text: str) -> None:
    err(f"parsimony: {text}\n")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="submit"))
