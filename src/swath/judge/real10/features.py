"""Rows of numbers for learners that know nothing of time and space.

``raw`` are the values as they are; ``described`` adds indices, the season where dates are known, and for scenes that
have one answer for many pixels the statistics of their pixels and the strength of their edges.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.judge.real10.indices import indices
from swath.judge.real10.samples import Inputs, Target

Values = NDArray[np.float32]
COARSE = 8
"""Side of the grid that a scene with one answer is averaged to for ``raw``."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def raw(inputs: Inputs) -> Values:
    """Values ``(N, F, h, w)``, NaN where invalid: all dates and bands of the pixel, or of 8 x 8 means of a scene."""
    values = _masked(inputs)
    if inputs.dense or inputs.values.shape[3:] == (1, 1):
        return values.reshape(len(inputs), -1, *values.shape[3:])
    height, width = (length // COARSE * COARSE for length in values.shape[3:])
    cut = values[..., :height, :width]
    blocks = cut.reshape(*values.shape[:3], COARSE, height // COARSE, COARSE, width // COARSE)
    return blocks.mean(axis=(4, 6)).reshape(len(inputs), -1, 1, 1)


def described(inputs: Inputs) -> Values:
    """Bands, indices and season ``(N, F, h, w)``, NaN where invalid or undefined."""
    values = _masked(inputs)
    computed, _ = indices(values, inputs.bands)
    both = np.concatenate([values, computed], axis=2)
    both = both.reshape(len(inputs), -1, *both.shape[3:])
    if not inputs.dense and both.shape[2:] != (1, 1):
        both = _statistics(both)
    season = _season(inputs)
    return np.concatenate([both, np.broadcast_to(season[:, :, None, None], (*season.shape, *both.shape[2:]))], axis=1)


def rows(
    features: Values, target: Target, most: int, seed: int
) -> tuple[Values, NDArray[np.int64] | NDArray[np.float64]]:
    """Features ``(n, F)`` and answers ``(n,)`` or ``(n, K)`` of answered pixels, at most ``most`` of them."""
    flat = np.moveaxis(features, 1, -1).reshape(-1, features.shape[1])
    answers = (
        target.values.reshape(-1)
        if target.classes
        else np.moveaxis(target.values, 1, -1).reshape(-1, len(target.names))
    )
    places = np.flatnonzero(target.known.reshape(-1))
    if len(places) > most:
        places = np.sort(rng.generator(seed, "real10 rows").choice(places, most, replace=False))
    return flat[places], answers[places]


def unrows(answers: NDArray[np.float64], inputs: Inputs) -> NDArray[np.float64]:
    """Numbers ``(N h w,)`` or ``(N h w, K)`` of all pixels back as ``(N, h, w)`` or ``(N, K, h, w)``."""
    shape = inputs.answer_shape
    return answers.reshape(shape) if answers.ndim == 1 else np.moveaxis(answers.reshape(*shape, -1), -1, 1)


def _masked(inputs: Inputs) -> Values:
    return np.where(inputs.valid, inputs.values, np.float32(np.nan))


def _season(inputs: Inputs) -> Values:
    """Sine and cosine of the month of the last date ``(N, 2)``; ``(N, 0)`` where dates are unknown or all the same."""
    last = inputs.month[:, -1]
    if (last < 0).any() or len(inputs) == 0:
        return np.zeros((len(inputs), 0), np.float32)
    angle = 2 * np.pi * last / 12
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def _statistics(planes: Values) -> Values:
    """Mean, deviation, quantiles and mean edge strength ``(N, 8 F, 1, 1)`` of planes ``(N, F, H, W)``."""
    flat = planes.reshape(*planes.shape[:2], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an index that is undefined in every pixel stays NaN
        down = np.nanmean(np.abs(np.diff(planes, axis=2)), axis=(2, 3))
        right = np.nanmean(np.abs(np.diff(planes, axis=3)), axis=(2, 3))
        parts = [np.nanmean(flat, axis=2), np.nanstd(flat, axis=2), down + right]
        parts += list(_quantiles(flat))
    return np.concatenate(parts, axis=1)[:, :, None, None].astype(np.float32)


def _quantiles(flat: Values) -> Values:
    """Quantiles ``(Q, N, F)`` over the last axis without its NaN; rows that have none are fifty times as fast."""
    found = np.quantile(flat, QUANTILES, axis=2).astype(np.float32)
    broken = np.isnan(found[0])
    if broken.any():
        found[:, broken] = np.nanquantile(flat[broken], QUANTILES, axis=1)
    return found
