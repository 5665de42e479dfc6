"""Places that look like a place: cosine similarity of embeddings, as a map and as the k best.

The similarity of embeddings a and b is a . b / (|a| |b|). One matrix product per strip of the map; memory does not
depend on the size of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from swath import cubes
from swath.embed.head_model import same_version
from swath.embed.places import Cells, lonlat_of_cells, point_on
from swath.embed.source import EmbeddingMap, open_map
from swath.embed.table import EmbeddingTable, open_table
from swath.errors import ConfigError, InputError
from swath.files import replacing

_SMALL = 1e-12
_ROWS = 65_536
LonLat = tuple[float, float]


@dataclass(frozen=True, eq=False)
class SearchReport:
    """What was found.

    Args:
        path: map or table of similarities.
        best: file of the k best places (GeoJSON, EPSG:4326); None for tables, which are sorted.
        lonlat: longitude and latitude ``(k, 2)`` of the best [degree], most similar first.
        similarity: float64 ``(k,)``, -1 to 1.
        names: what a table calls them; empty for maps.
        searched: embeddings compared.
    """

    path: Path
    best: Path | None
    lonlat: NDArray[np.float64]
    similarity: NDArray[np.float64]
    names: tuple[str, ...]
    searched: int


def search(
    where: Path | str, at: Sequence[LonLat], out: Path | str, *, like: Path | str | None = None, best: int = 10
) -> SearchReport:
    """Compare all embeddings of a file with those at some places.

    Several places count as one: the mean of their embeddings, each of length 1. Cells at which was asked are in the
    map, but not among the best.

    Args:
        where: raster or table of embeddings to search.
        at: longitude and latitude of the places [degree]; in a table the nearest row is taken.
        out: GeoTIFF for a raster, ``.parquet`` for a table (its rows sorted by similarity, without embeddings).
        like: raster or table that the places lie in; None: the one that is searched.
        best: how many places to list.

    Raises:
        InputError: files that are no embeddings, of different versions, or places without an embedding.
        ConfigError: no place, no number of best, or a name with another ending.
    """
    out, where = Path(out), Path(where)
    if not at or best < 1:
        raise ConfigError(
            f"{len(at)} places and the {best} best were asked for",
            expected="at least one place and one result",
            remedy="write for example: --at 11.58,48.14 --best 10",
        )
    _check_ending(where, out)
    searched = _opened(where)
    asked = searched if like is None else _opened(Path(like))
    same_version(searched.record, asked.record.version, where, f"'{asked.path}' those of the version")
    query, cells = _query(asked, at)
    cells = cells if like is None else np.empty((0, 2), np.int64)
    if isinstance(searched, EmbeddingMap):
        return _in_map(searched, query, cells, out, best)
    return _in_table(searched, query, cells[:, 0], out, best)


def cosine(values: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity ``(N,)`` of rows ``(N, D)`` to a query ``(D,)``; 0 for a row of zeros."""
    unit = query / max(float(np.linalg.norm(query)), _SMALL)
    length = np.sqrt(np.einsum("nd,nd->n", values, values))
    return np.clip((values @ unit) / np.maximum(length, _SMALL), -1.0, 1.0).astype(np.float32)


def _opened(path: Path) -> EmbeddingMap | EmbeddingTable:
    return open_table(path) if path.suffix.lower() == ".parquet" else open_map(path)


def _check_ending(where: Path, out: Path) -> None:
    wanted = (".parquet",) if where.suffix.lower() == ".parquet" else (".tif", ".tiff")
    if out.suffix.lower() not in wanted:
        raise ConfigError(
            f"The similarities of '{where}' were to be written to '{out}'",
            expected=f"a name that ends in {' or '.join(wanted)}",
            remedy=f"write to '{(out if out.name else out / 'similar').with_suffix(wanted[0])}'",
        )
    for written in (out, _best_file(out)):
        if written.exists() and where.exists() and written.samefile(where):
            raise ConfigError(
                f"'{written}' is the file that is searched", expected="another name", remedy="choose one with --out"
            )


def _best_file(out: Path) -> Path:
    return out.with_name(f"{out.stem}_best.geojson")


def _query(asked: EmbeddingMap | EmbeddingTable, at: Sequence[LonLat]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The embedding that is looked for ``(D,)``, and the cells (row, column) or rows ``(Q, 2)`` that gave it."""
    if isinstance(asked, EmbeddingMap):
        found = np.array([point_on(place, asked.geobox, str(asked.path)) for place in at], np.int64)
        values, valid = asked.at(Cells(found[:, 0], found[:, 1], np.arange(len(found)), 0))
    else:
        numbers = np.array([_nearest_row(asked, place) for place in at], np.int64)
        found = np.stack([numbers, np.zeros_like(numbers)], axis=1)
        values, valid = asked.values[numbers], asked.valid[numbers]
    if not valid.all():
        place = at[int(np.argmin(valid))]
        raise InputError(
            f"There is no embedding at {place[0]:g}, {place[1]:g} in '{asked.path}': it is masked there",
            expected="a place with valid observations",
            remedy="choose another place",
        )
    length = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _SMALL)
    return (values / length).mean(axis=0).astype(np.float32), found


def _nearest_row(table: EmbeddingTable, place: LonLat) -> int:
    """The row whose shape is nearest to a place, among those with an embedding."""
    lonlat = _lonlat(table)
    if not (abs(place[0]) <= 360 and abs(place[1]) <= 90):
        raise InputError(
            f"{place[0]:g}, {place[1]:g} is no place on Earth",
            expected="longitude and latitude in degrees",
            remedy="give longitude first, then latitude",
        )
    east = (lonlat[:, 0] - place[0] + 180) % 360 - 180
    distance = (east * np.cos(np.deg2rad(place[1]))) ** 2 + (lonlat[:, 1] - place[1]) ** 2
    return int(np.argmin(np.where(table.valid, distance, np.inf)))


def _lonlat(table: EmbeddingTable) -> NDArray[np.float64]:
    shapes = table.places.geometry.representative_point().to_crs("EPSG:4326")
    return np.stack([shapes.x.to_numpy(), shapes.y.to_numpy()], axis=1)


def _in_map(
    searched: EmbeddingMap, query: NDArray[np.float32], asked: NDArray[np.int64], out: Path, best: int
) -> SearchReport:
    width, total = searched.geobox.shape.x, 0
    own = set((asked[:, 0] * width + asked[:, 1]).tolist())
    top = (np.empty(0, np.float32), np.empty(0, np.int64))
    tags = {"output": "similarity", "source": str(searched.path)}
    with cubes.CogWriter(out, searched.geobox, names=("similarity",), dtype="float32", tags=tags) as writer:
        for first, values, valid in searched.strips():
            found = np.full(valid.shape, np.nan, np.float32)
            rows = np.ascontiguousarray(values.transpose(1, 2, 0)[valid])
            found[valid] = cosine(rows, query)
            writer.write(found[None], first, 0)
            places = np.flatnonzero(valid) + first * width
            total += len(places)
            top = _merged(top, (found[valid], places), best + len(own))
    keep = [number for number, place in enumerate(top[1].tolist()) if place not in own][:best]
    scores, places = top[0][keep].astype(np.float64), top[1][keep]
    lonlat = lonlat_of_cells(places // width, places % width, searched.geobox)
    points = gpd.GeoDataFrame(
        {"rank": np.arange(1, len(places) + 1), "similarity": scores},
        geometry=gpd.points_from_xy(lonlat[:, 0], lonlat[:, 1]),
        crs="EPSG:4326",
    )
    with replacing(_best_file(out)) as temporary:
        temporary.write_text(points.to_json(drop_id=True), encoding="utf-8")
    return SearchReport(out, _best_file(out), lonlat, scores, (), total)


def _merged(
    first: tuple[NDArray[np.float32], NDArray[np.int64]],
    second: tuple[NDArray[np.float32], NDArray[np.int64]],
    count: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The most similar of both, earlier cells first where equal."""
    scores, places = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    order = np.lexsort((places, -scores))[:count]
    return scores[order], places[order]


def _in_table(
    searched: EmbeddingTable, query: NDArray[np.float32], asked: NDArray[np.int64], out: Path, best: int
) -> SearchReport:
    parts = [cosine(searched.values[start : start + _ROWS], query) for start in range(0, len(searched.values), _ROWS)]
    scores = np.where(searched.valid, np.concatenate(parts), np.nan).astype(np.float64)
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    table = searched.places.iloc[order].assign(similarity=scores[order]).reset_index(drop=True)
    with replacing(out) as temporary:
        table.to_parquet(temporary, index=False)
    keep = [int(row) for row in order if searched.valid[row] and row not in set(asked.tolist())][:best]
    ids = searched.places["id"].tolist() if "id" in searched.places else range(len(scores))
    names = tuple(str(ids[row]) for row in keep)
    return SearchReport(out, None, _lonlat(searched)[keep], scores[keep], names, int(searched.valid.sum()))
