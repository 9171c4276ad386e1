import pytest

from records.run_folder import layout


@pytest.mark.parametrize("number", [1, 99, 100, 9_999_999_999])
def test_names_give_their_numbers_back(number: int) -> None:
    assert layout.commit_number(layout.commit_name(number)) == number
    assert layout.checkpoint_number(layout.checkpoint_name(number)) == number
    assert layout.epoch_number(layout.epoch_name(number)) == number


def test_the_names_are_the_contract() -> None:
    assert layout.commit_name(1) == "_commits/0000000001.json"
    assert layout.checkpoint_name(100) == "_commits/0000000100.checkpoint.json"
    assert layout.epoch_name(3) == "_epochs/3.json"
    assert layout.part_name("steps", 2, 17, "abcdef0123456789") == "steps/part-000002-0000000017-abcdef01.parquet"
    assert layout.is_part_name(layout.part_name("steps", 2, 17, "abcdef0123456789"))


def test_a_kind_of_name_is_not_taken_for_another() -> None:
    assert layout.commit_number(layout.checkpoint_name(100)) is None
    assert layout.checkpoint_number(layout.commit_name(100)) is None
    assert layout.commit_number("_commits/0000000001.json.bak") is None
    assert layout.epoch_number("_epochs/x.json") is None


@pytest.mark.parametrize(
    "name", ["", "problems/part-1.csv", "problems/../part-1.parquet", "x/part-1.parquet", "/problems/part-1.parquet"]
)
def test_what_is_no_part(name: str) -> None:
    assert not layout.is_part_name(name)
