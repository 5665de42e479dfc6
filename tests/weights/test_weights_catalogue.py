"""The list of published encoders."""

from __future__ import annotations

import pytest

from swath import sensors, weights
from swath.errors import InputError
from swath.weights import catalogue

MINIMAL = """
[[encoders]]
name = "small"
title = "t"
family = "presto"
licence = "MIT"
citation = "c"
repository = "r"
revision = "1"
embedding_dim = 2
most_steps = 1
level = "l"
marks = ["a"]
bands = [
  { name = "B02", published = "B2", sensor = "sentinel2_l1c", group = "g", role = "series", add = 0, divide = 2 },
]
weights = { file = "a.pt", folder = "a" }
statistics = { source = "s" }
"""


def test_every_entry_has_unique_bands_with_a_scaling_and_says_where_it_comes_from() -> None:
    assert {"galileo_nano", "presto", "prithvi_eo_v1_100", "prithvi_eo_v2_300_tl"} <= set(weights.names())
    for name in weights.names():
        entry = weights.entry(name)
        assert len(entry.band_set) == len(entry.bands)
        assert all(divide > 0 for _, _, divide in (band.scaling for band in entry.bands))
        assert entry.licence and entry.citation
        assert entry.revision in (entry.weights.address or "")
        # Size and checksum are known together, and a revision that can move has neither.
        fixed = len(entry.revision) == 40
        assert bool(entry.weights.sha256) == bool(entry.weights.bytes) == fixed


def test_marks_tell_every_family_and_depth_by_the_names_of_tensors() -> None:
    flat = {"patch_embed.proj.weight", "mask_token", "decoder_blocks.7.norm1.weight", "blocks.11.norm1.weight"}
    assert catalogue.family_of(flat) == "prithvi_eo_v1_100"
    for depth, name in ((12, "prithvi_eo_v2_100_tl"), (24, "prithvi_eo_v2_300_tl"), (32, "prithvi_eo_v2_600_tl")):
        blocks = {f"encoder.blocks.{number}.norm1.weight" for number in range(depth)}
        others = {"encoder.patch_embed.proj.weight", "decoder.decoder_blocks.7.norm1.weight"}
        assert catalogue.family_of(blocks | others | {"encoder.temporal_embed_enc.scale"}) == name
    assert catalogue.family_of({"layer1.weight"}) is None


def test_wavelength_kind_and_unit_come_from_the_sensor() -> None:
    presto = weights.entry("presto")
    red = presto.band_set[presto.band_set.position("B04")]
    assert red == sensors.load("sentinel2_l1c").bands[3]
    assert (red.wavelength_nm, red.kind, red.unit) == (664.6, "reflectance", "1")


def test_bands_of_other_sensors_match_by_alias_and_wavelength_only_where_they_are_the_same_channel() -> None:
    wanted = weights.entry("presto").band_set
    landsat = sensors.load("landsat8_oli").bands.match(wanted)
    served = {row[0]: row[1] for row in landsat.rows()}
    assert served["B02"] == "B2" and served["B12"] == "B7"
    assert served["B05"] == served["VV"] == "none"


@pytest.mark.parametrize(
    ("name", "band", "scaling"),
    [
        ("presto", "VV", (1.0, 25.0, 25.0)),
        ("presto", "temperature_2m", (1.0, -272.15, 35.0)),
        ("galileo_nano", "VV", (1.0, 21.503, 19.5486)),
        ("galileo_nano", "B12", (1e4, 485.9548, 3920.9719)),
        ("galileo_nano", "total_precipitation_sum", (1.0, 0.1478, 0.4668)),
        ("galileo_nano", "landscan", (1.0, 2120.0, 4618.0)),
    ],
)
def test_scaling_is_the_published_one(name: str, band: str, scaling: tuple[float, float, float]) -> None:
    (found,) = [item for item in weights.entry(name).bands if item.name == band]
    assert found.scaling == pytest.approx(scaling, abs=6e-5)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no weights called 'prestto'.*nearest are: presto"):
        weights.entry("prestto")
    assert weights.is_name("presto")
    assert not weights.is_name("./presto")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("add = 0, divide = 2", "add = 0", "either add and divide, or mean and std"),
        ("add = 0, divide = 2", "add = 0, divide = 2, mean = 1, std = 1", "either add and divide"),
        ("divide = 2", "divide = 0", "greater than 0"),
        ('sensor = "sentinel2_l1c", ', "", "either a sensor or a unit"),
        ('title = "t"', 'titel = "t"', "titel|title"),
        ('file = "a.pt"', 'file = "../a.pt"', "pattern"),
        ('name = "small"', "name = ", "not TOML"),
    ],
)
def test_a_faulty_list_says_where(old: str, new: str, reason: str) -> None:
    assert catalogue.parse(MINIMAL, "mine.toml")["small"].weights.sha256 is None
    with pytest.raises(InputError, match=reason):
        catalogue.parse(MINIMAL.replace(old, new), "mine.toml")
