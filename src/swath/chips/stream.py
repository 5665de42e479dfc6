"""Batches of random windows straight from scenes: each stored block decoded about once, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.chips.augment import Augment
from swath.chips.blocks import AHEAD, Layout, Plan, check_windows, draw_windows, plan
from swath.chips.reader import Memory, Reader
from swath.chips.stored import StoredScene, classes_of
from swath.cubes import Legend
from swath.errors import ConfigError, InputError
from swath.failures import Failures
from swath.types import IGNORE, Batch, Modality

Ints = NDArray[np.int64]


class WindowStream:
    """Iterates over batches of windows read from scenes, for ``learn.fit`` and for anything that takes a loader.

    The windows of an epoch, their order and their bits depend on the seed and the epoch alone, not on ``workers``.
    A block that cannot be read is listed in ``failures``; windows that touch it are left out, and their batch is
    smaller. So are windows with too few valid pixels (``dropped`` counts them). Where nothing is left of a batch, it is
    one window in which nothing is valid, so that an epoch always has ``len(stream)`` batches.

    Labels, ``IGNORE`` where no band is valid, become the target ``label``; they need a ``legend``.

    Args:
        scenes: scenes with the same bands, each on its own grid; all with labels or none.
        windows: number of windows an epoch, drawn anew each time uniformly over all positions of all scenes; or an
            array ``(N, 3)`` of scene, row and column (see ``chips.stack_windows``), given out in a new order each time.
        size: rows and columns of a window.
        batch_size: windows per batch.
        seed: seed of windows, order and augmentation.
        legend: classes of the labels.
        augment: random changes per window and epoch; None for none.
        memory_mb: most MiB for blocks, pieces, decoding ahead, GDAL's block cache and the batch in the making.
        workers: threads that decode (GDAL releases Python's lock), at most as many as blocks are decoded ahead.
        min_valid: least share of valid numbers in a window.

    Raises:
        InputError: no scenes, no windows, scenes that differ in bands or labels, or a window beyond its scene.
        ConfigError: an option is out of range, or the memory does not suffice.
    """

    def __init__(
        self,
        scenes: Sequence[StoredScene],
        windows: int | Ints,
        *,
        size: int,
        batch_size: int,
        seed: int,
        legend: Legend | None = None,
        augment: Augment | None = None,
        memory_mb: float = 1024.0,
        workers: int = 2,
        min_valid: float = 0.0,
    ) -> None:
        _check_options(size=size, batch_size=batch_size, workers=workers, min_valid=min_valid)
        if not 0 < memory_mb < math.inf:
            raise ConfigError(f"memory_mb = {memory_mb}", expected="MiB above 0", remedy="change memory_mb")
        _check_scenes(scenes, legend)
        self.scenes, self.size, self.batch_size, self.seed = tuple(scenes), size, batch_size, seed
        self.legend, self.augment, self.workers, self.min_valid = legend, augment, workers, min_valid
        self.layouts: tuple[Layout, ...] = tuple(scene.layout(size) for scene in scenes)
        self.windows = windows if isinstance(windows, int) else check_windows(self.layouts, windows, size)
        self.count = windows if isinstance(windows, int) else len(windows)
        if self.count < 1:
            raise InputError("The stream has no windows", expected="at least one window", remedy="ask for some")
        bands = len(scenes[0].bands)
        # The batch in the making: float32 values, their validity, and int64 labels.
        self._batch_bytes = batch_size * size * size * (5 * bands + (8 if legend is not None else 0))
        self.memory = int(memory_mb * 2**20)
        self.failures = Failures()
        self.dropped = 0
        self._names = _distinct([scene.name for scene in scenes])
        self._planned: tuple[int, Plan] | None = None
        self._memories: tuple[Memory, Memory] | None = None
        self.plan(0)  # bad sizes and too little memory are told at once

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def plan(self, epoch: int) -> Plan:
        """What an epoch reads, in which order, and how well that is shuffled.

        Raises:
            InputError: the scenes hold fewer windows than asked for.
            ConfigError: the memory does not hold the blocks of a window.
        """
        if self._planned is None or self._planned[0] != epoch:
            windows, seed = self.windows, self.seed
            if isinstance(windows, int):
                windows = draw_windows(self.layouts, self.size, windows, seed, epoch)
            left, warm = self.memory - self._batch_bytes, 2 * self.batch_size
            made = plan(self.layouts, windows, self.size, memory=left, seed=seed, epoch=epoch, warm=warm)
            self._planned = (epoch, made)
        return self._planned[1]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: number of the epoch, from 0.
            start: first batch wanted, to take up an epoch where it stopped; blocks of earlier ones are not read.

        Raises:
            ConfigError: ``start`` is below 0.
        """
        if start < 0:
            raise ConfigError(f"start = {start}", expected="a batch, counted from 0", remedy="change start")
        made = self.plan(epoch)
        memories = self._memories or (Memory(made.window_bytes), Memory(made.block_bytes))
        self._memories = None  # two epochs at one time must not share memory
        reader = Reader(self.scenes, self.layouts, made, start * self.batch_size, self.workers, memories)
        try:
            for first in range(start * self.batch_size, self.count, self.batch_size):
                places = range(first, min(first + self.batch_size, self.count))
                batch = self._batch(reader, made, places)
                yield batch if self.augment is None else self.augment(batch, seed=self.seed, epoch=epoch)
        finally:
            reader.close()
            self._memories = memories

    def _batch(self, reader: Reader, made: Plan, places: range) -> Batch:
        """The windows at some places of the plan."""
        size, bands = self.size, len(self.scenes[0].bands)
        # NumPy asks for huge pages where torch does not; first touch is a good part of the cost of a batch.
        values = np.empty((len(places), 1, bands, size, size), np.float32)
        valid = np.empty(values.shape, np.bool_)
        label = None if self.legend is None else np.empty((len(places), size, size), np.int64)
        windows: list[tuple[int, int, int]] = []
        for place in places:
            scene, row, column = made.windows[place].tolist()
            arrays, at = reader.window(place), len(windows)
            if arrays is None:
                continue
            stored = self.scenes[scene].convert(arrays, values[at, 0], valid[at, 0])
            if self.min_valid > 0 and valid[at].mean() < self.min_valid:
                self.dropped += 1
                continue
            if label is not None and stored is not None and self.legend is not None:
                label[at] = classes_of(stored, self.legend, self.scenes[scene])
                label[at][~valid[at, 0].any(axis=0)] = IGNORE
            windows.append((scene, row, column))
        self._note(reader)
        if not windows:  # one window of nothing, see the class
            windows = [tuple(made.windows[places[0]].tolist())]
            values[0], valid[0] = 0, False
            if label is not None:
                label[0] = IGNORE
        kept = len(windows)
        return self._assemble(values[:kept], valid[:kept], None if label is None else label[:kept], windows)

    def _assemble(
        self,
        values: NDArray[np.float32],
        valid: NDArray[np.bool_],
        classes: Ints | None,
        windows: list[tuple[int, int, int]],
    ) -> Batch:
        import torch

        label = None if classes is None else torch.from_numpy(classes)
        scenes = [self.scenes[scene] for scene, _, _ in windows]
        image = Modality(
            values=torch.from_numpy(values),
            valid=torch.from_numpy(valid),
            bands=self.scenes[0].bands,
            time=torch.tensor([[scene.time] for scene in scenes], dtype=torch.int64),
            grid=tuple(
                scene.window_grid(row, column, self.size)
                for scene, (_, row, column) in zip(scenes, windows, strict=True)
            ),
        )
        return Batch(
            inputs={"image": image},
            targets={} if label is None else {"label": label},
            target_valid={} if label is None else {"label": label != IGNORE},
            ids=tuple(f"{self._names[scene]}_r{row:05d}_c{column:05d}" for scene, row, column in windows),
            meta={"group": tuple(self._names[scene] for scene, _, _ in windows)},
        )

    def _note(self, reader: Reader) -> None:
        known = {failure.item for failure in self.failures}
        for failure in reader.take_failures():
            if failure.item not in known:
                self.failures.add(failure)


def _distinct(names: list[str]) -> list[str]:
    """Names of scenes, numbered where two are alike."""
    return names if len(set(names)) == len(names) else [f"{number}_{name}" for number, name in enumerate(names)]


def _check_options(*, size: int, batch_size: int, workers: int, min_valid: float) -> None:
    for name, number in (("size", size), ("batch_size", batch_size), ("workers", workers)):
        if number < 1:
            raise ConfigError(f"{name} = {number}", expected="a whole number of at least 1", remedy=f"change {name}")
    if workers > AHEAD:
        raise ConfigError(
            f"workers = {workers}", expected=f"at most {AHEAD}, the blocks decoded ahead", remedy="take fewer workers"
        )
    if not 0 <= min_valid <= 1:
        raise ConfigError(f"min_valid = {min_valid}", expected="a share, 0 to 1", remedy="change min_valid")


def _check_scenes(scenes: Sequence[StoredScene], legend: Legend | None) -> None:
    if not scenes:
        raise InputError("The stream has no scenes", expected="at least one", remedy="pass chips.stored_scene(path)")
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.bands.names != first.bands.names:
            raise InputError(
                f"'{first.name}' has the bands {', '.join(first.bands.names)} and '{scene.name}' "
                f"{', '.join(scene.bands.names)}",
                expected="the same bands in all scenes",
                remedy="choose them with wanted=",
            )
    labelled = [scene.has_labels for scene in scenes]
    if any(labelled) != all(labelled) or any(labelled) != (legend is not None):
        given = "no legend" if legend is None else "a legend"
        raise InputError(
            f"{sum(labelled)} of {len(scenes)} scenes have labels, and {given} was given",
            expected="labels for all scenes and a legend, or neither",
            remedy="open the scenes with labels= and give legend=, or leave both out",
        )
