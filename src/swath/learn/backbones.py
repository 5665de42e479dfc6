"""Published encoders as backbones that learn: Prithvi and SatMAE++ under any head, with every way of tuning.

Bands are matched by name, alias or wavelength; values are scaled by the published statistics, in the unit of the chips;
what is missing is the published mean. Everything becomes part of the checkpoint, which needs no other file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from swath.learn.intake import Intake
from swath.learn.objectives.under_head import Dates
from swath.learn.reproduce import seeded
from swath.learn.transferred import TransferredNetwork
from swath.models import prithvi, satmaepp
from swath.models.backbones import LEVELS, RANDOM, PublishedOptions, Served, serve, spec_of
from swath.models.prithvi_bands import New
from swath.nn import Normalise
from swath.nn.grouped import GroupedSpec
from swath.nn.network import Head
from swath.sensors import BandSet
from swath.weights import entry, find

Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """What a backbone is made of.

    Args:
        name: one of ``NAMES``.
        options: what differs from the published size.
        weights: file or folder of weights, ``random``, or None to find or fetch the published ones.
    """

    name: str
    options: PublishedOptions
    weights: str | None = None


@dataclass(frozen=True)
class Top:
    """What lies on the backbone.

    Args:
        outputs: numbers of the head.
        head: kind.
        head_width: channels inside a pyramid or head.
        join: how dates are joined.
    """

    outputs: int
    head: Head
    head_width: int
    join: Dates


def on_published(
    source: Source,
    name: str,
    offered: BandSet,
    dates: int,
    top: Top,
    measured: Mapping[str, tuple[float, float]],
    *,
    seed: int,
) -> tuple[TransferredNetwork, Intake, Served]:
    """A network on a published encoder, whose weights are still random, and what it reads.

    Args:
        source: which encoder.
        name: of the input.
        offered: its bands.
        dates: of a sample.
        top: what lies on it.
        measured: see ``serve``.
        seed: of the first weights.

    Raises:
        InputError: no band fits.
        ConfigError: a number is out of range.
    """
    known = entry(source.name)
    served = serve(known, offered, source.options.new_bands, measured)
    spec = spec_of(source.name, source.options, served.fresh)
    many = isinstance(spec, GroupedSpec) and len(spec.groups) > 1
    reading = {
        "slots": served.slots,
        "levels": LEVELS if many else 0,
        "masked": True,
        "told": bool(getattr(spec, "conditions", ())),
    }
    with seeded(seed, "initialise"):
        network = TransferredNetwork(
            {name: {"bands": len(served.bands), "dates": dates}},
            top.outputs,
            asdict(spec),
            head=top.head,
            head_width=top.head_width,
            join=top.join,
            reading=reading,
            origin=source.name,
        )
    with torch.device("cpu"):  # numbers, also where the network has no memory
        normalise = Normalise(list(served.mean), list(served.std), names=served.bands.names)
    intake = Intake({name: served.bands}, {name: normalise}, {name: dates}, needs_places=network.needs_places)
    return network, intake, served


def fill_published(network: TransferredNetwork, source: Source, served: Served, say: Say) -> None:
    """Put the published weights in, and say what went where.

    Raises:
        InputError: the file holds weights of another family or size.
        MissingError: the weights are nowhere.
    """
    if source.weights == RANDOM:
        say("\n".join([_warning(source.name, served), *_told(network)]))
        return
    known, spec = entry(source.name), spec_of(source.name, source.options)
    # A file that the user names may be one of fine-tuning, without the decoder or with other conditions.
    strict = source.weights is None
    found = find(known, source.weights, strict=strict, say=say)
    encoder: nn.Module
    if isinstance(spec, GroupedSpec):
        encoder, report = satmaepp.load_encoder(known, found.path, verified=found.verified, strict=strict, spec=spec)
    else:
        new: New = "mean" if source.options.new_bands == "mean" else "zero"
        wanted = None
        if served.fresh:
            wanted = BandSet((*known.band_set, *list(served.bands)[len(served.bands) - served.fresh :]))
        encoder, report = prithvi.load_encoder(
            known, found.path, verified=found.verified, strict=strict, spec=spec, bands=prithvi.Bands(wanted, new)
        )
    network.body.encoder = encoder
    notes = (*report.notes, *_told(network))
    say(str(replace(report, bands=served.rows, notes=notes)))


def _warning(name: str, served: Served) -> str:
    rows = "\n".join(f"band {band}: {where}" for band, where in served.rows)
    return (
        f"WARNING: '{name}' starts from RANDOM numbers, because weights is '{RANDOM}': nothing of what was published "
        f"is in it but its shape and its statistics.\n{rows}"
    )


def _told(network: TransferredNetwork) -> list[str]:
    """What the encoder is told of the samples."""
    conditions = network.conditions
    if not conditions:
        return []
    return [
        f"{' and '.join(conditions)} of the chips enter; where a chip has no date or lies nowhere on Earth, nothing of "
        "the kind is added to its tokens"
    ]
