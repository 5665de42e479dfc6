"""Items of a static STAC catalogue as typed records, with links and assets resolved to files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from swath import sensors
from swath.cubes.assemble import parse_time
from swath.cubes.quality import scheme_of
from swath.errors import InputError
from swath.failures import Failure, Failures
from swath.reading import inside, read_json, reading

START_FILES = ("catalog.json", "collection.json")
MAX_ITEMS = 1_000_000
_PUBLIC = (("l2a", "sentinel2_l2a"), ("l1c", "sentinel2_l1c"), ("hlss30", "hls_s30"), ("hlsl30", "hls_l30"))
_EXPECTED = "a STAC catalogue, collection or item"


@dataclass(frozen=True)
class Asset:
    """A file of an item.

    Args:
        name: its key in the item.
        path: the file on disk; for a file on a server, the name under which it is kept.
        roles: as STAC writes them: ``data``, ``metadata``, ``label``, ...
        bands: names of its bands, where the item tells.
        scheme: quality scheme of the file (``SCL``, ``Fmask``, ``QA_PIXEL``), or None for other files.
        address: where it lies on a server, unsigned; None for a file on disk.
    """

    name: str
    path: Path
    roles: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    scheme: str | None = None
    address: str | None = None

    @property
    def is_data(self) -> bool:
        """Whether it holds bands of the sensor."""
        return "data" in self.roles and self.scheme is None

    @property
    def place(self) -> str:
        """Its path, or its address."""
        return self.address or str(self.path)


@dataclass(frozen=True)
class Item:
    """A scene as its item describes it.

    Args:
        id: unique in its collection.
        collection: id of the collection, or an empty text.
        path: the JSON file.
        time: acquisition, UTC.
        bbox: west, south, east, north [degrees]; west above east where it crosses the antimeridian.
        footprint: in longitude and latitude.
        cloud_cover: percent, None where unknown.
        sensor: name of the sensor in swath, None where the item does not tell.
        level: processing level of the sensor, None where unknown.
        baseline: processing baseline, None where unknown.
        assets: by key.
        properties: all other facts.
        record: the item as JSON, where it came from a server or a saved search; its addresses are whole.
    """

    id: str
    collection: str
    path: Path
    time: np.datetime64
    bbox: tuple[float, float, float, float]
    footprint: BaseGeometry
    cloud_cover: float | None
    sensor: str | None
    level: str | None
    baseline: str | None
    assets: Mapping[str, Asset]
    properties: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def data(self) -> tuple[Asset, ...]:
        """Assets with bands of the sensor."""
        return tuple(asset for asset in self.assets.values() if asset.is_data)

    @property
    def quality(self) -> Asset | None:
        """The first asset that says which pixels are clear."""
        return next((asset for asset in self.assets.values() if asset.scheme is not None), None)


def walk(place: Path | str, failures: Failures | None = None) -> Iterator[Item]:
    """All items of a catalogue, in the order of its links.

    Args:
        place: a catalogue, collection or item file, or a folder that holds one.
        failures: items that cannot be read are noted here and passed over; None = the first one ends the walk.

    Raises:
        InputError: there is no catalogue, or a part of it is damaged, missing, linked in a ring or on a server.
    """
    start = start_file(place)
    pending, seen, count = [start], set(), 0
    while pending:
        path = pending.pop(0)
        real = path.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            record = _record(path)
            if record.get("type") == "Feature":
                yield item_of(record, path)
                count += 1
            else:
                pending[:0] = [_target(path, link) for link in _links(record, path)]
        except InputError as error:
            if failures is None or path == start:
                raise
            failures.add(Failure.of(str(path), "read", error))
        if count > MAX_ITEMS or len(pending) > MAX_ITEMS:
            raise InputError(
                f"The catalogue '{start}' has more than {MAX_ITEMS:,} items",
                expected="a catalogue that can be walked",
                remedy="start from one of its collections",
            )


def start_file(place: Path | str) -> Path:
    """The JSON file to start from.

    Raises:
        InputError: the place holds no catalogue.
    """
    path = Path(place)
    if path.is_dir():
        found = next((path / name for name in START_FILES if (path / name).is_file()), None)
        if found is None:
            raise InputError(
                f"The folder '{path}' holds no catalogue",
                expected=f"{' or '.join(START_FILES)}",
                remedy="name the folder that holds it, or open a single scene with: swath open",
            )
        return found
    return path


def read_item(path: Path | str) -> Item:
    """One item from its JSON file.

    Raises:
        InputError: it is no item, or damaged.
    """
    record = _record(Path(path))
    if record.get("type") != "Feature":
        raise InputError(
            f"'{path}' is a STAC {record.get('type')}",
            expected="an item (type Feature)",
            remedy="search the catalogue for its items: swath scenes search",
        )
    return item_of(record, Path(path))


def item_of(record: Mapping[str, Any], path: Path, base: str | None = None) -> Item:
    """An item from its record.

    Args:
        record: JSON.
        path: the file, where its links start from.
        base: for items that came from a server, the address where they start from; empty where they are whole.

    Raises:
        InputError: it is no item, or damaged.
    """
    with reading(path, expected="a STAC item with id, geometry, datetime and assets"):
        facts = dict(record["properties"])
        when = facts.get("datetime") or facts.get("start_datetime")
        time = parse_time(str(when) if when else None)
        if time is None:
            raise InputError(
                f"The item '{path}' has no time", expected="datetime or start_datetime", remedy="add it to the item"
            )
        footprint, bounds = _place(record)
        sensor, level, baseline = _sensor(facts, str(record.get("collection") or ""))
        cloud = facts.get("eo:cloud_cover")
        return Item(
            id=str(record["id"]),
            collection=str(record.get("collection") or ""),
            path=path,
            time=time,
            bbox=bounds,
            footprint=footprint,
            cloud_cover=None if cloud is None else float(cloud),
            sensor=sensor,
            level=level,
            baseline=baseline,
            assets={str(key): _asset(str(key), value, path, base) for key, value in _assets(record)},
            properties=facts,
            record={} if base is None else _whole(record, base),
        )


def _record(path: Path) -> dict[str, Any]:
    record = read_json(path, expected=_EXPECTED, remedy="check the link, or write the catalogue again")
    if not isinstance(record, dict) or record.get("type") not in ("Catalog", "Collection", "Feature"):
        raise InputError(
            f"'{path}' is JSON, but its type is {record.get('type') if isinstance(record, dict) else 'missing'}",
            expected=f"{_EXPECTED} (type Catalog, Collection or Feature)",
            remedy="name the file catalog.json of the catalogue",
        )
    return record


def _links(record: Mapping[str, Any], path: Path) -> list[str]:
    links = record.get("links", [])
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise InputError(f"The links of '{path}' are no list", expected="a list of links", remedy="write it again")
    return [str(link.get("href", "")) for link in links if link.get("rel") in ("child", "item")]


def _target(path: Path, href: str) -> Path:
    """The file that a link or asset names; it stays in the tree of files beside or below the record."""
    if "://" in href:
        raise InputError(
            f"'{path}' links to '{href}'",
            expected="files beside the catalogue: only catalogues on disk are read",
            remedy="fetch the catalogue with its files, and write relative links",
        )
    parts = href.split("/")
    ups = sum(part == ".." for part in parts)
    if not href or "\0" in href or (href.startswith("/") and not Path(href).exists()):
        raise InputError(f"'{path}' has the link '{href}'", expected="the name of a file", remedy="correct the link")
    if href.startswith("/"):
        return Path(href)
    if ups and not all(part in ("..", ".") for part in parts[:ups]):
        raise InputError(f"'{path}' has the link '{href}'", expected="a plain relative path", remedy="correct the link")
    if not ups and not inside(href.removeprefix("./")):
        raise InputError(f"'{path}' has the link '{href}'", expected="a plain relative path", remedy="correct the link")
    return path.parent / href


def _asset(key: str, record: Mapping[str, Any], path: Path, base: str | None) -> Asset:
    described = record.get("bands") or record.get("eo:bands") or record.get("raster:bands") or []
    names = tuple(str(band["name"]) for band in described if isinstance(band, dict) and band.get("name"))
    href = str(record["href"])
    whole = urljoin(base, href) if base else href
    address = whole if "://" in whole else None
    told = record.get("swath:scheme")
    return Asset(
        name=key,
        path=_target(path, href) if address is None else Path(_file_name(key, address)),
        roles=tuple(str(role) for role in record.get("roles") or ()),
        bands=names,
        scheme=str(told) if told else scheme_of(key) or scheme_of(urlsplit(href).path if address else href),
        address=address,
    )


def _file_name(key: str, address: str) -> str:
    """The name of a remote file on disk: its key with the ending of its address."""
    suffix = Path(urlsplit(address).path).suffix.lower()
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key).strip(".") or "asset"
    return plain + (suffix if suffix[1:].isalnum() and len(suffix) <= 8 else "")


def _assets(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Assets by key; tables write those that only other items have as empty ones."""
    return [(key, asset) for key, asset in record["assets"].items() if asset is not None]


def _whole(record: Mapping[str, Any], base: str) -> dict[str, Any]:
    """A record whose addresses need no other one."""
    assets = {key: dict(asset) | {"href": urljoin(base, str(asset["href"]))} for key, asset in _assets(record)}
    links = [dict(link) | {"href": urljoin(base, str(link.get("href", "")))} for link in record.get("links") or ()]
    return dict(record) | {"assets": assets, "links": links}


def _place(record: Mapping[str, Any]) -> tuple[BaseGeometry, tuple[float, float, float, float]]:
    geometry, bounds = record.get("geometry"), record.get("bbox")
    if geometry is None and bounds is None:
        raise InputError(
            f"The item '{record.get('id')}' has neither geometry nor bbox",
            expected="where the scene lies",
            remedy="add a geometry in longitude and latitude",
        )
    if bounds is None:
        west, south, east, north = shape(geometry or {}).bounds
    else:
        values = [float(value) for value in bounds]
        west, south, east, north = values if len(values) == 4 else (values[0], values[1], values[3], values[4])
    if not all(map(math.isfinite, (west, south, east, north))):
        raise InputError(
            f"The bbox of the item '{record.get('id')}' is {bounds}",
            expected="west, south, east, north in degrees",
            remedy="correct the item",
        )
    outline = shape(geometry) if geometry else box(west, south, east, north)
    return outline, (west, south, east, north)


def _sensor(facts: Mapping[str, Any], collection: str) -> tuple[str | None, str | None, str | None]:
    """Sensor, level and baseline: as swath writes them, else from the names that public catalogues use."""
    baseline = facts.get("processing:version") or facts.get("s2:processing_baseline")
    version = None if baseline is None else str(baseline)
    named = facts.get("swath:sensor")
    if named is not None:
        level = facts.get("swath:level")
        baseline = facts.get("swath:baseline")
        return str(named), None if level is None else str(level), version if baseline is None else str(baseline)
    key = collection.lower().replace("-", "_")
    platform = str(facts.get("constellation") or facts.get("platform") or "").lower()
    for wanted, name in (
        ("l2a", "sentinel2_l2a"),
        ("l1c", "sentinel2_l1c"),
        ("hlss30", "hls_s30"),
        ("hlsl30", "hls_l30"),
    ):
        plain = key.replace("_", "")
        if wanted in plain and ("sentinel2" in platform.replace("-", "") or "sentinel2" in plain or "hls" in wanted):
            return (name, None, version) if name in sensors.names() else (None, None, version)
    return None, None, version
