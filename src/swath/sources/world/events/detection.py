"""Detection limits on real pixels: how strong and how large an event must be before a detector finds it.

Events of known strength and size are put into a scene at random places, and a detector is asked for its map. A draw is
one place; intervals run over draws, never over pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, InputError
from swath.metrics import bootstrap_interval
from swath.metrics.ranking import Ranking
from swath.sources.world.events.inject import inject
from swath.sources.world.events.shapes import check_event

Detector = Callable[[xr.DataTree | xr.Dataset], NDArray[np.floating]]
"""From a scene to scores ``(y, x)`` of its finest node; above ``threshold`` means event. NaN where it cannot tell."""

SCORES = ("recall", "precision", "average_precision", "found")


def detection_curve(
    detector: Detector,
    scene: xr.DataTree | xr.Dataset,
    event: str,
    *,
    strengths: Sequence[float],
    hectares: Sequence[float],
    seeds: Iterable[int],
    threshold: float = 0.5,
    leave_out: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Recall, precision and average precision of a detector by strength and size of injected events.

    The same seed gives the same place at every strength, so curves over strength are paired. Whatever the detector
    marks outside of the event counts as a false alarm; real events that the scene shows already (permanent water for a
    water detector) are named by ``leave_out``.

    Args:
        detector: from a scene to scores ``(y, x)``.
        scene: the scene; it is not changed.
        event: ``flood``, ``burn`` or ``clearing``.
        strengths: 0 to 1; 0 itself is a negative control.
        hectares: sizes.
        seeds: one draw each, at least two for intervals.
        threshold: a score above it means event.
        leave_out: pixels ``(y, x)`` that do not count.

    Returns:
        one row per strength and size: ``event, strength, hectares, draws`` and for each of ``SCORES`` (pooled recall
        and precision, mean average precision, share of draws with at least half of the event found) the estimate and
        the columns ``_low`` and ``_high`` of a 95 % percentile bootstrap over draws.

    Raises:
        ConfigError: no strength, size or seed.
        InputError: scores of another shape; or as ``inject``.
    """
    chosen, draws = check_event(event), list(seeds)
    if not (len(strengths) and len(hectares) and draws):
        raise ConfigError(
            f"{len(strengths)} strengths, {len(hectares)} sizes and {len(draws)} seeds were given",
            expected="at least one of each",
            remedy="give for example strengths=(0.2, 0.5, 1.0), hectares=(1, 10), seeds=range(20)",
        )
    rows = []
    for size in hectares:
        for strength in strengths:
            counts = np.zeros((len(draws), 6))
            for position, seed in enumerate(draws):
                stream = rng.generator(seed, "world/injected", chosen, f"{size:g}")
                changed, truth = inject(scene, chosen, strength=strength, hectares=size, rng=stream)
                counts[position] = _counts(detector(changed), truth, threshold, leave_out)
            rows.append({"event": chosen, "strength": strength, "hectares": size, **_scores(counts)})
    return pd.DataFrame(rows)


def detection_limit(curve: pd.DataFrame, found: float = 0.5) -> pd.DataFrame:
    """The weakest event that is found surely, per size.

    Args:
        curve: of ``detection_curve``.
        found: the lower bound of the share of events found must reach this at that strength and at all greater ones.

    Returns:
        one row per size: ``event, hectares, strength``, NaN where none is found surely.
    """
    rows = []
    for (event, size), part in curve.groupby(["event", "hectares"], sort=True):
        ordered = part.sort_values("strength", ascending=False)
        sure = np.cumprod((ordered["found_low"] >= found).to_numpy()).astype(bool)
        strength = float(ordered["strength"].to_numpy()[sure].min()) if sure.any() else float("nan")
        rows.append({"event": event, "hectares": size, "strength": strength})
    return pd.DataFrame(rows)


def _counts(
    scores: NDArray[np.floating], truth: xr.Dataset, threshold: float, leave_out: NDArray[np.bool_] | None
) -> list[float]:
    """Hits, misses, false alarms, average precision, whether it is known, and whether the event was found."""
    values, mask, fraction = np.asarray(scores, np.float64), truth["mask"].values, truth["fraction"].values
    if values.shape != mask.shape:
        raise InputError(
            f"The detector gave scores of the shape {values.shape}",
            expected=f"(y, x) = {mask.shape}, the finest node of the scene",
            remedy="bring its scores onto that grid",
        )
    # Edge pixels with less than half of the event are neither event nor background.
    counted = np.isfinite(values) & (mask | (fraction == 0.0))
    if leave_out is not None:
        counted &= ~np.asarray(leave_out, bool)
    marked, real = values[counted] > threshold, mask[counted]
    hits, misses, alarms = (float(part.sum()) for part in (marked & real, ~marked & real, marked & ~real))
    ranking = Ranking()
    ranking.update(real, values[counted])
    average = float(ranking.compute()["ap"])
    known = np.isfinite(average)
    return [hits, misses, alarms, average if known else 0.0, float(known), float(known and hits >= misses)]


def _scores(counts: NDArray[np.float64]) -> dict[str, float]:
    interval = bootstrap_interval(counts, _statistic)
    out: dict[str, float] = {"draws": float(len(counts))}
    for position, name in enumerate(SCORES):
        out[name] = float(interval.estimate[position])
        out[f"{name}_low"], out[f"{name}_high"] = float(interval.low[position]), float(interval.high[position])
    return out


def _statistic(summed: NDArray[np.float64]) -> NDArray[np.float64]:
    """From summed counts ``(R, 6)`` to ``SCORES`` ``(R, 4)``, NaN where undefined."""
    hits, misses, alarms, average, known, found = np.moveaxis(np.asarray(summed, np.float64), -1, 0)
    pairs = ((hits, hits + misses), (hits, hits + alarms), (average, known), (found, known))
    return np.stack([np.where(low > 0, up / np.where(low > 0, low, 1.0), np.nan) for up, low in pairs], axis=-1)
