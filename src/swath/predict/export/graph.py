"""From a torch task to an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from swath import rng
from swath.errors import ConfigError, ContractError, MissingError
from swath.files import replacing
from swath.predict.export.record import ExportRecord
from swath.sensors import BandSet
from swath.types import Task
from swath.types.prediction import OUTPUTS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TASKS: tuple[Task, ...] = ("segmentation", "change", "classification", "multilabel", "regression", "pixel_regression")
SMALLEST = 16
"""Smallest side that is promised where any size will do."""

WRONG = 1e-3
"""Difference of graph and model, over the largest output, beyond which the graph is not believed."""

_MANY = 4 * 10**8
"""Parameters beyond which the weights go to a file of their own: one ONNX file holds less than 2 GB."""


class Exportable(Protocol):
    """What can be exported: a torch module that is a ``Predictor`` of one modality."""

    task: Task
    inputs: Mapping[str, BandSet]
    classes: tuple[str, ...]

    def __call__(self, values: Tensor, valid: Tensor) -> Tensor:
        """The first output of the task for values and their mask ``(B, T, C, H, W)``."""
        ...


def write_onnx(task: Exportable, out: Path | str, *, side: int, dates: int = 1, source: str = "") -> ExportRecord:
    """Write the model with its normalisation as ONNX, and the record beside it.

    The graph takes any number of samples. Rows and columns are free where the network allows it (convolutions); a
    network with positions for a fixed number of patches is written for ``side`` alone, which the record tells.

    Args:
        task: the trained model.
        out: the ``.onnx`` file.
        side: rows and columns of the inputs that the graph is traced with, such as the tile of ``swath predict``.
        dates: T.
        source: name of the model, for the record.

    Raises:
        ConfigError: ``out`` is no ``.onnx``, the side is too small, or the model takes several modalities.
        MissingError: onnx is not installed.
        ContractError: the graph that was written gives other answers than the model.
    """
    out = Path(out)
    _check(task, out, side)
    module: torch.nn.Module = task  # type: ignore[assignment]
    ((modality, bands),) = task.inputs.items()
    shape = (2, dates, len(bands), side, side)
    with replacing(out) as temporary, _for_export(module):
        free = _convert(module, temporary, shape, OUTPUTS[task.task][0])
        _gather(temporary, out)
    normalise = getattr(task, "normalise", None)
    statistics = {} if normalise is None else {"mean": normalise.mean.tolist(), "std": normalise.std.tolist()}
    record = ExportRecord(
        task=task.task,
        modality=modality,
        bands=bands,
        dates=dates,
        classes=tuple(task.classes),
        colours=tuple(getattr(task, "colours", ())),
        valid_rule=getattr(task, "valid_rule", "any"),
        side=0 if free else side,
        multiple=_multiple(module) if free else side,
        precision="float32",
        statistics=statistics,
        source=source,
    )
    record.write(out)
    if (error := _difference(module, out, record, shape)) > WRONG:
        if not free:
            raise ContractError(
                f"The exported graph differs from the model by {error:.1e} of its largest output",
                expected=f"at most {WRONG:.0e}",
                remedy="tell us which network it is; this one cannot be exported",
            )
        with replacing(out) as temporary, _for_export(module):
            _export(module, temporary, shape, OUTPUTS[task.task][0], free=False)
            _gather(temporary, out)
        record = replace(record, side=side, multiple=side)
        record.write(out)
    return record


def _difference(module: torch.nn.Module, out: Path, record: ExportRecord, shape: tuple[int, ...]) -> float:
    """Largest difference of graph and model on noise, over the largest output; at two sizes where any will do."""
    import torch

    from swath.predict.export.session import OnnxPredictor

    session, worst = OnnxPredictor(out), 0.0
    step = record.multiple
    sizes = [(shape[3], shape[4])] + ([] if record.side else [(shape[3] + 3 * step, shape[4] + step)])
    draw = rng.generator(0, "export check")
    for size in sizes:
        values = draw.standard_normal((1, *shape[1:3], *size)).astype(np.float32)
        valid = draw.random(values.shape) > 0.1
        with _for_export(module):
            wanted = module(torch.from_numpy(values), torch.from_numpy(valid)).float().numpy()
        found = session.run(values, valid)
        worst = max(worst, float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-12)))
    return worst


def _multiple(module: torch.nn.Module) -> int:
    """What the network pads rows and columns to: padding is fixed when a graph is traced, so it happens outside."""
    own = getattr(module, "multiple", None)
    return int(own if own is not None else getattr(getattr(module, "network", None), "multiple", 1))


def _check(task: Exportable, out: Path, side: int) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"The model was to be written to '{out}'", expected="a name in .onnx", remedy="change it")
    if side < SMALLEST:
        raise ConfigError(
            f"side = {side}", expected=f"at least {SMALLEST} pixels", remedy="take the tile of prediction"
        )
    multiple = _multiple(task)  # type: ignore[arg-type]
    if side % multiple:
        raise ConfigError(
            f"side = {side}", expected=f"a multiple of {multiple}, the stride of the network", remedy="change it"
        )
    if len(task.inputs) != 1 or task.task not in TASKS:
        raise ConfigError(
            f"The model predicts '{task.task}' from {', '.join(task.inputs)}",
            expected=f"one modality and one of the tasks {', '.join(TASKS)}",
            remedy="export models of one sensor; several sensors are predicted by swath itself",
        )


def _convert(module: torch.nn.Module, path: Path, shape: tuple[int, ...], output: str) -> bool:
    """Write the graph; whether rows and columns are free."""
    # A trace of positions ends at their size, after many seconds: it is not tried.
    if not takes_one_size(module) and _export(module, path, shape, output, free=True):
        return True
    _export(module, path, shape, output, free=False)
    return False


def takes_one_size(module: torch.nn.Module) -> bool:
    """Whether a transformer with positions for a number of patches is part of it, so that its graph has one size."""
    from swath.nn.grouped import GroupedEncoder
    from swath.nn.space_time import SpaceTimeEncoder
    from swath.nn.vit import ViT

    placed = (SpaceTimeEncoder, GroupedEncoder)
    return any(
        isinstance(part, placed) or (isinstance(part, ViT) and part.spec.positions == "learned")
        for part in module.modules()
    )


def _export(module: torch.nn.Module, path: Path, shape: tuple[int, ...], output: str, *, free: bool) -> bool:
    """Trace and write once; False where ``free`` was asked and the traced graph takes one size only."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    axes: dict[int, Any] = {0: batch}
    if free:
        axes |= {3: torch.export.Dim("rows", min=SMALLEST), 4: torch.export.Dim("columns", min=SMALLEST)}
    values = torch.zeros(shape)
    valid = torch.ones(shape, dtype=torch.bool)
    many = sum(parameter.numel() for parameter in module.parameters()) > _MANY
    try:
        torch.onnx.export(
            module,
            (values, valid),
            str(path),
            dynamo=True,
            dynamic_shapes=(axes, axes),
            input_names=["values", "valid"],
            output_names=[output],
            external_data=many,
            verbose=False,
        )
    except ImportError as error:
        raise MissingError(
            "The package onnx or onnxscript is not installed",
            expected="the extra 'export'",
            remedy="pip install 'swath[export]'",
        ) from error
    except Exception as error:  # what torch.export raises for a size that the network fixes has no class of its own
        if free and _is_about_shapes(error):
            return False
        raise
    return not free or _is_free(path)


def _is_about_shapes(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("constraint", "dynamic", "specializ", "dim", "shape"))


def _is_free(path: Path) -> bool:
    """Whether rows and columns of the input have names in the graph, not numbers."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    axes = graph.input[0].type.tensor_type.shape.dim
    return all(axis.dim_param for axis in axes[3:])


def _gather(written: Path, final: Path) -> None:
    """Bring the file of weights, where there is one, to the name that the graph of ``final`` looks for."""
    beside = written.with_name(written.name + ".data")
    if beside.is_file():
        import onnx

        model = onnx.load(str(written))
        beside.unlink()
        onnx.save(model, str(written), save_as_external_data=True, location=final.name + ".data")
        written.with_name(final.name + ".data").replace(final.with_name(final.name + ".data"))


@contextmanager
def _for_export(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode on the processor without gradients, and without the chatter of the exporter."""
    import torch

    parts = {part: part.training for part in module.modules()}
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    module.eval().cpu()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside torch and onnxscript; nothing a user can mend
            yield
    finally:
        module.to(device)
        for part, mode in parts.items():
            part.training = mode
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
