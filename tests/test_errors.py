"""The tree of errors."""

import inspect

import pytest

from spml_annotate import errors

TREE = [errors.SettingError, errors.DataError, errors.MismatchError, errors.MissingExtraError, errors.RemoteError]


def test_every_error_is_ours_and_drawn_in_the_tree() -> None:
    defined = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]
    assert set(defined) == {errors.SpmlError, *TREE}
    for error in defined:
        assert issubclass(error, errors.SpmlError)
        assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", TREE)
def test_a_users_mistake_exits_2_and_a_failure_1(error: type[errors.SpmlError]) -> None:
    assert error("x").exit_code == (1 if error is errors.RemoteError else 2)
    assert errors.SpmlError("x").exit_code == 1
