"""Printed tables: every cell is shown as it is."""

from __future__ import annotations

import pytest

from swath.cli import show


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_square_brackets_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    remedy = "pip install 'swath[planet]'"
    show.table("data [bold]sets[/bold]", ("name [m]", "[red]"), [(remedy, "[/]"), ("[planet]", None)])
    printed = capsys.readouterr().out
    for text in (remedy, "data [bold]sets[/bold]", "name [m]", "[red]", "[/]", "[planet]"):
        assert text in printed


def test_numbers_are_rounded_and_right_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    show.table("", ("name", "value"), [("a", 0.12345), ("b", 12345.6)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in lines] == [["name", "value"], ["a", "0.123"], ["b", "12,346"]]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1e-9, "under 0.1 %"),
        (0.0004, "under 0.1 %"),
        (0.0006, "0.1 %"),
        (0.5, "50.0 %"),
        (0.9994, "99.9 %"),
        (0.9996, "over 99.9 %"),
        (1 - 1e-12, "over 99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_only_all_is_a_hundred_percent_and_only_nothing_none(share: float, text: str) -> None:
    assert show.percent(share) == text
