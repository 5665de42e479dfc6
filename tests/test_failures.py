from __future__ import annotations

import csv
from pathlib import Path

from swath.errors import InputError
from swath.failures import Failure, Failures


def test_a_failure_keeps_the_sentence_of_the_error_and_its_remedy() -> None:
    error = InputError("The file 'a.tif' is truncated", expected="a whole file", remedy="copy it again")
    failure = Failure.of("a.tif", "read", error)
    assert (failure.reason, failure.retry) == ("The file 'a.tif' is truncated", "copy it again")
    assert Failure.of("a.tif", "read", ValueError()).reason == "ValueError"
    assert Failure.of("a.tif", "read", ValueError("odd\nmore")).reason == "ValueError: odd"


def test_a_table_is_written_and_one_without_rows_takes_the_old_one_away(tmp_path: Path) -> None:
    path = tmp_path / "map.failures.csv"
    failures = Failures()
    failures.add(Failure("a, b", "read", 'say "so"', "again"))
    assert failures.save(path) == path
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"item": "a, b", "stage": "read", "reason": 'say "so"', "retry": "again"}]
    assert Failures().save(path) is None
    assert not path.exists()
