"""The chips of one planet: cut once per folder, and again when the planet is another one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from swath import chips
from swath.chips import ChipSet
from swath.files import write_text
from swath.sources.planet.build import read_manifest

NOTED = "chips_of.json"


def planet_hash(folder: Path) -> str:
    """SHA-256 over the pixels of all layers of a planet, from the hashes in its ``planet.json``."""
    layers = read_manifest(folder)["layers"]
    lines = [f"{name} {layers[name]['sha256']}" for name in sorted(layers)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def chips_of(content: str, out: Path, cut: Callable[[], ChipSet]) -> ChipSet:
    """The chips in ``out``, cut again where they are of another planet or nobody knows of which.

    A model that was trained on other chips than the new ones is dropped, or it would be taken for theirs.

    Args:
        content: hash of the planet.
        out: folder of the run, with ``chips`` and ``model``.
        cut: writes ``out/chips``.
    """
    noted, before = out / NOTED, None
    if (out / "chips" / "chips.json").exists():
        chipset = chips.open(out / "chips")
        before = chipset.fingerprint
        if noted.exists() and noted.read_text(encoding="utf-8", errors="replace") == _text(content, chipset):
            return chipset
    chipset = cut()
    if before is not None and before != chipset.fingerprint and (out / "model").exists():
        shutil.rmtree(out / "model")
    write_text(noted, _text(content, chipset))
    return chipset


def _text(content: str, chipset: ChipSet) -> str:
    return json.dumps({"planet": content, "chips": chipset.fingerprint}, indent=1) + "\n"
