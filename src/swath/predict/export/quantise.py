"""Whole numbers of eight bits in place of floats, with ranges taken from real inputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import ConfigError, InputError, MissingError
from swath.files import replacing
from swath.predict.export.record import ExportRecord, read_record
from swath.types import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations whose inputs and weights become whole numbers; normalisation of the input stays in floats.

Products of two results, as in attention, stay in floats too: whole numbers there drag the softmax between them along,
which then is slower than in floats, and coarser.
"""


def quantise(model: Path | str, out: Path | str, batches: Iterable[Batch]) -> ExportRecord:
    """Write an int8 copy of an exported model.

    Static quantisation: the ranges of inputs and activations are those seen on ``batches`` (their smallest and largest
    values), weights have one scale per output channel. The range of weights is halved (``reduce_range``): on processors
    without VNNI sums of products of full eight bits overflow sixteen and give wrong answers without a word.

    Args:
        model: the float32 ``.onnx`` file.
        out: the int8 one.
        batches: some tens of samples like those to be predicted; training chips, never test chips.

    Raises:
        ConfigError: the model is int8 already, or ``out`` is no ``.onnx``.
        InputError: there is no batch, or the model cannot be read.
        MissingError: onnxruntime is not installed.
    """
    model, out = Path(model), Path(out)
    record = read_record(model)
    if record.precision != "float32" or out.suffix != ".onnx" or out.resolve() == model.resolve():
        raise ConfigError(
            f"'{model}' ({record.precision}) was to be written as '{out}'",
            expected="a float32 model, and another name in .onnx for the int8 one",
            remedy="start from the float32 export",
        )
    feeds = list(_feeds(record, batches))
    if not feeds:
        raise InputError("There is no batch to take ranges from", expected="at least one", remedy="give chips")
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingError(
            "The package onnxruntime is not installed",
            expected="the extra 'export'",
            remedy="pip install 'swath[export]'",
        ) from error
    with replacing(out) as temporary, _quiet():
        prepared = temporary.with_name(temporary.name + ".prepared")
        try:
            quantization.quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(temporary),
                _reader(quantization.CalibrationDataReader, feeds),
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(LAYERS),
                nodes_to_exclude=_products_of_results(prepared),
            )
        finally:
            prepared.unlink(missing_ok=True)
    made = replace(record, precision="int8")
    made.write(out)
    return made


def _products_of_results(model: Path) -> list[str]:
    """Names of the products of which neither factor is a weight; ``MatMulConstBOnly`` is for other quantisers."""
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    weights = {each.name for each in graph.initializer}
    return [each.name for each in graph.node if each.op_type == "MatMul" and not weights & set(each.input)]


def _feeds(record: ExportRecord, batches: Iterable[Batch]) -> Iterator[dict[str, NDArray[Any]]]:
    """What the graph is fed with, batch by batch, of the size that it takes."""
    for batch in batches:
        modality = batch.inputs.get(record.modality) or next(iter(batch.inputs.values()))
        indices = list(modality.bands.match(record.bands).require())
        values = modality.values[:, :, indices].cpu().numpy()
        valid = modality.valid.expand_as(modality.values)[:, :, indices].cpu().numpy()
        side = record.side
        if side:
            pad = [(0, 0)] * 3 + [(0, max(0, side - length)) for length in values.shape[3:]]
            values, valid = (np.pad(array, pad)[..., :side, :side] for array in (values, valid))
        else:
            pad = [(0, 0)] * 3 + [(0, -length % record.multiple) for length in values.shape[3:]]
            values, valid = (np.pad(array, pad, mode="edge") for array in (values, valid))
        yield {"values": np.ascontiguousarray(values, np.float32), "valid": np.ascontiguousarray(valid)}


def _reader(base: type, feeds: list[dict[str, NDArray[Any]]]) -> Any:
    """Batches in the form that onnxruntime asks for: one by one, then None."""

    class Reader(base):  # type: ignore[misc]
        """Feeds in their order."""

        def __init__(self) -> None:
            self._left = iter(feeds)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._left, None)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of the quantiser, which speak of its own file names, kept off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
