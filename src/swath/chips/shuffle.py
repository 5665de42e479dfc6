"""How well a stream of windows is shuffled in space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

NEIGHBOURS = 4


def shuffle_radius(windows: NDArray[np.int64]) -> float:
    """Effective shuffle radius: how far apart in the stream the spatial neighbours come, 1 for a full shuffle.

    With ``N`` windows, ``t(i)`` the place of window ``i`` in the stream (0 to N - 1) and ``P`` the pairs of each
    window with its ``NEIGHBOURS`` nearest windows of the same scene (Euclidean distance of the origins in pixels),

        radius = mean over (i, j) in P of |t(i) - t(j)|  /  ((N + 1) / 3).

    ``(N + 1) / 3`` is the mean distance of two different places drawn at random, so that a full shuffle gives 1 up to
    sampling error, a row-by-row pass over one scene about ``3 / sqrt(N)``, and a pass that takes one scene after the
    other at most about the share that a scene has in the epoch. A stream may exceed 1 where neighbours are kept apart.

    Args:
        windows: scene, row and column in the order of the stream ``(N, 3)``.

    Returns:
        The radius; 1 where no scene has two windows, because then nothing is near anything.
    """
    distance, pairs = 0.0, 0
    for scene in np.unique(windows[:, 0]):
        place = np.flatnonzero(windows[:, 0] == scene)
        if len(place) < 2:
            continue
        wanted = min(NEIGHBOURS, len(place) - 1)
        origins = windows[place, 1:].astype(np.float64)
        found = cKDTree(origins).query(origins, k=wanted + 1)[1]
        # Of windows at one place any may be found first, so that a window is not always its own nearest.
        other = found != np.arange(len(place))[:, None]
        other[other.all(axis=1), -1] = False
        near = place[found[other]].reshape(len(place), wanted)
        distance += float(np.abs(near - place[:, None]).sum())
        pairs += near.size
    return distance / pairs / ((len(windows) + 1) / 3) if pairs else 1.0
