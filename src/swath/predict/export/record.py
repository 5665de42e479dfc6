"""What lies beside an exported model: all that its user has to know and the graph does not say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from swath.errors import InputError
from swath.files import sha256, write_json
from swath.reading import read_json, reading
from swath.sensors import Band, BandSet
from swath.types import Task

SCHEMA_VERSION = 1
Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_EXPECTED = "the record that 'swath export' writes beside the model"


@dataclass(frozen=True)
class ExportRecord:
    """The contract of an exported model.

    The graph takes ``values`` float32 ``(B, T, C, H, W)`` in the units of the bands and ``valid`` bool of the same
    shape, and gives the first output of its task (see ``swath.types.OUTPUTS``). Normalisation is inside.

    Args:
        task: what it predicts.
        modality: name of the input in a batch.
        bands: the C bands in order.
        dates: T.
        classes: class names, empty for quantities.
        colours: one ``#rrggbb`` per class, or empty.
        valid_rule: a pixel is predicted where ``any`` band is valid, where ``all`` are, or where some band is valid on
            ``each`` date.
        side: rows and columns of every input, or 0 where any size will do.
        multiple: rows and columns have to be multiples of this; the session repeats the border up to there, as the
            network does.
        precision: of weights and sums.
        statistics: mean and standard deviation per band, as they stand in the graph; for people.
        source: name of the model it was made of.
        sha256: of the ONNX file.
    """

    task: Task
    modality: str
    bands: BandSet
    dates: int
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    valid_rule: Literal["any", "all", "each"]
    side: int
    multiple: int
    precision: Precision
    statistics: Mapping[str, list[float]] = field(default_factory=dict)
    source: str = ""
    sha256: str = ""

    def write(self, model: Path) -> Path:
        """Write the record beside ``model``."""
        content = asdict(self) | {
            "schema_version": SCHEMA_VERSION,
            "bands": [asdict(band) for band in self.bands],
            "statistics": dict(self.statistics),
            "sha256": sha256(model),
        }
        path = record_path(model)
        write_json(path, json.loads(json.dumps(content)))
        return path


def record_path(model: Path) -> Path:
    """Where the record of an exported model lies: ``NAME.onnx.json``."""
    return model.with_name(model.name + ".json")


def read_record(model: Path | str) -> ExportRecord:
    """The record of an exported model.

    Raises:
        InputError: model or record are missing or damaged, do not belong together, or come from a newer version.
    """
    model = Path(model)
    path = record_path(model)
    for file in (model, path):
        if not file.is_file():
            raise InputError(
                f"There is no file '{file}'",
                expected="an exported model and its record: NAME.onnx and NAME.onnx.json",
                remedy="copy both files, or export the model again",
            )
    content = read_json(path, expected=_EXPECTED, remedy="export the model again")
    with reading(path, expected=_EXPECTED, remedy="export the model again"):
        if content["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {content['schema_version']}",
                expected=f"version {SCHEMA_VERSION}",
                remedy="use the version of swath that exported it, or export the model again",
            )
        found = _from(content)
    if found.sha256 != sha256(model):
        raise InputError(
            f"'{model}' is not the file that {path.name} was written for",
            expected="the file with the SHA-256 in the record",
            remedy="copy both files of one export",
        )
    return found


def _from(content: Mapping[str, Any]) -> ExportRecord:
    bands = [Band(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in content["bands"]]
    if content["precision"] not in PRECISIONS or content["valid_rule"] not in ("any", "all", "each"):
        raise ValueError("the precision or the rule of validity is unknown")
    return ExportRecord(
        task=cast(Task, str(content["task"])),
        modality=str(content["modality"]),
        bands=BandSet(tuple(bands)),
        dates=int(content["dates"]),
        classes=tuple(str(name) for name in content["classes"]),
        colours=tuple(str(colour) for colour in content["colours"]),
        valid_rule=content["valid_rule"],
        side=int(content["side"]),
        multiple=int(content["multiple"]),
        precision=content["precision"],
        statistics={str(key): [float(number) for number in value] for key, value in content["statistics"].items()},
        source=str(content["source"]),
        sha256=str(content["sha256"]),
    )
