"""Published networks by name: their sizes, and how many numbers each part has.

``build("prithvi_eo_v2_600")`` gives a network without memory (on the meta device) in a moment, so that a published size
can be checked before anything is allocated. Facts of Prithvi: the configurations of TerraTorch 1.2.11.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from swath.errors import ConfigError, nearest
from swath.models import instageo, satmaepp
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec

TAPS = {12: (2, 5, 8, 11), 24: (5, 11, 17, 23), 32: (7, 15, 23, 31)}
"""Blocks whose outputs decoders of maps read, by the depth of the encoder."""


def _prithvi(width: int, depth: int, heads: int, *, patch: int = 16, dates: int = 4, tl: bool) -> MaskedAutoencoderSpec:
    return MaskedAutoencoderSpec(
        bands=6,
        dates=dates,
        patch=(1, patch, patch),
        width=width,
        depth=depth,
        heads=heads,
        conditions=("time", "place") if tl else (),
    )


PRITHVI: dict[str, MaskedAutoencoderSpec] = {
    "prithvi_eo_v1_100": _prithvi(768, 12, 12, dates=3, tl=False),
    "prithvi_eo_v2_tiny_tl": _prithvi(192, 12, 3, tl=True),
    "prithvi_eo_v2_100_tl": _prithvi(768, 12, 12, tl=True),
    "prithvi_eo_v2_300": _prithvi(1024, 24, 16, tl=False),
    "prithvi_eo_v2_300_tl": _prithvi(1024, 24, 16, tl=True),
    "prithvi_eo_v2_600": _prithvi(1280, 32, 16, patch=14, tl=False),
    "prithvi_eo_v2_600_tl": _prithvi(1280, 32, 16, patch=14, tl=True),
}
"""Sizes of Prithvi (arXiv 2310.18660 and 2412.02732); ``tl`` knows time and place."""

SIZES: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(MaskedAutoencoder, spec) for name, spec in PRITHVI.items()},
    **{name: partial(satmaepp.published, name) for name in satmaepp.NAMES},
    **{name: partial(instageo.build, name) for name in instageo.NAMES},
}
"""Name -> what builds the network: one whose ``encoder`` has ``blocks``; what is no encoder is decoder or head."""


def names() -> list[str]:
    """Names of all sizes, sorted."""
    return sorted(SIZES)


def build(name: str, *, device: torch.device | str = "meta") -> nn.Module:
    """A network of a published size with first weights; on the meta device without memory or weights.

    Args:
        name: see ``names()``.
        device: where its weights lie.

    Raises:
        ConfigError: no such name.
    """
    if name not in SIZES:
        raise ConfigError(
            f"There is no size called '{name}'",
            expected=f"one of {', '.join(names())}",
            remedy=f"the nearest are: {nearest(name, SIZES)}",
        )
    with torch.device(device):
        return SIZES[name]()


def describe(name: str) -> list[tuple[str, int]]:
    """Parts and their numbers of parameters: blocks of the encoder, encoder, blocks of the decoder, decoder, total.

    A network for a task has a head in place of the decoder.

    Raises:
        ConfigError: no such name.
    """
    network = build(name)
    whole = {part: value.numel() for part, value in network.named_parameters()}

    def under(*prefixes: str) -> int:
        return sum(number for part, number in whole.items() if part.startswith(prefixes))

    encoder, total = under("encoder."), sum(whole.values())
    if isinstance(network, instageo.InstaGeo):
        return [("encoder blocks", under("encoder.blocks.")), ("encoder", encoder), ("head", under("head.")),
                ("total", total)]  # fmt: skip
    return [
        ("encoder blocks", under("encoder.blocks.")),
        ("encoder", encoder),
        ("decoder blocks", under("decoder.blocks.", "blocks.")),
        ("decoder", total - encoder),
        ("total", total),
    ]
