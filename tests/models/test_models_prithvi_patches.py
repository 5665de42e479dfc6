"""Prithvi as an encoder: from a batch in physical units to one embedding per patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from model_batches import REPORT, batch_of, made_up, modality, months, seconds
from odc.geo.geobox import GeoBox
from prithvi_files import narrow_sizes, network_of, published, write

from swath import cubes, models, sensors, weights
from swath.embed import embed_scene
from swath.errors import ConfigError, InputError
from swath.models import Encoder, PrithviOptions, PrithviPatches, prithvi
from swath.nn.time_place import TimePlace
from swath.sensors import BandSet
from swath.types import Batch, Modality

HLS = sensors.load("hls_s30").bands.select(["B02", "B03", "B04", "B8A", "B11", "B12"])
S2 = sensors.load("sentinel2_l2a").bands.select(["B12", "B11", "B8A", "B04", "B03", "B02", "B08", "B05"])
PLAIN, KNOWING = "prithvi_eo_v2_300", "prithvi_eo_v2_300_tl"


def encoder(name: str = PLAIN, options: PrithviOptions | None = None) -> PrithviPatches:
    network = network_of(narrow_sizes()[name])
    return PrithviPatches(weights.entry(name), network.encoder, REPORT, options)


def batch(bands: BandSet = HLS, *, steps: int = 2, side: tuple[int, int] = (32, 48), valid: Any = None) -> Batch:
    values = made_up(bands, (1, steps, *side))
    return batch_of(image=modality(bands, values, months(steps), valid))


def normalised(given: Batch, name: str = PLAIN) -> torch.Tensor:
    scaling = torch.tensor([band.scaling for band in weights.entry(name).bands], dtype=torch.float64)
    values = given.inputs["image"].values.double()
    factor, add, divide = (scaling[:, place].reshape(1, 1, -1, 1, 1) for place in range(3))
    return ((values * factor + add) / divide).float()


def test_embeddings_are_the_mean_over_dates_of_the_last_tokens() -> None:
    made, given = encoder(), batch()
    assert isinstance(made, Encoder)
    found = made.encode(given)
    square = torch.nn.functional.pad(normalised(given), (0, 0, 0, 16))
    present = torch.ones(1, 2, 3, 3, dtype=torch.bool)
    present[:, :, 2] = False
    with torch.inference_mode():
        wanted = made.network(square, None, present).maps[-1].mean(1)[..., :2, :]
    assert found.values.shape == (1, 32, 2, 3) and found.stride == 16 and bool(found.valid.all())
    assert torch.allclose(found.values, wanted, atol=1e-5)


def test_a_whole_square_is_what_the_network_gives_without_masks() -> None:
    made, given = encoder(), batch(side=(64, 64), steps=3)
    with torch.inference_mode():
        wanted = made.network(normalised(given)).maps[-1].mean(1)
    assert torch.allclose(made.encode(given).values, wanted, atol=1e-5)
    assert torch.equal(made.predict(given).outputs["embedding"], made.encode(given).values)


def test_the_order_and_the_sensor_of_the_bands_do_not_matter() -> None:
    made, given = encoder(), batch()
    image = given.inputs["image"]
    # The same six channels as Sentinel-2 bands in another order, between others.
    order = [list(HLS.names).index(name) if name in HLS.names else 0 for name in S2.names]
    values = image.values[:, :, order].numpy()
    other = batch_of(image=modality(S2, values, months(2)))
    assert torch.allclose(made.using(S2).encode(other).values, made.encode(given).values, atol=1e-6)
    landsat = sensors.load("hls_l30").bands.select(["B02", "B03", "B04", "B05", "B06", "B07"])
    third = batch_of(image=modality(landsat, image.values.numpy(), months(2)))
    assert torch.allclose(made.using(landsat).encode(third).values, made.encode(given).values, atol=1e-6)


def test_missing_bands_are_refused_with_what_was_near_or_take_their_mean() -> None:
    made = encoder()
    four = sensors.load("planetscope_4b").bands
    with pytest.raises(InputError, match=r"B11 \(SWIR_1, 1613.7 nm; nearest is .* nm\).*B12"):
        made.using(four)
    lacking = HLS.select(["B02", "B03", "B04", "B8A", "B11"])
    with pytest.raises(InputError, match=r"B12 \(SWIR_2, 2202.4 nm; nearest is B11 at 1613.7 nm\)"):
        made.encode(batch(lacking))
    filled = made.with_options(PrithviOptions(missing="mean"))
    given = batch(lacking, side=(32, 32))
    whole = torch.cat([given.inputs["image"].values, torch.full((1, 2, 1, 32, 32), 0.1363)], dim=2).numpy()
    wanted = made.encode(batch_of(image=modality(HLS, whole, months(2))))
    assert torch.allclose(filled.using(lacking).encode(given).values, wanted.values, atol=1e-5)
    assert filled.using(lacking).version != filled.version
    with pytest.raises(InputError, match="takes bands that are not there"):
        filled.using(sensors.load("sentinel1_grd").bands)


def test_pixels_under_the_mask_change_nothing_and_covered_patches_have_no_embedding() -> None:
    valid = np.ones((1, 2, 6, 32, 48), bool)
    valid[:, :, :, :16, :16] = False
    valid[:, 1, :, :16, 16:32] = False
    values = made_up(HLS, (1, 2, 32, 48))
    other = np.where(valid, values, 0.9)
    made = encoder()
    first = made.encode(batch_of(image=modality(HLS, values, months(2), valid)))
    second = made.encode(batch_of(image=modality(HLS, other, months(2), valid)))
    assert torch.equal(first.values, second.values)
    assert first.valid[0].tolist() == [[False, True, True], [True, True, True]]
    assert bool((first.values[0, :, 0, 0] == 0).all())
    nothing = made.encode(batch(valid=np.zeros((1, 2, 6, 32, 48), bool)))
    assert not bool(nothing.valid.any()) and bool((nothing.values == 0).all())


def test_a_sample_is_cut_into_squares_no_larger_than_the_option_says() -> None:
    given = batch(side=(32, 64), steps=1)
    made = encoder(options=PrithviOptions(image=32))
    found = made.encode(given)
    left = batch_of(image=modality(HLS, given.inputs["image"].values[..., :32].numpy(), months(1)))
    assert torch.allclose(found.values[..., :2], made.encode(left).values, atol=1e-6)
    assert not torch.allclose(found.values, encoder().encode(given).values, atol=1e-4)


def test_patches_of_14_pixels_cover_what_they_do_not_divide() -> None:
    made = encoder("prithvi_eo_v2_600")
    found = made.encode(batch(side=(30, 43)))
    assert found.values.shape == (1, 64, 3, 4) and found.stride == 14
    # The last row of patches has 2 of 14 rows: less than half, so that it has no embedding.
    assert found.valid[0, :2, :3].all() and not found.valid[0, 2].any()


def test_time_and_place_enter_where_the_weights_know_them() -> None:
    made = encoder(KNOWING)
    values = made_up(HLS, (1, 1, 32, 32))
    january = batch_of(image=modality(HLS, values, seconds("2021-01-15")))
    july = batch_of(image=modality(HLS, values, seconds("2021-07-15")))
    assert not torch.allclose(made.encode(january).values, made.encode(july).values, atol=1e-4)
    assert torch.equal(encoder().encode(january).values, encoder().encode(july).values)
    without = made.with_options(PrithviOptions(time=False, place=False))
    assert torch.equal(without.encode(january).values, without.encode(july).values)
    lonlat = january.inputs["image"].lonlat()[0, :, 15:17, 15:17].mean(dim=(1, 2))
    about = TimePlace.of(
        year=torch.tensor([[2021]]), day=torch.tensor([[14]]), latitude=lonlat[1:], longitude=lonlat[:1]
    )
    with torch.inference_mode():
        wanted = made.network(normalised(january), about).maps[-1].mean(1)
    assert torch.allclose(made.encode(january).values, wanted, atol=2e-5)


def test_a_missing_date_is_refused_where_time_enters_and_only_there() -> None:
    undated = batch_of(image=modality(HLS, made_up(HLS, (1, 1, 32, 32)), [0]))
    with pytest.raises(InputError, match="has no dates"):
        encoder(KNOWING).encode(undated)
    assert encoder().encode(undated).valid.all()
    assert encoder(KNOWING, PrithviOptions(time=False)).encode(undated).valid.all()


def test_stored_numbers_and_too_many_dates_are_refused() -> None:
    stored = batch_of(image=modality(HLS, made_up(HLS, (1, 1, 32, 32)) * 1e4, months(1)))
    with pytest.raises(InputError, match="band B02 of 'image', which prithvi_eo_v2_300 takes as BLUE"):
        encoder().encode(stored)
    with pytest.raises(InputError, match="13 dates"):
        encoder().encode(batch(steps=13))
    with pytest.raises(ConfigError, match="Squares of 8 pixels"):
        encoder(options=PrithviOptions(image=8))


def test_it_loads_by_name_and_its_version_tells_weights_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prithvi, "PRITHVI", narrow_sizes())
    own = network_of(narrow_sizes()[PLAIN])
    said: list[str] = []
    made = models.load(PLAIN, write(tmp_path, published(own)), say=said.append)
    assert isinstance(made, PrithviPatches)
    assert made.version == encoder().version != encoder(options=PrithviOptions(image=160)).version
    assert "No checksum is known" in said[0] and "decoder.embed.weight" in said[1]
    assert torch.equal(made.encode(batch()).values, encoder().encode(batch()).values)


def test_a_scene_becomes_a_map_of_embeddings_in_windows(tmp_path: Path) -> None:
    height, width, steps = 60, 230, 2
    valid = np.ones((steps, height, width), bool)
    valid[:, :, :20] = False
    time = np.array(["2021-01-15", "2021-02-15"], "datetime64[ns]")
    grid = GeoBox((height, width), Affine(30, 0, 500_000, 0, -30, 5_400_000), "EPSG:32632")
    values = made_up(S2, (1, steps, height, width))[0].astype(np.float32)
    attrs = {"sensor": "", "level": "", "baseline": "", "source": "made up", "time_known": 1}
    ones, zeros = [1.0] * len(S2), [0.0] * len(S2)
    cube = cubes.make_cube(values, valid, grid, S2, time=time, scale=ones, offset=zeros, stored=False, attrs=attrs)
    report = embed_scene(encoder(KNOWING), cube, tmp_path / "emb.tif", progress=False)
    assert report.record.stride == 16 and report.record.bands == HLS.names
    with rasterio.open(report.prediction.files["embedding"]) as opened:
        assert opened.count == 32 and opened.shape == (4, 15)
        mapped, mask = opened.read(), opened.read_masks(1) > 0
    # The first column of cells is covered, of the second one 4 of 16 columns are.
    assert not mask[:, 0].any() and mask[:3, 1:14].all()
    window = torch.from_numpy(np.where(valid[:, None], values, 0)[None, :, :, :, :192].copy())
    part = Modality(
        window,
        torch.from_numpy(valid[None, :, None, :, :192].copy()),
        S2,
        torch.from_numpy(time.astype("datetime64[s]").astype(np.int64))[None],
        (GeoBox((height, 192), grid.affine, "EPSG:32632"),),
    )
    direct = encoder(KNOWING).using(S2).encode(batch_of(image=part)).values[0, :, :3, 1:12].numpy()
    assert np.abs(mapped[:, :3, 1:12] - direct).max() < 2e-3 * np.abs(direct).max()
