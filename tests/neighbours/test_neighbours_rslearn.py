"""Chip sets become rslearn windows and come back; rslearn itself reads them where its environment is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from neighbour_chips import made, python_of, split_of

from swath import chips, cubes
from swath.errors import ConfigError, InputError
from swath.neighbours import open_window, read_windows, write_windows
from swath.neighbours.rslearn import directory_of


@pytest.fixture(scope="module")
def chipset(tmp_path_factory: pytest.TempPathFactory) -> chips.ChipSet:
    return made(tmp_path_factory.mktemp("rslearn") / "chips")


@pytest.fixture(scope="module")
def written(chipset: chips.ChipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_windows(chipset, split_of(chipset), tmp_path_factory.mktemp("rslearn") / "windows")


def test_every_chip_of_the_split_comes_back(chipset: chips.ChipSet, written: Path) -> None:
    windows = read_windows(written)
    split = split_of(chipset)
    assert {(each.group, each.name) for each in windows} == {
        (part, name) for part in split.counts() for name in split.ids(part)
    }
    for window in windows:
        arrays = chipset.load([window.name])
        scene = open_window(window, "image")
        (node,) = scene.children.values()
        cube = node.to_dataset()
        assert cube.odc.geobox == chipset.geobox(window.name) == window.geobox
        assert list(cube["band"].values) == ["B02", "B_8"]
        assert str(cube["time"].values[0])[:19] == "2024-05-06T10:20:30"
        valid = np.broadcast_to(cube["valid"].values.reshape(1, -1, 8, 8), (1, 2, 8, 8))
        np.testing.assert_array_equal(valid, arrays.valid[0])
        np.testing.assert_array_equal(np.where(valid, cube["data"].values, 0), arrays.values[0])
        label = cubes.to_cube(open_window(window, "label"))["data"].values[0, 0]
        np.testing.assert_array_equal(np.where(label == 255, -100, label.astype(int)), np.where(
            arrays.labels[0] == -100, -100, arrays.labels[0]
        ))  # fmt: skip


def test_names_of_folders_are_those_of_rslearn() -> None:
    assert directory_of(["B02", "B03"]) == "B02_B03"
    assert directory_of(["B_8"]) == "a52d99307a2d9a623bae778c896f6bd83105b860557b4a7d9af6e5ac4b1af5f3"
    assert len(directory_of([f"band{number}" for number in range(40)])) == 64


def test_unfinished_layers_do_not_count(written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    first = read_windows(copy)[0]
    (first.folder / "layers" / "image" / "completed").unlink()
    again = read_windows(copy)[0]
    assert list(again.layers) == ["label"]
    with pytest.raises(InputError, match=r"no finished layer 'image'.*one of label"):
        open_window(again, "image")


def test_faults_are_sentences(written: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no .*config\.json"):
        read_windows(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    damaged = next(copy.glob("windows/*/*/metadata.json"))
    record = json.loads(damaged.read_text())
    for broken in ("{", "[]", json.dumps({**record, "bounds": [0, 0]}), json.dumps({**record, "projection": {}})):
        damaged.write_text(broken)
        with pytest.raises(InputError, match=r"metadata\.json"):
            read_windows(copy)
    shutil.rmtree(copy / "windows")
    with pytest.raises(InputError, match="There is no window"):
        read_windows(copy)
    (copy / "config.json").write_text('{"layers": {"image": {}}}')
    with pytest.raises(InputError, match=r"config\.json"):
        read_windows(copy)


def test_grids_that_rslearn_cannot_place_are_refused(tmp_path: Path) -> None:
    odd = made(tmp_path / "chips", corner=(500_003.0, 5_000_000.0))
    with pytest.raises(ConfigError, match=r"50000\.300 x .*whole numbers of pixels"):
        write_windows(odd, split_of(odd), tmp_path / "windows")
    assert not (tmp_path / "windows").exists()


SCRIPT = """
import sys, numpy
from upath import UPath
from rslearn.dataset import Dataset
data = Dataset(UPath(sys.argv[1]))
windows = sorted(data.load_windows(), key=lambda each: each.name)
for window in windows:
    assert window.is_layer_completed("image") and window.is_layer_completed("label")
    for layer in ("image", "label"):
        bands = data.layers[layer].band_sets[0]
        raster = window.data.read_raster(layer, bands.bands, bands.instantiate_raster_format())
        array = raster.get_chw_array() if hasattr(raster, "get_chw_array") else raster.array[:, 0]
        print(window.group, window.name, layer, array.shape, float(numpy.nansum(array.astype("float64"))))
"""


def test_rslearn_reads_what_was_written(chipset: chips.ChipSet, written: Path) -> None:
    done = subprocess.run(
        [python_of("rslearn"), "-c", SCRIPT, str(written)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if " image " in line or " label " in line]
    split = split_of(chipset)
    assert len(lines) == 2 * sum(split.counts().values())
    for line in lines:
        _, name, layer = line.split()[:3]
        total, arrays = float(line.split()[-1]), chipset.load([name])
        if layer == "image":
            assert "(2, 8, 8)" in line
            assert total == pytest.approx(arrays.values[arrays.valid].sum(dtype=float), rel=1e-6)
        else:
            assert total == np.where(arrays.labels == -100, 255, arrays.labels).sum()
