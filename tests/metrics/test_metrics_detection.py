from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, InputError
from swath.metrics import DetectionAP, GroundingAccuracy, Objects, box_iou, mask_iou, polygon_iou, rotated_iou

QUICK = settings(deadline=None, max_examples=20)
HALF = np.array([0, 0, 0, 0, 180.0])  # a half turn
NOTHING = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))


def found(boxes: list[list[float]], scores: list[float], labels: list[int] | None = None) -> Objects:
    return Objects(np.array(boxes, float), np.array(labels or [0] * len(boxes)), np.array(scores))


def wanted(boxes: list[list[float]], labels: list[int] | None = None, crowd: list[bool] | None = None) -> Objects:
    marks = None if crowd is None else np.array(crowd)
    return Objects(np.array(boxes, float), np.array(labels or [0] * len(boxes)), crowd=marks)


def test_hand_worked_overlaps() -> None:
    one, two = np.array([[0, 0, 4, 2]]), np.array([[2, 0, 6, 2], [4, 0, 5, 1], [0, 0, 4, 2], [1, 1, 1, 1]])
    assert box_iou(one, two)[0].tolist() == pytest.approx([4 / 12, 0, 1, 0])
    assert box_iou(one, two[:1], np.array([True]))[0, 0] == 0.5
    assert box_iou(np.zeros((0, 4)), two).shape == (0, 4)
    # A square of side 2 and the same turned by 45 degrees share a regular octagon.
    octagon = 8 * (np.sqrt(2) - 1)
    turned = rotated_iou(np.array([[5, 5, 2, 2, 0]]), np.array([[5, 5, 2, 2, 45], [5, 5, 2, 2, 90], [9, 9, 2, 2, 0]]))
    assert turned[0].tolist() == pytest.approx([octagon / (8 - octagon), 1, 0])
    masks = np.zeros((2, 4, 4), bool)
    masks[0, :2], masks[1, 1:3] = True, True
    assert mask_iou(masks[:1], masks)[0].tolist() == pytest.approx([1, 4 / 12])


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_overlaps_agree_with_each_other(seed: int) -> None:
    stream = np.random.default_rng(seed)
    first, second = (
        np.concatenate([low, low + stream.integers(1, 9, (4, 2))], 1) for low in stream.integers(0, 9, (2, 4, 2))
    )
    plain = box_iou(first, second)
    turned = [
        np.concatenate([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2], np.zeros((4, 1))], 1) for b in (first, second)
    ]
    assert rotated_iou(*turned) == pytest.approx(plain)
    quarter = [np.concatenate([t[:, :2], t[:, 3:1:-1], np.full((4, 1), 90.0)], 1) for t in turned]
    assert rotated_iou(*quarter) == pytest.approx(plain)
    painted = np.zeros((2, 4, 20, 20), bool)
    for part, boxes in zip(painted, (first, second), strict=True):
        for mask, (x0, y0, x1, y1) in zip(part, boxes, strict=True):
            mask[y0:y1, x0:x1] = True
    assert mask_iou(*painted) == pytest.approx(plain)


def test_turning_both_boxes_changes_nothing_and_equals_shapely() -> None:
    stream = np.random.default_rng(0)
    boxes = np.concatenate(
        [stream.random((12, 2)) * 6, 1 + stream.random((12, 2)) * 5, stream.random((12, 1)) * 180], 1
    )
    overlap = rotated_iou(boxes[:6], boxes[6:])
    shapes = [
        shapely.affinity.translate(shapely.affinity.rotate(shapely.box(-w / 2, -h / 2, w / 2, h / 2), a, (0, 0)), x, y)
        for x, y, w, h, a in boxes
    ]
    for row in range(6):
        for column in range(6):
            a, b = shapes[row], shapes[6 + column]
            assert overlap[row, column] == pytest.approx(a.intersection(b).area / a.union(b).area)
    angle = np.radians(33)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.concatenate([boxes[:, :2] @ turn.T, boxes[:, 2:4], boxes[:, 4:] + 33], axis=1)
    assert rotated_iou(moved[:6], moved[6:]) == pytest.approx(overlap)


def test_hand_worked_average_precision() -> None:
    """Two objects; the best detection is right, the second wrong, the third right: precision 1 up to recall 1/2,
    2/3 beyond; 51 of the 101 recalls lie in the first half. IoU is 1 or 0, so all thresholds agree."""
    metric = DetectionAP(("ship",))
    metric.update(
        "a",
        wanted([[0, 0, 4, 4], [10, 10, 14, 14]]),
        found([[0, 0, 4, 4], [20, 20, 24, 24], [10, 10, 14, 14]], [0.9, 0.8, 0.7]),
    )
    answers = metric.compute()
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert answers["map_box"].value == pytest.approx(expected)
    assert answers["map50_box"].value == pytest.approx(expected)


def test_one_overlap_of_0_62_is_right_at_three_of_ten_thresholds() -> None:
    metric = DetectionAP(("ship", "plane"))
    metric.update("a", wanted([[0, 0, 100, 10]]), found([[0, 0, 62, 10]], [0.5]))
    answers = metric.compute()
    assert answers["map_box"].value == pytest.approx(0.3)
    assert answers["map50_box"].value == 1
    assert (answers["map_box"].count, answers["map_box"].skipped) == (1, 1)
    assert answers["map_box"].reason == "1 of 2 classes have no true object"


def test_crowds_are_neither_right_nor_wrong() -> None:
    plain, crowded = DetectionAP(("tree",)), DetectionAP(("tree",))
    boxes = [[0, 0, 4, 4], [10, 0, 30, 20]]
    detections = found([[11, 1, 15, 5], [16, 1, 20, 5], [0, 0, 4, 4]], [0.9, 0.8, 0.7])
    crowded.update("a", wanted(boxes, crowd=[False, True]), detections)
    plain.update("a", wanted(boxes), detections)
    assert crowded.compute()["map_box"].value == 1
    assert plain.compute()["map_box"].value < 0.2


def test_only_the_most_confident_detections_count() -> None:
    metric = DetectionAP(("ship",), most=1)
    metric.update("a", wanted([[0, 0, 4, 4]]), found([[9, 9, 10, 10], [0, 0, 4, 4]], [0.9, 0.8]))
    assert metric.compute()["map_box"].value == 0


def simple_ap(pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]], threshold: float) -> float:
    """AP with loops: match by falling score, then read precision at 101 recalls."""
    rows = []
    for number, (truth, boxes, scores) in enumerate(pictures):
        free = set(range(len(truth)))
        for rank in sorted(range(len(boxes)), key=lambda i: -scores[i]):
            best, hit = threshold, None
            for candidate in sorted(free):
                share = box_iou(boxes[rank : rank + 1], truth[candidate : candidate + 1])[0, 0]
                if share >= best:
                    best, hit = share, candidate
            free -= {hit}
            rows.append((-scores[rank], number, hit is not None))
    rows.sort(key=lambda row: row[:2])
    total, hits, points = sum(len(truth) for truth, _, _ in pictures), 0, []
    for count, (_, _, right) in enumerate(rows, start=1):
        hits += right
        points.append((hits / total, hits / count))
    return float(np.mean([max([p for r, p in points if r >= at], default=0.0) for at in np.linspace(0, 1, 101)]))


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_equals_brute_force(seed: int) -> None:
    stream = np.random.default_rng(seed)
    metric, pictures = DetectionAP(("a",)), []
    for number in range(4):
        truth = np.cumsum(stream.random((2 + number % 2, 2, 2)) * 9, axis=1).reshape(-1, 4)
        boxes = np.concatenate([truth + stream.normal(scale=0.4, size=truth.shape), truth[:1] + 3])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = stream.permutation(40)[: len(boxes)] / 40 + number / 1000
        pictures.append((truth, boxes, scores))
        metric.update(str(number), wanted(truth.tolist()), found(boxes.tolist(), scores.tolist()))
    per_threshold = metric.per_class()["a"]
    for place, threshold in ((0, 0.5), (5, 0.75)):
        assert per_threshold[place] == pytest.approx(simple_ap(pictures, threshold))


def test_turned_boxes_and_pictures_without_anything() -> None:
    metric = DetectionAP(("ship",), "rotated")
    box = np.array([[5, 5, 8, 2, 30.0]])
    metric.update("a", Objects(box, np.array([0])), Objects(box + HALF, np.array([0]), np.array([0.3])))
    metric.update("b", Objects(np.zeros((0, 5)), np.zeros(0, int)), Objects(np.zeros((0, 5)), np.zeros(0, int)))
    assert metric.compute()["map_rotated"].value == 1
    wrong = DetectionAP(("ship",), "rotated")
    wrong.update("a", Objects(box, np.array([0])), Objects(box + HALF / 2, np.array([0]), np.array([0.3])))
    assert wrong.compute()["map50_rotated"].value == 0
    empty = DetectionAP(("ship",))
    assert empty.compute()["map_box"].reason == "there are no images"
    empty.update("a", NOTHING, found([[0, 0, 1, 1]], [0.5]))
    assert np.isnan(empty.compute()["map_box"].value)
    missed = DetectionAP(("ship",))
    missed.update("a", wanted([[0, 0, 1, 1]]), NOTHING)
    assert missed.compute()["map_box"].value == 0


def test_bad_detections_get_a_sentence() -> None:
    metric = DetectionAP(("ship",))
    with pytest.raises(InputError, match="prediction of image a"):
        metric.update("a", NOTHING, found([[0, 0, np.nan, 1]], [0.5]))
    with pytest.raises(InputError, match="scores of image a"):
        metric.update("a", NOTHING, found([[0, 0, 1, 1]], [np.nan]))
    with pytest.raises(InputError, match="one score per detection"):
        metric.update("a", NOTHING, wanted([[0, 0, 1, 1]]))
    with pytest.raises(InputError, match=r"labels \[1\]"):
        metric.update("a", wanted([[0, 0, 1, 1]], [1]), NOTHING)
    with pytest.raises(InputError, match="as many of each"):
        metric.update("a", Objects(np.zeros((2, 4)), np.zeros(1, int)), NOTHING)
    with pytest.raises(InputError, match="end before they begin"):
        metric.update("a", wanted([[3, 0, 1, 1]]), NOTHING)
    metric.update("a", NOTHING, NOTHING)
    with pytest.raises(InputError, match="given twice"):
        metric.update("a", NOTHING, NOTHING)
    with pytest.raises(InputError, match="given twice: a"):
        metric + metric
    with pytest.raises(InputError, match="same classes, kind"):
        metric + DetectionAP(("ship",), "mask")
    with pytest.raises(ConfigError, match="nearest is: mask"):
        DetectionAP(("ship",), "masks")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cross themselves"):
        polygon_iou(np.array([[[0, 0], [2, 2], [2, 0], [0, 3]]]), np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]]))
    with pytest.raises(InputError, match="bool masks"):
        mask_iou(np.zeros((1, 2, 2)), np.zeros((1, 2, 2), bool))
    with pytest.raises(InputError, match="negative width"):
        rotated_iou(np.array([[0, 0, -1, 1, 0]]), np.zeros((0, 5)))


def test_grounding_by_hand_and_its_bad_input() -> None:
    """Overlaps 1, 0.6, 0.5 and one sample that is not valid."""
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 1, 1]], float)
    guess = np.array([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 5, 10], [np.nan] * 4])
    metric = GroundingAccuracy()
    metric.update(truth, guess, np.array([True, True, True, False]))
    answers = metric.compute()
    assert answers["acc@0.5"].value == 1
    assert answers["acc@0.7"].value == pytest.approx(1 / 3)
    turned = GroundingAccuracy((0.5,))
    turned.update(np.array([[0, 0, 4, 2, 0.0]]), np.array([[0, 0, 2, 4, 90.0]]))
    assert turned.compute()["acc@0.5"].value == 1
    assert np.isnan(GroundingAccuracy().compute()["acc@0.5"].value)
    with pytest.raises(InputError, match=r"samples \['q'\]"):
        metric.update(truth[:1], guess[3:], ids=["q"])
    with pytest.raises(InputError, match=r"\(N, 4\)"):
        metric.update(np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(InputError, match="same thresholds"):
        metric + turned
    with pytest.raises(ConfigError, match="thresholds are"):
        GroundingAccuracy((50,))
