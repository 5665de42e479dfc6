"""What every number of a model on a chip set should say about where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from swath import __version__
from swath.chips import Samples
from swath.errors import ConfigError, InputError
from swath.types import DataKind, Predictor, ResultRow, Split


def facts_of(
    chipset: Samples,
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


def check_fits(predictor: Predictor, chipset: Samples) -> None:
    """Targets are numbers: other tasks, or names in another order, would give a score that means nothing.

    Raises:
        InputError: model and chips have different tasks, classes or quantities.
    """
    if predictor.task != chipset.task:
        raise InputError(
            f"The model was made for {predictor.task}, and the chips of {chipset.folder} ask for {chipset.task}",
            expected="the same task",
            remedy="score it on chips of its own task, or train a model on these",
        )
    told = getattr(predictor, "quantities", chipset.quantities) if chipset.quantities else predictor.classes
    if tuple(told) != (chipset.quantities or chipset.classes):
        what = "quantities" if chipset.quantities else "classes"
        raise InputError(
            f"The model tells {', '.join(told)} apart, and the chips of {chipset.folder} have the {what} "
            f"{', '.join(chipset.quantities or chipset.classes)}",
            expected=f"the same {what} in the same order",
            remedy="cut the chips with the legend of those that the model was trained on",
        )


def kind_of(chipset: Samples, said: DataKind | None) -> DataKind:
    """What the chips say of themselves, or what the caller says: simulated data cannot be called real.

    Raises:
        ConfigError: ``said`` is ``real`` and the chips say otherwise.
    """
    own = chipset.data_kind
    if said == "real" and own not in (None, "real"):
        raise ConfigError(
            f"The data were said to be real, and the chips of {chipset.folder} say that they are {own}",
            expected=f"'{own}', which is also what is taken when nothing is said",
            remedy="leave out --data (data_kind=)",
        )
    return said or own or "real"
