"""Names and strengths of the corruptions: the severity set ``swath-2``.

Twelve corruptions of five severities in the spirit of ImageNet-C (Hendrycks and Dietterich 2019, ICLR) and with the
names of REOBench. REOBench published corrupted images and not the numbers behind them, so these numbers are swath's
own; results name them as ``severity_set``. A change of any number makes a new set, and so does a change of the
operations behind them that an image can show: ``swath-2`` has the strengths of ``swath-1`` and differs from it in the
last digits (blur, haze, compression) and by up to 1/1024 pixel in where turned and scaled images take their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from swath.errors import ConfigError, nearest
from swath.metrics.corruption import SEVERITIES
from swath.sources.published.reobench import FOLDERS

SEVERITY_SET = "swath-2"
APPEARANCE = (
    "gaussian_noise",
    "salt_and_pepper_noise",
    "gaussian_blur",
    "motion_blur",
    "brightness_contrast",
    "clouds",
    "haze",
    "gaps",
    "compression_artifacts",
)
GEOMETRIC = ("rotate", "scale", "translate")
NAMES = (*APPEARANCE, *GEOMETRIC)

_STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.18, 0.26),  # standard deviation; signal to noise 25, 12.5, 8.3, 5.6, 3.8
    "salt_and_pepper_noise": (0.01, 0.03, 0.06, 0.10, 0.17),  # share of pixels
    "gaussian_blur": (1.0, 1.5, 2.0, 3.0, 4.0),  # standard deviation in pixels
    "motion_blur": (5, 9, 13, 17, 25),  # length in pixels
    "brightness_contrast": (0.9, 0.8, 0.7, 0.55, 0.4),  # contrast; see BRIGHTNESS
    "clouds": (0.1, 0.2, 0.35, 0.5, 0.65),  # share of the frame that is more cloud than ground
    "haze": (0.9, 0.8, 0.65, 0.5, 0.35),  # transmission at 0.55 micrometres
    "gaps": (0.05, 0.1, 0.2, 0.3, 0.4),  # share of the frame
    "compression_artifacts": (50, 30, 20, 12, 7),  # quality of JPEG
    "rotate": (15, 30, 45, 60, 90),  # degrees
    "scale": (0.9, 0.8, 0.7, 0.6, 0.5),  # factor
    "translate": (0.05, 0.1, 0.15, 0.2, 0.3),  # share of the side
}
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.25)
"""Shift of brightness that goes with the contrast of each severity."""
LOOKS = (16, 8, 4, 2, 1)
"""Looks of the speckle that radar gets instead of Gaussian noise; signal to noise is their square root."""


def canonical(name: str) -> str:
    """The one name of a corruption; names of published folders are known too.

    Raises:
        ConfigError: unknown name (all names are listed).
    """
    found = FOLDERS.get(name.strip().lower())
    if found is None:
        raise ConfigError(
            f"There is no corruption '{name}'",
            expected=f"one of {', '.join(NAMES)}",
            remedy=f"the nearest are: {nearest(name, NAMES)}",
        )
    return found


def chosen(names: Sequence[str] | str | None) -> tuple[str, ...]:
    """Canonical names in the order of ``NAMES``, once each; None or ``all`` for every corruption.

    Raises:
        ConfigError: unknown name, or none at all.
    """
    if names is None or names == "all" or list(names) == ["all"]:
        return NAMES
    wanted = {canonical(name) for name in ([names] if isinstance(names, str) else names)}
    if not wanted:
        raise ConfigError("No corruption was named", expected=f"some of {', '.join(NAMES)}", remedy="or say 'all'")
    return tuple(name for name in NAMES if name in wanted)


def check_severity(severity: int) -> int:
    """The severity itself.

    Raises:
        ConfigError: it is not 1, 2, 3, 4 or 5.
    """
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise ConfigError(
            f"severity = {severity}",
            expected="a whole number from 1 (weak) to 5 (strong)",
            remedy="the clean score needs no severity; it is measured beside the corrupted ones",
        )
    return int(severity)


def strength(name: str, severity: int) -> float:
    """The number behind a canonical name and a severity; raises ConfigError for a severity outside 1 to 5."""
    return float(_STRENGTHS[name][check_severity(severity) - 1])
