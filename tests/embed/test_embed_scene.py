"""Scenes as maps of embeddings: equal to direct encoding, masked, recorded, refused where something is unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from affine import Affine
from model_batches import S1, S2, galileo, made_up, presto
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from swath import cubes, models
from swath.embed import Storage, embed_scene, read_record
from swath.embed.record import EmbeddingRecord
from swath.errors import ConfigError, InputError
from swath.models import Encoder, PatchOptions
from swath.sensors import BandSet
from swath.types import Batch, Modality

GRID = Affine(10, 0, 500_000, 0, -10, 5_400_000)


def cube_of(bands: BandSet, steps: int, height: int, width: int, *, hole: bool = True, known: int = 1) -> xr.Dataset:
    """Physical values with a hole of no data in the upper left quarter."""
    values = made_up(bands, (1, steps, height, width))[0].astype(np.float32)
    valid = np.ones((steps, height, width), bool)
    if hole:
        valid[:, : height // 2, : width // 2] = False
    time = np.array([f"2021-{step + 1:02d}-15" for step in range(steps)], "datetime64[ns]")
    attrs = {"sensor": "", "level": "", "baseline": "", "source": "made up", "time_known": known}
    box = GeoBox((height, width), GRID, "EPSG:32632")
    ones, zeros = [1.0] * len(bands), [0.0] * len(bands)
    return cubes.make_cube(values, valid, box, bands, time=time, scale=ones, offset=zeros, stored=False, attrs=attrs)


def batch_of_cube(cube: xr.Dataset) -> Batch:
    values, valid = cube["data"].values[None], cube["valid"].values[None]
    valid = valid if valid.ndim == 5 else valid[:, :, None]
    time = torch.from_numpy(cube["time"].values.astype("datetime64[s]").astype(np.int64))[None]
    image = Modality(
        torch.from_numpy(np.where(valid, values, 0)),
        torch.from_numpy(valid),
        cubes.bands_of(cube),
        time,
        (cube.odc.geobox,),
    )
    return Batch({"image": image}, ids=("all",))


@pytest.mark.parametrize(
    ("encoder", "storage"),
    [(presto(), "float16"), (galileo().with_options(PatchOptions(patch=4, place=False)), "int8")],
    ids=["presto", "galileo"],
)
def test_a_map_holds_what_direct_encoding_gives(tmp_path: Path, encoder: Encoder, storage: Storage) -> None:
    cube = cube_of(S2, 2, 22, 17)
    report = embed_scene(encoder, cube, tmp_path / "emb.tif", storage=storage, progress=False)
    direct = encoder.using(S2).encode(batch_of_cube(cube))
    with rasterio.open(tmp_path / "emb.tif") as raster:
        stored, scale = raster.read(), raster.scales[0]
        assert raster.count == 128 and raster.crs.to_epsg() == 32632
        assert raster.transform.a == 10 * encoder.output_stride
        missing = np.isnan(stored[0]) if storage == "float16" else stored[0] == raster.nodata
        assert raster.dtypes[0] == ("float32" if storage == "float16" else "int8")
    assert np.array_equal(~missing, direct.valid[0].numpy())
    wanted = direct.values[0].numpy()[:, ~missing]
    made = stored[:, ~missing] * scale
    relative = np.sqrt(np.mean((made - wanted) ** 2) / np.mean(wanted**2))
    assert relative < (1e-3 if storage == "float16" else 0.05)
    assert report.record.rounding is not None and report.record.rounding == pytest.approx(relative, rel=1.0, abs=1e-3)
    assert cog_validate(tmp_path / "emb.tif", strict=True)[0]
    record = read_record(tmp_path / "emb.tif")
    assert record == report.record
    assert (record.encoder, record.bands, record.stride) == (encoder.name, S2.names, encoder.output_stride)
    assert record.dates == ("2021-01-15T00:00:00", "2021-02-15T00:00:00")
    models.require_version(record.version, encoder.using(S2), "emb.tif")
    with pytest.raises(InputError, match=r"emb.tif holds embeddings of the version"):
        models.require_version(record.version, encoder.using(S1), "emb.tif")


@pytest.mark.parametrize(
    "change", [{"version": 3}, {"schema_version": 9}, {"more": 1}, {"bands": "VV"}, {"stride": None}]
)
def test_a_damaged_record_is_a_sentence(tmp_path: Path, change: dict[str, object]) -> None:
    record = EmbeddingRecord("presto", "presto-1", 128, 1, ("VV",), ("2021-01-15",), "float16", 1.0, None, "a.tif")
    path = record.write(tmp_path / "emb.tif")
    assert read_record(tmp_path / "emb.tif") == record
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="record"):
        read_record(tmp_path / "emb.tif")
    path.unlink()
    with pytest.raises(InputError, match="no file"):
        read_record(tmp_path / "emb.tif")


def test_a_scene_without_date_or_fitting_band_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'made up' has no date.*presto knows the month.*--time"):
        embed_scene(presto(), cube_of(S2, 1, 4, 4, known=0), tmp_path / "emb.tif", progress=False)
    with pytest.raises(InputError, match="No band of the scene fits"):
        embed_scene(presto(), cube_of(BandSet.of("a", "b"), 1, 4, 4), tmp_path / "emb.tif", progress=False)
    with pytest.raises(ConfigError, match="float16 or int8"):
        embed_scene(presto(), cube_of(S2, 1, 4, 4), tmp_path / "emb.tif", storage="float64")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_backscatter_in_linear_units_is_refused_by_its_unit(tmp_path: Path) -> None:
    linear = BandSet(tuple(replace(band, unit="1") for band in S1))
    cube = cube_of(S1, 1, 4, 4)
    cube = cube.assign_coords(band_unit=("band", np.array([band.unit for band in linear], object)))
    with pytest.raises(InputError, match=r"band VV of 'made up' has the unit '1'.*Expected: 'dB'"):
        embed_scene(presto(), cube, tmp_path / "emb.tif", progress=False)


def test_stored_numbers_called_physical_are_refused_by_their_range(tmp_path: Path) -> None:
    cube = cube_of(S2, 1, 8, 8)
    cube = cube.assign(data=cube["data"] * 10_000)
    with pytest.raises(InputError, match="B02"):
        embed_scene(presto(), cube, tmp_path / "emb.tif", progress=False)


def test_strict_leaves_out_what_lacks_a_band(tmp_path: Path) -> None:
    cube = cube_of(S2, 1, 6, 6, hole=False)
    valid = np.ones((1, 10, 6, 6), bool)
    valid[0, 0, :3] = False  # B02 alone
    cube = cube.assign(valid=(("time", "band", "y", "x"), valid))
    assert bool(presto().encode(batch_of_cube(cube)).valid.all())
    strict = embed_scene(presto(), cube, tmp_path / "b.tif", strict=True, progress=False)
    assert strict.prediction.valid_share == pytest.approx(0.5)
