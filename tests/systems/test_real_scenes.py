"""Real input of the user's kind: scenes with polygons, an HLS chip, a flood chip."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import geopandas
import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from swath import cubes, learn, sensors, systems
from swath.errors import ConfigError, InputError, MissingError
from swath.serve import read_layers
from swath.sources.published import hls, rstoolbox, sen1floods11
from swath.sources.published.common import one_cube
from swath.systems.eo import rstoolbox_polygons, sen1floods11_halves
from swath.types import Report

SYSTEMS = (rstoolbox_polygons, sen1floods11_halves)


@pytest.fixture
def real_data() -> Path:
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])


def maps_of(report: Report) -> list[Path]:
    """The class maps, after a check of each: a valid COG with names, colours and a QGIS style."""
    for path in report.files.values():
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (path, errors, warnings)
        assert "paletteEntry" in path.with_suffix(".qml").read_text()
        with rasterio.open(path) as raster:
            assert raster.nodata == 255
            assert raster.colormap(1)[0] != (0, 0, 0, 255)
    return list(report.files.values())


def check_products(module: ModuleType, report: Report, out: Path) -> None:
    """What every run must leave, whatever the data."""
    maps = maps_of(report)
    assert {row.backbone for row in report.rows} == {"unet", "random_forest", "majority"}
    assert {row.data_kind for row in report.rows} == {report.data}
    accuracies = [row for row in report.rows if row.metric == "accuracy"]
    assert len(accuracies) == len(maps)
    assert all(row.ci_low <= row.value <= row.ci_high for row in accuracies)
    assert {"iou", "miou"} <= {row.metric for row in report.rows}
    content = json.loads((out / "report.json").read_text())
    assert (content["system"], content["data"]) == (module.SLUG, report.data)
    assert report.data in (out / "report.html").read_text()
    folders = {path.parent for path in maps}
    for folder in folders:
        layers = read_layers(folder).layers
        (base,) = [layer for layer in layers if layer.role == "basemap"]
        assert cog_validate(folder / base.path, strict=True)[0]
        assert all(layer.data == ("real" if report.data == "real" else "simulated") for layer in layers)
        assert [layer.id for layer in layers if layer.visible and layer.role == "overlay"] == [layers[0].id]


@pytest.mark.parametrize("module", SYSTEMS)
def test_without_the_data_quick_runs_on_a_miniature_and_says_so(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    report = module.run(module.Config.quick(), tmp_path)
    assert report.data == "fixture"
    assert "made-up miniature" in report.notes[0]
    check_products(module, report, tmp_path)


@pytest.mark.parametrize("module", SYSTEMS)
def test_without_the_data_a_full_run_says_what_to_set(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    with pytest.raises(MissingError, match="SWATH_DATA is not set"):
        module.run(module.Config(), tmp_path / "run")
    monkeypatch.setenv("SWATH_DATA", str(tmp_path / "empty"))
    with pytest.raises(MissingError, match="There is no directory"):
        module.run(module.Config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="Nothing is registered"):
        module.evidence(tmp_path)


def test_both_are_listed() -> None:
    rows = {row["slug"]: row for row in systems.table()}
    for module in SYSTEMS:
        assert (rows[module.SLUG]["tier"], rows[module.SLUG]["data"]) == ("supported", "real")


def test_the_real_amazon_scenes_end_in_maps(real_data: Path, tmp_path: Path) -> None:
    report = rstoolbox_polygons.run(rstoolbox_polygons.Config.quick(), tmp_path)
    assert report.data == "real"
    check_products(rstoolbox_polygons, report, tmp_path)
    accuracy = {(r.dataset, r.backbone): r.value for r in report.rows if r.metric == "accuracy"}
    assert accuracy["rstoolbox sen2", "random_forest"] > 0.9
    assert accuracy["rstoolbox lsat", "random_forest"] > 0.9


def test_the_real_flood_chip_ends_in_maps_of_one_half(real_data: Path, tmp_path: Path) -> None:
    report = sen1floods11_halves.run(sen1floods11_halves.Config.quick(), tmp_path)
    assert report.data == "real"
    check_products(sen1floods11_halves, report, tmp_path)
    assert {len(row.bands.split(",")) for row in report.rows} == {2, 13, 15}
    accuracy = {(r.modality_deployed, r.backbone): r.value for r in report.rows if r.metric == "accuracy"}
    assert accuracy["S1+S2", "random_forest"] > accuracy["S1+S2", "majority"] + 0.1
    with rasterio.open(report.files["S1+S2: unet"]) as raster:
        assert raster.shape == (512, 252)


def test_the_real_hls_chip_serves_prithvi(real_data: Path) -> None:
    (chip,) = hls.open(real_data / "hls_chip")
    scene = chip.scene()
    (row,) = cubes.summary(scene)
    assert (row["size"], row["crs"]) == ("224 x 224", "EPSG:32614")
    wanted = sensors.load(hls.SENSOR).bands.select(hls.PRITHVI_BANDS)
    match = cubes.bands_of(one_cube(scene)).match(wanted)
    assert match.missing == ()
    cube = cubes.to_physical(cubes.to_cube(scene, bands=wanted)).compute()
    assert tuple(cube["band"].values) == hls.PRITHVI_BANDS
    values, valid = cube["data"].values[0], np.broadcast_to(cube["valid"].values[0], (6, 224, 224))
    means = np.array([band[mask].mean() for band, mask in zip(values, valid, strict=True)])
    deviations = np.array([band[mask].std() for band, mask in zip(values, valid, strict=True)])
    assert ((means > 0.02) & (means < 0.5)).all()
    assert ((deviations > 0.005) & (deviations < 0.2)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_polygons_are_split_whole_and_by_class(tmp_path: Path, seed: int) -> None:
    place = rstoolbox.open(rstoolbox.write_fake(tmp_path))[0]
    table, numbers = place.polygons(), place.polygon_numbers().values
    split = rstoolbox_polygons.split_polygons(table, numbers, test_share=0.5, seed=seed)
    assert split.counts() == {"test": 4, "train": 4}
    for name in ("train", "test"):
        assert sorted(table["class"][[int(each) for each in split.ids(name)]]) == sorted(place.legend.names)
    again = rstoolbox_polygons.split_polygons(table, numbers, test_share=0.5, seed=seed)
    assert split.hash == again.hash
    all_but_one = rstoolbox_polygons.split_polygons(table, numbers, test_share=0.99, seed=seed)
    assert all_but_one.counts() == {"test": 4, "train": 4}


def test_another_seed_draws_other_polygons(tmp_path: Path) -> None:
    place = rstoolbox.open(rstoolbox.write_fake(tmp_path))[0]
    table, numbers = place.polygons(), place.polygon_numbers().values
    splits = {rstoolbox_polygons.split_polygons(table, numbers, test_share=0.5, seed=seed).hash for seed in range(6)}
    assert len(splits) > 1


def test_a_class_with_one_polygon_is_refused() -> None:
    table = geopandas.GeoDataFrame({"class": ["water", "forest", "forest"]}, geometry=[None] * 3, crs="EPSG:4326")
    numbers = np.array([[0, 1, 2, -1]])
    with pytest.raises(InputError, match="'water' has 1 polygon"):
        rstoolbox_polygons.split_polygons(table, numbers, test_share=0.5, seed=0)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (31, 17)])
def test_halves_leave_exactly_the_strip_between(shape: tuple[int, int], side: str) -> None:
    halves = sen1floods11_halves.cut_in_halves(shape, side, 5, 4)  # type: ignore[arg-type]
    seen = np.zeros(shape, int)
    seen[halves.train] += 1
    seen[halves.test] += 2
    assert set(np.unique(seen)) == {0, 1, 2}
    along = 1 if side in ("left", "right") else 0
    assert (seen == 0).sum() == 5 * shape[1 - along]
    first = np.take(seen, 0, axis=along)
    assert (first == (1 if side in ("left", "top") else 2)).all()


def test_a_strip_that_leaves_no_room_is_refused() -> None:
    for buffer in (26, 32, 40):
        with pytest.raises(ConfigError, match=f"beside a strip of {buffer}"):
            sen1floods11_halves.cut_in_halves((32, 32), "left", buffer, 4)


def test_blocks_number_every_pixel_once() -> None:
    blocks = sen1floods11_halves.block_numbers((5, 7), 3)
    assert blocks.shape == (5, 7)
    assert np.unique(blocks).tolist() == list(range(6))
    assert blocks[4, 6] == 5
    assert (blocks[:3, :3] == 0).all()


def test_the_stack_holds_the_bands_of_both(tmp_path: Path) -> None:
    chip = sen1floods11.open(sen1floods11.write_fake(tmp_path))[-1]
    scenes = sen1floods11_halves.inputs_of(chip)
    both = scenes["S1+S2"]
    assert tuple(both["band"].values) == (*sen1floods11.RADAR_BANDS, *sen1floods11.OPTICAL_BANDS)
    np.testing.assert_array_equal(both["data"].values[:, 2:], scenes["S2"]["data"].values)
    assert cubes.bands_of(both)[0].kind == "backscatter"
    assert not both["valid"].values[0, 0, 0, 0]  # NaN in the radar
    assert both["valid"].values[0, 2, 0, 0]
    cubes.check_physical(both)
    with pytest.raises(InputError, match="different grids"):
        sen1floods11_halves.stack(scenes["S1"].isel(x=slice(4, None)), scenes["S2"])


def test_an_unknown_chip_is_told_with_the_nearest(tmp_path: Path) -> None:
    known = sen1floods11.open(sen1floods11.write_fake(tmp_path))
    assert sen1floods11_halves.choose(known, "Spain_7370580").id == "Spain_7370580"
    with pytest.raises(InputError, match="Spain_7370579"):
        sen1floods11_halves.choose(known, "Spain_737057")


def test_training_pixels_do_not_touch_the_scored_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    config = sen1floods11_halves.Config.quick().model_copy(update={"inputs": ("S2",)})
    sen1floods11_halves.run(config, tmp_path)
    from swath import chips

    for folder in ("chips", "pixels"):
        chipset = chips.open(tmp_path / "s2" / folder)
        assert chipset.scene.shape.x == (32 - config.buffer) // 2
    assert learn.load_checkpoint(tmp_path / "s2" / "model" / "last").classes == ("dry", "water")
