"""Copy scenes from archives into a catalogue on disk, once: what is complete is passed over, what was cut goes on.

Layout as ``catalogue.write``: ``COLLECTION/ITEM/ASSET.tif`` and ``ITEM.json``. ``.copied.json`` of an item tells of a
file where it came from, its size, ETag and sha256, and the window. An item gets its JSON when all its files are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from shapely.geometry import mapping

from swath import grids
from swath.cubes.catalogue import archives
from swath.cubes.catalogue.items import Asset, Item, read_item, start_file, walk
from swath.cubes.catalogue.load import chosen_assets
from swath.cubes.catalogue.saved import record_of
from swath.cubes.catalogue.wanted import Bounds
from swath.cubes.catalogue.write import footprint_of, write_catalogue
from swath.cubes.raster import RasterFile, chunks_of, probe, read_window
from swath.cubes.remote import file as remote_file
from swath.cubes.remote.answers import plain
from swath.cubes.remote.connection import Connection
from swath.cubes.remote.part import parts_in
from swath.errors import InputError, SwathError
from swath.failures import Failure, Failures
from swath.files import make_folder, replacing, sha256, write_json

RECORD = ".copied.json"
Connect = Callable[[str, str], Connection]


@dataclass
class Copied:
    """What ``fetch`` did.

    Args:
        items: that are complete now, in the order given.
        files: copied in this run.
        passed_over: files that were complete already.
        bytes: written in this run.
        failures: files that could not be copied.
    """

    items: list[Item] = field(default_factory=list)
    files: int = 0
    passed_over: int = 0
    bytes: int = 0
    failures: Failures = field(default_factory=Failures)


@dataclass(frozen=True)
class _Task:
    """One asset of an item: where it goes, and the window as text (empty = the whole file)."""

    item: Item
    asset: Asset
    folder: Path
    name: str
    bbox: Bounds | None
    scene: tuple[Asset, ...]

    @property
    def window(self) -> str:
        return "" if self.bbox is None else ",".join(f"{value:.9g}" for value in self.bbox)

    @property
    def target(self) -> Path:
        return self.folder / self.name


def fetch(
    items: Sequence[Item],
    folder: Path | str,
    *,
    bands: Sequence[str] | None = None,
    bbox: Bounds | None = None,
    workers: int = 4,
    connect: Connect = archives.connection,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copied:
    """Copy assets of items into a catalogue on disk.

    Args:
        items: from ``search``.
        folder: the catalogue; one that is there is gone on with.
        bands: names of bands or assets; all data assets when left out. The quality asset comes along.
        bbox: west, south, east, north [degrees]: windows of the files as COGs; None = whole files, byte for byte.
        workers: files that are copied at the same time.
        connect: gives the connection to a collection of an archive.
        progress: called with the files that are done and all files.

    Raises:
        InputError: there are no items, or an item lacks a band.
        ResourceError: the folder cannot be written.
    """
    if not items:
        raise InputError("No items were found", expected="at least one scene", remedy="widen the search")
    root, done = make_folder(folder), Copied()
    tasks = []
    for item in items:
        try:
            tasks += _tasks(item, root, bands, bbox)
        except SwathError as error:
            done.failures.add(Failure.of(item.id, "choose", error))
    records = _Records()

    def work(task: _Task) -> int | SwathError:
        try:
            return _copy(task, records, connect)
        except SwathError as error:
            return error

    failed: set[tuple[str, str]] = {(item.collection, item.id) for item in items} - {_key(task.item) for task in tasks}
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="swath-fetch") as team:
        for number, (task, result) in enumerate(zip(tasks, team.map(work, tasks), strict=True), start=1):
            progress(number, len(tasks))
            if isinstance(result, SwathError):
                failed.add(_key(task.item))
                done.failures.add(Failure.of(f"{task.item.id} {task.asset.name}", "copy", result))
            elif result < 0:
                done.passed_over += 1
            else:
                done.files += 1
                done.bytes += result
    _finish(items, tasks, root, records, failed, done)
    return done


def _key(item: Item) -> tuple[str, str]:
    return item.collection, item.id


def _tasks(item: Item, root: Path, bands: Sequence[str] | None, bbox: Bounds | None) -> list[_Task]:
    chosen = list(chosen_assets(item, bands))
    if item.quality is not None and item.quality not in chosen:
        chosen.append(item.quality)
    folder = root / _word(item.collection or "items") / _word(item.id)
    tasks = []
    for asset in chosen:
        suffix = ".tif" if bbox is not None else Path(asset.path).suffix
        tasks.append(_Task(item, asset, folder, _word(asset.name) + suffix, bbox, tuple(chosen)))
    return tasks


def _word(text: str) -> str:
    """A name as a file name."""
    word = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    return word.lstrip(".") or "_"


class _Records:
    """What was copied, folder by folder, on disk as soon as it is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, dict[str, dict[str, Any]]] = {}

    def of(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Records of the files of a folder."""
        with self._lock:
            return dict(self._load(folder))

    def add(self, folder: Path, name: str, facts: Mapping[str, Any]) -> None:
        """Note that a file is complete."""
        with self._lock:
            known = self._load(folder)
            known[name] = dict(facts)
            write_json(folder / RECORD, known)

    def _load(self, folder: Path) -> dict[str, dict[str, Any]]:
        if folder not in self._known:
            found: Any = {}
            with suppress(OSError, ValueError):
                found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            sound = isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values())
            self._known[folder] = found if sound else {}
        return self._known[folder]


def _copy(task: _Task, records: _Records, connect: Connect) -> int:
    """Copy one file; gives its bytes, or -1 where it was there."""
    known = records.of(task.folder).get(task.name, {})
    expected = {"from": task.asset.place, "window": task.window}
    same = all(known.get(key) == value for key, value in expected.items())
    if same and task.target.is_file() and task.target.stat().st_size == known.get("size"):
        return -1
    make_folder(task.folder)
    archive = str(task.item.properties.get(archives.ARCHIVE) or "")
    connection = None if task.asset.address is None else _connection(archive, task.item.collection, connect)
    if task.bbox is not None:
        tag = _copy_window(task, connection)
    elif connection is not None:
        tag = _copy_remote(task, connection)
    else:
        tag = _copy_local(task)
    size = task.target.stat().st_size
    facts = {"size": size, "etag": tag, "sha256": sha256(task.target)}
    records.add(task.folder, task.name, expected | facts)
    return size


def _connection(archive: str, collection: str, connect: Connect) -> Connection:
    return connect(archive, collection) if archive else remote_file.shared_connection()


def _copy_local(task: _Task) -> str:
    with replacing(task.target) as temporary, task.asset.path.open("rb") as source, temporary.open("wb") as out:
        while piece := source.read(1 << 20):
            out.write(piece)
    return ""


def _copy_remote(task: _Task, connection: Connection) -> str:
    """Stream a file behind what an earlier run left of it, if the server still has the same one."""
    address = str(task.asset.address)
    name = hashlib.sha256(address.encode()).hexdigest()[:8]
    partial = task.folder / f".{task.name}.{name}.partial"
    note = partial.with_suffix(".etag")
    with partial.open("ab") as file:
        have = file.tell()
        tag = note.read_text(encoding="utf-8") if have and note.is_file() else ""
        if have and not tag:  # nothing tells whether it is still the same file
            file.truncate(0)
            have = 0
        probe_tag = connection.span(address, 0, 1).tag
        if tag and probe_tag != tag:
            file.truncate(0)
            have = 0
        note.write_text(probe_tag, encoding="utf-8")

        def restart() -> None:
            file.truncate(0)

        span = connection.stream(address, have, lambda piece: _write(file, piece), restart, tag=probe_tag)
        file.flush()
        size = os.fstat(file.fileno()).st_size
    declared = task.item.record.get("assets", {}).get(task.asset.name, {})
    wrong = _wrong(declared, partial, size, span.total)
    if wrong:
        partial.unlink()
        raise InputError(
            f"{plain(address)} {wrong}",
            expected="the file that the item describes",
            remedy="try again; if it stays, the archive's item or file is damaged",
        )
    os.replace(partial, task.target)
    note.unlink(missing_ok=True)
    return probe_tag


def _write(file: Any, piece: bytes) -> None:
    file.write(piece)


def _wrong(declared: Mapping[str, Any], path: Path, size: int, total: int | None) -> str:
    """What is wrong with a copied file by what its item and server say of it; empty where nothing is."""
    if total is not None and size != total:
        return f"came as {size} bytes, and the server has {total}"
    if isinstance(declared.get("file:size"), int) and declared["file:size"] != size:
        return f"has {size} bytes, and its item says {declared['file:size']}"
    checksum = str(declared.get("file:checksum") or "")
    if checksum.startswith("1220") and checksum[4:].lower() != sha256(path):  # multihash: sha2-256 of 32 bytes
        return "has another sha256 than its item says"
    return ""


def _copy_window(task: _Task, connection: Connection | None) -> str:
    """The part of a file that covers the box, as a COG with the numbers, no data, scale and names of the file."""
    assert task.bbox is not None

    def facts(asset: Asset) -> RasterFile:
        return probe(asset.path) if asset.address is None else remote_file.probe(asset.address, connection)

    own = facts(task.asset)
    (part,) = parts_in([own], task.bbox, [own, *(facts(other) for other in task.scene if other != task.asset)])
    profile = {
        "driver": "COG",
        "count": part.count,
        "dtype": part.dtype.name,
        "height": part.geobox.shape.y,
        "width": part.geobox.shape.x,
        "crs": str(part.geobox.crs),
        "transform": part.geobox.affine,
        "nodata": part.nodata[0],
        "compress": "deflate",
        "blocksize": 256,
        "overviews": "none",
    }
    bands = tuple(range(part.count))
    heights, _ = chunks_of(part)
    width, top = int(part.geobox.shape.x), 0
    env = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with replacing(task.target) as temporary, env, rasterio.open(temporary, "w", **profile) as out:
        for height in heights:
            window = rasterio.windows.Window(0, top, width, height)
            rows = (top, top + height)
            out.write(read_window(part, bands, rows, (0, width)), window=window)
            if part.shared_mask and part.alpha is None:
                out.write_mask(read_window(part, (0,), rows, (0, width), masks=True)[0], window=window)
            top += height
        out.scales, out.offsets, out.units = part.scale, part.offset, part.units
        for number, name in enumerate(part.descriptions, start=1):
            if name:
                out.set_band_description(number, name)
        if "TIFFTAG_DATETIME" in part.tags:
            out.update_tags(TIFFTAG_DATETIME=part.tags["TIFFTAG_DATETIME"])
    return ""


def _finish(
    items: Sequence[Item],
    tasks: Sequence[_Task],
    root: Path,
    records: _Records,
    failed: set[tuple[str, str]],
    done: Copied,
) -> None:
    """Write the items that are complete, and the catalogue over these and those of earlier runs."""
    for item in items:
        own = [task for task in tasks if task.item is item]
        if own and _key(item) not in failed:
            path = own[0].folder / f"{own[0].folder.name}.json"
            write_json(path, _record(own, records.of(own[0].folder)))
            done.items.append(read_item(path))
    earlier: list[Item] = []
    with suppress(InputError):
        earlier = list(walk(start_file(root), Failures()))
    linked = {_key(item): item for item in [*earlier, *done.items]}
    if linked:
        write_catalogue(root, linked.values(), name=_word(root.resolve().name), title="scenes copied from archives")


def _record(tasks: Sequence[_Task], copied: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The item as it lies on disk."""
    item = tasks[0].item
    record = record_of(item)
    assets: dict[str, Any] = {}
    for task in tasks:
        facts = copied[task.name]
        asset = {
            key: value
            for key, value in dict(record["assets"][task.asset.name]).items()
            if key != "alternate" and (task.bbox is None or not key.startswith(("proj:", "file:", "raster:")))
        }
        assets[task.asset.name] = asset | {
            "href": f"./{task.name}",
            "file:size": facts["size"],
            "file:checksum": f"1220{facts['sha256']}",
        }
    properties = {key: value for key, value in dict(record["properties"]).items() if key != archives.ARCHIVE}
    record |= {"id": _word(item.id), "collection": _word(item.collection or "items"), "assets": assets}
    record |= {"properties": properties, "links": [{"rel": "collection", "href": "../collection.json"}]}
    if tasks[0].bbox is not None:
        files = [(task, probe(task.target)) for task in tasks]
        finest = min((file for _, file in files), key=lambda file: grids.gsd_m(file.geobox))
        outline, bounds = footprint_of(finest.geobox)
        record |= {"geometry": mapping(outline), "bbox": [float(np.round(value, 9)) for value in bounds]}
        for task, file in files:
            box = file.geobox
            assets[task.asset.name]["proj:shape"] = [int(box.shape.y), int(box.shape.x)]
            assets[task.asset.name]["proj:transform"] = list(box.affine[:6])
    return record
