"""Prithvi: published weights into networks.

Jakubik et al., arXiv 2310.18660 (version 1), and Szwarcman et al., arXiv 2412.02732 (version 2): a masked autoencoder
of image series, written anew in ``swath.nn``. ``load_autoencoder`` gives the whole of it for further pretraining and
tuning, for the published bands or others; ``swath.load`` gives the frozen encoder with its preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, InputError
from swath.models.instageo_keys import encoder_of
from swath.models.prithvi_bands import New, kernel_for
from swath.models.prithvi_keys import DECODER, ENCODER, depth_of, house_tensors
from swath.models.sizes import PRITHVI
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec, SpaceTimeEncoder
from swath.sensors import BandSet
from swath.weights import Entry, LoadReport, entry, fill, find, read_tensors

KERNEL = "embed.weight"
SCALES = ("time.scale", "place.scale")
_FIXED = (
    *("bands", "patch", "width", "depth", "heads", "mlp_ratio", "epsilon"),
    *("decoder_width", "decoder_depth", "decoder_heads"),
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Bands:
    """Which bands a network shall take.

    Args:
        wanted: the bands, or None for the published ones.
        new: what a band without a published counterpart gets; see ``prithvi_bands.New``.
        inflate: keep the size of the sum over bands; see ``prithvi_bands.kernel_for``.
    """

    wanted: BandSet | None = None
    new: New = "refuse"
    inflate: bool = False


@dataclass(frozen=True)
class _Source:
    """A file and what is asked of it."""

    entry: Entry
    path: Path
    verified: bool
    strict: bool
    bands: Bands
    spec: MaskedAutoencoderSpec | None = None

    @property
    def size(self) -> MaskedAutoencoderSpec:
        """The size that the file has to have."""
        return self.spec or _published(self.entry)


def load_autoencoder(
    name: str,
    path: Path | str | None = None,
    *,
    bands: Bands | None = None,
    spec: MaskedAutoencoderSpec | None = None,
    fetch: bool = True,
    strict: bool = True,
    say: Say | None = None,
) -> tuple[MaskedAutoencoder, LoadReport]:
    """Encoder and decoder with published weights, ready to learn.

    With other bands the decoder's last layer, which predicts the published bands, starts anew.

    Args:
        name: one of ``sizes.PRITHVI``.
        path: the file or its folder; else it is looked for under $SWATH_DATA and in the cache, and fetched.
        bands: what the network shall take.
        spec: the published size with other taps, border, positions, conditions and the like:
            ``replace(sizes.PRITHVI[name], taps=sizes.TAPS[24])``.
        fetch: whether the file may be downloaded.
        strict: every weight has to be in the file and used. Otherwise 90 % of the encoder are enough.
        say: called with the report and with what is lost.

    Raises:
        InputError: no such encoder, weights of another family or size, damaged ones, or bands that nothing serves.
        ConfigError: ``spec`` changes what the weights fix.
        MissingError: the weights are nowhere and cannot be fetched.
    """
    known = entry(name)
    published = _published(known)
    chosen = spec or published
    _check_spec(name, chosen, published)
    found = find(known, path, fetch=fetch, strict=strict, say=say)
    source = _Source(known, found.path, found.verified, strict, bands or Bands())
    wanted = source.bands.wanted
    network = MaskedAutoencoder(chosen if wanted is None else replace(chosen, bands=len(wanted)))
    tensors = _tensors(source)
    encoder = _fill_encoder(network.encoder, tensors, source)
    decoder = _fill_decoder(network.decoder, tensors, source)
    report = _joined(encoder, decoder)
    if say:
        say(str(report))
    return network, report


def load_encoder(
    known: Entry,
    path: Path,
    *,
    verified: bool,
    strict: bool,
    spec: MaskedAutoencoderSpec | None = None,
    bands: Bands | None = None,
) -> tuple[SpaceTimeEncoder, LoadReport]:
    """The encoder alone with the weights of a file that was found; those of the decoder stay unused.

    Args:
        known: the encoder.
        path: the file.
        verified: whether its checksum agrees.
        strict: every weight of the encoder has to be in the file.
        spec: another size, border and the like, for the published bands; the published one when None.
        bands: what the network shall take.

    Raises:
        InputError: weights of another family or size, or damaged ones.
    """
    source = _Source(known, path, verified, strict, bands or Bands(), spec)
    tensors = _tensors(source)
    wanted = source.bands.wanted
    network = SpaceTimeEncoder(source.size if wanted is None else replace(source.size, bands=len(wanted)))
    report = _fill_encoder(network, tensors, source)
    decoder = tuple(name for name in tensors if name.startswith(DECODER))
    return network, replace(report, unused=(*report.unused, *decoder))


def _published(known: Entry) -> MaskedAutoencoderSpec:
    if known.name not in PRITHVI:
        raise InputError(
            f"'{known.name}' is of the family '{known.family}'",
            expected=f"one of {', '.join(PRITHVI)}",
            remedy="load it with swath.load",
        )
    return PRITHVI[known.name]


def _check_spec(name: str, chosen: MaskedAutoencoderSpec, published: MaskedAutoencoderSpec) -> None:
    """Refuse what would fit by shape and still be another network, such as other numbers of heads."""
    for field in _FIXED:
        if getattr(chosen, field) != getattr(published, field):
            raise ConfigError(
                f"'{field}' is {getattr(chosen, field)}",
                expected=f"{getattr(published, field)}, with which the weights of '{name}' were trained",
                remedy="change taps, border, positions, conditions, dates or drop_path alone; bands by the argument",
            )


def _tensors(source: _Source) -> dict[str, Tensor]:
    """The tensors of a file by our names.

    Raises:
        InputError: they are those of another family or size.
    """
    name = source.entry.name
    read = encoder_of(read_tensors(source.path))
    tensors = house_tensors(read, name=name, source=str(source.path))
    kernel, spec = tensors[ENCODER + KERNEL], source.size
    width, depth, patch = int(kernel.shape[0]), depth_of(tensors), tuple(kernel.shape[2:])
    if (width, depth, patch) != (spec.width, spec.depth, spec.patch):
        same = [
            other for other, size in PRITHVI.items() if (width, depth, patch) == (size.width, size.depth, size.patch)
        ]
        raise InputError(
            f"'{source.path}' holds an encoder of {depth} blocks of width {width} for patches of {patch}"
            + (f", the size of {', '.join(same)}" if same else ""),
            expected=f"{spec.depth} blocks of width {spec.width} for patches of {spec.patch}, the size of '{name}'",
            remedy=f"load it as '{same[0]}'" if same else "give the file of this encoder",
        )
    return tensors


def _fill_encoder(network: SpaceTimeEncoder, tensors: Mapping[str, Tensor], source: _Source) -> LoadReport:
    given = _under(tensors, ENCODER)
    published = source.entry.band_set
    told = {item.name: item.published for item in source.entry.bands}
    rows = [(name, f"{told[name]} of the weights") for name in published.names]
    if source.bands.wanted is not None:
        given[KERNEL], rows = kernel_for(
            given[KERNEL], published, source.bands.wanted, new=source.bands.new, inflate=source.bands.inflate
        )
    return _fill(network, given, source, ENCODER, rows, source.strict)


def _fill_decoder(network: nn.Module, tensors: Mapping[str, Tensor], source: _Source) -> LoadReport:
    given = _under(tensors, DECODER)
    if source.bands.wanted is None:
        if not given and not source.strict:
            return _untouched(network, source)
        return _fill(network, given, source, DECODER, (), source.strict)
    kept = {name: tensor for name, tensor in given.items() if not name.startswith("predict.")}
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("predict.")}
    report = _fill(network, kept | own, source, DECODER, (), source.strict)
    new = tuple(DECODER + name for name in own)
    unused = tuple(DECODER + name for name in given if name not in kept)
    fresh = sum(tensor.numel() for tensor in own.values())
    return replace(
        report,
        used=tuple(name for name in report.used if name not in new),
        new=(*report.new, *new),
        unused=(*report.unused, *unused),
        numbers=(report.numbers[0], report.numbers[1] - fresh),
    )


def _fill(
    network: nn.Module,
    given: dict[str, Tensor],
    source: _Source,
    part: str,
    rows: Sequence[tuple[str, str]],
    strict: bool,
) -> LoadReport:
    """Fill a part; encodings of time and place may be absent or too many, which the report tells."""
    own = network.state_dict()
    lost = [name for name in SCALES if name in given and name not in own]
    absent = [name for name in SCALES if name in own and name not in given]
    given = {name: tensor for name, tensor in given.items() if name not in lost}
    # With a factor of 0 the network gives what the file's own network gives, and can still learn the factor.
    given |= {name: torch.zeros(1) for name in absent}
    report = fill(
        network,
        given,
        name=source.entry.name,
        source=str(source.path),
        verified=source.verified,
        bands=rows,
        strict=strict,
    )
    new = [name for name in absent if name in report.used]
    notes = []
    if lost:
        notes.append(f"{part[:-1]}: the file knows time and place, this network does not: that is lost")
    if new:
        notes.append(f"{part[:-1]}: the file knows neither time nor place: they are without effect until trained")
    return replace(
        report,
        used=tuple(part + name for name in report.used if name not in new),
        resized=tuple((part + name, old, made) for name, old, made in report.resized),
        new=tuple(part + name for name in (*report.new, *new)),
        unused=tuple(part + name for name in (*report.unused, *lost)),
        numbers=(report.numbers[0], report.numbers[1] - len(new)),
        notes=tuple(notes),
    )


def _untouched(network: nn.Module, source: _Source) -> LoadReport:
    own = network.state_dict()
    numbers = (sum(tensor.numel() for tensor in own.values()), 0)
    new = tuple(DECODER + name for name in own)
    note = "decoder: the file has none, it starts anew"
    return LoadReport(source.entry.name, str(source.path), source.verified, (), (), (), new, (), numbers, (note,))


def _joined(first: LoadReport, second: LoadReport) -> LoadReport:
    return replace(
        first,
        used=(*first.used, *second.used),
        resized=(*first.resized, *second.resized),
        new=(*first.new, *second.new),
        unused=(*first.unused, *second.unused),
        numbers=(first.numbers[0] + second.numbers[0], first.numbers[1] + second.numbers[1]),
        notes=(*first.notes, *second.notes),
    )


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
