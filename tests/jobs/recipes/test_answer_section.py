"""`[answer] extract` and `pattern`: what they may be, what a run makes of them, and what a reader of a run loads."""

import json
from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import answer_policy, recorded_policy
from records.failure import InvalidInput
from scaling.answers.extract import DEFAULT_WAYS, Extraction, Way

SMALL = Path(__file__).parents[3] / "examples" / "arithmetic" / "sample.toml"


def ends(solution: str) -> str | None:
    """The last word, as an extractor of the user's own."""
    return solution.rsplit(maxsplit=1)[-1] if solution.split() else None


def recipe(*overrides: str) -> Recipe:
    return load_recipe(SMALL, overrides)


@pytest.mark.parametrize(
    ("override", "ways"),
    [
        ("grader.kind=exact", DEFAULT_WAYS),
        ("answer.extract=boxed", (Way.BOXED,)),
        ('answer.extract=["last-number", "boxed"]', (Way.LAST_NUMBER, Way.BOXED)),
    ],
)
def test_ways_are_tried_as_they_stand(override: str, ways: tuple[Way, ...]) -> None:
    found = recipe(override)
    assert answer_policy(found).extraction == Extraction(ways)
    assert Recipe.model_validate(json.loads(json.dumps(as_json(found)))) == found


def test_a_pattern_takes_their_place() -> None:
    policy = answer_policy(recipe("answer.pattern='<(.*)>'"))
    assert policy.answer("<4> and <5>") == "4> and <5"
    assert policy.answer("5") is None


def test_a_function_of_the_users_own_is_run_by_runs_and_not_by_their_readers() -> None:
    found = recipe("answer.extract=tests.jobs.recipes.test_answer_section:ends")
    assert answer_policy(found).answer("So it is seven") == "seven"
    assert recorded_policy(found).extractor is None
    with pytest.raises(InvalidInput, match=r"answer.extract = 'tests.nowhere:f' cannot be imported"):
        answer_policy(recipe("answer.extract=tests.nowhere:f"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["answer.extract=box"],
            'answer.extract = "box": must be one or several of boxed, marker, cue, choice, alone, last-number',
        ),
        (['answer.extract=["boxed", "boxed"]'], "each once"),
        (["answer.extract=[]"], "answer.extract"),
        (["answer.pattern='('"], 'answer.pattern = "(": is no regular expression'),
        (["answer.pattern=''"], "answer.pattern"),
        (["answer.pattern='x'", "answer.extract=boxed"], "extract and pattern exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        recipe(*overrides)
    assert said in str(caught.value)


def test_what_is_left_unsaid_is_in_no_manifest() -> None:
    assert as_json(recipe())["answer"].keys() == {"abstain_below", "estimate"}
    assert as_json(recipe("answer.extract=cue"))["answer"]["extract"] == "cue"
