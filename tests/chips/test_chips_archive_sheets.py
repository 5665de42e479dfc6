"""A scene that is opened for some chips alone gives them the pixels of the whole scene, and reads no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from archive_makers import BOX, SIDE, hls
from odc.geo.geobox import GeoBox

from swath.chips.archive import Request
from swath.chips.archive.scene import Scene
from swath.cubes import raster


def chip(row: float, column: float, size: int = 16, gsd: float = 30.0) -> GeoBox:
    move = Affine.translation(BOX.affine.c + column * 30, BOX.affine.f - row * 30)
    return GeoBox((size, size), move * Affine.scale(gsd, -gsd), BOX.crs)


ON_PIXELS = (chip(3, 4), chip(3, 4), chip(SIDE - 5, SIDE - 7), chip(-9, 20), chip(500, 0), chip(10, 10, 40))


@pytest.mark.parametrize("boxes", [ON_PIXELS, ON_PIXELS[4:5], (chip(3, 4), chip(8.4, 9.7)), (chip(0, 0, 8, 60.0),)])
def test_chips_of_a_cut_scene_are_those_of_the_whole_one(tmp_path: Path, boxes: tuple[GeoBox, ...]) -> None:
    fmask = np.random.default_rng(0).integers(0, 3, (SIDE, SIDE))
    item = hls(tmp_path, "2024-05-20", fmask=fmask, holes=(slice(2, 9), slice(0, 30)))
    request = Request(masks=("cloud",))
    whole, cut = Scene.of(item, request), Scene.of(item, request, boxes)
    for box in boxes:
        for one, other in zip(whole.on(box, "nearest"), cut.on(box, "nearest"), strict=True):
            np.testing.assert_array_equal(one.compute(), other.compute())
        assert whole.quality is not None
        assert cut.quality is not None
        for one, other in zip(whole.quality.on(box, "nearest"), cut.quality.on(box, "nearest"), strict=True):
            np.testing.assert_array_equal(one.compute(), other.compute())


def test_a_cut_scene_reads_its_windows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = hls(tmp_path, "2024-05-20")
    asked, read = [], raster.read_window

    def watched(file, bands, rows, columns, *, masks=False):  # type: ignore[no-untyped-def]
        asked.append((rows, columns))
        return read(file, bands, rows, columns, masks=masks)

    monkeypatch.setattr("swath.cubes.remote.many.read_window", watched)
    boxes = (chip(3, 4), chip(SIDE - 5, SIDE - 7))
    scene = Scene.of(item, Request(), boxes)
    scene.on(boxes[0], "nearest")[0].compute()
    assert set(asked) == {((3, 19), (4, 20)), ((65, 70), (63, 70))}
    assert len(asked) == 2 * 6
