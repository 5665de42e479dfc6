"""After chips were made from an archive: label rasters, the published layout, cleaning, statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from archive_makers import CLOUD, SIDE, at, hls, label, link

from swath import chips, cubes
from swath.chips.archive import Request, from_boxes, from_points, from_rasters, read_records
from swath.chips.archive.clean import Rules, clean
from swath.chips.archive.published import write_published
from swath.cubes import Legend, catalogue
from swath.errors import ConfigError, InputError
from swath.sources.published import instageo
from swath.types import IGNORE, Split

REQUEST = Request(size=32, steps=2, step_days=31, masks=("cloud",), window=1)
CLASSES = Legend.of("dry", "wet")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    cloudy = np.zeros((SIDE, SIDE), np.uint8)
    cloudy[40:64, 32:64] = CLOUD
    return link(folder, [
        hls(folder, "2024-04-20T10:30:00", level=-5, sensor="hls_l30", fmask=cloudy),
        hls(folder, "2024-05-20T10:30:00", level=5, holes=(slice(10, 12), slice(20, 30))),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def made(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    from_points(archive, at([(3, 4), (20, 20), (34, 40), (10, 25)]), out, request=REQUEST)
    return out


def test_the_published_layout_says_the_same_as_the_chip_set(made: Path, tmp_path: Path) -> None:
    told = write_published(made, tmp_path / "out")
    held = chips.open(made)
    assert told.chips == len(held) == 2
    found = instageo.open(tmp_path / "out")
    assert instageo.check(tmp_path / "out") == []
    assert [chip.id.rsplit("_", 2)[1:] for chip in found] == [["0", "0"], ["1", "1"]]
    for name, chip in zip(held.ids, found, strict=True):
        assert name.startswith(chip.id)
        arrays, cube = held.load([name]), chip.cube()
        valid = cube["valid"].values[::-1]  # the latest first there, the oldest first here
        np.testing.assert_array_equal(valid, arrays.valid[0])
        values = cubes.to_physical(cube)["data"].values[::-1]
        np.testing.assert_allclose(values[valid], np.maximum(arrays.values[0], 1e-4)[valid], atol=1e-6)
        labels = chip.labels()
        assert labels is not None
        np.testing.assert_array_equal(labels.values, arrays.labels[0])
        with rasterio.open(chip.image) as file:
            assert file.descriptions[:2] == ("blue_0", "green_0")
            assert file.descriptions[6] == "blue_1"
            assert (file.dtypes[0], file.nodata) == ("uint16", 0)
            assert file.transform == held.geobox(name).affine
    assert told.moved == 5  # stored numbers below 1: row 0, columns 0 to 4, of blue in the older scene
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tif")}
    write_published(made, tmp_path / "out")
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tif")}
    with pytest.raises(InputError, match="no chips from an archive"):
        write_published(tmp_path, tmp_path / "b")


def test_boxes_have_no_seg_maps(archive: Path, tmp_path: Path) -> None:
    from_boxes(
        archive,
        [(16.19, 40.636, 16.195, 40.64)],
        "2024-06-20",
        tmp_path / "a",
        request=Request(size=16, steps=1, step_days=31),
    )
    write_published(tmp_path / "a", tmp_path / "a")
    assert not (tmp_path / "a" / "seg_maps").exists()
    assert list(pd.read_csv(tmp_path / "a" / instageo.TABLE, index_col=0)) == ["Input"]
    assert all(chip.labels() is None for chip in instageo.open(tmp_path / "a"))


def test_label_rasters_keep_their_pixels(archive: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    truth = random.integers(-1, 2, (32, 32))
    names = [
        label(tmp_path / "labels" / "here_label.tif", truth, (600_000.0, 4_500_000.0)),
        label(tmp_path / "labels" / "off.tif", truth, (600_609.0, 4_499_700.0)),  # 0.3 of a pixel to the right
        label(tmp_path / "labels" / "small.tif", truth[:16], (600_000.0, 4_500_000.0)),
        label(tmp_path / "labels" / "fine.tif", truth, (600_000.0, 4_500_000.0), step=20.0),
        label(tmp_path / "labels" / "three.tif", np.full((32, 32), 3), (600_000.0, 4_500_000.0)),
        label(tmp_path / "labels" / "far.tif", truth, (700_000.0, 4_500_000.0)),
        "absent.tif",
    ]
    pd.DataFrame({"label_filename": names, "date": "2024-06-20"}).to_csv(tmp_path / "records.csv")
    records = read_records(tmp_path / "records.csv", tmp_path / "labels")
    request = Request(size=32, steps=2, step_days=31)
    pick = {"request": request, "legend": CLASSES}
    report = from_rasters(archive, records[~records["path"].str.contains("fine")], tmp_path / "out", **pick)
    assert report.chips == 2
    said = " ".join(f"{row.item}: {row.reason}" for row in report.failures)
    for part in (
        "16 x 32 pixels",
        "three.tif' holds the value 3 in 1024 pixels",
        "absent.tif",
        "no scene of hls covers",
    ):
        assert part in said
    assert len(report.failures) == 4
    held = chips.open(tmp_path / "out")
    here, off = (held.load([name]) for name in sorted(held.ids))
    valid = here.valid[0].any(axis=(0, 1))  # the strategy is 'each'
    np.testing.assert_array_equal(here.labels[0], np.where(valid & (truth >= 0), truth, IGNORE))
    assert here.values[0, 1, 0, 0, 0] * 1e4 == pytest.approx(6)
    assert off.values[0, 1, 0, 2, 0] * 1e4 == pytest.approx(1 + 12 * 100 + 20 + 5)
    again = from_rasters(archive, records[~records["path"].str.contains("fine")], tmp_path / "out", **pick)
    assert again.made == 0
    drift = from_rasters(archive, records[records["path"].str.contains("fine|here")], tmp_path / "b", **pick)
    assert drift.chips == 1
    assert len(drift.failures) == 1
    assert "Its pixels are" in drift.failures.rows[0].reason
    with pytest.raises(ConfigError, match="classes"):
        from_rasters(archive, records, tmp_path / "c", request=request)
    with pytest.raises(InputError, match="None of 1 label rasters"):
        from_rasters(archive, records.tail(1), tmp_path / "c", **pick)


def test_cleaning_drops_by_share_of_any_or_all(made: Path, tmp_path: Path) -> None:
    held = chips.open(made)
    valid = held.load(held.ids).valid
    lost_any = 1 - valid.all(axis=(1, 2)).mean(axis=(1, 2))
    assert lost_any[1] > 0.5 > lost_any[0]
    kept = clean(held, tmp_path / "any", Rules(max_invalid=0.5, invalid="any"))
    assert (kept.chips.ids, kept.invalid) == (held.ids[:1], (held.ids[1],))
    assert clean(held, tmp_path / "all", Rules(max_invalid=0.5, invalid="all")).chips.ids == held.ids
    same = clean(held, tmp_path / "same", Rules(max_invalid=1.0))
    assert same.chips.fingerprint == held.fingerprint
    np.testing.assert_array_equal(same.chips.load(held.ids).values, held.load(held.ids).values)
    with pytest.raises(InputError, match="None of 2 chips is left"):
        clean(held, tmp_path / "none", Rules(max_invalid=0.0))
    assert not (tmp_path / "none").exists()


def test_windows_are_widened_and_narrowed(made: Path, tmp_path: Path) -> None:
    held = chips.open(made)
    before = held.load(held.ids).labels
    assert (before[0] != IGNORE).sum() == 27
    limited = clean(held, tmp_path / "limit", Rules(max_invalid=1.0, labels="limit")).chips
    after = limited.load(held.ids).labels
    assert sorted(zip(*np.nonzero(after[0] != IGNORE), strict=True)) == [(3, 4), (10, 25), (20, 20)]
    assert limited.fingerprint != held.fingerprint
    wide = clean(limited, tmp_path / "wide", Rules(max_invalid=1.0, labels="buffer", window=2)).chips
    labels = wide.load(held.ids).labels[0]
    assert (labels != IGNORE).sum() == 75 - 10  # two rows of the third window lack data at one date
    assert wide.class_counts([held.ids[0]]) == {"class 0": 25, "class 1": 40}
    for options in ({"labels": "buffer"}, {"window": 2}, {"max_invalid": 2.0}, {"invalid": "some"}):
        with pytest.raises(ConfigError):
            Rules(**options)
    with pytest.raises(InputError, match="observations"):
        clean(limited, tmp_path / "again", Rules(max_invalid=1.0, labels="limit"))


def test_statistics_are_exact_over_valid_pixels_of_train_alone(made: Path) -> None:
    held = chips.open(made)
    table = pd.DataFrame({"id": held.ids, "split": ["train", "test"], "group": ["a", "b"], "fold": 0})
    for split in (table, table.assign(split="train", group="a")):
        found = chips.statistics(held, Split(split))
        arrays = held.load(split["id"][split["split"] == "train"].tolist())
        for band in range(6):
            numbers = arrays.values[:, :, band][arrays.valid[:, :, band]].astype(np.float64)
            assert found.mean[band] == pytest.approx(numbers.mean(), rel=1e-9)
            assert found.std[band] == pytest.approx(numbers.std(), rel=1e-9)
            assert found.count[band] == len(numbers)
    far = np.concatenate([np.zeros(4), np.ones(4)])  # between-chip variance alone: the mean of stds would be 0
    assert far.std() == 0.5


@pytest.mark.skipif(not os.environ.get("SWATH_DATA"), reason="SWATH_DATA is not set: no Sen1Floods11 sample")
def test_a_real_label_raster_of_sen1floods11(tmp_path: Path) -> None:
    from swath.sources.published import sen1floods11

    root = Path(os.environ["SWATH_DATA"]) / "sen1floods11_sample"
    chip = sen1floods11.open(root)[0]
    scene = _s2_scene(chip)
    folder = tmp_path / "cat"
    link(folder, [catalogue.write_item(folder, "s2", "flood", scene, time=np.datetime64("2018-05-02T10:00:00", "ns"))])
    truth = chip.labels()
    path = tmp_path / "labels" / "real.tif"
    path.parent.mkdir()
    values = np.where(truth.values == IGNORE, -1, truth.values)
    box = cubes.geobox_of(next(iter(cubes.nodes_of(scene).values())))
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=512, width=512, dtype="int16", crs=str(box.crs),
        transform=box.affine, nodata=-1,
    ) as file:  # fmt: skip
        file.write(values.astype(np.int16), 1)
    records = pd.DataFrame(
        {"row": [0], "path": [str(path)], "when": np.array(["2018-05-02"], "datetime64[ns]"), "timed": False}
    )
    request = Request(source="s2", size=512, time_series=False, tolerance_days=2.0, max_cloud=100.0)
    report = from_rasters(folder, records, tmp_path / "out", request=request, legend=CLASSES, check=False)
    assert report.chips == 1
    held = chips.open(tmp_path / "out")
    arrays = held.load(held.ids)
    first = next(iter(cubes.nodes_of(scene).values()))
    known = first["valid"].values[0] if first["valid"].ndim == 3 else first["valid"].values[0].all(axis=0)
    stored = cubes.to_physical(first)["data"].values[0]
    np.testing.assert_array_equal(arrays.values[0, 0][:, known], stored[:, known])
    np.testing.assert_array_equal(np.where(known, truth.values, IGNORE), np.where(known, arrays.labels[0], IGNORE))


def _s2_scene(chip: Any) -> Any:
    """Six bands of a Sen1Floods11 chip as a scene that a catalogue can hold; they go by Level-2A names for the path."""
    import xarray as xr

    cube = cubes.to_cube(chip.optical(), bands=["B02", "B03", "B04", "B8A", "B11", "B12"])
    attrs = {"sensor": "sentinel2_l2a", "level": "L2A", "cloud_cover": 0.0}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "grid": cube.assign_attrs(attrs)})
