"""SatMAE++: masked autoencoders that also make finer images up, for groups of Sentinel-2 bands and for colour images.

Noman et al., "Rethinking transformers pre-training for multi-spectral satellite imagery", CVPR 2024, arXiv 2403.05419;
code and names of weights at github.com/techmn/satmae_pp (Apache-2.0). The parts are ``nn.grouped`` and
``nn.multiscale``; this module has the published sizes, the order of the published bands, and the names of the weights.
Two things are easily got wrong. The colour model was trained on blue, green, red, in this order. And the grouped model
compares predictions with bands in another order than its groups say, see ``nn.grouped``; only its reconstructions need
to know, its encoder does not.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from swath import sensors
from swath.errors import InputError, nearest
from swath.nn.band_groups import find_groups, positions
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedEncoder, GroupedSpec
from swath.sensors import Band, BandSet
from swath.weights import Entry, LoadReport, entry, fill, find, read_tensors
from swath.weights.catalogue import family_of

if TYPE_CHECKING:
    from torch import Tensor

GROUPS = (("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A"), ("B11", "B12"))
"""Groups of Sentinel-2 bands: visible and near infrared at 10 m, red edge, short-wave infrared."""
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Their published order: the 13 bands without B01, B09 and B10."""
COLOURS = BandSet(tuple(Band(name, kind="colour") for name in ("blue", "green", "red")))
"""Order of the colours, as published."""
NAMES = ("satmaepp_vitl_grouped", "satmaepp_vitl_rgb")
"""The published sizes."""
SIDES = {"satmaepp_vitl_grouped": 96, "satmaepp_vitl_rgb": 224}
"""Side in pixels of the coarsest image, which the encoder sees."""

_NAMES: tuple[tuple[str, str], ...] = (
    (r"^patch_embed\.(\d+)\.proj\.", r"encoder.project.\1."),
    (r"^patch_embed\.proj\.", "encoder.project.0."),
    (r"^cls_token$", "encoder.class_token"),
    (r"^blocks\.", "encoder.blocks."),
    (r"^norm\.", "encoder.norm."),
    (r"^decoder_embed\.", "embed."),
    (r"^mask_token$", "blank"),
    (r"^decoder_blocks\.", "blocks."),
    (r"^decoder_norm\.", "norm."),
    (r"^decoder_pred\.(\d+)\.", r"predict.\1."),
    (r"^decoder_pred\.", "predict.0."),
    (r"^proj_up_conv\.", "head.expand."),
    (r"^proj_up_norm\.", "head.expand_norm."),
    (r"^up_block1?\.", "head.steps.0."),
    (r"^up_block2\.", "head.steps.1."),
    (r"\.up_conv\.", ".enlarge."),
    (r"\.up_norm\.", ".enlarge_norm."),
    (r"\.res_block\.conv1\.", ".first."),
    (r"\.res_block\.conv2\.", ".second."),
    (r"\.res_norm\.", ".refine_norm."),
    (r"\.proj_out\.", ".project."),
    (r"\.attn\.proj\.", ".attention.project."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.fc1\.", ".mlp.expand."),
    (r"\.mlp\.fc2\.", ".mlp.contract."),
)
_TABLES = ("pos_embed", "channel_embed", "decoder_pos_embed", "decoder_channel_embed")


def published_bands(name: str) -> BandSet:
    """The bands of a published size in their order.

    Raises:
        InputError: there is no such size.
    """
    _check_name(name)
    return sensors.load("sentinel2_l1c").bands.select(BANDS) if name == NAMES[0] else COLOURS


def published_specs(name: str) -> tuple[GroupedSpec, GroupedDecoderSpec]:
    """Sizes of encoder and decoder of a published network.

    Raises:
        InputError: there is no such size.
    """
    bands = published_bands(name)
    if name == NAMES[0]:
        groups = find_groups(bands, GROUPS)
        return GroupedSpec(len(bands), groups), GroupedDecoderSpec(prediction="listed", doublings=2)
    encoder = GroupedSpec(len(bands), (tuple(range(len(bands))),), patch=16, group_width=0)
    return encoder, GroupedDecoderSpec(group_width=0, order="pqc", doublings=1)


def published(name: str) -> GroupedAutoencoder:
    """A network of a published size with fresh weights; on the meta device within ``with torch.device("meta")``.

    Raises:
        InputError: there is no such size.
    """
    return GroupedAutoencoder(*published_specs(name))


def load_autoencoder(
    name: str,
    path: Path | str | None = None,
    *,
    fetch: bool = True,
    strict: bool = True,
    say: Callable[[str], None] | None = None,
) -> tuple[GroupedAutoencoder, LoadReport]:
    """Encoder, decoder and head with published weights, ready to learn.

    Args:
        name: one of ``NAMES``.
        path: the file or its folder; else it is looked for under $SWATH_DATA and in the cache, and fetched.
        fetch: whether the file may be downloaded.
        strict: every weight has to be in the file and used.
        say: called with the report.

    Raises:
        InputError: no such name, weights of another family or size, or damaged ones.
        MissingError: the weights are nowhere and cannot be fetched.
    """
    _check_name(name)
    known = entry(name)
    found = find(known, path, fetch=fetch, strict=strict, say=say)
    network = published(name)
    tensors = _read(known, found.path, network)
    report = _filled(known, network, tensors, found.path, verified=found.verified, strict=strict)
    if say:
        say(str(report))
    return network, report


def load_encoder(
    known: Entry, path: Path, *, verified: bool, strict: bool, spec: GroupedSpec | None = None
) -> tuple[GroupedEncoder, LoadReport]:
    """The encoder alone with the weights of a file that was found; those of decoder and head stay unused.

    Args:
        known: the encoder.
        path: the file.
        verified: whether its checksum agrees.
        strict: every weight of the encoder has to be in the file.
        spec: another size or other taps; the published one when None.

    Raises:
        InputError: weights of another family or size, or damaged ones.
    """
    import torch

    size, decoder = published_specs(known.name)
    with torch.device("meta"):
        whole = GroupedAutoencoder(spec or size, decoder)
    tensors = _read(known, path, whole)
    given = {name.removeprefix("encoder."): value for name, value in tensors.items() if name.startswith("encoder.")}
    network = GroupedEncoder(whole.encoder_spec)
    own = set(whole.state_dict())
    strange = {name: value for name, value in tensors.items() if name not in own}
    report = _filled(known, network, given | strange, path, verified=verified, strict=strict)
    rest = tuple(name for name in tensors if name in own and not name.startswith("encoder."))
    return network, replace(report, unused=(*report.unused, *rest))


def _read(known: Entry, path: Path, network: GroupedAutoencoder) -> dict[str, Tensor]:
    """The tensors of a file by our names.

    Raises:
        InputError: they are those of another family, or their positions are others.
    """
    import torch

    # The published files keep the options of their run beside the weights, in a class without any code of its own.
    with torch.serialization.safe_globals([Namespace]):
        tensors = read_tensors(path)
    other = family_of(set(tensors))
    if other is not None and other != known.name:
        raise InputError(
            f"'{path}' holds the weights of '{other}'",
            expected=f"the weights of '{known.name}'",
            remedy=f"load it as '{other}', or give the file of '{known.name}'",
        )
    return house_names(tensors, network)


def _filled(
    known: Entry,
    network: GroupedAutoencoder | GroupedEncoder,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    verified: bool,
    strict: bool,
) -> LoadReport:
    bands = [(band.name, f"{band.published} of the weights, group {band.group}") for band in known.bands]
    return fill(network, tensors, name=known.name, source=str(path), verified=verified, bands=bands, strict=strict)


def house_names(state: Mapping[str, Tensor], network: GroupedAutoencoder) -> dict[str, Tensor]:
    """Published weights by the names of ``GroupedAutoencoder``; tables of positions are checked and left out.

    Args:
        state: the tensors under ``model`` in a published checkpoint.
        network: tells width, groups and split of the positions.

    Raises:
        InputError: a stored table of positions is not the one that is computed here: the weights would be used at
            other positions than they were trained for.
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in _TABLES:
            _check_table(name, value, network)
            continue
        ours = name
        for pattern, replacement in _NAMES:
            ours = re.sub(pattern, replacement, ours)
        found[ours] = value
    return found


def _check_table(name: str, stored: Tensor, network: GroupedAutoencoder) -> None:
    """Compare a stored table of positions with the computed one."""
    import torch

    encoder, decoder = network.encoder_spec, network.decoder_spec
    inner = name.startswith("decoder")
    width, part = (decoder.width, decoder.group_width) if inner else (encoder.width, encoder.group_width)
    side = round((stored.shape[1] - 1) ** 0.5) if "pos" in name else 1
    codes = (*encoder.group_codes, max(encoder.group_codes) + 1)
    table = positions(max(side, 1), max(side, 1), codes, width, part)[0]
    if "pos" in name:
        place = table[0, ..., : width - (part or 0)].flatten(0, 1)
        wanted = torch.cat([torch.zeros(1, place.shape[1]), place])
    else:
        wanted = table[: stored.shape[1], 0, 0, width - (part or 0) :]
    if tuple(stored.shape[1:]) != tuple(wanted.shape) or not torch.allclose(stored[0].float(), wanted, atol=1e-5):
        raise InputError(
            f"The stored positions '{name}' of shape {tuple(stored.shape)} are not those of this network",
            expected=f"fixed sines and cosines of width {wanted.shape[1]}, as published",
            remedy="build the network with the published width and group_width; weights with trained positions, such "
            "as fine-tuned ones, do not fit",
        )


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise InputError(
            f"There is no SatMAE++ called '{name[:40]}'",
            expected=f"one of {', '.join(NAMES)}",
            remedy=f"the nearest is {nearest(name, NAMES, 1)}",
        )
