"""RSSCN7: 2,800 colour pictures of seven kinds of scene, 400 each, at four scales.

Layout: one folder a class, ``{letter}{class}/{letter}{number}.jpg`` with numbers 001 to 400: ``aGrass/a001.jpg``. The
original pictures have 400 x 400 pixels; copies of any smaller size are read as they are.

Numbers 1 to 100 have the finest scale, 301 to 400 the coarsest. Neighbouring numbers often show the same place, cut
next to each other. So a split draws blocks of ten numbers of a class, never single pictures: a network that knows one
half of a street would be asked about the other half. Where a place crosses the end of a block it still lies on both
sides.

Citation: Zou, Ni, Zhang, Wang: Deep learning based feature selection for remote sensing scene classification. IEEE
Geoscience and Remote Sensing Letters 12, 2015.
Licence: none stated; published for research, pictures from Google Earth.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from swath import rng
from swath.errors import ConfigError, InputError
from swath.files import make_folder
from swath.reading import reading, reason
from swath.sources.published.common import UNLABELLED, Description, fingerprint, folder_of, nothing_in
from swath.types import Split

NAME = "rsscn7"
BANDS = ("red", "green", "blue")
FOLDERS = {
    "aGrass": "grass",
    "bField": "field",
    "cIndustry": "industry",
    "dRiverLake": "river_lake",
    "eForest": "forest",
    "fResident": "resident",
    "gParking": "parking",
}
"""Folder to class name, in label order."""
CLASSES = tuple(FOLDERS.values())
PER_CLASS = 400
BLOCK = 10
_FILE = re.compile(r"[a-g](?P<number>\d{3})\.jpe?g", re.IGNORECASE)
_SIDE = 32


@dataclass(frozen=True)
class Scene:
    """One picture; nothing is read before a method asks for it.

    Args:
        id: folder and number, such as ``aGrass/a001``.
        class_name: one of ``CLASSES``.
        number: 1 to 400 within the class.
        path: the file.
    """

    id: str
    class_name: str
    number: int
    path: Path

    @property
    def label(self) -> int:
        """Place of the class in ``CLASSES``."""
        return CLASSES.index(self.class_name)

    @property
    def group(self) -> str:
        """The block of ten numbers that stays together in a split."""
        return f"{self.class_name} {(self.number - 1) // BLOCK:02d}"

    def image(self) -> NDArray[np.uint8]:
        """uint8 ``(3, y, x)``; raises InputError when the file is damaged."""
        with reading(self.path, expected="an image", remedy="download it again"), Image.open(self.path) as image:
            return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def open(root: Path | str) -> tuple[Scene, ...]:
    """All pictures under ``root``, by class and number.

    Raises:
        InputError: there is no such directory, or no picture in it.
    """
    folder = folder_of(root, NAME)
    found = []
    for name, class_name in FOLDERS.items():
        for path in sorted((folder / name).glob("*")):
            match = _FILE.fullmatch(path.name)
            if match and path.is_file():
                found.append(Scene(f"{name}/{path.stem}", class_name, int(match["number"]), path))
    if not found:
        raise nothing_in(folder, NAME, "aGrass/a001.jpg and so on")
    return tuple(found)


def split(scenes: Sequence[Scene], seed: int, *, test_share: float = 0.2, validation_share: float = 0.1) -> Split:
    """Blocks of ten numbers to ``train``, ``validation`` and ``test``, class by class.

    The test blocks depend on ``test_share`` and the pictures alone, so that every seed is scored on the same ones; the
    seed draws the validation blocks from the others.

    Args:
        scenes: what ``open`` gave.
        seed: of the validation blocks.
        test_share: share of the blocks of every class; at least one block.
        validation_share: share of the blocks of every class, again at least one where it is above 0.

    Raises:
        ConfigError: the shares leave nothing to learn from, or are no shares.
        InputError: a class has fewer blocks than parts.
    """
    if not (0 < test_share < 1 and 0 <= validation_share < 1 and test_share + validation_share < 1):
        raise ConfigError(
            f"The shares are {test_share} for testing and {validation_share} for validation",
            expected="shares of at least 0 that leave something to learn from",
            remedy="for example 0.2 and 0.1",
        )
    part_of: dict[str, str] = {}
    groups: dict[str, list[str]] = defaultdict(list)
    for scene in scenes:
        if scene.group not in groups[scene.class_name]:
            groups[scene.class_name].append(scene.group)
    for name, blocks in groups.items():
        tested = max(1, round(test_share * len(blocks)))
        validated = max(1, round(validation_share * len(blocks))) if validation_share else 0
        if tested + validated >= len(blocks):
            raise InputError(
                f"The class '{name}' has {len(blocks)} blocks of {BLOCK} pictures",
                expected=f"more than {tested + validated}, the parts for testing and validation",
                remedy="take the whole data set, or lower the shares",
            )
        fixed = rng.generator(0, "rsscn7 test", name).permutation(len(blocks)).tolist()
        others = rng.generator(seed, "rsscn7 validation", name).permutation(fixed[tested:]).tolist()
        part_of |= {blocks[place]: "test" for place in fixed[:tested]}
        part_of |= {blocks[place]: "validation" for place in others[:validated]}
        part_of |= {blocks[place]: "train" for place in others[validated:]}
    table = pd.DataFrame(
        {
            "id": [scene.id for scene in scenes],
            "split": [part_of[scene.group] for scene in scenes],
            "group": [scene.group for scene in scenes],
            "fold": 0,
        }
    )
    found = Split(table)
    found.check()
    return found


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is. Reads every picture.

    Raises:
        InputError: there is no such directory, or no picture in it.
    """
    scenes = open(root)
    found = [f"{name}: the folder is missing" for name in FOLDERS if not (Path(root) / name).is_dir()]
    sizes: Counter[tuple[int, int]] = Counter()
    for scene in scenes:
        try:
            sizes[scene.image().shape[1:]] += 1
        except InputError as error:
            found.append(f"{scene.id}: not a readable picture ({reason(error)}); file {scene.path.name}")
        if not 1 <= scene.number <= PER_CLASS:
            found.append(f"{scene.id}: numbers run from 1 to {PER_CLASS}")
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {height} x {width}" for (height, width), count in sizes.most_common())
        found.append(f"pictures of several sizes: {listed}")
    return found


def describe(root: Path | str) -> Description:
    """Counts, classes with pictures each, missing class folders and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, or no picture in it.
    """
    scenes = open(root)
    counts = Counter(scene.class_name for scene in scenes)
    return Description(
        name=NAME,
        title="RSSCN7, pictures of seven kinds of scene at four scales",
        citation="Zou et al. 2015, IEEE Geoscience and Remote Sensing Letters 12",
        licence="none stated; for research, pictures from Google Earth",
        records=len(scenes),
        bands={"colour": BANDS},
        classes=CLASSES,
        labels={**{name: counts.get(name, 0) for name in CLASSES}, UNLABELLED: 0},
        missing=tuple(f"{name}/" for name, label in FOLDERS.items() if label not in counts),
        fingerprint=fingerprint(Path(root), [scene.path for scene in scenes]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature in the true layout: four blocks of two pictures a class, 32 x 32, classes by colour and grain."""
    folder = Path(root)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for place, name in enumerate(FOLDERS):
        make_folder(folder / name)
        colour = rng.generator(seed, "fake rsscn7", name).uniform(60, 200, 3)
        stripes = 30 * np.sin(2 * np.pi * (place + 1) * (rows + columns) / _SIDE)
        for number in (1, 2, 11, 12, 21, 22, 31, 32):
            noise = rng.generator(seed, "fake rsscn7", name, number).normal(0, 12, (_SIDE, _SIDE, 3))
            pixels = np.clip(colour + stripes[..., None] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name[0]}{number:03d}.jpg", quality=90)
    return folder
