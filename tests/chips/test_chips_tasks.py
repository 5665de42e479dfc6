"""Chip sets of every task: cut, labelled, opened, loaded, counted and measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from chip_scenes import LEGEND, UTM, chip_set, label_map, scene, utm_box
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips import ChipLoader, DropRules, Quantities, contact_sheet
from swath.chips.targets import Targets
from swath.cubes import make_cube
from swath.errors import ConfigError, InputError
from swath.sensors import BandSet
from swath.types import IGNORE

SHAPE = (64, 96)


def heights(box: GeoBox, values: np.ndarray) -> xr.Dataset:
    """Quantities ``(K, y, x)`` as a cube; NaN is valid there, as in files that declare no number for it."""
    names = ("height", "mass")[: len(values)]
    return make_cube(
        values[None],
        np.ones((1, *values.shape[1:]), bool),
        box,
        BandSet.of(*names),
        time=np.array(["2020-06-01"], "datetime64[ns]"),
        scale=[1.0] * len(values),
        offset=[0.0] * len(values),
        stored=False,
        attrs={"source": "heights.tif"},
    )


def measured(out: Path, values: np.ndarray | None = None, **options: object) -> chips.ChipSet:
    """Chips with two quantities, the first row of chips without the second."""
    draw = np.random.default_rng(3).normal(10, 2, (2, *SHAPE)).astype(np.float32) if values is None else values
    if values is None:
        draw[0, :, :8], draw[1, :16] = np.nan, np.nan
    asked = Quantities.of(heights(utm_box(SHAPE), draw), utm_box(SHAPE), units=("m", "t"))
    return chips.cut_quantities(scene(SHAPE), asked, out, size=16, **options)  # type: ignore[arg-type]


def with_split(made: chips.ChipSet) -> chips.ChipSet:
    chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0).save(made.folder / "split.parquet")
    return made


def test_quantities_per_pixel_come_back_with_their_gaps_masked(tmp_path: Path) -> None:
    draw = np.random.default_rng(3).normal(10, 2, (2, *SHAPE)).astype(np.float32)
    draw[0, :, :8], draw[1, :16], draw[0, 20, 20] = np.nan, np.nan, np.inf
    made = measured(tmp_path / "a", draw)
    assert (made.task, made.target, made.classes) == ("pixel_regression", "value", ())
    assert (made.quantities, made.units) == (("height", "mass"), ("m", "t"))
    batch = made.batch(["r00016_c00016", "r00000_c00000"])
    batch.check({"value": "pixel_regression"})
    value, valid = batch.targets["value"], batch.target_valid["value"]
    assert not valid[0, 0, 4, 4] and valid[0].sum() == 2 * 256 - 1
    assert np.array_equal(value[0, 1].numpy(), draw[1, 16:32, 16:32])
    assert not valid[1, 1].any() and not valid[1, 0, :, :8].any() and not value[~valid].any()
    assert made.class_counts() == {}
    assert made.description.left_out == {"unknown quantities of pixels": int((~np.isfinite(draw)).sum())}


def test_where_no_band_is_valid_a_quantity_is_not_used(tmp_path: Path) -> None:
    valid = np.ones((1, *SHAPE), bool)
    valid[0, :4, :4] = False
    asked = Quantities.of(heights(utm_box(SHAPE), np.ones((1, *SHAPE), np.float32)), utm_box(SHAPE))
    made = chips.cut_quantities(scene(SHAPE, valid=valid), asked, tmp_path / "a", size=16)
    known = made.batch(["r00000_c00000"]).target_valid["value"][0, 0]
    assert not known[:4, :4].any() and known.sum() == 256 - 16


def test_quantities_on_a_coarser_grid_are_those_of_the_nearest_pixel(tmp_path: Path) -> None:
    coarse = GeoBox((8, 12), Affine(80.0, 0.0, 500_000.0, 0.0, -80.0, 5_000_000.0), UTM)
    values = np.arange(96, dtype=np.float32).reshape(1, 8, 12)
    asked = Quantities.of(heights(coarse, values), utm_box(SHAPE))
    made = chips.cut_quantities(scene(SHAPE), asked, tmp_path / "a", size=16)
    got = made.batch(["r00016_c00032"]).targets["value"][0, 0].numpy()
    assert np.array_equal(got, values[0, 2:4, 4:6].repeat(8, 0).repeat(8, 1))


def test_quantities_change_the_fingerprint_and_what_lies_unknown_does_not(tmp_path: Path) -> None:
    draw = np.random.default_rng(3).normal(10, 2, (1, *SHAPE)).astype(np.float32)
    draw[0, 3, 3] = np.nan
    other, odd = draw.copy(), draw.copy()
    other[0, 9, 9] += 1
    odd.view(np.uint32)[0, 3, 3] = 0x7FC12345  # another NaN
    prints = [one(tmp_path / str(number), values) for number, values in enumerate((draw, other, odd))]
    assert prints[0] != prints[1] and prints[0] == prints[2]


def one(out: Path, values: np.ndarray) -> str:
    asked = Quantities.of(heights(utm_box(SHAPE), values), utm_box(SHAPE), units=("m",))
    return chips.cut_quantities(scene(SHAPE), asked, out, size=16).fingerprint


def test_statistics_of_quantities_are_those_of_the_train_split(tmp_path: Path) -> None:
    made = with_split(measured(tmp_path / "a"))
    split = chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0)
    found = chips.value_statistics(made, split)
    batch = made.batch(split.ids("train"))
    for kind in range(2):
        used = batch.targets["value"][:, kind][batch.target_valid["value"][:, kind]].double()
        assert found.mean[kind] == pytest.approx(float(used.mean()))
        assert found.std[kind] == pytest.approx(float(used.std(correction=0)))
        assert found.count[kind] == used.numel()
    with pytest.raises(InputError, match="ask for a segmentation"):
        chips.value_statistics(chip_set(tmp_path / "b"), split)


def test_missing_quantities_everywhere_are_an_error(tmp_path: Path) -> None:
    nothing = np.full((2, *SHAPE), np.nan, np.float32)
    with pytest.raises(InputError, match=r"None of the 24 windows .*less than 0.01 labelled"):
        measured(tmp_path / "a", nothing)
    nothing[0] = 1
    with pytest.raises(InputError, match=r"All chips lack the quantities mass of 'heights.tif'"):
        measured(tmp_path / "a", nothing)
    assert not (tmp_path / "a").exists()


def test_quantities_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    away = GeoBox((8, 8), Affine(10.0, 0.0, 900_000.0, 0.0, -10.0, 5_000_000.0), UTM)
    with pytest.raises(InputError, match=r"scene.*heights.tif"):
        Quantities.of(heights(away, np.ones((1, 8, 8), np.float32)), utm_box(SHAPE))
    cube = heights(utm_box(SHAPE), np.ones((2, *SHAPE), np.float32))
    with pytest.raises(InputError, match=r"2 bands, and 1 names"):
        Quantities.of(cube, utm_box(SHAPE), names=["height"])
    with pytest.raises(InputError, match=r"'height' comes twice"):
        Quantities.of(cube, utm_box(SHAPE), names=["height", "height"])
    with pytest.raises(InputError, match="2 dates"):
        Quantities.of(cube.isel(time=[0, 0]), utm_box(SHAPE))


def test_a_change_needs_two_dates_that_every_chip_has(tmp_path: Path) -> None:
    made = chips.cut(scene(SHAPE, dates=2), label_map(SHAPE), tmp_path / "a", size=16, legend=LEGEND, task="change")
    assert (made.task, made.classes, dict(made.dates)) == ("change", LEGEND.names, {"image": 2})
    made.batch(made.ids[:2]).check({"label": "change"})
    plain = chips.cut(scene(SHAPE, dates=2), label_map(SHAPE), tmp_path / "b", size=16, legend=LEGEND)
    assert plain.fingerprint == made.description.fingerprint != made.fingerprint
    with pytest.raises(InputError, match=r"'scene.tif' has one date"):
        chips.cut(scene(SHAPE), label_map(SHAPE), tmp_path / "c", size=16, legend=LEGEND, task="change")
    with pytest.raises(ConfigError, match="min_date_valid"):
        chips.cut(
            scene(SHAPE, dates=2),
            label_map(SHAPE),
            tmp_path / "c",
            size=16,
            legend=LEGEND,
            task="change",
            drop=DropRules(min_date_valid=0.5),
        )
    with pytest.raises(ConfigError, match="'multilabel'"):
        chips.cut(scene(SHAPE), label_map(SHAPE), tmp_path / "c", size=16, legend=LEGEND, task="multilabel")


def test_classes_per_chip_come_from_a_table_and_gaps_are_masked(tmp_path: Path) -> None:
    made = with_split(chip_set(tmp_path / "a"))
    split = chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0)
    chips.statistics(made, split).save(made.folder / "statistics.json")
    table = pd.DataFrame({"id": [*made.ids[:20], "elsewhere"], "kind": ["wood", "town", None, " town "] * 5 + ["wood"]})
    table.to_csv(tmp_path / "t.csv", index=False)
    labelled, told = chips.label_from_table(made.folder, tmp_path / "t.csv", "classification", ["kind"])
    assert (told.answered, told.rows, told.unmatched, told.shared) == (15, 21, 1, 0)
    assert (labelled.task, labelled.classes, labelled.target) == ("classification", ("town", "wood"), "label")
    batch = labelled.batch(labelled.ids)
    batch.check({"label": "classification"})
    assert batch.targets["label"].tolist() == [1, 0, IGNORE, 0] * 5 + [IGNORE] * 4
    assert labelled.class_counts() == {"town": 10, "wood": 5}
    stored = chips.Statistics.load(made.folder / "statistics.json")
    assert stored.source == labelled.fingerprint != made.fingerprint
    assert stored.class_counts == labelled.class_counts(split.ids("train"))
    assert chips.input_statistics(labelled, split)["image"] == stored


def test_several_labels_and_quantities_come_from_a_table(tmp_path: Path) -> None:
    made = with_split(chip_set(tmp_path / "a"))
    count = len(made)
    table = pd.DataFrame({"id": made.ids, "road": [1, 0] * (count // 2), "pool": [True, None] * (count // 2)})
    table["age"], table["size"] = np.arange(count, dtype=float), [np.nan, np.inf, *range(count - 2)]
    table.to_parquet(tmp_path / "t.parquet")
    labelled, told = chips.label_from_table(made.folder, tmp_path / "t.parquet", "multilabel", ["road", "pool"])
    batch = labelled.batch(labelled.ids[:3])
    batch.check({"label": "multilabel"})
    assert batch.targets["label"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert batch.target_valid["label"].tolist() == [[True, True], [True, False], [True, True]]
    assert labelled.class_counts() == {"road": 12, "pool": 12} and told.answered == count
    path = tmp_path / "t.parquet"
    labelled, _ = chips.label_from_table(made.folder, path, "regression", ["age", "size"], units=["yr", "m"])
    batch = labelled.batch(labelled.ids[:3])
    batch.check({"value": "regression"})
    assert batch.targets["value"].tolist() == [[0, 0], [1, 0], [2, 0]]
    assert batch.target_valid["value"].tolist() == [[True, False], [True, False], [True, True]]
    assert (labelled.quantities, labelled.units, labelled.classes) == (("age", "size"), ("yr", "m"), ())
    split = chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0)
    train = [made.ids.index(name) for name in split.ids("train")]
    assert chips.value_statistics(labelled, split).mean[0] == pytest.approx(np.mean(train))


def test_points_belong_to_the_chips_that_hold_them(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a")
    x = [500_005.0, 500_159.0, 500_160.0, 500_005.0, np.nan, 900_000.0]
    y = [4_999_995.0, 4_999_841.0, 5_000_000.0, 4_999_995.0, 0.0, 0.0]
    pd.DataFrame({"x": x, "y": y, "kind": ["b", "a", "c", "b", "a", "a"]}).to_csv(tmp_path / "t.csv", index=False)
    labelled, told = chips.label_from_table(made.folder, tmp_path / "t.csv", "classification", ["kind"])
    assert (told.answered, told.rows, told.unmatched, told.shared) == (2, 6, 2, 1)
    answers = dict(zip(labelled.ids, labelled.batch(labelled.ids).targets["label"].tolist(), strict=True))
    assert answers["r00000_c00000"] == 1 and answers["r00000_c00016"] == 2
    pd.DataFrame({"lon": [15.0001], "lat": [45.15], "age": [4.0]}).to_csv(tmp_path / "p.csv", index=False)
    labelled, told = chips.label_from_table(made.folder, tmp_path / "p.csv", "regression", ["age"])
    assert told.answered == 1 and labelled.units == ("1",)


def test_answers_come_from_the_label_rasters(tmp_path: Path) -> None:
    labels = np.full((16, 64), IGNORE, np.int16)
    labels[:, :16], labels[:10, 16:32], labels[10:, 16:32] = 1, 2, 0
    labels[:, 32:40] = 2
    made = chips.cut(scene((16, 64)), labels, tmp_path / "a", size=16, legend=LEGEND, drop=DropRules(0, 0))
    labelled, told = chips.label_from_rasters(made.folder, "classification")
    assert labelled.batch(labelled.ids).targets["label"].tolist() == [1, 2, 2, IGNORE]
    assert (told.answered, told.chips) == (3, 4)
    labelled, _ = chips.label_from_rasters(made.folder, "classification", min_share=0.7)
    assert labelled.batch(labelled.ids).targets["label"].tolist() == [1, IGNORE, 2, IGNORE]
    labelled, _ = chips.label_from_rasters(made.folder, "multilabel", min_share=0.3)
    batch = labelled.batch(labelled.ids)
    assert batch.targets["label"].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert batch.target_valid["label"][:, 0].tolist() == [True, True, True, False]
    with pytest.raises(InputError, match=r"All 4 chips .*lack an answer"):
        chips.label_from_rasters(
            chips.cut(
                scene((16, 64)),
                np.full((16, 64), IGNORE, np.int16),
                tmp_path / "b",
                size=16,
                legend=LEGEND,
                drop=DropRules(0, 0),
            ).folder,
            "multilabel",
        )
    with pytest.raises(ConfigError, match="'regression'"):
        chips.label_from_rasters(made.folder, "regression")


def test_fewer_labels_than_classes_keep_all_classes(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    pd.DataFrame({"id": made.ids, "kind": [3, 1]}).to_csv(tmp_path / "t.csv", index=False)
    options = {"classes": ["1", "2", "3"]}
    labelled, _ = chips.label_from_table(made.folder, tmp_path / "t.csv", "classification", ["kind"], **options)
    assert labelled.class_counts() == {"1": 1, "2": 0, "3": 1}
    with pytest.raises(InputError, match=r"beyond the classes, such as '3'.*1, 2, or nothing"):
        chips.label_from_table(made.folder, tmp_path / "t.csv", "classification", ["kind"], classes=["1", "2"])


@pytest.mark.parametrize(
    ("table", "task", "columns", "sentence"),
    [
        ({"id": ["r0_c0016"], "a": [1]}, "classification", ["a"], r"None of the 1 ids .*'r0_c0016'.*nearest.*c00016"),
        ({"id": ["r00000_c00000"] * 2, "a": [1, 2]}, "regression", ["a"], "'r00000_c00000' twice"),
        ({"id": ["r00000_c00000"], "age": [1]}, "regression", ["aeg"], "no column 'aeg'.*nearest are: age"),
        ({"name": ["x"], "a": [1]}, "regression", ["a"], "'longitude' and 'latitude'"),
        ({"x": [0.0], "y": [0.0], "a": [1]}, "regression", ["a"], r"None of the 1 points .*x 0 to 0.*EPSG:32633"),
        ({"id": ["r00000_c00000"], "a": ["many"]}, "regression", ["a"], "no number in the column 'a', such as 'many'"),
        ({"id": ["r00000_c00000"], "a": [2]}, "multilabel", ["a"], "no 0 or 1 in the column 'a', such as '2'"),
        ({"id": ["r00000_c00000"], "a": [None]}, "regression", ["a"], "All 2 chips .*lack an answer"),
        ({"id": ["r00000_c00000"], "a": [1]}, "regresion", ["a"], "nearest are: regression"),
        ({"id": ["r00000_c00000"], "a": [1]}, "regression", [], "named nothing"),
    ],
)
def test_tables_that_cannot_be_used_get_a_sentence(
    tmp_path: Path, table: dict[str, list[object]], task: str, columns: list[str], sentence: str
) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=sentence):
        chips.label_from_table(made.folder, tmp_path / "t.csv", task, columns)
    assert chips.open(made.folder).task == "segmentation"


def test_options_that_do_not_fit_the_task_are_refused(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    path = tmp_path / "t.csv"
    pd.DataFrame({"id": made.ids, "a": [1, 0], "b": [0, 1]}).to_csv(path, index=False)
    with pytest.raises(ConfigError, match="2 columns"):
        chips.label_from_table(made.folder, path, "classification", ["a", "b"])
    with pytest.raises(ConfigError, match="1 units for 2 columns"):
        chips.label_from_table(made.folder, path, "regression", ["a", "b"], units=["m"])
    with pytest.raises(ConfigError, match="1 classes for 2 columns"):
        chips.label_from_table(made.folder, path, "multilabel", ["a", "b"], classes=["x"])
    with pytest.raises(InputError, match="no table"):
        chips.label_from_table(made.folder, tmp_path / "none.csv", "regression", ["a"])
    with pytest.raises(InputError, match="quantities per pixel"):
        chips.label_from_table(measured(tmp_path / "m").folder, path, "regression", ["a"])


def test_edited_or_foreign_targets_are_refused(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 32))
    chips.label_from_rasters(made.folder, "classification")
    path = made.folder / "targets.parquet"
    table = pd.read_parquet(path)
    table.assign(label=(table["label"] + 1) % 3).to_parquet(path)
    with pytest.raises(InputError, match=r"not those that targets.json was written for"):
        chips.open(made.folder)
    Targets("regression", ("a",), ("m",), "", ("x",), np.ones((1, 1), np.float32)).save(made.folder)
    with pytest.raises(InputError, match="answers for 1 chips, 0 of them among the 2"):
        chips.open(made.folder)
    record = json.loads((made.folder / "targets.json").read_text())
    for odd in ({**record, "schema_version": 2}, {**record, "task": "dance"}, {**record, "units": []}):
        (made.folder / "targets.json").write_text(json.dumps(odd))
        with pytest.raises(InputError, match=r"targets.json"):
            chips.open(made.folder)


def test_old_sets_keep_their_fingerprint_and_task(tmp_path: Path) -> None:
    """The numbers are those of the version before targets, dates of their own and joined sets."""
    made = chip_set(tmp_path / "a")
    assert made.fingerprint == "7203b11ffeea59fcc8155104e2a5bbef76a822c4913b5355ef545fa9cdda002e"
    series = chips.cut(scene((32, 32), dates=2), label_map((32, 32)), tmp_path / "b", size=16, legend=LEGEND)
    assert series.fingerprint == "e5c55b2a6bcb146916c747ac6334f442a247646b2e7c7e3dee0271fefafb2777"
    record = json.loads((tmp_path / "a" / "chips.json").read_text())
    del record["left_out"]
    (tmp_path / "a" / "chips.json").write_text(json.dumps(record))
    old = chips.open_samples(tmp_path / "a")
    assert (old.fingerprint, old.task, old.target) == (made.fingerprint, "segmentation", "label")
    assert (dict(old.dates), list(old.inputs), old.quantities) == ({"image": 1}, ["image"], ())


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "pixel_regression"])
def test_loader_and_contact_sheet_take_every_task(tmp_path: Path, task: str) -> None:
    made = measured(tmp_path / "a") if task == "pixel_regression" else chip_set(tmp_path / "a")
    if task == "regression":
        pd.DataFrame({"id": made.ids[:5], "a": range(5)}).to_csv(tmp_path / "t.csv", index=False)
        made, _ = chips.label_from_table(made.folder, tmp_path / "t.csv", task, ["a"])
    elif task != "pixel_regression":
        made, _ = chips.label_from_rasters(made.folder, task)
    loader = ChipLoader(made, made.ids, batch_size=5, seed=0, augment=chips.Augment(brightness=0.1, noise=0.1))
    for batch in loader:
        batch.check({made.target: made.task})
    assert contact_sheet(made, tmp_path / "a.png", count=3).stat().st_size > 1000
