"""Parts of a scene that cannot be read: the rest is mapped, and what is missing is said."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from predict_scenes import Pixelwise, content, numbers, opened, read, run, write

from swath.errors import InputError
from swath.predict import chunks as chunks_room


def damage(path: Path, blocks: list[tuple[int, int]], band: int = 1) -> None:
    """Overwrite stored blocks (row, column), keeping the stamp of the file."""
    status = path.stat()
    with rasterio.open(path) as dataset:
        places = [
            [int(dataset.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=band)) for what in ("OFFSET", "SIZE")]
            for y, x in blocks
        ]
    with path.open("r+b") as file:
        for start, size in places:
            file.seek(start)
            file.write(b"\xff" * size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    values = numbers(256, 160)
    values[values < 0] = 3
    return write(tmp_path / "scene.tif", values)


def test_a_damaged_block_is_no_data_and_its_neighbours_are_not(scene: Path, tmp_path: Path) -> None:
    whole = run(Pixelwise(), opened(scene), tmp_path / "whole.tif")
    assert whole.failures == () and whole.failure_table is None
    damage(scene, [(3, 2)])
    report = run(Pixelwise(), opened(scene), tmp_path / "m.tif")
    expected = read(tmp_path / "whole.tif")
    expected[:, 96:128, 64:96] = 255
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), expected)
    (failure,) = report.failures
    assert failure.item == f"rows 96 to 127, columns 64 to 95 of {scene}"
    assert failure.stage == "read"
    assert "only strips with failures are repeated" in failure.retry
    table = list(csv.DictReader((tmp_path / "m.tif.failures.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["item"] for row in table] == [failure.item]
    assert report.failure_table == tmp_path / "m.tif.failures.csv"
    assert report.valid_share == pytest.approx(1 - 32 * 32 / (256 * 160))
    assert report.as_dict()["failures"][0]["item"] == failure.item


def test_a_band_that_cannot_be_read_leaves_the_others_in_lenient_mode(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", np.full((3, 96, 96), 5, dtype=np.int16), interleave="band")
    damage(scene, [(1, 1)], band=2)
    report = run(Pixelwise(), opened(scene), tmp_path / "m.tif", strict=False)
    assert report.valid_share == 1
    assert report.failures[0].item.startswith("rows 32 to 63, columns 32 to 63, band green of")
    assert run(Pixelwise(), opened(scene), tmp_path / "s.tif").valid_share == pytest.approx(8 / 9)
    together = opened(scene)  # one mask for all bands: what one band lacks, all lack
    together = together.assign(valid=together["valid"].isel(band=0, drop=True))
    assert run(Pixelwise(), together, tmp_path / "o.tif", strict=False).valid_share == pytest.approx(8 / 9)


def test_a_rerun_repeats_only_strips_with_failures(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A medium that fails for the moment: the file itself, and its stamp, stay as they are.
    run(Pixelwise(), opened(scene), tmp_path / "whole" / "m.tif")
    compute = chunks_room.Chunks._compute

    def failing(self: Any, group: Any) -> Any:
        if any(piece.rows[0] < 200 <= piece.rows[1] and piece.columns[0] < 40 for piece in group):
            raise OSError("input/output error")
        return compute(self, group)

    monkeypatch.setattr(chunks_room.Chunks, "_compute", failing)
    out = tmp_path / "maps" / "m.tif"
    report = run(Pixelwise(), opened(scene), out)
    assert report.failures and (out.parent / ".m.tif.work").is_dir()
    assert "input/output error" in report.failures[0].reason
    monkeypatch.undo()
    again = run(Pixelwise(), opened(scene), out)
    assert 0 < again.resumed < again.strips
    assert again.failures == () and not (out.parent / "m.tif.failures.csv").exists()
    assert content(out.parent) == content(tmp_path / "whole")


def test_a_scene_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", numbers(64, 64))
    cube = opened(scene)
    damage(scene, [(y, x) for y in range(2) for x in range(2)])
    (tmp_path / "maps").mkdir()
    with pytest.raises(InputError, match=r"4 parts of it cannot be read, first rows 0 to 31, columns 0 to 31"):
        run(Pixelwise(), cube, tmp_path / "maps" / "m.tif")
    assert not list((tmp_path / "maps").iterdir())


def test_errors_stop_the_run_when_asked_to(scene: Path, tmp_path: Path) -> None:
    damage(scene, [(3, 2)])
    with pytest.raises(InputError, match="cannot be read as a raster"):
        run(Pixelwise(), opened(scene), tmp_path / "m.tif", on_error="stop")
    assert not (tmp_path / "m.tif").exists()


def test_a_file_that_goes_away_stops_the_run(scene: Path, tmp_path: Path) -> None:
    cube = opened(scene)
    scene.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        run(Pixelwise(), cube, tmp_path / "m.tif")
    assert not (tmp_path / "m.tif").exists()
