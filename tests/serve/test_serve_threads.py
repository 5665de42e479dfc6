"""Many threads of a server at once: who changes the filters of warnings, which threads share, does so alone."""

from __future__ import annotations

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.errors import NotGeoreferencedWarning
from serve_maps import LEGEND, Writer
from shapely.geometry import MultiPolygon, box

from swath.serve import Layer
from swath.serve.analyse import analyse
from swath.serve.burn import burnt, outlined
from swath.serve.download import clip, polygons
from swath.serve.places import Question
from swath.serve.tiles import RasterLayer


class Watch:
    """Counts how many threads are inside of ``warnings.catch_warnings`` at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside, self.most, self.entries = 0, 0, 0
        lock, watch, plain = threading.Lock(), self, warnings.catch_warnings

        class Watched(plain):  # type: ignore[misc, valid-type]
            def __enter__(self) -> Any:
                with lock:
                    watch.inside += 1
                    watch.entries += 1
                    watch.most = max(watch.most, watch.inside)
                time.sleep(0.0005)  # long enough for others to come in, if nothing keeps them out
                return super().__enter__()

            def __exit__(self, *told: object) -> None:
                super().__exit__(*told)
                with lock:
                    watch.inside -= 1

        monkeypatch.setattr(warnings, "catch_warnings", Watched)


def test_only_one_thread_at_a_time_changes_the_filters(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(3).choice([0, 1, 2], (300, 300), p=[0.1, 0.5, 0.4]).astype(np.uint8)
    path = write_raster(tmp_path / "map.tif", data, 15, 45.3, 0.001, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    layer = Layer(id="map", title="Map", path=path.name, kind="categorical", legend=LEGEND)
    asked = Question("map", MultiPolygon([box(15.1, 45.1, 15.15, 45.15)]))

    def turn(number: int) -> tuple[int, int, int]:
        raster = RasterLayer(layer, tmp_path)  # of its own, so that it opens the file itself
        clipped = clip(raster, asked, tmp_path / f"clip{number}.tif").stat().st_size
        raster.tile(9, 277, 183)
        return clipped, len(polygons(raster, asked)["features"]), analyse(raster, asked)["pixels"]

    alone = turn(0)
    watch = Watch(monkeypatch)
    with warnings.catch_warnings(), ThreadPoolExecutor(6) as pool:
        warnings.simplefilter("error", NotGeoreferencedWarning)  # the suite lets it pass, here it must not come up
        watch.inside = 0  # the two lines above are not counted
        watch.most = 0
        assert list(pool.map(turn, range(1, 9))) == [alone] * 8
    assert watch.entries > 8
    assert watch.most == 1


def test_burning_and_outlining_are_inverse() -> None:
    codes = np.random.default_rng(5).integers(0, 3, (31, 17), dtype=np.int32)
    wanted = codes != 2
    pieces = outlined(codes, wanted, 1000, 10_000)
    assert pieces is not None
    again = burnt([(piece, code + 1) for piece, code in pieces], codes.shape, "int32")
    assert np.array_equal(again, np.where(wanted, codes + 1, 0))


@pytest.mark.parametrize(("most", "corners", "fits"), [(1, 5, True), (0, 5, False), (1, 4, False)])
def test_the_limits_of_outlines_are_what_still_fits(most: int, corners: int, fits: bool) -> None:
    one = outlined(np.zeros((1, 1), np.int32), np.ones((1, 1), bool), most, corners)
    assert (one is not None) == fits
