"""Chips of Sentinel-2 Level-1C, whose clouds s2cloudless tells from ten bands on three grids (made-up classifier)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from archive_makers import at, link
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from swath import chips, cubes, sensors
from swath.chips.archive import Request, from_points
from swath.chips.archive.scene import Scene
from swath.cli.chips_archive import app
from swath.cubes import catalogue, cloudless, raster
from swath.cubes.catalogue import Item
from swath.errors import ConfigError, InputError, MissingError

CELLS = 50  # pixels of 60 m along a side
CORNER = (600_000.0, 4_500_000.0)
GRIDS = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09", "B10"),
}


def grid(gsd: float, cells: int = CELLS, corner: tuple[float, float] = CORNER) -> GeoBox:
    side = round(cells * 60 / gsd)
    return GeoBox((side, side), Affine(gsd, 0, corner[0], 0, -gsd, corner[1]), "EPSG:32633")


FINE = grid(10)


@pytest.fixture(autouse=True)
def blue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that takes the blue band for the probability of a cloud."""
    monkeypatch.setattr(cloudless, "classifier", lambda: lambda pixels: pixels[:, 1].astype(np.float64))


def counts(gsd: int) -> np.ndarray:
    """Stored numbers ``(band, y, x)``; coarse fields of blue make clouds."""
    draw = np.random.default_rng(gsd)
    side = CELLS * 60 // gsd
    found = draw.integers(1200, 3000, (len(GRIDS[gsd]), side, side))
    if gsd == 10:
        field = np.kron(draw.choice([1500, 8000], (10, 10), p=[0.75, 0.25]), np.ones((30, 30), int))
        found[0] = field + draw.integers(0, 500, (side, side))
    return found.astype(np.uint16)


def holes(gsd: int) -> np.ndarray:
    """Validity ``(1, y, x)`` with gaps that differ by grid."""
    valid = np.ones((1, CELLS * 60 // gsd, CELLS * 60 // gsd), bool)
    if gsd == 60:
        valid[0, 20:22, 5] = False
    elif gsd == 20:
        valid[0, 50, 70:80] = False
    return valid


def l1c(folder: Path, shift: float = 0.0, left_out: int = 0, name: str = "a") -> Item:
    """Write one scene; ``shift`` moves its corner, and one of its grids may be left out."""
    nodes = {}
    for gsd, names in GRIDS.items():
        if gsd != left_out:
            nodes[f"grid_{gsd}m"] = cubes.make_cube(
                counts(gsd)[None], holes(gsd), grid(gsd, corner=(CORNER[0] + shift, CORNER[1])),
                sensors.load("sentinel2_l1c").bands.select(names),
                time=np.array([np.datetime64("2024-05-20T10:00", "ns")]), scale=[1e-4] * len(names),
                offset=[-0.1] * len(names), stored=True,
                attrs={"sensor": "sentinel2_l1c", "level": "L1C", "source": "made", "time_known": 1},
            )  # fmt: skip
    attrs = {"sensor": "sentinel2_l1c", "level": "L1C", "baseline": "05.10", "cloud_cover": 1.0}
    return catalogue.write_item(folder, "l1c", name, xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes}))


def expected() -> np.ndarray:
    """States of the whole scene at 10 m, from arrays alone."""
    parts = [
        cloudless.averaged(counts(gsd) * np.float32(1e-4) + np.float32(-0.1),
                           np.broadcast_to(holes(gsd), counts(gsd).shape), 60 // gsd)
        for gsd in GRIDS
    ]  # fmt: skip
    names = [name for group in GRIDS.values() for name in group]
    values, known = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    states = cloudless.states(values, known, names)
    assert {0, 1, 2} == set(np.unique(states))
    return states.repeat(6, axis=0).repeat(6, axis=1)


def options(**changes: object) -> Request:
    plain = {"source": "s2_l1c", "size": 64, "time_series": False, "tolerance_days": 1.0, "masks": ("cloud",)}
    return Request(**(plain | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("bands", [None, ("green",), ("B10", "swir_1", "red")])
def test_a_chip_has_the_clouds_of_its_scene_whatever_bands_it_keeps(
    tmp_path: Path, bands: tuple[str, ...] | None
) -> None:
    link(tmp_path / "cat", [l1c(tmp_path / "cat")])
    points = at([(10, 10), (130, 40), (70, 200), (250, 250)], "2024-05-20", box=FINE)
    report = from_points(tmp_path / "cat", points, tmp_path / "out", request=options(bands=bands))
    assert not report.failures.rows
    held, clear, seen = chips.open(tmp_path / "out"), expected() == cloudless.CLEAR, 0
    names = [name for group in GRIDS.values() for name in group]
    gsds = {name: gsd for gsd, group in GRIDS.items() for name in group}
    for name in held.ids:
        arrays = held.load([name])
        corner = held.geobox(name).affine
        column, row = (round(step) for step in ~FINE.affine * (corner.c, corner.f))
        window = (slice(row, row + 64), slice(column, column + 64))
        for place, band in enumerate(held.bands):
            own = next(each for each in names if band.called(each))
            step = gsds[own] // 10
            valid = holes(gsds[own])[0].repeat(step, axis=0).repeat(step, axis=1)
            np.testing.assert_array_equal(arrays.valid[0, 0, place], (valid & clear)[window])
        seen += int(arrays.valid.sum())
    assert 0 < seen < arrays.valid.size * len(held.ids)


def box(row: int, column: int, size: int = 40, gsd: float = 10.0) -> GeoBox:
    move = Affine.translation(CORNER[0] + column * 10, CORNER[1] - row * 10)
    return GeoBox((size, size), move * Affine.scale(gsd, -gsd), FINE.crs)


@pytest.mark.parametrize(
    "boxes",
    [
        (box(3, 4), box(100, 77), box(-20, 280), box(270, 0)),
        (box(7, 8, 20, 20.0), box(41, 100, 11, 45.0)),
        (box(0, 0, 10, 120.0),),
        (GeoBox.from_bbox((16.19, 40.63, 16.2, 40.64), "EPSG:4326", resolution=0.0002),),
    ],
)  # fmt: skip
def test_a_scene_cut_for_chips_has_the_states_of_the_whole_one(tmp_path: Path, boxes: tuple[GeoBox, ...]) -> None:
    item, states = l1c(tmp_path), expected()
    whole, cut = Scene.of(item, options()), Scene.of(item, options(), boxes)
    assert whole.quality is not None
    assert cut.quality is not None
    for each in boxes:
        for one, other in zip(whole.on(each, "nearest"), cut.on(each, "nearest"), strict=True):
            np.testing.assert_array_equal(one.compute(), other.compute())
        one, other = (scene.quality.on(each, "nearest")[0].compute()[0, 0] for scene in (whole, cut))  # type: ignore[union-attr]
        np.testing.assert_array_equal(one, other)
        if each.crs == FINE.crs and abs(each.affine.a) == 10:
            column, row = (round(step) for step in ~FINE.affine * (each.affine.c, each.affine.f))
            padded = np.pad(states, 50)[row + 50 : row + 90, column + 50 : column + 90]
            np.testing.assert_array_equal(one, padded)


def test_every_band_is_read_once_around_the_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = l1c(tmp_path)
    asked, read = [], raster.read_window

    def watched(file, bands, rows, columns, *, masks=False):  # type: ignore[no-untyped-def]
        if not masks:
            asked.append((str(file.path), rows, columns))
        return read(file, bands, rows, columns, masks=masks)

    monkeypatch.setattr("swath.cubes.remote.many.read_window", watched)
    link(tmp_path, [item])
    points = at([(130, 70)], "2024-05-20", box=FINE)
    from_points(tmp_path, points, tmp_path / "out", request=options())
    assert len(asked) == len(set(asked)) == 11  # the ten bands and green
    sizes = {(rows[1] - rows[0], columns[1] - columns[0]) for _, rows, columns in asked}
    assert max(max(size) for size in sizes) <= 64 + 2 * 6 * 7


def test_other_masks_are_refused_with_what_is_told() -> None:
    with pytest.raises(ConfigError, match=r"'water' is not available: the source is told by s2cloudless") as caught:
        options(masks=("cloud", "water"))
    assert "some of cloud" in str(caught.value)


def test_bands_that_do_not_make_up_60_m_cost_their_chips(tmp_path: Path) -> None:
    link(tmp_path / "cat", [l1c(tmp_path / "cat", shift=5.0)])
    points = at([(30, 30)], "2024-05-20", box=FINE)
    report = from_points(tmp_path / "cat", points, tmp_path / "out", request=options())
    assert report.chips == 0
    assert "edges lie at multiples of 60 m" in str(report.failures.rows[0])
    report = from_points(tmp_path / "cat", points, tmp_path / "plain", request=options(masks=()))
    assert report.chips == 1


def test_a_scene_without_cirrus_says_so(tmp_path: Path) -> None:
    link(tmp_path / "cat", [l1c(tmp_path / "cat", left_out=60)])
    with pytest.raises(InputError, match="has no band 'B01'"):
        from_points(tmp_path / "cat", at([(30, 30)], "2024-05-20", box=FINE), tmp_path / "out", request=options())


def test_the_command_masks_and_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link(tmp_path / "cat", [l1c(tmp_path / "cat")])
    (tmp_path / "boxes.json").write_text(json.dumps([[16.19, 40.633, 16.196, 40.637]]))
    words = ["boxes", tmp_path / "cat", tmp_path / "boxes.json", "--date", "2024-05-20", "--source", "s2_l1c"]
    words += ["--single", "--masks", "cloud", "--size", 32]
    found = CliRunner().invoke(app, [str(word) for word in (*words, "-o", tmp_path / "out")])
    assert found.exit_code == 0, found.output
    held = chips.open(tmp_path / "out")
    valid = held.load(held.ids).valid
    assert 0 < valid.mean() < 1
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "s2cloudless", None)
    cloudless.classifier.cache_clear()
    found = CliRunner().invoke(app, [str(word) for word in (*words, "-o", tmp_path / "other")])
    assert isinstance(found.exception, MissingError)
    assert "pip install 'swath[clouds]'" in str(found.exception)
    assert not (tmp_path / "other").exists()
