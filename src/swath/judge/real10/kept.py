"""Features of frozen encoders, computed once a task and kept on disk: ten seeds and all heads cost one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swath.errors import ContractError
from swath.files import make_folder, replacing
from swath.judge.real10.contenders import Frozen
from swath.judge.real10.samples import NO_MONTH, Inputs
from swath.reading import reading
from swath.sensors import BandSet


class Features:
    """The features of one task by every encoder that is asked for.

    The file of each is named by task, hash of the task and version of the encoder, so that other data, splits, weights
    or ways of feeding are computed anew. Numbers are kept, and used, in half precision.

    Args:
        folder: where they are kept.
        task: name of the task.
        digest: what tells two versions of the task apart.
        inputs: all samples of the task.
    """

    def __init__(self, folder: Path, task: str, digest: str, inputs: Inputs) -> None:
        self._folder, self._task, self._digest, self._inputs = folder, task, digest, inputs
        self._last: tuple[str, Inputs] | None = None

    def of(self, encoder: Frozen) -> Inputs:
        """The features as inputs ``(N, 1, F, h, w)``, invalid where there are none; month and place are told no more.

        Raises:
            ContractError: the encoder gave features of another shape.
            InputError: the file is damaged.
        """
        if self._last is None or self._last[0] != encoder.version:
            self._last = (encoder.version, self._as_inputs(encoder))
        return self._last[1]

    def _as_inputs(self, encoder: Frozen) -> Inputs:
        path = self._folder / f"{self._task}-{self._digest}-{encoder.version}.npy"
        if not path.is_file():
            found = encoder.features(self._inputs, self._task)
            count, height, width = self._inputs.answer_shape
            if found.ndim != 4 or (len(found), *found.shape[2:]) != (count, height, width):
                raise ContractError(
                    f"The features of {self._task} have shape {found.shape}",
                    expected=f"({count}, F, {height}, {width})",
                    remedy="give one vector for every answer",
                )
            make_folder(self._folder)
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, found.astype(np.float16))
        with reading(path, expected="features that a run kept", remedy="delete the file; it is made again"):
            values = np.load(path, allow_pickle=False).astype(np.float32)[:, None]
        valid = np.isfinite(values)
        bands = BandSet.of(*(f"e{number}" for number in range(values.shape[2])))
        return Inputs(
            np.where(valid, values, np.float32(0)),
            valid,
            bands,
            np.full((len(values), 1), NO_MONTH, np.int64),
            np.full((len(values), 2), np.nan),
            self._inputs.dense,
        )
