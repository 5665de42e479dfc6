"""Average precision of detected objects by COCO's rules, for boxes, masks and turned boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError, nearest
from swath.metrics.arrays import as_numpy, check_finite
from swath.metrics.confusion import ConfusionMatrix
from swath.metrics.outcome import Outcome, mean_of, undefined
from swath.metrics.overlap import box_iou, mask_iou, rotated_iou

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

Shape = Literal["box", "mask", "rotated"]
OVERLAPS: dict[str, Callable[[NDArray[Any], NDArray[Any], NDArray[np.bool_]], NDArray[np.float64]]] = {
    "box": box_iou,
    "mask": mask_iou,
    "rotated": rotated_iou,
}
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of one image.

    Args:
        shapes: boxes ``(n, 4)`` x0, y0, x1, y1; turned boxes ``(n, 5)`` centre x, centre y, width, height, angle
            [degrees]; or bool masks ``(n, y, x)``.
        labels: class numbers ``(n,)``.
        scores: confidence ``(n,)``; needed for predictions.
        crowd: bool ``(n,)``, True for true objects that need not be found: what matches them is neither right nor
            wrong. Mark so what is cut by a border, covered by cloud or otherwise not valid. None are by default.
    """

    shapes: Numbers
    labels: Numbers
    scores: Numbers | None = None
    crowd: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class _Matches:
    """What became of the detections of one class in one image: scores ``(D,)``, and per threshold ``(T, D)``."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    wanted: int


class DetectionAP:
    """``map_KIND`` and ``map50_KIND`` (KIND box, mask or rotated): COCO's average precision.

    Per image, class and IoU threshold (0.50 to 0.95 in steps of 0.05), detections take the free true object that they
    overlap most, the most confident first, if IoU reaches the threshold. Over all images the detections of a class are
    ordered by score; precision is made non-increasing from the right and read at 101 recalls from 0 to 1; AP is the
    mean of these, ``map`` the mean over thresholds and over classes with true objects (Lin et al. 2014, ECCV; the
    details are those of the reference code). Equal scores are ordered by image id, so neither batching nor order has an
    effect. Only the outcome of the matching is kept. Parts add up.

    Args:
        classes: class names in label order.
        kind: what the shapes are.
        most: detections per image and class that count, the most confident first.

    Raises:
        ConfigError: unknown kind.
    """

    def __init__(self, classes: Sequence[str], kind: Shape = "box", most: int = 100) -> None:
        self.classes = ConfusionMatrix(classes).classes
        if kind not in OVERLAPS:
            raise ConfigError(
                f"The kind of object is '{kind}'",
                expected=", ".join(OVERLAPS),
                remedy=f"the nearest is: {nearest(kind, OVERLAPS)}",
            )
        self.kind, self.most = kind, most
        self._images: dict[str, dict[int, _Matches]] = {}

    def update(self, image_id: str, truth: Objects, prediction: Objects) -> None:
        """Match the objects of one image.

        Args:
            image_id: its name, once over all updates.
            truth: the true objects.
            prediction: the detections, with scores.

        Raises:
            InputError: the image comes twice, numbers do not fit, a label is outside the classes, or a shape or score
                is NaN or infinite.
        """
        if image_id in self._images:
            raise InputError(f"Image {image_id} was given twice", expected="every image once", remedy="check the split")
        real, wanted, crowd = self._checked(image_id, "truth", truth)
        found, guessed, _ = self._checked(image_id, "prediction", prediction)
        scores = np.zeros(0) if prediction.scores is None else as_numpy(prediction.scores).astype(np.float64)
        if scores.shape != guessed.shape:
            raise InputError(
                f"Image {image_id} has {len(guessed)} detections and scores of shape {scores.shape}",
                expected="one score per detection",
                remedy="pass the confidence of the detector",
            )
        check_finite(f"scores of image {image_id}", scores)
        answers: dict[int, _Matches] = {}
        for number in np.union1d(wanted, guessed).astype(int).tolist():
            mine, theirs = np.flatnonzero(guessed == number), np.flatnonzero(wanted == number)
            order = mine[np.argsort(-scores[mine], kind="stable")][: self.most]
            # COCO looks at objects that have to be found before those that need not be.
            theirs = theirs[np.argsort(crowd[theirs], kind="stable")]
            overlap = OVERLAPS[self.kind](found[order], real[theirs], crowd[theirs])
            right, ignored = _match(overlap, crowd[theirs])
            answers[number] = _Matches(scores[order], right, ignored, int((~crowd[theirs]).sum()))
        self._images[image_id] = answers

    def _checked(
        self, image_id: str, name: str, objects: Objects
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_]]:
        shapes, labels = as_numpy(objects.shapes), as_numpy(objects.labels)
        crowd = np.zeros(len(labels), np.bool_) if objects.crowd is None else np.asarray(objects.crowd, np.bool_)
        if not (len(shapes) == len(labels) == len(crowd)):
            raise InputError(
                f"The {name} of image {image_id} has {len(shapes)} shapes, {len(labels)} labels and {len(crowd)} crowd "
                "marks",
                expected="as many of each",
                remedy="filter them together",
            )
        if labels.size and (labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(self.classes)):
            raise InputError(
                f"The {name} of image {image_id} has the labels {np.unique(labels)[:5].tolist()} as {labels.dtype}",
                expected=f"integers from 0 to {len(self.classes) - 1}",
                remedy="map the labels to the legend first",
            )
        if shapes.dtype != np.bool_:
            check_finite(f"{name} of image {image_id}", shapes)
        return shapes, labels.astype(np.int64), crowd

    def __add__(self, other: DetectionAP) -> DetectionAP:
        if (self.classes, self.kind, self.most) != (other.classes, other.kind, other.most):
            raise InputError(
                f"The parts are of the kinds {self.kind} and {other.kind} with {len(self.classes)} and "
                f"{len(other.classes)} classes",
                expected="the same classes, kind and limit",
                remedy="score both parts alike",
            )
        twice = sorted(self._images.keys() & other._images.keys())
        if twice:
            raise InputError(
                f"Images were given twice: {', '.join(twice[:3])}",
                expected="every image in one part",
                remedy="check how the images were divided",
            )
        merged = DetectionAP(self.classes, self.kind, self.most)
        merged._images = self._images | other._images
        return merged

    def per_class(self) -> dict[str, NDArray[np.float64]]:
        """AP per threshold ``(10,)`` by class name; NaN for a class without true objects."""
        return {name: self._precision(number) for number, name in enumerate(self.classes)}

    def _precision(self, number: int) -> NDArray[np.float64]:
        parts = [self._images[name][number] for name in sorted(self._images) if number in self._images[name]]
        wanted = sum(part.wanted for part in parts)
        if not wanted:
            return np.full(len(THRESHOLDS), np.nan)
        scores = np.concatenate([part.scores for part in parts])
        order = np.argsort(-scores, kind="stable")
        right = np.concatenate([part.right for part in parts], axis=1)[:, order]
        ignored = np.concatenate([part.ignored for part in parts], axis=1)[:, order]
        return np.array([_interpolated(right[row], ignored[row], wanted) for row in range(len(THRESHOLDS))])

    def compute(self) -> dict[str, Outcome]:
        """``map_KIND`` and ``map50_KIND`` over classes with true objects; the others are counted."""
        table = np.array(list(self.per_class().values()))
        if not self._images:
            return {f"{key}_{self.kind}": undefined("there are no images") for key in ("map", "map50")}
        why = "have no true object"
        return {
            f"map_{self.kind}": mean_of(table.mean(axis=1), "classes", why),
            f"map50_{self.kind}": mean_of(table[:, 0], "classes", why),
        }


def _match(overlap: NDArray[np.float64], crowd: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections are right and which do not count, ``(T, D)`` each.

    Args:
        overlap: IoU ``(D, G)``, detections from the most confident down, crowds behind the other objects.
        crowd: ``(G,)``.
    """
    detections, objects = overlap.shape
    limits = np.minimum(np.array(THRESHOLDS), 1 - 1e-10)
    right, ignored = np.zeros((2, len(limits), detections), np.bool_)
    if not objects:
        return right, ignored
    taken = np.zeros((len(limits), objects), np.bool_)
    rows = np.arange(len(limits))
    for number in range(detections):
        open_ = (overlap[number] >= limits[:, None]) & ~(taken & ~crowd)
        for kind, out in ((~crowd, right), (crowd, ignored)):
            candidates = np.where(open_ & kind, overlap[number], -1.0)
            # Of equal overlaps the last one wins, as in the reference code.
            best = objects - 1 - candidates[:, ::-1].argmax(axis=1)
            hit = (candidates[rows, best] >= 0) & ~right[:, number]
            out[:, number] = hit
            taken[rows[hit], best[hit]] = True
    return right, ignored


def _interpolated(right: NDArray[np.bool_], ignored: NDArray[np.bool_], wanted: int) -> float:
    """Mean over 101 recalls of the highest precision at that recall or above; 0 beyond the recall that was reached."""
    hits = np.cumsum(right[~ignored])
    precision = hits / np.arange(1, len(hits) + 1)
    ceiling = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / wanted, RECALLS, side="left")
    return float(np.append(ceiling, 0.0)[np.minimum(place, len(hits))].mean())
