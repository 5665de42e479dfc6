"""Folders that appear when they are complete, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.chips.layout import FILE
from swath.errors import InputError


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when all went well, and vanishes otherwise."""
    if out.exists() and not (out.is_dir() and ((out / FILE).exists() or not any(out.iterdir()))):
        raise InputError(
            f"{out} exists and is no chip set",
            expected="a new folder, an empty one, or a chip set to replace",
            remedy="choose another folder, or remove this one",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if out.exists():
            old = partial.with_suffix(".old")
            out.rename(old)
            try:
                partial.rename(out)
            except OSError:
                old.rename(out)
                raise
            shutil.rmtree(old)
        else:
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
