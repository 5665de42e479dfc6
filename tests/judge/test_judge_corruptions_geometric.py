from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from corruption_samples import bands, batch, grid, image
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from swath.errors import ConfigError, InputError
from swath.grids import Box, lonlat
from swath.judge.corruptions import GEOMETRIC, Placement, corrupt
from swath.judge.corruptions.geometric import move_labels, placement
from swath.metrics import DetectionAP
from swath.metrics.detection import Objects
from swath.metrics.overlap import rotated_iou
from swath.types import IGNORE, Batch, Modality

SEVERITIES = range(1, 6)
CLASSES = 4


def painted(count: int, height: int, width: int, seed: int = 0, dates: int = 1) -> Batch:
    """Images whose bands are the classes of a mask, with unknown labels and invalid pixels."""
    stream = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(stream.normal(size=(count, CLASSES, height, width)), (0, 0, 1.5, 1.5))
    labels = fields.argmax(axis=1)
    values = np.repeat((labels[:, None] == np.arange(CLASSES)[:, None, None])[:, None], dates, axis=1)
    valid = stream.random((count, 1, 1, height, width)) > 0.02
    target = np.where(stream.random(labels.shape) < 0.03, IGNORE, labels)
    tensor = torch.from_numpy(target)
    names = bands(CLASSES, "variable")
    return Batch(
        {"image": image(values, valid, names)},
        {"label": tensor},
        {"label": tensor != IGNORE},
        tuple(f"s{seed}_{place}" for place in range(count)),
    )


def agreement(found: Batch, date: int = 0) -> tuple[float, int]:
    """Share of the valid labelled pixels where the oracle that reads the mask from the image is right."""
    modality = found.inputs["image"]
    oracle = modality.values[:, date].argmax(dim=1)
    used = found.target_valid["label"] & modality.valid[:, 0, 0]
    right = oracle[used] == found.targets["label"][used]
    return float(right.float().mean()), int(used.sum())


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (100, 31)])
def test_the_oracle_is_right_everywhere(name: str, severity: int, size: tuple[int, int]) -> None:
    clean = painted(8, *size, dates=2)
    found = corrupt(clean, name, severity, 3)
    found.check({"label": "segmentation"})
    for date in (0, 1):
        share, used = agreement(found, date)
        assert share == 1.0
        assert used > 0.1 * 8 * size[0] * size[1]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(GEOMETRIC), severity=st.integers(1, 5), height=st.integers(9, 70), width=st.integers(9, 70),
    seed=st.integers(0, 2**40),
)  # fmt: skip
def test_the_oracle_is_right_at_any_size(name: str, severity: int, height: int, width: int, seed: int) -> None:
    share, used = agreement(corrupt(painted(2, height, width, seed % 1000), name, severity, seed))
    assert used == 0 or share == 1.0


@pytest.mark.parametrize("name", GEOMETRIC)
def test_overlap_of_objects_falls_with_severity(name: str) -> None:
    ids = tuple(f"image{place}" for place in range(64))
    stream = np.random.default_rng(0)
    boxes = np.column_stack(
        [np.full((64, 2), 32.0), stream.uniform(20, 40, 64), stream.uniform(6, 12, 64), stream.uniform(0, 180, 64)]
    )
    clean = replace(batch(64, 64), ids=ids, targets={}, target_valid={})
    objects = [Objects(row[None], np.array([0])) for row in boxes]
    clean = replace(clean, targets={"objects": objects}, target_valid={"objects": [True] * 64})
    means = []
    for severity in SEVERITIES:
        found = corrupt(clean, name, severity, 0).targets["objects"]
        overlaps = [rotated_iou(a.shapes, b.shapes)[0, 0] if len(b.labels) else 0.0 for a, b in zip(objects, found)]  # noqa: B905
        means.append(float(np.mean(overlaps)))
    assert all(first > second for first, second in itertools.pairwise(means)), means
    assert means[0] < 1


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_boxes_are_where_the_image_has_them(name: str, severity: int) -> None:
    """Rectangles of unique colours, found again in the moved image, against the moved boxes: AP is 1."""
    side, count = 512, 6
    corner = {"rotate": 130, "scale": 20, "translate": 20}[name]
    step = (side - 2 * corner) // 3
    values = np.zeros((count, 1, 9, side, side))  # a colour of its own for each object
    objects = []
    for place in range(count):
        stream = np.random.default_rng(place)
        rows = []
        for number in range(9):
            y, x = corner + step * (number // 3), corner + step * (number % 3)
            low = np.array([y, x]) + stream.integers(0, step // 8, 2)
            (y0, x0), (y1, x1) = low.tolist(), (low + stream.integers(step // 2, step - step // 8, 2)).tolist()
            values[place, 0, number, y0:y1, x0:x1] = 1
            rows.append((x0, y0, x1, y1))
        objects.append(Objects(np.array(rows, float), np.arange(9)))
    clean = Batch(
        {"image": image(values, names=bands(9, "variable"))},
        {"boxes": objects},
        {"boxes": [True] * count},
        tuple(f"i{place}" for place in range(count)),
    )
    found = corrupt(clean, name, severity, 1)
    metric = DetectionAP([str(number) for number in range(9)])
    for place in range(count):
        truth = found.targets["boxes"][place]
        metric.update(found.ids[place], truth, _seen(found.inputs["image"], place, truth))
    ap = {key: value for key, value in metric.compute().items() if key in ("map_box", "map50_box")}
    assert len(ap) == 2
    assert float(ap["map50_box"].value) == 1.0
    assert float(ap["map_box"].value) == 1.0


def _seen(modality: Modality, place: int, truth: Objects) -> Objects:
    """What a perfect detector says: the bounds of each colour that the truth kept."""
    colours = modality.values[place, 0].numpy()
    rows = []
    for label in np.asarray(truth.labels):
        y, x = np.nonzero(colours[label] > 0.5)
        rows.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return Objects(np.array(rows, float).reshape(-1, 4), truth.labels, np.ones(len(rows)))


def test_turned_boxes_and_masks_by_hand() -> None:
    values = np.zeros((1, 1, 1, 40, 60))
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 6:12] = True
    objects = Objects(np.array([[30.0, 20.0, 20.0, 6.0, 10.0], [3.0, 3.0, 4.0, 4.0, 0.0]]), np.array([1, 2]))
    clean = Batch(
        {"image": image(values)},
        {"turned": [objects], "masks": [Objects(mask, np.array([3]))]},
        {"turned": [True], "masks": [True]},
        ("a",),
    )
    half = corrupt(clean, "scale", 5, 0)
    np.testing.assert_allclose(half.targets["turned"][0].shapes, [[30, 20, 10, 3, 10], [16.5, 11.5, 2, 2, 0]])
    assert half.targets["masks"][0].shapes.sum() == 15
    turn = corrupt(clean, "rotate", 5, 0).targets["turned"][0]
    assert abs(turn.shapes[0, 4] - 10) == pytest.approx(90)
    np.testing.assert_allclose(turn.shapes[0, :4], [30, 20, 20, 6], atol=1e-9)
    assert len(turn.labels) == 1  # the corner has left the frame of 40 x 60


def test_what_the_frame_cuts() -> None:
    """An upright box keeps its visible part; a turned box need not be found."""
    values = np.zeros((1, 1, 1, 100, 100))
    upright = Objects(np.array([[0.0, 40.0, 100.0, 60.0]]), np.array([0]))
    turned = Objects(np.array([[50.0, 50.0, 100.0, 20.0, 0.0]]), np.array([0]))
    clean = Batch({"image": image(values)}, {"u": [upright], "t": [turned]}, {"u": [True], "t": [True]}, ("a",))
    found = corrupt(clean, "translate", 5, 0)
    box = found.targets["u"][0].shapes[0]
    assert box.min() >= 0 and box.max() <= 100 and box[2] - box[0] < 100
    assert found.targets["t"][0].crowd.tolist() == [True]
    assert corrupt(clean, "rotate", 5, 0).targets["t"][0].crowd.tolist() == [False]


def test_labels_without_objects() -> None:
    none = Objects(np.zeros((0, 4)), np.zeros(0, np.int64))
    clean = Batch({"image": image(np.zeros((1, 1, 1, 9, 9)))}, {"o": [none]}, {"o": [True]}, ("a",))
    for name in GEOMETRIC:
        assert len(corrupt(clean, name, 5, 0).targets["o"][0].labels) == 0


def test_quarter_turn_moves_pixels_without_mixing() -> None:
    clean = batch(16, 33)
    found = corrupt(clean, "rotate", 5, 0)
    assert found.inputs["image"].valid.all()
    turns = []
    for before, after in zip(clean.inputs["image"].values, found.inputs["image"].values, strict=True):
        matches = [k for k in (1, 3) if torch.equal(torch.rot90(before, k, (2, 3)), after)]
        assert len(matches) == 1
        turns.append(matches[0])
    assert set(turns) == {1, 3}  # both directions occur


def test_translation_is_whole_pixels_and_out_of_frame_is_ignored() -> None:
    clean = painted(4, 40, 40)
    found = corrupt(clean, "translate", 3, 0)
    outside = ~found.inputs["image"].valid[:, 0, 0]
    assert (found.targets["label"][~found.target_valid["label"]] == IGNORE).all()
    assert outside.float().mean() > 0.05
    lone = corrupt(batch(4, 40), "translate", 3, 0).inputs["image"]
    assert torch.isin(lone.values[lone.valid.expand_as(lone.values)], batch(4, 40).inputs["image"].values).all()
    assert (lone.values[~lone.valid.expand_as(lone.values)] == 0).all()


@pytest.mark.parametrize("name", GEOMETRIC)
def test_every_pixel_stays_at_its_place_on_earth(name: str) -> None:
    """The grid moves with the image: a band that holds the longitude still says what the grid says."""
    box = grid(40, 40)
    lon, lat = lonlat(box)
    clean = Batch(
        {"image": image(np.stack([lon, lat])[None, None], names=bands(2, "coordinate", "degree"))}, ids=("a",)
    )
    found = corrupt(clean, name, 3, 0).inputs["image"]
    seen = found.valid[0, 0, 0].numpy()
    for place, expected in enumerate(lonlat(found.grid[0])):
        error = np.abs(found.values[0, 0, place].numpy()[seen] - expected[seen])
        # A pixel is 9e-5 degrees; in the outer half of border pixels the border itself is all there is.
        assert error.max() < 6.5e-5 and np.median(error) < 4e-6  # float32 at 45 degrees
    factor = {"scale": 1 / 0.7}.get(name, 1.0)
    assert float(found.gsd_m()[0]) == pytest.approx(10 * factor, rel=0.01)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_two_resolutions_move_together(name: str) -> None:
    """A coarse raster made of the fine one still is its block mean after a move of whole coarse pixels, or a turn."""
    fine = batch(3, 64).inputs["image"]
    mean = torch.nn.functional.avg_pool2d(fine.values[:, 0], 2)[:, None].numpy()
    coarse = image(mean)
    found = corrupt(Batch({"fine": fine, "coarse": coarse}, ids=("a", "b", "c")), name, 5, 0)
    moved, other = found.inputs["fine"], found.inputs["coarse"]
    seen = torch.nn.functional.avg_pool2d(moved.valid[:, 0].float(), 2)[:, 0] == 1
    seen &= other.valid[:, 0, 0]
    assert seen.float().mean() > 0.15
    again = torch.nn.functional.avg_pool2d(moved.values[:, 0], 2)
    tolerance = 1e-6 if name != "scale" else 0.02
    for band in range(3):
        np.testing.assert_allclose(again[:, band][seen], other.values[:, 0, band][seen], atol=tolerance)


def test_invalid_pixels_never_mix_in() -> None:
    values = np.ones((2, 1, 1, 40, 40))
    valid = np.random.default_rng(0).random((2, 1, 1, 40, 40)) > 0.2
    given_ = Batch({"image": image(np.where(valid, values, 1e9), valid, bands(1, "variable"))}, ids=("a", "b"))
    for name in GEOMETRIC:
        found = corrupt(given_, name, 2, 0).inputs["image"]
        assert found.valid.any()
        np.testing.assert_allclose(found.values[found.valid], 1.0, rtol=1e-6)


def test_flags_are_taken_from_the_nearest_pixel() -> None:
    flags = np.random.default_rng(0).integers(0, 9, (1, 1, 1, 40, 40))
    given_ = Batch({"image": image(flags, names=bands(1, "quality"))}, ids=("a",))
    found = corrupt(given_, "rotate", 2, 0).inputs["image"]
    assert set(np.unique(found.values[found.valid])) <= set(range(9))


def test_targets_of_whole_images_stay_and_quantities_move() -> None:
    clean = batch(2, 32)
    amounts = clean.inputs["image"].values[:, 0, :1].clone()
    targets = {"scene": torch.tensor([0, 1]), "amount": amounts}
    valid = {"scene": torch.ones(2, dtype=torch.bool), "amount": torch.ones(2, 1, 32, 32, dtype=torch.bool)}
    given_ = replace(clean, targets=targets, target_valid=valid)
    found = corrupt(given_, "rotate", 1, 0, tasks={"amount": "pixel_regression"})
    found.check({"scene": "classification", "amount": "pixel_regression"})
    assert torch.equal(found.targets["scene"], targets["scene"])
    seen = found.target_valid["amount"]
    assert torch.equal(found.targets["amount"][seen], found.inputs["image"].values[:, 0, :1][seen])


@pytest.mark.parametrize("task", ["caption", "vqa", "grounding", "regression", None])
def test_unsupported_targets_are_named(task: Any) -> None:
    value: Any = torch.zeros(1, 2) if task == "regression" else ["a ship at the left"]
    valid: Any = torch.ones(1, 2, dtype=torch.bool) if task == "regression" else [True]
    given_ = replace(batch(1), targets={"words": value}, target_valid={"words": valid})
    tasks = {} if task is None else {"words": task}
    with pytest.raises(ConfigError, match=r"'rotate' cannot move the target 'words'") as caught:
        corrupt(given_, "rotate", 1, 0, tasks=tasks)
    assert (task or "unknown") in str(caught.value)
    corrupt(given_, "haze", 1, 0, tasks=tasks)  # how it looks is no question of place


def test_adapters() -> None:
    def adapter(entry: str, moved: Placement, sample: int) -> str:
        return f"{entry} {moved.shift[sample].tolist()}"

    given_ = replace(batch(2), targets={"words": ["a", "b"]}, target_valid={"words": [True, True]})
    found = corrupt(given_, "scale", 1, 0, tasks={"words": "caption"}, adapters={"words": adapter})
    assert found.targets["words"] == ["a [0.0, 0.0]", "b [0.0, 0.0]"]


def test_other_grids_are_refused() -> None:
    modality = batch(1).inputs["image"]
    given_ = Batch({"image": replace(modality, grid=(Box((32, 32), (1.0, 1.0)),))}, ids=("a",))
    with pytest.raises(InputError, match="Box"):
        corrupt(given_, "rotate", 1, 0)


def test_label_ties_take_the_lowest_class() -> None:
    labels = torch.tensor([[[3, 1, 3, 3], [1, 3, 3, 3], [3, 3, 5, 5], [3, 3, 2, 2]]])
    moved = placement("scale", 0.5, ("a",), 0, (4, 4))
    found, valid = move_labels(labels, torch.ones_like(labels, dtype=torch.bool), moved)
    # Every output pixel in the middle mixes four pixels in equal shares: 3 1 1 3, then 3 3 3 3, and 5 5 2 2.
    assert found[0, 1:3, 1:3].tolist() == [[1, 3], [3, 2]]
    assert valid[0, 1:3, 1:3].all() and int(valid.sum()) == 4
