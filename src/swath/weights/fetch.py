"""Where the file of an encoder lies: given by the user, under $SWATH_DATA, in the cache, or fetched into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swath.errors import InputError, MissingError
from swath.files import make_folder, sha256, user_cache
from swath.weights.catalogue import Entry
from swath.weights.download import Progress, download

DATA = "SWATH_DATA"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A file of weights.

    Args:
        path: where it lies.
        verified: whether its checksum is known and agrees.
        how: ``given`` | ``data`` | ``cache`` | ``fetched``.
    """

    path: Path
    verified: bool
    how: str


def cache_directory() -> Path:
    """Where fetched weights are kept: ``weights`` in $SWATH_CACHE, else in the user's cache for swath."""
    return user_cache("weights")


def cached(entry: Entry) -> Path:
    """Where the cache keeps the file of an entry, whether it is there or not."""
    return cache_directory() / f"{entry.name}-{entry.revision[:12]}" / entry.weights.file


def lies_at(entry: Entry) -> tuple[str, Path] | None:
    """How and where the file of an entry lies on this machine, or None; its content is not looked at."""
    data = os.environ.get(DATA)
    if data:
        path = Path(data) / entry.weights.folder / entry.weights.file
        if path.is_file():
            return "data", path
    path = cached(entry)
    return ("cache", path) if path.is_file() else None


def find(
    entry: Entry,
    path: Path | str | None = None,
    *,
    fetch: bool = True,
    strict: bool = True,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Found:
    """The file of an entry: the one given, else that under $SWATH_DATA, else that of the cache, else fetched.

    Args:
        entry: which encoder.
        path: a file, or a folder that holds one of the published name.
        fetch: whether it may be downloaded.
        strict: whether a given file must be the published one by its checksum.
        progress: called with (bytes so far, bytes in all or None).
        say: called with a line of text, where there is something to tell.

    Raises:
        InputError: the file is absent from ``path``, or another one than was published.
        MissingError: it is nowhere and cannot be fetched.
        ResourceError: the cache cannot be written.
    """
    if path is not None:
        given = Path(path)
        given = given / entry.weights.file if given.is_dir() else given
        if not given.is_file():
            raise InputError(
                f"There is no file {given}",
                expected=f"the weights of '{entry.name}' ({entry.weights.file})",
                remedy="check the path, or leave it out to have the file fetched",
            )
        return Found(given, _verified(entry, given, strict=strict, say=say), "given")
    there = lies_at(entry)
    if there is not None:
        how, where = there
        return Found(where, _verified(entry, where, strict=True, say=say), how)
    address = entry.weights.address
    if not fetch or address is None:
        raise MissingError(
            f"The weights of '{entry.name}' are not on this machine",
            expected=f"{entry.weights.file} in {cached(entry).parent}, or in {entry.weights.folder} under ${DATA}",
            remedy=f"fetch them with: swath weights get {entry.name}"
            if address
            else f"get them from {entry.repository} and name the file with path=",
        )
    target = cached(entry)
    make_folder(target.parent)
    if say:
        say(f"Fetching {entry.name} from {address} (licence: {entry.licence})")
    download(address, target, checksum=entry.weights.sha256, size=entry.weights.bytes, progress=progress)
    return Found(target, _verified(entry, target, strict=True, say=say), "fetched")


def _verified(entry: Entry, path: Path, *, strict: bool, say: Say | None) -> bool:
    """Whether a file is the published one; another one is an error where ``strict``."""
    published = entry.weights.sha256
    if published is None:
        if say:
            say(f"No checksum is known for the weights of '{entry.name}': {path} was not verified")
        return False
    found = sha256(path)
    if found == published:
        return True
    if not strict:
        if say:
            say(f"{path} is not the published file of '{entry.name}' (sha256 {found[:12]}...): taken as given")
        return False
    raise InputError(
        f"{path} has the sha256 {found}",
        expected=f"{published}, that of the published weights of '{entry.name}'",
        remedy="remove the file and fetch it again; for weights of your own of the same family use strict=False",
    )
