"""The sweep: read super-blocks, predict their tiles in batches, blend, and hand out finished windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from swath.errors import ContractError
from swath.predict.blend import Canvas, Floats, Mask
from swath.predict.fields import Fields, Group, stack
from swath.predict.inputs import SceneInputs
from swath.predict.tiles import Block, Plan
from swath.predict.window import WindowReader
from swath.types import Batch, Predictor


@dataclass
class Tally:
    """What the sweep counted: tiles predicted, tiles skipped for want of a valid pixel, seconds in the model."""

    predicted: int = 0
    skipped: int = 0
    model_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished window.

    Args:
        block: where it lies.
        fields: blended groups of layers; None when no pixel of the window is valid.
        valid: bool (y, x): pixels with a prediction.
    """

    block: Block
    fields: Fields | None
    valid: Mask


@dataclass(frozen=True, eq=False)
class Sweep:
    """All that a sweep needs.

    Args:
        predictor: what predicts.
        inputs: makes batches for it.
        plan: super-blocks and tiles.
        groups: what is blended.
        batch_size: tiles per call of the predictor.
        strict: see ``predict_scene``.
        budget: bytes that the reader may hold.
    """

    predictor: Predictor
    inputs: SceneInputs
    plan: Plan
    groups: tuple[Group, ...]
    batch_size: int
    strict: bool
    budget: int

    @property
    def layers(self) -> int:
        """Number of layers that are blended."""
        return sum(len(group.bands) for group in self.groups)

    def run(self, tally: Tally, advance: Callable[[int], None]) -> Iterator[Finished]:
        """Finished windows from left to right, strip by strip. ``advance`` is told the number of tiles done.

        Raises:
            ContractError: the predictor's answer does not fit, or is NaN or infinite at a valid pixel.
        """
        axis = self.plan.columns
        reader = WindowReader(self.inputs.cube, self.inputs.bands, wrap=axis.periodic, budget=self.budget)
        width = min(self.plan.width, axis.size)
        canvas = Canvas(self.layers, min(self.plan.height, self.plan.rows.size), width, axis.tile)
        for strip in self.plan.strips():
            canvas.clear()
            for block in strip:
                if block.tiles:
                    self._predict(block, reader, canvas, tally, advance)
                yield _finish(block, canvas, self.groups)

    def _predict(
        self, block: Block, reader: WindowReader, canvas: Canvas, tally: Tally, advance: Callable[[int], None]
    ) -> None:
        """Predict the tiles of a super-block and add them to the canvas, by column and then by row."""
        rows, columns = self.plan.rows, self.plan.columns
        tile = rows.tile
        window = reader.read(
            (block.tile_rows[0][1], block.tile_rows[-1][1] + tile),
            (block.tile_columns[0][1], block.tile_columns[-1][1] + tile),
        )
        usable = window.usable(strict=self.strict, every_date=self.predictor.task == "change")
        canvas.mark(usable, (window.row - block.rows[0], window.column - block.columns[0]))
        places = [(row, column) for column in block.tile_columns for row in block.tile_rows]
        wanted = []
        for row, column in places:
            top, left = row[1] - window.row, column[1] - window.column
            if usable[top : top + tile, left : left + tile].any():
                wanted.append((row, column))
        tally.predicted += len(wanted)
        tally.skipped += len(places) - len(wanted)
        advance(len(places) - len(wanted))
        for first in range(0, len(wanted), self.batch_size):
            part = wanted[first : first + self.batch_size]
            batch = self.inputs.batch(
                [window.cut((row[1], row[1] + tile), (column[1], column[1] + tile)) for row, column in part],
                [(row[1], column[0] * columns.stride) for row, column in part],
                tile,
            )
            fields, valid = self._ask(batch, tally)
            for position, (row, column) in enumerate(part):
                canvas.add(
                    fields[position],
                    (rows.weights[row[0]], columns.weights[column[0]]),
                    (row[1] - block.rows[0], column[1] - block.columns[0]),
                    None if valid is None else valid[position],
                )
            advance(len(part))

    def _ask(self, batch: Batch, tally: Tally) -> tuple[Floats, Mask | None]:
        """The fields (B, K, tile, tile) of a batch and where the model gave them (None = everywhere)."""
        began = time.perf_counter()
        prediction = self.predictor.predict(batch)
        fields = stack(prediction, self.groups)
        tally.model_s += time.perf_counter() - began
        tile = self.plan.rows.tile
        expected = (batch.batch_size, self.layers, tile, tile)
        if tuple(fields.shape) != expected:
            raise ContractError(
                f"The predictor gave an output of shape {tuple(fields.shape)}",
                expected=f"(sample, layer, y, x) = {expected}, as its 'classes' and the tile size say",
                remedy="check 'classes' of the predictor, and that its output has the size of its input",
            )
        valid = prediction.valid.detach().to("cpu").numpy()
        if valid.ndim != 3:
            valid = valid.reshape(-1, 1, 1)
        return fields, None if valid.all() else np.broadcast_to(valid, (batch.batch_size, tile, tile))


def _finish(block: Block, canvas: Canvas, groups: tuple[Group, ...]) -> Finished:
    """Take a finished window off the canvas.

    Raises:
        ContractError: NaN or infinite at a valid pixel.
    """
    height, width = block.rows[1] - block.rows[0], block.columns[1] - block.columns[0]
    empty = canvas.empty
    fields, valid = canvas.take(height, width)
    if empty or not valid.any():
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
