"""Items in one file: saved searches as GeoJSON or stac-geoparquet, which can be searched again without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swath.cubes.catalogue import archives
from swath.cubes.catalogue.items import Item, item_of
from swath.errors import ConfigError, InputError, require
from swath.failures import Failure, Failures
from swath.files import make_folder, replacing, write_json
from swath.reading import check_parquet, read_json, reading

SUFFIXES = (".json", ".geojson", ".parquet")
_EXPECTED = "a saved search: a GeoJSON FeatureCollection of STAC items, or stac-geoparquet"


def save(items: Sequence[Item], path: Path | str) -> Path:
    """Write items to one file; paths and addresses in it are whole, signatures are not kept.

    Args:
        items: from ``search``.
        path: ends in .json, .geojson or .parquet (stac-geoparquet, needs the extra ``stac``).

    Raises:
        ConfigError: another ending.
        InputError: there are no items.
        ResourceError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"'{path}' ends in '{path.suffix}'", expected=f"one of {', '.join(SUFFIXES)}", remedy="rename it"
        )
    if not items:
        raise InputError("There are no items to save", expected="at least one", remedy="widen the search")
    records = [record_of(item) for item in items]
    make_folder(path.parent)
    if path.suffix.lower() != ".parquet":
        return write_json(path, {"type": "FeatureCollection", "features": records})
    rustac = require("rustac", "stac")
    with replacing(path) as temporary:
        named = temporary.with_suffix(".parquet")
        try:
            rustac.write_sync(str(named), {"type": "FeatureCollection", "features": records}, format="geoparquet")
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
    return path


def record_of(item: Item) -> dict[str, Any]:
    """An item as JSON whose paths and addresses are whole."""
    if item.record:
        return dict(item.record)
    record = dict(read_json(item.path, expected="a STAC item"))
    folder = item.path.parent.resolve()
    record["assets"] = {
        key: dict(record["assets"][key])
        | {"href": asset.address or str((folder / str(record["assets"][key]["href"])).resolve())}
        for key, asset in item.assets.items()
    }
    record["links"] = []
    return record


def read(path: Path | str, archive: str = "", failures: Failures | None = None) -> Iterator[Item]:
    """Items of a file, in its order.

    Args:
        path: GeoJSON or stac-geoparquet.
        archive: name of the archive that the items are of, whose names of sensors and bands apply.
        failures: items that cannot be understood are noted here and passed over; None = the first one ends the walk.

    Raises:
        InputError: it is no such file, or damaged.
        MissingError: stac-geoparquet without the extra ``stac``.
    """
    path = Path(path)
    for record in _records(path):
        try:
            if not isinstance(record, dict):
                raise InputError(f"'{path}' holds a feature that is no object", expected=_EXPECTED, remedy="mend it")
            named = archives.translated(record, archive) if archive else record
            yield item_of(named, path, base="")
        except InputError as error:
            if failures is None:
                raise
            failures.add(Failure.of(str(record.get("id") if isinstance(record, dict) else path), "read", error))


def is_saved(path: Path) -> bool:
    """Whether a file holds items, and not a catalogue or a single item."""
    if path.suffix.lower() == ".parquet":
        return True
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    record = read_json(path, expected=_EXPECTED)
    return isinstance(record, Mapping) and record.get("type") == "FeatureCollection"


def _records(path: Path) -> list[Any]:
    if path.suffix.lower() == ".parquet":
        check_parquet(path, expected=_EXPECTED, remedy="save the search again")
        rustac = require("rustac", "stac")
        with reading(path, expected=_EXPECTED):
            return list(_without_empty(rustac.read_sync(str(path), format="geoparquet"))["features"])
    record = read_json(path, expected=_EXPECTED)
    features = record.get("features") if isinstance(record, Mapping) else None
    if not isinstance(features, list):
        raise InputError(f"'{path}' holds no list of features", expected=_EXPECTED, remedy="save the search again")
    return features


def _without_empty(value: Any) -> Any:
    """A value without the empty fields that columns of a table bring into rows that have none."""
    if isinstance(value, dict):
        return {key: _without_empty(entry) for key, entry in value.items() if entry is not None}
    return [_without_empty(entry) for entry in value] if isinstance(value, list) else value
