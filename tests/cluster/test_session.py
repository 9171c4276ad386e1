"""A Ray that does not start is one line that names the cause, and is tried once more with a longer wait."""

import pytest
import ray
from ray._private import services

from cluster import session
from records.failure import ClusterFailed


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `ray.init` shall raise, one for each try; an empty text: it starts."""
    coming: list[str] = []

    def init(**_: object) -> None:
        if why := coming.pop(0):
            raise Exception(why)  # noqa: TRY002 (as Ray does)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return coming


def test_a_start_that_fails_once_is_tried_again_and_told(starts: list[str], caplog: pytest.LogCaptureFixture) -> None:
    starts += ["The current node\ntimed out during startup.", ""]
    with session.connect(None):
        assert starts == []
    [line] = caplog.messages
    assert line.startswith("a local Ray did not start, with a load of ")
    assert "The current node timed out during startup." in line
    assert line.endswith("once more, with 120 s to come up")


def test_one_that_fails_twice_is_a_failure_of_one_line(starts: list[str]) -> None:
    starts += ["timed out", "timed out again"]
    with pytest.raises(ClusterFailed, match=r"^a local Ray did not start.*: timed out again$"), session.connect(None):
        pytest.fail("it is not there")


def test_a_cluster_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(ClusterFailed, match="at far:6379 cannot be reached: nobody listens"),
        session.connect("far:6379"),
    ):
        pytest.fail("it is not there")


def test_a_cluster_that_wants_a_token_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise ray.exceptions.AuthenticationError("no authentication token was found")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ClusterFailed, match=r"at far:1 wants a token.*RAY_AUTH_TOKEN_PATH"), session.connect("far:1"):
        pytest.fail("it is not there")


def test_the_longer_wait_looks_again_until_the_node_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([RuntimeError("no node"), RuntimeError("no node"), None])

    def get_node(*_: object) -> str:
        if (error := next(looks)) is not None:
            raise error
        return "node"

    monkeypatch.setattr(services, "get_node", get_node)
    with session._patience(60.0):
        assert services.get_node("address", "id") == "node"
    assert services.get_node is get_node
    with session._patience(None):
        assert services.get_node is get_node
