"""Augmentation: the whole group of the square, on everything at once, and nothing under the mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from chip_scenes import LEGEND, label_map, scene, utm_box
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath import chips, grids
from swath.chips import Augment, DropRules
from swath.chips.augment import FLIP_COLUMNS, FLIP_ROWS, TRANSPOSE, move, move_grid
from swath.errors import ConfigError, ContractError
from swath.sensors import Band, BandSet
from swath.types import Batch, Modality


def batch_of(count: int, shape: tuple[int, int] = (5, 5), kind: str = "reflectance", seed: int = 0) -> Batch:
    """Random samples whose second band holds the number of each pixel."""
    draw = np.random.default_rng(seed)
    values = torch.from_numpy(draw.random((count, 1, 2, *shape)).astype(np.float32))
    values[:, :, 1] = torch.arange(shape[0] * shape[1], dtype=torch.float32).reshape(shape)
    valid = torch.from_numpy(draw.random((count, 1, 2, *shape)) < 0.8)
    bands = BandSet((Band("a", kind=kind), Band("place", kind="coordinate")))  # type: ignore[arg-type]
    grid = tuple(utm_box(shape) for _ in range(count))
    image = Modality(values, valid, bands, torch.zeros((count, 1), dtype=torch.int64), grid)
    label = torch.arange(shape[0] * shape[1]).reshape(shape).expand(count, *shape).clone()
    ids = tuple(f"chip{number}" for number in range(count))
    return Batch({"image": image}, {"label": label}, {"label": torch.ones_like(label, dtype=torch.bool)}, ids)


def test_the_eight_symmetries_form_a_group() -> None:
    square = torch.arange(9).reshape(1, 3, 3)
    images = {tuple(move(square, np.array([code])).flatten().tolist()) for code in range(8)}
    assert len(images) == 8
    for first in range(8):
        for second in range(8):
            both = move(move(square, np.array([first])), np.array([second]))
            assert tuple(both.flatten().tolist()) in images


def test_symmetries_are_what_their_names_say() -> None:
    square = torch.tensor([[[1, 2], [3, 4]]])
    assert move(square, np.array([TRANSPOSE])).tolist() == [[[1, 3], [2, 4]]]
    assert move(square, np.array([FLIP_ROWS])).tolist() == [[[3, 4], [1, 2]]]
    assert move(square, np.array([FLIP_COLUMNS])).tolist() == [[[2, 1], [4, 3]]]
    quarter_turn = torch.rot90(square, 1, (1, 2)).tolist()
    assert move(square, np.array([TRANSPOSE | FLIP_ROWS])).tolist() == quarter_turn


@pytest.mark.parametrize("code", range(8))
def test_every_pixel_keeps_its_place_on_earth(code: int) -> None:
    box = GeoBox((4, 4), Affine(10, 2, 5e5, 1, -10, 5e6), "EPSG:32633")
    lon, lat = (torch.from_numpy(part)[None] for part in grids.lonlat(box))
    moved_lon, moved_lat = grids.lonlat(move_grid(box, code))
    assert np.allclose(move(lon, np.array([code]))[0].numpy(), moved_lon, rtol=0, atol=1e-11)
    assert np.allclose(move(lat, np.array([code]))[0].numpy(), moved_lat, rtol=0, atol=1e-11)


def test_image_validity_label_and_grid_move_together() -> None:
    before = batch_of(64)
    after = Augment()(before, seed=0, epoch=0)
    image = after.inputs["image"]
    assert torch.equal(image.values[:, 0, 1].long(), after.targets["label"])
    seen = set()
    for sample in range(64):
        place = image.values[sample, 0, 1].long().flatten()
        seen.add(tuple(place.tolist()))
        old = before.inputs["image"]
        assert torch.equal(image.values[sample, 0].flatten(1), old.values[sample, 0].flatten(1)[:, place])
        assert torch.equal(image.valid[sample, 0].flatten(1), old.valid[sample, 0].flatten(1)[:, place])
    assert len(seen) == 8
    lonlat = image.lonlat()[:, 0].flatten(1)
    index = after.targets["label"].flatten(1)
    assert torch.allclose(lonlat, before.inputs["image"].lonlat()[:, 0].flatten(1).gather(1, index))


@pytest.mark.parametrize(
    ("flips", "rotations", "shape", "kinds"),
    [
        (True, True, (4, 4), 8),
        (True, False, (4, 4), 4),
        (False, True, (4, 4), 4),
        (False, False, (4, 4), 1),
        (True, True, (4, 6), 4),
        (False, True, (4, 6), 2),
        (True, True, (1, 1), 1),
    ],
)
def test_the_symmetries_drawn_are_those_asked_for(
    flips: bool, rotations: bool, shape: tuple[int, int], kinds: int
) -> None:
    after = Augment(flips=flips, rotations=rotations)(batch_of(64, shape), seed=0, epoch=0)
    labels = after.targets["label"].flatten(1)
    assert len({tuple(row) for row in labels.tolist()}) == kinds
    after.check({"label": "segmentation"})


def test_rotations_without_flips_never_mirror() -> None:
    after = Augment(flips=False)(batch_of(64), seed=0, epoch=0)
    turned = [torch.rot90(torch.arange(25).reshape(5, 5), turns).tolist() for turns in range(4)]
    assert all(label in turned for label in after.targets["label"].tolist())


def test_numbers_under_the_mask_are_neither_read_nor_changed() -> None:
    before = batch_of(8)
    image = before.inputs["image"]
    spoiled = replace(image, values=torch.where(image.valid, image.values, 1e6))
    augment = Augment(brightness=0.3, noise=0.5)
    clean = augment(before, seed=0, epoch=0).inputs["image"]
    dirty = augment(replace(before, inputs={"image": spoiled}), seed=0, epoch=0).inputs["image"]
    assert torch.equal(clean.values[clean.valid], dirty.values[dirty.valid])
    assert bool((dirty.values[~dirty.valid] == 1e6).all())


def test_coordinates_move_but_are_not_shaken() -> None:
    after = Augment(brightness=0.3, noise=0.5)(batch_of(8), seed=0, epoch=0)
    assert torch.equal(after.inputs["image"].values[:, 0, 1].long(), after.targets["label"])


def test_brightness_multiplies_each_chip_by_one_number() -> None:
    before = batch_of(16)
    after = Augment(flips=False, rotations=False, brightness=0.3)(before, seed=0, epoch=0).inputs["image"]
    factors = []
    for old, new, valid in zip(before.inputs["image"].values, after.values, after.valid, strict=True):
        ratio = (new / old)[0, 0][valid[0, 0]]
        assert ratio.max() - ratio.min() < 1e-5
        factors.append(float(ratio[0]))
    assert len(set(factors)) == 16 and 0.7 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.3


@pytest.mark.parametrize(
    ("kind", "bright", "noisy"),
    [("reflectance", True, True), ("backscatter", False, True), ("elevation", False, False), ("index", False, False)],
)
def test_only_bands_of_fitting_kinds_are_shaken(kind: str, bright: bool, noisy: bool) -> None:
    before = batch_of(4, kind=kind)
    for augment, changes in (
        (Augment(False, False, brightness=0.3), bright),
        (Augment(False, False, noise=0.3), noisy),
    ):
        after = augment(before, seed=0, epoch=0).inputs["image"].values
        assert torch.equal(after, before.inputs["image"].values) != changes


def test_noise_has_the_spread_asked_for() -> None:
    before = batch_of(4, (64, 64))
    after = Augment(False, False, noise=0.5)(before, seed=0, epoch=0).inputs["image"]
    old = before.inputs["image"]
    for sample in range(4):
        mask = old.valid[sample, 0, 0]
        added = (after.values - old.values)[sample, 0, 0][mask]
        assert float(added.std() / old.values[sample, 0, 0][mask].std()) == pytest.approx(0.5, rel=0.05)


def test_draws_follow_seed_epoch_and_id() -> None:
    batch, augment = batch_of(16), Augment(brightness=0.1)
    first = augment(batch, seed=0, epoch=0).inputs["image"].values
    assert torch.equal(first, augment(batch, seed=0, epoch=0).inputs["image"].values)
    assert not torch.equal(first, augment(batch, seed=1, epoch=0).inputs["image"].values)
    assert not torch.equal(first, augment(batch, seed=0, epoch=1).inputs["image"].values)


def test_a_shared_mask_keeps_its_meaning() -> None:
    before = batch_of(8)
    shared = replace(before.inputs["image"], valid=torch.ones((8, 1, 1, 1, 1), dtype=torch.bool))
    after = Augment(noise=0.1)(replace(before, inputs={"image": shared}), seed=0, epoch=0)
    after.check({"label": "segmentation"})
    rows = torch.zeros((1, 1, 1, 5, 5), dtype=torch.bool)
    rows[..., 0, :] = True
    row_mask = replace(before.inputs["image"], valid=rows)
    after = Augment()(replace(before, inputs={"image": row_mask}), seed=0, epoch=0)
    valid = after.inputs["image"].valid.expand(8, 1, 1, 5, 5)[:, 0, 0]
    assert torch.equal(valid, after.targets["label"] < 5)


def test_targets_without_pixels_stay() -> None:
    before = batch_of(4)
    number = torch.arange(4)
    more = replace(
        before,
        targets={**before.targets, "class": number, "text": ["a", "b", "c", "d"]},
        target_valid={**before.target_valid, "class": torch.ones(4, dtype=torch.bool), "text": [True] * 4},
    )
    after = Augment()(more, seed=0, epoch=0)
    assert torch.equal(after.targets["class"], number) and after.targets["text"] == ["a", "b", "c", "d"]


def test_real_chips_stay_within_the_contract(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random((2, 4, 32, 32)) < 0.6
    made = chips.cut(
        scene((32, 32), dates=2, valid=valid),
        label_map((32, 32)),
        tmp_path / "a",
        size=8,
        legend=LEGEND,
        drop=DropRules(0, 0),
    )
    after = Augment(brightness=0.2, noise=0.2)(made.batch(made.ids), seed=0, epoch=3)
    after.check({"label": "segmentation"})


def test_what_cannot_be_moved_together_is_refused() -> None:
    before = batch_of(2)
    with pytest.raises(ContractError, match="target 'label'"):
        Augment()(replace(before, targets={"label": torch.zeros((2, 3, 3))}, target_valid={}), seed=0, epoch=0)
    with pytest.raises(ContractError, match="grid of type LatLon"):
        move_grid(grids.LatLon((0.0, 1.0), (0.0, 1.0)), FLIP_ROWS)


@pytest.mark.parametrize("options", [{"brightness": 1.0}, {"brightness": -0.1}, {"noise": -1.0}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Augment(**options)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.4]))
def test_dates_modalities_and_targets_move_together(
    epoch: int, flips: bool, rotations: bool, brightness: float, noise: float
) -> None:
    fine, coarse = joint_batch(3, fine=4, coarse=2, dates=3)
    batch = replace(fine, inputs={"optical": fine.inputs["image"], "radar": coarse.inputs["image"]})
    augment = Augment(flips, rotations, brightness, noise)
    after = augment(batch, seed=1, epoch=epoch)
    after.check({"label": "segmentation", "value": "pixel_regression"})
    optical, radar = after.inputs["optical"], after.inputs["radar"]
    # Every place is told by the second band, in every date and in both targets.
    places = optical.values[:, :, 1]
    assert torch.equal(places, places[:, :1].expand_as(places))
    assert torch.equal(places[:, 0].long(), after.targets["label"])
    assert torch.equal(places[:, 0], after.targets["value"][:, 1])
    # Every coarse pixel still lies over the four fine ones that it covers.
    over = torch.nn.functional.interpolate(radar.values[:, 0, 1:2], scale_factor=2)[:, 0]
    row, column = places[:, 0] // 4, places[:, 0] % 4
    assert torch.equal(over, row.div(2, rounding_mode="floor") * 2 + column.div(2, rounding_mode="floor"))
    for sample in range(3):
        assert optical.grid[sample].boundingbox == radar.grid[sample].boundingbox
        assert (optical.grid[sample].affine.a < 0) == (radar.grid[sample].affine.a < 0)
    # What lies under the mask changes nothing elsewhere, and a chip alone is what it is among others.
    spoiled = replace(batch, inputs={name: spoil(modality) for name, modality in batch.inputs.items()})
    for other, kept in ((augment(spoiled, seed=1, epoch=epoch), range(3)), (alone(augment, batch, epoch), [1])):
        for name in batch.inputs:
            mine, theirs = after.inputs[name], other.inputs[name]
            place = list(range(len(theirs.values)))
            for here, there in zip(kept, place, strict=True):
                valid = mine.valid[here]
                assert torch.equal(valid, theirs.valid[there])
                assert torch.equal(mine.values[here][valid], theirs.values[there][valid])


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3))
def test_dates_that_others_have_change_nothing(padding: int, epoch: int) -> None:
    batch = joint_batch(2, fine=4, coarse=2, dates=2)[0]
    image = batch.inputs["image"]
    longer = replace(
        image,
        values=torch.nn.functional.pad(image.values, (0, 0) * 3 + (0, padding)),
        valid=torch.nn.functional.pad(image.valid, (0, 0) * 3 + (0, padding)),
        time=torch.nn.functional.pad(image.time, (0, padding)),
    )
    both = {"optical": image, "radar": image}
    augment = Augment(brightness=0.3, noise=0.4)
    short = augment(replace(batch, inputs=both), seed=0, epoch=epoch)
    long = augment(replace(batch, inputs={**both, "optical": longer}), seed=0, epoch=epoch)
    assert torch.equal(long.inputs["optical"].values[:, :2], short.inputs["optical"].values)
    assert torch.equal(long.inputs["radar"].values, short.inputs["radar"].values)
    assert not long.inputs["optical"].values[:, 2:].any()


def test_brightness_is_one_number_for_all_dates_and_another_per_modality() -> None:
    batch = joint_batch(4, fine=4, coarse=2, dates=3)[0]
    image = batch.inputs["image"]
    after = Augment(False, False, brightness=0.3)(replace(batch, inputs={"a": image, "b": image}), seed=0, epoch=0)
    ratios = {name: (modality.values / image.values)[:, :, 0] for name, modality in after.inputs.items()}
    for ratio in ratios.values():
        for sample in range(4):
            used = ratio[sample][image.valid[sample, :, 0]]
            assert float(used.max() - used.min()) < 1e-5
    assert not torch.allclose(ratios["a"], ratios["b"])


def joint_batch(count: int, *, fine: int, coarse: int, dates: int) -> tuple[Batch, Batch]:
    """Samples of the same ground at two resolutions; the second band of both holds the number of each pixel."""
    made = []
    for size in (fine, coarse):
        draw = np.random.default_rng(size)
        values = torch.from_numpy(draw.random((count, dates, 2, size, size)).astype(np.float32))
        values[:, :, 1] = torch.arange(size * size, dtype=torch.float32).reshape(size, size)
        valid = torch.from_numpy(draw.random(values.shape) < 0.7)
        bands = BandSet((Band("a", kind="reflectance"), Band("place", kind="coordinate")))
        box = GeoBox((size, size), Affine(40 / size, 0, 5e5, 0, -40 / size, 5e6), "EPSG:32633")
        time = torch.arange(dates).expand(count, dates).clone()
        place = values[:, 0, 1]
        targets = {"label": place.long(), "value": torch.stack([place * 2, place], dim=1)}
        known = {name: torch.ones_like(target, dtype=torch.bool) for name, target in targets.items()}
        ids = tuple(f"chip{number}" for number in range(count))
        made.append(Batch({"image": Modality(values, valid, bands, time, (box,) * count)}, targets, known, ids))
    return made[0], made[1]


def spoil(modality: Modality) -> Modality:
    """Other numbers under the mask."""
    return replace(modality, values=torch.where(modality.valid, modality.values, 7e5))


def alone(augment: Augment, batch: Batch, epoch: int) -> Batch:
    """The second sample on its own."""

    def one(modality: Modality) -> Modality:
        parts = {name: getattr(modality, name)[1:2] for name in ("values", "valid", "time")}
        return replace(modality, **parts, grid=modality.grid[1:2])

    single = Batch({name: one(m) for name, m in batch.inputs.items()}, {}, {}, batch.ids[1:2])
    return augment(single, seed=1, epoch=epoch)
