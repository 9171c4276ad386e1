"""deploy/aws/s3-policy.json, by radosgw's policy engine: enough for what it is for, and nothing in it can be left out.

A user who owns no bucket gets the policy's statements as those of the bucket, which is how radosgw takes them. Who
writes an object there owns it, and may read it whatever no statement says; so a missing grant is denied in words.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cluster.s3 import S3Store
from cluster.staging import stage_folder
from jobs.cli import main
from jobs.command_line.score import ScoreOptions
from jobs.scoring.plan import make_plan
from records.failure import Failure
from tests.services.radosgw import RadosGateway
from tests.services.servers import aws_environment, plain_client
from tests.support.scripted import SCRIPTED, sets

pytestmark = pytest.mark.s3

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
POLICY = ROOT / "deploy/aws/s3-policy.json"
BUCKET = "leastprivilege"
USER, SECRET = "limited", "limitedsecret"
GRANTED = [
    ("s3:ListBucket", "arn:aws:s3:::BUCKET"),
    ("s3:GetObject", "arn:aws:s3:::BUCKET/problems/*"),
    ("s3:GetObject", "arn:aws:s3:::BUCKET/models/*"),
    ("s3:GetObject", "arn:aws:s3:::BUCKET/runs/*"),
    ("s3:PutObject", "arn:aws:s3:::BUCKET/runs/*"),
    ("s3:DeleteObject", "arn:aws:s3:::BUCKET/runs/*"),
]


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def without(left_out: tuple[str, str] | None) -> dict[str, Any]:
    """The policy of the repository for our bucket and user, one statement a grant, and one of them denied."""
    policy: dict[str, Any] = json.loads(POLICY.read_text())
    grants = [
        (action, resource)
        for statement in policy["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]
    assert grants == GRANTED
    policy["Statement"] = [
        {
            "Effect": "Deny" if (action, resource) == left_out else "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{USER}"]},
            "Action": action,
            "Resource": resource.replace("BUCKET", BUCKET),
        }
        for action, resource in grants
    ]
    return policy


@pytest.fixture(scope="module")
def allow(radosgw: RadosGateway) -> Iterator[Callable[..., None]]:
    """Sets what the user may do; the environment is the user's."""
    radosgw.make_user(USER, SECRET)
    owner = plain_client(radosgw)
    owner.create_bucket(Bucket=BUCKET)
    owner.put_object(Bucket=BUCKET, Key="problems/test.jsonl", Body=(EXAMPLE / "test.jsonl").read_bytes())
    owner.put_object(Bucket=BUCKET, Key="models/m/config.json", Body=b"{}")
    owner.put_object(Bucket=BUCKET, Key="elsewhere/x", Body=b"somebody else's")

    def set_policy(left_out: tuple[str, str] | None = None) -> None:
        owner.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(without(left_out)))

    with pytest.MonkeyPatch.context() as environment:
        for name, value in aws_environment(radosgw.endpoint_url, USER, SECRET).items():
            environment.setenv(name, value)
        yield set_policy


def score(run: str) -> ScoreOptions:
    problems = f"s3://{BUCKET}/problems/test.jsonl"
    overrides = (*SCRIPTED, "output.flush_interval_s=0.5")
    return ScoreOptions(problems=problems, recipe=EXAMPLE / "majority.toml", output=run, overrides=overrides, limit=8)


def begin(run: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a command does before its replicas are launched, and what they do about a model."""
    monkeypatch.setenv("PARSIMONY_CACHE", str(cache))
    make_plan(score(run))
    stage_folder(f"s3://{BUCKET}/models/m")


def test_without_the_policy_nothing_is_allowed(radosgw, allow):
    plain_client(radosgw).delete_bucket_policy(Bucket=BUCKET)
    with pytest.raises(Failure, match="AccessDenied"):
        S3Store(f"s3://{BUCKET}/runs/r").check_access()


def test_it_is_enough_to_begin(allow, tmp_path, monkeypatch):
    allow()
    begin(f"s3://{BUCKET}/runs/begun", tmp_path, monkeypatch)


@pytest.mark.parametrize("left_out", GRANTED, ids=" on ".join)
def test_each_grant_that_is_missing_is_named_before_anything_is_started(allow, tmp_path, monkeypatch, left_out):
    allow(left_out)
    action, resource = left_out
    with pytest.raises(Failure, match=action) as caught:
        begin(f"s3://{BUCKET}/runs/refused", tmp_path, monkeypatch)
    assert resource.removeprefix("arn:aws:s3:::BUCKET").rstrip("*") in str(caught.value)


def test_it_allows_nothing_else(allow, radosgw):
    allow()
    user = plain_client(radosgw, USER, SECRET)
    for refused in (
        lambda: user.put_object(Bucket=BUCKET, Key="problems/mine", Body=b""),
        lambda: user.put_object(Bucket=BUCKET, Key="models/mine", Body=b""),
        lambda: user.put_object(Bucket=BUCKET, Key="elsewhere", Body=b""),
        lambda: user.delete_object(Bucket=BUCKET, Key="problems/test.jsonl"),
        lambda: user.get_object(Bucket=BUCKET, Key="elsewhere/x"),
        lambda: user.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(without(None))),
        lambda: user.delete_bucket(Bucket=BUCKET),
        lambda: user.list_objects_v2(Bucket=radosgw.bucket),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


@pytest.mark.ray
@pytest.mark.ci
def test_it_is_enough_for_a_run_its_report_and_its_export(allow, tmp_path, monkeypatch):
    allow()
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))
    run = f"s3://{BUCKET}/runs/whole"
    words = [score(run).problems, "--recipe", str(EXAMPLE / "majority.toml"), "--output", run, "--limit", "8"]
    assert main(["score", *words, *sets(*score(run).overrides)]) == 0
    assert main(["status", run]) == 0
    assert main(["report", run, "--output", f"{run}/report.html"]) == 0
    assert main(["export", run, "--layout", "paths", "--output", f"{run}/paths.parquet"]) == 0
