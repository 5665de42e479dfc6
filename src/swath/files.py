"""Files and folders that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import functools
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

from swath.errors import ConfigError, InputError, ResourceError

_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


def make_folder(path: Path | str) -> Path:
    """Make a folder and those above it; one that is there stays as it is. Returns it as a path.

    Raises:
        ConfigError: something that is not a folder has that name.
        ResourceError: the folder cannot be made or written to.
    """
    path = Path(path)
    _refuse_file(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise _unwritable(OSError(errno.EACCES, os.strerror(errno.EACCES)), path)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    The name is new at every call, hidden, and ends in ``.part``: neither another writer nor what a killed process
    left behind can get into the file.

    Raises:
        ResourceError: the folder cannot be made or written to, or is full, or ``path`` is a folder.
    """
    _make_parent(path)
    if path.is_dir():
        raise _unwritable(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
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
        ConfigError: something that is not a folder has that name.
        ResourceError: the folder above cannot be made or written to, or is full.
    """
    _refuse_file(path)
    _make_parent(path)
    prefix = f".{path.name}-"
    try:
        temporary = tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix)
    except OSError as error:
        raise _unwritable(error, path) from error
    try:
        with temporary as around:
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


def read_yaml(path: Path, what: str) -> Any:
    """The content of a YAML file; None where it is empty.

    Args:
        path: the file.
        what: what it holds, for sentences, such as ``a legend with lines such as '1: forest'``.

    Raises:
        InputError: there is no such file, or it cannot be read.
        ConfigError: it is not YAML, or gives a key twice.
    """
    import yaml

    if not path.is_file():
        given = f"'{path}' is a folder" if path.is_dir() else f"There is no file {path}"
        raise InputError(given, expected=what, remedy="check the path")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_unique_keys())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", expected=what, remedy="check its permissions"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # bytes that are no text and impossible dates
        raise ConfigError(
            f"{path} is not YAML that can be used ({' '.join(str(error).split())})",
            expected=what,
            remedy="correct the file; indent with spaces, and give every key once",
        ) from error


@functools.cache
def _unique_keys() -> Any:
    """YAML's safe loader, which alone would silently keep the last of two equal keys."""
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        # While composing, because constructing merges the keys of '<<' into a node, where they may come again.
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            seen: set[Any] = set()
            for key in (pair[0] for pair in node.value if isinstance(pair[0], yaml.ScalarNode)):
                name = key.value if key.tag == "tag:yaml.org,2002:merge" else self.construct_object(key)
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{name}' is given twice", key.start_mark
                    )
                seen.add(name)
            return node

    return UniqueKeys


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


def _refuse_file(path: Path) -> None:
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ConfigError(
            f"'{path}' is not a folder",
            expected="the name of a folder, new or from an earlier run",
            remedy="choose another name, or move what has that name away",
        )


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
