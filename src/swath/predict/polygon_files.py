"""Files of polygons, written batch by batch: GeoJSON, GeoPackage and GeoParquet."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import ConfigError, ResourceError
from swath.predict.ground import Ground, to_lonlat

Columns = Mapping[str, NDArray[Any]]

SUFFIXES = {
    ".geojson": "GeoJSON",
    ".gpkg": "GeoPackage",
    ".parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
}
"""Formats by ending."""


class PolygonFile(Protocol):
    """A file that takes polygons in batches; it is complete after ``close``."""

    def append(self, shapes: NDArray[Any], columns: Columns) -> None:
        """Add polygons in the coordinates of the map, with one value per column and polygon."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def check_name(out: Path) -> None:
    """Refuse names whose ending says no known format.

    Raises:
        ConfigError: the ending is unknown, or ``out`` is a folder.
    """
    if out.is_dir() or out.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"The output '{out}' is a folder" if out.is_dir() else f"Polygons were to be written to '{out}'",
            expected=f"a file that ends in {', '.join(SUFFIXES)}",
            remedy=f"write to '{out.with_suffix('.gpkg')}'",
        )


def open_file(path: Path, kind: str, ground: Ground, columns: Columns, *, multi: bool) -> PolygonFile:
    """Begin a file.

    Args:
        path: where to write.
        kind: one of the values of ``SUFFIXES``.
        ground: the CRS of the polygons.
        columns: empty columns, for their names and types.
        multi: whether a region may have several parts; then all are stored as multipolygons.
    """
    if kind == "GeoJSON":
        return _GeoJson(path, ground)
    if kind == "GeoPackage":
        return _GeoPackage(path, ground, columns, multi=multi)
    return _GeoParquet(path, ground, columns, multi=multi)


class _GeoJson:
    """RFC 7946: longitude and latitude, exteriors anticlockwise, cut at the antimeridian; one feature a line."""

    def __init__(self, path: Path, ground: Ground) -> None:
        self._ground = ground
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._file.write('{"type": "FeatureCollection", "features": [')
        self._separator = "\n"

    def append(self, shapes: NDArray[Any], columns: Columns) -> None:
        geometries = shapely.to_geojson(to_lonlat(shapes, self._ground))
        rows = {name: [_plain(value) for value in values.tolist()] for name, values in columns.items()}
        for place, geometry in enumerate(geometries):
            properties = json.dumps({name: values[place] for name, values in rows.items()}, ensure_ascii=False)
            feature = f'{{"type": "Feature", "properties": {properties}, "geometry": {geometry}}}'
            self._file.write(self._separator + feature)
            self._separator = ",\n"

    def close(self) -> None:
        if not self._file.closed:
            self._file.write("\n]}\n")
            self._file.close()


class _GeoPackage:
    """One layer ``regions`` in the CRS of the map."""

    def __init__(self, path: Path, ground: Ground, columns: Columns, *, multi: bool) -> None:
        self._target, self._crs, self._multi = path, ground.crs.to_wkt(), multi
        # GDAL warns of every other ending than .gpkg; the stem of the name still tells whose it is.
        self._path = path.with_name(f"{path.name}.gpkg")
        try:
            self._write(np.empty(0, dtype=object), columns, append=False)
        except ResourceError:
            self._path.unlink(missing_ok=True)
            raise

    def append(self, shapes: NDArray[Any], columns: Columns) -> None:
        if len(shapes):
            self._write(shapely.to_wkb(_multi(shapes) if self._multi else shapes), columns, append=True)

    def close(self) -> None:
        os.replace(self._path, self._target)

    def _write(self, geometry: NDArray[Any], columns: Columns, *, append: bool) -> None:
        from pyogrio import errors, raw

        try:
            raw.write(
                str(self._path),
                geometry=geometry,
                field_data=list(columns.values()),
                fields=list(columns),
                layer="regions",
                driver="GPKG",
                geometry_type="MultiPolygon" if self._multi else "Polygon",
                crs=self._crs,
                append=append,
            )
        except (errors.DataSourceError, errors.DataLayerError, errors.FeatureError) as error:
            raise ResourceError(
                f"The GeoPackage cannot be written ({str(error).splitlines()[0][:160]})",
                expected="a folder that may be written to, with room left",
                remedy="check permissions and free space, or choose another folder",
            ) from error


class _GeoParquet:
    """GeoParquet 1.1 with WKB in the CRS of the map; one row group a batch."""

    def __init__(self, path: Path, ground: Ground, columns: Columns, *, multi: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._multi = multi
        kind = "MultiPolygon" if multi else "Polygon"
        column = {"encoding": "WKB", "geometry_types": [kind], "crs": ground.crs.proj.to_json_dict()}
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        fields = [
            pa.field(name, pa.string() if values.dtype == object else pa.from_numpy_dtype(values.dtype))
            for name, values in columns.items()
        ]
        self._schema = pa.schema([*fields, pa.field("geometry", pa.binary())], metadata={"geo": json.dumps(geo)})
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def append(self, shapes: NDArray[Any], columns: Columns) -> None:
        import pyarrow as pa

        if len(shapes):
            wkb = shapely.to_wkb(_multi(shapes) if self._multi else shapes)
            arrays = [pa.array(values, from_pandas=True) for values in columns.values()]
            self._writer.write_table(pa.Table.from_arrays([*arrays, pa.array(wkb)], schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _multi(shapes: NDArray[Any]) -> NDArray[Any]:
    """Every polygon as a multipolygon."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    return np.asarray(shapely.multipolygons(parts, indices=owner))


def _plain(value: Any) -> Any:
    """NaN has no place in JSON."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
