"""Whole scenes with networks: equal to one pass over the image, holes, coarse outputs, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
from predict_scenes import BANDS, Network, Pixelwise, numbers, opened, read, run, unet, write
from torch import Tensor, nn
from torch.nn import functional as F

from swath.errors import ConfigError, InputError
from swath.predict import check_request, overlap_pixels
from swath.sensors import BandSet


class Pooled(nn.Module):
    """A U-Net of one level: convolution, pooling by 2, convolution, up, skip. It reaches 6 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.deep, self.last = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(8, 3, 1),
        )

    def forward(self, values: Tensor) -> Tensor:
        fine = self.first(values).relu()
        deep = self.deep(F.max_pool2d(fine, 2)).relu()
        out: Tensor = self.last(torch.cat([fine, F.interpolate(deep, scale_factor=2)], dim=1))
        return out


class Patches(nn.Module):
    """One number per 4 x 4 pixels and component."""

    def forward(self, values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 4) * 40


def test_a_pooled_network_gives_what_one_pass_over_the_image_gives(tmp_path: Path) -> None:
    # Stride 48 is a multiple of the pooling, and an overlap of 24 leaves a margin of 6 pixels: the network's reach.
    values = numbers(150, 210)
    values[values < 0] = 1
    model = Network(Pooled(), "pixel_regression")
    run(model, opened(write(tmp_path / "s.tif", values)), tmp_path / "m.tif", tile=72, overlap=24, block=100)
    with torch.no_grad():
        whole = model(torch.from_numpy(values.astype(np.float32))[None] / 40)[0].numpy()
    inside = np.s_[:, 6:-6, 6:-6]
    np.testing.assert_allclose(read(tmp_path / "m.tif")[inside], whole[inside], atol=1e-5)


@pytest.mark.parametrize("strict", [True, False])
def test_a_hole_stays_that_hole_behind_a_network(strict: bool, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 40, (3, 100, 90)).astype(np.float32)
    values[:, 40:50, 30:40] = np.nan
    values[1, 70:80, 60:70] = np.nan
    run(unet(), opened(write(tmp_path / "s.tif", values)), tmp_path / "m.tif", strict=strict)
    expected = np.ones((100, 90), dtype=bool)
    expected[40:50, 30:40] = False
    expected[70:80, 60:70] = not strict
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0] != 255, expected)


@pytest.mark.parametrize("strict", [True, False])
def test_coarse_outputs_equal_a_pass_over_the_image(strict: bool, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 40, (3, 90, 130)).astype(np.int16)
    values[:, 33, 41] = -1
    out = tmp_path / "m.tif"
    report = run(Network(Patches(), "embedding", 4), opened(write(tmp_path / "s.tif", values)), out, strict=strict)
    assert report.shape == (23, 33)
    filled = np.pad(np.where(values < 0, 0, values), ((0, 0), (0, 2), (0, 2))).astype(np.float32)
    whole = filled.reshape(3, 23, 4, 33, 4).mean(axis=(2, 4))
    if strict:
        whole[:, 8, 10] = np.nan
    np.testing.assert_allclose(read(out), whole, rtol=1e-3)
    import rasterio

    with rasterio.open(out) as dataset:
        assert dataset.res == (40, 40)
        assert tuple(dataset.bounds)[::3] == (500_000, 5_000_000)


@pytest.mark.parametrize(("tile", "overlap"), [(30, 8), (32, 6)])
def test_tiles_of_coarse_outputs_are_multiples(tile: int, overlap: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        check_request(Network(Patches(), "embedding", 4), tmp_path / "m.tif", tile=tile, overlap=overlap)


def test_equal_bytes_under_blocks_and_schedulers_and_nearly_so_under_threads(tmp_path: Path) -> None:
    scene = write(tmp_path / "s.tif", numbers(170, 150))
    ways: list[tuple[str, dict[str, Any], str, int]] = [
        ("a", {}, "threads", 1),
        ("b", {"block": 40}, "threads", 1),
        ("c", {"block": 999}, "synchronous", 1),
        ("d", {}, "threads", 2),
    ]
    before, maps = torch.get_num_threads(), []
    for name, options, scheduler, threads in ways:
        torch.set_num_threads(threads)
        with dask.config.set(scheduler=scheduler):
            run(unet(), opened(scene), tmp_path / f"{name}.tif", outputs=("probability",), **options)
        maps.append((tmp_path / f"{name}.tif").read_bytes())
    torch.set_num_threads(before)
    assert maps[0] == maps[1] == maps[2]
    # torch itself adds up in another order with other threads.
    difference = np.abs(read(tmp_path / "d.tif").astype(int) - read(tmp_path / "a.tif"))
    assert difference.max() <= 1


def test_threads_of_torch_agree_to_a_millionth(tmp_path: Path) -> None:
    scene, model, before, maps = write(tmp_path / "s.tif", numbers(100, 90)), unet(), torch.get_num_threads(), []
    model.task = "pixel_regression"
    for threads in (1, 2):
        torch.set_num_threads(threads)
        run(model, opened(scene), tmp_path / "m.tif", resume=False)
        maps.append(read(tmp_path / "m.tif"))
    torch.set_num_threads(before)
    np.testing.assert_allclose(maps[1], maps[0], atol=2e-6, rtol=1e-6)


def test_batch_sizes_agree_to_a_millionth(tmp_path: Path) -> None:
    scene = write(tmp_path / "s.tif", numbers(100, 90))
    model = unet()
    model.task = "pixel_regression"
    maps = []
    for size in (1, 3, 8):
        run(model, opened(scene), tmp_path / "m.tif", batch_size=size)
        maps.append(read(tmp_path / "m.tif"))
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (31, 5), (33, 65)])
def test_odd_and_tiny_scenes(shape: tuple[int, int], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 40, (3, *shape)).astype(np.int16)
    report = run(Pixelwise(), opened(write(tmp_path / "s.tif", values, block=16)), tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], values.argmax(axis=0))
    assert report.valid_share == 1


def test_other_bands_are_a_sentence(tmp_path: Path) -> None:
    scene = write(tmp_path / "s.tif", numbers(40, 40)[:2])
    with pytest.raises(InputError, match=r"No source band serves blue.*What to do"):
        run(Pixelwise(), opened(scene), tmp_path / "m.tif")
    one = Pixelwise(classes=("one",), inputs={"optical": BandSet.of("red", unit="DN")})
    assert run(one, opened(scene), tmp_path / "m.tif").pixels["one"] == 40 * 40 - 63
    assert BANDS


@pytest.mark.parametrize(
    ("text", "pixels"), [("64", 64), ("25%", 64), ("0", 0), ("50 %", 128), ("12.5%", 32), (128, 128)]
)
def test_overlaps_as_text(text: str | int, pixels: int) -> None:
    assert overlap_pixels(text, 256) == pixels


@pytest.mark.parametrize("text", ["51%", "100%", "-1", "129", "300", "a quarter", "1.5", "", "nan%"])
def test_overlaps_out_of_range_are_sentences(text: str) -> None:
    with pytest.raises(ConfigError, match=r"The overlap is .*Expected: .*What to do: "):
        overlap_pixels(text, 256)
