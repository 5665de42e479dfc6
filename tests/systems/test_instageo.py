"""InstaGeo's chain: the archive of floods, its label rasters, splits by place, shares that are kept, whole scenes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips import ChipSet
from swath.errors import InputError
from swath.judge import load_registration
from swath.learn.reproduce import repeatable
from swath.sources.published.common import write_raster
from swath.sources.published.sen1floods11 import NAME as REAL
from swath.systems.eo import _instageo_archive as archives
from swath.systems.eo import _instageo_chips as cutting
from swath.systems.eo import _instageo_deploy as deploying
from swath.systems.eo import _instageo_real as real
from swath.systems.eo import instageo
from swath.systems.eo._instageo_archive import ArchiveOptions, FloodArchive
from swath.systems.eo._instageo_models import Class
from swath.types import ResultRow

OPTIONS = ArchiveOptions(tiles=3, side=192, label_side=32, wet=2, dry=1, sensors=archives.SENSORS[:1], made_up=True)
BOX = GeoBox((192, 192), Affine(10, 0, 600_000, 0, -10, 4_200_000), "EPSG:32630")
BASE = ResultRow(run_id="test", system="instageo")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> FloodArchive:
    return archives.prepared(OPTIONS, tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def chipset(archive: FloodArchive) -> ChipSet:
    return cutting.cut(archive, "s1")


def test_options_and_their_order_of_floods_are_in_the_name_of_an_archive() -> None:
    assert OPTIONS.hash() == ArchiveOptions(**vars(OPTIONS)).hash()
    others = [
        ArchiveOptions(**{**vars(OPTIONS), name: value}) for name, value in (("tiles", 2), ("apart", 12), ("wet", 3))
    ]
    assert len({OPTIONS.hash(), *(other.hash() for other in others)}) == 4


def test_three_dates_lie_evenly_around_the_flood() -> None:
    before, during, after = archives.FLOODS[0].days(24)
    assert str(during) == archives.FLOODS[0].day
    assert during - before == after - during == np.timedelta64(24, "D")


def test_label_rasters_say_what_the_truth_says_under_the_middle_of_each_pixel(archive: FloodArchive) -> None:
    from pyproj import Transformer

    names = sorted(archive.records()["label_filename"])
    assert names == sorted(path.name for path in archive.labels.iterdir())
    number, phase, *_ = (int(part) for part in names[0].removesuffix(".tif").split("_"))
    day = archives.FLOODS[number].days(OPTIONS.apart)[phase]
    scenes = archive.scenes / f"tile_{number}"
    water = archives.truth_of(scenes, archives.FLOODS[number], day)
    with (
        rasterio.open(next(scenes.glob("truth/*/open_water.tif"))) as truth,
        rasterio.open(archive.labels / names[0]) as own,
    ):
        to = Transformer.from_crs(own.crs, truth.crs, always_xy=True)
        for row, column in ((0, 0), (5, 17), (31, 31)):
            y, x = truth.index(*to.transform(*own.xy(row, column)))
            assert own.read(1)[row, column] == water[y, x]


def test_cells_at_the_edge_are_left_out_and_the_draw_is_fixed() -> None:
    water = np.zeros((192, 192), bool)
    water[:, :96] = True
    water[:, 96:112] = True
    chosen = archives.chosen_cells(water, OPTIONS, (0, 0))
    assert chosen == archives.chosen_cells(water, OPTIONS, (0, 0)) == sorted(chosen)
    assert len(chosen) == OPTIONS.wet + OPTIONS.dry
    assert all(32 <= top < 160 and 32 <= left < 160 for top, left in chosen)
    assert archives.chosen_cells(np.zeros((192, 192), bool), OPTIONS, (0, 0)) != []
    assert archives.chosen_cells(np.ones((192, 192), bool), OPTIONS, (0, 0)) == []


def test_grids_of_labels_lie_on_one_global_lattice() -> None:
    for corner in ((32, 32), (64, 128)):
        grid = archives.label_grid(BOX, *corner, 32)
        steps = np.array([grid.affine.c, grid.affine.f]) / archives.DEGREES
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    beyond = archives.label_grid(BOX, -640, -640, 32)
    assert (archives.sampled(np.ones((192, 192), bool), BOX, beyond) == archives.NO_LABEL).all()


def test_an_archive_is_not_made_twice(archive: FloodArchive) -> None:
    before = {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*") if path.is_file()}
    again = archives.prepared(OPTIONS, archive.folder.parent)
    assert again.folder == archive.folder
    assert before == {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*") if path.is_file()}


def test_mixed_labels_are_the_same_ones_elsewhere(archive: FloodArchive, chipset: ChipSet) -> None:
    mixed = cutting.cut(archive, "s1", mixed=True)
    assert chipset.ids == mixed.ids
    assert chipset.class_counts() == mixed.class_counts()
    ours, theirs = chipset.load(chipset.ids), mixed.load(mixed.ids)
    np.testing.assert_array_equal(ours.values, theirs.values)
    assert (ours.labels != theirs.labels).any()


@pytest.mark.parametrize("seed", range(10))
def test_places_of_the_test_are_a_third_and_whole(chipset: ChipSet, seed: int) -> None:
    part = cutting.split(chipset, seed)
    tested = {cutting.tile_of_chip(name) for name in part.ids("test")}
    assert len(tested) == 1
    assert not tested & {cutting.tile_of_chip(name) for name in part.ids("train") + part.ids("validation")}
    assert len(part.ids("test")) == sum(cutting.tile_of_chip(name) in tested for name in chipset.ids)
    assert chips.leak_check(chipset, part, contents=False) == []


def test_damaged_scenes_end_the_run_with_what_to_do(archive: FloodArchive, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    shutil.copytree(archive.folder, folder)
    shutil.rmtree(folder / "chips_s1", ignore_errors=True)
    for path in (folder / "scenes" / "tile_1").glob("sentinel1_grd/*/VV.tif"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="chips could not be cut"):
        cutting.cut(FloodArchive(folder, archive.hash, OPTIONS), "s1")


def test_kept_is_a_share_of_the_teacher() -> None:
    rows = instageo.score_rows({"teacher": 0.8, "student": 0.78, "forest": 0.7}, BASE)
    found = {(row.metric, row.backbone): row.value for row in rows}
    assert found["kept", "student"] == pytest.approx(0.975)
    assert found["kept", "limit"] == instageo.KEPT
    assert found["miou", "teacher_less_a_point"] == pytest.approx(0.79)


def test_whole_scenes_are_scored_where_the_map_says_something(tmp_path: Path) -> None:
    truth = np.array([[1, 1, 0, 0]], bool)
    made = np.array([[[1, 0, 0, 255]]], np.uint8)
    write_raster(tmp_path / "map.tif", made, BOX.affine, "EPSG:32630", nodata=255)
    assert deploying.scene_iou(tmp_path / "map.tif", truth) == pytest.approx((1 / 2 + 1 / 2) / 2)
    write_raster(tmp_path / "all.tif", truth[None].astype(np.uint8), BOX.affine, "EPSG:32630", nodata=255)
    assert deploying.scene_iou(tmp_path / "all.tif", truth) == 1.0


def test_real_data_are_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    assert real.folder_of(None) is None
    assert real.folder_of(tmp_path) is None
    (tmp_path / f"{REAL}_sample").mkdir()
    assert real.folder_of(tmp_path) == tmp_path / real.FOLDER


def test_registered_contenders_are_measured() -> None:
    names = {
        "teacher",
        "student",
        "copied",
        "untaught",
        "student_1",
        "student_4",
        "small",
        "small_untaught",
        "small_int8",
    }
    names |= {"mistaught", "forest", "limit", "teacher_less_a_point"}
    claims = load_registration(Path(__file__).parents[2] / "claims" / "instageo.toml")
    assert {claim.contender for claim in claims} | {claim.baseline for claim in claims} <= names
    assert {claim.metric for claim in claims} == {"miou", "kept", "speed"}
    assert all(len(claim.seeds) == 10 and claim.data_hash == "ab606ee3d4ad" for claim in claims)


def test_several_processes_train_the_same_networks(chipset: ChipSet, tmp_path: Path) -> None:
    networks = instageo.Config.quick().networks
    part, names = cutting.split(chipset, 0), ["untaught", "small_untaught"]
    here, there = (Class(networks, chipset, chipset, part, tmp_path / place, 0) for place in ("here", "there"))
    there._ahead(names, 2)
    for name in names:
        with repeatable(1):
            here.trained(name, here.lessons()[name])
        wanted = (tmp_path / "here" / name / "last" / "model.safetensors").read_bytes()
        assert (tmp_path / "there" / name / "last" / "model.safetensors").read_bytes() == wanted


def test_a_network_that_cannot_be_trained_is_named(chipset: ChipSet, tmp_path: Path) -> None:
    networks = instageo.Config.quick().networks
    everybody = Class(networks, chipset, chipset, cutting.split(chipset, 0), tmp_path, 0)
    (tmp_path / "untaught").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="network untaught could not be trained"):
        everybody._ahead(["untaught"], 0)
