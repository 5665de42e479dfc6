"""Which pixels a quality layer hides, by type of mask: Fmask of HLS, SCL and s2cloudless of Sentinel-2.

``Fmask`` holds bits (HLS 2.0 user guide): cloud 1, near cloud or shadow 2, cloud shadow 3, water 5; fill (255) has them
all. ``SCL`` holds classes (Sentinel-2 Level-2A product specification): cloud 8 and 9, cloud shadow 3, water 6; it does
not tell what lies near a cloud. Thin cirrus (class 10) is no cloud here, as in the published chips. ``s2cloudless``
tells clouds alone, as states of ``swath.cubes.cloudless``; what it does not know is hidden too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from swath.cubes.cloudless import CLEAR
from swath.errors import ConfigError, nearest

Strategy = Literal["each", "any"]
TYPES = ("cloud", "near_cloud_or_shadow", "cloud_shadow", "water")
_BITS = {"cloud": 1, "near_cloud_or_shadow": 2, "cloud_shadow": 3, "water": 5}
_CLASSES = {"cloud": (8, 9), "cloud_shadow": (3,), "water": (6,)}
_KNOWN = {"Fmask": tuple(_BITS), "SCL": tuple(_CLASSES), "s2cloudless": ("cloud",)}


def check_types(types: Sequence[str], scheme: str | None) -> tuple[str, ...]:
    """Mask types that a quality scheme can tell.

    Raises:
        ConfigError: one is unknown, or the scheme does not tell it.
    """
    known = () if scheme is None else _KNOWN[scheme]
    for name in types:
        if name not in known:
            what = "has no quality layer" if scheme is None else f"is told by {scheme}, which tells {', '.join(known)}"
            raise ConfigError(
                f"The mask '{name}' is not available: the source {what}",
                expected=f"some of {', '.join(known)}" if known else "no masks",
                remedy=f"the nearest are: {nearest(name, known)}" if known else "leave the masks out",
            )
    return tuple(dict.fromkeys(types))


def check_strategy(strategy: str) -> Strategy:
    """``each`` or ``any``.

    Raises:
        ConfigError: it is neither.
    """
    found: Strategy | None = next((each for each in get_args(Strategy) if each == strategy), None)
    if found is None:
        raise ConfigError(
            f"The masking strategy is '{strategy}'",
            expected="each (a mask hides its own date) or any (a pixel hidden at one date is hidden at all)",
            remedy="choose one of them",
        )
    return found


def hidden(quality: NDArray[np.integer[Any]], scheme: str, types: Sequence[str]) -> NDArray[np.bool_]:
    """Where a quality layer of any shape shows one of the types."""
    found = np.zeros(quality.shape, bool)
    for name in types:
        if scheme == "Fmask":
            found |= (quality.astype(np.int64) >> _BITS[name]) & 1 == 1
        elif scheme == "s2cloudless":
            found |= quality != CLEAR
        else:
            found |= np.isin(quality, _CLASSES[name])
    return found


def spread(bad: NDArray[np.bool_], strategy: Strategy) -> NDArray[np.bool_]:
    """Hidden pixels ``(time, y, x)`` by strategy: as they are, or the union over time at every date."""
    if strategy == "each":
        return bad
    return np.broadcast_to(bad.any(axis=0, keepdims=True), bad.shape)


def usable(valid: NDArray[np.bool_], strategy: Strategy) -> NDArray[np.bool_]:
    """Where a label may stand ``(y, x)`` over valid numbers ``(time, band, y, x)``.

    ``each``: at least one number is valid; ``any``: all of them are.
    """
    return np.asarray(valid.any(axis=(0, 1)) if strategy == "each" else valid.all(axis=(0, 1)))
