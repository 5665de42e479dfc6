"""Vector files that others wrote: three formats, told by their content, of sane size, and nothing in them is run.

GDAL knows some 50 vector formats. Several are XML with entities, lists of commands, or name addresses of the network.
Polygons come as GeoPackage, GeoJSON, Shapefile (also zipped), FlatGeobuf or GeoParquet, and nothing else is tried.
"""

from __future__ import annotations

import os
import sqlite3
import zipfile
from pathlib import Path

import geopandas as gpd
import pyogrio

from swath import limits
from swath.errors import InputError
from swath.reading import check_parquet, reading

FORMATS = "GeoPackage, GeoJSON, Shapefile (also zipped), FlatGeobuf or GeoParquet"
_HEAD = 65536
_HARMLESS = frozenset(
    {".shp", ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".qix", ".sbn", ".sbx", ".txt", ".md", ".pdf", ".html", ".qmd"}
)
_ZIP_SMALL = 100 * 2**20
_SQL_STEPS = 10**7


def read_table(path: Path) -> gpd.GeoDataFrame:
    """The features of a vector file.

    Raises:
        InputError: the file is of another format, damaged, too large, holds views or program code, or is a zip archive
            of anything but one Shapefile.
    """
    with reading(path, expected=f"polygons as {FORMATS}", remedy="write it again in one of these formats"):
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            check_parquet(path, expected="GeoParquet")
            return gpd.read_parquet(path)
        source = _checked_source(path)
        facts = pyogrio.read_info(source, force_feature_count=True)
        # Formats declare their number of features, for which memory is taken before the first one is read.
        limits.ROWS.check(facts["features"], path)
        if facts["features"] > max(1000, _stored_bytes(path)):
            raise _refused(path, f"declares {facts['features']} features, more than it has bytes")
        return gpd.read_file(source, engine="pyogrio")


def _checked_source(path: Path) -> str:
    """What GDAL is to open, after the content was found to be of a known format."""
    if path.is_dir():
        raise _refused(path, "is a folder")
    with path.open("rb") as file:
        start = file.read(_HEAD)
    if start.startswith(b"PK\x03\x04"):
        return _shapefile_in(path)
    if start.startswith(b"SQLite format 3\0"):
        _check_geopackage(path)
    elif start.startswith(b"\0\0\x27\x0a"):
        if path.suffix.lower() != ".shp":
            raise _refused(path, "is a Shapefile that is not called .shp")
    elif start.startswith(b"fgb\x03"):
        pass
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        _check_geojson(path, start)
    else:
        raise _refused(path, "begins like none of the known formats")
    return str(path)


def _check_geojson(path: Path, start: bytes) -> None:
    kinds = (b"Feature", b"Geometry", b"Polygon", b"Point", b"LineString")
    if b'"type"' not in start or not any(kind in start for kind in kinds):
        raise _refused(path, "is JSON, but no GeoJSON")
    if b"gdal_streamed_alg" in start:
        raise _refused(path, "holds a command for GDAL")


def _check_geopackage(path: Path) -> None:
    """Refuse what SQLite would run while reading: views, computed columns and virtual tables that are no index."""
    with path.open("rb") as file:
        file.seek(68)
        if file.read(4) not in (b"GPKG", b"GP10", b"GP11"):
            raise _refused(path, "is an SQLite file, but no GeoPackage")
    base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        # A schema can be damaged so that searching it goes in circles.
        steps = iter(range(_SQL_STEPS // 1000))
        base.set_progress_handler(lambda: int(next(steps, None) is None), 1000)
        rows = base.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100000").fetchall()
    finally:
        base.close()
    for kind, name, text in rows:
        sql = str(text or "").lower()
        computed = "generated always" in sql or (kind == "table" and " as (" in sql)
        virtual = sql.lstrip().startswith("create virtual") and "using rtree" not in " ".join(sql.split())
        if kind == "view" or computed or virtual:
            raise _refused(path, f"holds '{str(name)[:40]}', which SQLite would compute while reading")


def _shapefile_in(path: Path) -> str:
    """The one Shapefile of a zip archive of bounded size, as GDAL names it."""
    with zipfile.ZipFile(path) as archive:
        members = [item for item in archive.infolist() if not item.is_dir() and "__MACOSX" not in item.filename]
    limits.STORE_NODES.check(len(members), path)
    total = sum(item.file_size for item in members)
    limits.ZIP_BYTES.check(total, path)
    if total > _ZIP_SMALL:
        limits.ZIP_RATIO.check(total // max(1, os.stat(path).st_size), path)
    names = [item.filename for item in members]
    odd = [name for name in names if Path(name).suffix.lower() not in _HARMLESS and not name.lower().endswith(".xml")]
    shapes = [name for name in names if name.lower().endswith(".shp")]
    if odd or len(shapes) != 1:
        held = f"the file '{odd[0][:60]}'" if odd else f"{len(shapes)} Shapefiles"
        raise _refused(path, f"is a zip archive with {held}; one Shapefile and its side files are wanted")
    if ".." in shapes[0].split("/") or shapes[0].startswith("/") or "\\" in shapes[0]:
        raise _refused(path, "is a zip archive with names that lead out of it")
    return f"/vsizip/{{{path.resolve()}}}/{shapes[0]}"


def _stored_bytes(path: Path) -> int:
    """Bytes of a file, or of what is in it where it is a zip archive."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(item.file_size for item in archive.infolist())


def _refused(path: Path, what: str) -> InputError:
    return InputError(
        f"The file '{path}' cannot be read as polygons: it {what}",
        expected=FORMATS,
        remedy="write the polygons as a plain GeoPackage, for example with 'ogr2ogr OUT.gpkg FILE'",
    )
