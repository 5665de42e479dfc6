"""Take a pretrained encoder out of its checkpoint and put it under a head.

Bands are matched by name, alias or wavelength. A band of pretraining that the new data lack loses its column of the
patch embedding, which is the same as feeding its mean, 0; a band that pretraining did not have is left out and named.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swath.errors import ConfigError, InputError
from swath.learn.objectives.masked import MaskedReconstruction, load_masked
from swath.learn.objectives.under_head import Encoder, PretrainedNetwork
from swath.nn import Normalise
from swath.nn.grouped import GroupedAutoencoder, GroupedEncoder
from swath.nn.masked_autoencoder import SpaceTimeEncoder
from swath.nn.network import Head
from swath.sensors import BandSet
from swath.weights import LoadReport, fill

__all__ = [
    "Pretrained",
    "PretrainedNetwork",
    "encoder_arguments",
    "pretrained_encoder",
    "pretrained_network",
]


@dataclass(frozen=True)
class Pretrained:
    """A network whose encoder is pretrained, and what belongs to it.

    Args:
        network: encoder with weights, head without.
        normalise: the statistics of pretraining, which the encoder expects, for ``bands``.
        bands: the bands to read, as the new data name them, in the order of the network.
        report: what was loaded, band by band.
    """

    network: PretrainedNetwork
    normalise: Normalise
    bands: BandSet
    report: LoadReport


def pretrained_network(
    source: MaskedReconstruction | Path | str,
    bands: BandSet,
    outputs: int,
    *,
    head: Head = "upernet",
    head_width: int = 128,
) -> Pretrained:
    """A network for segmentation, classification or regression whose encoder is pretrained.

    Args:
        source: the objective or the folder of its checkpoint.
        bands: the bands on offer.
        outputs: classes, labels or quantities.
        head: ``vector`` for numbers per sample, the others for numbers per pixel.
        head_width: channels inside a pyramid or head.

    Raises:
        InputError: no band of pretraining is on offer, or the checkpoint cannot be read.
        ConfigError: a number is out of range or the head unknown.
    """
    task = source if isinstance(source, MaskedReconstruction) else load_masked(source)
    encoder, used, report = pretrained_encoder(task, bands)
    network = PretrainedNetwork(encoder_arguments(encoder), outputs, head, head_width)
    network.encoder.load_state_dict(encoder.state_dict())
    kept = [place for place, found in enumerate(bands.match(task.bands).indices) if found is not None]
    mean, std = task.normalise.mean.cpu()[kept].tolist(), task.normalise.std.cpu()[kept].tolist()
    return Pretrained(network, Normalise(mean, std, names=used.names), used, report)


def pretrained_encoder(
    source: MaskedReconstruction | Path | str, bands: BandSet
) -> tuple[Encoder, BandSet, LoadReport]:
    """The encoder of a pretrained network for other bands.

    Args:
        source: the objective or the folder of its checkpoint.
        bands: the bands on offer.

    Returns:
        The encoder with feature maps from each quarter of its depth; the bands it wants, as they were offered, in the
        order of pretraining; and what was loaded.

    Raises:
        InputError: no band of pretraining is on offer, or the checkpoint cannot be read.
    """
    task = source if isinstance(source, MaskedReconstruction) else load_masked(source)
    name = "the objective" if isinstance(source, MaskedReconstruction) else str(source)
    match = bands.match(task.bands)
    kept = [place for place, found in enumerate(match.indices) if found is not None]
    if not kept:
        raise InputError(
            f"None of the bands {', '.join(bands.names)} is one of pretraining",
            expected=f"some of {', '.join(task.bands.names)}, by name, alias or wavelength",
            remedy="name the sensor of the data, or pretrain on these bands",
        )
    encoder, tensors = _cut_to(task, kept)
    resize = {key: _columns_of(task, kept, key) for key in tensors if key.endswith("weight") and tensors[key].ndim > 3}
    used = BandSet(tuple(bands[index] for index in match.indices if index is not None))
    report = fill(
        encoder, tensors, name="the pretrained encoder", source=name, verified=False, bands=_rows(task, bands),
        resize=resize,
    )  # fmt: skip
    return encoder.eval(), used, report


def encoder_arguments(encoder: Encoder) -> dict[str, Any]:
    """What ``build_encoder`` takes."""
    return asdict(encoder.spec)


def _cut_to(task: MaskedReconstruction, kept: list[int]) -> tuple[Encoder, dict[str, Tensor]]:
    """An encoder of the kept bands with fresh weights, and the stored tensors by its names."""
    stored = task.model.encoder.state_dict()
    if not isinstance(task.model, GroupedAutoencoder):
        spec = task.model.spec
        # A scene is seldom a multiple of the patch, and nothing is judged in the padding.
        return SpaceTimeEncoder(replace(spec, bands=len(kept), border="pad", taps=_quarters(spec.depth))), stored
    whole = task.model.encoder_spec
    groups = [[kept.index(band) for band in group if band in kept] for group in whole.groups]
    left = [number for number, group in enumerate(groups) if group]
    codes = tuple(whole.group_codes[number] for number in left)
    cut = replace(
        whole,
        bands=len(kept),
        groups=tuple(tuple(groups[number]) for number in left),
        group_codes=codes,
        taps=_quarters(whole.depth),
    )
    tensors: dict[str, Tensor] = {}
    for key, value in stored.items():
        first, _, rest = key.partition(".")
        number, _, kind = rest.partition(".")
        if first != "project":
            tensors[key] = value
        elif int(number) in left:
            tensors[f"project.{left.index(int(number))}.{kind}"] = value
    return GroupedEncoder(cut), tensors


def _columns_of(task: MaskedReconstruction, kept: list[int], key: str) -> Any:
    """Function that takes the columns of the kept bands out of a patch embedding."""
    if isinstance(task.model, GroupedAutoencoder):
        groups = [group for group in task.model.encoder_spec.groups if any(band in kept for band in group)]
        group = groups[int(key.split(".")[1])]
        columns = [position for position, band in enumerate(group) if band in kept]
    else:
        columns = kept

    def take(stored: Tensor, shape: tuple[int, ...]) -> Tensor:
        found = stored[:, torch.tensor(columns)]
        if tuple(found.shape) != shape:
            raise ConfigError(
                f"The columns of '{key}' have shape {tuple(found.shape)}", expected=str(shape), remedy="report this"
            )
        return found

    return take


def _rows(task: MaskedReconstruction, bands: BandSet) -> list[tuple[str, str]]:
    """For the report: where every band comes from, or why it is not used."""
    match = bands.match(task.bands)
    rows: list[tuple[str, str]] = []
    for wanted, index, how in zip(task.bands, match.indices, match.how, strict=True):
        found = f"{wanted.name} of pretraining, by {how}" if index is not None else "absent: its column was dropped"
        rows.append((bands[index].name if index is not None else wanted.name, found))
    used = {index for index in match.indices if index is not None}
    rows += [
        (band.name, "new: pretraining had no such band, left out")
        for position, band in enumerate(bands)
        if position not in used
    ]
    return rows


def _quarters(depth: int) -> tuple[int, ...]:
    """The last block of each quarter of the depth."""
    return tuple(sorted({max(depth * part // 4 - 1, 0) for part in (1, 2, 3, 4)}))
