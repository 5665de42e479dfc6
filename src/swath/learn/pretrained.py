"""Weights of an earlier model in the backbones of a new one: which fit, what became of each band, and in what unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from swath import units
from swath.errors import ConfigError, InputError, nearest
from swath.learn.checkpoint import BEST_FIRST, Task, load_checkpoint
from swath.learn.model_task import ModelTask
from swath.nn import Network, Normalise, UNet
from swath.nn.joint import JointNetwork
from swath.sensors import BandSet
from swath.weights import LoadReport, fill, is_name, names

SCALED = ("reflectance", "radiance", "backscatter", "brightness_temperature", "temperature", "colour")
"""Kinds of bands whose spread hardly depends on the place; that of heights does."""
_LARGEST_RATIO = 20.0
_LARGEST_STEP = 10.0


def source_task(pretrained: str) -> Task:
    """The trained model that a path names.

    Raises:
        ConfigError: it is neither a folder nor the name of an encoder.
        InputError: the checkpoint is damaged.
    """
    path = Path(pretrained)
    if not path.exists():
        raise ConfigError(
            f"'pretrained' is '{pretrained}', and there is no such folder",
            expected=f"the folder of a trained model, or one of {', '.join(names())}",
            remedy=f"the nearest name is {nearest(pretrained, names(), 1)}",
        )
    return load_checkpoint(next((path / name for name in BEST_FIRST if (path / name).is_dir()), path))


def fill_backbones(
    network: JointNetwork, bands: Mapping[str, BandSet], source: Task, pretrained: str
) -> dict[str, LoadReport]:
    """Put the backbone of a trained model into those of a network, in place; the head keeps its start.

    The first convolution follows the bands by name and wavelength: a band that the model did not know starts at 0.

    Args:
        network: to be filled.
        bands: bands of each input of it.
        source: the trained model.
        pretrained: what it was called, for sentences and the report.

    Returns:
        What was loaded, by branch.

    Raises:
        InputError: the backbone is of another family or size.
    """
    tensors = backbone_tensors(source)
    known = _bands_of(source)
    reports = {}
    for name, branch in network.branches().items():
        if branch.backbone is None:
            continue
        wanted = bands.get(name) if branch.series is None else None
        adapted, told = _with_bands(tensors, branch.backbone, known, wanted)
        reports[name] = fill(
            branch.backbone,
            adapted,
            name=network.spec.backbone,
            source=pretrained,
            verified=True,
            bands=told,
            strict=False,
        )
    if not reports:
        raise ConfigError(
            "'pretrained' was given, and the network has no backbone",
            expected="a backbone to fill",
            remedy="leave 'pretrained' out, or name a backbone",
        )
    return reports


def backbone_tensors(source: Task) -> dict[str, Tensor]:
    """The weights of the backbone of a trained model, by the names of the backbone alone.

    Raises:
        InputError: it has no backbone for images of its own.
    """
    network: nn.Module = source.network
    if isinstance(network, UNet):
        found: nn.Module | None = network.encoder
    elif isinstance(network, Network):
        found = network.backbone
    else:
        branches = network.branches() if isinstance(network, JointNetwork) else {}
        found = next(iter(branches.values())).backbone if branches else None
    if found is None:
        raise InputError(
            f"The trained model is a {type(network).__name__} without a backbone for images",
            expected="a model with a backbone, such as swath train makes",
            remedy="choose another model",
        )
    return dict(found.state_dict())


def check_statistics(bands: BandSet, normalise: Normalise, source: Task, pretrained: str) -> None:
    """Refuse data whose numbers are of another unit or sensor than those that a model was trained on.

    Args:
        bands: of an input of the data.
        normalise: statistics of these bands over the train split.
        source: the trained model.
        pretrained: what it was called.

    Raises:
        InputError: the unit of a band differs, or its mean or spread by so much that it cannot be the same quantity.
    """
    for known, theirs in _statistics_of(source):
        match = known.match(bands)
        for place, index in enumerate(match.indices):
            if index is None:
                continue
            ours, band = bands[place], known[index]
            here = (float(normalise.mean[place]), float(normalise.std[place]))
            there = (float(theirs.mean[index]), float(theirs.std[index]))
            same = units.canonical(ours.unit) == units.canonical(band.unit)
            if not same or strange(ours.kind, here, there):
                raise InputError(
                    f"The band '{ours.name}' has mean {here[0]:.4g} and standard deviation {here[1]:.4g} in the unit "
                    f"'{ours.unit}', and '{pretrained}' was trained on mean {there[0]:.4g} and standard deviation "
                    f"{there[1]:.4g} in the unit '{band.unit}'",
                    expected="numbers of the same sensor and unit",
                    remedy="convert the data to that unit (name sensor and level when cutting the chips), or train "
                    "without 'pretrained'",
                )


def strange(kind: str, here: tuple[float, float], there: tuple[float, float]) -> bool:
    """Whether two (mean, standard deviation) can hardly be those of one quantity in one unit."""
    large, small = max(here[1], there[1]), min(here[1], there[1])
    if abs(here[0] - there[0]) > _LARGEST_STEP * large:
        return True
    return kind in SCALED and large > _LARGEST_RATIO * small


def check_no_backbone(backbone_given: bool, pretrained: str, backbone: str) -> None:
    """Refuse a backbone beside a published encoder, which is one.

    Raises:
        ConfigError: both were given.
    """
    if is_name(pretrained) and backbone_given:
        raise ConfigError(
            f"The backbone is '{backbone}' and 'pretrained' is '{pretrained}', which is another family",
            expected=f"the weights of a '{backbone}', or '{pretrained}' as the backbone",
            remedy=f"leave the backbone out to train a head on '{pretrained}', or leave 'pretrained' out",
        )


def _bands_of(source: Task) -> BandSet:
    return next(iter(source.inputs.values()))


def _statistics_of(source: Task) -> list[tuple[BandSet, Normalise]]:
    if not isinstance(source, ModelTask):
        return [(source.bands, source.normalise)]
    if source.intake is None:
        return []
    found = []
    for name, bands in source.inputs.items():
        normalise = source.intake.normalise[name]
        assert isinstance(normalise, Normalise)  # the intake holds nothing else
        found.append((bands, normalise))
    return found


def _with_bands(
    tensors: Mapping[str, Tensor], backbone: nn.Module, known: BandSet, wanted: BandSet | None
) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """The tensors with the first convolution turned to the wanted bands, and what became of each band."""
    stem = next((name for name, value in backbone.state_dict().items() if value.ndim == 4), None)
    stored = tensors.get(stem) if stem is not None else None
    if wanted is None or stem is None or stored is None or stored.ndim != 4 or stored.shape[1] != len(known):
        return dict(tensors), []
    indices = known.match(wanted).indices
    turned = torch.zeros(stored.shape[0], len(wanted), *stored.shape[2:], dtype=stored.dtype)
    told = []
    for place, (band, index) in enumerate(zip(wanted, indices, strict=True)):
        if index is not None:
            turned[:, place] = stored[:, index]
        told.append((band.name, "new: starts at 0" if index is None else f"{known[index].name} of the model"))
    if all(index is None for index in indices):
        raise InputError(
            f"The model knows the bands {', '.join(known.names)}, and the data have {', '.join(wanted.names)}",
            expected="at least one band in common, by name, alias or wavelength",
            remedy="choose a model for these bands, or train without 'pretrained'",
        )
    return {**tensors, stem: turned}, told
