"""Several chip sets of the same places as one set of samples with several modalities."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.chips import store
from swath.chips.folder import appearing
from swath.chips.matching import match
from swath.chips.statistics import Statistics, statistics
from swath.chips.store import IMAGE, ChipSet
from swath.errors import ConfigError, InputError
from swath.files import write_json
from swath.reading import check_parquet, read_json, reading
from swath.sensors import BandSet
from swath.types import Batch, DataKind, Modality, Split, Task

if TYPE_CHECKING:
    from swath.cubes import Legend

JOINED = "joined.json"
PAIRS = "joined.parquet"
SCHEMA_VERSION = 1
_EXPECTED, _REMEDY = "a joined set as swath writes it", "join the chip sets again with 'swath chips join'"


class JoinedSet:
    """Chip sets of the same windows, one per modality; the first carries ids, targets, groups and split.

    A chip that a set lacks is a missing modality: values 0, nothing valid, on the grid that the set would have there.

    Args:
        folder: where the joined set lies.
        sets: a chip set per modality, the first one first.
        pairs: one row per chip of the first set: ``id``, and per further modality the id there or an empty text.

    Raises:
        InputError: a modality is missing in every chip.
    """

    def __init__(self, folder: Path, sets: Mapping[str, ChipSet], pairs: pd.DataFrame) -> None:
        self.folder = folder
        self.sets = dict(sets)
        self.pairs = pairs
        self.first = next(iter(self.sets.values()))
        ids = pairs["id"].astype(str).tolist()
        first, *others = self.sets
        self._own = {first: dict(zip(ids, ids, strict=True))}
        self._own |= {name: dict(zip(ids, pairs[name].astype(str), strict=True)) for name in others}
        for name, own in self._own.items():
            if not any(own.values()):
                raise InputError(
                    f"The modality '{name}' of {folder} is missing in every chip",
                    expected="at least one chip of every modality",
                    remedy="join the right chip sets, or leave this one out",
                )

    def __len__(self) -> int:
        return len(self.first)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} ({', '.join(bands.names)})" for name, bands in self.inputs.items())
        return f"<JoinedSet {self.folder}: {len(self)} chips; {parts}; {self.task}>"

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        return self.first.ids

    @property
    def inputs(self) -> Mapping[str, BandSet]:
        """Bands of each modality."""
        return {name: chips.bands for name, chips in self.sets.items()}

    @property
    def dates(self) -> Mapping[str, int]:
        """Most dates of a chip, by modality."""
        return {name: chips.dates[IMAGE] for name, chips in self.sets.items()}

    @property
    def missing(self) -> Mapping[str, int]:
        """Chips that lack a modality, by modality."""
        return {name: sum(not there for there in own.values()) for name, own in self._own.items()}

    @property
    def task(self) -> Task:
        """What is asked of the chips."""
        return self.first.task

    @property
    def target(self) -> str:
        """Name of the target in a batch."""
        return self.first.target

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels; empty for quantities."""
        return self.first.classes

    @property
    def legend(self) -> Legend:
        """Values, names and colours of the classes of the label rasters."""
        return self.first.legend

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of quantities; empty for classes."""
        return self.first.quantities

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each quantity."""
        return self.first.units

    @property
    def data_kind(self) -> DataKind | None:
        """Whether the data are real, simulated, ...; ``hybrid`` where the sets differ, None where none says."""
        kinds = {chips.data_kind for chips in self.sets.values()}
        if kinds == {None}:
            return None
        return next(kind for kind in get_args(DataKind) if kinds == {kind} or (kind == "hybrid" and len(kinds) > 1))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of the sets and over which chip belongs to which."""
        lines = [f"{name} {chips.fingerprint}" for name, chips in self.sets.items()]
        lines += sorted(" ".join(own[name] or "-" for own in self._own.values()) for name in self.ids)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def group(self, name: str) -> str:
        """Group of one chip, empty where it has none."""
        return self.first.group(name)

    def geobox(self, name: str, modality: str | None = None) -> GeoBox:
        """Grid of one chip in a modality (default: the first)."""
        chips = self.first if modality is None else self.sets[modality]
        own = name if modality is None else self._own[modality][name]
        if own:
            return chips.geobox(own)
        box = self.first.geobox(name)
        zoom = self.first.size / chips.size
        return GeoBox((chips.size, chips.size), box.affine @ Affine.scale(zoom, zoom), box.crs)

    def class_counts(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """As ``ChipSet.class_counts``, of the first set."""
        return self.first.class_counts(ids)

    def require(self, ids: Iterable[str]) -> None:
        """Stop at the first unknown id.

        Raises:
            InputError: an id is unknown.
        """
        self.first.require(ids)

    def batch(self, ids: Sequence[str]) -> Batch:
        """Some chips as a batch with all modalities, and the target of the first set.

        Raises:
            InputError: ``ids`` is empty, an id is unknown, or a file cannot be read.
        """
        first, *others = self.sets
        base = self.first.batch(ids)
        inputs = {first: base.inputs[IMAGE]}
        inputs |= {name: self._modality(name, ids, base.inputs[IMAGE]) for name in others}
        return replace(base, inputs=inputs)

    def statistics(self, name: str, split: Split) -> Statistics:
        """Statistics of one modality over the train split, of the chips that have it.

        Raises:
            InputError: no chip of the train split has it, or a band has no valid pixel there.
        """
        own = self._own[name]
        table = split.table.assign(id=[own.get(chip, "") for chip in split.table["id"].astype(str)])
        table = table[table["id"] != ""]
        if not (table["split"] == "train").any():
            raise InputError(
                f"The modality '{name}' of {self.folder} is missing in every chip of the train split",
                expected="at least one training chip that has it",
                remedy="make another split, or leave the modality out",
            )
        found = statistics(self.sets[name], Split(table))
        counts = self.first.class_counts(split.ids("train"))
        return replace(found, class_counts=counts, source=self.fingerprint, split_hash=split.hash)

    def _modality(self, name: str, ids: Sequence[str], like: Modality) -> Modality:
        """One modality of some chips; ``like`` gives a date where it is missing."""
        import torch

        chips = self.sets[name]
        own = [self._own[name][chip] for chip in ids]
        there = [place for place, chip in enumerate(own) if chip]
        shape = (len(ids), chips.dates[IMAGE], len(chips.bands), chips.size, chips.size)
        values, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
        time = np.repeat(like.time[:, :1].numpy(), shape[1], axis=1)
        if there:
            present = [own[place] for place in there]
            arrays = chips.load(present)
            values[there], valid[there], time[there] = arrays.values, arrays.valid, chips.times(present)
        return Modality(
            values=torch.from_numpy(values),
            valid=torch.from_numpy(valid),
            bands=chips.bands,
            time=torch.from_numpy(time),
            grid=tuple(self.geobox(chip, name) for chip in ids),
        )


def join(sets: Mapping[str, Path | str], out: Path | str) -> JoinedSet:
    """Join chip sets that were cut on the same windows, whatever their resolution and the order of their files.

    Windows agree when their corners do, to half a pixel of the finer grid (see ``match``). The first set gives targets
    and split; chips of the others that agree with none of its chips are not used.

    Args:
        sets: folder of a chip set per modality name, the one with targets and split first.
        out: folder to write; a joined set that lies there is replaced.

    Raises:
        ConfigError: fewer than two sets, or an impossible name.
        InputError: a set cannot be read, or shares no window with the first (both extents are told).
    """
    _check_names(list(sets))
    opened = {name: store.open(Path(folder)) for name, folder in sets.items()}
    first, *others = opened
    index = opened[first].index
    pairs = pd.DataFrame({"id": index["id"].astype(str).to_numpy()})
    for name in others:
        pairs[name] = match(opened[first], opened[name], (first, name))
    out = Path(out)
    with appearing(out, marker=JOINED, what="joined set") as folder:
        pairs.to_parquet(folder / PAIRS, index=False)
        record = {name: {"folder": os.path.relpath(chips.folder, out)} for name, chips in opened.items()}
        for name, chips in opened.items():
            record[name]["fingerprint"] = chips.fingerprint
        write_json(folder / JOINED, {"schema_version": SCHEMA_VERSION, "modalities": record, "order": list(opened)})
        path = opened[first].folder / "split.parquet"
        if path.exists():
            split = Split.load(path)
            split.save(folder / "split.parquet")
            made = JoinedSet(out, opened, pairs)
            for name in opened:
                made.statistics(name, split).save(folder / f"statistics_{name}.json")
    return open_joined(out)


def open_joined(folder: Path | str, *, cache_mb: float = 256.0) -> JoinedSet:
    """Open joined chip sets.

    Args:
        folder: the folder that ``join`` wrote.
        cache_mb: memory for chips already read, in MiB, per chip set.

    Raises:
        InputError: the folder is no joined set, is damaged, or one of its chip sets moved or was cut again.
    """
    folder = Path(folder)
    path = folder / JOINED
    if not path.exists():
        raise InputError(f"There is no {path}", expected="the folder of a joined set", remedy=_REMEDY)
    record = read_json(path, expected=_EXPECTED, remedy=_REMEDY)
    if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
        found = record.get("schema_version") if isinstance(record, dict) else "missing"
        raise InputError(
            f"{path} has schema version {str(found)[:40]}",
            expected=f"version {SCHEMA_VERSION}",
            remedy="open it with the swath version that wrote it",
        )
    check_parquet(folder / PAIRS, expected=_EXPECTED, remedy=_REMEDY)
    with reading(path, expected=_EXPECTED, remedy=_REMEDY):
        entries = {str(name): record["modalities"][name] for name in record["order"]}
        places = {name: folder / str(entry["folder"]) for name, entry in entries.items()}
        pairs = pd.read_parquet(folder / PAIRS)
    sets = {name: store.open(place, cache_mb=cache_mb) for name, place in places.items()}
    for name, chips in sets.items():
        _check_same(chips, entries[name], folder)
    _check_pairs(sets, pairs, folder)
    return JoinedSet(folder, sets, pairs)


def _check_same(chips: ChipSet, entry: Mapping[str, Any], folder: Path) -> None:
    if entry.get("fingerprint") != chips.fingerprint:
        raise InputError(
            f"The chips of {chips.folder} are not those that {folder} joins; they were cut or labelled again",
            expected=f"the fingerprint {str(entry.get('fingerprint'))[:12]}, not {chips.fingerprint[:12]}",
            remedy=_REMEDY,
        )


def _check_pairs(sets: Mapping[str, ChipSet], pairs: pd.DataFrame, folder: Path) -> None:
    """Every chip of the first set once, and only chips that the others hold."""
    first, *others = sets
    columns = {"id", *others}
    known = columns <= set(pairs.columns) and sorted(pairs["id"].astype(str)) == sets[first].ids
    for name in others if known else ():
        used = pairs[name].astype(str)
        known &= bool(used[used != ""].isin(sets[name].ids).all())
    if not known:
        raise InputError(
            f"{folder / PAIRS} does not fit the chip sets {', '.join(sets)}", expected=_EXPECTED, remedy=_REMEDY
        )


def _check_names(names: Sequence[str]) -> None:
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name)]
    if len(names) < 2 or odd:
        raise ConfigError(
            f"Chip sets were to be joined under the names {', '.join(names) or 'none'}",
            expected="at least two names of letters, digits, '_' and '-', each beginning with a letter",
            remedy="write: swath chips join optical=FOLDER radar=FOLDER --out FOLDER",
        )
