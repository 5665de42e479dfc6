"""Windows straight from files: the same pixels as the cube, any number of threads, faults, flat memory, training."""

from __future__ import annotations

import gc
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from swath import chips, cubes
from swath.chips import WindowStream, stored_scene
from swath.chips.handles import Handles
from swath.chips.stored import StoredScene
from swath.cubes import Legend
from swath.cubes.assemble import Options
from swath.errors import ConfigError, InputError
from swath.types import IGNORE, Batch

LEGEND = Legend.of("water", "forest", "crop")
PLACE = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
NODATA = 65_535


def write(path: Path, array: np.ndarray, *, block: int = 16, nodata: float | None = NODATA, **more: Any) -> Path:
    """A tiled, compressed raster ``(band, y, x)``."""
    profile = {"driver": "GTiff", "height": array.shape[1], "width": array.shape[2], "count": len(array)}
    layout = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate"}
    given = {"crs": "EPSG:32633", "transform": PLACE, "dtype": array.dtype.name, "nodata": nodata, **layout, **more}
    scales = given.pop("scales", None)
    with rasterio.open(path, "w", **profile, **given) as dataset:
        dataset.write(array)
        if scales:
            dataset.scales, dataset.offsets = scales
    return path


def numbers(shape: tuple[int, int], bands: int = 3, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    array = draw.integers(0, 10_000, (bands, *shape)).astype(np.uint16)
    array[:, 5:25, 10:35] = NODATA
    array[-1, 40:42] = NODATA
    return array


@pytest.fixture
def pair(tmp_path: Path) -> list[StoredScene]:
    """Two scenes with labels, one with a mask beside it, interleaved by pixel and by band."""
    scenes = []
    for index, (shape, interleave) in enumerate([((70, 90), "pixel"), ((64, 50), "band")]):
        image = numbers(shape, seed=index)
        scales = ((1e-4, 1e-4, 2.0), (-0.1, -0.1, 0.5))
        path = write(tmp_path / f"scene{index}.tif", image, interleave=interleave, scales=scales)
        label = np.random.default_rng(9 + index).integers(0, 4, (1, *shape)).astype(np.uint8)
        labels = write(tmp_path / f"labels{index}.tif", np.where(label == 3, 255, label), nodata=255, block=32)
        scenes.append(stored_scene(path, labels=labels))
    return scenes


def stream_of(scenes: list[StoredScene], count: Any = 40, **more: Any) -> WindowStream:
    options = {"size": 12, "batch_size": 7, "seed": 3, "legend": LEGEND, "memory_mb": 1.0} | more
    return WindowStream(scenes, count, **options)


def everything(batches: Any) -> list[tuple[Any, ...]]:
    """All that two runs must share, bit for bit."""
    return [
        (batch.ids, image.values.numpy().tobytes(), image.valid.numpy().tobytes(), image.grid, label)
        for batch in batches
        for image in [batch.inputs["image"]]
        for label in [batch.targets["label"].numpy().tobytes() if batch.targets else b""]
    ]


def test_pixels_masks_and_labels_equal_those_of_the_cube(pair: list[StoredScene]) -> None:
    stream = stream_of(pair)
    seen = ignored = 0
    whole = [cubes.to_physical(next(iter(cubes.nodes_of(cubes.open(s.parts[0].file.path)).values()))) for s in pair]
    marks = [cubes.read_labels(s.parts[-1].file.path).values for s in pair]
    for batch in stream.epoch(0):
        batch.check({"label": "segmentation"})
        image = batch.inputs["image"]
        for k in range(batch.batch_size):
            scene, row, column = stream.plan(0).windows[seen].tolist()
            rows, columns = slice(row, row + 12), slice(column, column + 12)
            cube = whole[scene]
            valid = cube["valid"].values[:, :, rows, columns]
            assert (image.valid[k].numpy() == valid).all()
            assert (image.values[k].numpy() == np.where(valid, cube["data"].values[..., rows, columns], 0)).all()
            expected = np.where(valid.any(axis=(0, 1)), marks[scene][rows, columns], IGNORE)
            assert (batch.targets["label"][k].numpy() == expected).all()
            assert cubes.same_grid(image.grid[k], cubes.geobox_of(cube.isel(y=rows, x=columns)))
            seen += 1
        ignored += int((batch.targets["label"] == IGNORE)[~image.valid.any(dim=2)[:, 0]].sum())
    assert seen == 40 and len(stream) == 6 and ignored > 100  # some labels lie where nothing is valid


@pytest.mark.parametrize("memory_mb", [0.06, 0.3, 8.0])
def test_workers_change_no_bit(pair: list[StoredScene], memory_mb: float) -> None:
    runs = [everything(stream_of(pair, memory_mb=memory_mb, workers=n).epoch(1)) for n in (1, 2, 5)]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != everything(stream_of(pair, memory_mb=memory_mb).epoch(2))


def test_an_epoch_goes_on_where_it_stopped(pair: list[StoredScene]) -> None:
    stream = stream_of(pair, batch_size=4, memory_mb=0.1)
    whole = everything(stream.epoch(0))
    for start in (0, 1, 5, 9, 10, 11):
        assert everything(stream.epoch(0, start)) == whole[start:]
    assert everything(iter(stream)) == whole
    with pytest.raises(ConfigError, match="start = -1"):
        next(stream.epoch(0, -1))


def test_windows_given_come_once_in_a_new_order_each_epoch(pair: list[StoredScene]) -> None:
    grids = [chips.grid_windows((70, 90), 10), chips.grid_windows((64, 50), 10, edge="shift")]
    stream = stream_of(pair, chips.stack_windows(grids), size=10)
    first, second = ([name for batch in stream.epoch(e) for name in batch.ids] for e in (0, 1))
    assert len(set(first)) == len(first) == sum(map(len, grids))
    assert sorted(first) == sorted(second) and first != second


def test_memory_is_what_the_plan_says(pair: list[StoredScene], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(pair, 200, memory_mb=0.2)
    for epoch in (0, 1):
        list(stream.epoch(epoch))
        windows, blocks = stream._memories
        made = stream.plan(epoch)
        assert windows.made <= max(stream.plan(e).slots for e in (0, 1)) + 1  # one for windows of kept blocks only
        assert blocks.made <= max(stream.plan(e).kept for e in (0, 1)) + made.ahead
        assert made.peak_bytes + stream._batch_bytes <= stream.memory
        assert len(windows._free) == windows.made and len(blocks._free) == blocks.made  # all came back


def test_masks_of_files_and_masks_beside_them(tmp_path: Path) -> None:
    image = numbers((40, 40))
    alpha = np.full((1, 40, 40), 255, np.uint16)
    alpha[:, :, :9] = 0
    colour = {"photometric": "RGB", "alpha": "YES", "nodata": None}
    path = write(tmp_path / "rgba.tif", np.concatenate([image, alpha]), **colour)
    beside = np.ones((1, 40, 40), np.uint8)
    beside[:, 30:] = 0
    beside[:, 28] = 7
    mask = write(tmp_path / "mask.tif", beside, nodata=7)
    scene = stored_scene(path, mask=mask, options=Options(bands=("r", "g", "b")))
    (batch,) = WindowStream([scene], np.array([[0, 0, 0]]), size=40, batch_size=1, seed=0).epoch(0)
    expected = np.ones((40, 40), bool)
    expected[:, :9], expected[30:], expected[28] = False, False, False
    assert (batch.inputs["image"].valid[0, 0].numpy() == expected).all()
    assert (batch.inputs["image"].values[0, 0].numpy() == np.where(expected, image, 0)).all()
    assert batch.targets == {}


def test_single_band_files_floats_and_a_choice_of_bands(tmp_path: Path) -> None:
    image = numbers((30, 30)).astype(np.float32) / 1e4
    image[0, 3, 4], image[2, 5, 6] = np.nan, np.inf
    kinds, files = (np.float32, np.float64, np.uint16), []
    for index, kind in enumerate(kinds):
        array = np.nan_to_num(image[index : index + 1], posinf=1) if kind is np.uint16 else image[index : index + 1]
        files.append(write(tmp_path / f"b{index}.tif", array.astype(kind), block=16 * (index + 1), nodata=None))
    scene = stored_scene(files, wanted=("b2", "b0"))
    assert scene.bands.names == ("b2", "b0") and scene.layout(8).block == (30, 30)
    (batch,) = WindowStream([scene], np.array([[0, 0, 0]]), size=30, batch_size=4, seed=0).epoch(0)
    values, valid = batch.inputs["image"].values[0, 0].numpy(), batch.inputs["image"].valid[0, 0].numpy()
    assert (~valid[1]).sum() == 1 and not valid[1, 3, 4] and values[1, 3, 4] == 0
    assert (values[1][valid[1]] == image[0][valid[1]]).all()
    assert valid[0].all()


def test_another_grid_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", numbers((64, 64)))
    coarse = np.zeros((1, 32, 32), np.uint8)
    labels = write(tmp_path / "coarse.tif", coarse, nodata=255, transform=PLACE @ Affine.scale(2))
    with pytest.raises(InputError) as told:
        stored_scene(path, labels=labels)
    assert "64 x 64 pixels of 10" in str(told.value) and "32 x 32 pixels of 20" in str(told.value)
    command = shlex.split(told.value.remedy.removeprefix("warp it once: "))
    assert command[0] == "rio" and "nearest" in command
    subprocess.run([Path(sys.executable).with_name("rio"), *command[1:]], check=True, capture_output=True)
    assert stored_scene(path, labels=command[3]).has_labels
    moved = write(tmp_path / "moved.tif", numbers((64, 64), 1), transform=PLACE @ Affine.translation(3, 0))
    with pytest.raises(InputError, match="resampling bilinear"):
        stored_scene([write(tmp_path / "one.tif", numbers((64, 64), 1)), moved])


def spoil(path: Path, column: int, row: int) -> None:
    """Overwrite the stored bytes of one block."""
    with rasterio.open(path) as dataset:
        tag = {
            what: int(dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1))
            for what in ("OFFSET", "SIZE")
        }
    with path.open("r+b") as file:
        file.seek(tag["OFFSET"])
        file.write(b"\xff" * tag["SIZE"])


def test_windows_on_a_block_that_cannot_be_read_are_left_out_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", numbers((64, 64)), interleave="pixel")
    spoil(path, 1, 2)
    windows = chips.stack_windows([chips.grid_windows((64, 64), 8, 4)])
    touching = {tuple(w) for w in windows.tolist() if 24 < w[1] < 48 and 8 < w[2] < 32}
    assert touching
    for workers in (1, 3):
        stream = stream_of([stored_scene(path)], windows, size=8, legend=None, workers=workers, memory_mb=0.2)
        batches = list(stream.epoch(0))
        assert len(batches) == len(stream)
        assert sum(batch.batch_size for batch in batches) == len(windows) - len(touching)
        (failure,) = stream.failures
        assert failure.item == "rows 32 to 47, columns 16 to 31 of scene" and failure.stage == "read"
        assert "scene.tif" in failure.reason and failure.retry
        list(stream.epoch(1))
        assert len(stream.failures) == 1  # told once
    for batch in batches:
        batch.check()


def test_a_batch_of_which_nothing_is_left_is_one_window_of_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", numbers((16, 16)), interleave="pixel")
    labels = write(tmp_path / "labels.tif", np.zeros((1, 16, 16), np.uint8), nodata=255)
    spoil(path, 0, 0)
    (batch,) = stream_of([stored_scene(path, labels=labels)], 3).epoch(0)
    batch.check({"label": "segmentation"})
    assert batch.batch_size == 1 and not batch.inputs["image"].valid.any() and not batch.inputs["image"].values.any()
    assert (batch.targets["label"] == IGNORE).all()


def test_windows_with_too_few_valid_pixels_are_dropped(tmp_path: Path) -> None:
    image = numbers((32, 32))
    image[:, :, 16:] = NODATA
    scene = stored_scene(write(tmp_path / "half.tif", image))
    windows = chips.stack_windows([chips.grid_windows((32, 32), 16)])
    stream = stream_of([scene], windows, size=16, legend=None, min_valid=0.5, batch_size=4)
    (batch,) = stream.epoch(0)
    assert set(batch.ids) == {"half_r00000_c00000", "half_r00016_c00000"} and stream.dropped == 2
    batch.check()


def test_a_file_that_changes_is_noticed(pair: list[StoredScene]) -> None:
    stream = stream_of(pair[:1])
    path = Path(pair[0].parts[0].file.path)
    os.utime(path, ns=(1, 1))
    list(stream.epoch(0))
    assert "was changed or removed" in next(iter(stream.failures)).reason


def test_augmentation_follows_seed_and_epoch(pair: list[StoredScene]) -> None:
    augment = chips.Augment()
    runs = [everything(stream_of(pair, augment=augment, workers=n).epoch(0)) for n in (1, 3)]
    assert runs[0] == runs[1] != everything(stream_of(pair).epoch(0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 0}, "size = 0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"workers": 0}, "workers = 0"),
        ({"workers": 9}, "at most 8"),
        ({"min_valid": 1.5}, "min_valid = 1.5"),
        ({"size": 65}, "hold 156 windows"),
        ({"size": 100}, "hold 0 windows"),
        ({"memory_mb": 0.03}, "raise memory_mb"),
        ({"memory_mb": float("nan")}, "memory_mb = nan"),
        ({"memory_mb": float("inf")}, "memory_mb = inf"),
        ({"legend": None}, "2 of 2 scenes have labels, and no legend"),
        ({"legend": Legend.of("water")}, "holds the value"),
        ({"count": 0}, "no windows"),
        ({"count": np.zeros((0, 3), np.int64)}, "no windows"),
    ],
)
def test_bad_options_are_told(pair: list[StoredScene], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ConfigError, InputError), match=sentence):
        list(stream_of(pair, **({"count": 500} | change)).epoch(0))


def test_bad_scenes_are_told(pair: list[StoredScene], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scenes"):
        stream_of([])
    bare = stored_scene(write(tmp_path / "bare.tif", numbers((64, 64))))
    with pytest.raises(InputError, match="2 of 3 scenes have labels"):
        stream_of([*pair, bare])
    other = stored_scene(write(tmp_path / "four.tif", numbers((64, 64), 4)))
    with pytest.raises(InputError, match="the same bands in all scenes"):
        stream_of([bare, other], legend=None)
    with pytest.raises(InputError, match="NetCDF or Zarr"):
        stored_scene(tmp_path / "scene.nc")
    three = write(tmp_path / "three.tif", numbers((64, 64)))
    with pytest.raises(InputError, match="has 3 bands"):
        stored_scene(three, labels=three)
    with pytest.raises(InputError, match="No source band serves"):
        stored_scene(three, wanted=("nowhere",))
    fractions = write(tmp_path / "half.tif", np.full((1, 64, 64), 0.5, np.float32), nodata=None)
    with pytest.raises(InputError, match="holds fractions"):
        list(stream_of([stored_scene(three, labels=fractions)]).epoch(0))
    options = Options(sensor="sentinel2_l2a", baseline="05.09", bands=("B04",))
    with pytest.raises(InputError, match="holds reflectance already"):
        stored_scene(write(tmp_path / "B04.tif", np.full((1, 64, 64), 0.25, np.float32), nodata=None), options=options)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("workers", [1, 4])
def test_memory_and_files_stay_flat_over_ten_thousand_windows(tmp_path: Path, workers: int) -> None:
    scenes = [stored_scene(write(tmp_path / f"s{i}.tif", numbers((256, 256), seed=i), block=64)) for i in range(3)]
    stream = stream_of(scenes, 2_500, size=16, batch_size=25, legend=None, memory_mb=2.0, workers=workers)
    seen = 0

    def run(epoch: int) -> None:
        nonlocal seen
        for batch in stream.epoch(epoch):
            seen += batch.batch_size

    run(0)
    gc.collect()
    threads, files, before = threading.active_count(), len(os.listdir("/proc/self/fd")), resident_mb()
    for epoch in (1, 2, 3, 4):
        run(epoch)
    gc.collect()
    assert seen == 12_500
    assert resident_mb() - before < 30
    assert threading.active_count() == threads and len(os.listdir("/proc/self/fd")) == files


def test_an_epoch_left_early_closes_threads_and_files(pair: list[StoredScene]) -> None:
    stream = stream_of(pair, workers=3)
    next(stream.epoch(0))
    gc.collect()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    batches = stream.epoch(0)
    next(batches)
    assert threading.active_count() == threads + 3
    batches.close()
    assert threading.active_count() == threads and len(os.listdir("/proc/self/fd")) == files
    two = zip(stream.epoch(0), stream.epoch(0), strict=True)  # two at a time do not disturb each other
    assert all(torch.equal(a.inputs["image"].values, b.inputs["image"].values) for a, b in two)


def test_handles_are_shared_and_closed(pair: list[StoredScene]) -> None:
    handles, file = Handles(), pair[0].parts[0].file
    with handles.borrow(file) as first, handles.borrow(file) as second:
        assert first is not second  # one thread at a time for each
    with handles.borrow(file) as again:
        assert again in (first, second)
    handles.close()
    assert first.closed and second.closed


def test_fit_runs_on_a_stream(pair: list[StoredScene], tmp_path: Path) -> None:
    from swath.learn import FitConfig, SegmentationLoss, SegmentationTask, fit
    from swath.nn import Normalise, UNet

    network = UNet(3, 3, width=4, depth=2)
    normalise = Normalise([0.5, 0.5, 5000.0], [0.3, 0.3, 3000.0])
    task = SegmentationTask(network, normalise, pair[0].bands, LEGEND.names, loss=SegmentationLoss())
    stream = stream_of(pair, 20, size=16, batch_size=5)
    result = fit(task, stream, config=FitConfig(epochs=2), out=tmp_path / "run", seed=0, progress=False)
    assert result.epochs == 2 and result.steps == 2 * len(stream)
    assert all(np.isfinite(line["loss"]) for line in result.history)


def test_ids_tell_scenes_of_one_name_apart(tmp_path: Path) -> None:
    scenes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        scenes.append(stored_scene(write(tmp_path / folder / "scene.tif", numbers((16, 16)))))
    batch: Batch
    (batch,) = stream_of(scenes, np.array([[0, 1, 2], [1, 1, 2]]), legend=None).epoch(0)
    assert sorted(batch.ids) == ["0_scene_r00001_c00002", "1_scene_r00001_c00002"]
