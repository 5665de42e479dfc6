"""From records of cut chips to a chip set: index, description, selection; nothing is written that is there already."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd

from swath.chips.archive.cut import RECORDS, Cutting, mixed
from swath.chips.archive.lattice import Lattice
from swath.chips.archive.plan import Plan
from swath.chips.footprints import footprints
from swath.chips.index import COLUMNS, TIMES
from swath.chips.layout import FILE, INDEX, KIND, Description, class_columns
from swath.chips.targets import FILE as TARGETS
from swath.chips.targets import Targets
from swath.failures import Failure, Failures
from swath.files import write_json, write_whole
from swath.reading import read_json

MARK = "archive.json"
"""What a folder of chips from an archive was asked for; its presence says that the folder may be updated."""

SELECTION = "selection.parquet"
OBSERVATIONS = "observations.parquet"
Record = dict[str, Any]


def read_records(folder: Path, plans: Sequence[Plan]) -> dict[str, Record]:
    """Records of finished chips by id, for those plans that have one."""
    found = {}
    for plan in plans:
        path = folder / RECORDS / f"{plan.id}.json"
        if path.is_file():
            found[plan.id] = dict(read_json(path, expected="a record of a chip", remedy="delete it and run again"))
    return found


def is_current(record: Record | None, plan: Plan, cutting: Cutting) -> bool:
    """Whether a chip was made from the same recipe, and its files are there."""
    if record is None or record.get("recipe") != plan.recipe(cutting.digest):
        return False
    if record.get("why"):
        return True
    wanted = [f"images/{plan.id}.tif", f"labels/{plan.id}.tif", *([record["valid"]] if record["valid"] else [])]
    if cutting.request.task == "regression":
        wanted.append(f"values/{plan.id}.tif")
    return all((cutting.folder / name).is_file() for name in wanted)


def gather(
    records: dict[str, Record], lattice: Lattice, cutting: Cutting, observations: pd.DataFrame, failures: Failures
) -> int:
    """Write the files of a chip set over its records.

    Chips stored in another way than most are left out with a failure. Files of chips that are no longer wanted are
    removed. Where all this is as it was, nothing is written.

    Returns:
        number of chips in the set.
    """
    kept = _alike({name: records[name] for name in sorted(records) if not records[name]["why"]}, failures)
    folder = cutting.folder
    summary = hashlib.sha256(
        json.dumps([cutting.digest, kept, _digest(observations)], sort_keys=True).encode()
    ).hexdigest()
    mark = folder / MARK
    if mark.is_file():
        before = read_json(mark, expected="what swath wrote", remedy="make the chips in a new folder")
        if before.get("summary") == summary and ((folder / FILE).is_file() or not kept):
            return len(kept)
    _remove_others(folder, records)
    if kept:
        _write_set(kept, lattice, cutting)
        _write_table(folder / SELECTION, _selection(kept))
    else:
        for name in (FILE, INDEX, SELECTION, TARGETS):
            (folder / name).unlink(missing_ok=True)
    _write_table(folder / OBSERVATIONS, observations)
    facts = {"request": json.loads(request_text(cutting)), "summary": summary, "chips": len(kept)}
    write_json(mark, facts)
    return len(kept)


def request_text(cutting: Cutting) -> str:
    """The options as sorted JSON."""
    facts = dict(cutting.request.__dict__) | {
        "legend": json.loads(cutting.legend.to_json()), "labelled": cutting.labelled, "check": cutting.check,
        "label_nodata": cutting.label_nodata,
    }  # fmt: skip
    return json.dumps(facts, sort_keys=True)


def _digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def _alike(kept: dict[str, Record], failures: Failures) -> dict[str, Record]:
    """Chips stored in the way that most are."""
    ways = {
        name: json.dumps([record[key] for key in ("dtype", "scale", "offset", "unit")]) for name, record in kept.items()
    }
    if len(set(ways.values())) < 2:
        return kept
    most = Counter(ways.values()).most_common()
    best = min(way for way, count in most if count == most[0][1])
    error = mixed("The chips", sorted(set(ways.values())))
    for name, way in ways.items():
        if way != best:
            failures.add(Failure.of(name, "gather", error))
    return {name: record for name, record in kept.items() if ways[name] == best}


def _write_set(kept: dict[str, Record], lattice: Lattice, cutting: Cutting) -> None:
    """Index, ``chips.json`` and, for quantities, ``targets.json``."""
    request, size = cutting.request, cutting.request.size
    rows = [_row(record, cutting) for record in kept.values()]
    table = pd.DataFrame(rows)
    top, left = int(table["row"].min()), int(table["column"].min())
    table["row"] -= top
    table["column"] -= left
    shape = (int(table["row"].max()) + size, int(table["column"].max()) + size)
    box = lattice.box(top, left, *shape)
    first = next(iter(kept.values()))
    sensors = {step["sensor"] for record in kept.values() for step in record["steps"]}
    description = Description(
        bands=request.band_set,
        scale=tuple(first["scale"]),
        offset=tuple(first["offset"]),
        unit=first["unit"],
        times=tuple(sorted({time for record in kept.values() for time in record["times"]})),
        legend=cutting.legend,
        size=size,
        crs=str(box.crs),
        transform=tuple(box.affine[:6]),
        shape=shape,
        source=f"archive of {request.source}, {len(kept)} chips",
        attrs={"sensor": sensors.pop() if len(sensors) == 1 else "", KIND: _one([row[KIND] for row in rows])},
    )
    shapes = footprints(box, table[["row", "column"]].to_numpy(np.int64), size)
    columns = [*COLUMNS, KIND, TIMES, *class_columns(cutting.legend)]
    index = geopandas.GeoDataFrame(table[columns], geometry=shapes, crs="EPSG:4326")
    write_whole(cutting.folder / INDEX, lambda part: index.to_parquet(part, index=False))
    lines = sorted(f"{name} {digest}" for name, digest in zip(table["id"], table["content"], strict=True))
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    replace(description, fingerprint=fingerprint).write(cutting.folder)
    if request.task == "regression":
        origin = f"archive of {request.source}"
        Targets("pixel_regression", ("value",), ("",), origin).save(cutting.folder)


def _row(record: Record, cutting: Cutting) -> dict[str, Any]:
    name = record["id"]
    row = {
        key: record[key]
        for key in ("id", "row", "column", "valid", "valid_share", "labelled_share", "group", "content")
    }
    row |= {"image": f"images/{name}.tif", "label": f"labels/{name}.tif", TIMES: record["times"]}
    row[KIND] = _one([step["kind"] for step in record["steps"]])
    row["time"] = pd.Timestamp(record["times"][0], unit="s", tz="UTC")
    return row | {f"pixels_{value}": record["pixels"][str(value)] for value in cutting.legend.values}


def _one(kinds: Sequence[str]) -> str:
    """The kind of data of several parts."""
    found = set(kinds)
    return found.pop() if len(found) == 1 else "hybrid"


def _selection(kept: dict[str, Record]) -> pd.DataFrame:
    """One row for each date of each chip: what was wanted, and what was taken."""
    rows = [
        {
            "chip": name,
            **{key: step[key] for key in ("step", "wanted", "collection", "item", "sensor", "time", "cloud")},
        }
        for name, record in kept.items()
        for step in record["steps"]
    ]
    table = pd.DataFrame(rows)
    return table.assign(cloud=table["cloud"].astype("float64"))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_whole(path, lambda part: table.to_parquet(part, index=False))


def _remove_others(folder: Path, records: dict[str, Record]) -> None:
    """Remove files of chips that are not wanted any more, or were left out."""
    for name in (RECORDS, "images", "labels", "valid", "values"):
        for path in sorted((folder / name).glob("*")) if (folder / name).is_dir() else []:
            record = records.get(path.stem)
            if record is None or (record["why"] and name != RECORDS):
                path.unlink()


def save_failures(failures: Failures, path: Path) -> Path | None:
    """Write the failure table where it differs from the one that is there; returns it, or None without failures."""
    from swath.failures import load_failures

    if path.is_file() and load_failures(path) == tuple(failures):
        return path
    return failures.save(path)
