"""Files and folders that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swath import limits
from swath.errors import ConfigError, InputError, ResourceError

_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<place>[0-9a-f]{8})-(?P<process>\d+)-\w{8}\.(?:part|ready)(?:\..*)?")
_FORGOTTEN_S = 7 * 86_400
"""Seconds without a change after which a temporary file of another machine is taken for forgotten."""
_DIGITS = 400
"""More than any number of a configuration has, fewer than what takes time."""


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
    left behind can get into the file. What killed processes left in the folder is removed.

    Raises:
        ResourceError: the folder cannot be made or written to, or is full, or ``path`` is a folder.
    """
    _make_parent(path)
    if path.is_dir():
        raise _unwritable(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
    remove_leftovers(path.parent)
    temporary = path.with_name(f"{temporary_stem(path)}{uuid.uuid4().hex[:8]}.part")
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
def replacing_folder(path: Path, *, resume: bool = False) -> Iterator[Path]:
    """An empty temporary folder beside ``path`` that takes its place when the block ends well, and vanishes otherwise.

    A folder that lies at ``path`` is removed only after the new one has taken its place.

    Args:
        path: the folder.
        resume: begin with what a killed process had made for the same ``path``, where there is such; the block then
            has to check what it finds.

    Raises:
        ConfigError: something that is not a folder has that name.
        ResourceError: the folder above cannot be made or written to, or is full.
    """
    _refuse_file(path)
    _make_parent(path)
    prefix = temporary_stem(path)
    try:
        temporary = tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix, suffix=".part")
    except OSError as error:
        raise _unwritable(error, path) from error
    try:
        with temporary as around:
            # One level deeper, because tempfile makes folders that only their owner may read.
            new, old = Path(around) / "new", Path(around) / "old"
            if not (resume and _inherit(path, new)):
                new.mkdir()
            remove_leftovers(path.parent)
            yield new
            _exchange(new, path, old)
    except OSError as error:
        if _is_about(error, path.parent / prefix):
            raise _unwritable(error, path) from error
        raise


def temporary_stem(path: Path) -> str:
    """How hidden names beside ``path`` begin that are in use by this process; eight letters and an ending follow."""
    return f".{path.name}.{_place()}-{os.getpid()}-"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in ``folder``.

    Those of a process that lives are never touched, and those of other machines only after a week without a change.
    A new folder that was whole, and killed between the two steps of taking the place of an old one, gets its place.
    """
    for path in _leftovers(folder):
        if path.is_dir() and not path.is_symlink():
            target = folder / _named(path)["name"]
            if (path / "old").exists() and not os.path.lexists(target):
                with suppress(OSError):
                    os.replace(path / "new", target)
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


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
        limits.YAML_BYTES.check(path.stat().st_size, path)
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_unique_keys())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", expected=what, remedy="check its permissions"
        ) from error
    # Besides YAML's own errors: bytes that are no text, impossible dates, and keys that cannot be keys.
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"{path} is not YAML that can be used ({' '.join(str(error).split())[:300]})",
            expected=what,
            remedy="correct the file; indent with spaces, and give every key once",
        ) from error


@functools.cache
def _unique_keys() -> Any:
    """YAML's safe loader, which alone would silently keep the last of two equal keys."""
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        def compose_document(self) -> Any:
            root = super().compose_document()
            _check_written_out(root)
            return root

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

    def whole_number(loader: Any, node: Any) -> int:
        # Hexadecimal and sexagesimal numbers escape Python's own limit of digits, and printing them does not.
        if len(str(node.value)) > _DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value)} digits", node.start_mark
            )
        return int(loader.construct_yaml_int(node))

    UniqueKeys.add_constructor("tag:yaml.org,2002:int", whole_number)
    return UniqueKeys


def _check_written_out(root: Any) -> None:
    """Refuse aliases that stand for more values than anyone would write ("billion laughs"), or for themselves.

    Aliases share one node, so that the file itself is small; whoever walks or prints the result meets every copy.
    """
    import yaml

    sizes: dict[int, int] = {}
    open_now: set[int] = set()

    def size(node: Any) -> int:
        if id(node) in open_now:
            raise yaml.composer.ComposerError(None, None, "an alias stands for what it lies in", node.start_mark)
        if id(node) not in sizes:
            open_now.add(id(node))
            value = node.value if isinstance(node, yaml.CollectionNode) else ()
            children = [part for item in value for part in (item if isinstance(item, tuple) else (item,))]
            sizes[id(node)] = 1 + sum(size(child) for child in children)
            open_now.discard(id(node))
        return sizes[id(node)]

    if root is not None and size(root) > limits.YAML_NODES.value:
        raise yaml.composer.ComposerError(
            None, None, f"its aliases stand for more than {limits.YAML_NODES.value} values", root.start_mark
        )


def user_cache(name: str) -> Path:
    """Where fetched files of one kind are kept: ``name`` in $SWATH_CACHE, else in the user's cache for swath."""
    if os.environ.get("SWATH_CACHE"):
        return Path(os.environ["SWATH_CACHE"]) / name
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "swath" / name


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inherit(path: Path, new: Path) -> bool:
    """Take over what a killed process had made for ``path``; whether there was such."""
    for left in _leftovers(path.parent):
        if _named(left)["name"] == path.name and (left / "new").is_dir() and not (left / "old").exists():
            with suppress(OSError):  # another process was faster
                os.replace(left / "new", new)
                return True
    return False


def _leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders whose process is gone."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith("."))
    except OSError:
        return []
    return [folder / name for name in names if _TEMPORARY.fullmatch(name) and _is_left(folder / name)]


def _named(path: Path) -> dict[str, str]:
    found = _TEMPORARY.fullmatch(path.name)
    return found.groupdict() if found else {}


def _is_left(path: Path) -> bool:
    named = _named(path)
    if named["place"] == _place():
        return not _lives(int(named["process"]))
    inside = (os.path.join(above, name) for above, folders, files in os.walk(path) for name in (*folders, *files))
    try:
        newest = max(os.lstat(each).st_mtime for each in (str(path), *inside))
    except OSError:  # it just vanished
        return False
    return time.time() - newest > _FORGOTTEN_S


def _lives(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@functools.cache
def _place() -> str:
    """Eight digits for this machine and, in a container, for its own numbering of processes."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return hashlib.sha256(f"{platform.node()} {numbering}".encode()).hexdigest()[:8]


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
