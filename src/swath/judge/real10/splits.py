"""Who learns from what: splits that keep groups whole, the strip between neighbours, and few-label draws.

All draws depend on the name of the task and the seed alone, and on labels only as far as every class has to occur on
both sides; no score ever enters.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swath import rng
from swath.errors import InputError
from swath.judge.real10.samples import Samples
from swath.types import Split

BANDS = 4
"""Strips of rows, and of columns, that a scene is thought to have; one of them is the test area."""
ATTEMPTS = 200
LEAST = 1
"""Samples of every class that both sides must have."""


def strip_groups(place: NDArray[np.int64]) -> tuple[str, ...]:
    """Name of the block of each tile: a scene has ``BANDS`` x ``BANDS`` blocks."""
    return tuple(f"block {row} {column}" for row, column in _bands(place).tolist())


def strip_split(name: str, samples: Samples, seed: int) -> Split:
    """Hold out one of the strips of rows or columns of a scene; tiles that touch it are not used.

    Raises:
        InputError: no strip leaves every class on both sides.
    """
    if samples.place is None:
        raise InputError(f"The samples of {name} have no place", expected="tiles", remedy="split by group")
    bands = np.array([group.split()[1:] for group in samples.groups], np.int64)
    choices = [(axis, band) for axis in (0, 1) for band in range(BANDS)]
    for choice in rng.generator(seed, "real10 split", name).permutation(len(choices)):
        axis, band = choices[choice]
        found = _with_buffer(bands[:, axis] == band, samples.place)
        if _complete(samples, found):
            return _split(samples, found)
    raise _impossible(name, "strip")


def group_split(name: str, samples: Samples, seed: int, share: float) -> Split:
    """Hold out a ``share`` of the groups, drawn until every class is on both sides; touching tiles are not used.

    Raises:
        InputError: no such draw was found.
    """
    groups = np.array(samples.groups)
    known = np.unique(groups)
    count = min(max(1, round(share * len(known))), len(known) - 1)
    stream = rng.generator(seed, "real10 split", name)
    for _ in range(ATTEMPTS):
        chosen = known[stream.permutation(len(known))[:count]]
        found = _with_buffer(np.isin(groups, chosen), samples.place)
        if _complete(samples, found):
            return _split(samples, found)
    raise _impossible(name, "draw of groups")


def given_split(name: str, samples: Samples) -> Split:
    """The authors' split, or one by region; touching tiles are not used.

    Raises:
        ContractError: a group lies on both sides.
        InputError: a side is empty.
    """
    if samples.test is None:
        raise InputError(f"The task {name} has no given split", expected="one", remedy="draw it")
    found = _with_buffer(samples.test, samples.place)
    if not ((found == "test").any() and (found == "train").any()):
        raise _impossible(name, "given split")
    return _split(samples, found)


def few(name: str, samples: Samples, split: Split, per_kind: int, seed: int) -> list[str]:
    """Ids of the training samples of a few-label run: ``per_kind`` of every stratum, or all where there are fewer.

    A sample that holds several kinds counts for the one it was drawn for.
    """
    train = set(split.ids("train"))
    usable = np.array([name_ in train for name_ in samples.ids])
    chosen: set[int] = set()
    for kind in range(samples.strata.shape[1]):
        places = np.flatnonzero(usable & samples.strata[:, kind])
        drawn = rng.generator(seed, "real10 few", name, kind).permutation(places)
        chosen |= set([place for place in drawn.tolist() if place not in chosen][:per_kind])
    return sorted(samples.ids[place] for place in chosen)


def components(members: list[set[int]]) -> list[int]:
    """Number of the connected component of each set, where sets that share an element are connected.

    For tiles and the polygons that reach into them: a component is what can be held out as a whole.
    """
    parent: dict[int, int] = {}

    def root(element: int) -> int:
        while parent.setdefault(element, element) != element:
            parent[element] = parent[parent[element]]
            element = parent[element]
        return element

    for group in members:
        first, *others = sorted(group)
        for other in others:
            parent[root(other)] = root(first)
    return [root(min(group)) for group in members]


def _bands(place: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(place * BANDS // (place.max(axis=0) + 1))


def _with_buffer(test: NDArray[np.bool_], place: NDArray[np.int64] | None) -> NDArray[np.str_]:
    """``train``, ``test`` or ``unused`` for each sample: unused are training tiles that touch a tested one."""
    found = np.where(test, "test", "train").astype("U6")
    if place is not None and test.any():
        size = place.max(axis=0) + 3
        taken = np.zeros(size, bool)
        rows, columns = place[test].T
        for down in range(3):
            for right in range(3):
                taken[rows + down, columns + right] = True
        found[~test & taken[place[:, 0] + 1, place[:, 1] + 1]] = "unused"
    return found


def _complete(samples: Samples, found: NDArray[np.str_]) -> bool:
    """Whether every kind that occurs at all is among the training samples and, for classes, the tested ones."""
    exists = samples.strata.any(axis=0)
    for side in ("train", "test"):
        counts = samples.strata[found == side].sum(axis=0)
        if samples.target.classes and (counts[exists] < LEAST).any():
            return False
        if not counts.any():
            return False
    return True


def _split(samples: Samples, found: NDArray[np.str_]) -> Split:
    table = pd.DataFrame({"id": list(samples.ids), "split": found.tolist(), "group": list(samples.groups), "fold": ""})
    split = Split(table)
    split.check()
    return split


def _impossible(name: str, what: str) -> InputError:
    return InputError(
        f"No {what} of the task {name} leaves samples of every class on both sides",
        expected="the data set that the suite was made for",
        remedy="check the data set with its reader, or download it again",
    )
