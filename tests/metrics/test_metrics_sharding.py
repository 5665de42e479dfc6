"""What holds for every metric: batches, shards and their order have no effect, masks work, NaN is refused and named."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import metrics
from swath.errors import InputError
from swath.metrics import Objects

Arrays = list[np.ndarray]
CLASSES = ("a", "b", "c")
COUNT = 12
WIDER = np.array([0, 0, 1.0, 1.0])


@dataclass(frozen=True)
class Case:
    """A metric, inputs with samples on the first axis, which of them is the prediction, and whether sums are exact."""

    make: Callable[[], Any]
    data: Callable[[np.random.Generator], Arrays]
    predicted: int | None = 1
    exact: bool = True

    def feed(self, metric: Any, arrays: Arrays, valid: np.ndarray | None, ids: list[str]) -> None:
        if isinstance(metric, metrics.SemanticChange):
            before, after, guess_before, guess_after = arrays
            metric.update((before, after), (guess_before, guess_after), valid)
        elif isinstance(metric, metrics.DetectionAP):
            for name, truth, boxes, scores in zip(ids, *arrays, strict=True):
                labels = np.arange(len(truth)) % 3
                metric.update(name, Objects(truth, labels), Objects(boxes, labels, scores))
        elif isinstance(metric, metrics.Retrieval):
            metric.update(ids, *arrays)
        elif isinstance(metric, metrics.SampleScores):
            metric.update(arrays[0], np.moveaxis(arrays[1], 1, 0), valid, ids)
        elif isinstance(metric, metrics.ConfusionMatrix | metrics.PerImageConfusion):
            metric.update(*arrays, valid)
        else:
            metric.update(*arrays, valid, ids)


def maps(stream: np.random.Generator) -> Arrays:
    return list(stream.integers(0, 3, (2, COUNT, 4, 3)))


def scored(stream: np.random.Generator) -> Arrays:
    return [stream.integers(0, 2, (COUNT, 5)), stream.integers(0, 9, (COUNT, 5)) / 8]


def classes(stream: np.random.Generator) -> Arrays:
    return [stream.integers(0, 3, (COUNT, 4)), np.moveaxis(stream.dirichlet(np.ones(3), (COUNT, 4)), 2, 1)]


def several(stream: np.random.Generator) -> Arrays:
    return [stream.integers(0, 2, (COUNT, 3)), stream.random((COUNT, 3))]


def numbers(stream: np.random.Generator) -> Arrays:
    return list(stream.normal(size=(2, COUNT, 5)))


def gaussians(stream: np.random.Generator) -> Arrays:
    return [*numbers(stream), 0.5 + stream.random((COUNT, 5))]


def ensembles(stream: np.random.Generator) -> Arrays:
    return [stream.normal(size=(COUNT, 5)), stream.normal(size=(COUNT, 4, 5))]


def unsure(stream: np.random.Generator) -> Arrays:
    return [stream.integers(0, 9, (COUNT, 5)) / 8, stream.integers(0, 2, (COUNT, 5)).astype(float)]


def changes(stream: np.random.Generator) -> Arrays:
    return list(stream.integers(0, 3, (4, COUNT, 4, 3)))


def boxes(stream: np.random.Generator) -> Arrays:
    truth = np.cumsum(1 + stream.integers(0, 9, (COUNT, 4, 2, 2)), axis=2).reshape(COUNT, 4, 4).astype(float)
    return [truth, truth + WIDER, stream.integers(0, 4, (COUNT, 4)) / 4]


def one_box(stream: np.random.Generator) -> Arrays:
    truth = np.cumsum(1 + stream.integers(0, 9, (COUNT, 2, 2)), axis=1).reshape(COUNT, 4).astype(float)
    return [truth, truth + 2 * WIDER]


def frames(stream: np.random.Generator) -> Arrays:
    return list(1 + stream.random((2, COUNT, 2, 11, 12)))


def features(stream: np.random.Generator) -> Arrays:
    return [stream.normal(size=(COUNT, 6)), stream.integers(0, 3, COUNT)]


CASES = {
    "confusion": Case(lambda: metrics.ConfusionMatrix(CLASSES), maps, None),
    "per_image": Case(lambda: metrics.PerImageConfusion(CLASSES), maps, None),
    "change": Case(lambda: metrics.SemanticChange(CLASSES), changes, None),
    "ranking": Case(metrics.Ranking, scored),
    "ranking_binned": Case(lambda: metrics.Ranking(1024), scored),
    "binary_f1": Case(metrics.BinaryF1, scored),
    "class_ranking": Case(lambda: metrics.ClassRanking(CLASSES), classes),
    "multilabel": Case(lambda: metrics.Multilabel(CLASSES), several),
    "top_k": Case(lambda: metrics.TopK(CLASSES, 2), several),
    "regression": Case(metrics.Regression, numbers, exact=False),
    "envelope": Case(lambda: metrics.WithinEnvelope(1.0, 0.3), numbers),
    "gaussian": Case(metrics.GaussianScores, gaussians, exact=False),
    "ensemble": Case(metrics.SampleScores, ensembles, exact=False),
    "coverage": Case(metrics.Coverage, gaussians, exact=False),
    "class_calibration": Case(metrics.ClassCalibration, classes, exact=False),
    "uncertainty": Case(metrics.UncertaintyRanking, unsure, 0),
    "retrieval": Case(metrics.Retrieval, features, 0),
    "detection": Case(lambda: metrics.DetectionAP(CLASSES), boxes),
    "grounding": Case(metrics.GroundingAccuracy, one_box),
    "psnr": Case(lambda: metrics.Psnr(2.0), frames, exact=False),
    "ssim": Case(lambda: metrics.Ssim(2.0), frames),
    "angle": Case(metrics.SpectralAngle, frames, exact=False),
}
MASKED = [name for name in CASES if name not in ("retrieval", "detection")]
IDS = [f"s{number:02d}" for number in range(COUNT)]


def same(first: dict[str, Any], second: dict[str, Any], exact: bool) -> None:
    assert first.keys() == second.keys()
    for key, one in first.items():
        two = second[key]
        assert (one.count, one.skipped, one.reason) == (two.count, two.skipped, two.reason), key
        close = 0.0 if exact else 1e-10
        assert one.value == pytest.approx(two.value, rel=close, abs=close, nan_ok=True), key


def fed(case: Case, arrays: Arrays, valid: np.ndarray | None, rows: list[int]) -> Any:
    metric = case.make()
    part = None if valid is None else valid[rows]
    case.feed(metric, [array[rows] for array in arrays], part, [IDS[row] for row in rows])
    return metric


def mask_of(name: str, arrays: Arrays, stream: np.random.Generator) -> np.ndarray | None:
    """A mask that fits the target of the metric, with whole samples left out."""
    if name not in MASKED:
        return None
    shape = (COUNT,) if name == "grounding" else arrays[0].shape
    if name in ("psnr", "ssim", "angle"):
        shape = (COUNT, 1, 1, 1)
    return np.asarray(stream.random(shape) < 0.7)


@pytest.mark.parametrize("name", CASES)
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_batches_shards_and_their_order_change_nothing(name: str, seed: int, data: st.DataObject) -> None:
    case, stream = CASES[name], np.random.default_rng(seed)
    arrays = case.data(stream)
    valid = mask_of(name, arrays, stream)
    whole = fed(case, arrays, valid, list(range(COUNT)))
    order = data.draw(st.permutations(range(COUNT)))
    cuts = sorted(data.draw(st.lists(st.integers(0, COUNT), max_size=4)))
    shards = [order[start:stop] for start, stop in zip([0, *cuts], [*cuts, COUNT], strict=True)]
    merged = case.make()
    for shard in shards:  # one update per sample within a shard, shards merged from the left and from the right
        part = case.make()
        for row in shard:
            case.feed(part, [array[[row]] for array in arrays], None if valid is None else valid[[row]], [IDS[row]])
        merged = part + merged if len(shard) % 2 else merged + part
    same(whole.compute(), merged.compute(), case.exact)


@pytest.mark.parametrize("name", MASKED)
def test_what_stands_under_the_mask_has_no_effect(name: str) -> None:
    case, stream = CASES[name], np.random.default_rng(5)
    arrays = case.data(stream)
    valid = mask_of(name, arrays, stream)
    assert valid is not None
    valid[0] = False
    clean = fed(case, arrays, valid, list(range(COUNT)))
    if case.predicted is None:
        spoilt = [np.where(valid, array, 99) for array in arrays]
    else:
        spoilt = [array.copy() for array in arrays]
        spoilt[case.predicted][0] = np.nan
    same(clean.compute(), fed(case, spoilt, valid, list(range(COUNT))).compute(), True)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.predicted is not None])
@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_nan_in_a_prediction_is_an_error_that_names_the_sample(name: str, junk: float) -> None:
    case = CASES[name]
    arrays = case.data(np.random.default_rng(6))
    before = fed(case, arrays, None, [0, 1]).compute()
    place = case.predicted
    assert place is not None
    arrays[place] = arrays[place].astype(float)
    arrays[place][7].flat[-1] = junk
    metric = fed(case, arrays, None, [0, 1])
    with pytest.raises(InputError, match="s07"):
        case.feed(metric, [array[6:9] for array in arrays], None, IDS[6:9])
    if name != "detection":  # its samples are updated one by one
        same(metric.compute(), before, True)


@pytest.mark.parametrize("name", CASES)
def test_nothing_valid_gives_nan_with_a_reason_and_no_other_number(name: str) -> None:
    case = CASES[name]
    empty = case.make() + case.make()
    if name in MASKED:
        arrays = case.data(np.random.default_rng(7))
        mask = mask_of(name, arrays, np.random.default_rng(7))
        assert mask is not None
        case.feed(empty, arrays, np.zeros_like(mask), IDS)
        case.feed(empty, [array[:0] for array in arrays], None, [])
    for key, answer in empty.compute().items():
        assert math.isnan(answer.value), key
        assert answer.reason, key
        assert answer.count == 0, key


@pytest.mark.parametrize("name", [name for name in MASKED if name != "change"])
def test_tensors_are_as_good_as_arrays(name: str) -> None:
    case = CASES[name]
    arrays = case.data(np.random.default_rng(8))
    metric = case.make()
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    if name == "ensemble":
        metric.update(tensors[0], tensors[1].movedim(1, 0))
    else:
        case.feed(metric, tensors, None, IDS)  # type: ignore[arg-type]
    same(metric.compute(), fed(case, arrays, None, list(range(COUNT))).compute(), True)
