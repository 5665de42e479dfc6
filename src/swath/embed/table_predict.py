"""Classes for the rows of a table of embeddings, by a head that was trained on a table or a map of the same version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swath.embed.head_model import FeatureHead, load_head, same_version
from swath.embed.table import EmbeddingTable, open_table
from swath.errors import ConfigError, InputError, nearest
from swath.files import replacing

OUTPUTS = ("class", "confidence", "probability")
_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class TablePrediction:
    """What was written.

    Args:
        path: the table.
        counts: rows by class.
        empty: rows without an embedding, and so without a class.
    """

    path: Path
    counts: dict[str, int]
    empty: int


def predict_table(
    model: FeatureHead | Path | str,
    features: Path | str,
    out: Path | str,
    *,
    outputs: Sequence[str] = ("class", "confidence"),
) -> TablePrediction:
    """Classify the rows of a table of embeddings.

    The columns of the table are kept but for the embeddings; ``predicted`` (class), ``confidence`` (its probability)
    and ``probability_CLASS`` are added, empty where there is no embedding.

    Args:
        model: a head, or the folder of one.
        features: ``.parquet`` of ``embed_points`` or ``embed_chips``.
        out: ``.parquet`` to write.
        outputs: what to add.

    Raises:
        InputError: embeddings of another version, or a table that has such columns already.
        ConfigError: an unknown output, or a name with another ending.
    """
    out, features = Path(out), Path(features)
    for name in outputs:
        if name not in OUTPUTS:
            raise ConfigError(
                f"The output '{name}' is unknown for tables",
                expected=f"some of {', '.join(OUTPUTS)}",
                remedy=f"the nearest is: {nearest(name, OUTPUTS)}",
            )
    if out.suffix.lower() != ".parquet" or (out.exists() and features.exists() and out.samefile(features)):
        raise ConfigError(
            f"The classes of '{features}' were to be written to '{out}'",
            expected="another name that ends in .parquet",
            remedy="write for example: -o classes.parquet",
        )
    head = load_head(model) if isinstance(model, Path | str) else model
    table = open_table(features)
    same_version(table.record, head.origin.version, features, "the head was trained on")
    added = _columns(head, table, outputs)
    taken = sorted(set(added) & {str(column) for column in table.places.columns})
    if taken:
        raise InputError(
            f"'{features}' has a column '{taken[0]}'", expected="another name", remedy="rename or drop the column"
        )
    with replacing(out) as temporary:
        table.places.assign(**added).to_parquet(temporary, index=False)
    names = added["predicted"]
    return TablePrediction(out, {name: int((names == name).sum()) for name in head.classes}, int((~table.valid).sum()))


def _columns(head: FeatureHead, table: EmbeddingTable, outputs: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns to add; ``predicted`` always."""
    shares = np.full((len(table.values), len(head.classes)), np.nan)
    rows = np.flatnonzero(table.valid)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        shares[part] = head.head.probability(table.values[part])
    best = np.where(table.valid[:, None], shares, -1).argmax(axis=1)
    names = np.array([*head.classes, None], dtype=object)
    found: dict[str, np.ndarray] = {"predicted": names[np.where(table.valid, best, len(head.classes))]}
    if "confidence" in outputs:
        found["confidence"] = shares[np.arange(len(best)), best]
    if "probability" in outputs:
        found |= {f"probability_{name}": shares[:, number] for number, name in enumerate(head.classes)}
    return found
