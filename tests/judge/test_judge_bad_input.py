"""Bad input at the front door of the judge: every case ends as one sentence that says what is wrong and where."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from judge_samples import BANDS, CLASSES, MakeBatches

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import NearestColour, score
from swath.judge.corruptions import corrupt, sweep
from swath.types import IGNORE, Batch, Prediction


class Spoilt(NearestColour):
    """A model that answers NaN for one sample."""

    sample = ""

    def predict(self, batch: Batch) -> Prediction:
        found = super().predict(batch)
        logits = found.outputs["logits"].clone()
        for place, name in enumerate(batch.ids):
            if name == self.sample:
                logits[place, 0, 3, 3] = math.nan
        return replace(found, outputs={"logits": logits}, valid=torch.ones_like(found.valid))


@pytest.fixture
def batches(make_batches: MakeBatches) -> list[Batch]:
    return make_batches(count=6, size=32, invalid=0.0)


@pytest.fixture
def model(batches: list[Batch]) -> Spoilt:
    found = Spoilt({"image": BANDS}, CLASSES)
    found.fit(batches)
    return found


def test_a_prediction_with_nan_names_its_sample(model: Spoilt, batches: list[Batch]) -> None:
    score(model, batches)
    model.sample = "chip0_5"
    with pytest.raises(ContractError, match=r"NaN or infinite numbers for the samples chip0_5"):
        score(model, batches)
    with pytest.raises(ContractError, match=r"for the samples chip0_5"):
        sweep(model, batches, ["haze"], (1,), 0)


def test_labels_outside_the_classes_are_counted(model: Spoilt, batches: list[Batch]) -> None:
    label = batches[1].targets["label"].clone()
    label[0, :2, :2] = 7
    wrong = replace(batches[1], targets={"label": label}, target_valid={"label": label != IGNORE})
    with pytest.raises(InputError, match=r"'truth' holds labels outside the 3 classes: 7 \(4 times\)"):
        score(model, [batches[0], wrong])


def test_nothing_valid_is_undefined_and_says_so(model: Spoilt, batches: list[Batch]) -> None:
    none = []
    for batch in batches:
        label = torch.full_like(batch.targets["label"], IGNORE)
        none.append(replace(batch, targets={"label": label}, target_valid={"label": label != IGNORE}))
    found = score(model, none)
    assert found.labelled == 0 and math.isnan(found.value("accuracy")) and math.isnan(found.excluded_share)
    assert all(math.isnan(row.value) for row in found.rows)
    (share,) = [row for row in found.rows if row.metric == "excluded_share"]
    assert "0 of 0 labelled values" in str(share.note)
    rows = sweep(model, none, ["gaps"], (1,), 0)
    assert all(math.isnan(row.value) for row in rows)


@pytest.mark.parametrize("severity", [0, 6])
def test_severities_outside_are_refused_before_anything_is_predicted(
    model: Spoilt, batches: list[Batch], severity: int
) -> None:
    def never(batch: Batch) -> Prediction:
        raise AssertionError("nothing should be predicted")

    model.predict = never  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=f"severity = {severity}"):
        corrupt(batches[0], "gaps", severity, 0)
    with pytest.raises(ConfigError, match=f"severity = {severity}"):
        sweep(model, batches, None, (1, severity), 0)
