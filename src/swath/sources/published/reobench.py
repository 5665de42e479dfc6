"""REOBench: published trees of corrupted test images for scenes (AID), segmentation (Potsdam) and detection (DIOR).

Three layouts, told apart by their paths below the root:

* scenes: ``{class}/{corruption}/severity_{s}/IMAGE``
* segmentation: ``{corruption}/severity_{s}/val/IMAGE``; clean masks in ``ann_dir/val/STEM.png``
* detection: ``{corruption}/{s}/IMAGE``; clean labels in ``Annotations/test_labels/STEM.txt``, and for geometric
  corruptions labels of their own in ``{corruption}/{s}labels/STEM.txt`` (DOTA text: eight corner coordinates, class,
  difficulty).

Folders of one corruption go by several names; ``FOLDERS`` has them all. The published masks of segmentation are not
moved by geometric corruptions, so such records have no label here: scoring moved images against unmoved masks would
measure the move.

The fourth layout, what models of vision and language answered about VRSBench, is text: see ``reobench_answers``.

Citation: Li et al.: REOBench: benchmarking robustness of Earth observation foundation models. 2025.
Licence: CC-BY-4.0 as the authors state for the data; the source data sets have their own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath import rng
from swath.errors import InputError
from swath.reading import reading, reason
from swath.sources.published.common import UNLABELLED, Description, fingerprint, folder_of, nothing_in

NAME = "reobench"
Layout = Literal["scenes", "segmentation", "detection"]
GEOMETRIC = ("rotate", "scale", "translate")
FOLDERS: dict[str, str] = {
    "gaussian_noise": "gaussian_noise",
    "gaussian_noise_new": "gaussian_noise",
    "salt_and_pepper_noise": "salt_and_pepper_noise",
    "salt_and_pepper": "salt_and_pepper_noise",
    "salt_pepper_noise": "salt_and_pepper_noise",
    "gaussian_blur": "gaussian_blur",
    "motion_blur": "motion_blur",
    "brightness_contrast": "brightness_contrast",
    "clouds": "clouds",
    "cloud": "clouds",
    "haze": "haze",
    "haze_update_new": "haze",
    "gaps": "gaps",
    "data_gaps": "gaps",
    "compression_artifacts": "compression_artifacts",
    "compression": "compression_artifacts",
    "rotate": "rotate",
    "rotate_new": "rotate",
    "scale": "scale",
    "scale_image": "scale",
    "translate": "translate",
    "translate_image": "translate",
    "translate_image_new": "translate",
}
"""Published folder name to the name of the corruption."""
_IMAGES = (".jpg", ".jpeg", ".png", ".tif")
_SEVERITY = re.compile(r"severity_(\d+)")
_SIDE = 24
_CLASSES = ("beach", "port")


@dataclass(frozen=True)
class Picture:
    """One corrupted image; nothing is read before a method asks for it.

    Args:
        layout: which of the three trees it lies in.
        corruption: name of the corruption, without the spelling of the folder.
        severity: 1 to 5.
        path: the image.
        class_name: the class of a scene.
        label_path: mask or boxes, where there are some that fit this image.
    """

    layout: Layout
    corruption: str
    severity: int
    path: Path
    class_name: str | None = None
    label_path: Path | None = None

    def image(self) -> NDArray[np.uint8]:
        """uint8 ``(3, y, x)``; raises InputError when the file is damaged."""
        with reading(self.path, expected="an image", remedy="download it again"), Image.open(self.path) as image:
            return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))

    def mask(self) -> NDArray[np.uint8]:
        """Class numbers ``(y, x)`` as the file holds them (5 is no label in Potsdam).

        Raises:
            InputError: there is no mask for this image, or it is damaged.
        """
        path = self._label("segmentation")
        with reading(path, expected="a mask of one band", remedy="download it again"), Image.open(path) as image:
            return np.asarray(image.convert("L") if image.mode != "P" else image).astype(np.uint8)

    def objects(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Corners ``(n, 4, 2)`` as x, y in pixels, and n class names.

        Raises:
            InputError: there are no boxes for this image, or a line is not DOTA text.
        """
        path = self._label("detection")
        corners, names = [], []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            parts = line.split()
            if len(parts) < 9:
                continue  # headers such as 'imagesource:' and empty lines
            try:
                corners.append([float(part) for part in parts[:8]])
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: '{line[:60]}'",
                    expected="eight coordinates, a class and a difficulty",
                    remedy="correct the line, or download the file again",
                ) from error
            names.append(parts[8])
        return np.asarray(corners, np.float64).reshape(-1, 4, 2), tuple(names)

    def _label(self, layout: Layout) -> Path:
        if self.layout != layout or self.label_path is None:
            raise InputError(
                f"{self.path} has no labels for {layout}",
                expected=f"a picture of the tree for {layout}, with labels that fit its corruption",
                remedy="geometric corruptions of masks are not published: corrupt clean images with swath instead",
            )
        return self.label_path


def open(root: Path | str) -> tuple[Picture, ...]:
    """All corrupted images under ``root``, sorted by corruption, severity and path.

    Raises:
        InputError: there is no such directory, no image in a known layout, or an unknown corruption.
    """
    folder = folder_of(root, NAME)
    found = [picture for path in sorted(folder.rglob("*")) if (picture := _picture(folder, path))]
    if not found:
        raise nothing_in(folder, NAME, "{corruption}/severity_{s}/..., {class}/{corruption}/severity_{s}/...")
    return tuple(sorted(found, key=lambda each: (each.corruption, each.severity, each.path)))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the tree, as sentences; empty when nothing is. Reads every image.

    Raises:
        InputError: there is no such directory, or no image in it.
    """
    folder = folder_of(root, NAME)
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and (match := _SEVERITY.fullmatch(path.name)):
            where = path.relative_to(folder).as_posix()
            if path.parent.name.lower() not in FOLDERS:
                found.append(f"{where}: '{path.parent.name}' is no known corruption")
            elif not 1 <= int(match[1]) <= 5:
                found.append(f"{where}: severities run from 1 to 5")
    pictures = open(root)
    counts = Counter((each.layout, each.corruption, each.severity) for each in pictures)
    most = {layout: max(n for (kind, _, _), n in counts.items() if kind == layout) for layout, _, _ in counts}
    for (layout, corruption, severity), number in sorted(counts.items()):
        if number != most[layout]:
            found.append(f"{corruption}, severity {severity}: {number} images, others have {most[layout]}")
    steps: dict[str, set[int]] = defaultdict(set)
    for each in pictures:
        steps[each.corruption].add(each.severity)
    for corruption, severities in sorted(steps.items()):
        if missing := sorted(set(range(1, 6)) - severities):
            found.append(f"{corruption}: the severities {', '.join(map(str, missing))} are missing")
    found += [f"{name}: the labels are missing" for name in _unlabelled(folder, pictures)]
    for each in pictures:
        try:
            each.image()
        except InputError as error:
            found.append(f"{each.path.relative_to(folder).as_posix()}: not a readable image ({reason(error)})")
    return found


def describe(root: Path | str) -> Description:
    """Counts, classes, missing labels and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, or no image in it.
    """
    pictures = open(root)
    scenes = Counter(each.class_name for each in pictures if each.class_name is not None)
    files = {each.path for each in pictures} | {each.label_path for each in pictures if each.label_path}
    return Description(
        name=NAME,
        title="REOBench, corrupted test images of scenes, segmentation and detection",
        citation="Li et al. 2025, REOBench",
        licence="CC-BY-4.0 (stated by the authors)",
        records=len(pictures),
        bands={"rgb": ("red", "green", "blue")},
        classes=tuple(sorted(scenes)),
        labels={**dict(sorted(scenes.items())), UNLABELLED: 0} if scenes else {},
        missing=tuple(_unlabelled(Path(root), pictures)),
        fingerprint=fingerprint(Path(root), files),
    )


def write_fake(root: Path | str, seed: int = 0, layout: Layout = "scenes") -> Path:
    """A miniature of one tree: two images, two corruptions under published folder names, five severities."""
    folder = Path(root)
    for corruption in ("haze_update_new", "rotate_new"):
        for severity in range(1, 6):
            for number, class_name in enumerate(_CLASSES):
                stem = f"{class_name}_{number}"
                target = {
                    "scenes": folder / class_name / corruption / f"severity_{severity}",
                    "segmentation": folder / corruption / f"severity_{severity}" / "val",
                    "detection": folder / corruption / str(severity),
                }[layout]
                pixels = rng.generator(seed, "fake reobench", corruption, severity, stem).integers(
                    0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8
                )
                _write_image(target / f"{stem}.png", pixels)
                if layout == "detection" and corruption == "rotate_new":
                    _write_boxes(folder / corruption / f"{severity}labels" / f"{stem}.txt", severity)
    for number, class_name in enumerate(_CLASSES):
        stem = f"{class_name}_{number}"
        if layout == "segmentation":
            _write_image(folder / "ann_dir" / "val" / f"{stem}.png", np.full((_SIDE, _SIDE), number, np.uint8))
        elif layout == "detection":
            _write_boxes(folder / "Annotations" / "test_labels" / f"{stem}.txt", 0)
    return folder


def _picture(folder: Path, path: Path) -> Picture | None:
    """What a file is, or None."""
    if path.suffix.lower() not in _IMAGES:
        return None
    parts = path.relative_to(folder).parts
    for index in range(len(parts) - 2):
        corruption = FOLDERS.get(parts[index].lower())
        match = _SEVERITY.fullmatch(parts[index + 1])
        if corruption is None:
            continue
        if match is None and parts[index + 1].isdigit():
            return _of(folder, "detection", corruption, int(parts[index + 1]), path, parts[index])
        if match is not None:
            scene = index > 0 and len(parts) == index + 3
            if scene:
                return Picture("scenes", corruption, int(match[1]), path, class_name=parts[index - 1])
            return _of(folder, "segmentation", corruption, int(match[1]), path, parts[index])
    return None


def _of(folder: Path, layout: Layout, corruption: str, severity: int, path: Path, name: str) -> Picture:
    geometric = corruption in GEOMETRIC
    if layout == "segmentation":
        label = None if geometric else folder / "ann_dir" / "val" / f"{path.stem}.png"
    elif geometric:
        label = path.parent.parent / f"{severity}labels" / f"{path.stem}.txt"
    else:
        label = folder / "Annotations" / "test_labels" / f"{path.stem}.txt"
    return Picture(layout, corruption, severity, path, label_path=label if label and label.is_file() else None)


def _unlabelled(folder: Path, pictures: tuple[Picture, ...]) -> list[str]:
    return [
        each.path.relative_to(folder).as_posix()
        for each in pictures
        if each.label_path is None
        and (each.layout == "detection" or (each.layout == "segmentation" and each.corruption not in GEOMETRIC))
    ]


def _write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _write_boxes(path: Path, shift: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    low, high = 4 + shift, 12 + shift
    path.write_text(f"{low} 4 {high} 4 {high} 9 {low} 9 ship 0\n", encoding="utf-8")
