"""Prediction that was stopped goes on, and gives the bytes of a run that was not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from predict_scenes import Pixelwise, content, numbers, opened, run, unet, write
from rasterio.errors import NotGeoreferencedWarning

from swath.errors import InputError, ResourceError
from swath.predict.resume import fingerprint
from swath.predict.strips import Output, StripFolder, StripWriter, TiledFile
from swath.predict.sweep import Sweep
from swath.types import Batch, Prediction

OUTPUTS = ("class", "probability", "entropy")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write(tmp_path / "scene.tif", numbers(300, 140))


class Stopped(Exception):
    """A stop that no part of swath knows."""


class StopsAfter(Pixelwise):
    """Stops at the call of the given number."""

    def predict(self, batch: Batch) -> Prediction:
        CALLS.append(1)
        if len(CALLS) > LIMIT[0]:
            raise Stopped
        return super().predict(batch)


CALLS: list[int] = []
LIMIT = [10**9]


@pytest.fixture(autouse=True)
def no_limit() -> None:
    CALLS.clear()
    LIMIT[0] = 10**9


def stopped(scene: Path, out: Path, calls: int, **options: Any) -> None:
    CALLS.clear()
    LIMIT[0] = calls
    with pytest.raises(Stopped):
        run(StopsAfter(), opened(scene), out, outputs=OUTPUTS, **options)
    CALLS.clear()
    LIMIT[0] = 10**9


def test_a_stopped_run_goes_on_and_gives_the_same_bytes_and_report(scene: Path, tmp_path: Path) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    report = run(StopsAfter(), opened(scene), whole / "m.tif", outputs=OUTPUTS)
    assert report.resumed == 0 and report.strips > 3
    stopped(scene, other / "m.tif", 9)
    assert [path.name for path in other.iterdir()] == [".m.tif.work"]
    again = run(StopsAfter(), opened(scene), other / "m.tif", outputs=OUTPUTS)
    assert 0 < again.resumed < again.strips
    assert content(whole) == content(other)
    assert set(content(other)) == {
        f"m{name}.{kind}" for name in ("", "_probability", "_entropy") for kind in ("tif", "qml")
    }
    for name in ("predicted", "skipped", "pixels", "area_km2", "valid_share", "seams", "recompute", "tiles"):
        assert getattr(report, name) == getattr(again, name), name


@pytest.mark.parametrize("change", ["weights", "scene", "overlap", "outputs", "strict", "fresh"])
def test_what_another_request_left_is_not_taken(change: str, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps" / "m.tif"
    stopped(scene, out, 9)
    options: dict[str, Any] = {"outputs": OUTPUTS}
    options |= {"overlap": {"overlap": 4}, "outputs": {"outputs": ("class",)}, "strict": {"strict": False}}.get(
        change, {}
    )
    options |= {"resume": False} if change == "fresh" else {}
    if change == "scene":
        write(scene, numbers(300, 140, seed=1))
        os.utime(scene, (1, 1))
    predictor = StopsAfter(factor=-1.0 if change == "weights" else 1.0)
    report = run(predictor, opened(scene), out, **options)
    assert report.resumed == 0
    run(predictor, opened(scene), tmp_path / "anew" / "m.tif", **options)
    assert content(out.parent) == content(tmp_path / "anew")


def test_damaged_strips_and_records_are_done_again(scene: Path, tmp_path: Path) -> None:
    run(StopsAfter(), opened(scene), tmp_path / "whole" / "m.tif", outputs=OUTPUTS)
    for damage in ("cut", "gone", "record", "request"):
        out = tmp_path / damage / "m.tif"
        stopped(scene, out, 12)
        work = out.parent / ".m.tif.work"
        rasters, records = sorted(work.glob("strip*_class.tif")), sorted(work.glob("strip*.json"))
        assert records
        if damage == "cut":
            rasters[0].write_bytes(rasters[0].read_bytes()[:-5])
        elif damage == "gone":
            rasters[0].unlink()
        else:
            (records[0] if damage == "record" else work / "request.json").write_text("{")
        report = run(StopsAfter(), opened(scene), out, outputs=OUTPUTS)
        assert report.resumed == (0 if damage == "request" else len(records) - 1)
        assert content(out.parent) == content(tmp_path / "whole")


def test_a_cube_in_memory_is_not_resumed_and_leaves_nothing(scene: Path, tmp_path: Path) -> None:
    cube = opened(scene).load()
    LIMIT[0] = 9
    with pytest.raises(Stopped):
        run(StopsAfter(), cube, tmp_path / "maps" / "m.tif")
    assert not list((tmp_path / "maps").iterdir())


def test_fingerprints_tell_models_scenes_and_options_apart(scene: Path, tmp_path: Path) -> None:
    cube, model = opened(scene), unet()
    same = {fingerprint(unet(), opened(scene), {"tile": 32}) for _ in range(2)}
    assert len(same) == 1 and None not in same
    other = unet()
    with torch.no_grad():
        next(other.parameters())[0, 0, 0, 0] += 1e-3
    named = unet()
    named.classes = ("red", "green", "clay")
    copy = shutil.copy(scene, tmp_path / "copy.tif")
    masked = cube.assign(valid=cube["valid"] & (cube["data"] > 3))
    prints = [
        fingerprint(model, cube, {"tile": 32}),
        fingerprint(model, cube, {"tile": 64}),
        fingerprint(other, cube, {"tile": 32}),
        fingerprint(named, cube, {"tile": 32}),
        fingerprint(model, opened(Path(copy)), {"tile": 32}),
        fingerprint(model, masked, {"tile": 32}),
    ]
    assert len(set(prints)) == len(prints) and None not in prints
    assert fingerprint(model, cube.load(), {}) is None
    assert fingerprint(model, opened(scene).assign_attrs(source="https://there"), {}) is None


def test_another_process_finds_the_same_fingerprint(scene: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from predict_scenes import *;"
        "from swath.predict.resume import fingerprint; from swath.predict.layers import layers; p = unet();"
        "print(fingerprint(p, opened(Path(sys.argv[2])), {'wanted': layers(p, ('class', 'entropy'), None)}))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(scene)]
    prints = {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() for _ in range(2)}
    assert len(prints) == 1
    assert len(prints.pop()) == 64


def test_a_full_disk_is_a_sentence_and_finished_strips_stay(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(StopsAfter(), opened(scene), tmp_path / "whole" / "m.tif", outputs=OUTPUTS)
    out, write_tile, seen = tmp_path / "maps" / "m.tif", TiledFile.write, [0]

    def full(file: TiledFile, array: np.ndarray, column: int) -> None:
        seen[0] += 1
        if seen[0] > 40:
            raise OSError(28, "No space left on device")
        write_tile(file, array, column)

    monkeypatch.setattr(TiledFile, "write", full)
    with pytest.raises(ResourceError, match=r"No space left.*make room and run the same command again"):
        run(StopsAfter(), opened(scene), out, outputs=OUTPUTS)
    assert [path.name for path in out.parent.iterdir()] == [".m.tif.work"]
    monkeypatch.undo()
    report = run(StopsAfter(), opened(scene), out, outputs=OUTPUTS)
    assert report.resumed > 0
    assert content(out.parent) == content(tmp_path / "whole")


def test_a_scene_that_changes_meanwhile_stops_the_run(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep = Sweep.run

    def touched(self: Sweep, *arguments: Any) -> Any:
        for position, finished in enumerate(run_sweep(self, *arguments)):
            if position == 5:
                os.utime(scene, (5, 5))
            yield finished

    monkeypatch.setattr(Sweep, "run", touched)
    with pytest.raises(InputError, match="was changed or removed while it was being predicted"):
        run(Pixelwise(), opened(scene), tmp_path / "maps" / "m.tif")
    assert not (tmp_path / "maps" / "m.tif").exists()


DRIVER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
import predict_scenes as parts
from swath.predict import strips
import swath.cubes.cog

scene, folder, points = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

def child(out, limit):
    # Every rename, write of a tile, record and copy counts; at the given one the process is killed.
    count = [0]
    def counting(function):
        def counted(*arguments, **options):
            count[0] += 1
            if count[0] == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return counted
    os.replace = counting(os.replace)
    os.rename = counting(os.rename)
    os.unlink = counting(os.unlink)
    strips.TiledFile.write = counting(strips.TiledFile.write)
    strips.TiledFile.close = counting(strips.TiledFile.close)
    strips.write_json = counting(strips.write_json)
    swath.cubes.cog.mosaic = counting(swath.cubes.cog.mosaic)
    swath.cubes.cog.write_style = counting(swath.cubes.cog.write_style)
    parts.run(parts.Pixelwise(), parts.opened(scene), out / "m.tif", outputs=("class", "entropy"), tile=16, block=32)
    (folder / "count").write_text(str(count[0]))

def forked(out, limit):
    process = os.fork()
    if process == 0:
        try:
            child(out, limit)
            os._exit(0)
        except BaseException as error:
            print(error, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

assert forked(folder / "whole", 0) == 0
expected = parts.content(folder / "whole")
total = int((folder / "count").read_text())
killed = 0
for limit in sorted({1 + total * point // points for point in range(points)}):
    out = folder / f"killed_{limit}"
    status = forked(out, limit)
    assert status == -signal.SIGKILL, (limit, status)
    shown = {name for name in parts.content(out) if not name.startswith(".")} if out.exists() else set()
    for name in shown:
        assert (out / name).read_bytes() == expected[name], (limit, name)
    assert forked(out, 0) == 0, limit
    assert parts.content(out) == expected, (limit, sorted(parts.content(out)))
    killed += 1
print("kill points", killed, "of", total)
"""


def test_killed_at_many_points_a_rerun_gives_the_same_bytes(tmp_path: Path) -> None:
    scene = write(tmp_path / "small.tif", numbers(100, 30), block=64)
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(scene), str(tmp_path), "24"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[2]) >= 20


def test_a_tiled_file_is_a_sparse_raster_for_gdal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for dtype, nodata in (("uint8", 255), ("uint16", 65535), ("float32", np.nan), ("float16", np.nan), ("int16", -5)):
        values = rng.integers(0, 99, (3, 700, 53)).astype(dtype)
        file = TiledFile(tmp_path / "t.tif", values.shape, 16, np.dtype(dtype), nodata)
        file.write(values[:, :, 16:32], 16)
        file.write(values[:, :, 48:], 48)
        file.close()
        expected = np.full(values.shape, nodata, dtype=dtype)
        expected[:, :, 16:32], expected[:, :, 48:] = values[:, :, 16:32], values[:, :, 48:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(tmp_path / "t.tif")
        with dataset, np.errstate(all="ignore"):
            np.testing.assert_array_equal(dataset.read(), expected.astype(dataset.dtypes[0]))


def test_an_unfinished_strip_does_not_count(tmp_path: Path) -> None:
    with StripFolder(tmp_path / "work", "abc", True) as folder:
        writer = StripWriter(folder, [Output("class", 1, np.dtype("uint8"), 255)], [20, 20], 16, 16)
        writer.write(0, {"class": np.zeros((1, 20, 16), np.uint8)}, 0)
        writer.close()
        assert folder.record(0) is None
        writer.finish(1, {"counts": {}})  # nothing valid in it
        assert folder.record(1) == {"counts": {}, "sizes": {}}
        assert folder.parts("class", (0, 20, 40))[0].path.name == "strip_00000_class.tif"
    with StripFolder(tmp_path / "work", "abc", True) as folder:
        assert folder.record(1) is not None
    with StripFolder(tmp_path / "work", "abd", True) as folder:
        assert folder.record(1) is None
