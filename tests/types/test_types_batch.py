from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath import sensors
from swath.errors import ContractError
from swath.grids import Box, Grid, HealPix, LatLon, shape
from swath.sensors import BandSet
from swath.types import IGNORE, TARGETS, Batch, Modality

WEATHER = BandSet.of("t2m", "u10", "v10", "msl")


def geobox(rows: int, columns: int, east: float = 500_000.0, crs: str = "EPSG:32633", step: float = 10.0) -> GeoBox:
    return GeoBox((rows, columns), Affine(step, 0.0, east, 0.0, -step, 5_000_000.0), crs)


def modality(grid: tuple[Grid, ...], bands: BandSet, times: int = 1) -> Modality:
    size = (len(grid), times, len(bands), *shape(grid[0]))
    return Modality(
        values=torch.zeros(size),
        valid=torch.ones(size, dtype=torch.bool),
        bands=bands,
        time=torch.arange(times).expand(len(grid), times) * 86_400,
        grid=grid,
    )


def labels(*size: int) -> torch.Tensor:
    return torch.arange(int(np.prod(size))).reshape(size) % 3


def segmentation(inputs: dict[str, Modality], *size: int) -> Batch:
    target = labels(*size)
    target[0].flatten()[:1] = IGNORE
    count = size[0]
    return Batch(inputs, {"cover": target}, {"cover": target != IGNORE}, tuple(f"chip-{i}" for i in range(count)))


def eo_batch() -> Batch:
    bands = sensors.load("hls_s30").bands
    return segmentation({"s2": modality((geobox(8, 6), geobox(8, 6, 500_060.0)), bands, times=3)}, 2, 8, 6)


def point_batch() -> Batch:
    grid = tuple(LatLon.point(lon, lat) for lon, lat in ((180.0, 90.0), (-180.0, -90.0), (0.0, 0.0)))
    target = torch.tensor([[1.5], [float("nan")], [2.0]])
    return Batch(
        {"station": modality(grid, WEATHER, times=24)},
        {"pm10": target},
        {"pm10": torch.isfinite(target)},
        ("pole", "other pole", "null island"),
    )


def multi_sensor_batch() -> Batch:
    fine = modality((geobox(12, 12),), sensors.load("sentinel2_l2a").bands.select(["red", "nir"]))
    coarse = modality((geobox(4, 4, step=30.0),), sensors.load("landsat8_oli").bands, times=2)
    radar = modality((geobox(12, 12, crs="EPSG:32632"),), sensors.load("sentinel1_grd").bands)
    shared = replace(coarse, valid=torch.ones((1, 2, 1, 1, 1), dtype=torch.bool))
    return segmentation({"s2": fine, "landsat": shared, "s1": radar}, 1, 12, 12)


def weather_batch() -> Batch:
    target = torch.zeros((2, 4, 4, 12, 24))
    return Batch(
        {"era5": modality((LatLon.regular(15.0),) * 2, WEATHER, times=2)},
        {"next": target},
        {"next": torch.ones((1, 1, 1, 1, 1), dtype=torch.bool)},
        ("2020-01-01", "2020-01-02"),
    )


def healpix_batch() -> Batch:
    target = torch.zeros((2, 1, 4, 12, 4, 4))
    return Batch(
        {"era5": modality((HealPix(4),) * 2, WEATHER, times=2)},
        {"next": target},
        {"next": torch.ones_like(target, dtype=torch.bool)},
        ("a", "b"),
    )


def turbulence_batch() -> Batch:
    return Batch({"flow": modality((Box((16, 16), (6.28, 6.28)),), BandSet.of("vorticity"))}, ids=("run-1",))


def objects_batch() -> Batch:
    return Batch(
        {"rgb": modality((geobox(4, 4),) * 2, BandSet.of("red", "green", "blue"))},
        {"boxes": [{"boxes": torch.zeros((0, 4))}, {"boxes": torch.ones((2, 4))}], "caption": ["a field", ""]},
        {"boxes": [True, True], "caption": torch.tensor([True, False])},
        ("a", "b"),
    )


def empty_batch() -> Batch:
    nothing = Modality(
        torch.zeros((0, 1, 4, 12, 2, 2)),
        torch.zeros((0, 1, 4, 12, 2, 2), dtype=torch.bool),
        WEATHER,
        torch.zeros((0, 1), dtype=torch.int64),
        (),
    )
    return Batch({"era5": nothing})


BATCHES: dict[str, tuple[Callable[[], Batch], dict[str, Any]]] = {
    "earth observation": (eo_batch, {"cover": "segmentation"}),
    "points": (point_batch, {"pm10": "regression"}),
    "several sensors": (multi_sensor_batch, {"cover": "segmentation"}),
    "latitude and longitude": (weather_batch, {"next": "forecast"}),
    "healpix": (healpix_batch, {"next": "forecast"}),
    "periodic box": (turbulence_batch, {}),
    "objects and texts": (objects_batch, {"boxes": "detection", "caption": "caption"}),
    "no sample": (empty_batch, {}),
}


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_every_kind_pass(name: str) -> None:
    make, tasks = BATCHES[name]
    make().check(tasks)
    make().to("cpu").check(tasks)
    assert make().batch_size == len(make().ids)


def with_input(**changes: Any) -> Batch:
    batch = eo_batch()
    return replace(batch, inputs={"s2": replace(batch.inputs["s2"], **changes)})


def of_input(**changes: Callable[[Any], Any]) -> Batch:
    first = eo_batch().inputs["s2"]
    return with_input(**{name: change(getattr(first, name)) for name, change in changes.items()})


def with_target(target: Any, valid: Any) -> Batch:
    return replace(eo_batch(), targets={"cover": target}, target_valid={"cover": valid})


def spoilt(values: torch.Tensor, number: float) -> torch.Tensor:
    values = values.clone()
    values[1, 0, 0, 0, 0] = number
    return values


COVER = eo_batch().targets["cover"]
TRUE = torch.ones_like(COVER, dtype=torch.bool)

VIOLATIONS: dict[str, tuple[Callable[[], Batch], str]] = {
    "no input": (lambda: Batch({}), "The batch has no inputs"),
    "numpy values": (lambda: of_input(values=lambda v: v.numpy()), r"'inputs\['s2'\]\.values' is a ndarray"),
    "double values": (lambda: of_input(values=lambda v: v.double()), r"values' has dtype float64.*Expected: float32"),
    "integer values": (lambda: of_input(values=lambda v: v.short()), r"dtype int16.*Sensor\.to_physical"),
    "float mask": (lambda: of_input(valid=lambda v: v.float()), r"valid' has dtype float32.*Expected: bool"),
    "short time": (lambda: of_input(time=lambda v: v.int()), r"time' has dtype int32.*Expected: int64"),
    "list of bands": (lambda: with_input(bands=["red"]), r"bands' is a list.*a BandSet"),
    "no time axis": (
        lambda: of_input(values=lambda v: v[:, 0]),
        r"shape \(2, 13, 8, 6\).*the 5 axes sample, time, band",
    ),
    "one axis too many": (lambda: of_input(values=lambda v: v[None]), r"shape \(1, 2, 3, 13, 8, 6\)"),
    "time and band swapped": (
        lambda: of_input(values=lambda v: v.transpose(1, 2), valid=lambda v: v.transpose(1, 2)),
        r"has 3 channels but 13 bands \(B01",
    ),
    "mask of another size": (lambda: of_input(valid=lambda v: v[..., :3]), r"valid' has shape \(2, 3, 13, 8, 3\)"),
    "mask without band axis": (lambda: of_input(valid=lambda v: v[:, :, 0]), r"valid' has shape \(2, 3, 8, 6\)"),
    "mask larger than values": (
        lambda: of_input(values=lambda v: v[:, :1], time=lambda v: v[:, :1]),
        r"valid' has shape \(2, 3, 13, 8, 6\) and the values \(2, 1, 13, 8, 6\)",
    ),
    "one time for all": (lambda: of_input(time=lambda v: v[0]), r"time' has shape \(3,\).*\(2, 3\)"),
    "too few grids": (lambda: of_input(grid=lambda v: v[:1]), "holds 1 grids for 2 samples"),
    "grid of another size": (
        lambda: with_input(grid=(geobox(8, 6), geobox(6, 8))),
        r"grid\[1\]' has shape \(6, 8\) and the values \(8, 6\)",
    ),
    "healpix grid, no faces": (lambda: with_input(grid=(HealPix(8),) * 2), "the 6 axes sample, time, band, face, y, x"),
    "no grid at all": (lambda: with_input(grid=("EPSG:4326",) * 2), "a str was given"),
    "nan": (lambda: of_input(values=lambda v: spoilt(v, float("nan"))), r"NaN or infinite numbers in samples \[1\]"),
    "infinity": (lambda: of_input(values=lambda v: spoilt(v, float("inf"))), "NaN or infinite"),
    "dates backwards": (lambda: of_input(time=lambda v: v.flip(1)), "goes backwards along the time axis"),
    "fewer ids": (lambda: replace(eo_batch(), ids=("a",)), r"holds 2 samples and the batch has 1 ids"),
    "no ids": (lambda: replace(eo_batch(), ids=()), r"has 0 ids"),
    "ids twice": (lambda: replace(eo_batch(), ids=("a", "a")), "Sample ids appear twice: a"),
    "target without mask": (lambda: replace(eo_batch(), target_valid={}), r"Targets \['cover'\] and target_valid \[\]"),
    "mask without target": (lambda: replace(eo_batch(), targets={}), r"Targets \[\] and target_valid \['cover'\]"),
    "short target": (lambda: with_target(COVER[:1], TRUE[:1]), r"targets\['cover'\] holds 1 samples"),
    "numpy target": (lambda: with_target(COVER.numpy(), TRUE), r"is a ndarray.*torch\.from_numpy"),
    "no target": (lambda: with_target(None, TRUE), "is a NoneType"),
    "text as target": (lambda: with_target("ab", [True, True]), "is a str"),
    "target without axes": (lambda: with_target(COVER[0, 0, 0], TRUE), "is a Tensor without axes"),
    "target mask is float": (lambda: with_target(COVER, TRUE.float()), "is not a bool tensor.*target != -100"),
    "target mask is a list": (lambda: with_target(COVER, [True, True]), "is not a bool tensor"),
    "target mask of another size": (lambda: with_target(COVER, TRUE[:, :3]), r"shape \(2, 3, 6\) and the target"),
    "target mask with fewer axes": (lambda: with_target(COVER, TRUE[0]), r"shape \(8, 6\).*same number of axes"),
    "ragged mask too short": (lambda: with_target([1, 2], [True]), "holds 1 entries for 2 samples"),
    "ragged mask of numbers": (lambda: with_target([1, 2], [1, 0]), "one bool per sample"),
    "ragged mask missing": (lambda: with_target([1, 2], None), "is a NoneType for 2 samples"),
    "nan target": (
        lambda: with_target(COVER * float("nan"), TRUE),
        "NaN or infinite numbers where target_valid is True",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_every_violation_gets_its_sentence(name: str) -> None:
    make, words = VIOLATIONS[name]
    with pytest.raises(ContractError, match=words) as caught:
        make().check()
    assert caught.value.expected
    assert caught.value.remedy


def ignoring(target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    return torch.where(valid, target, IGNORE)


HALF = TRUE.clone()
HALF[:, 0] = False

TASK_VIOLATIONS: dict[str, tuple[Callable[[], Batch], str, str, str]] = {
    "no such target": (eo_batch, "labels", "segmentation", r"no target 'labels' \(it has \['cover'\]\)"),
    "no target at all": (turbulence_batch, "labels", "segmentation", "it has none"),
    "no such task": (eo_batch, "cover", "segmentaton", "task 'segmentaton' is unknown.*nearest are: segmentation"),
    "int32 labels": (lambda: with_target(COVER.int(), TRUE), "cover", "segmentation", "is int32.*Expected: int64"),
    "labels for a regression": (eo_batch, "cover", "pixel_regression", "is int64.*Expected: float32"),
    "list for a segmentation": (lambda: with_target([1, 2], [True] * 2), "cover", "segmentation", "is ragged"),
    "tensor for a detection": (eo_batch, "cover", "detection", "is int64.*Expected: ragged"),
    "labels of images": (eo_batch, "cover", "classification", r"shape \(2, 8, 6\).*the axes sample for"),
    "channel axis": (
        lambda: with_target(COVER[:, None], TRUE[:, None]),
        "cover",
        "segmentation",
        r"shape \(2, 1, 8, 6\).*sample, y, x",
    ),
    "face axis missing": (
        lambda: replace(
            healpix_batch(),
            targets={"next": torch.zeros((2, 1, 4, 4, 4))},
            target_valid={"next": torch.ones((2, 1, 1, 1, 1), dtype=torch.bool)},
        ),
        "next",
        "forecast",
        r"sample, time, K, F, y, x",
    ),
    "negative label": (
        lambda: with_target(COVER - 1, TRUE),
        "cover",
        "segmentation",
        r"holds the labels \[-101, -1\] where target_valid is True",
    ),
    "label under the mask": (
        lambda: with_target(ignoring(COVER, HALF).clamp(min=0), HALF),
        "cover",
        "segmentation",
        "labels other than -100 where target_valid is False",
    ),
}


@pytest.mark.parametrize("name", TASK_VIOLATIONS)
def test_every_violation_of_a_task_gets_its_sentence(name: str) -> None:
    make, target, task, words = TASK_VIOLATIONS[name]
    with pytest.raises(ContractError, match=words):
        make().check({target: task})  # type: ignore[dict-item]


def test_a_mask_that_is_shared_is_read_along_the_right_axis() -> None:
    # Four samples and four columns: a (4,) mask would fit both, so it is refused; (4, 1, 1) is the samples.
    target = torch.full((4, 4, 4), IGNORE)
    target[1:] = 1
    batch = Batch(
        {"x": modality((geobox(4, 4),) * 4, BandSet.of("red"))},
        {"cover": target},
        {"cover": torch.tensor([False, True, True, True])[:, None, None]},
        ("a", "b", "c", "d"),
    )
    batch.check({"cover": "segmentation"})
    with pytest.raises(ContractError, match="same number of axes"):
        replace(batch, target_valid={"cover": torch.tensor([False, True, True, True])}).check()


def test_target_table_covers_every_task() -> None:
    assert all(shape.axes[0] == "sample" for shape in TARGETS.values())
    assert all(shape.dtype == "int64" for shape in TARGETS.values() if shape.labels)


def dated(*moments: str) -> Modality:
    seconds = np.array([moments], dtype="datetime64[s]").astype(np.int64)
    base = modality((LatLon.point(0.0, 0.0),), BandSet.of("t2m"), times=len(moments))
    return replace(base, time=torch.from_numpy(seconds))


def test_year_day_and_hour() -> None:
    times = dated("1969-12-31T23:59:59", "1970-01-01", "2020-02-29T12:30", "2020-12-31T06", "2100-03-01")
    times.check()
    year, doy = times.year_doy()
    assert year.tolist() == [[1969, 1970, 2020, 2020, 2100]]
    assert doy.tolist() == [[364, 0, 59, 365, 59]]
    assert year.dtype == doy.dtype == torch.int64
    assert times.hour().tolist() == [[pytest.approx(24 - 1 / 3600, abs=1e-4), 0.0, 12.5, 6.0, 0.0]]
    assert times.hour().dtype == torch.float32


@settings(deadline=None, max_examples=40)
@given(st.datetimes())
def test_calendar_agrees_with_the_standard_library(moment: Any) -> None:
    year, doy = dated(moment.replace(microsecond=0).isoformat()).year_doy()
    assert (int(year), int(doy)) == (moment.year, moment.timetuple().tm_yday - 1)


def test_places_of_all_grids() -> None:
    assert eo_batch().inputs["s2"].lonlat().shape == (2, 2, 8, 6)
    assert healpix_batch().inputs["era5"].lonlat().shape == (2, 2, 12, 4, 4)
    assert empty_batch().inputs["era5"].lonlat().shape == (0, 2, 12, 2, 2)
    points = point_batch().inputs["station"]
    assert points.lonlat()[:, :, 0, 0].tolist() == [[180.0, 90.0], [-180.0, -90.0], [0.0, 0.0]]
    assert points.lonlat().dtype == torch.float32
    assert points.gsd_m().tolist() == [0.0, 0.0, 0.0]
    assert eo_batch().inputs["s2"].gsd_m().tolist() == [10.0, 10.0]
    with pytest.raises(ContractError, match="no longitude and latitude"):
        turbulence_batch().inputs["flow"].lonlat()


def test_moving_a_batch_leaves_lists_alone() -> None:
    batch = objects_batch()
    moved = batch.to("meta")
    assert moved.inputs["rgb"].values.device.type == "meta"
    assert moved.target_valid["caption"].device.type == "meta"
    assert moved.targets["caption"] == ["a field", ""]
    assert batch.inputs["rgb"].values.device.type == "cpu"


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([(1, 1), (1, 5), (3, 2)]),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_any_mask_of_ones_and_full_axes_fits(b: int, t: int, c: int, space: tuple[int, int], whole: list[bool]) -> None:
    bands = BandSet.of(*(f"b{index}" for index in range(c)))
    full = modality((Box(space, (1.0, 1.0)),) * b, bands, times=t)
    size = [int(n) if keep else 1 for n, keep in zip(full.values.shape, whole, strict=True)]
    replace(full, valid=torch.zeros(size, dtype=torch.bool)).check()
