"""The folder of a chip set, which replaces another chip set but nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.chips.layout import FILE
from swath.errors import InputError
from swath.files import remove_leftovers, replacing_folder

FAILURES = "failures.csv"
"""Windows that could not be read when the chips were cut; absent where there were none."""


@contextmanager
def appearing(out: Path, *, marker: str = FILE, what: str = "chip set") -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when all went well, and vanishes otherwise.

    Args:
        out: the folder.
        marker: file by which one is known that may be replaced.
        what: what such a folder is called.

    Raises:
        InputError: ``out`` holds something else.
        ResourceError: nothing can be written there.
    """
    remove_leftovers(out.parent)
    if out.exists() and not (out.is_dir() and ((out / marker).exists() or not any(out.iterdir()))):
        raise InputError(
            f"{out} exists and is no {what}",
            expected=f"a new folder, an empty one, or a {what} to replace",
            remedy="choose another folder, or remove this one",
        )
    with replacing_folder(out) as folder:
        yield folder
