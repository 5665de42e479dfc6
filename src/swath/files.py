"""Files and folders that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swath.errors import ResourceError

_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    The name is new at every call, hidden, and ends in ``.part``: neither another writer nor what a killed process
    left behind can get into the file.

    Raises:
        ResourceError: the folder cannot be made or written to, or is full.
    """
    _make_parent(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if _is_about(error, temporary):
            raise _unwritable(error, path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder beside ``path`` that takes its place when the block ends well, and vanishes otherwise.

    A folder that lies at ``path`` is removed only after the new one has taken its place.

    Raises:
        ResourceError: the folder above cannot be made or written to, or is full.
    """
    _make_parent(path)
    prefix = f".{path.name}-"
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as around:
            # One level deeper, because tempfile makes folders that only their owner may read.
            new, old = Path(around) / "new", Path(around) / "old"
            new.mkdir()
            yield new
            _exchange(new, path, old)
    except OSError as error:
        if _is_about(error, path.parent / prefix):
            raise _unwritable(error, path) from error
        raise


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file, then give it the name ``path``; returns ``path``."""
    with replacing(path) as temporary:
        write(temporary)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text as a whole; returns ``path``."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write readable, standard JSON as a whole; NaN and infinite numbers become null, paths text. Returns ``path``."""
    text = json.dumps(_standard(content), indent=2, allow_nan=False, ensure_ascii=False)
    return write_text(path, text + "\n")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _standard(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _exchange(new: Path, path: Path, old: Path) -> None:
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        raise


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, path) from error


def _is_about(error: OSError, start: Path) -> bool:
    """Whether a path beginning with ``start`` cannot be written; errors about other files keep their own words."""
    named = error.filename is None or str(error.filename).startswith(str(start))
    return error.errno in _UNWRITABLE and named


def _unwritable(error: OSError, path: Path) -> ResourceError:
    return ResourceError(
        f"'{path}' cannot be written ({error.strerror})",
        expected="a folder that may be written to, with room left",
        remedy="check permissions and free space, or choose another folder",
    )
