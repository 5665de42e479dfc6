from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from judge_samples import BANDS, CLASSES, MakeBatches

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import ResultTable, compare, score, score_map
from swath.types import IGNORE, Batch, Prediction, ResultRow


class Oracle:
    """Knows the labels; wrong on purpose at a share of the pixels, silent where told."""

    task = "segmentation"
    inputs = {"image": BANDS}  # noqa: RUF012
    classes = CLASSES

    def __init__(self, wrong: float = 0.2, blind_rows: int = 0, seed: int = 0) -> None:
        self.wrong, self.blind_rows, self.seed = wrong, blind_rows, seed

    def predict(self, batch: Batch) -> Prediction:
        truth = batch.targets["label"].clamp_min(0)
        draws = [np.random.default_rng([self.seed, *name.encode()]).random(truth.shape[1:]) for name in batch.ids]
        lapse = torch.from_numpy(np.stack(draws)) < self.wrong
        labels = torch.where(lapse, (truth + 1) % len(CLASSES), truth)
        valid = batch.inputs["image"].valid[:, 0, 0].clone()
        valid[:, : self.blind_rows] = False
        logits = torch.nn.functional.one_hot(labels, len(CLASSES)).movedim(-1, 1).float()
        return Prediction("segmentation", {"logits": logits}, valid, CLASSES)


def test_rows_intervals_and_counts(make_batches: MakeBatches) -> None:
    batches = make_batches(count=10)
    facts = ResultRow("r", "demo", backbone="oracle", seed=3, note="made up")
    result = score(Oracle(0.2), batches, dataset="chips", split="test", facts=facts)
    by_name = {(row.metric, row.class_name): row for row in result.rows}
    accuracy = by_name["accuracy", None]
    assert 0.75 < accuracy.ci_low < accuracy.value < accuracy.ci_high < 0.85
    assert (accuracy.system, accuracy.backbone, accuracy.seed, accuracy.n_test) == ("demo", "oracle", 3, 10)
    assert (accuracy.dataset, accuracy.split, accuracy.higher_is_better) == ("chips", "test", True)
    assert "over 10 samples" in accuracy.note
    assert "made up" in accuracy.note
    assert "3 of 3 classes (absent: skip)" in by_name["miou", None].note
    assert by_name["miou", None].value == pytest.approx(np.mean([by_name["iou", name].value for name in CLASSES]))
    assert by_name["f1", None].value == pytest.approx(np.mean([by_name["f1", name].value for name in CLASSES]))
    assert result.value("accuracy") == accuracy.value
    assert len(ResultTable(result.rows)) == 5 + 4 * 3 + 1
    assert (result.per_sample.sum(axis=0) == result.confusion.counts).all()
    assert result.ids[0] == "chip0_0"


def test_invalid_places_are_excluded_and_reported(make_batches: MakeBatches) -> None:
    batches = make_batches(count=4, invalid=0.3)
    expected = sum(
        int((batch.target_valid["label"] & ~batch.inputs["image"].valid[:, 0, 0]).sum()) for batch in batches
    )
    result = score(Oracle(0.0), batches)
    assert result.excluded == expected > 0
    assert result.confusion.total == result.labelled - expected
    row = result.rows[-1]
    assert (row.metric, row.higher_is_better) == ("excluded_share", False)
    assert row.value == pytest.approx(expected / result.labelled)
    assert result.value("accuracy") == 1


def test_batching_changes_nothing(make_batches: MakeBatches) -> None:
    one, other = (score(Oracle(), make_batches(count=7, batch_size=size)) for size in (1, 7))
    assert one.rows == other.rows


def test_groups_are_resampled_as_a_whole(make_batches: MakeBatches) -> None:
    batches = make_batches(count=8)
    groups = {f"chip0_{index}": f"g{index // 4}" for index in range(8)}
    result = score(Oracle(), batches, groups=groups)
    assert result.units.shape == (2, 3, 3)
    assert "over 2 groups" in result.rows[0].note
    with pytest.raises(InputError, match="7 samples have no group"):
        score(Oracle(), batches, groups={"chip0_0": "a"})


def test_one_sample_and_no_labels(make_batches: MakeBatches) -> None:
    single = score(Oracle(), make_batches(count=1))
    assert single.rows[0].ci_low is None
    assert 0 < single.rows[0].value < 1
    (batch,) = make_batches(count=2)
    empty = torch.full_like(batch.targets["label"], -100)
    nothing = score(Oracle(), [replace(batch, targets={"label": empty}, target_valid={"label": empty >= 0})])
    assert nothing.confusion.total == 0
    assert np.isnan(nothing.value("miou"))
    assert np.isnan(nothing.excluded_share)


def test_compare_is_paired_and_refuses_other_pixels(make_batches: MakeBatches) -> None:
    batches = make_batches(count=12)
    good, bad = score(Oracle(0.1), batches), score(Oracle(0.3), batches[::-1])
    difference = compare(good, bad, "miou")
    assert 0 < difference.low < difference.estimate < difference.high
    assert float(difference.estimate) == pytest.approx(good.value("miou") - bad.value("miou"))
    with pytest.raises(InputError, match="different pixels of 12 samples"):
        compare(good, score(Oracle(0.3, blind_rows=8), batches))
    with pytest.raises(InputError, match="12 and 11 samples"):
        compare(good, score(Oracle(), make_batches(count=11)))
    with pytest.raises(ConfigError, match="nearest is: miou"):
        compare(good, bad, "mio")


class Broken(Oracle):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def predict(self, batch: Batch) -> Prediction:
        good = super().predict(batch)
        logits = good.outputs["logits"].clone()
        if self.fault == "nan":
            logits[1, 0, 0, 0] = torch.nan
        elif self.fault == "classes":
            logits = logits[:, :2]
        elif self.fault == "valid":
            return replace(good, valid=good.valid[:, :1])
        return replace(good, outputs={"logits": logits})


@pytest.mark.parametrize(("fault", "sentence"), [("nan", "chip0_1"), ("classes", "3 classes"), ("valid", "valid")])
def test_broken_predictions_get_a_sentence(make_batches: MakeBatches, fault: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        score(Broken(fault), make_batches(count=2, invalid=0))


def test_bad_input_gets_a_sentence(make_batches: MakeBatches) -> None:
    batches = make_batches(count=2)
    with pytest.raises(InputError, match="no batches"):
        score(Oracle(), [])
    with pytest.raises(ContractError, match="given twice: chip0_0, chip0_1"):
        score(Oracle(), batches + batches)
    with pytest.raises(ContractError, match="no target 'crop'"):
        score(Oracle(), batches, target="crop")
    predictor = Oracle()
    predictor.task = "forecast"
    with pytest.raises(ConfigError, match="predictor of labels"):
        score(predictor, batches)


def test_a_map_is_scored_by_polygon() -> None:
    truth = np.array([[0, 0, 1, 1], [2, 2, IGNORE, 1]])
    units = np.array([[0, 0, 4, 4], [7, 7, 7, -1]])
    predicted = np.array([[0, 1, 1, 1], [2, IGNORE, 0, 0]])
    facts = ResultRow("r", "demo", backbone="unet")
    result = score_map(predicted, truth, units, CLASSES, facts=facts, unit="polygon")
    assert result.ids == ("0", "4", "7")
    assert result.value("accuracy") == pytest.approx(4 / 5)
    assert (result.labelled, result.excluded) == (6, 1)
    assert result.per_sample.sum(axis=(1, 2)).tolist() == [2, 2, 1]
    accuracy = next(row for row in result.rows if row.metric == "accuracy")
    assert (accuracy.backbone, accuracy.n_test) == ("unet", 3)
    assert "over 3 polygons" in accuracy.note
    noise = np.where((units < 0) | (truth == IGNORE), 2, predicted)
    assert score_map(noise, truth, units, CLASSES, facts=facts).confusion == result.confusion
    with pytest.raises(InputError, match="No pixel of the map"):
        score_map(predicted, truth, np.full_like(units, -1), CLASSES, facts=facts)
