"""Presto and Galileo as encoders of batches: cells, masks, missing parts, versions, real weights by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from model_batches import COVER, S1, S2, TERRAIN, WEATHER, batch_of, galileo, made_up, modality, months, presto
from odc.geo.geobox import GeoBox

from swath import models, sensors, weights
from swath.errors import ConfigError, InputError
from swath.grids import Box, LatLon
from swath.models import Encoder, GalileoPatches, PatchOptions
from swath.models.galileo import Square
from swath.models.galileo_patches import Tiling
from swath.models.presto import PixelSeries
from swath.sensors import BandSet
from swath.types import Batch, Modality, Predictor

GALILEO_WEATHER = BandSet((WEATHER[0], replace(WEATHER[1], name="tp_sum", unit="m month-1")))


def optical(shape: tuple[int, int, int, int], valid: np.ndarray | None = None, seed: int = 0) -> Batch:
    return batch_of(image=modality(S2, made_up(S2, shape, seed), months(shape[1]), valid))


def encoders() -> list[Encoder]:
    return [presto(), galileo().with_options(PatchOptions(patch=2))]


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 3), (1, 2, 4, 4), (3, 1, 1, 7)])
def test_one_embedding_per_cell_and_it_is_a_predictor(encoder: Encoder, shape: tuple[int, int, int, int]) -> None:
    batch = optical(shape)
    found = encoder.encode(batch)
    cells = tuple(-(-size // encoder.output_stride) for size in shape[2:])
    assert found.values.shape == (shape[0], 128, *cells)
    assert bool(torch.isfinite(found.values).all()) and found.values.dtype == torch.float32
    assert found.version == encoder.version and found.stride == encoder.output_stride
    assert isinstance(encoder, Encoder) and isinstance(encoder, Predictor)
    prediction = encoder.predict(batch)
    prediction.check(batch)
    assert torch.equal(prediction.outputs["embedding"], found.values)
    assert found.points().shape == (shape[0], 128)


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_an_empty_batch_gives_no_embedding(encoder: Encoder) -> None:
    inputs = optical((1, 2, 4, 4)).inputs["image"]
    none = replace(inputs, values=inputs.values[:0], valid=inputs.valid[:0], time=inputs.time[:0], grid=())
    found = encoder.encode(Batch({"image": none}))
    assert found.values.shape[:2] == (0, 128)


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_numbers_under_the_mask_change_nothing_and_fully_masked_cells_are_not_valid(encoder: Encoder) -> None:
    shape = (2, 2, 8, 8)
    valid = np.ones((2, 2, 1, 8, 8), bool)
    valid[:, :, :, :4, :4] = False
    valid[:, 0, :, 6:, 6:] = False
    valid[0, 1, :, 7, 0] = False
    first = optical(shape, valid)
    image = first.inputs["image"]
    other = replace(image, values=torch.where(image.valid, image.values, 0.7))
    one, two = encoder.encode(first), encoder.encode(batch_of(image=other))
    assert torch.equal(one.values, two.values)
    quarter = 4 // encoder.output_stride
    assert not bool(one.valid[:, :quarter, :quarter].any())
    assert bool(one.valid[:, quarter:, :].all()) and bool(one.valid[:, :, quarter:].all())
    assert bool((one.values[:, :, :quarter, :quarter] == 0).all())


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_nothing_valid_gives_zeros(encoder: Encoder) -> None:
    found = encoder.encode(optical((2, 1, 4, 4), np.zeros((2, 1, 1, 4, 4), bool)))
    assert not bool(found.valid.any()) and bool((found.values == 0).all()) and bool((found.points() == 0).all())


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_samples_do_not_depend_on_those_beside_them(encoder: Encoder) -> None:
    batch = optical((3, 2, 4, 4))
    together = encoder.encode(batch).values
    image = batch.inputs["image"]
    for row in range(3):
        part = slice(row, row + 1)
        alone = replace(
            image, values=image.values[part], valid=image.valid[part], time=image.time[part], grid=image.grid[part]
        )
        made = encoder.encode(Batch({"image": alone}, ids=("x",))).values[0]
        assert float((made - together[row]).abs().max()) < 1e-4


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_a_missing_modality_is_the_same_as_one_that_is_masked(encoder: Encoder) -> None:
    without = optical((1, 2, 4, 4))
    radar = modality(S1, made_up(S1, (1, 2, 4, 4)), months(2), np.zeros((1, 2, 1, 4, 4), bool))
    masked = batch_of(image=without.inputs["image"], radar=radar)
    assert float((encoder.encode(without).values - encoder.encode(masked).values).abs().max()) < 1e-5
    seen = replace(radar, valid=torch.ones_like(radar.valid))
    with_radar = batch_of(image=without.inputs["image"], radar=seen)
    assert float((encoder.encode(without).values - encoder.encode(with_radar).values).abs().max()) > 1e-3


@pytest.mark.parametrize("encoder", encoders(), ids=lambda item: item.name)
def test_dates_and_places_matter(encoder: Encoder) -> None:
    batch = optical((1, 1, 4, 4))
    image = batch.inputs["image"]
    base = encoder.encode(batch).values
    later = replace(image, time=image.time + 182 * 86_400)
    assert float((encoder.encode(batch_of(image=later)).values - base).abs().max()) > 1e-3
    elsewhere = replace(image, grid=optical((2, 1, 4, 4)).inputs["image"].grid[1:])
    assert float((encoder.encode(batch_of(image=elsewhere)).values - base).abs().max()) > 1e-6


def test_without_its_place_galileo_gives_the_same_everywhere() -> None:
    encoder = galileo().with_options(PatchOptions(patch=4, place=False))
    image = optical((1, 1, 4, 4)).inputs["image"]
    nowhere = replace(image, grid=(Box((4, 4), (40.0, 40.0)),))
    elsewhere = replace(image, grid=optical((2, 1, 4, 4)).inputs["image"].grid[1:])
    first, second = (encoder.encode(batch_of(image=item)).values for item in (image, elsewhere))
    assert torch.equal(first, second)
    assert torch.equal(encoder.encode(batch_of(image=nowhere)).values, first)
    with pytest.raises(InputError, match="no place on Earth"):
        presto().encode(batch_of(image=nowhere))


def test_all_sensors_of_presto_reach_the_network_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[PixelSeries] = []
    encoder = presto()

    def note(series: PixelSeries) -> torch.Tensor:
        seen.append(series)
        return torch.zeros(len(series.values), 128)

    monkeypatch.setattr(encoder.network, "forward", note)
    shape = (2, 3, 2, 2)
    batch = batch_of(
        s1=modality(S1, made_up(S1, shape), months(3)),
        s2=modality(S2, made_up(S2, shape), months(3)),
        weather=modality(WEATHER, made_up(WEATHER, (2, 3, 1, 1)), months(3)),
        terrain=modality(TERRAIN, made_up(TERRAIN, (2, 1, 2, 2)), [0]),
        cover=modality(COVER, made_up(COVER, shape), months(3)),
    )
    encoder.encode(batch)
    (series,) = seen
    assert series.values.shape == (8, 3, 17) and bool(series.seen.all())
    pixel = series.values[5]  # sample 1, row 0, column 1
    s1, s2, weather, terrain, cover = (batch.inputs[name].values for name in batch.inputs)
    assert torch.allclose(pixel[:, :2], (s1[1, :, :, 0, 1] + 25) / 25)
    assert torch.allclose(pixel[:, 2:12], s2[1, :, :, 0, 1])
    assert torch.allclose(pixel[:, 12], (weather[1, :, 0, 0, 0] - 272.15) / 35, atol=1e-5)
    assert torch.allclose(pixel[:, 14], terrain[1, :, 0, 0, 1] / 2000)
    red, near = pixel[:, 4], pixel[:, 8]
    assert torch.allclose(pixel[:, 16], (near - red) / (near + red))
    assert torch.equal(series.land_cover[5], cover[1, :, 0, 0, 1].long())
    assert series.months[5].tolist() == [0, 1, 2]
    assert float(series.lonlat[5, 1]) == pytest.approx(48.7, abs=0.2)


def test_all_sensors_of_galileo_reach_the_network_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Square, int, float]] = []
    encoder = galileo().with_options(PatchOptions(patch=2))
    original = encoder.network.forward

    def note(square: Square, patch: int, resolution: float) -> object:
        seen.append((square, patch, resolution))
        return original(square, patch, resolution)

    monkeypatch.setattr(encoder.network, "forward", note)
    shape = (1, 3, 4, 4)
    batch = batch_of(
        s1=modality(S1, made_up(S1, shape), months(3)),
        s2=modality(S2, made_up(S2, shape), months(3)),
        weather=modality(GALILEO_WEATHER, made_up(WEATHER, (1, 3, 1, 1)), months(3)),
        terrain=modality(TERRAIN, made_up(TERRAIN, (1, 1, 4, 4)), [0]),
    )
    encoder.encode(batch)
    ((square, patch, resolution),) = seen
    assert (patch, resolution) == (2, 10.0)
    assert bool(square.space_time_seen.all()) and square.space_time.shape == (1, 4, 4, 3, 13)
    assert square.space_seen.any(dim=(0, 1, 2)).tolist() == [True, False, False]
    assert square.time_seen[0, 0].tolist() == [True, False, False]
    assert square.static_seen[0].tolist() == [False, True, False, False]
    s1, s2 = batch.inputs["s1"].values, batch.inputs["s2"].values
    assert float(square.space_time[0, 1, 3, 2, 0]) == pytest.approx(
        (float(s1[0, 2, 0, 1, 3]) + 21.503) / 19.5486, abs=1e-4
    )
    blue = (float(s2[0, 2, 0, 1, 3]) * 1e4 + 440.0674) / 3670.8166
    assert float(square.space_time[0, 1, 3, 2, 2]) == pytest.approx(blue, abs=1e-4)
    red, near = float(s2[0, 2, 2, 1, 3]), float(s2[0, 2, 6, 1, 3])
    assert float(square.space_time[0, 1, 3, 2, 12]) == pytest.approx((near - red) / (near + red), abs=1e-4)
    assert float(square.static[0, 1:4].norm()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "patch", "steps", "side", "squares"),
    [
        ((1, 1), 8, 1, 1, (1, 1)),
        ((96, 96), 8, 3, 12, (1, 1)),
        ((97, 96), 8, 3, 7, (2, 2)),
        ((256, 256), 8, 1, 11, (3, 3)),
        ((64, 8), 8, 12, 4, (2, 1)),
        ((5, 9), 2, 4, 5, (1, 1)),
    ],
)
def test_squares_are_even_and_no_larger_than_in_pretraining(
    size: tuple[int, int], patch: int, steps: int, side: int, squares: tuple[int, int]
) -> None:
    tiling = Tiling.of(size, patch, steps)
    assert (tiling.side, tiling.squares) == (side, squares)
    maps = torch.arange(2.0 * size[0] * size[1]).reshape(2, 1, *size)
    cut = tiling.cut(maps, -1.0)
    assert cut.shape == (2 * squares[0] * squares[1], 1, side * patch, side * patch)
    first = torch.nn.functional.max_pool2d(cut, patch)
    whole = torch.nn.functional.max_pool2d(maps, patch, ceil_mode=True)
    assert torch.equal(tiling.together(first), whole)


def test_squares_of_a_large_sample_are_embedded_like_small_samples() -> None:
    encoder = galileo().with_options(PatchOptions(patch=2, place=False))
    batch = optical((1, 4, 24, 24))  # 12 x 12 patches, squares of 6 x 6
    image = batch.inputs["image"]
    whole = encoder.encode(batch).values
    part = replace(image, values=image.values[..., 12:, :12], valid=image.valid[..., 12:, :12])
    alone = encoder.encode(batch_of(image=part)).values
    assert float((whole[..., 6:, :6] - alone).abs().max()) < 1e-4


def test_pixels_of_different_size_do_not_share_a_batch() -> None:
    image = optical((2, 1, 4, 4)).inputs["image"]
    coarse = GeoBox((4, 4), Affine(20, 0, 500_000, 0, -20, 5_400_000), "EPSG:32632")
    mixed = replace(image, grid=(image.grid[0], coarse))
    with pytest.raises(ConfigError, match=r"pixels of 10 to 20 m"):
        galileo().encode(batch_of(image=mixed))


@pytest.mark.parametrize("patch", [0, 9, -1])
def test_a_patch_of_no_published_size_is_refused(patch: int) -> None:
    with pytest.raises(ConfigError, match=f"{patch} pixels along one side"):
        galileo().with_options(PatchOptions(patch=patch))


def test_the_version_follows_weights_bands_and_options() -> None:
    base = galileo()
    assert base.version == GalileoPatches(weights.entry("galileo_nano"), base.network, base.report).version
    others = {
        base.version,
        base.with_options(PatchOptions(patch=4)).version,
        base.with_options(PatchOptions(place=False)).version,
        base.using(S2).version,
        base.using(S1).version,
        presto().version,
        presto().using(S2).version,
    }
    assert len(others) == 7
    assert presto().version.startswith("presto-")
    name, parameter = next(iter(base.network.named_parameters()))
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(1e-3)
    try:
        assert base.with_options(base.options).version != base.version, name
    finally:
        parameter.data.copy_(kept)
    assert base.with_options(base.options).version == base.version


def test_embeddings_of_another_version_are_refused() -> None:
    models.require_version(presto().version, presto(), "emb.tif")
    with pytest.raises(InputError, match=r"emb.tif holds embeddings of the version 'presto-0'.*Expected: 'presto-"):
        models.require_version("presto-0", presto(), "emb.tif")


def test_using_keeps_the_bands_that_a_scene_serves() -> None:
    landsat = sensors.load("landsat8_oli").bands
    assert presto().using(landsat).inputs["image"].names == ("B02", "B03", "B04", "B08", "B11", "B12")
    assert galileo().using(S1).inputs["image"].names == ("VV", "VH")
    with pytest.raises(InputError, match="No band of the scene fits presto; it has thing"):
        presto().using(BandSet.of("thing"))
    batch = batch_of(s1=modality(S1, made_up(S1, (1, 1, 2, 2)), months(1)), s2=optical((1, 1, 2, 2)).inputs["image"])
    only = batch_of(s1=batch.inputs["s1"])
    restricted = presto().using(S1)
    assert torch.equal(restricted.encode(batch).values, restricted.encode(only).values)


def test_weather_alone_is_enough_where_there_is_nothing_else() -> None:
    weather = modality(WEATHER, made_up(WEATHER, (1, 3, 1, 1)), months(3))
    assert bool(presto().encode(batch_of(w=weather)).valid.all())
    later = modality(GALILEO_WEATHER, made_up(WEATHER, (1, 3, 1, 1)), months(3))
    assert bool(galileo().encode(batch_of(w=later)).valid.all())
    masked = optical((1, 3, 1, 1), np.zeros((1, 3, 1, 1, 1), bool)).inputs["image"]
    assert not bool(presto().encode(batch_of(w=weather, s2=masked)).valid.any())


@pytest.mark.parametrize("name", ["presto", "galileo_nano"])
def test_real_weights_come_by_name_with_a_report(real_data: Path, name: str) -> None:
    said: list[str] = []
    encoder = models.load(name, say=said.append)
    entry = weights.entry(name)
    assert encoder.report.verified and encoder.report.numbers == (entry.numbers, entry.numbers)
    assert encoder.report.new == encoder.report.unused == encoder.report.resized == ()
    assert said == [str(encoder.report)] and "band B8A" in said[0]
    found = encoder.encode(optical((1, 1, 8, 8)))
    assert bool(found.valid.all()) and float(found.values.std()) > 0.01
    assert not any(parameter.requires_grad for parameter in encoder.network.parameters())


@pytest.mark.parametrize(("name", "other"), [("presto", "galileo_nano"), ("galileo_nano", "presto")])
def test_real_weights_of_another_family_are_refused(real_data: Path, name: str, other: str) -> None:
    file = weights.entry(other).weights
    path = real_data / file.folder / file.file
    with pytest.raises(InputError, match=r"sha256"):
        models.load(name, path)
    with pytest.raises(InputError, match=f"holds the weights of '{other}'"):
        models.load(name, path, strict=False)


def test_real_pixels_are_embedded_as_the_golden_ones(real_data: Path) -> None:
    """The whole way from physical units, dates and places of the fuel-moisture pixels to the stored embeddings."""
    folder = real_data / "presto_fuel_moisture" / "npy"
    raw, month, latlon, cover = (
        np.load(folder / f"{name}.npy")[:8] for name in ("s1_s2_era5_srtm", "month", "latlon", "dynamic_world")
    )
    with np.load(real_data / "presto_weights" / "golden.npz") as stored:
        wanted = stored["fuel3__embedding"]
    names = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    optical_bands = sensors.load("sentinel2_l1c").bands.select(names)
    encoder = models.load("presto")
    for row in range(8):
        years = 2017 + np.concatenate([[0], np.cumsum(np.diff(month[row]) < 0)])
        times = [
            int(np.datetime64(f"{y}-{m + 1:02d}-15", "s").astype(np.int64))
            for y, m in zip(years, month[row], strict=True)
        ]

        def part(bands: BandSet, values: np.ndarray, times: list[int] = times, row: int = row) -> Modality:
            made = modality(bands, values[None, ..., None, None], times)
            return replace(made, grid=(LatLon.point(lon=latlon[row, 1], lat=latlon[row, 0]),))

        batch = batch_of(
            s1=part(S1, raw[row, :, :2]),
            s2=part(optical_bands, raw[row, :, 2:13] / 1e4),
            weather=part(WEATHER, raw[row, :, 13:15]),
            terrain=part(TERRAIN, raw[row, :, 15:17]),
            cover=part(COVER, cover[row][:, None].astype(float)),
        )
        made = encoder.encode(batch).points().numpy()[0]
        assert np.abs(made - wanted[row]).max() < 2e-5, row
