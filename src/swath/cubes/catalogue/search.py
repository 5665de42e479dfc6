"""Find scenes by place, time, cloud and collection: on disk, in a saved search, a STAC API or an archive by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from swath.cubes.catalogue import api, archives, saved
from swath.cubes.catalogue.items import Item, walk
from swath.cubes.catalogue.wanted import Bounds, Wanted, area_of, footprint, interval
from swath.cubes.remote.connection import Connection
from swath.failures import Failures

__all__ = ["area_of", "footprint", "interval", "search", "why_nothing"]
NEAR_DAYS = 60
"""Days around a window in which the nearest scene of a STAC API is looked for."""


def search(
    place: Path | str,
    *,
    bbox: Bounds | None = None,
    time: str | None = None,
    collections: Iterable[str] | None = None,
    ids: Iterable[str] | None = None,
    max_cloud: float | None = None,
    limit: int | None = None,
    failures: Failures | None = None,
    connection: Connection | None = None,
) -> list[Item]:
    """Items that fit, oldest first; of equal times by collection and name.

    Args:
        place: a catalogue (folder or JSON file), a saved search (.json, .geojson, stac-geoparquet, also by address),
            the address of a STAC API, or the name of an archive (``archives.names()``).
        bbox: west, south, east, north [degrees]; west above east crosses the antimeridian.
        time: a day, month or year (``2024-05``), an instant, or an interval ``START/END`` whose ends may be ``..``;
            both ends count whole.
        collections: ids of collections; all when left out.
        ids: ids of items; all when left out.
        max_cloud: most cloud cover in percent; items that do not tell theirs are left out then.
        limit: only the first so many, counted in that order.
        failures: items that cannot be read are noted here and passed over; None = the first one ends the search.
        connection: how servers are asked; the archive's, or an open one, when left out.

    Raises:
        InputError: as ``walk``, or a filter cannot be understood.
        ConfigError: there is no archive of that name.
        MissingError: a server cannot be reached or refuses, or the extra ``stac`` is not installed.
    """
    wanted = Wanted.of(bbox, time, collections, ids, max_cloud)
    found = [item for item in _items(place, wanted, failures, connection) if wanted.fits(item)]
    ordered = sorted(found, key=lambda item: (item.time, item.collection, item.id))
    return list(islice(ordered, limit))


def why_nothing(
    place: Path | str,
    *,
    bbox: Bounds | None = None,
    time: str | None = None,
    collections: Iterable[str] | None = None,
    max_cloud: float | None = None,
    connection: Connection | None = None,
) -> str:
    """What a search without result asked for, and the item that came nearest, in one or two sentences.

    Args:
        place: as ``search``.
        bbox: as ``search``.
        time: as ``search``.
        collections: as ``search``.
        max_cloud: as ``search``.
        connection: as ``search``.
    """
    wanted = Wanted.of(bbox, time, collections, None, max_cloud)
    days = NEAR_DAYS if _is_api(place) else None
    around = wanted.widened(days)
    near = [item for item in _items(place, around, Failures(), connection) if around.fits(item)]
    said = f"No scene of '{place}' fits: {wanted.words()}."
    if not near:
        when = f" within {days} days" if days is not None else ""
        crossed = bbox is not None and bbox[0] > bbox[2]
        hint = " West is above east: the box crosses the antimeridian." if crossed else ""
        return f"{said} There is none in this place{when}, whatever its cloud cover.{hint}"
    best = min(near, key=lambda item: (wanted.distance(item), 101.0 if item.cloud_cover is None else item.cloud_cover))
    cloud = "unknown cloud cover" if best.cloud_cover is None else f"cloud cover {best.cloud_cover:.3g} %"
    return f"{said} The nearest is {best.id} of {str(best.time)[:10]}, {cloud}."


def _is_api(place: Path | str) -> bool:
    text = str(place)
    return ("://" in text and not text.partition("?")[0].endswith(".parquet")) or _is_name(text)


def _is_name(text: str) -> bool:
    """Whether a text can only be the name of an archive."""
    return "://" not in text and not Path(text).exists() and not {"/", "\\", "."} & set(text)


def _items(
    place: Path | str, wanted: Wanted, failures: Failures | None, connection: Connection | None
) -> Iterator[Item]:
    text = str(place)
    if _is_name(text):
        address = archives.archive(text).address
        yield from api.items(address, wanted, connection or archives.connect(text), text, failures)
    elif "://" in text and _is_api(text):
        name = next((each for each in archives.names() if archives.archive(each).address == text.rstrip("/")), "")
        asked = connection or (archives.connect(name) if name else Connection())
        yield from api.items(text, wanted, asked, name, failures)
    elif "://" in text:
        with tempfile.TemporaryDirectory(prefix="swath-items-") as folder:
            table = Path(folder) / "items.parquet"
            with table.open("wb") as file:
                (connection or Connection()).stream(text, 0, lambda piece: _append(file, piece), lambda: _empty(file))
            yield from saved.read(table, failures=failures)
    elif saved.is_saved(Path(text)):
        yield from saved.read(text, failures=failures)
    else:
        yield from walk(place, failures)


def _append(file: BinaryIO, piece: bytes) -> None:
    file.write(piece)


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
