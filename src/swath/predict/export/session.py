"""An exported model at work: no torch network, no training options, the same answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ContractError, InputError, MissingError
from swath.predict.export.record import read_record
from swath.reading import reason
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Predictor, Task
from swath.types.prediction import OUTPUTS

if TYPE_CHECKING:
    from torch import Tensor

DENSE: tuple[Task, ...] = ("segmentation", "change", "pixel_regression")
"""Tasks with an answer for every pixel."""


class OnnxPredictor:
    """An ONNX file as a ``Predictor``, for scenes, chips and the web map alike.

    Args:
        path: the ``.onnx`` file; its record lies beside it.
        threads: processor threads, or None for those of torch.

    Raises:
        InputError: the file or its record is missing, damaged, or they do not belong together.
        MissingError: onnxruntime is not installed.
    """

    def __init__(self, path: Path | str, threads: int | None = None) -> None:
        self.record = read_record(path)
        self.task: Task = self.record.task
        self.modality = self.record.modality
        self.bands = self.record.bands
        self.inputs: Mapping[str, BandSet] = {self.modality: self.bands}
        self.classes = self.record.classes
        self.colours = self.record.colours
        self._session = _session(Path(path), threads)

    def predict(self, batch: Batch) -> Prediction:
        """Predictions for every sample of the batch, in order.

        Raises:
            ContractError: the modality is absent, or has another number of dates.
            InputError: a wanted band is not among those of the batch, or a fixed side is smaller than the input.
        """
        import torch

        values, valid = self._select(batch)
        found = self.run(values.cpu().numpy(), valid.cpu().numpy())
        name = OUTPUTS[self.task][0]
        seen = valid.flatten(1, 2)
        where = seen.all(dim=1) if self.record.valid_rule == "all" else seen.any(dim=1)
        if self.record.valid_rule == "each":
            where = valid.any(dim=2).all(dim=1)
        where = where if self.task in DENSE else where.flatten(1).any(dim=1)
        output = torch.from_numpy(found).to(values.device)
        return Prediction(self.task, {name: output}, where, self.classes)

    def run(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The graph on arrays ``(B, T, C, H, W)``: logits or means, float32."""
        rows, columns = values.shape[3:]
        side = self.record.side
        if side and (rows > side or columns > side):
            raise InputError(
                f"The input has {rows} x {columns} pixels",
                expected=f"at most {side} x {side}, which this model was exported for",
                remedy=f"predict with --tile {side}, or export it again with a larger --tile",
            )
        if side:  # the rest counts as not seen
            pad = [(0, 0)] * 3 + [(0, side - rows), (0, side - columns)]
            values, valid = np.pad(values, pad), np.pad(valid, pad)
        else:
            pad = [(0, 0)] * 3 + [(0, -length % self.record.multiple) for length in (rows, columns)]
            values, valid = np.pad(values, pad, mode="edge"), np.pad(valid, pad, mode="edge")
        feed = {"values": np.ascontiguousarray(values, np.float32), "valid": np.ascontiguousarray(valid)}
        (found,) = self._session.run(None, feed)
        return found[..., :rows, :columns] if self.task in DENSE else found

    def _select(self, batch: Batch) -> tuple[Tensor, Tensor]:
        modality = batch.inputs.get(self.modality)
        if modality is None and len(batch.inputs) == 1:
            modality = next(iter(batch.inputs.values()))
        if modality is None or modality.values.shape[1] != self.record.dates:
            held = {name: tuple(each.values.shape) for name, each in batch.inputs.items()}
            raise ContractError(
                f"The batch holds {held}",
                expected=f"the input '{self.modality}' (sample, time, band, y, x) with {self.record.dates} dates",
                remedy="rename the input, or choose the dates that the model was trained on",
            )
        indices = list(modality.bands.match(self.bands).require())
        return modality.values[:, :, indices], modality.valid.expand_as(modality.values)[:, :, indices]


def largest_difference(first: Predictor, second: Predictor, batches: Iterable[Batch]) -> dict[str, float]:
    """How far two predictors of one task are apart where both are valid.

    Args:
        first: the reference, such as the model that was exported.
        second: such as the exported file.
        batches: what both predict.

    Returns:
        ``difference``: the largest absolute difference of the first output; ``relative``: the same over the largest
        absolute value of the reference; ``agreement``: share of places with the same class (1 for quantities).
    """
    largest, scale, same, places = 0.0, 0.0, 0, 0
    for batch in batches:
        ours, theirs = first.predict(batch), second.predict(batch)
        name = OUTPUTS[ours.task][0]
        a, b = ours.outputs[name].float(), theirs.outputs[name].float()
        where = ours.valid & theirs.valid
        seen = where[:, None].expand_as(a) if a.ndim > where.ndim and where.ndim > 1 else _rows(where, a)
        if bool(seen.any()):
            largest = max(largest, float((a - b).abs()[seen].max()))
            scale = max(scale, float(a.abs()[seen].max()))
        if ours.classes and ours.task != "multilabel":
            equal = ours.label() == theirs.label()
            same, places = same + int((equal & where).sum()), places + int(where.sum())
    return {
        "difference": largest,
        "relative": largest / scale if scale else 0.0,
        "agreement": same / places if places else 1.0,
    }


def _rows(where: Tensor, like: Tensor) -> Tensor:
    """Validity per sample, or per sample and pixel, in the shape of an output."""
    while where.ndim < like.ndim:
        where = where[..., None]
    return where.expand_as(like)


def _session(path: Path, threads: int | None) -> Any:
    import torch

    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError(
            "The package onnxruntime is not installed",
            expected="the extra 'export'",
            remedy="pip install 'swath[export]'",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises a dozen classes that share no ancestor but this one
        raise InputError(
            f"'{path}' is no model that onnxruntime can run ({reason(error)})",
            expected="an ONNX file as 'swath export' writes it",
            remedy="export the model again",
        ) from error
