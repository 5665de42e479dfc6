"""Published encoders with their weights, by name.

``load("presto")`` gives an ``Encoder``: ``encode(batch)`` turns a batch in physical units into embeddings, whatever
part of its bands the batch holds. See docs/weights.md.
"""

from __future__ import annotations

from pathlib import Path

from swath.models._parts import house_names
from swath.models.encoder import Embeddings, Encoder, require_version
from swath.models.galileo import GalileoEncoder
from swath.models.galileo_patches import GalileoPatches, PatchOptions
from swath.models.presto import Presto
from swath.models.presto_pixels import PrestoPixels
from swath.models.prithvi import load_encoder
from swath.models.prithvi_patches import PrithviOptions, PrithviPatches
from swath.models.satmaepp import load_encoder as load_satmaepp
from swath.models.satmaepp_patches import SatMaeOptions, SatMaePatches
from swath.weights import Entry, LoadReport, entry, fill, find, read_tensors
from swath.weights.download import Progress
from swath.weights.fetch import Say

__all__ = [
    "Embeddings",
    "Encoder",
    "GalileoPatches",
    "PatchOptions",
    "PrestoPixels",
    "PrithviOptions",
    "PrithviPatches",
    "PublishedEncoder",
    "SatMaeOptions",
    "SatMaePatches",
    "load",
    "require_version",
]

PublishedEncoder = PrestoPixels | GalileoPatches | PrithviPatches | SatMaePatches
"""What ``load`` gives."""


def load(
    name: str,
    path: Path | str | None = None,
    *,
    fetch: bool = True,
    strict: bool = True,
    progress: Progress | None = None,
    say: Say | None = None,
) -> PublishedEncoder:
    """A published encoder with its weights, frozen.

    Args:
        name: see ``swath.weights.names()``.
        path: the file of weights or its folder; else it is looked for under $SWATH_DATA and in the cache, and fetched.
        fetch: whether it may be downloaded.
        strict: the file has to be the published one, and to fill exactly the network. Otherwise other weights of the
            same family are taken, as long as they fill 90 % of it; the report tells what is new.
        progress: called with (bytes so far, bytes in all or None) during a download.
        say: called with lines of text, the load report among them.

    Raises:
        InputError: no such name, a checksum that does not agree, weights of another family or damaged ones.
        MissingError: the weights are nowhere and cannot be fetched.
    """
    known = entry(name)
    found = find(known, path, fetch=fetch, strict=strict, progress=progress, say=say)
    if known.family == "presto":
        series = Presto()
        report = _filled(known, series, found.path, verified=found.verified, strict=strict)
        made: PublishedEncoder = PrestoPixels(known, series, report)
    elif known.family == "prithvi":
        tokens, report = load_encoder(known, found.path, verified=found.verified, strict=strict)
        made = PrithviPatches(known, tokens, report)
    elif known.family == "satmaepp":
        groups, report = load_satmaepp(known, found.path, verified=found.verified, strict=strict)
        made = SatMaePatches(known, groups, report)
    else:
        patches = GalileoEncoder()
        report = _filled(known, patches, found.path, verified=found.verified, strict=strict)
        made = GalileoPatches(known, patches, report)
    if say:
        say(str(report))
    return made


def _filled(known: Entry, network: Presto | GalileoEncoder, path: Path, *, verified: bool, strict: bool) -> LoadReport:
    bands = [(band.name, f"{band.published} of the weights, group {band.group}") for band in known.bands]
    tensors = house_names(read_tensors(path))
    return fill(network, tensors, name=known.name, source=str(path), verified=verified, bands=bands, strict=strict)
