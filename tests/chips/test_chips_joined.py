"""Several modalities, dates of their own, and gaps: what is missing is masked and changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
from affine import Affine
from chip_scenes import BANDS, LEGEND, UTM, chip_set, label_map, scene
from odc.geo.geobox import GeoBox

from swath import chips
from swath.chips import ChipLoader, DropRules, JoinedSet, contact_sheet
from swath.errors import ConfigError, InputError
from swath.types import Batch, Split

COARSE = (32, 48)


def coarse_box(crs: str = UTM, x: float = 500_000.0) -> GeoBox:
    """The ground of ``chip_set`` in pixels of 20 m."""
    return GeoBox(COARSE, Affine(20.0, 0.0, x, 0.0, -20.0, 5_000_000.0), crs)


def radar(out: Path, *, box: GeoBox | None = None, hole: bool = True, order: int = 1) -> chips.ChipSet:
    """Chips of 8 x 8 coarse pixels and three dates; the first window is masked, so that it is left out."""
    valid = np.ones((3, len(BANDS), *COARSE), bool)
    valid[:, :, :8, :8] = not hole
    valid[1, :, :, 30:] = False
    cube = scene(COARSE, box=coarse_box() if box is None else box, dates=3, valid=valid, seed=4)
    made = chips.cut(cube, label_map(COARSE), out, size=8, legend=LEGEND)
    path = out / "index.parquet"
    geopandas.read_parquet(path).iloc[::order].to_parquet(path, index=False)
    return chips.open(made.folder)


def joined(folder: Path, **options: object) -> JoinedSet:
    """An optical set with a split, and a radar set that lacks one chip and lies in another order."""
    first = chip_set(folder / "optical")
    chips.split_by_block(first, block_chips=1, buffer_chips=0, seed=0).save(folder / "optical" / "split.parquet")
    radar(folder / "radar", order=-1, **options)  # type: ignore[arg-type]
    return chips.join({"optical": folder / "optical", "radar": folder / "radar"}, folder / "both")


def split_of(samples: JoinedSet) -> Split:
    return Split.load(samples.folder / "split.parquet")


def test_windows_are_matched_on_the_ground_whatever_the_order_and_the_resolution(tmp_path: Path) -> None:
    both = joined(tmp_path)
    assert (len(both), dict(both.missing), dict(both.dates)) == (
        24,
        {"optical": 0, "radar": 1},
        {"optical": 1, "radar": 3},
    )
    assert list(both.inputs) == ["optical", "radar"] and both.classes == LEGEND.names
    batch = both.batch(both.ids)
    batch.check({"label": "segmentation"})
    one, other = batch.inputs["optical"], batch.inputs["radar"]
    assert [grid.boundingbox for grid in one.grid] == [grid.boundingbox for grid in other.grid]
    alone = chips.open(tmp_path / "radar")
    place = both.ids.index("r00016_c00032")
    assert np.array_equal(other.values[place].numpy(), alone.load(["r00008_c00016"]).values[0])
    assert torch.equal(batch.targets["label"], both.first.batch(both.ids).targets["label"])


def test_a_missing_modality_is_masked_and_keeps_its_grid_and_order_of_dates(tmp_path: Path) -> None:
    both = joined(tmp_path)
    gone = both.batch(["r00000_c00000"]).inputs["radar"]
    assert not gone.valid.any() and not gone.values.any()
    assert gone.grid[0] == coarse_box()[:8, :8]
    assert len(set(gone.time[0].tolist())) == 1
    mixed = both.batch(["r00000_c00016", "r00000_c00000"])
    mixed.check()
    assert mixed.inputs["radar"].valid[0].any() and not mixed.inputs["radar"].valid[1].any()


def test_statistics_per_modality_are_those_of_the_chips_that_have_it(tmp_path: Path) -> None:
    both = joined(tmp_path)
    split = split_of(both)
    found = chips.input_statistics(both, split)
    assert chips.Statistics.load(both.folder / "statistics_radar.json") == found["radar"]
    batch = both.batch(split.ids("train"))
    for name, modality in batch.inputs.items():
        used = modality.values[:, :, 0][modality.valid[:, :, 0]].double()
        assert found[name].mean[0] == pytest.approx(float(used.mean()))
        assert found[name].count[0] == used.numel()
    other = Split(split.table.assign(split=["train"] * 12 + ["test"] * 12))
    assert chips.input_statistics(both, other)["optical"].mean != found["optical"].mean
    assert chips.Statistics.load(both.folder / "statistics_radar.json") == found["radar"]


def test_loader_and_contact_sheet_take_joined_sets(tmp_path: Path) -> None:
    both = joined(tmp_path)
    loader = ChipLoader(both, both.ids, batch_size=7, seed=0, augment=chips.Augment(brightness=0.1, noise=0.1))
    by_id = {name: (batch, place) for batch in loader for place, name in enumerate(batch.ids)}
    assert sorted(by_id) == both.ids
    smaller = ChipLoader(both, both.ids, batch_size=2, seed=0, augment=loader.augment)
    for batch in smaller:
        batch.check({"label": "segmentation"})
        for place, name in enumerate(batch.ids):
            other, there = by_id[name]
            for modality in both.inputs:
                assert torch.equal(batch.inputs[modality].values[place], other.inputs[modality].values[there])
    assert contact_sheet(both, tmp_path / "a.png", count=4).stat().st_size > 1000


def test_the_folder_moves_with_its_sets_and_notices_other_chips(tmp_path: Path) -> None:
    both = joined(tmp_path / "here")
    os.rename(tmp_path / "here", tmp_path / "there")
    moved = chips.open_samples(tmp_path / "there" / "both")
    assert isinstance(moved, JoinedSet) and moved.fingerprint == both.fingerprint
    chips.label_from_rasters(tmp_path / "there" / "optical", "classification")
    with pytest.raises(InputError, match=r"optical are not those .*join the chip sets again"):
        chips.open_samples(moved.folder)
    again = chips.join({name: each.folder for name, each in moved.sets.items()}, moved.folder)
    assert again.task == "classification" and again.fingerprint != both.fingerprint
    again.batch(again.ids[:2]).check({"label": "classification"})


def test_sets_of_other_places_or_crs_are_refused_with_both_extents(tmp_path: Path) -> None:
    chip_set(tmp_path / "a")
    sets = {"optical": tmp_path / "a", "radar": tmp_path / "b"}
    radar(tmp_path / "b", box=coarse_box(x=900_000.0))
    with pytest.raises(InputError, match=r"No window of 'radar' .*x 500000 to 500960.*x 900000 to 900960.*same corner"):
        chips.join(sets, tmp_path / "out")
    radar(tmp_path / "b", box=coarse_box("EPSG:32632"))
    with pytest.raises(InputError, match=r"two CRS.*EPSG:32633.*EPSG:32632.*warp one"):
        chips.join(sets, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_name_of_the_same_places_agrees(tmp_path: Path) -> None:
    chip_set(tmp_path / "a")
    radar(tmp_path / "b", box=coarse_box("EPSG:25833"))  # ETRS89 and WGS 84 differ by less than a pixel here
    both = chips.join({"optical": tmp_path / "a", "radar": tmp_path / "b"}, tmp_path / "out")
    assert both.missing["radar"] == 1


def test_half_a_pixel_agrees_and_more_does_not(tmp_path: Path) -> None:
    chip_set(tmp_path / "a")
    sets = {"optical": tmp_path / "a", "radar": tmp_path / "b"}
    radar(tmp_path / "b", box=coarse_box(x=500_004.0))
    assert chips.join(sets, tmp_path / "out").missing["radar"] == 1
    radar(tmp_path / "b", box=coarse_box(x=500_006.0))
    with pytest.raises(InputError, match="No window"):
        chips.join(sets, tmp_path / "out")


def test_a_modality_that_is_missing_everywhere_is_refused(tmp_path: Path) -> None:
    both = joined(tmp_path)
    table = both.pairs.assign(radar="")
    with pytest.raises(InputError, match=r"'radar' .*missing in every chip"):
        JoinedSet(both.folder, both.sets, table)
    split = split_of(both)
    rest = [name == "r00000_c00000" for name in split.table["id"]]
    only = Split(split.table.assign(split=np.where(rest, "train", "test")))
    with pytest.raises(InputError, match=r"'radar' .*missing in every chip of the train split"):
        both.statistics("radar", only)


@pytest.mark.parametrize("names", [["optical"], ["optical", "a b"], ["1", "2"]])
def test_impossible_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigError, match="at least two names"):
        chips.join(dict.fromkeys(names, tmp_path), tmp_path / "out")


def test_damaged_joined_sets_are_refused(tmp_path: Path) -> None:
    both = joined(tmp_path)
    path = both.folder / "joined.json"
    record = json.loads(path.read_text())
    both.pairs.assign(radar="r00000_c09999").to_parquet(both.folder / "joined.parquet")
    with pytest.raises(InputError, match="does not fit the chip sets"):
        chips.open_samples(both.folder)
    for odd in ({**record, "schema_version": 9}, {**record, "order": ["x"]}, []):
        path.write_text(json.dumps(odd))
        with pytest.raises(InputError, match=r"joined\.json"):
            chips.open_samples(both.folder)


def clouded(seed: int = 0) -> np.ndarray:
    """Four dates; each chip of 8 x 8 lacks the dates that a draw says, and half of the rest has gaps per band."""
    draw = np.random.default_rng(seed)
    valid = draw.random((4, len(BANDS), 16, 32)) < 0.9
    seen = draw.random((4, 1, 2, 4)) < 0.6
    return valid & seen.repeat(8, axis=2).repeat(8, axis=3)


def series(out: Path, *, least: float, under: float = 0.0, seed: int = 0) -> chips.ChipSet:
    """Chips of a cloudy series; ``under`` stands where nothing is valid."""
    valid = clouded(seed)
    cube = scene((16, 32), dates=4, valid=valid, dtype="float32")
    cube["data"].values[~valid] = under
    rules = DropRules(0, 0, min_date_valid=least)
    return chips.cut(cube, label_map((16, 32)), out, size=8, legend=LEGEND, drop=rules)


def test_chips_have_dates_of_their_own_and_batches_are_padded(tmp_path: Path) -> None:
    own, whole = series(tmp_path / "own", least=0.5), series(tmp_path / "whole", least=0.0)
    index = geopandas.read_parquet(own.folder / "index.parquet")
    counts = [len(times) for times in index["times"]]
    assert min(counts) < max(counts) == own.dates["image"] and "times" not in geopandas.read_parquet(
        whole.folder / "index.parquet"
    )
    assert own.description.left_out["dates of chips"] == 4 * len(own) - sum(counts)
    batch, full = own.batch(own.ids), whole.batch(own.ids)
    batch.check({"label": "segmentation"})
    image, everything = batch.inputs["image"], full.inputs["image"]
    assert torch.equal(batch.targets["label"], full.targets["label"])
    for place, name in enumerate(own.ids):
        times = index["times"][index["id"] == name].iloc[0].tolist()
        assert image.time[place].tolist() == times + times[-1:] * (own.dates["image"] - len(times))
        kept = [everything.time[place].tolist().index(time) for time in times]
        assert torch.equal(image.values[place, : len(times)], everything.values[place, kept])
        assert torch.equal(image.valid[place, : len(times)], everything.valid[place, kept])
        assert not image.valid[place, len(times) :].any()
    # The loader gives a chip the same shape in whatever batch.
    assert all(
        part.inputs["image"].values.shape[1] == own.dates["image"]
        for part in ChipLoader(own, own.ids, batch_size=1, seed=0)
    )


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_numbers_under_the_mask_change_nothing(tmp_path: Path, least: float) -> None:
    clean = series(tmp_path / "clean", least=least)
    dirty = series(tmp_path / "dirty", least=least, under=7e5)
    assert clean.fingerprint == dirty.fingerprint
    split = Split(chips.split_by_block(clean, block_chips=1, buffer_chips=0, seed=0).table)
    assert chips.statistics(clean, split) == chips.statistics(dirty, split)
    augment = chips.Augment(brightness=0.3, noise=0.3)
    for one, other in zip(
        ChipLoader(clean, clean.ids, batch_size=3, seed=0, augment=augment),
        ChipLoader(dirty, dirty.ids, batch_size=3, seed=0, augment=augment),
        strict=True,
    ):
        same(one, other)


def same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.inputs["image"].values, other.inputs["image"].values)
    assert torch.equal(one.inputs["image"].valid, other.inputs["image"].valid)
    assert torch.equal(one.targets["label"], other.targets["label"])


def test_dates_that_are_no_dates_of_the_scene_are_refused(tmp_path: Path) -> None:
    made = series(tmp_path / "a", least=0.5)
    path = made.folder / "index.parquet"
    index = geopandas.read_parquet(path)
    for odd in ([], [5], list(made.description.times)[::-1]):
        index.assign(times=[odd, *index["times"][1:]]).to_parquet(path)
        with pytest.raises(InputError, match="dates that are not dates of the scene in order"):
            chips.open(made.folder)
