"""Prediction of whole scenes: equal to a whole-image pass, true to no-data, atomic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.env import get_gdal_config
from torch import Tensor
from torch.nn import functional as F

from swath import cubes
from swath.errors import ConfigError, ContractError, InputError
from swath.predict import check_request, predict_scene
from swath.predict.fields import groups_of, most_probable
from swath.predict.inputs import SceneInputs
from swath.predict.report import window_area_m2
from swath.predict.sweep import Sweep, Tally
from swath.predict.tiles import Axis, Plan
from swath.sensors import BandSet
from swath.types import Batch, Prediction

SETTINGS = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
KERNEL = torch.linspace(-1, 1, 27).reshape(1, 3, 3, 3)
Make = Callable[..., Any]


def steps(rng: np.random.Generator, height: int, width: int, bands: int = 3) -> np.ndarray:
    """Values on a coarse scale, so that no rounding can swap two classes."""
    return rng.integers(0, 40, (bands, height, width)).astype(np.float32) / 8


def pixelwise(batch: Batch) -> Tensor:
    """Logits = the values of the first date."""
    return batch.inputs["optical"].values[:, 0]


def convolved(batch: Batch) -> Tensor:
    """A 3 x 3 convolution of all bands to one quantity, zeros outside the tile."""
    return F.conv2d(pixelwise(batch), KERNEL, padding=1)


def placed(batch: Batch) -> Tensor:
    """Something that depends on the position in the tile and on the place on Earth: not shift-equivariant."""
    values = pixelwise(batch)
    side = values.shape[-1]
    ramp = torch.linspace(0, 1, side)
    return (
        values.sum(dim=1, keepdim=True) + ramp[:, None] * 3 + ramp**2 + batch.inputs["optical"].lonlat().sum(1)[:, None]
    )


def in_memory(
    predictor: Any,
    cube: Any,
    *,
    tile: int,
    overlap: int,
    block: tuple[int, int],
    batch_size: int = 3,
    strict: bool = True,
    wrap: bool = False,
) -> tuple[np.ndarray, np.ndarray, Tally]:
    """Blended fields (K, y, x) and validity of a whole scene, without files."""
    inputs = SceneInputs(cube, predictor.inputs)
    height, width = inputs.geobox.shape
    plan = Plan(Axis(height, tile, overlap), Axis(width, tile, overlap, wrap), *block)
    groups = tuple(groups_of(predictor).values())
    fields = sum(len(group.bands) for group in groups)
    out, valid, tally = np.full((fields, height, width), np.nan), np.zeros((height, width), dtype=bool), Tally()
    for done in Sweep(predictor, inputs, plan, groups, batch_size, strict, 10**8).run(tally, lambda tiles: None):
        here = (slice(*done.block.rows), slice(*done.block.columns))
        valid[here] = done.valid
        if done.fields is not None:
            out[:, *here] = np.where(done.valid, done.fields.values, np.nan)
    return out, valid, tally


@st.composite
def layouts(draw: st.DrawFn, least_tile: int = 1, least_overlap: int = 0) -> dict[str, Any]:
    """Scenes of up to about four tiles on a side, smaller than a tile and odd ones among them."""
    tile = draw(st.integers(least_tile, 16))
    return {
        "height": draw(st.integers(1, 4 * tile + 3)),
        "width": draw(st.integers(1, 4 * tile + 3)),
        "tile": tile,
        "overlap": draw(st.integers(least_overlap, tile // 2)),
        "block": draw(st.tuples(*2 * [st.integers(1 + tile // 2, 60)])),
        "batch_size": draw(st.integers(1, 5)),
        "seed": draw(st.integers(0, 99)),
    }


def split(layout: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(layout["seed"])
    values = steps(rng, layout["height"], layout["width"])
    return values, {name: layout[name] for name in ("tile", "overlap", "block", "batch_size")}


@SETTINGS
@given(layout=layouts())
def test_a_pixelwise_model_gives_what_a_whole_image_pass_gives(layout: dict[str, Any], make: Make, fake: Make) -> None:
    values, options = split(layout)
    valid = np.random.default_rng(1).random(values.shape[1:]) > 0.3
    fields, known, tally = in_memory(fake(pixelwise), make(values, valid), **options)
    np.testing.assert_array_equal(known, valid)
    whole = torch.from_numpy(values).softmax(dim=0).numpy()
    np.testing.assert_array_equal(fields.argmax(axis=0)[valid], values.argmax(axis=0)[valid])
    np.testing.assert_allclose(fields[:, valid], whole[:, valid], atol=1e-6)
    assert tally.predicted + tally.skipped >= Axis(values.shape[1], options["tile"], options["overlap"]).count


@SETTINGS
@given(layout=layouts(least_tile=8, least_overlap=4))
def test_a_convolution_gives_what_a_whole_image_pass_gives(layout: dict[str, Any], make: Make, fake: Make) -> None:
    # An overlap of 4 leaves a margin of 1 pixel, the reach of the kernel, so equality holds up to the scene's border.
    values, options = split(layout)
    valid = np.random.default_rng(1).random(values.shape[1:]) > 0.2
    predictor = fake(convolved, "pixel_regression", ())
    fields, known, _ = in_memory(predictor, make(values, valid), **options)
    whole = F.conv2d(torch.from_numpy(np.where(valid, values, 0))[None], KERNEL, padding=1)[0].numpy()
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_allclose(fields[:, valid], whole[:, valid], atol=1e-5, rtol=1e-5)


@SETTINGS
@given(layout=layouts(least_tile=3), other=st.tuples(*2 * [st.integers(3, 60)]), batch_size=st.integers(1, 5))
def test_results_do_not_depend_on_super_blocks_or_batches_to_the_last_bit(
    layout: dict[str, Any], other: tuple[int, int], batch_size: int, make: Make, fake: Make
) -> None:
    values, options = split(layout)
    predictor = fake(placed, "pixel_regression", ())
    one = in_memory(predictor, make(values), **options)
    two = in_memory(predictor, make(values), **{**options, "block": other, "batch_size": batch_size})
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("junk", [np.nan, np.inf, -9999.0, 1e30])
def test_values_under_the_mask_change_nothing(junk: float, strict: bool, make: Make, fake: Make) -> None:
    rng = np.random.default_rng(0)
    values, valid = steps(rng, 30, 31), rng.random((1, 3, 30, 31)) > 0.2
    options = {"tile": 16, "overlap": 4, "block": (20, 9), "strict": strict}
    predictor = fake(convolved, "pixel_regression", ())
    clean = in_memory(predictor, make(np.where(valid[0], values, 0), valid), **options)
    dirty = in_memory(predictor, make(np.where(valid[0], values, junk).astype(np.float32), valid), **options)
    np.testing.assert_array_equal(clean[0], dirty[0])
    np.testing.assert_array_equal(clean[1], dirty[1])


@pytest.mark.parametrize("strict", [True, False])
def test_a_hole_stays_a_hole(strict: bool, make: Make, fake: Make) -> None:
    values = steps(np.random.default_rng(0), 60, 60)
    values[:, 20:30, 25:35] = np.nan  # all bands
    values[0, 40:45, 40:45] = np.nan  # one band
    valid = np.isfinite(values)[None]
    _, known, _ = in_memory(fake(pixelwise), make(values, valid), tile=16, overlap=4, block=(25, 25), strict=strict)
    expected = np.ones((60, 60), dtype=bool)
    expected[20:30, 25:35] = False
    expected[40:45, 40:45] = not strict
    np.testing.assert_array_equal(known, expected)


@pytest.mark.parametrize("width", [36, 40, 9])
def test_the_globe_has_no_seam_at_the_antimeridian(width: int, make: Make, fake: Make, globe: Make) -> None:
    # The reach of the kernel is inside the margin, so a rolled globe gives a rolled map, up to rounding.
    values = steps(np.random.default_rng(0), 20, width)
    predictor, shift = fake(convolved, "pixel_regression", ()), width // 2
    options = {"tile": 12, "overlap": 4, "block": (16, 7), "wrap": True}
    box = globe(20, width)
    fields, known, _ = in_memory(predictor, make(values, geobox=box), **options)
    rolled, _, _ = in_memory(predictor, make(np.roll(values, shift, axis=2), geobox=box), **options)
    assert known.all()
    np.testing.assert_allclose(np.roll(fields, shift, axis=2), rolled, atol=1e-5)
    around = F.pad(torch.from_numpy(values)[None], (1, 1, 0, 0), mode="circular")
    np.testing.assert_allclose(fields, F.conv2d(around, KERNEL, padding=(1, 0))[0].numpy(), atol=1e-5)


def test_the_lattice_rolls_with_the_globe(make: Make, fake: Make, globe: Make) -> None:
    # 4 tiles around the globe: a roll by two strides is a roll of the lattice, so even position-dependent models agree.
    def by_position(batch: Batch) -> Tensor:
        values = pixelwise(batch)
        return values[:, :1] * torch.linspace(0, 1, values.shape[-1])

    values, box = steps(np.random.default_rng(0), 10, 32), globe(10, 32)
    predictor, options = fake(by_position, "pixel_regression", ()), {"tile": 12, "overlap": 4, "wrap": True}
    fields, _, _ = in_memory(predictor, make(values, geobox=box), block=(5, 7), **options)
    rolled, _, _ = in_memory(predictor, make(np.roll(values, 16, axis=2), geobox=box), block=(5, 7), **options)
    np.testing.assert_allclose(np.roll(fields, 16, axis=2), rolled, rtol=1e-6, atol=1e-6)


def test_a_tile_across_the_antimeridian_has_one_place(make: Make, fake: Make, globe: Make) -> None:
    west: set[float] = set()

    def look(batch: Batch) -> Tensor:
        west.update(batch.inputs["optical"].lonlat()[:, 0, 0, 0].tolist())
        return pixelwise(batch)[:, :1]

    values = steps(np.random.default_rng(0), 10, 36)
    cube = make(values, geobox=globe(10, 36))
    _, _, tally = in_memory(fake(look, "pixel_regression", ()), cube, tile=12, overlap=4, block=(10, 9), wrap=True)
    assert sorted(west) == [-175.0, -95.0, -15.0, 65.0, 145.0]
    assert tally.predicted > Axis(36, 12, 4, periodic=True).count  # one of them twice


def test_predict_scene_wraps_a_globe_by_itself(tmp_path: Path, make: Make, fake: Make, globe: Make) -> None:
    values, box = steps(np.random.default_rng(0), 20, 40), globe(20, 40)
    predictor = fake(convolved, "pixel_regression", ())
    maps = []
    for name, shift in (("a.tif", 0), ("b.tif", 20)):
        cube = make(np.roll(values, shift, axis=2), geobox=box)
        predict_scene(predictor, cube, tmp_path / name, tile=12, overlap=4, progress=False)
        maps.append(np.roll(read(tmp_path / name)[0], -shift, axis=2))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)


def read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with rasterio.open(path) as dataset:
        return dataset.read(), {**dataset.profile, "descriptions": dataset.descriptions, "tags": dataset.tags()}


def test_class_map_with_all_layers_report_and_legend(tmp_path: Path, make: Make, fake: Make) -> None:
    values = np.zeros((3, 40, 50), dtype=np.float32)
    values[0, :, :20], values[1, :, 20:30], values[2, :, 30:] = 50, 50, 50
    values[:, 10:20, 25:35] = np.nan
    legend = cubes.Legend.from_names({7: "blue", 3: "green", 1: "red", 9: "unused"})
    report = predict_scene(
        fake(pixelwise),
        make(values, np.isfinite(values)[None]),
        tmp_path / "map.tif",
        tile=16,
        overlap=4,
        outputs=("class", "probability", "confidence", "entropy"),
        block=16,
        legend=legend,
        progress=False,
    )
    names = {"class": "map.tif", **{n: f"map_{n}.tif" for n in ("probability", "confidence", "entropy")}}
    assert report.files == {name: tmp_path / file for name, file in names.items()}
    expected = np.repeat(np.array([1, 3, 7], dtype=np.uint8), [20, 10, 20])[None].repeat(40, axis=0)
    expected[10:20, 25:35] = 255
    classes, profile = read(tmp_path / "map.tif")
    np.testing.assert_array_equal(classes[0], expected)
    assert (profile["dtype"], profile["nodata"]) == ("uint8", 255)
    hole = expected == 255
    probability, profile = read(tmp_path / "map_probability.tif")
    assert profile["descriptions"] == ("red", "green", "blue")
    for band, code in enumerate((1, 3, 7)):
        np.testing.assert_array_equal(probability[band], np.where(hole, 255, np.where(expected == code, 200, 0)))
    np.testing.assert_array_equal(read(tmp_path / "map_confidence.tif")[0][0], np.where(hole, 255, 200))
    np.testing.assert_array_equal(read(tmp_path / "map_entropy.tif")[0][0], np.where(hole, 255, 0))
    assert report.pixels == {"red": 800, "green": 400 - 50, "blue": 800 - 50}
    assert report.valid_share == 1900 / 2000
    assert report.area_km2["red"] == pytest.approx(800 * 100 / 1e6)
    assert report.shape == (40, 50)
    assert report.block == (16 + 16, 16)  # up to a tile more than asked for
    assert report.predicted + report.skipped > report.tiles
    assert report.recompute > 1
    assert report.as_dict()["files"]["class"] == str(tmp_path / "map.tif")
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".tif", ".qml")]


def test_shares_are_stored_in_steps_of_a_two_hundredth(tmp_path: Path, make: Make, fake: Make) -> None:
    values = np.log(np.array([0.7, 0.2, 0.1], dtype=np.float32))[:, None, None]
    report = predict_scene(
        fake(pixelwise),
        make(values),
        tmp_path / "one.tif",
        tile=8,
        overlap=2,
        outputs=("probability", "confidence", "entropy"),
        progress=False,
    )
    entropy = -sum(p * math.log(p) for p in (0.7, 0.2, 0.1)) / math.log(3)
    stored = {name: read(path)[0].ravel().tolist() for name, path in report.files.items()}
    assert stored == {"probability": [140, 40, 20], "confidence": [140], "entropy": [round(entropy * 200)]}
    assert report.pixels == {"red": 1, "green": 0, "blue": 0}
    assert report.tiles == 1


def test_three_hundred_classes_in_one_pixel_and_in_a_scene(tmp_path: Path, make: Make, fake: Make) -> None:
    names = tuple(f"class {index}" for index in range(300))
    wanted = np.arange(24 * 25).reshape(24, 25) % 300
    values = (np.arange(300)[:, None, None] == wanted).astype(np.float32) * 9
    predictor = fake(pixelwise, classes=names, inputs={"optical": BandSet.of(*names)})
    for part in (np.s_[:, :, :], np.s_[:, 10:11, 24:25]):
        path = tmp_path / "map.tif"
        report = predict_scene(predictor, make(values[part], names=names), path, tile=12, overlap=4, progress=False)
        classes, profile = read(path)
        np.testing.assert_array_equal(classes[0], wanted[part[1:]])
        assert (profile["dtype"], profile["nodata"]) == ("uint16", 65535)
        assert sum(report.pixels.values()) == classes.size


def test_regression_writes_float_with_nan(tmp_path: Path, make: Make, fake: Make) -> None:
    values = steps(np.random.default_rng(0), 7, 9)
    valid = np.ones((7, 9), dtype=bool)
    valid[2, 3] = False
    predict_scene(
        fake(lambda batch: pixelwise(batch)[:, :2], "pixel_regression", ("height", "biomass")),
        make(values, valid),
        tmp_path / "m.tif",
        tile=4,
        overlap=1,
        progress=False,
    )
    stored, profile = read(tmp_path / "m.tif")
    assert profile["dtype"] == "float32"
    assert math.isnan(profile["nodata"])
    assert profile["descriptions"] == ("height", "biomass")
    np.testing.assert_allclose(stored, np.where(valid, values[:2], np.nan), rtol=1e-6)


def test_empty_tiles_are_skipped_and_counted(tmp_path: Path, make: Make, fake: Make) -> None:
    values, valid = steps(np.random.default_rng(0), 64, 64), np.zeros((64, 64), dtype=bool)
    valid[5, 60] = True
    predictor = fake(pixelwise)
    report = predict_scene(predictor, make(values, valid), tmp_path / "m.tif", tile=16, overlap=0, progress=False)
    assert (report.tiles, report.predicted, report.skipped) == (16, 1, 15)
    assert predictor.calls == [8]  # filled up, so that the last bits do not depend on how many tiles a batch has
    classes = read(tmp_path / "m.tif")[0][0]
    assert (classes != 255).sum() == 1
    assert classes[5, 60] == values[:, 5, 60].argmax()


@pytest.mark.parametrize("strict", [True, False])
def test_a_scene_without_a_valid_pixel_is_refused_and_nothing_written(
    strict: bool, tmp_path: Path, make: Make, fake: Make
) -> None:
    cube = make(steps(np.random.default_rng(0), 20, 20), np.zeros((20, 20), dtype=bool))
    with pytest.raises(InputError, match=r"No pixel of 'made for a test'.*What to do:"):
        predict_scene(fake(pixelwise), cube, tmp_path / "m.tif", strict=strict, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_predictor_that_fails_midway_leaves_nothing(tmp_path: Path, make: Make, fake: Make) -> None:
    def second_time(batch: Batch) -> Tensor:
        if len(predictor.calls) > 1:
            raise RuntimeError("out of luck")
        return pixelwise(batch)

    predictor = fake(second_time)
    with pytest.raises(RuntimeError, match="out of luck"):
        predict_scene(
            predictor,
            make(steps(np.random.default_rng(0), 40, 40)),
            tmp_path / "m.tif",
            tile=8,
            overlap=2,
            outputs=("class", "entropy"),
            progress=False,
        )
    assert not list(tmp_path.iterdir())


def test_wrong_answers_of_a_predictor_are_named(tmp_path: Path, make: Make, fake: Make) -> None:
    cube = make(steps(np.random.default_rng(0), 9, 9))
    with pytest.raises(ContractError, match=r"shape \(1, 2, 16, 16\)"):
        predict_scene(fake(lambda b: pixelwise(b)[:, :2]), cube, tmp_path / "m.tif", tile=16, overlap=4, progress=False)
    with pytest.raises(ContractError, match="81 valid pixels, first at row 0, column 0"):
        predict_scene(
            fake(lambda b: pixelwise(b) * torch.nan), cube, tmp_path / "m.tif", tile=16, progress=False, overlap=4
        )
    assert not list(tmp_path.iterdir())


def test_bad_requests_are_sentences(tmp_path: Path, make: Make, fake: Make) -> None:
    cube, out = make(steps(np.random.default_rng(0), 9, 9)), tmp_path / "m.tif"
    with pytest.raises(ConfigError, match="nearest name is: confidence"):
        predict_scene(fake(pixelwise), cube, out, outputs=("confidense",), progress=False)
    with pytest.raises(ConfigError, match="name one twice"):
        predict_scene(fake(pixelwise), cube, out, outputs=("class", "class"), progress=False)
    with pytest.raises(ConfigError, match="no value per pixel"):
        predict_scene(fake(pixelwise, "classification"), cube, out, progress=False)
    with pytest.raises(ConfigError, match="names no classes"):
        predict_scene(fake(pixelwise, classes=()), cube, out, progress=False)
    with pytest.raises(ConfigError, match="'batch_size' is 0"):
        predict_scene(fake(pixelwise), cube, out, batch_size=0, progress=False)
    with pytest.raises(ConfigError, match="overlap is 200"):
        predict_scene(fake(pixelwise), cube, out, overlap=200, progress=False)
    with pytest.raises(InputError, match="lacks the classes green, blue"):
        predict_scene(fake(pixelwise), cube, out, legend=cubes.Legend.of("red"), progress=False)
    with pytest.raises(InputError, match="No source band serves nir"):
        predict_scene(fake(pixelwise, inputs={"optical": BandSet.of("red", "nir")}), cube, out, progress=False)
    with pytest.raises(InputError, match="stored numbers"):
        predict_scene(fake(pixelwise), make(np.ones((3, 4, 4), dtype=np.uint16), unit="DN"), out, progress=False)
    assert not list(tmp_path.iterdir())


def test_bands_are_matched_by_name_and_dates_sorted(make: Make, fake: Make) -> None:
    values = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    cube = make(values, times=("2021-05-01", "2020-05-01"))
    seen: list[Batch] = []

    def look(batch: Batch) -> Tensor:
        seen.append(batch)
        return batch.inputs["a"].values[:, 0, :1]

    predictor = fake(look, "pixel_regression", (), {"a": BandSet.of("blue", "red"), "b": BandSet.of("green")})
    fields, _, _ = in_memory(predictor, cube, tile=4, overlap=0, block=(4, 4), batch_size=1)
    np.testing.assert_array_equal(seen[0].inputs["a"].values[0].numpy(), values[::-1][:, [2, 0]])
    np.testing.assert_array_equal(seen[0].inputs["b"].values[0].numpy(), values[::-1][:, [1]])
    assert seen[0].inputs["b"].time.tolist() == [[1588291200, 1619827200]]
    np.testing.assert_array_equal(fields[0], values[1, 2])


def test_tiles_know_their_place(make: Make, fake: Make) -> None:
    values = steps(np.random.default_rng(0), 20, 21)
    cube = make(values)
    whole = cube.odc.geobox

    def longitude(batch: Batch) -> Tensor:
        return batch.inputs["optical"].lonlat()[:, :1]

    fields, _, _ = in_memory(fake(longitude, "pixel_regression", ()), cube, tile=8, overlap=2, block=(7, 9))
    from swath import grids

    np.testing.assert_allclose(fields[0], grids.lonlat(whole)[0], atol=1e-5)


def test_pixels_that_the_model_gives_up_are_no_data(make: Make, fake: Make) -> None:
    class Shy(fake):  # type: ignore[misc, valid-type]
        def predict(self, batch: Batch) -> Prediction:
            values = pixelwise(batch)
            known = values[:, 0] < 4
            output = torch.where(known[:, None], values[:, :1], torch.nan)
            return Prediction(self.task, {"mean": output}, known, self.classes)

    values = steps(np.random.default_rng(0), 30, 30)
    fields, known, _ = in_memory(Shy(pixelwise, "pixel_regression", ()), make(values), tile=8, overlap=3, block=(9, 9))
    np.testing.assert_array_equal(known, values[0] < 4)
    np.testing.assert_allclose(fields[0][known], values[0][known], rtol=1e-6)


@pytest.mark.parametrize("task", ["change", "segmentation"])
def test_change_needs_every_date_and_a_series_one(task: str, make: Make, fake: Make) -> None:
    valid = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=bool).reshape(2, 1, 4)
    cube = make(np.ones((2, 3, 1, 4), dtype=np.float32), valid[:, None].repeat(3, axis=1))
    _, known, _ = in_memory(fake(pixelwise, task), cube, tile=4, overlap=0, block=(4, 4))
    assert known[0].tolist() == ([True, False, False, False] if task == "change" else [True, True, True, False])


def test_the_progress_bar_goes_to_standard_error(
    tmp_path: Path, make: Make, fake: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = make(steps(np.random.default_rng(0), 9, 9))
    predict_scene(fake(pixelwise), cube, tmp_path / "m.tif", tile=4, overlap=1, progress=False)
    assert capsys.readouterr() == ("", "")
    predict_scene(fake(pixelwise), cube, tmp_path / "m.tif", tile=4, overlap=1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "9/9 tiles" in printed.err


def test_the_cache_of_gdal_is_left_as_it_was(tmp_path: Path, make: Make, fake: Make) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    predict_scene(fake(pixelwise), make(np.ones((3, 4, 4), dtype=np.float32)), tmp_path / "m.tif", progress=False)
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_the_first_of_equal_classes_wins_as_in_argmax() -> None:
    fields = np.random.default_rng(0).integers(0, 3, (5, 20, 20)).astype(np.float32)
    np.testing.assert_array_equal(most_probable(fields), fields.argmax(axis=0))


def test_areas_of_windows(make: Make, globe: Make) -> None:
    box = globe(18, 36)
    total = window_area_m2(box, (0, 9), (0, 36)).sum() + window_area_m2(box, (9, 18), (0, 36)).sum()
    assert total == pytest.approx(510.0656e12, rel=1e-5)  # surface of the WGS 84 ellipsoid
    plain = make(np.zeros((3, 40, 37), dtype=np.float32)).odc.geobox
    np.testing.assert_allclose(window_area_m2(plain, (3, 40), (5, 37)), 100.0)
    assert window_area_m2(plain, (3, 40), (5, 37)).shape == (37, 32)


def test_values_are_checked_against_what_the_model_wants(make: Make, fake: Make, tmp_path: Path) -> None:
    # A file opened without a sensor has plain variables: only the model knows that they should be reflectance.
    plain = BandSet.of("red", "green", "blue")
    wanted = BandSet(tuple(dataclasses.replace(band, kind="reflectance", unit="1") for band in plain))
    predictor = fake(pixelwise, inputs={"optical": wanted})
    numbers = np.random.default_rng(0).integers(300, 4000, (3, 20, 20)).astype(np.float32)
    out = tmp_path / "m.tif"
    with pytest.raises(InputError, match=r"band red of 'made for a test'.*reflectance.*--sensor, --level, --baseline"):
        predict_scene(predictor, make(numbers), out, tile=16, overlap=4, progress=False)
    assert not predictor.calls and not list(tmp_path.iterdir())
    masked = np.zeros((20, 20), dtype=bool)
    masked[:10] = True
    numbers[:, masked] /= 10_000
    predict_scene(predictor, make(numbers, masked), out, tile=16, overlap=4, progress=False)  # masked ones do not count
    assert out.exists()


@pytest.mark.parametrize("name", ["scene.tif", "map_confidence.tif"])
def test_no_output_replaces_the_scene(name: str, make: Make, fake: Make, tmp_path: Path) -> None:
    scene, cube = tmp_path / name, make(steps(np.random.default_rng(0), 9, 9))
    scene.write_bytes(b"the only copy")
    cube.attrs["source"] = str(scene)
    out = scene if name == "scene.tif" else tmp_path / "map.tif"
    outputs = ("class", "confidence")
    with pytest.raises(ConfigError, match="would replace"):
        predict_scene(fake(pixelwise), cube, out, outputs=outputs, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert scene.read_bytes() == b"the only copy"


@pytest.mark.parametrize(("name", "part"), [("m.png", "suffix '.png'"), ("m", "suffix ''"), ("f.tif", "is a folder")])
def test_outputs_are_geotiffs(name: str, part: str, make: Make, fake: Make, tmp_path: Path) -> None:
    (tmp_path / "f.tif").mkdir()
    with pytest.raises(ConfigError, match=part):
        check_request(fake(pixelwise), tmp_path / name)
    with pytest.raises(ConfigError, match=part):
        predict_scene(fake(pixelwise), make(np.ones((3, 4, 4), dtype=np.float32)), tmp_path / name, progress=False)


def test_the_request_is_checked_alone(fake: Make, tmp_path: Path) -> None:
    out = tmp_path / "m.tif"
    check_request(fake(pixelwise), out, tile=8, overlap=4, source="nowhere")
    for options in ({"tile": 0}, {"tile": 8, "overlap": 5}, {"overlap": -1}, {"outputs": ("confidense",)}):
        with pytest.raises(ConfigError):
            check_request(fake(pixelwise), out, **options)
