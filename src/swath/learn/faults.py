"""What stands in the way of training, found in descriptions alone: sentences that name the band, class or part."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from swath import units
from swath.chips import ChipSet, JoinedSet, Statistics
from swath.errors import SwathError
from swath.learn.building import Measured
from swath.learn.intake import EARLIEST_S
from swath.learn.options import TrainOptions
from swath.learn.pretrained import check_statistics, fill_backbones, source_task
from swath.learn.published import PublishedNetwork
from swath.models.backbones import NAMES as PUBLISHED
from swath.models.backbones import RANDOM, published_options, spec_of
from swath.nn import Normalise
from swath.nn.joint import JointNetwork
from swath.sensors import BandSet
from swath.types import Split
from swath.weights import entry, is_name
from swath.weights.fetch import lies_at

_AGAIN = "What to do: delete the file of statistics in the folder of the chips, and training measures them again."


def label_faults(samples: ChipSet | JoinedSet, counts: Mapping[str, int], number: int) -> list[str]:
    """What is wrong with the labels of the train split.

    Args:
        samples: the set.
        counts: class or label to pixels, samples or positives.
        number: training samples.
    """
    if number == 0:
        return [f"The train split of {samples.folder} is empty. What to do: make another split, or cut more chips."]
    absent = [name for name, count in counts.items() if count == 0]
    faults = []
    if absent:
        faults.append(
            f"The train split has no label of {', '.join(absent)}, which cannot be learned. "
            "What to do: cut chips where it is, change the split, or leave it out of the legend."
        )
    present = len(counts) - len(absent)
    if counts and samples.task != "multilabel" and present < 2:
        faults.append(f"The train split has {present} class(es) with labels, and nothing can be told apart.")
    if counts and sum(counts.values()) < len(counts):
        faults.append(
            f"The train split has {sum(counts.values())} labels for {len(counts)} classes. What to do: label more."
        )
    return faults


def statistics_faults(
    samples: ChipSet | JoinedSet, bands: Mapping[str, BandSet], found: Mapping[str, Statistics], split: Split | None
) -> tuple[Measured, list[str]]:
    """What is wrong with the statistics, and the statistics in the form that building takes.

    Numbers outside of what a band can be in its unit, or of other samples, are faults. Where there are no statistics
    yet, mean 0 and standard deviation 1 stand in.

    Args:
        samples: the set.
        bands: those that are used, by input.
        found: statistics that lie beside the samples.
        split: their split.
    """
    faults: list[str] = []
    inputs: dict[str, tuple[Sequence[str], Sequence[float], Sequence[float]]] = {}
    for name, each in bands.items():
        known = found.get(name)
        if known is None:
            inputs[name] = (each.names, [0.0] * len(each), [1.0] * len(each))
            continue
        inputs[name] = (known.bands, known.mean, known.std)
        if known.source != samples.fingerprint or (split is not None and known.split_hash != split.hash):
            faults.append(
                f"The statistics of '{name}' were measured on other chips or another split "
                f"({known.source[:12]} instead of {samples.fingerprint[:12]}). {_AGAIN}"
            )
        for band in each:
            place = known.bands.index(band.name) if band.name in known.bands else None
            if place is None:
                faults.append(
                    f"The statistics of '{name}' hold {', '.join(known.bands)}, but not {band.name}. {_AGAIN}"
                )
                inputs[name] = (each.names, [0.0] * len(each), [1.0] * len(each))
                continue
            levels = [known.percentiles[level][place] for level in ("1", "99") if level in known.percentiles]
            limits = units.possible_range(band.kind, band.unit)
            if limits and levels and not limits[0] <= min(levels) <= max(levels) <= limits[1]:
                faults.append(
                    f"The band '{band.name}' of '{name}' runs from {min(levels):g} to {max(levels):g} (1st to 99th "
                    f"percentile), which no {band.kind} in the unit '{band.unit}' does (from {limits[0]:g} to "
                    f"{limits[1]:g}). What to do: name sensor and level when opening the scene, and cut again."
                )
    return Measured(inputs, {}, 0), faults


def weights_faults(
    network: JointNetwork | PublishedNetwork,
    bands: Mapping[str, BandSet],
    measured: Measured,
    options: TrainOptions,
) -> list[str]:
    """What is wrong with the weights to start from: another family, other bands, another unit, or nowhere."""
    name = options.pretrained
    if name is None:
        return []
    if isinstance(network, PublishedNetwork):
        known = entry(name)
        missing = lies_at(known) is None
        text = f"The weights of '{name}' are not on this machine. What to do: swath weights get {name}"
        return [text] if missing else []
    assert not is_name(name)  # it would be a PublishedNetwork
    try:
        source = source_task(name)
        for input_name, each in bands.items():
            names, mean, std = measured.inputs[input_name]
            if set(mean) == {0.0} and set(std) == {1.0}:  # nothing was measured yet
                continue
            places = [list(names).index(band) for band in each.names]
            normalise = Normalise([mean[p] for p in places], [std[p] for p in places], names=each.names)
            check_statistics(each, normalise, source, name)
        with warnings.catch_warnings():  # into a network without memory nothing is copied, which is meant
            warnings.simplefilter("ignore", UserWarning)
            fill_backbones(network, bands, source, name)
    except SwathError as error:
        return [str(error)]
    return []


def backbone_faults(options: TrainOptions, size: int) -> list[str]:
    """What is wrong with the weights of a published backbone that learns: nowhere, or smaller chips than a token.

    Args:
        options: of training.
        size: rows and columns of a chip.
    """
    network, faults = options.network, []
    if network.backbone not in PUBLISHED:
        return []
    known = entry(network.backbone)
    if network.weights is None and lies_at(known) is None:
        faults.append(
            f"The weights of '{network.backbone}' are not on this machine. What to do: swath weights get "
            f"{network.backbone}, or name a file in network: {{weights: FILE}}"
        )
    if network.weights not in (None, RANDOM):
        given = Path(str(network.weights))
        if not (given / known.weights.file if given.is_dir() else given).is_file():
            faults.append(f"There is no file of weights {given}. What to do: check network.weights.")
    spec = spec_of(network.backbone, published_options(network.backbone, network.backbone_options()))
    patch = spec.patch if isinstance(spec.patch, int) else spec.patch[1]
    if size < patch:
        faults.append(
            f"The chips have {size} x {size} pixels, and a token of '{network.backbone}' has {patch}. "
            "What to do: cut larger chips."
        )
    return faults


def size_faults(network: JointNetwork, sizes: Mapping[str, int]) -> list[str]:
    """Inputs that are smaller than what the network sees as one place.

    Args:
        network: with its strides.
        sizes: rows and columns of each input.
    """
    stride = max(stride for branch in network.branches().values() for stride in branch.strides)
    return [
        f"The chips of '{name}' have {size} x {size} pixels, and the coarsest places of the network have {stride}. "
        "What to do: cut larger chips, or make the network shallower (depth, stem_stride, patch)."
        for name, size in sizes.items()
        if size < stride
    ]


def dates_faults(network: JointNetwork, samples: ChipSet | JoinedSet) -> list[str]:
    """Samples without dates where the network reads them."""
    if not network.needs_days:
        return []
    faults = []
    for name, each in network.spec.inputs.items():
        if each["dates"] < 2:
            continue
        chips = samples if isinstance(samples, ChipSet) else samples.sets[name]
        unknown = np.asarray(chips.times(chips.ids)) < EARLIEST_S
        if unknown.any():
            faults.append(
                f"{int(unknown.any(axis=1).sum())} of {len(chips)} chips of '{name}' have dates that are not known, "
                f"and time: {network.spec.time} reads them. "
                "What to do: cut them from scenes with dates, or set time to pool."
            )
    return faults
