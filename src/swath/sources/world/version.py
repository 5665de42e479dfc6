"""Which version of the simulated Earth this is: a hash of the sources and tables that make it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from swath.sources.world.truth import WORLD_VERSION

_SOURCES = (
    "frame.py",
    "noise.py",
    "truth.py",
    "world.py",
    "making.py",
    "version.py",
    "outlook.py",
    "earth/*.py",
    "events/*.py",
    "render/*.py",
    "render/data/*",
)


@cache
def version_hash() -> str:
    """A hash of this version of the world: of its sources and tables, line ends apart. It changes with any of them."""
    root = Path(__file__).parent
    digest = hashlib.sha256(WORLD_VERSION.encode())
    for pattern in _SOURCES:
        for file in sorted(root.glob(pattern)):
            if file.is_file():
                content = file.read_bytes().replace(b"\r\n", b"\n") if file.suffix == ".py" else file.read_bytes()
                digest.update(f"\0{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()
