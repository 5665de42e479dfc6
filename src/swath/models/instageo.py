"""InstaGeo's networks: an encoder of Prithvi under a head of transposed convolutions, for segmentation and regression.

Facts of the architecture and of the names of weights: instadeepai/InstaGeo-E2E-Geospatial-ML, version 0.1.0, whose code
and checkpoints are CC BY-NC-SA 4.0; everything here is written anew. The tokens of all dates become the channels of one
map, channel by channel and date by date within a channel; there are as many dates as the head was made for. A student
is the same network with the first blocks alone.
The same network learns in ``swath train`` as ``network: {backbone: prithvi_eo_v1_100, head: transposed}`` with
``time: concat``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.models.instageo_keys import house_names
from swath.models.prithvi_keys import ENCODER, depth_of
from swath.nn.checks import check_whole
from swath.nn.pyramid import dates_to_channels
from swath.nn.space_time import Condition, MaskedAutoencoderSpec, SpaceTimeEncoder
from swath.nn.time_place import TimePlace
from swath.nn.token_maps import to_pixels
from swath.nn.transposed_head import TransposedHead
from swath.weights import LoadReport, fill, read_tensors

BANDS = ("blue", "green", "red", "nir narrow", "swir 1", "swir 2")
"""Inputs in the published order."""
_HEADS = {192: 3, 256: 4, 768: 12, 1024: 16, 1280: 16}
"""Attention heads by width; the weights do not tell them."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class InstaGeoSpec:
    """All that fixes the shape of a network.

    Args:
        width: numbers per token.
        depth: blocks.
        heads: attention heads.
        patch: side of a token in pixels.
        dates: dates, whose maps are the channels of the head.
        outputs: classes, or 1 quantity.
        bands: bands of the input.
        conditions: what the encoder knows beside the images: time and place, or nothing.
        epsilon: added to the variance in the normalisations of the encoder.
    """

    width: int
    depth: int
    heads: int
    patch: int = 16
    dates: int = 1
    outputs: int = 2
    bands: int = 6
    conditions: tuple[Condition, ...] = ()
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_whole("InstaGeo", {name: getattr(self, name) for name in ("dates", "outputs", "patch")})

    @property
    def encoder(self) -> MaskedAutoencoderSpec:
        """Shape of the encoder; images that the patch does not divide are padded."""
        return MaskedAutoencoderSpec(
            bands=self.bands,
            dates=self.dates,
            patch=(1, self.patch, self.patch),
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            conditions=self.conditions,
            border="pad",
            epsilon=self.epsilon,
        )


class InstaGeo(nn.Module):
    """Numbers per pixel from a series of images; see the module's text.

    Args:
        spec: sizes.
    """

    def __init__(self, spec: InstaGeoSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = SpaceTimeEncoder(spec.encoder)
        self.head = TransposedHead((spec.width * spec.dates,), (spec.patch,), spec.outputs)

    def forward(self, images: Tensor, about: TimePlace | None = None) -> Tensor:
        """``(B, outputs, H, W)`` from ``(B, T, C, H, W)``, normalised and finite.

        Args:
            images: as many dates and bands as the network was made for.
            about: when and where; without it an encoder that knows them goes without.

        Raises:
            ContractError: dates, bands or axes are others.
        """
        if images.ndim != 5 or images.shape[1] != self.spec.dates:
            raise ContractError(
                f"The images have shape {tuple(images.shape)}",
                expected=f"(sample, date, band, y, x) with {self.spec.dates} dates",
                remedy="give as many dates as the head was made for",
            )
        size = (int(images.shape[-2]), int(images.shape[-1]))
        if about is None and self.spec.conditions:
            about = TimePlace.unknown(images.shape[0])
        found = self.encoder(images, about)
        numbers: Tensor = self.head(dates_to_channels(found, "channel"))
        cells = self.spec.encoder.grid(self.spec.dates, *size)[1:]
        return to_pixels(numbers, size, cells, self.spec.patch, resized=False)


_BASES = {
    "tiny": InstaGeoSpec(256, 4, 4),
    "v1_100": InstaGeoSpec(768, 12, 12),
    "v2_300": InstaGeoSpec(1024, 24, 16),
    "v2_600": InstaGeoSpec(1280, 32, 16, patch=14),
}
SPECS: dict[str, InstaGeoSpec] = {
    "instageo_tiny_t1": _BASES["tiny"],
    "instageo_v1_100_t1": _BASES["v1_100"],
    "instageo_v1_100_t3": replace(_BASES["v1_100"], dates=3),
    "instageo_v2_300_t1": _BASES["v2_300"],
    "instageo_v2_300_t3": replace(_BASES["v2_300"], dates=3),
    "instageo_v2_600_t1": _BASES["v2_600"],
    **{f"instageo_v1_100_t1_depth{depth}": replace(_BASES["v1_100"], depth=depth) for depth in (1, 2, 3, 4)},
    **{f"instageo_v2_300_t1_depth{depth}": replace(_BASES["v2_300"], depth=depth) for depth in (1, 2, 4)},
}
"""Published sizes by encoder and number of dates, and students of the first blocks."""
NAMES = tuple(SPECS)


def build(name: str) -> InstaGeo:
    """A network of a published size with first weights; on the meta device within ``with torch.device("meta")``.

    Raises:
        ConfigError: no such size.
    """
    if name not in SPECS:
        raise ConfigError(
            f"There is no size of InstaGeo called '{name[:40]}'",
            expected=f"one of {', '.join(SPECS)}",
            remedy=f"the nearest is {nearest(name, SPECS, 1)}",
        )
    return InstaGeo(SPECS[name])


def load(
    path: Path | str, *, heads: int | None = None, strict: bool = True, say: Say | None = None
) -> tuple[InstaGeo, LoadReport]:
    """A network with the weights of a checkpoint, whose shapes tell its size.

    Args:
        path: a file of tensors by name, as a training framework or ``torch.save`` of a ``state_dict`` writes it.
        heads: attention heads, where the width is none of the published ones.
        strict: every weight and every running statistic of the normalisation has to be in the file and used.
        say: called with the report.

    Raises:
        InputError: no checkpoint of InstaGeo, or a damaged one.
        ConfigError: the number of heads is not known.
    """
    where = Path(path)
    tensors = house_names(read_tensors(where), name="instageo", source=str(where))
    network = InstaGeo(spec_of(tensors, str(where), heads))
    bands = [(name, f"band {place} of the weights") for place, name in enumerate(BANDS[: network.spec.bands])]
    report = fill(network, tensors, name="instageo", source=str(where), verified=False, bands=bands, strict=strict)
    if say:
        say(str(report))
    return network.eval(), report


def spec_of(tensors: Mapping[str, Tensor], where: str, heads: int | None = None) -> InstaGeoSpec:
    """The size that a checkpoint has, from shapes alone.

    Args:
        tensors: by our names.
        where: the file, for sentences.
        heads: see ``load``.

    Raises:
        InputError: the head is not there, or does not fit the encoder.
        ConfigError: the number of heads is not known.
    """
    kernel = tensors[ENCODER + "embed.weight"]
    width, bands, patch = int(kernel.shape[0]), int(kernel.shape[1]), int(kernel.shape[3])
    first, last = tensors.get("head.steps.0.enlarge.weight"), tensors.get("head.output.weight")
    if first is None or last is None or first.shape[0] % width:
        raise InputError(
            f"'{where}' holds no head whose channels are a multiple of the {width} numbers of a token",
            expected="the weights of 'segmentation_head'",
            remedy="load the encoder alone as the weights of a Prithvi backbone",
        )
    known = heads or _HEADS.get(width)
    if known is None:
        raise ConfigError(
            f"'{where}' holds an encoder of width {width}",
            expected=f"one of the published widths {', '.join(map(str, _HEADS))}, or the number of attention heads",
            remedy="say heads=, which the weights do not tell",
        )
    scales: dict[Condition, str] = {"time": "time.scale", "place": "place.scale"}
    conditions = tuple(name for name, scale in scales.items() if ENCODER + scale in tensors)
    return InstaGeoSpec(
        width, depth_of(tensors), known, patch, int(first.shape[0]) // width, int(last.shape[0]), bands, conditions
    )


def student(spec: InstaGeoSpec, depth: int) -> InstaGeoSpec:
    """The same network with the first ``depth`` blocks alone.

    Raises:
        ConfigError: more blocks than there are.
    """
    if not 1 <= depth <= spec.depth:
        raise ConfigError(f"The depth is {depth}", expected=f"from 1 to {spec.depth}", remedy="change it")
    return replace(spec, depth=depth)


@torch.no_grad()
def copy_first_blocks(teacher: InstaGeo, made: InstaGeo) -> tuple[str, ...]:
    """Start a student from its teacher, in place: patch embedding, class token, its blocks and the last normalisation.

    Returns:
        Names of what was copied; the head starts anew.
    """
    given = teacher.encoder.state_dict()
    taken = {
        name: given[name]
        for name, value in made.encoder.state_dict().items()
        if name in given and given[name].shape == value.shape
    }
    made.encoder.load_state_dict(taken, strict=False)
    return tuple(taken)
