"""What every number of a model on a chip set should say about where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from swath import __version__
from swath.chips import ChipSet
from swath.types import DataKind, Predictor, ResultRow, Split


def facts_of(
    chipset: ChipSet,
    split: Split,
    model: Predictor,
    *,
    part: str,
    data_kind: DataKind,
    config: Mapping[str, Any] | None = None,
) -> ResultRow:
    """A row without a number, for ``score(..., facts=...)``: data, split, bands, configuration and code.

    Args:
        chipset: the chips that are scored.
        split: its split table.
        model: the predictor; the bands are those it reads.
        part: the part of the split that is scored.
        data_kind: real, hybrid, simulated or fixture; ``ChipSet.data_kind`` where the chips say it.
        config: the resolved options of the model, such as ``config`` of its checkpoint.
    """
    text = None if config is None else json.dumps(config, sort_keys=True, default=str)
    return ResultRow(
        run_id="evaluate",
        system="evaluate",
        dataset=chipset.folder.name,
        dataset_hash=chipset.fingerprint[:12],
        data_kind=data_kind,
        split=part,
        bands=",".join(band for bands in model.inputs.values() for band in bands.names),
        n_train=len(split.ids("train")),
        config_hash=None if text is None else hashlib.sha256(text.encode()).hexdigest()[:12],
        code_version=__version__,
        note=f"split {split.hash}",
    )
