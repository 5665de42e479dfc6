"""SatMAE++: numbers of the published code, published sizes by arithmetic, names and order of bands and weights."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from swath import sensors
from swath.errors import ConfigError, InputError
from swath.models.satmaepp import GROUPS, NAMES, house_names, published, published_bands, published_specs
from swath.nn.band_groups import find_groups, positions
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.nn.losses import l1
from swath.nn.masking import consistent_mask, random_mask
from swath.nn.reconstruction import group_loss
from swath.weights import fill

REFERENCE = json.loads((Path(__file__).parent / "data" / "satmaepp_reference.json").read_text())
FIXED = ("pos_embed", "channel_embed", "decoder_pos_embed", "decoder_channel_embed")


def numbers(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Normal numbers that depend on a name alone; the reference was made with the same."""
    stream = np.random.Generator(np.random.Philox(zlib.crc32(name.encode())))
    return torch.from_numpy(stream.standard_normal(shape) * scale).float()


def noise(*shape: int) -> Tensor:
    stream = np.random.Generator(np.random.Philox(zlib.crc32(b"noise")))
    return torch.from_numpy(stream.random(shape)).float()


def small(key: str) -> GroupedAutoencoder:
    """The network of the reference."""
    if key == "rgb":
        encoder = GroupedSpec(3, ((0, 1, 2),), patch=4, width=32, depth=2, heads=4, group_width=0)
        decoder = GroupedDecoderSpec(16, 1, 2, group_width=0, order="pqc", doublings=1)
    else:
        encoder = GroupedSpec(4, ((0, 1, 3), (2,)), patch=4, width=32, depth=2, heads=4, group_width=8)
        decoder = GroupedDecoderSpec(16, 1, 2, group_width=4, prediction="listed", doublings=2)
    return GroupedAutoencoder(encoder, decoder)


def published_state(key: str, network: GroupedAutoencoder) -> dict[str, Tensor]:
    """Weights under their published names; shapes come from ours through the same map of names."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    names = [name for name in REFERENCE[key]["names"] if name not in FIXED]
    ours = {name: next(iter(house_names({name: torch.empty(0)}, network))) for name in names}
    assert sorted(ours.values()) == sorted(shapes)  # nothing missing, nothing left over
    return {
        name: numbers(name, shapes[ours[name]], 0.2) + float(bool(re.search(r"norm\d?\.weight$", name)))
        for name in names
    }


def loaded(key: str) -> GroupedAutoencoder:
    network = small(key)
    state = published_state(key, network)
    report = fill(network, house_names(state, network), name=key, source="made up", verified=False)
    assert not report.new and not report.unused and report.numbers[0] == report.numbers[1]
    return network.eval()


def agrees(found: Tensor, wanted: dict[str, Any]) -> None:
    flat = found.double().flatten()
    assert list(found.shape) == wanted["shape"]
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(flat[:6], torch.tensor(wanted["first"], dtype=torch.float64), **close)
    torch.testing.assert_close(flat[-6:], torch.tensor(wanted["last"], dtype=torch.float64), **close)
    assert float(flat.sum()) == pytest.approx(wanted["sum"], rel=1e-5, abs=1e-3)
    assert float(flat.square().sum()) == pytest.approx(wanted["squares"], rel=1e-5)


@pytest.mark.parametrize("key", ["independent", "consistent", "rgb"])
def test_the_published_code_gives_the_same_numbers(key: str) -> None:
    wanted, network = REFERENCE[key], loaded(key)
    bands, groups = network.encoder_spec.bands, network.encoder_spec.groups
    images = [numbers(f"images{scale}", (2, bands, 12 * scale, 12 * scale)) for scale in (1, 2, 4)]
    number = 9 if key == "consistent" else 9 * len(groups)
    mask = consistent_mask(noise(2, 9), 2, 0.6) if key == "consistent" else random_mask(noise(2, number), 0.6)
    assert mask.hidden.int().tolist() == wanted["hidden"]
    with torch.no_grad():
        agrees(network.encoder.encode(images[0], mask), wanted["latent"])
        made = network(images[0], mask)
    agrees(made.image, wanted["image"])
    assert len(made.larger) == len(wanted["larger"])
    for found, expected in zip(made.larger, wanted["larger"], strict=True):
        agrees(found, expected)
    valid = torch.ones_like(images[0], dtype=torch.bool)
    loss = group_loss(made.image, images[0], valid, mask.hidden, groups=groups, patch=4)
    assert float(loss.mean()) == pytest.approx(wanted["loss"], rel=1e-5)
    targets = images[1 : 1 + len(made.larger)]
    fine = [
        float(l1(found, target, torch.ones_like(target, dtype=torch.bool)).mean())
        for found, target in zip(made.larger, targets, strict=True)
    ]
    assert sum(fine) / len(fine) == pytest.approx(wanted["fine"], rel=1e-5)


def test_predictions_at_their_own_bands_differ_from_the_published_order() -> None:
    published_order = loaded("independent")
    encoder, decoder = published_order.encoder_spec, published_order.decoder_spec
    right = GroupedAutoencoder(encoder, GroupedDecoderSpec(decoder.width, 1, 2, group_width=4))
    right.load_state_dict({k: v for k, v in published_order.state_dict().items() if not k.startswith("head.")})
    image, mask = numbers("images1", (2, 4, 12, 12)), random_mask(noise(2, 18), 0.6)
    with torch.no_grad():
        listed, placed = published_order(image, mask).image, right(image, mask).image
    # Groups (0, 1, 3) and (2,): listed one after the other they are 0, 1, 3, 2.
    assert placed[:, [0, 1, 3, 2]].equal(listed) and not placed.equal(listed)


def block(width: int) -> int:
    """Weights of a transformer block: queries, keys and values, their output, two layers, two norms."""
    return (
        (3 * width * width + 3 * width)
        + (width * width + width)
        + (4 * width * width + 4 * width)
        + (4 * width * width + width)
        + 4 * width
    )


def enlargement(maps: int, bands: int) -> int:
    """Transposed convolution, two convolutions, two norms, the image."""
    return (16 * maps**2 + maps) + 2 * (9 * maps**2 + maps) + 4 * maps + (9 * maps * bands + bands)


def counted(name: str) -> tuple[int, int, int]:
    """Encoder, decoder, head of a network on the meta device."""
    with torch.device("meta"):
        network = published(name)
    parts = {"encoder": 0, "head": 0, "decoder": 0}
    for key, value in network.named_parameters():
        parts[key.split(".")[0] if key.split(".")[0] in parts else "decoder"] += value.numel()
    return parts["encoder"], parts["decoder"], parts["head"]


def test_published_sizes_by_arithmetic() -> None:
    width, narrow = 1024, 512
    trunk = 24 * block(width) + 2 * width + width  # blocks, last norm, class token
    assert block(width) == 12_596_224
    patches = 10 * 64 * width + 3 * width
    decoder = (width * narrow + narrow) + narrow + 8 * block(narrow) + 2 * narrow
    grouped = decoder + narrow * 640 + 640
    head = (10 * 40 + 40) + 2 * 40 + 2 * enlargement(40, 10)
    assert counted(NAMES[0]) == (trunk + patches, grouped, head)
    assert (trunk + patches, grouped, head) == (302_970_880, 26_073_728, 117_100)  # as the published code has
    colours = 768 * width + width, narrow * 768 + 768
    head = (3 * 12 + 12) + 2 * 12 + enlargement(12, 3)
    assert counted(NAMES[1]) == (trunk + colours[0], decoder + colours[1], head)
    assert (trunk + colours[0], decoder + colours[1], head) == (303_099_904, 26_139_392, 5_379)


def test_bands_and_sizes_are_named() -> None:
    bands = published_bands("satmaepp_vitl_grouped")
    assert bands.names == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    encoder, decoder = published_specs("satmaepp_vitl_grouped")
    assert encoder.groups == ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))
    assert (encoder.group_width, decoder.group_width, decoder.prediction) == (256, 128, "listed")
    assert published_bands("satmaepp_vitl_rgb").names == ("blue", "green", "red")
    with pytest.raises(InputError, match="satmaepp_vitl_rgb"):
        published("satmaepp_vitl_rbg")


def test_thirteen_bands_are_refused_by_name() -> None:
    sensor = sensors.load("sentinel2_l1c")
    with pytest.raises(ConfigError, match="B01, B09, B10 are in no group"):
        find_groups(sensor.bands, GROUPS)


def test_positions_of_other_weights_are_refused() -> None:
    network = small("independent")
    codes = network.encoder_spec.group_codes
    table = positions(3, 3, codes, 32, 8)[0]
    stored = torch.cat([torch.zeros(1, 24), table[0, ..., :24].flatten(0, 1)])[None]
    assert house_names({"pos_embed": stored, "channel_embed": table[None, :, 0, 0, 24:]}, network) == {}
    with pytest.raises(InputError, match="'pos_embed'"):
        house_names({"pos_embed": stored + 0.01}, network)
    with pytest.raises(InputError, match="'channel_embed'"):
        house_names({"channel_embed": table[None, :, 0, 0, 20:]}, network)
    row = positions(1, 1, (0, 1, 2), 16, 4)[0, :, 0, 0, 12:]
    assert house_names({"decoder_channel_embed": row[None]}, network) == {}
    with pytest.raises(InputError, match="'decoder_channel_embed'"):
        house_names({"decoder_channel_embed": row[None].flip(1)}, network)


def test_weights_that_do_not_fit_are_told() -> None:
    network = small("rgb")
    state = published_state("rgb", network)
    state["head.weight"] = torch.zeros(2, 32)
    del state["mask_token"]
    with pytest.raises(InputError, match=r"blank is missing; head\.weight has no place"):
        fill(network, house_names(state, network), name="satmaepp", source="made up", verified=False)
