"""Area estimates with intervals that lie beside a map: ``STEM.areas.json``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LOG = logging.getLogger("swath.serve")
SUFFIX = ".areas.json"
MAX_BYTES = 2**20


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Interval(_Known):
    """A number with the ends of its confidence interval; None where the sample does not tell."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class ClassArea(_Known):
    """One class: mapped and estimated area [km2] and its accuracies (0 to 1)."""

    name: str = Field(max_length=200)
    mapped_km2: float | None = None
    area_km2: float | None = None
    low_km2: float | None = None
    high_km2: float | None = None
    users_accuracy: Interval | None = None
    producers_accuracy: Interval | None = None


class AreaEstimates(_Known):
    """What a reference sample says about the areas of the classes of a map."""

    map: str = ""
    method: str = Field(default="", max_length=200)
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    samples: int | None = Field(default=None, ge=0)
    overall_accuracy: Interval | None = None
    classes: tuple[ClassArea, ...] = Field(max_length=1000)


def estimates_path(raster: Path) -> Path:
    """Where the estimates of a map lie."""
    return raster.with_name(raster.stem + SUFFIX)


def has_estimates(raster: Path) -> bool:
    """Whether there is such a file, and it is no link to elsewhere."""
    path = estimates_path(raster)
    return path.is_file() and path.resolve().parent == raster.resolve().parent


def read_estimates(raster: Path) -> dict[str, Any] | None:
    """The estimates of a map ready for JSON, without file names; None where there are none.

    A damaged file gives ``{"problem": sentence}``: the map can be shown all the same.
    """
    if not has_estimates(raster):
        return None
    path = estimates_path(raster)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"it takes more than {MAX_BYTES:,} bytes")
        found = AreaEstimates.model_validate(json.loads(text.decode("utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        LOG.warning("%s cannot be used: %s", path, error)
        return {"problem": "The area estimates of this map are damaged; write them again."}
    return found.model_dump(mode="json", exclude={"map"})
