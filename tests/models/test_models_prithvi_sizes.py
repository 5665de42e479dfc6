"""Published sizes on the meta device: counts written out as arithmetic."""

from __future__ import annotations

import pytest

from swath import weights
from swath.errors import ConfigError
from swath.models import sizes

DECODER = (512, 8)
# width, depth, patch, knows time and place, and the published count of the encoder's blocks in millions
PUBLISHED = {
    "prithvi_eo_v1_100": (768, 12, 16, False, 85.1),
    "prithvi_eo_v2_tiny_tl": (192, 12, 16, True, 5.3),
    "prithvi_eo_v2_100_tl": (768, 12, 16, True, 85.1),
    "prithvi_eo_v2_300": (1024, 24, 16, False, 302.3),
    "prithvi_eo_v2_300_tl": (1024, 24, 16, True, 302.3),
    "prithvi_eo_v2_600": (1280, 32, 14, False, 629.7),
    "prithvi_eo_v2_600_tl": (1280, 32, 14, True, 629.7),
}


def block(width: int) -> int:
    """qkv 3 D D + 3 D, projection D D + D, two layers of 4 D D + 4 D and 4 D D + D, two norms of 2 D: 12 D D + 13 D."""
    attention = 3 * width * width + 3 * width + width * width + width
    mlp = width * 4 * width + 4 * width + 4 * width * width + width
    return attention + mlp + 2 * 2 * width


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_part_has_the_published_number_of_parameters(name: str) -> None:
    width, depth, patch, knows, millions = PUBLISHED[name]
    inner, decoder_depth = DECODER
    values = 6 * patch * patch
    blocks = depth * block(width)
    assert block(width) == 12 * width**2 + 13 * width
    assert round(blocks / 1e6, 1) == millions
    # Patches to tokens, class token, last norm, and two factors where time and place are known.
    encoder = blocks + (values * width + width) + width + 2 * width + 2 * knows
    decoder_blocks = decoder_depth * block(inner)
    assert round(decoder_blocks / 1e6, 1) == 25.2
    decoder = decoder_blocks + (width * inner + inner) + inner + 2 * inner + (inner * values + values) + 2 * knows
    assert dict(sizes.describe(name)) == {
        "encoder blocks": blocks,
        "encoder": encoder,
        "decoder blocks": decoder_blocks,
        "decoder": decoder,
        "total": encoder + decoder,
    }


def test_nothing_is_allocated_and_every_size_is_in_the_list() -> None:
    assert set(PUBLISHED) <= set(sizes.names())
    network = sizes.build("prithvi_eo_v2_600_tl")
    assert all(value.is_meta for value in network.parameters())
    with pytest.raises(ConfigError, match="nearest are: prithvi_eo_v2_300"):
        sizes.build("prithvi_eo_v2_3000")


def test_a_size_and_its_entry_in_the_list_of_weights_agree() -> None:
    for name, spec in sizes.PRITHVI.items():
        entry = weights.entry(name)
        assert (entry.embedding_dim, len(entry.bands), entry.family) == (spec.width, spec.bands, "prithvi")
        assert bool(spec.conditions) == name.endswith("_tl")
        assert sizes.TAPS[spec.depth][-1] == spec.depth - 1 and len(sizes.TAPS[spec.depth]) == 4
        assert [band.published for band in entry.bands] == ["BLUE", "GREEN", "RED", "NIR_NARROW", "SWIR_1", "SWIR_2"]


def test_statistics_are_the_published_ones() -> None:
    first, second = weights.entry("prithvi_eo_v1_100"), weights.entry("prithvi_eo_v2_300")
    assert [-band.scaling[1] for band in first.bands] == [775, 1081, 1229, 2497, 2204, 1611]
    assert [band.scaling[2] for band in first.bands] == [1282, 1270, 1399, 1368, 1292, 1155]
    assert [-band.scaling[1] for band in second.bands] == [1087, 1342, 1433, 2734, 1958, 1363]
    assert [band.scaling[2] for band in second.bands] == [2248, 2179, 2178, 1850, 1242, 1049]
    assert {band.scaling[0] for band in (*first.bands, *second.bands)} == {1e4}


def test_other_published_autoencoders_are_described_by_the_same_rows() -> None:
    rows = dict(sizes.describe("satmaepp_vitl_grouped"))
    assert rows["encoder blocks"] == 24 * block(1024) and rows["decoder blocks"] == 8 * block(512)
    assert rows["encoder"] + rows["decoder"] == rows["total"]
