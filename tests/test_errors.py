from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import errors

KINDS = (
    errors.InputError,
    errors.ConfigError,
    errors.ContractError,
    errors.MissingError,
    errors.ResourceError,
    errors.ClaimError,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_three_sentences_and_survives_another_process(kind: type[errors.SwathError]) -> None:
    error = kind("3 files were given.", expected="one file ", remedy="name one.")
    assert str(error) == "3 files were given. Expected: one file. What to do: name one."
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.given, again.expected, again.remedy) == (
        str(error),
        "3 files were given",
        "one file",
        "name one",
    )


def test_every_kind_leaves_with_a_code_other_than_success() -> None:
    assert [kind.exit_code for kind in KINDS] == [2, 2, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("B4", ["B02", "B04", "SCL"], "B04, B02"),
        ("sentinal2_l2a", ["landsat8_oli", "sentinel2_l2a"], "sentinel2_l2a"),
        ("xyz", ["alpha", "beta"], "alpha, beta"),
        ("B8a", ["B8A"], "B8A"),
        ("anything", [], ""),
        ("zzz", [str(number) for number in range(15)], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"),
    ],
)
def test_nearest_names(name: str, options: list[str], expected: str) -> None:
    assert errors.nearest(name, options) == expected


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.text("abcXYZ019_", min_size=1), min_size=1, max_size=8, unique=True), st.text("abcXYZ019_", max_size=9)
)
def test_nearest_only_offers_what_exists(options: list[str], name: str) -> None:
    assert set(errors.nearest(name, options).split(", ")) <= set(options)


def test_require_returns_the_module_or_names_the_extra() -> None:
    assert errors.require("json", "serve").dumps([]) == "[]"
    with pytest.raises(errors.MissingError, match=r"'no_such_module'.*extra 'serve'.*pip install 'swath\[serve\]'"):
        errors.require("no_such_module", "serve")
