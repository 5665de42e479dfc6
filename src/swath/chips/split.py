"""Splits by region or by block, with a buffer, and a check that nothing leaks between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from swath import grids, rng
from swath.chips.duplicates import duplicates
from swath.chips.store import ChipSet
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.types import Split

SPLITS = ("train", "validation", "test", "unused")
Flags = NDArray[np.bool_]


def split_by_region(
    chipset: ChipSet,
    *,
    train: Sequence[str],
    test: Sequence[str],
    unused: Sequence[str] = (),
    validation_share: float = 0.1,
    block_chips: int = 4,
    buffer_chips: float = 2.0,
    seed: int = 0,
) -> Split:
    """Train on some regions, test on others.

    Training chips closer to a test chip than the buffer become ``unused``. Whole blocks of the training regions, drawn
    at random, become the validation split; training chips that overlap a validation chip become ``unused``.

    Args:
        chipset: chips with groups.
        train: groups to learn from.
        test: groups to score on; all their chips are test chips.
        unused: groups to leave out. Chips without a group are left out too.
        validation_share: share of the training chips for validation, 0 to below 1.
        block_chips: side of a block in chip widths.
        buffer_chips: least gap between train (or validation) and test footprints in chip widths, counted in cells of
            the grid, around the antimeridian where the grid is global. With 0 only overlaps are removed.
        seed: seed of the draw of blocks.

    Returns:
        ``group`` is ``REGION BLOCK`` in the training regions and the region elsewhere; ``fold`` is 0.

    Raises:
        ConfigError: a group is listed twice, or a number is out of range.
        InputError: a group is unknown or not listed, or the train or test split would be empty.
    """
    _check_numbers(block_chips, buffer_chips)
    if not 0.0 <= validation_share < 1.0:
        raise ConfigError(f"validation_share = {validation_share}", expected="0 to below 1", remedy="change it")
    table = _places(chipset)
    _check_regions(table["region"], {"train": train, "test": test, "unused": unused})
    table["split"] = "unused"
    table.loc[table["region"].isin(list(train)), "split"] = "train"
    table.loc[table["region"].isin(list(test)), "split"] = "test"
    learning = table["split"] == "train"
    table["group"] = table["region"]
    table.loc[learning, "group"] = table["region"] + " " + _blocks(table, block_chips * chipset.size)
    _separate(table, chipset, ("train",), "test", buffer_chips)
    _draw_validation(table, validation_share, seed)
    _separate(table, chipset, ("train",), "validation", 0.0)
    return _finish(table, ("train", "test"), buffer_chips)


def split_by_block(
    chipset: ChipSet,
    *,
    block_chips: int = 4,
    shares: Mapping[str, float] | None = None,
    buffer_chips: float = 1.0,
    seed: int = 0,
) -> Split:
    """Cut the scene into square blocks and give each whole block to one split.

    Blocks are drawn in random order, each to the split that lacks most chips. Then chips closer to a test chip than
    the buffer become ``unused``, and so do training chips close to a validation chip.

    Args:
        chipset: any chip set.
        block_chips: side of a block in chip widths.
        shares: share of the chips per split; default: train 0.7, validation 0.1, test 0.2.
        buffer_chips: least gap between splits, as in ``split_by_region``.
        seed: seed of the draw of blocks.

    Returns:
        ``group`` is the block; ``fold`` is 0.

    Raises:
        ConfigError: shares do not add up to 1 or name an unknown split, or a number is out of range.
        InputError: fewer blocks than splits, or a split would be empty.
    """
    _check_numbers(block_chips, buffer_chips)
    wanted = _check_shares({"train": 0.7, "validation": 0.1, "test": 0.2} if shares is None else shares)
    table = _places(chipset)
    table["group"] = _blocks(table, block_chips * chipset.size)
    counts = table["group"].value_counts().sort_index()
    if len(counts) < len(wanted):
        raise InputError(
            f"The {len(table)} chips lie in {len(counts)} blocks of {block_chips} x {block_chips} chips",
            expected=f"at least {len(wanted)} blocks for {', '.join(wanted)}",
            remedy="take smaller blocks (block_chips) or cut more chips",
        )
    table["split"] = table["group"].map(_share_out(counts, wanted, seed))
    _separate(table, chipset, ("train", "validation"), "test", buffer_chips)
    _separate(table, chipset, ("train",), "validation", buffer_chips)
    return _finish(table, tuple(wanted), buffer_chips)


def leak_check(chipset: ChipSet, split: Split, *, buffer_chips: float = 0.0, contents: bool = True) -> list[str]:
    """Look for ways in which one split could know another.

    Args:
        chipset: the chips.
        split: the split to check.
        buffer_chips: gap that test chips should have from all others, in chip widths.
        contents: whether to compare pixels too (reads all chips in use).

    Returns:
        One sentence per kind of leak: ids given twice, unknown ids, groups in two splits, footprints that overlap or
        lie within the buffer, and chips with the same or nearly the same pixels in two splits. Empty when clean.
    """
    found = []
    twice = split.table["id"][split.table["id"].duplicated()].astype(str).tolist()
    if twice:
        found.append(f"{len(twice)} ids appear more than once in the split, for example {twice[0]}")
    else:
        found += _contract(split)
    used = split.table[split.table["split"] != "unused"]
    known = used["id"].astype(str).isin(chipset.ids)
    if not known.all():
        found.append(
            f"{int((~known).sum())} ids of the split are not in {chipset.folder}: {used['id'][~known].iloc[0]}"
        )
    table = _places(chipset).merge(used[known][["id", "split"]].astype(str).drop_duplicates(), on="id")
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        gap = buffer_chips if second == "test" else 0.0
        near = _near(table, chipset, first, second, gap)
        if near.any():
            what = f"lie within {gap:g} chip widths of" if gap else "overlap"
            example = table["id"][near].iloc[0]
            found.append(f"{int(near.sum())} {first} chips {what} {second} chips, for example {example}")
    return found + (duplicates(chipset, dict(zip(table["id"], table["split"], strict=True))) if contents else [])


def _contract(split: Split) -> list[str]:
    try:
        split.check()
    except ContractError as error:
        return [error.given]
    return []


def _places(chipset: ChipSet) -> pd.DataFrame:
    """Id, region, row and column of all chips, ordered by id, so that the order of the index never matters."""
    index = chipset.index
    table = pd.DataFrame(
        {
            "id": index["id"].astype(str).to_numpy(),
            "region": index["group"].astype(str).to_numpy(),
            "row": index["row"].to_numpy(np.int64),
            "column": index["column"].to_numpy(np.int64),
        }
    )
    return table.sort_values("id", ignore_index=True)


def _blocks(table: pd.DataFrame, pixels: int) -> pd.Series[Any]:
    """Name of the block of each chip, by its first pixel."""
    row, column = table["row"] // pixels, table["column"] // pixels
    return "block " + row.astype(str) + "_" + column.astype(str)


def _near(table: pd.DataFrame, chipset: ChipSet, first: str, second: str, gap: float) -> Flags:
    """Which chips of split ``first`` overlap a chip of ``second``, or leave less than ``gap`` chip widths between.

    Two squares of side s leave a gap below g * s on both axes exactly where their origins differ by less than
    (1 + g) * s on both, so one nearest-neighbour query in the maximum norm answers for all chips.
    """
    chosen, others = (table["split"] == first).to_numpy(), (table["split"] == second).to_numpy()
    near = np.zeros(len(table), bool)
    if not chosen.any() or not others.any():
        return near
    places = table[["row", "column"]].to_numpy(np.float64, copy=True)
    width = float(chipset.scene.shape.x)
    around = grids.is_global(chipset.scene)
    if around:
        places[:, 1] %= width
    tree = cKDTree(places[others], boxsize=[0.0, width] if around else None)
    distance, _ = tree.query(places[chosen], p=np.inf)
    near[chosen] = distance < (1.0 + gap) * chipset.size
    return near


def _separate(table: pd.DataFrame, chipset: ChipSet, moved: Sequence[str], kept: str, gap: float) -> None:
    """Make chips of the splits ``moved`` that come too near to ``kept`` unused."""
    for name in moved:
        table.loc[_near(table, chipset, name, kept, gap), "split"] = "unused"


def _draw_validation(table: pd.DataFrame, share: float, seed: int) -> None:
    """Make whole training blocks, drawn at random, the validation split, until it holds its share."""
    counts = table.loc[table["split"] == "train", "group"].value_counts().sort_index()
    wanted = share * counts.sum()
    order = rng.generator(seed, "validation blocks").permutation(len(counts))
    before = np.cumsum(counts.to_numpy()[order]) - counts.to_numpy()[order]
    drawn = order[before < wanted - 1e-9][: max(0, len(counts) - 1)]
    chosen = table["group"].isin(counts.index[drawn]) & (table["split"] == "train")
    table.loc[chosen, "split"] = "validation"


def _share_out(counts: pd.Series[Any], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Split of each block: in random order, each to the split that lacks most."""
    order = rng.generator(seed, "split blocks").permutation(len(counts))
    names = list(shares)
    lacking = np.array([shares[name] for name in names]) * counts.sum()
    assigned: dict[str, str] = {}
    for position in order.tolist():
        # The last blocks go to splits that have none yet, so that small shares are never empty.
        empty = [name for name in names if name not in assigned.values()]
        forced = len(counts) - len(assigned) <= len(empty)
        choice = names.index(empty[0]) if forced else int(lacking.argmax())
        assigned[str(counts.index[position])] = names[choice]
        lacking[choice] -= counts.iloc[position]
    return assigned


def _finish(table: pd.DataFrame, needed: Sequence[str], buffer_chips: float) -> Split:
    empty = [name for name in needed if not (table["split"] == name).any()]
    if empty:
        counts = ", ".join(f"{name} {int((table['split'] == name).sum())}" for name in SPLITS)
        raise InputError(
            f"The {' and '.join(empty)} split is empty after a buffer of {buffer_chips:g} chips ({counts})",
            expected="chips in every split asked for",
            remedy="cut more chips, take smaller blocks, or a smaller buffer",
        )
    split = Split(table.assign(fold=0)[["id", "split", "group", "fold"]])
    split.check()
    return split


def _check_regions(regions: pd.Series[Any], lists: Mapping[str, Sequence[str]]) -> None:
    listed = [name for names in lists.values() for name in names]
    twice = next((name for name in listed if listed.count(name) > 1), None)
    if twice is not None:
        where = ", ".join(key for key, names in lists.items() if twice in names)
        raise ConfigError(f"The group '{twice}' is listed in {where}", expected="every group once", remedy="drop one")
    known = sorted(set(regions) - {""})
    unknown = [name for name in (*lists["train"], *lists["test"]) if name not in known]
    if unknown:
        raise InputError(
            f"No chip belongs to the group '{unknown[0]}'",
            expected=f"groups of the chip set: {', '.join(known) or 'none, it was cut without groups'}",
            remedy=f"the nearest names are: {nearest(unknown[0], known)}" if known else "cut with groups=...",
        )
    missing = [name for name in known if name not in listed]
    if missing:
        raise InputError(
            f"The groups {', '.join(missing)} are in no list",
            expected="every group under train, test or unused",
            remedy="name them, under 'unused' if they should play no part",
        )


def _check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    unknown = [name for name in shares if name not in SPLITS]
    if unknown:
        raise ConfigError(
            f"shares names the split '{unknown[0]}'",
            expected=", ".join(SPLITS),
            remedy=f"the nearest names are: {nearest(unknown[0], SPLITS)}",
        )
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1.0) > 1e-6:
        raise ConfigError(
            f"shares add up to {sum(shares.values()):g} ({dict(shares)})",
            expected="shares of at least 0 that add up to 1",
            remedy="change one of them",
        )
    return {name: float(shares[name]) for name in SPLITS if shares.get(name, 0.0) > 0}


def _check_numbers(block_chips: int, buffer_chips: float) -> None:
    if block_chips < 1:
        raise ConfigError(f"block_chips = {block_chips}", expected="a whole number of at least 1", remedy="change it")
    if buffer_chips < 0:
        raise ConfigError(f"buffer_chips = {buffer_chips}", expected="a number of at least 0", remedy="change it")
