"""Cut planned chips: read what they need of their scenes, mask, label, write, and leave a record of each.

The record is written last, so that a chip without one was never finished; a chip whose record stands for the same
recipe is not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dask.base import compute
from numpy.typing import NDArray
from rasterio.crs import CRS

from swath.chips import pixels
from swath.chips.archive import masks
from swath.chips.archive.paint import as_classes, paint
from swath.chips.archive.plan import Plan
from swath.chips.archive.rasters import raster_values
from swath.chips.archive.request import Request
from swath.chips.archive.scene import Scene
from swath.cubes import Legend
from swath.cubes.catalogue import Item
from swath.cubes.cube import common_unit
from swath.cubes.remote.many import waiting
from swath.errors import InputError
from swath.failures import Failure
from swath.files import write_text
from swath.types import IGNORE

RECORDS = "records"
OBSERVED = Legend.of("observed")
"""Legend of chips whose targets are quantities, or that have none."""


@dataclass(frozen=True)
class Cutting:
    """What cutting every chip needs.

    Args:
        folder: of the chip set.
        request: options.
        digest: of the options.
        legend: classes.
        labelled: whether there are labels at all; without, no chip is left out for want of them.
        check: whether labels follow the masks, and chips without a label left are left out.
        label_nodata: number for "no label" in label rasters, where the files do not declare it.
    """

    folder: Path
    request: Request
    digest: str
    legend: Legend
    labelled: bool = True
    check: bool = True
    label_nodata: float | None = None


@dataclass(frozen=True)
class Parts:
    """The pixels of a chip, oldest date first.

    Args:
        data: ``(time, band, y, x)``, as stored.
        valid: of the same shape.
        scale: per band.
        offset: per band.
        stored: whether scale and offset apply.
    """

    data: NDArray[Any]
    valid: NDArray[np.bool_]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    stored: bool


def cut_batch(batch: tuple[Plan, ...], cutting: Cutting) -> list[tuple[str, Failure | None]]:
    """Cut chips that share their scenes; for each its id, and what went wrong if anything did."""
    try:
        scenes = _scenes(batch, cutting.request)
    except Exception as error:  # whatever it is, it belongs to these scenes
        return [(plan.id, Failure.of(plan.id, "open", error)) for plan in batch]
    threads = waiting([asset.place for item in batch[0].items for asset in item.data])
    lazy: list[Any] = []
    for plan in batch:
        try:
            lazy.append(_lazy(plan, scenes, cutting.request))
        except Exception as error:
            lazy.append(Failure.of(plan.id, "place", error))
    ready = [each for each in lazy if not isinstance(each, Failure)]
    try:
        # One computation for all chips: a stored block that several of them need is read once.
        read = iter(compute(*ready, scheduler="threads", num_workers=threads))
        arrays = [each if isinstance(each, Failure) else next(read) for each in lazy]
    except Exception:
        arrays = [
            each if isinstance(each, Failure) else _alone(plan, cutting.request)
            for plan, each in zip(batch, lazy, strict=True)
        ]
    with pixels.environment():
        return [(plan.id, _finish(plan, each, cutting)) for plan, each in zip(batch, arrays, strict=True)]


def _scenes(batch: tuple[Plan, ...], request: Request) -> dict[str, Scene]:
    """The scenes that chips share, reduced to these chips."""
    boxes = tuple(plan.box for plan in batch)
    return {f"{item.collection}/{item.id}": Scene.of(item, request, boxes) for item in batch[0].items}


def _alone(plan: Plan, request: Request) -> Any:
    """The arrays of one chip, or why they cannot be read: a block that only others need is not touched."""
    try:
        return compute(_lazy(plan, _scenes((plan,), request), request), scheduler="threads")[0]
    except Exception as error:
        return Failure.of(plan.id, "read", error)


def _lazy(plan: Plan, scenes: dict[str, Scene], request: Request) -> list[Any]:
    """For every date, oldest first: data and validity ``(1, band, y, x)``, quality ``(y, x)`` or None, storage."""
    found = []
    for item in sorted(plan.items, key=lambda item: item.time):
        scene = scenes[f"{item.collection}/{item.id}"]
        if request.crs is None and not plan.raster:
            _check_native(item, scene, plan)
        data, valid = scene.on(plan.box, request.resampling)
        quality = None if scene.quality is None else scene.quality.on(plan.box, "nearest")[0][0, 0]
        found.append([data, valid, quality, (scene.scale, scene.offset), scene.stored])
    return found


def _check_native(item: Item, scene: Scene, plan: Plan) -> None:
    """Refuse a scene in another CRS than the chips, where the chips are to lie on the pixels of the scenes."""
    crs = scene.finest.crs
    if str(crs) != str(plan.box.crs):
        raise InputError(
            f"The scene '{item.id}' is in {crs}",
            expected=f"{plan.box.crs}, as the chips",
            remedy="name a grid for all, for example --crs EPSG:4326 --resolution 0.00027",
        )


def _parts(arrays: Sequence[Any], request: Request) -> Parts:
    """Numbers and validity of all dates, masks applied.

    Raises:
        InputError: the scenes are stored in different ways.
    """
    stored_as = {(data.dtype.str, facts, unit) for data, _, _, facts, unit in arrays}
    if len(stored_as) > 1:
        raise mixed("The scenes of the chip", sorted(map(str, stored_as)))
    data = np.concatenate([each[0] for each in arrays])
    valid = np.concatenate([each[1] for each in arrays])
    if request.resampling != "nearest" and data.dtype.kind != "f":
        data = data.astype(np.float32)
    if data.dtype.kind == "f":
        valid = valid & np.isfinite(data) & (np.abs(data) <= np.finfo(np.float32).max)
    if request.masks:
        bad = masks.hidden(np.stack([each[2] for each in arrays]), str(request.origin.scheme), request.masks)
        valid = valid & ~masks.spread(bad, request.strategy)[:, None]
    facts, stored = arrays[0][3], bool(arrays[0][4])
    plain = ((1.0,) * data.shape[1], (0.0,) * data.shape[1])
    scale, offset = facts if stored else plain
    return Parts(data, valid, scale, offset, stored)


def mixed(what: str, ways: Sequence[str]) -> InputError:
    """The error for scenes that are stored in different ways."""
    return InputError(
        f"{what} are stored in {len(ways)} ways (type, scale, offset): {'; '.join(ways)[:300]}",
        expected="one way (Sentinel-2 changed its offset with baseline 04.00)",
        remedy="store physical numbers instead: physical=True (--physical)",
    )


def _finish(plan: Plan, arrays: Any, cutting: Cutting) -> Failure | None:
    """Write one chip and its record."""
    if isinstance(arrays, Failure):
        return arrays
    try:
        parts = _parts(arrays, cutting.request)
        labels, clash = _labels(plan, cutting)
        before = ~np.isnan(labels)
        if cutting.check:
            labels = np.where(masks.usable(parts.valid, cutting.request.strategy), labels, np.nan)
        kept = ~np.isnan(labels)
        why = ""
        if not parts.valid.any():
            why = "no valid pixel"
        elif cutting.labelled and cutting.check and not kept.any():
            why = "no label left under the masks" if before.any() else "no label"
        counts = {"labelled": int(kept.sum()), "masked": int((before & ~kept).sum()), "clash": int(clash.sum())}
        record = _record(plan, parts, counts, cutting) | {"why": why}
        if not why:
            record |= _write(plan, parts, labels, cutting)
        write_text(cutting.folder / RECORDS / f"{plan.id}.json", json.dumps(record, indent=1, sort_keys=True) + "\n")
    except Exception as error:  # a label raster that is none, a full disk: it costs this chip
        return Failure.of(plan.id, "cut", error)
    return None


def _labels(plan: Plan, cutting: Cutting) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Labels float64 ``(y, x)``, NaN without one, and where observations disagreed."""
    request = cutting.request
    if plan.raster:
        legend = cutting.legend if request.task == "segmentation" else None
        labels = raster_values(Path(plan.raster), cutting.label_nodata, legend)
        return labels, np.zeros(labels.shape, bool)
    return paint(plan.rows, plan.columns, plan.values, request.size, request.window, request.conflict)


def _record(plan: Plan, parts: Parts, counts: dict[str, int], cutting: Cutting) -> dict[str, Any]:
    """What is known of a chip, as JSON."""
    steps = [
        {
            "step": step, "wanted": wanted, "collection": item.collection, "item": item.id, "sensor": item.sensor,
            "time": str(item.time), "cloud": item.cloud_cover, "kind": str(item.properties.get("swath:data", "")),
        }
        for step, (item, wanted) in enumerate(zip(plan.items, plan.wanted, strict=True))
    ]  # fmt: skip
    times = sorted(int(item.time.astype("datetime64[s]").astype(np.int64)) for item in plan.items)
    return {
        "id": plan.id, "recipe": plan.recipe(cutting.digest), "date": plan.date, "tile": plan.tile, "cell": plan.cell,
        "group": plan.group, "row": plan.row, "column": plan.column, "shift": round(plan.shift, 6), "times": times,
        "steps": steps, "scale": parts.scale, "offset": parts.offset, "unit": _unit(parts, cutting.request),
        "dtype": parts.data.dtype.name, "counts": counts, "raster": plan.raster,
    }  # fmt: skip


def _unit(parts: Parts, request: Request) -> str:
    return "DN" if parts.stored else common_unit([band.unit for band in request.band_set])


def _write(plan: Plan, parts: Parts, labels: NDArray[np.float64], cutting: Cutting) -> dict[str, Any]:
    """Write the files of one chip; what its record says of them."""
    classes = cutting.request.task == "segmentation"
    numbers = as_classes(labels if classes else np.where(np.isnan(labels), np.nan, OBSERVED.values[0]))
    layers = (-1, *parts.data.shape[2:])
    data, valid = parts.data.reshape(layers), parts.valid.reshape(layers)
    grid = (plan.box.affine, CRS.from_user_input(str(plan.box.crs)))
    dates = [str(pd.Timestamp(item.time).date()) for item in sorted(plan.items, key=lambda item: item.time)]
    names = [f"{date} {band}" for date in dates for band in cutting.request.band_names]
    path = pixels.write_image(cutting.folder, plan.id, data, valid, grid, names)
    pixels.write_labels(cutting.folder, plan.id, numbers, grid)
    digest = content(data, valid, numbers)
    if not classes:
        values = labels.astype(np.float32)[None]
        pixels.write_values(cutting.folder, plan.id, values, grid)
        digest = content(values, np.isfinite(values), numbers)[:16] + digest[:16]
    seen = np.where(valid.any(axis=0), numbers, IGNORE)
    counts = {str(value): int((seen == value).sum()) for value in cutting.legend.values}
    return {
        "valid": path, "content": digest, "valid_share": float(valid.mean()), "pixels": counts,
        "labelled_share": sum(counts.values()) / seen.size,
    }  # fmt: skip


def content(values: NDArray[Any], valid: NDArray[np.bool_], labels: NDArray[np.int16]) -> str:
    """Thirty-two hexadecimal digits over what may be used of a chip: valid numbers, validity and labels."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.where(valid, values, np.zeros((), values.dtype)).tobytes())
    digest.update(np.packbits(valid).tobytes())
    digest.update(labels.astype("<i2").tobytes())
    return digest.hexdigest()[:32]
