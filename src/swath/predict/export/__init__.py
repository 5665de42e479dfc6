"""Models for other runtimes: one ONNX file with the normalisation inside, and a record of what it expects beside it."""

from __future__ import annotations

from swath.predict.export.cost import Cost, count_macs, measure
from swath.predict.export.graph import SMALLEST, Exportable, takes_one_size, write_onnx
from swath.predict.export.quantise import quantise
from swath.predict.export.record import ExportRecord, read_record, record_path
from swath.predict.export.session import OnnxPredictor, largest_difference
from swath.predict.export.single import SingleInput

__all__ = [
    "SMALLEST",
    "Cost",
    "ExportRecord",
    "Exportable",
    "OnnxPredictor",
    "SingleInput",
    "count_macs",
    "largest_difference",
    "measure",
    "quantise",
    "read_record",
    "record_path",
    "takes_one_size",
    "write_onnx",
]
