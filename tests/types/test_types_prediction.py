from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch

from swath.errors import ContractError
from swath.grids import Box, HealPix
from swath.sensors import BandSet
from swath.types import Batch, Features, Modality, Prediction, Predictor
from swath.types.prediction import OUTPUTS
from swath.types.task import TARGETS, Task


def batch(samples: int = 2, faces: bool = False) -> Batch:
    size = (samples, 1, 1, 12, 4, 4) if faces else (samples, 1, 1, 4, 4)
    grid = (HealPix(4) if faces else Box((4, 4), (1.0, 1.0)),) * samples
    part = Modality(
        torch.zeros(size),
        torch.ones(size, dtype=torch.bool),
        BandSet.of("x"),
        torch.zeros((samples, 1), dtype=torch.int64),
        grid,
    )
    return Batch({"x": part}, ids=tuple(f"chip-{index}" for index in range(samples)))


EVERYWHERE = torch.ones((2, 4, 4), dtype=torch.bool)
EACH = torch.ones(2, dtype=torch.bool)


def dense(logits: torch.Tensor | None = None, valid: torch.Tensor = EVERYWHERE, **more: Any) -> Prediction:
    return Prediction(
        "segmentation", {"logits": torch.zeros((2, 3, 4, 4)) if logits is None else logits, **more}, valid
    )


def broken(*size: int, at: tuple[int, ...]) -> torch.Tensor:
    values = torch.zeros(size)
    values[at] = float("nan")
    return values


GOOD: dict[str, Prediction] = {
    "segmentation": dense(),
    "uncertainty": dense(uncertainty=torch.zeros((2, 4, 4))),
    "one uncertainty per sample": dense(uncertainty=torch.zeros(2)),
    "classification": Prediction("classification", {"logits": torch.zeros((2, 3))}, EACH, classes=("a", "b", "c")),
    "one class": Prediction("classification", {"logits": torch.zeros((2, 1))}, EACH, classes=("a",)),
    "regression": Prediction("regression", {"mean": torch.zeros((2, 1)), "log_variance": torch.zeros((2, 1))}, EACH),
    "forecast": Prediction("forecast", {"mean": torch.zeros((2, 5, 3, 4, 4))}, EVERYWHERE),
    "detection": Prediction("detection", {"boxes": [[], []], "scores": [[], []], "labels": [[], []]}, EACH),
    "caption": Prediction("caption", {"text": ["a", ""]}, EACH),
    "nan under the mask": dense(broken(2, 3, 4, 4, at=(1, 2, 0, 0)), EVERYWHERE & (torch.arange(16) > 0).view(4, 4)),
    "nan in a sample that is invalid": Prediction(
        "regression", {"mean": broken(2, 2, at=(0, 1))}, torch.tensor([False, True])
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_predictions_of_every_kind_pass(name: str) -> None:
    GOOD[name].check(batch())


def test_faces_and_empty_batches_pass() -> None:
    spread = torch.ones((2, 12, 4, 4), dtype=torch.bool)
    Prediction("segmentation", {"logits": torch.zeros((2, 3, 12, 4, 4))}, spread).check(batch(faces=True))
    nothing = Prediction("segmentation", {"logits": torch.zeros((0, 3, 4, 4))}, EVERYWHERE[:0])
    nothing.check(batch(samples=0))


BAD: dict[str, tuple[Callable[[], Prediction], str]] = {
    "wrong output": (
        lambda: Prediction("segmentation", {"mean": torch.zeros(2)}, EACH),
        r"outputs \['mean'\].*'logits'",
    ),
    "surplus output": (lambda: dense(extra=torch.zeros(2)), r"nothing beyond logits, uncertainty"),
    "too few samples": (lambda: dense(torch.zeros((1, 3, 4, 4))), "'logits' holds 1 samples and the batch 2"),
    "short list": (lambda: Prediction("caption", {"text": ["a"]}, EACH), "'text' holds 1 samples"),
    "mask of floats": (lambda: dense(valid=EVERYWHERE.float()), "not a bool tensor"),
    "mask without axes": (lambda: dense(valid=torch.tensor(True)), "not a bool tensor"),
    "short mask": (lambda: dense(valid=EVERYWHERE[:1]), "validity holds 1 samples"),
    "nan": (lambda: dense(broken(2, 3, 4, 4, at=(1, 0, 2, 2))), "'logits' holds NaN .* samples chip-1"),
    "nan in all": (lambda: dense(torch.full((2, 3, 4, 4), float("nan"))), "samples chip-0, chip-1"),
    "infinite uncertainty": (lambda: dense(uncertainty=torch.full((2, 4, 4), float("inf"))), "'uncertainty' holds NaN"),
    "nan for a point": (lambda: Prediction("regression", {"mean": broken(2, 1, at=(0, 0))}, EACH), "samples chip-0"),
    "nan uncertainty per sample": (lambda: dense(uncertainty=broken(2, at=(1,))), "samples chip-1"),
    "classes": (
        lambda: Prediction("classification", {"logits": torch.zeros((2, 3))}, EACH, classes=("a", "b")),
        r"shape \(2, 3\) for 2 classes",
    ),
    "logits without class axis": (
        lambda: Prediction("classification", {"logits": torch.zeros(2)}, EACH, classes=("a", "b")),
        r"shape \(2,\) for 2 classes",
    ),
    "coarse logits": (lambda: dense(torch.zeros((2, 3, 2, 2))), r"\(2, 3, 2, 2\) and the validity \(2, 4, 4\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_violation_gets_its_sentence(name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(ContractError, match=words):
        make().check(batch())


def test_probability_and_label() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
    one = Prediction("classification", {"logits": logits}, EACH)
    assert one.label().tolist() == [1, 0]
    assert one.probability().sum(dim=1).tolist() == pytest.approx([1.0, 1.0])
    # Log-probabilities pass through softmax unchanged.
    again = Prediction("classification", {"logits": one.probability().log()}, EACH)
    torch.testing.assert_close(again.probability(), one.probability())
    several = Prediction("multilabel", {"logits": torch.zeros((2, 3))}, EACH)
    assert several.probability().unique().tolist() == [0.5]
    with pytest.raises(ContractError, match=r"no classes \(its outputs are \['mean'\]\)"):
        GOOD["forecast"].label()


def test_every_task_has_outputs_and_targets() -> None:
    assert set(OUTPUTS) == set(get_args(Task))
    assert set(get_args(Task)) - set(TARGETS) == {"embedding"}  # nothing is right or wrong about it


def test_a_predictor_is_known_by_what_it_offers() -> None:
    class Majority:
        task = "segmentation"
        inputs: dict[str, BandSet] = {}  # noqa: RUF012
        classes = ("a",)

        def predict(self, batch: Batch) -> Prediction:
            return dense()

    assert isinstance(Majority(), Predictor)
    assert not isinstance(object(), Predictor)


MAP = torch.zeros((2, 8, 4, 4))


@pytest.mark.parametrize(
    "features",
    [
        Features((MAP,), (4,)),
        Features((MAP, MAP[..., :2, :2]), (4, 8), cls=torch.zeros((2, 8))),
        Features((torch.zeros((2, 3, 8, 4, 4)),), (16,)),
        Features((), (), tokens=torch.zeros((2, 17, 8))),
    ],
)
def test_features_pass(features: Features) -> None:
    features.check()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (Features((), ()), "no map, no tokens"),
        (Features((MAP,), ()), "1 maps and 0 strides"),
        (Features((MAP, MAP), (8, 4)), r"strides \(8, 4\) are not in order"),
        (Features((MAP,), (4,), cls=torch.zeros((1, 8))), r"different numbers of samples: \[1, 2\]"),
        (Features((torch.zeros((2, 16, 8)),), (4,)), r"shape \(2, 16, 8\)"),
    ],
)
def test_features_that_disagree_are_told(features: Features, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        features.check()
