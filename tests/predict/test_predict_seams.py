"""The seam figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from predict_scenes import Network, Pixelwise, numbers, opened, run, unet, write
from torch import Tensor, nn

from swath.predict.seams import SeamSums, sampling


def test_hand_worked_sums() -> None:
    sums = SeamSums()
    said, earlier = np.array([[0.8, 0.2], [0.2, 0.8]], np.float32), np.array([[0.6, 0.6], [0.4, 0.4]], np.float32)
    sums.tile(said, earlier, classes=True)
    fields = np.array([[[0, 0, 4, 4, 5, 5]]], np.float32)
    sums.steps(fields, np.array([[1, 1, 1, 1, 1, 0]], bool), ([], []), ([2, 5], [1, 4]))
    other = SeamSums()
    other.add(sums.as_dict())
    seams = other.result(classes=True)
    assert seams.disagreement == pytest.approx(0.3)
    assert (seams.class_changes, seams.pixels) == (0.5, 2)
    assert seams.step_ratio == pytest.approx(4 / 0.5)  # the pair with an invalid pixel does not count
    assert SeamSums().result(classes=True).disagreement is None
    assert other.result(classes=False).class_changes is None


@pytest.mark.parametrize(("overlap", "step"), [(0, 1), (2, 1), (8, 1), (16, 2), (64, 8), (256, 8)])
def test_narrow_overlaps_are_compared_more_densely(overlap: int, step: int) -> None:
    assert sampling(overlap) == step


class Slope(nn.Module):
    """Something that depends on the place in the tile: the worst case of a seam."""

    def forward(self, values: Tensor) -> Tensor:
        return values[:, :3] * 0 + torch.linspace(0, 8, values.shape[-1]) * torch.tensor([1.0, 0, -1])[:, None, None]


def test_tiles_that_agree_have_no_seam_and_tiles_that_do_not_have_one(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", numbers(200, 200))
    same = run(Pixelwise(0.01), opened(scene), tmp_path / "a.tif").seams
    assert same.pixels > 100
    assert same.disagreement == pytest.approx(0, abs=1e-6)
    assert same.class_changes == pytest.approx(0, abs=0.01)
    assert same.step_ratio == pytest.approx(1, abs=0.1)
    for overlap in (0, 8):
        seen = run(Network(Slope()), opened(scene), tmp_path / "b.tif", overlap=overlap).seams
        assert seen.step_ratio is not None and seen.step_ratio > 3
        assert (seen.disagreement is None) == (overlap == 0)
    assert seen.disagreement is not None and seen.disagreement > 0.1


def test_a_network_has_a_figure_that_does_not_depend_on_blocks(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", numbers(150, 150))
    figures = [run(unet(), opened(scene), tmp_path / "a.tif", block=block).seams for block in (64, 64, 500)]
    assert figures[0] == figures[1]
    assert figures[0].pixels == figures[2].pixels
    assert figures[0].disagreement == pytest.approx(figures[2].disagreement)
    assert figures[0].step_ratio == pytest.approx(figures[2].step_ratio, rel=0.1)  # lines between strips are left out
    assert 0 < figures[0].disagreement < 0.1


def test_one_tile_has_no_seam(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", numbers(30, 20), block=16)
    seams = run(unet(), opened(scene), tmp_path / "a.tif").seams
    assert (seams.disagreement, seams.class_changes, seams.step_ratio, seams.pixels) == (None, None, None, 0)
