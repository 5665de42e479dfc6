"""What made a file of embeddings: kept beside it, so that another encoder's embeddings can be refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swath.errors import InputError
from swath.files import write_json
from swath.reading import read_json

SCHEMA_VERSION = 1
_EXPECTED = "the record that swath embed writes beside its file"
_REMEDY = "make the embeddings again with swath embed"


@dataclass(frozen=True)
class EmbeddingRecord:
    """The record of one file.

    Args:
        encoder: name of the encoder.
        version: see ``swath.models.Encoder``.
        dimensions: components of an embedding.
        stride: pixels of the scene per embedding along each axis.
        bands: bands of the scene that the encoder used, by their name in swath.
        dates: times of the steps, ISO text.
        storage: ``float16`` | ``int8``.
        scale: factor from stored to real numbers.
        rounding: root mean square of what storing changed, over that of the embeddings, on a sample; None unknown.
        source: the scene.
    """

    encoder: str
    version: str
    dimensions: int
    stride: int
    bands: tuple[str, ...]
    dates: tuple[str, ...]
    storage: str
    scale: float
    rounding: float | None
    source: str

    def write(self, raster: Path) -> Path:
        """Write the record beside a raster; returns its path."""
        return write_json(record_path(raster), {"schema_version": SCHEMA_VERSION, **asdict(self)})


def record_path(raster: Path) -> Path:
    """The record that belongs to a file of embeddings."""
    return raster.with_name(f"{raster.name}.embedding.json")


def read_record(raster: Path | str) -> EmbeddingRecord:
    """The record beside a file of embeddings.

    Raises:
        InputError: there is none, or it is damaged or newer than this version of swath.
    """
    path = record_path(Path(raster))
    content: Any = read_json(path, expected=_EXPECTED, remedy=_REMEDY)
    if not isinstance(content, dict) or content.pop("schema_version", None) != SCHEMA_VERSION:
        raise InputError(f"'{path}' is no record of this version", expected=_EXPECTED, remedy="update swath")
    kinds: dict[str, tuple[type, ...]] = {
        "encoder": (str,),
        "version": (str,),
        "dimensions": (int,),
        "stride": (int,),
        "bands": (list,),
        "dates": (list,),
        "storage": (str,),
        "scale": (int, float),
        "rounding": (int, float, type(None)),
        "source": (str,),
    }
    if set(content) != set(kinds) or not all(isinstance(content[key], kind) for key, kind in kinds.items()):
        raise InputError(
            f"'{path}' is damaged", expected=_EXPECTED, remedy="make the embeddings again with swath embed"
        )
    lists = {"bands": tuple(content["bands"]), "dates": tuple(content["dates"])}
    return EmbeddingRecord(**(content | lists))
