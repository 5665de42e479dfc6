"""Clean a chip set: leave out chips with too little data, widen their labels or keep those of observations alone."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.crs import CRS

from swath.chips import pixels
from swath.chips.archive.cut import content
from swath.chips.archive.gather import OBSERVATIONS
from swath.chips.archive.paint import as_classes, paint
from swath.chips.archive.request import Conflict
from swath.chips.folder import appearing
from swath.chips.layout import INDEX, class_column
from swath.chips.store import ChipSet
from swath.chips.store import open as open_set
from swath.chips.targets import Targets
from swath.errors import ConfigError, InputError
from swath.types import IGNORE

Invalid = Literal["any", "all"]
Labels = Literal["keep", "buffer", "limit"]


@dataclass(frozen=True)
class Rules:
    """What a clean chip set is.

    Args:
        max_invalid: most share of invalid pixels of a chip.
        invalid: a pixel is invalid where ``any`` or where ``all`` of its numbers are.
        labels: ``keep``; ``buffer``: each labelled pixel labels the (2 w + 1)^2 around it too, as in ``paint``;
            ``limit``: only pixels with an observation of the chip itself keep their label.
        window: w of ``buffer``.
        conflict: as in ``paint``.

    Raises:
        ConfigError: a word is unknown, or a number out of range.
    """

    max_invalid: float = 0.5
    invalid: Invalid = "any"
    labels: Labels = "keep"
    window: int = 0
    conflict: Conflict = "nearest"

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_invalid <= 1.0:
            raise ConfigError(f"max_invalid = {self.max_invalid}", expected="0 to 1", remedy="change it")
        for name, options in (("invalid", Invalid), ("labels", Labels), ("conflict", Conflict)):
            if getattr(self, name) not in get_args(options):
                raise ConfigError(
                    f"{name} = '{getattr(self, name)}'",
                    expected=f"one of {', '.join(get_args(options))}",
                    remedy="choose one of them",
                )
        if self.window < 0 or (self.labels == "buffer") != (self.window > 0):
            raise ConfigError(
                f"labels = '{self.labels}' with window = {self.window}",
                expected="a window of at least 1 with 'buffer', and none otherwise",
                remedy="change one of them",
            )


@dataclass(frozen=True)
class Cleaned:
    """What came of it.

    Args:
        chips: the clean chip set.
        invalid: ids left out for their share of invalid pixels.
        unlabelled: ids left out because no label was left.
    """

    chips: ChipSet
    invalid: tuple[str, ...]
    unlabelled: tuple[str, ...]


def clean(chipset: ChipSet, out: Path | str, rules: Rules) -> Cleaned:
    """Write a chip set of the chips that are worth keeping; the old one stays as it is.

    Args:
        chipset: classes per pixel, from an archive where ``limit`` is asked for.
        out: folder of the clean set; a chip set that lies there is replaced.
        rules: what clean is.

    Raises:
        InputError: the chips have other targets than classes per pixel, there are no observations to limit by, or
            nothing is left.
    """
    if chipset.task != "segmentation" and rules.labels != "keep":
        raise InputError(f"The task of the chips is {chipset.task}", expected="segmentation", remedy="keep the labels")
    seen = _observations(chipset) if rules.labels == "limit" else {}
    invalid, unlabelled, rows = [], [], []
    index = chipset.index.set_index("id", drop=False)
    had_labels = bool(sum(chipset.class_counts().values()))
    with appearing(Path(out)) as folder, pixels.environment():
        for name in ("images", "labels", "valid", "values"):
            (folder / name).mkdir()
        for name in chipset.ids:
            row = index.loc[name].to_dict()
            values, valid = pixels.read_image(chipset.folder, row["image"], row["valid"], masked=row["valid_share"] < 1)
            used = valid.all(axis=0) if rules.invalid == "any" else valid.any(axis=0)
            if 1.0 - used.mean() > rules.max_invalid:
                invalid.append(name)
                continue
            if rules.labels != "keep":
                labels = _labels(chipset, name, valid, rules, seen.get(name))
                row |= _relabel(chipset, folder, name, labels, (values, valid))
            if had_labels and row["labelled_share"] == 0:
                unlabelled.append(name)
                continue
            _take_over(chipset, folder, row, fresh=rules.labels != "keep")
            rows.append(row)
        if not rows:
            raise InputError(
                f"None of {len(chipset)} chips is left: {len(invalid)} have too few valid pixels, "
                f"{len(unlabelled)} no label",
                expected="at least one chip",
                remedy="raise max_invalid (--max-invalid), or take wider windows",
            )
        _write_index(chipset, folder, rows)
    return Cleaned(open_set(out), tuple(invalid), tuple(unlabelled))


def _observations(chipset: ChipSet) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pixels with an observation, by chip."""
    path = chipset.folder / OBSERVATIONS
    table = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
    if not {"chip", "y", "x"} <= set(table.columns):
        raise InputError(
            f"{chipset.folder} does not say where its observations lie",
            expected="chips made around points, with observations.parquet",
            remedy="keep the labels, or make the chips from points",
        )
    kept = table[table["chip"] != ""]
    return {str(name): (part["y"].to_numpy(), part["x"].to_numpy()) for name, part in kept.groupby("chip")}


def _labels(chipset: ChipSet, name: str, valid: NDArray[np.bool_], rules: Rules, seen: Any) -> NDArray[np.int16]:
    """New labels of a chip; none where nothing is valid."""
    labels = pixels.read_labels(chipset.folder, f"labels/{name}.tif")
    if rules.labels == "limit":
        kept = np.full_like(labels, IGNORE)
        if seen is not None:
            kept[seen] = labels[seen]
        return kept
    rows, columns = np.nonzero(labels != IGNORE)
    painted, _ = paint(rows, columns, labels[rows, columns], chipset.size, rules.window, rules.conflict)
    wide = as_classes(painted)
    usable = valid.all(axis=0) if rules.invalid == "any" else valid.any(axis=0)
    return np.where(usable, wide, IGNORE).astype(np.int16)


def _relabel(
    chipset: ChipSet, folder: Path, name: str, labels: NDArray[np.int16], image: tuple[Any, NDArray[np.bool_]]
) -> dict[str, Any]:
    """Write new labels; what the index says of them."""
    values, valid = image
    grid = chipset.geobox(name)
    pixels.write_labels(folder, name, labels, (grid.affine, CRS.from_user_input(str(grid.crs))))
    seen = np.where(valid.any(axis=0), labels, IGNORE)
    counts = {class_column(value): int((seen == value).sum()) for value in chipset.legend.values}
    return counts | {"labelled_share": sum(counts.values()) / seen.size, "content": content(values, valid, labels)}


def _take_over(chipset: ChipSet, folder: Path, row: dict[str, Any], *, fresh: bool) -> None:
    """Take the files of a chip over, as further names of the same bytes where the disk can."""
    names = [row["image"], *([row["valid"]] if row["valid"] else []), *([] if fresh else [row["label"]])]
    names += [f"values/{row['id']}.tif"] if chipset.task == "pixel_regression" else []
    for name in names:
        try:
            os.link(chipset.folder / name, folder / name)
        except OSError:
            shutil.copyfile(chipset.folder / name, folder / name)


def _write_index(chipset: ChipSet, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    import geopandas

    for name in ("labels", "valid", "values"):
        stray = {path.stem for path in (folder / name).iterdir()} - {row["id"] for row in rows}
        for stem in stray:
            (folder / name / f"{stem}.tif").unlink()
        if not any((folder / name).iterdir()):
            (folder / name).rmdir()
    table = pd.DataFrame(rows)[list(chipset.index.columns)]
    index = geopandas.GeoDataFrame(table, geometry="geometry", crs="EPSG:4326")
    index.to_parquet(folder / INDEX, index=False)
    lines = sorted(f"{name} {digest}" for name, digest in zip(index["id"], index["content"], strict=True))
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    replace(chipset.description, fingerprint=fingerprint).write(folder)
    if chipset.targets is not None:
        _of(chipset.targets, [row["id"] for row in rows]).save(folder)


def _of(targets: Targets, ids: Sequence[str]) -> Targets:
    """The answers of some chips."""
    if targets.answers is None:
        return targets
    place = {name: position for position, name in enumerate(targets.ids)}
    return replace(targets, ids=tuple(ids), answers=targets.answers[[place[name] for name in ids]])
