"""What a map is made with beyond the model: turned views, and what makes it defensible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ConfigError

if TYPE_CHECKING:
    from swath.predict.layers import Layer
    from swath.types import Predictor


@dataclass(frozen=True, eq=False)
class Request:
    """What ``predict_scene`` is asked for.

    Args:
        predictor: the model, or what was wrapped around it.
        outputs: names of all maps.
        extra: layers beyond those of the task.
    """

    predictor: Predictor
    outputs: tuple[str, ...]
    extra: Mapping[str, Layer]


def request(
    predictor: Predictor,
    outputs: Sequence[str],
    *,
    trust: Path | None = None,
    augment: str | None = None,
    vectorise: Path | None = None,
) -> Request:
    """Wrap a model for what was asked, before any scene is opened.

    Args:
        predictor: the model.
        outputs: wanted maps; those of ``trust`` are added.
        trust: folder with ``trust.json`` (see ``swath.judge.trust``), or None.
        augment: ``flips``, ``rotations`` or ``d4``, or None.
        vectorise: where polygons of the class map go, or None.

    Raises:
        ConfigError: sets of classes together with turned views, or as ``check_polygons``.
        InputError: there is no ``trust.json``, or it belongs to another model.
    """
    if trust is not None and augment is not None:
        raise ConfigError(
            "Both sets of classes and turned views were asked for",
            expected="one of them: the sets were calibrated on what the model says of a single view",
            remedy="drop --augment or --trust",
        )
    check_polygons(predictor, outputs, vectorise)
    if trust is not None:
        from swath.judge.trust import OUTPUTS, Trust, trusted

        wrapped, extra = trusted(predictor, Trust.load(trust))
        return Request(wrapped, tuple(dict.fromkeys((*outputs, *OUTPUTS))), extra)
    if augment is not None:
        from swath.predict import TestTimeAugmentation

        return Request(TestTimeAugmentation(predictor, augment), tuple(outputs), {})
    return Request(predictor, tuple(outputs), {})


def check_polygons(predictor: Predictor, outputs: Sequence[str], vectorise: Path | str | None) -> None:
    """Check that there will be a class map to make polygons of, and a file of a known kind for them.

    Args:
        predictor: the model.
        outputs: wanted maps; none = the usual one of the task.
        vectorise: where polygons go, or None.

    Raises:
        ConfigError: no class map is among the outputs, or the file is of another kind.
    """
    from swath.predict.fields import CLASS_TASKS
    from swath.predict.polygon_files import check_name

    if vectorise is None:
        return
    if "class" not in outputs and (outputs or predictor.task not in CLASS_TASKS):
        raise ConfigError(
            f"Polygons were asked for, and the outputs are {', '.join(outputs) or f'those of a {predictor.task}'}",
            expected="'class' among the outputs",
            remedy="add it: --outputs class,confidence",
        )
    check_name(Path(vectorise))
