"""Test-time augmentation: views move everything together, and what comes back is averaged exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from torch import Tensor
from torch.nn import functional as F

from swath import grids
from swath.errors import ConfigError
from swath.predict import TestTimeAugmentation, predict_scene
from swath.predict.symmetries import GROUPS, SYMMETRIES, symmetries
from swath.sensors import BandSet
from swath.types import Batch, Modality, Prediction

Make = Callable[..., Any]
BANDS = BandSet.of("red", "green", "blue")
NAMES = list(SYMMETRIES)
BOX = GeoBox((4, 4), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633")


def batch_of(values: Tensor, valid: Tensor | None = None, grid: Any = BOX) -> Batch:
    """One date of (B, C, y, x)."""
    values = values[:, None]
    count = len(values)
    mask = torch.ones((count, 1, 1, *values.shape[3:]), dtype=torch.bool) if valid is None else valid
    modality = Modality(values, mask, BANDS, torch.zeros((count, 1), dtype=torch.int64), (grid,) * count)
    return Batch({"optical": modality}, ids=tuple(str(number) for number in range(count)))


def image(batch: Batch) -> Tensor:
    return batch.inputs["optical"].values[:, 0]


class Model:
    """A function of the batch to the first output of a task, with what else it announces."""

    def __init__(self, function: Callable[[Batch], Any], task: Any = "segmentation", **more: Any) -> None:
        self.function, self.task = function, task
        self.inputs = {"optical": BANDS}
        self.classes: tuple[str, ...] = more.pop("classes", ("a", "b", "c"))
        for name, value in more.items():
            setattr(self, name, value)

    def predict(self, batch: Batch) -> Prediction:
        batch.check()
        out = self.function(batch)
        first = {"pixel_regression": "mean", "embedding": "embedding"}.get(self.task, "logits")
        outputs = out if isinstance(out, dict) else {first: out}
        valid = batch.inputs["optical"].valid[:, 0].any(dim=1).expand(-1, *outputs[first].shape[2:])
        return Prediction(self.task, outputs, valid, self.classes)


def noise(seed: int = 0, size: int = 4, count: int = 2) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (count, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_a_view_and_its_grid_move_together(name: str) -> None:
    view = SYMMETRIES[name]
    box = GeoBox((3, 5), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633")
    places = torch.from_numpy(np.stack(grids.lonlat(box)))
    turned = view.grid(box)
    assert grids.shape(turned) == tuple(view.apply(places).shape[1:])
    np.testing.assert_allclose(np.stack(grids.lonlat(turned)), view.apply(places).numpy(), atol=1e-9)
    assert torch.equal(view.undo(view.apply(places)), places)


def test_names_say_what_happens() -> None:
    square = torch.tensor([[1, 2], [3, 4]])
    expected = {
        "identity": [[1, 2], [3, 4]],
        "flip_x": [[2, 1], [4, 3]],
        "flip_y": [[3, 4], [1, 2]],
        "transpose": [[1, 3], [2, 4]],
        "rotate_90": [[2, 4], [1, 3]],
        "rotate_180": [[4, 3], [2, 1]],
        "rotate_270": [[3, 1], [4, 2]],
        "anti_transpose": [[4, 2], [3, 1]],
    }
    assert {name: view.apply(square).tolist() for name, view in SYMMETRIES.items()} == expected


@pytest.mark.parametrize("group", list(GROUPS))
def test_groups_are_closed(group: str) -> None:
    mark = torch.arange(9).reshape(3, 3)
    seen = {tuple(view.apply(mark).flatten().tolist()) for view in symmetries(group)}
    assert len(seen) == len(symmetries(group))
    for one in symmetries(group):
        for other in symmetries(group):
            assert tuple(one.apply(other.apply(mark)).flatten().tolist()) in seen


def test_a_mask_that_is_broadcast_moves_along() -> None:
    values = torch.zeros((1, 3, 4, 4))
    values[:, :, 0, 1] = 5.0
    mask = torch.ones((1, 1, 1, 1, 4), dtype=torch.bool)  # one row for all rows
    mask[..., 1] = False
    seen = []

    def look(batch: Batch) -> Tensor:
        modality = batch.inputs["optical"]
        valid = modality.valid.expand_as(modality.values)[:, 0]
        seen.append(float(image(batch)[~valid].max()))  # the pixel of 5 lies under the mask in every view
        assert float(image(batch)[valid].max()) == 0
        return image(batch)

    answer = TestTimeAugmentation(Model(look)).predict(batch_of(values, mask))
    assert seen == [5.0] * 8
    assert answer.valid.tolist() == [[[True, False, True, True]] * 4]


def test_an_equivariant_model_gives_its_own_answer_and_no_spread() -> None:
    batch = batch_of(noise().mul(8).round())  # whole numbers, so that sums do not depend on their order

    def around(batch: Batch) -> Tensor:
        return F.avg_pool2d(image(batch), 3, 1, 1, divisor_override=1)

    answer = TestTimeAugmentation(Model(around)).predict(batch)
    answer.check(batch, ("spread", "disagreement"))
    alone = Model(around).predict(batch)
    assert torch.equal(answer.outputs["spread"], torch.zeros(2, 1, 4, 4))
    assert float(answer.outputs["disagreement"].max()) < 1e-6
    torch.testing.assert_close(answer.probability(), alone.probability(), atol=1e-6, rtol=0)
    assert torch.equal(answer.label(), alone.label())
    mean = TestTimeAugmentation(Model(around, "pixel_regression")).predict(batch)
    assert torch.equal(mean.outputs["mean"], around(batch))
    assert torch.equal(mean.outputs["variance"], torch.zeros(2, 3, 4, 4))


def test_places_on_earth_are_seen_in_every_view() -> None:
    # A model that looks up the place of a pixel gives the same map with and without augmentation.
    def placed(batch: Batch) -> Tensor:
        return batch.inputs["optical"].lonlat()

    model = Model(placed, "pixel_regression", classes=("lon", "lat"))
    answer = TestTimeAugmentation(model).predict(batch_of(noise()))
    lon, lat = grids.lonlat(BOX)
    np.testing.assert_allclose(answer.outputs["mean"][0], np.stack([lon, lat]).astype(np.float32), atol=1e-5)
    assert float(answer.outputs["spread"].max()) < 1e-5


def corner(batch: Batch) -> Tensor:
    """Depends on the place in the tile only: logit of class a = row, in whole numbers."""
    side = batch.inputs["optical"].values.shape[-1]
    rows = torch.arange(side, dtype=torch.float32)[:, None].expand(side, side)
    return torch.stack([rows, torch.zeros_like(rows)])[None].expand(batch.batch_size, -1, -1, -1)


def test_formulas_by_hand() -> None:
    # One pixel column of two rows: upright it says row 0 and 1, upside down 1 and 0.
    batch = batch_of(torch.zeros((1, 3, 2, 2)), grid=BOX[:2, :2])
    model = Model(corner, classes=("a", "b"))
    answer = TestTimeAugmentation(model, ["identity", "flip_y"]).predict(batch)
    p, q = 0.5, math.e / (1 + math.e)  # of class a where the logit is 0 and 1
    mean = (p + q) / 2
    torch.testing.assert_close(answer.probability()[0, :, 0, 0], torch.tensor([mean, 1 - mean]))
    assert answer.outputs["spread"][0, 0, 1, 1].item() == pytest.approx((q - p) / 2)

    def entropy(share: float) -> float:
        return -share * math.log(share) - (1 - share) * math.log(1 - share)

    disagreement = (entropy(mean) - (entropy(p) + entropy(q)) / 2) / math.log(2)
    assert answer.outputs["disagreement"][0, 0, 0, 0].item() == pytest.approx(disagreement, abs=1e-6)


def test_variances_add_up_by_hand() -> None:
    def quantity(batch: Batch) -> dict[str, Tensor]:
        mean = corner(batch)[:, :1]
        return {"mean": mean, "log_variance": torch.log(mean + 1)}  # variance 1 where the mean is 0, 2 where it is 1

    batch = batch_of(torch.zeros((1, 3, 2, 2)), grid=BOX[:2, :2])
    for more in ({}, {"extras": {"variance": ("height",)}}):
        model = Model(quantity, "pixel_regression", classes=("height",), **more)
        augmented = TestTimeAugmentation(model, ["identity", "flip_y"])
        assert augmented.extras == {"variance": ("height",), "spread": ("height",)}
        outputs = augmented.predict(batch).outputs
        assert outputs["mean"].flatten().tolist() == pytest.approx([0.5] * 4)
        assert outputs["variance"].flatten().tolist() == pytest.approx([1.5 + 0.25] * 4)
        assert outputs["spread"].flatten().tolist() == pytest.approx([0.5] * 4)
        assert "log_variance" not in outputs


def test_disagreement_reaches_from_nothing_to_one() -> None:
    def opposite(batch: Batch) -> Tensor:
        return (corner(batch)[:, :1] - 0.5) * torch.tensor([1.0, -1.0])[:, None, None] * 200

    batch = batch_of(torch.zeros((1, 3, 2, 2)), grid=BOX[:2, :2])
    answer = TestTimeAugmentation(Model(opposite, classes=("a", "b")), ["identity", "flip_y"]).predict(batch)
    assert answer.outputs["disagreement"].flatten().tolist() == pytest.approx([1.0] * 4)
    assert answer.outputs["spread"].flatten().tolist() == pytest.approx([0.5] * 4)
    answer.check(batch, ("spread", "disagreement"))  # probabilities of 0 stay finite as logits
    alone = TestTimeAugmentation(Model(lambda b: corner(b)[:, :1], classes=("a",))).predict(batch)
    assert float(alone.outputs["disagreement"].max()) == 0 and float(alone.probability().min()) == 1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), group=st.sampled_from(list(GROUPS)), number=st.integers(0, 7))
def test_the_average_is_invariant_under_its_group(seed: int, group: str, number: int) -> None:
    weight = noise(seed, 3, 3)

    def skewed(batch: Batch) -> Tensor:
        return F.conv2d(image(batch), weight, padding=1)

    views = symmetries(group)
    view = views[number % len(views)]
    augmented = TestTimeAugmentation(Model(skewed), group)
    values = noise(seed + 100)
    one = augmented.predict(batch_of(values))
    other = augmented.predict(batch_of(view.apply(values), grid=view.grid(BOX)))
    for name, output in one.outputs.items():
        torch.testing.assert_close(view.undo(other.outputs[name]), output, atol=1e-4, rtol=1e-4)


def test_embeddings_coarse_outputs_and_extras() -> None:
    def coarse(batch: Batch) -> dict[str, Tensor]:
        cells = F.avg_pool2d(image(batch), 2)
        return {"embedding": cells, "depth": cells[:, :1]}

    class Coarse(Model):
        def predict(self, batch: Batch) -> Prediction:
            outputs = self.function(batch)
            return Prediction("embedding", outputs, torch.ones((batch.batch_size,), dtype=torch.bool))

    model = Coarse(coarse, "embedding", extras={"depth": ("depth",)}, output_stride=2, colours=("#000000",))
    augmented = TestTimeAugmentation(model, "rotations")
    assert augmented.output_stride == 2 and augmented.colours == ("#000000",)
    assert augmented.extras == {"depth": ("depth",), "spread": ("spread",)}
    values = noise()
    answer = augmented.predict(batch_of(values))
    torch.testing.assert_close(answer.outputs["embedding"], F.avg_pool2d(values, 2))
    torch.testing.assert_close(answer.outputs["depth"], F.avg_pool2d(values, 2)[:, :1])
    assert answer.valid.tolist() == [True, True]


def test_a_whole_scene_is_invariant_and_has_a_spread(tmp_path: Path, make: Make, fake: Any) -> None:
    weight = noise(3, 3, 3)
    values = np.random.default_rng(0).normal(0, 1, (3, 20, 20)).astype(np.float32)
    augmented = TestTimeAugmentation(fake(lambda batch: F.conv2d(image(batch), weight, padding=1)))
    options: dict[str, Any] = {"tile": 8, "overlap": 4, "progress": False}
    outputs = ("probability_float16", "spread", "disagreement")  # tiles of 8 every 4 pixels fit into 20 either way

    def mapped(name: str, image: np.ndarray) -> dict[str, np.ndarray]:
        files = predict_scene(augmented, make(image), tmp_path / f"{name}.tif", outputs=outputs, **options).files
        out = {}
        for key, path in files.items():
            with rasterio.open(path) as dataset:
                out[key] = dataset.read()
        return out

    plain, turned = mapped("plain", values), mapped("turned", np.rot90(values, axes=(1, 2)).copy())
    for key, array in plain.items():
        np.testing.assert_allclose(turned[key], np.rot90(array, axes=(1, 2)), atol=1e-3)
    assert plain["spread"].min() >= 0 and plain["spread"].max() > 0.01
    assert plain["disagreement"].min() >= 0 and plain["disagreement"].max() <= 1


def test_series_move_with_all_their_dates_and_targets_stay_hidden() -> None:
    def last(batch: Batch) -> Tensor:
        assert not batch.targets and not batch.target_valid
        return batch.inputs["optical"].values[:, -1]

    values = torch.stack([noise(1), noise(2)], dim=1)
    modality = Modality(
        values, torch.ones_like(values, dtype=torch.bool), BANDS, torch.tensor([[0, 5], [1, 2]]), (BOX, BOX)
    )
    target = torch.zeros((2, 4, 4), dtype=torch.int64)
    batch = Batch({"optical": modality}, {"label": target}, {"label": target == 0}, ids=("a", "b"))
    answer = TestTimeAugmentation(Model(last)).predict(batch)
    torch.testing.assert_close(answer.probability(), values[:, 1].softmax(dim=1))


def test_sentences() -> None:
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("no transform 'flip'.*flip_x", lambda: symmetries("flip")),
        ("no transform 'flipx'", lambda: symmetries(["identity", "flipx"])),
        ("transforms are none", lambda: symmetries([])),
        ("flip_x, flip_x", lambda: symmetries(["flip_x", "flip_x"])),
        ("'classification' gives no value per pixel", lambda: TestTimeAugmentation(Model(image, "classification"))),
        ("announces the outputs spread", lambda: TestTimeAugmentation(TestTimeAugmentation(Model(image)))),
    ]
    for match, call in cases:
        with pytest.raises(ConfigError, match=match):
            call()
    wide = batch_of(torch.zeros((1, 3, 2, 4)), grid=BOX[:2, :])
    with pytest.raises(ConfigError, match="has 2 rows and 4 columns, and quarter turns"):
        TestTimeAugmentation(Model(image)).predict(wide)
    assert TestTimeAugmentation(Model(image), "flips").predict(wide).outputs["logits"].shape == (1, 3, 2, 4)
    mesh = grids.LatLon((1.0, 0.0), (0.0, 1.0))
    with pytest.raises(ConfigError, match="a grid of the kind LatLon"):
        TestTimeAugmentation(Model(image)).predict(batch_of(torch.zeros((1, 3, 2, 2)), grid=mesh))
    sphere = grids.HealPix(2)
    faces = Modality(
        torch.zeros((1, 1, 3, 12, 2, 2)),
        torch.ones((1, 1, 1, 12, 2, 2), dtype=torch.bool),
        BANDS,
        torch.zeros((1, 1), dtype=torch.int64),
        (sphere,),
    )
    with pytest.raises(ConfigError, match="a grid of the kind HealPix"):
        TestTimeAugmentation(Model(image)).predict(Batch({"optical": faces}, ids=("a",)))
