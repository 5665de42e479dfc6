"""The sweep: read super-blocks ahead, predict their tiles in full batches, blend, and hand out finished windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from swath.errors import ContractError
from swath.failures import Failure
from swath.predict.ahead import Ahead
from swath.predict.blend import Canvas, Floats, Mask
from swath.predict.fields import CLASS_TASKS, Fields, Group, output_stride, stack
from swath.predict.inputs import SceneInputs
from swath.predict.seams import SeamSums, sampling
from swath.predict.tiles import Axis, Block, Plan
from swath.predict.window import Window, WindowReader
from swath.types import Batch, Predictor

Place = tuple[tuple[int, int], tuple[int, int]]  # (index, start) along y and along x


@dataclass
class Tally:
    """What the sweep counted in one strip, or in all.

    Args:
        predicted: tiles given to the predictor.
        skipped: tiles without a valid pixel.
        model_s: seconds in the model.
        seams: sums of the seam figure.
        failures: what could not be read.
        chunks_read: stored chunks that were decoded.
        chunks_needed: different ones among them.
    """

    predicted: int = 0
    skipped: int = 0
    model_s: float = 0.0
    seams: SeamSums = field(default_factory=SeamSums)
    failures: list[Failure] = field(default_factory=list)
    chunks_read: int = 0
    chunks_needed: int = 0

    def add(self, other: Tally) -> None:
        """Add what was counted in another strip."""
        self.predicted += other.predicted
        self.skipped += other.skipped
        self.model_s += other.model_s
        self.seams.add(other.seams.as_dict())
        self.failures += other.failures


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished window.

    Args:
        block: where it lies, in pixels of the output.
        fields: blended groups of layers; None when no pixel of the window is valid.
        valid: bool (y, x): pixels with a prediction.
        strip: number of its strip.
        counted: what was counted in its strip; None before the last window of the strip.
    """

    block: Block
    fields: Fields | None
    valid: Mask
    strip: int = 0
    counted: Tally | None = None

    @property
    def last(self) -> bool:
        """Whether it is the last window of its strip."""
        return self.counted is not None


@dataclass(eq=False)
class _Tile:
    """A tile on its way through the model."""

    place: Place
    window: Window | None
    fields: Floats | None = None
    valid: Mask | None = None


@dataclass(frozen=True, eq=False)
class _Begin:
    """From here on, tiles belong to this block; ``usable`` (y, x) begins at ``corner`` (row, column of the output)."""

    block: Block
    usable: Mask | None = None
    corner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Sweep:
    """All that a sweep needs.

    Args:
        predictor: what predicts; with an ``output_stride`` s the plan counts output pixels of s x s input pixels.
        inputs: makes batches for it.
        plan: super-blocks and tiles.
        groups: what is blended.
        batch_size: tiles per call of the predictor. Every call has exactly as many, the last one of a strip filled up
            by repetition, because the last bits of a network's answer may depend on the size of the batch.
        strict: see ``predict_scene``.
        budget: bytes that the reader may hold.
        skip_errors: go on past stored chunks that cannot be read.
    """

    predictor: Predictor
    inputs: SceneInputs
    plan: Plan
    groups: tuple[Group, ...]
    batch_size: int
    strict: bool
    budget: int
    skip_errors: bool = False

    @property
    def layers(self) -> int:
        """Number of layers that are blended."""
        return sum(len(group.bands) for group in self.groups)

    @property
    def scale(self) -> int:
        """Input pixels per output pixel."""
        return output_stride(self.predictor)

    def run(
        self, tally: Tally, advance: Callable[[int], None], strips: Collection[int] | None = None
    ) -> Iterator[Finished]:
        """Finished windows from left to right, strip by strip.

        Args:
            tally: the counts of all strips are added to it; those of one strip come with its last window.
            advance: is told the number of tiles done.
            strips: numbers of the strips wanted; None = all.

        Raises:
            ContractError: the predictor's answer does not fit, or is NaN or infinite at a valid pixel.
        """
        axis = self.plan.columns
        reader = WindowReader(
            self.inputs.cube,
            self.inputs.bands,
            wrap=axis.periodic,
            budget=self.budget,
            skip_errors=self.skip_errors,
        )
        width = min(self.plan.width, axis.size)
        canvas = Canvas(self.layers, self.plan.tallest, width, axis.tile)
        wanted = [(n, strip) for n, strip in enumerate(self.plan.strips()) if strips is None or n in strips]
        with Ahead(reader, wanted, axis.tile, self.scale) as ahead:
            for number, strip in wanted:
                canvas.clear(strip[0].rows[1] - strip[0].rows[0])
                counted = Tally()
                yield from self._strip(number, strip, ahead, canvas, counted, advance)
                tally.add(counted)
        tally.chunks_read, tally.chunks_needed = reader.chunks.decoded, reader.chunks.needed

    def _strip(
        self,
        number: int,
        strip: tuple[Block, ...],
        ahead: Ahead,
        canvas: Canvas,
        tally: Tally,
        advance: Callable[[int], None],
    ) -> Iterator[Finished]:
        """Predict a strip and add its tiles to the canvas, by column and then by row."""
        edge: _Edge | None = None
        block: Block | None = None
        for event in self._predicted(self._events(strip, ahead, tally, advance), tally, advance):
            if isinstance(event, _Tile):
                assert block is not None
                self._add(event, block, canvas, tally)
                continue
            if block is not None:
                done, edge = self._finish(block, canvas, tally, edge)
                yield replace(done, strip=number)
            block = event.block
            if event.usable is not None:
                canvas.mark(event.usable, (event.corner[0] - block.rows[0], event.corner[1] - block.columns[0]))
        assert block is not None  # a strip has at least one block
        yield replace(self._finish(block, canvas, tally, edge)[0], strip=number, counted=tally)

    def _events(
        self, strip: tuple[Block, ...], ahead: Ahead, tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[_Begin | _Tile]:
        """The blocks of a strip and the tiles that have a valid pixel, in the order in which they are blended."""
        tile = self.plan.rows.tile
        for block in strip:
            if not block.tiles:
                yield _Begin(block)
                continue
            window, failures = ahead.take()
            tally.failures += failures
            usable = self._usable(window)
            corner = (window.row // self.scale, window.column // self.scale)
            yield _Begin(block, usable, corner)
            places = [(row, column) for column in block.tile_columns for row in block.tile_rows]
            skipped = 0
            anything = bool(usable.any())
            for row, column in places:
                top, left = row[1] - corner[0], column[1] - corner[1]
                if anything and usable[top : top + tile, left : left + tile].any():
                    yield _Tile((row, column), self._cut(window, row[1], column[1]))
                else:
                    skipped += 1
            tally.skipped += skipped
            advance(skipped)

    def _predicted(
        self, events: Iterator[_Begin | _Tile], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[_Begin | _Tile]:
        """The same events, tiles with their answer; batches reach across the borders of blocks."""
        waiting: list[_Begin | _Tile] = []
        tiles: list[_Tile] = []
        for event in events:
            if isinstance(event, _Tile):
                tiles.append(event)
            else:
                for tile in tiles:  # the window they are cut from is about to go
                    tile.window = None if tile.window is None else tile.window.copy()
            waiting.append(event)
            if not tiles or len(tiles) == self.batch_size:
                self._ask(tiles, tally, advance)
                yield from waiting
                waiting, tiles = [], []
        self._ask(tiles, tally, advance)
        yield from waiting

    def _cut(self, window: Window, row: int, column: int) -> Window:
        """The input of a tile whose first output pixel is given."""
        step, tile = self.scale, self.plan.rows.tile
        return window.cut((row * step, (row + tile) * step), (column * step, (column + tile) * step))

    def _usable(self, window: Window) -> Mask:
        """Output pixels of a window that get a prediction."""
        usable = window.usable(strict=self.strict, every_date=self.predictor.task == "change")
        if self.scale == 1:
            return usable
        shape, step = self.inputs.geobox.shape, self.scale
        if self.strict:  # what lies outside the scene does not count
            usable[max(0, int(shape[0]) - window.row) :] = True
            if not self.plan.columns.periodic:
                usable[:, max(0, int(shape[1]) - window.column) :] = True
        cells = usable.reshape(usable.shape[0] // step, step, usable.shape[1] // step, step)
        return np.asarray(cells.all(axis=(1, 3)) if self.strict else cells.any(axis=(1, 3)))

    def _ask(self, tiles: list[_Tile], tally: Tally, advance: Callable[[int], None]) -> None:
        """Give the tiles their fields (K, tile, tile) and where the model gave them (None = everywhere)."""
        if not tiles:
            return
        step, columns = self.scale, self.plan.columns
        filled = [*tiles, *[tiles[-1]] * (self.batch_size - len(tiles))]
        windows = [tile.window for tile in filled if tile.window is not None]
        starts = [(row[1] * step, column[0] * columns.stride * step) for row, column in (tile.place for tile in filled)]
        batch = self.inputs.batch(windows, starts, columns.tile * step)
        began = time.perf_counter()
        prediction = self.predictor.predict(batch)
        fields = stack(prediction, self.groups)
        tally.model_s += time.perf_counter() - began
        self._check(fields, batch)
        valid = prediction.valid.detach().to("cpu").numpy()
        if valid.ndim != 3:
            valid = valid.reshape(-1, 1, 1)
        known = None if valid.all() else np.broadcast_to(valid, (batch.batch_size, columns.tile, columns.tile))
        for position, tile in enumerate(tiles):
            tile.fields, tile.valid = fields[position], None if known is None else known[position]
            tile.window = None
        tally.predicted += len(tiles)
        advance(len(tiles))

    def _check(self, fields: Floats, batch: Batch) -> None:
        tile = self.plan.rows.tile
        expected = (batch.batch_size, self.layers, tile, tile)
        if tuple(fields.shape) != expected:
            raise ContractError(
                f"The predictor gave an output of shape {tuple(fields.shape)}",
                expected=f"(sample, layer, y, x) = {expected}, as its 'classes' and the tile size say",
                remedy="check 'classes' of the predictor, and that its output has the size of its input"
                " (or its attribute 'output_stride')",
            )

    def _add(self, tile: _Tile, block: Block, canvas: Canvas, tally: Tally) -> None:
        """Compare a tile with the earlier ones, and add it to the canvas."""
        assert tile.fields is not None
        row, column = tile.place
        weights = (self.plan.rows.weights[row[0]], self.plan.columns.weights[column[0]])
        place = (row[1] - block.rows[0], column[1] - block.columns[0])
        if self.plan.rows.overlap:
            main = tile.fields[: len(self.groups[0].bands)]
            sample = (sampling(self.plan.rows.overlap), block.rows[0], block.columns[0])
            pair = canvas.compare(main, weights, place, tile.valid, sample)
            if pair is not None:
                tally.seams.tile(*pair, classes=self.predictor.task in CLASS_TASKS)
        canvas.add(tile.fields, weights, place, tile.valid)
        tile.fields = tile.valid = None  # with many classes the answer for one tile takes as much as the next one needs

    def _finish(self, block: Block, canvas: Canvas, tally: Tally, edge: _Edge | None) -> tuple[Finished, _Edge | None]:
        """Take a finished window off the canvas; also its last column, for the step to the next window."""
        done = _finish(block, canvas, self.groups)
        if done.fields is None:
            return done, None
        main = done.fields.values[: len(self.groups[0].bands)]
        rows = _lines(self.plan.rows, (block.rows[0] + 1, block.rows[1]), block.rows[0])
        columns = _lines(self.plan.columns, (block.columns[0] + 1, block.columns[1]), block.columns[0])
        tally.seams.steps(main, done.valid, rows, columns)
        if edge is not None:
            joint = _lines(self.plan.columns, (block.columns[0], block.columns[0] + 1), block.columns[0] - 1)
            fields = np.stack([edge[0], main[..., 0]], axis=-1)
            tally.seams.steps(fields, np.stack([edge[1], done.valid[:, 0]], axis=-1), ([], []), joint)
        return done, (main[..., -1].copy(), done.valid[:, -1].copy())


_Edge = tuple[Floats, Mask]


def _lines(axis: Axis, within: tuple[int, int], origin: int) -> tuple[list[int], list[int]]:
    """Where tiles hand over, and the lines in the middle between, counted from ``origin``."""
    low, high = within
    half = axis.stride // 2
    if half == 0:
        return [], []
    borders = axis.hand_overs(low, high)
    middles = [line + half for line in axis.hand_overs(low - half, high - half)]
    return [line - origin for line in borders], [line - origin for line in middles]


def _finish(block: Block, canvas: Canvas, groups: tuple[Group, ...]) -> Finished:
    """Take a finished window off the canvas.

    Raises:
        ContractError: NaN or infinite at a valid pixel.
    """
    height, width = block.rows[1] - block.rows[0], block.columns[1] - block.columns[0]
    if canvas.empty:
        canvas.skip(width)
        return Finished(block, None, np.zeros((height, width), dtype=bool))
    fields, valid = canvas.take(height, width)
    if not valid.any():
        return Finished(block, None, valid)
    broken = None if np.isfinite(fields.sum(dtype=np.float64)) else ~np.isfinite(fields).all(axis=0) & valid
    if broken is not None and broken.any():
        row, column = np.argwhere(broken)[0]
        raise ContractError(
            f"The predictor gave NaN or infinite numbers at {int(broken.sum())} valid pixels, first at row "
            f"{block.rows[0] + row}, column {block.columns[0] + column}",
            expected="finite predictions wherever the input is valid",
            remedy="check normalisation statistics and weights, or mark such pixels in Prediction.valid",
        )
    return Finished(block, Fields(fields, groups), valid)
