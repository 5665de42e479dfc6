"""``swath export``: a trained model for other runtimes, with what the change costs in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from swath.errors import ConfigError, InputError
from swath.loading import model_folder

if TYPE_CHECKING:
    from swath.chips import ChipSet
    from swath.judge import Score
    from swath.predict.export import Cost, ExportRecord
    from swath.types import Batch, Predictor, Task

PathLike = Path | str
METRIC: dict[Task, str] = {
    "segmentation": "miou",
    "change": "miou",
    "classification": "accuracy",
    "multilabel": "f1_macro",
    "regression": "r2",
    "pixel_regression": "r2",
}
"""The score that is compared."""
USUAL = 256
"""Side of the tiles of a prediction."""
CALIBRATION_CHIPS, COMPARED_CHIPS, TIMED_CHIPS = 64, 64, 4
"""Training chips that give the ranges of int8, chips that both models predict, and chips in a timed batch."""


class Sized(Protocol):
    """Chips with ``size`` rows and columns."""

    @property
    def size(self) -> int:
        """Rows, and columns."""
        ...


@dataclass(frozen=True, eq=False)
class ExportReport:
    """What was written, and how it compares with the model it was made of.

    Args:
        model: the ``.onnx`` file.
        record: its contract.
        difference: see ``predict.export.largest_difference``; empty without chips.
        scores: value of the main metric by ``trained`` and ``exported``; empty without chips.
        metric: name of the main metric.
        costs: of the trained and the exported model; empty without chips.
    """

    model: Path
    record: ExportRecord
    difference: dict[str, float]
    scores: dict[str, float]
    metric: str
    costs: tuple[Cost, ...]


def export(
    model: PathLike,
    out: PathLike,
    *,
    precision: Literal["float32", "int8"] = "float32",
    chips: PathLike | None = None,
    split: str = "test",
    tile: int | None = None,
) -> ExportReport:
    """Write a trained model as ONNX with its normalisation inside, and compare both on chips where there are some.

    Args:
        model: folder of a run.
        out: the ``.onnx`` file; its record lies beside it.
        precision: ``int8`` takes the ranges of activations from training chips and so needs ``chips``.
        chips: a chip set: its part ``split`` is predicted and scored by both models.
        split: which part.
        tile: rows and columns of the inputs, for networks that take one size only; None: those of the chips where
            there are some, since positions belong to the size that was learned, else 256.

    Raises:
        ConfigError: int8 without chips, or an option is out of range.
        InputError: the model or the chips cannot be read, or do not fit together.
        MissingError: the extra ``export`` is not installed.
    """
    from swath import chips as room
    from swath import learn
    from swath.predict import export as runtime

    out = Path(out)
    if precision == "int8" and chips is None:
        raise ConfigError(
            "int8 was asked for without chips",
            expected="chips like those to be predicted, which give the ranges of the numbers",
            remedy="give --chips CHIPS (chips=)",
        )
    chipset = None if chips is None else room.open(Path(chips))
    task: Any = learn.load_checkpoint(model_folder(Path(model)))
    plain = out if precision == "float32" else out.with_name(f"{out.stem}_float32.onnx")
    graph = task if isinstance(task, learn.SegmentationTask) else runtime.SingleInput(task)
    side = usual_side(graph, chipset) if tile is None else tile
    record = runtime.write_onnx(graph, plain, side=side, dates=getattr(graph, "dates", 1), source=Path(model).name)
    if precision == "int8" and chipset is not None:
        record = runtime.quantise(plain, out, _batches(chipset, "train", CALIBRATION_CHIPS))
        plain.unlink()
        runtime.record_path(plain).unlink()
    exported = runtime.OnnxPredictor(out)
    if chipset is None:
        return ExportReport(out, record, {}, {}, "", ())
    return _compared(ExportReport(out, record, {}, {}, "", ()), (task, graph), exported, chipset, split)


def usual_side(graph: Any, chipset: Sized | None) -> int:
    """Rows and columns of a graph for which nobody asked.

    Args:
        graph: the module to export.
        chipset: chips to compare on.
    """
    from swath.predict.export import SMALLEST, takes_one_size

    if chipset is None or not takes_one_size(graph):
        return USUAL
    return max(chipset.size, SMALLEST)


def _compared(
    report: ExportReport, trained: tuple[Any, Any], exported: Predictor, chipset: ChipSet, split: str
) -> ExportReport:
    """The report with scores, differences and costs; ``trained`` is the model and its graph in torch."""
    from swath import verbs
    from swath.predict.export import largest_difference

    task, graph = trained
    scores: list[Score] = [verbs.score(each, chipset, split=split) for each in (task, exported)]
    metric = METRIC[task.task]
    return ExportReport(
        model=report.model,
        record=report.record,
        difference=largest_difference(task, exported, _batches(chipset, split, COMPARED_CHIPS)),
        scores={name: each.value(metric) for name, each in zip(("trained", "exported"), scores, strict=True)},
        metric=metric,
        costs=_costs(report, (task, graph), exported, _batches(chipset, split, TIMED_CHIPS)[0]),
    )


def _costs(report: ExportReport, trained: tuple[Any, Any], exported: Predictor, batch: Batch) -> tuple[Cost, ...]:
    """Seconds of the same batch in torch and in the other runtime, on as many threads."""
    from swath.predict.export import count_macs, measure

    task, graph = trained
    shape = tuple(next(iter(batch.inputs.values())).values.shape)
    pixels = shape[0] * shape[3] * shape[4]
    parameters = sum(parameter.numel() for parameter in task.parameters())
    bands = len(report.record.bands)
    macs = count_macs(graph, (1, shape[1], bands, *shape[3:]))
    return (
        measure("trained (torch)", lambda: task.predict(batch), pixels, parameters=parameters, macs=macs),
        measure(
            f"exported ({report.record.precision})",
            lambda: exported.predict(batch),
            pixels,
            files=(report.model,),
            parameters=parameters,
            macs=macs,
        ),
    )


def _batches(chipset: ChipSet, split: str, most: int) -> list[Batch]:
    """Up to ``most`` chips of a part in batches of eight, evenly drawn from it."""
    from swath import types

    table = types.Split.load(chipset.folder / "split.parquet")
    ids = table.ids(split)
    if not ids:
        raise InputError(
            f"The split '{split}' of {chipset.folder} is empty",
            expected=f"one of {', '.join(table.counts())}",
            remedy="choose another split",
        )
    chosen = list(ids)[:: max(1, len(ids) // most)][:most]
    return [chipset.batch(chosen[place : place + 8]) for place in range(0, len(chosen), 8)]
