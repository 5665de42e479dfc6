"""Opening chip sets, reading samples, and batches that pass their check."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import geopandas
import numpy as np
import pytest
from chip_scenes import LEGEND, chip_set, label_map, scene, utm_box
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips import DropRules, pixels
from swath.cubes import Legend, to_physical
from swath.errors import InputError
from swath.types import IGNORE


def test_a_batch_passes_its_check_and_keeps_places_and_dates(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random((2, 4, 32, 32)) < 0.5
    cube = scene((32, 32), dates=2, valid=valid)
    cube["valid"].values[..., :4, :4] = False
    groups = {"r00000_c00000": "west"}
    made = chips.cut(
        cube, label_map((32, 32)), tmp_path / "a", size=16, legend=LEGEND, drop=DropRules(0, 0), groups=groups
    )
    batch = made.batch(made.ids[:3])
    batch.check({"label": "segmentation"})
    image = batch.inputs["image"]
    assert tuple(image.values.shape) == (3, 2, 4, 16, 16)
    assert image.time[0].tolist() == [1_590_969_600, 1_590_969_600 + 5 * 86_400]
    assert batch.meta["group"] == ("west", "", "")
    assert bool((batch.targets["label"][0, :4, :4] == IGNORE).all())
    assert image.grid[1] == utm_box((32, 32))[:16, 16:]


def test_labels_become_class_numbers_in_legend_order(tmp_path: Path) -> None:
    legend = Legend.from_names({40: "crop", 10: "tree", 70: "snow"})
    labels = np.array([[10, 40], [70, IGNORE]], np.int16)
    made = chips.cut(scene((2, 2)), labels, tmp_path / "a", size=2, legend=legend)
    assert made.classes == ("crop", "tree", "snow")
    assert made.load(made.ids).labels[0].tolist() == [[1, 0], [2, IGNORE]]
    assert made.class_counts() == {"crop": 1, "tree": 1, "snow": 1}


def test_samples_come_in_the_order_asked_for(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a")
    order = [made.ids[5], made.ids[0], made.ids[9]]
    one_by_one = np.concatenate([made.load([name]).values for name in order])
    assert np.array_equal(made.load(order).values, one_by_one)


@pytest.mark.parametrize(("cache_mb", "reads"), [(0.0, 20), (100.0, 10), (0.0115, 20)])
def test_the_cache_is_bounded_and_changes_nothing(tmp_path: Path, cache_mb: float, reads: int) -> None:
    chip_set(tmp_path / "a")
    made = chips.open(tmp_path / "a", cache_mb=cache_mb)
    ids = made.ids[:10]
    with patch.object(pixels, "read_image", wraps=pixels.read_image) as read:
        first, second = made.load(ids), made.load(ids)
    assert read.call_count == reads
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    held = sum(chip.size for chip in made._cache.values())
    assert held <= cache_mb * 2**20


def test_changing_what_was_loaded_does_not_change_the_cache(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 16))
    arrays = made.load(made.ids)
    kept = arrays.values.copy()
    arrays.values[:] = 7
    arrays.labels[:] = 0
    assert np.array_equal(made.load(made.ids).values, kept)


def test_physical_cubes_are_not_scaled_again(tmp_path: Path) -> None:
    cube = scene((16, 16), dtype="float32")
    cube = cube.assign_coords(scale_factor=("band", [0.5] * 4))
    made = chips.cut(cube, label_map((16, 16)), tmp_path / "a", size=16, legend=LEGEND)
    assert np.array_equal(made.load(made.ids).values[0], cube["data"].values)


def test_training_and_prediction_see_the_same_numbers(tmp_path: Path) -> None:
    cube = scene((16, 16))
    made = chips.cut(cube, label_map((16, 16)), tmp_path / "a", size=16, legend=LEGEND)
    assert np.array_equal(made.load(made.ids).values[0], to_physical(cube)["data"].values)


def test_geobox_of_a_chip_is_that_part_of_the_scene(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a")
    box = made.geobox("r00016_c00032")
    assert isinstance(box, GeoBox) and box == utm_box((64, 96))[16:32, 32:48]


def test_an_unknown_id_is_refused_with_the_nearest(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    with pytest.raises(InputError, match=r"no chip 'r00000_c0016'.*r00000_c00016"):
        made.load(["r00000_c0016"])
    with pytest.raises(InputError, match="No chip ids"):
        made.load([])


def test_what_is_no_chip_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no chips.json in .*swath chips cut"):
        chips.open(tmp_path)
    (tmp_path / "chips.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        chips.open(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    chip_set(tmp_path / "a", (16, 16))
    path = tmp_path / "a" / "chips.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 2}))
    with pytest.raises(InputError, match="schema version 2"):
        chips.open(tmp_path / "a")


def test_an_empty_chip_set_and_a_broken_index_are_refused(tmp_path: Path) -> None:
    chip_set(tmp_path / "a", (16, 32))
    path = tmp_path / "a" / "index.parquet"
    index = geopandas.read_parquet(path)
    index.iloc[:0].to_parquet(path)
    with pytest.raises(InputError, match="is empty"):
        chips.open(tmp_path / "a")
    index.iloc[[0, 0]].to_parquet(path)
    with pytest.raises(InputError, match="'r00000_c00000' twice"):
        chips.open(tmp_path / "a")
    index.drop(columns="pixels_1").to_parquet(path)
    with pytest.raises(InputError, match="lacks the columns pixels_1"):
        chips.open(tmp_path / "a")
    path.unlink()
    with pytest.raises(InputError, match=r"no .*index.parquet"):
        chips.open(tmp_path / "a")


def test_a_missing_or_truncated_chip_is_refused_by_name(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    (tmp_path / "a" / "images" / "r00000_c00000.tif").unlink()
    with pytest.raises(InputError, match=r"r00000_c00000.tif cannot be read"):
        made.load(made.ids)
    path = tmp_path / "a" / "images" / "r00000_c00016.tif"
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 900):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"r00000_c00016.tif cannot be read"):
            made.load(["r00000_c00016"])
