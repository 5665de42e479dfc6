"""Networks and bands as JSON values, and back."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from swath.errors import ContractError, InputError, nearest
from swath.nn import adapt
from swath.sensors import Band, BandSet

ARCHITECTURES = {
    "unet": "swath.nn.unet:UNet",
    "network": "swath.nn.network:Network",
    "joint": "swath.nn.joint:JointNetwork",
    "published": "swath.learn.published:PublishedNetwork",
    "transferred": "swath.learn.transferred:TransferredNetwork",
    "pretrained_encoder": "swath.learn.objectives.under_head:PretrainedNetwork",
}
"""Name in a checkpoint -> ``module:class``. The class keeps its constructor arguments as a dataclass in ``spec``."""
TUNING = "tuned_by"
"""Attribute of a network that was adapted: the arguments of ``adapt``."""


def architecture_of(network: nn.Module) -> dict[str, Any]:
    """Name and constructor arguments of a network.

    Raises:
        ContractError: the class is not in ``ARCHITECTURES`` or has no ``spec``.
    """
    path = f"{type(network).__module__}:{type(network).__qualname__}"
    names = [name for name, known in ARCHITECTURES.items() if known == path]
    spec = getattr(network, "spec", None)
    if not names or not dataclasses.is_dataclass(spec) or isinstance(spec, type):
        raise ContractError(
            f"The network {path} cannot be written to a checkpoint",
            expected=f"one of the architectures {', '.join(ARCHITECTURES)}, with its arguments in 'spec'",
            remedy="add one line to swath.learn.record.ARCHITECTURES and a dataclass 'spec' to the network",
        )
    record = {"name": names[0], "arguments": dataclasses.asdict(spec)}
    tuning = getattr(network, TUNING, None)
    return record if tuning is None else {**record, "tuning": dict(tuning)}


def tune(network: nn.Module, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """``swath.nn.adapt``, remembered by the network, so that a checkpoint rebuilds what was added.

    Args:
        network: as built or loaded.
        arguments: those of ``adapt``, as JSON values, with ``kind``.

    Returns:
        Names of the parameters that learn.

    Raises:
        ConfigError: as ``adapt``.
    """
    learning = adapt(network, **arguments)
    setattr(network, TUNING, dict(arguments))
    return learning


def build_network(architecture: Mapping[str, Any], where: str) -> nn.Module:
    """A network with fresh weights from ``{"name", "arguments"}``.

    Raises:
        InputError: the name or an argument is unknown, or an argument is missing.
    """
    name, arguments = str(architecture["name"]), architecture["arguments"]
    if name not in ARCHITECTURES:
        raise InputError(
            f"{where}: the architecture '{name[:40]}' is unknown",
            expected=f"one of {', '.join(ARCHITECTURES)}",
            remedy=f"the nearest is {nearest(name, ARCHITECTURES, 1)}; a newer swath may know '{name}'",
        )
    module, _, attribute = ARCHITECTURES[name].partition(":")
    kind: type[nn.Module] = getattr(importlib.import_module(module), attribute)
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"{where}: the arguments {str(arguments)[:200]} do not fit the architecture '{name}' ({error})",
            expected=f"the arguments {inspect.signature(kind)}",
            remedy="use the swath version that wrote the file, named in it under 'versions'",
        ) from error
    network = kind(**arguments)
    if architecture.get("tuning") is not None:
        tune(network, architecture["tuning"])
    return network


def bands_to_records(bands: BandSet) -> list[dict[str, Any]]:
    """One JSON object per band."""
    return [dataclasses.asdict(band) | {"aliases": list(band.aliases)} for band in bands]


def bands_from_records(records: Sequence[Mapping[str, Any]], where: str) -> BandSet:
    """A band set from its JSON objects.

    Raises:
        InputError: a record has a field that bands do not have, or no name.
    """
    known = [field.name for field in dataclasses.fields(Band)]
    for record in records:
        unknown = [key for key in record if key not in known]
        if unknown or "name" not in record:
            raise InputError(
                f"{where}: the band {record.get('name', dict(record))} has "
                + (f"the unknown fields {', '.join(unknown)}" if unknown else "no name"),
                expected=f"a name and the fields {', '.join(known)}",
                remedy="use the swath version that wrote the file, named in it under 'versions'",
            )
    return BandSet(tuple(Band(**{**record, "aliases": tuple(record.get("aliases", ()))}) for record in records))
