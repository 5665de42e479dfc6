"""What is scored: a predictor on one split of a set of samples, whatever its task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import InputError
from swath.loading import load, model_folder

if TYPE_CHECKING:
    from swath.chips import ChipLoader, ChipSet, JoinedSet
    from swath.types import DataKind, Predictor, ResultRow

PathLike = Path | str


def scoring(
    model: Predictor | PathLike, chips: ChipSet | JoinedSet | PathLike, split: str, data_kind: DataKind | None
) -> tuple[Predictor, ChipLoader, ResultRow]:
    """The predictor, the chips of the split in their order, and what every row says about both.

    Args:
        model: anything that predicts, or the folder of a trained model.
        chips: a chip set, joined ones, or the folder of either.
        split: which split to score.
        data_kind: what the rows say of the data; None: what the chips say of themselves.

    Raises:
        InputError: the split is empty, or model and chips have different tasks, classes or quantities.
        ConfigError: ``data_kind`` is ``real`` and the chips say otherwise.
    """
    from swath import chips as room
    from swath import judge, learn, types

    predictor = load(model, device="auto") if isinstance(model, Path | str) else model
    chipset = room.open_samples(Path(chips)) if isinstance(chips, Path | str) else chips
    table = types.Split.load(chipset.folder / "split.parquet")
    ids = table.ids(split)
    if not ids:
        raise InputError(
            f"The split '{split}' of {chipset.folder} is empty",
            expected=f"one of {', '.join(table.counts())}",
            remedy="choose another split, or cut more chips",
        )
    loader = room.ChipLoader(chipset, ids, batch_size=32, seed=0, shuffle=False)
    # An exported model has no training options beside it.
    folder = model_folder(Path(model)) if isinstance(model, Path | str) and Path(model).is_dir() else None
    config = None if folder is None else learn.read_record(folder)["config"]
    judge.check_fits(predictor, chipset)
    kind = judge.kind_of(chipset, data_kind)
    facts = judge.facts_of(chipset, table, predictor, part=split, data_kind=kind, config=config)
    return predictor, loader, facts
