from records.failure import Fenced, StoreFailed, first_failure


def test_the_first_failure_of_groups_of_failures_comes_out() -> None:
    fenced = Fenced("by epoch 2")
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [fenced, StoreFailed("out")]), StoreFailed("too")])
    assert first_failure(nested) is fenced


def test_a_bug_among_failures_is_not_hidden_by_them() -> None:
    mixed = ExceptionGroup("outer", [Fenced("by epoch 2"), ExceptionGroup("inner", [KeyError("a bug")])])
    assert first_failure(mixed) is None
    assert first_failure(ExceptionGroup("", [KeyError("a bug")])) is None
