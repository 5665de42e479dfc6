"""The tasks of swath and the one table of their target shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal[
    "classification",
    "multilabel",
    "segmentation",
    "regression",
    "pixel_regression",
    "change",
    "forecast",
    "detection",
    "instance",
    "caption",
    "vqa",
    "grounding",
    "embedding",
]

IGNORE = -100
"""The one label that means "do not use" inside swath; readers convert every other convention."""


@dataclass(frozen=True)
class TargetShape:
    """How the target of a task looks.

    Args:
        axes: names of the axes; ``K`` counts classes or quantities, ``[F]`` appears with HEALPix faces only.
        dtype: ``int64`` for labels, ``float32`` for quantities, ``ragged`` for one entry per sample.
        labels: whether the numbers are class labels with ``IGNORE``.
    """

    axes: tuple[str, ...]
    dtype: Literal["int64", "float32", "ragged"]
    labels: bool = False


# An embedding has no target: nothing can be wrong with it but its use.
TARGETS: dict[Task, TargetShape] = {
    "classification": TargetShape(("sample",), "int64", labels=True),
    "multilabel": TargetShape(("sample", "K"), "float32"),
    "segmentation": TargetShape(("sample", "[F]", "y", "x"), "int64", labels=True),
    "regression": TargetShape(("sample", "K"), "float32"),
    "pixel_regression": TargetShape(("sample", "K", "[F]", "y", "x"), "float32"),
    "change": TargetShape(("sample", "[F]", "y", "x"), "int64", labels=True),
    "forecast": TargetShape(("sample", "time", "K", "[F]", "y", "x"), "float32"),
    "detection": TargetShape(("sample",), "ragged"),
    "instance": TargetShape(("sample",), "ragged"),
    "caption": TargetShape(("sample",), "ragged"),
    "vqa": TargetShape(("sample",), "ragged"),
    "grounding": TargetShape(("sample",), "ragged"),
}
