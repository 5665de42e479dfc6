"""Where weights are looked for, and what is done about a wrong file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swath import weights
from swath.errors import InputError, MissingError
from swath.weights import Entry, fetch

CONTENT = b"not really weights"
SUM = hashlib.sha256(CONTENT).hexdigest()


def made(address: str | None, checksum: str | None = SUM) -> Entry:
    """Presto's entry with a small file instead."""
    known = weights.entry("presto")
    changed = known.weights.model_copy(update={"address": address, "sha256": checksum, "bytes": len(CONTENT)})
    return known.model_copy(update={"weights": changed})


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no real data."""
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SWATH_DATA", raising=False)
    return tmp_path


def test_a_file_is_fetched_once_into_the_cache(empty: Path, serve: Callable[..., Any]) -> None:
    server = serve(CONTENT)
    said: list[str] = []
    first = weights.find(made(server.address), say=said.append)
    again = weights.find(made(server.address), say=said.append)
    assert (first.how, again.how, first.verified, again.verified) == ("fetched", "cache", True, True)
    assert first.path == again.path == empty / "cache" / "weights" / "presto-13173d028f03" / "default_model.pt"
    assert len(server.asked) == 1
    assert len(said) == 1 and "licence: MIT" in said[0]


def test_the_data_directory_comes_before_the_cache_and_a_path_before_both(
    empty: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Any]
) -> None:
    server = serve(CONTENT)
    weights.find(made(server.address))
    folder = empty / "data" / "presto_weights"
    folder.mkdir(parents=True)
    (folder / "default_model.pt").write_bytes(CONTENT)
    monkeypatch.setenv("SWATH_DATA", str(empty / "data"))
    assert weights.find(made(server.address)).how == "data"
    own = empty / "mine.pt"
    own.write_bytes(CONTENT)
    assert weights.find(made(server.address), own) == weights.Found(own, True, "given")
    assert weights.find(made(server.address), folder).path == folder / "default_model.pt"


def test_a_given_file_of_other_bytes_needs_to_be_wanted(empty: Path) -> None:
    own = empty / "mine.pt"
    own.write_bytes(b"other")
    with pytest.raises(InputError, match=rf"mine.pt has the sha256 .*Expected: {SUM}.*strict=False"):
        weights.find(made(None), own)
    said: list[str] = []
    assert not weights.find(made(None), own, strict=False, say=said.append).verified
    assert "not the published file" in said[0]


def test_a_spoilt_file_in_the_cache_is_not_used(empty: Path) -> None:
    path = fetch.cached(made(None))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    with pytest.raises(InputError, match="remove the file and fetch it again"):
        weights.find(made(None), strict=False)


def test_an_unknown_checksum_is_said(empty: Path, serve: Callable[..., Any]) -> None:
    said: list[str] = []
    found = weights.find(made(serve(CONTENT).address, checksum=None), say=said.append)
    assert not found.verified
    assert "No checksum is known" in said[1]


@pytest.mark.parametrize(
    ("address", "fetching", "reason"),
    [(None, True, "get them from https://github.com"), ("http://127.0.0.1:9/x", False, "swath weights get presto")],
)
def test_nowhere_is_a_sentence_with_the_next_step(
    empty: Path, address: str | None, fetching: bool, reason: str
) -> None:
    with pytest.raises(MissingError, match=reason):
        weights.find(made(address), fetch=fetching)


@pytest.mark.parametrize("name", ["absent.pt", "."])
def test_a_path_without_the_file_is_an_error_even_with_a_cache(
    empty: Path, serve: Callable[..., Any], name: str
) -> None:
    entry = made(serve(CONTENT).address)
    weights.find(entry)
    with pytest.raises(InputError, match="There is no file"):
        weights.find(entry, empty / name)
