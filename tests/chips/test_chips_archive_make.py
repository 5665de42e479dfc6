"""Chips from an archive, end to end on a small catalogue: what they promise, again and again, in any order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from archive_makers import BOX, CLOUD, SHADOW, SIDE, WATER, at, hls, link
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips.archive import Report, Request, from_boxes, from_points
from swath.cubes import raster
from swath.errors import InputError
from swath.types import IGNORE

PLACES = [(3, 4), (40, 50), (69, 69), (10, 10), (31, 31), (32, 31)]
REQUEST = Request(size=32, steps=3, step_days=31)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    cloudy = np.zeros((SIDE, SIDE), np.uint8)
    cloudy[3, 4], cloudy[5:9, 5:9], cloudy[40, 50], cloudy[0, 0] = CLOUD, SHADOW, WATER, 255
    holes = (slice(10, 12), slice(20, 30))
    return link(folder, [
        hls(folder, "2024-03-20T10:30:00", level=3),
        hls(folder, "2024-04-20T10:30:00", level=4, sensor="hls_l30", fmask=cloudy),
        hls(folder, "2024-05-20T10:30:00", level=5, holes=holes),
        hls(folder, "2024-05-21T10:30:00", level=6, cloud=70.0),
    ])  # fmt: skip


def everything(folder: Path) -> dict[str, bytes]:
    """Content of all files but the table that numbers observations."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != "observations.parquet"
    }


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}


def test_chips_open_and_say_what_they_are(archive: Path, tmp_path: Path) -> None:
    report = from_points(archive, at(PLACES), tmp_path / "out", request=REQUEST)
    assert isinstance(report, Report)
    assert (report.chips, report.made, report.counts) == (3, 3, {"in a partial cell": 1})
    held = chips.open(tmp_path / "out")
    assert held.bands.names == ("blue", "green", "red", "nir_narrow", "swir_1", "swir_2")
    assert held.dates == {"image": 3}
    assert held.data_kind == "fixture"
    assert held.classes == ("class 0", "class 1")
    batch = held.batch(held.ids)
    batch.check()
    assert batch.inputs["image"].values.shape == (3, 3, 6, 32, 32)
    chosen = pd.read_parquet(tmp_path / "out" / "selection.parquet")
    first = chosen[chosen["chip"] == held.ids[0]]
    assert first["item"].tolist() == ["s30_20240520_5", "l30_20240420_4", "s30_20240320_3"]
    assert first["wanted"].tolist() == ["2024-05-20", "2024-04-19", "2024-03-19"]
    assert first["cloud"].tolist() == [5.0, 5.0, 5.0]


def test_a_label_lies_under_the_place_of_its_point(archive: Path, tmp_path: Path) -> None:
    points = at(PLACES, labels=[1, 0, 1, 1, 0, 1])
    from_points(archive, points, tmp_path / "out", request=REQUEST)
    held = chips.open(tmp_path / "out")
    seen = pd.read_parquet(tmp_path / "out" / "observations.parquet")
    labels: dict[tuple[int, int], int] = {}
    for name in held.ids:
        arrays, box = held.load([name]), held.geobox(name)
        row = round((BOX.affine.f - box.affine.f) / 30)
        column = round((box.affine.c - BOX.affine.c) / 30)
        values = arrays.values[0, :, 0] * 1e4
        rows, columns = np.mgrid[row : row + 32, column : column + 32]
        for date, level in enumerate((3, 4, 5)):
            plane = 1 + rows * 100 + columns + level
            np.testing.assert_allclose(
                values[date][arrays.valid[0, date, 0]], plane[arrays.valid[0, date, 0]], rtol=1e-5
            )
        for y, x in zip(*np.nonzero(arrays.labels[0] != IGNORE), strict=True):
            labels[row + y, column + x] = int(arrays.labels[0, y, x])
    assert labels == {place: label for place, label in zip(PLACES, points["label"], strict=True) if place != (69, 69)}
    assert seen["outcome"].tolist() == ["", "", "in a partial cell", "", "", ""]
    assert seen["y"].tolist()[:2] == [3, 8]


def test_masks_hide_exactly_their_bits_of_each_or_of_any_date(archive: Path, tmp_path: Path) -> None:
    wanted = {"cloud": [(3, 4), (0, 0)], "cloud_shadow": [(y, x) for y in range(5, 9) for x in range(5, 9)] + [(0, 0)]}
    both = ("cloud", "cloud_shadow")
    for types, strategy in ((("cloud",), "each"), (("cloud_shadow",), "any"), (both, "any")):
        out = tmp_path / f"{'_'.join(types)}_{strategy}"
        request = Request(size=32, step_days=31, masks=types, strategy=strategy)
        from_points(archive, at([(20, 2)]), out, request=request)
        valid = chips.open(out).load(chips.open(out).ids).valid[0]
        expected = np.ones((3, 6, 32, 32), bool)
        expected[2, :, 10:12, 20:30] = False  # no data of the latest scene
        for place in {place for name in types for place in wanted[name]}:
            expected[slice(None) if strategy == "any" else 1, :, place[0], place[1]] = False
        np.testing.assert_array_equal(valid, expected)


def test_labels_go_with_the_masks_and_no_chip_is_without_one(archive: Path, tmp_path: Path) -> None:
    one = Request(size=32, step_days=31, masks=("cloud",), strategy="any")
    report = from_points(archive, at([(3, 4), (20, 20), (40, 50)]), tmp_path / "any", request=one)
    held = chips.open(tmp_path / "any")
    assert report.chips == 2
    assert sum(held.class_counts().values()) == 2  # the one under the cloud is gone
    report = from_points(archive, at([(3, 4), (40, 50)]), tmp_path / "less", request=one)
    assert (report.chips, report.counts) == (1, {"chips with no label left under the masks": 1})
    each = Request(size=32, step_days=31, masks=("cloud",), strategy="each")
    assert from_points(archive, at([(3, 4), (40, 50)]), tmp_path / "each", request=each).chips == 2
    for folder in ("any", "less"):
        index = chips.open(tmp_path / folder).index
        assert (index["labelled_share"] > 0).all()
        images = {path.stem for path in (tmp_path / folder / "images").iterdir()}
        assert images == set(index["id"])


def test_a_second_run_writes_nothing(archive: Path, tmp_path: Path) -> None:
    points = pd.concat([at(PLACES), at([(5, 5)], day="2023-01-01")], ignore_index=True)
    first = from_points(archive, points, tmp_path / "out", request=REQUEST)
    assert len(first.failures) == 1
    before = states(tmp_path / "out")
    again = from_points(archive, points, tmp_path / "out", request=REQUEST)
    assert again.made == 0
    assert states(tmp_path / "out") == before
    assert again.table == tmp_path / "out" / "failures.csv"


def test_order_of_points_batches_and_workers_changes_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(size=16, steps=2, step_days=31, masks=("cloud",), window=2)
    random = np.random.default_rng(1)
    points = at([tuple(place) for place in random.integers(0, 40, (9, 2))], labels=random.integers(0, 3, 9).tolist())
    from_points(archive, points, tmp_path / "a", request=request)
    monkeypatch.setattr("swath.chips.archive.run.BATCH", 2)
    from_points(archive, points.sample(frac=1.0, random_state=5), tmp_path / "b", request=request)
    from_points(archive, points, tmp_path / "c", request=request, workers=1)
    first = everything(tmp_path / "a")
    for other in ("b", "c"):
        second = everything(tmp_path / other)
        assert set(first) == set(second)
        assert [name for name in first if first[name] != second[name] and name != "archive.json"] == []
    assert chips.open(tmp_path / "a").fingerprint == chips.open(tmp_path / "c").fingerprint


def test_what_changes_is_made_again_and_what_is_no_longer_wanted_goes(archive: Path, tmp_path: Path) -> None:
    from_points(archive, at(PLACES), tmp_path / "out", request=REQUEST)
    more = from_points(archive, at([*PLACES, (50, 50)]), tmp_path / "out", request=REQUEST)
    assert (more.made, more.chips) == (1, 3)
    less = from_points(archive, at([(3, 4)]), tmp_path / "out", request=REQUEST)
    assert (less.made, less.chips) == (1, 1)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1
    other = from_points(archive, at([(3, 4)]), tmp_path / "out", request=Request(size=32, step_days=31, window=1))
    assert other.made == 1
    assert sum(chips.open(tmp_path / "out").class_counts().values()) == 9
    (path,) = (tmp_path / "out" / "images").iterdir()
    path.unlink()
    assert (
        from_points(archive, at([(3, 4)]), tmp_path / "out", request=Request(size=32, step_days=31, window=1)).made == 1
    )


def test_a_stored_block_is_read_once(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[Any, ...]] = []
    plain = raster.read_window

    def counted(file: Any, bands: Any, rows: Any, columns: Any, *, masks: bool = False) -> Any:
        reads.append((file.path, bands, rows, columns, masks))
        return plain(file, bands, rows, columns, masks=masks)

    monkeypatch.setattr(raster, "read_window", counted)
    places = [(y, x) for y in (3, 20, 40, 60) for x in (3, 20, 40, 60)]
    from_points(archive, at(places), tmp_path / "out", request=Request(size=16, step_days=31, masks=("cloud",)))
    assert len(chips.open(tmp_path / "out")) == 16
    assert len(reads) >= 3 * 7
    assert len(reads) == len(set(reads))


def test_a_damaged_scene_costs_its_chips_and_is_taken_up_when_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "cat"
    days = [hls(folder, f"2024-0{month}-20T10:00:00", level=month) for month in (3, 4, 5, 6)]
    link(folder, days)
    band = days[3].assets["B04"].path
    whole = band.read_bytes()
    band.write_bytes(whole[:200] + b"\0" * (len(whole) - 200))
    points = pd.concat([at([(3, 4), (40, 40)]), at([(3, 4)], day="2024-07-20")], ignore_index=True)
    request = Request(size=32, steps=1, step_days=31)
    report = from_points(folder, points, tmp_path / "out", request=request)
    assert report.chips == 2
    assert len(report.failures) == 1
    assert report.table is not None
    assert "B04.tif" in report.table.read_text()
    band.write_bytes(whole)
    again = from_points(folder, points, tmp_path / "out", request=request)
    assert (again.made, again.chips, again.table) == (1, 3, None)
    days[0].path.write_text("{")  # an item that is no JSON costs nothing here but is told
    hurt = from_points(
        folder, points, tmp_path / "out", request=Request(size=32, steps=1, step_days=31, max_cloud=11.0)
    )
    assert hurt.chips == 3
    assert any("20240320" in row.item for row in hurt.failures)


def test_a_damaged_block_costs_only_the_chips_on_it(tmp_path: Path) -> None:
    """Bytes of one block of one band are lost: chips elsewhere in the same scene are made, whole."""
    wide = GeoBox((1100, 1100), BOX.affine, "EPSG:32633")
    folder = tmp_path / "cat"
    scene = hls(folder, "2024-05-20T10:00:00", box=wide)
    link(folder, [scene])
    band = scene.assets["B04"].path
    with rasterio.open(band) as file:
        assert file.block_shapes[0] == (512, 512)
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    whole = band.read_bytes()
    band.write_bytes(whole[:start] + b"\0" * size + whole[start + size :])
    places = [(40, 40), (500, 500), (900, 40), (900, 900)]  # the second chip reaches into the damaged block
    points = at(places, box=wide)
    request = Request(size=64, steps=1, step_days=31)
    report = from_points(folder, points, tmp_path / "out", request=request)
    assert report.chips == 2 and len(report.failures) == 2
    assert all("B04.tif" in row.reason for row in report.failures)
    held = chips.open(tmp_path / "out")
    assert held.load(held.ids).valid.all()
    band.write_bytes(whole)
    again = from_points(folder, points, tmp_path / "out", request=request)
    assert (again.made, again.chips, again.table) == (2, 4, None)


def test_nothing_found_is_an_error_that_says_what_was_nearest(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"33TXE within 5 days, cloud up to 10 %.*nearest of the tile within a year is s30_2024"
    ):
        from_points(archive, at([(3, 4)], day="2023-07-20"), tmp_path / "out", request=Request(size=32, steps=1))
    with pytest.raises(InputError, match="nor within a year"):
        from_points(archive, at([(3, 4)], day="2010-07-20"), tmp_path / "out", request=Request(size=32, steps=1))
    turned = at([(3, 4)]).rename(columns={"lon": "lat", "lat": "lon"})
    with pytest.raises(InputError, match="with x and y exchanged 1 of 1 observations"):
        from_points(archive, turned, tmp_path / "out", request=REQUEST)
    with pytest.raises(InputError, match="fullest has 6"):
        from_points(archive, at(PLACES), tmp_path / "out", request=Request(size=32, step_days=31, min_count=7))
    assert not (tmp_path / "out").exists()


def test_duplicates_are_counted_and_contradictions_unlabelled(archive: Path, tmp_path: Path) -> None:
    points = at([(3, 4), (3, 4), (8, 8), (8, 8)], labels=[1, 1, 0, 1])
    report = from_points(archive, points, tmp_path / "out", request=REQUEST)
    assert report.counts == {"duplicate": 1}
    held = chips.open(tmp_path / "out")
    labels = held.load(held.ids).labels[0]
    assert labels[3, 4] == 1
    assert labels[8, 8] == IGNORE
    (record,) = (tmp_path / "out" / "records").iterdir()
    assert json.loads(record.read_text())["counts"] == {"clash": 1, "labelled": 1, "masked": 0}


def test_a_folder_of_something_else_is_left_alone(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="no chips from an archive"):
        from_points(archive, at(PLACES), tmp_path / "mine", request=REQUEST)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_quantities_per_pixel(archive: Path, tmp_path: Path) -> None:
    points = at([(3, 4), (9, 9)], labels=[0.25, -3.5])
    from_points(archive, points, tmp_path / "out", request=Request(size=32, step_days=31, task="regression", window=1))
    held = chips.open(tmp_path / "out")
    assert (held.task, held.quantities) == ("pixel_regression", ("value",))
    batch = held.batch(held.ids)
    known = batch.target_valid["value"][0, 0].numpy()
    assert known.sum() == 18
    values = batch.targets["value"][0, 0].numpy()
    assert set(values[known].tolist()) == {0.25, -3.5}
    assert values[3, 4] == 0.25


def test_chips_on_a_grid_of_their_own(archive: Path, tmp_path: Path) -> None:
    places = [(20, 20), (30, 45), (50, 40)]
    request = Request(size=16, step_days=31, crs="EPSG:4326", resolution=0.0003)
    points = at(places, labels=[0, 1, 0])
    from_points(archive, points, tmp_path / "out", request=request)
    held = chips.open(tmp_path / "out")
    assert str(held.scene.crs) == "EPSG:4326"
    assert held.scene.affine.a == pytest.approx(0.0003)
    found = {}
    for name in held.ids:
        arrays, box = held.load([name]), held.geobox(name)
        for y, x in zip(*np.nonzero(arrays.labels[0] != IGNORE), strict=True):
            west, north = box.affine * (x, y)
            inside = points[
                (points["lon"] >= west)
                & (points["lon"] < west + 0.0003)
                & (points["lat"] <= north)
                & (points["lat"] > north - 0.0003)
            ]
            assert len(inside) == 1
            found[int(inside["row"].iloc[0])] = arrays
            row, column = places[int(inside["row"].iloc[0])]
            value = arrays.values[0, 0, 0, y, x] * 1e4
            assert abs(value - (1 + row * 100 + column + 3)) <= 101  # the nearest pixel of the scene
    assert len(found) == 3


def test_scenes_of_two_zones_need_a_grid_to_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "cat"
    other = GeoBox((SIDE, SIDE), Affine(30, 0, 300_000, 0, -30, 4_500_000), "EPSG:32634")
    link(folder, [hls(folder, "2024-05-20", name="a"), hls(folder, "2024-05-20", name="b", box=other)])
    points = pd.concat([at([(3, 4)]), at([(3, 4)], box=other)], ignore_index=True)
    with pytest.raises(InputError, match="2 grids: EPSG:32633 at 30, EPSG:32634 at 30"):
        from_points(folder, points, tmp_path / "out", request=Request(size=16, steps=1, step_days=31))
    named = Request(size=16, steps=1, step_days=31, crs="EPSG:4326", resolution=0.0003)
    assert from_points(folder, points, tmp_path / "out", request=named).chips == 2


def test_boxes_become_whole_chips_without_labels(archive: Path, tmp_path: Path) -> None:
    west, south, east, north = (16.19, 40.632, 16.20, 40.64)
    report = from_boxes(
        archive, [(west, south, east, north)], "2024-06-20", tmp_path / "out", request=Request(size=16, step_days=31)
    )
    held = chips.open(tmp_path / "out")
    assert report.chips == len(held) >= 4
    assert sum(held.class_counts().values()) == 0
    assert held.index.geometry.union_all().contains(held.index.geometry.iloc[0].centroid)
    from shapely.geometry import box

    assert held.index.geometry.union_all().buffer(1e-6).covers(box(west, south, east, north))
    with pytest.raises(InputError, match="at most 3 chips"):
        from_boxes(
            archive,
            [(west, south, east, north)],
            "2024-06-20",
            tmp_path / "b",
            request=Request(size=16, step_days=31),
            most=3,
        )
    with pytest.raises(InputError, match="no place on Earth"):
        from_boxes(archive, [(west, south, 190.0, north)], "2024-06-20", tmp_path / "b", request=REQUEST)
    with pytest.raises(InputError, match="'yesterday'"):
        from_boxes(archive, [(west, south, east, north)], "yesterday", tmp_path / "b", request=REQUEST)
