"""The thread that writes: a window that failed leaves no strip that counts."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predict_scenes import Pixelwise, opened, read, run, write

from swath.errors import ConfigError, ResourceError
from swath.predict.strips import StripFolder, TiledFile


def test_windows_behind_a_failed_one_do_not_finish_its_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that comes back a moment later: the strip has a hole by then, and must not be taken for whole."""
    from swath.predict import scene as room

    # The windows of a strip come faster than the disk takes them, so that some wait behind the one that fails.
    monkeypatch.setattr(room, "_WAITING", 100)
    monkeypatch.setattr("swath.predict.request.BUDGET", 5 * 3 * 96 * 96)
    values = np.random.default_rng(0).integers(0, 40, (3, 128, 480)).astype(np.int16)
    cube = opened(write(tmp_path / "scene.tif", values))
    whole = run(Pixelwise(), cube, tmp_path / "whole.tif")
    assert whole.block[1] < 480 / 3  # several windows in a strip
    place, failed = TiledFile.write, []

    def full_once(self: TiledFile, array: Any, column: int) -> None:
        if column and not failed:
            failed.append(column)
            raise OSError(errno.ENOSPC, "No space left on device")
        place(self, array, column)

    monkeypatch.setattr(TiledFile, "write", full_once)
    out = tmp_path / "maps" / "m.tif"
    with pytest.raises(ResourceError, match="No space left"):
        run(Pixelwise(), cube, out)
    assert failed and not out.exists()
    again = run(Pixelwise(), cube, out)
    assert again.resumed == 0
    np.testing.assert_array_equal(read(out), read(tmp_path / "whole.tif"))


@pytest.mark.parametrize("name", ["maps/deep/m.tif", "m.tif"])
def test_no_map_joins_the_folder_of_a_scene(tmp_path: Path, name: str) -> None:
    from swath.predict.request import check_request

    folder = tmp_path / "scene"
    folder.mkdir()
    with pytest.raises(ConfigError, match="replace or join the scene"):
        check_request(Pixelwise(), folder / name, source=folder)
    check_request(Pixelwise(), tmp_path / name, source=folder)


def test_no_map_replaces_what_a_virtual_raster_is_made_of(tmp_path: Path) -> None:
    import rasterio.shutil

    from swath.predict.request import check_request

    source = write(tmp_path / "source.tif", np.ones((3, 8, 8), dtype=np.int16), block=16)
    rasterio.shutil.copy(str(source), str(tmp_path / "scene.vrt"), driver="VRT")
    with pytest.raises(ConfigError, match="replace or join the scene"):
        check_request(Pixelwise(), source, source=tmp_path / "scene.vrt")
    with pytest.raises(ConfigError, match=r"source\.tif' would replace or join"):
        run(Pixelwise(), opened(tmp_path / "scene.vrt"), source)
    assert read(source).shape == (3, 8, 8)


def test_two_runs_on_one_map(tmp_path: Path) -> None:
    """The second would truncate strips that the first has counted."""
    folder = tmp_path / ".m.tif.work"
    with StripFolder(folder, "abc", True) as first:
        first.finish(0, (), {"failures": []})
        for keep in (True, False):
            with (
                pytest.raises(ResourceError, match="Another run is writing this map"),
                StripFolder(folder, "abc", keep),
            ):
                raise AssertionError
        assert first.record(0) is not None
    with StripFolder(folder, "abc", True) as later:
        assert later.record(0) is not None
        later.remove()
        with StripFolder(folder, "abc", True) as new:  # what removed the folder does not lock the next one
            assert new.record(0) is None
            new.remove()
    assert not folder.exists()
