from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import sensors
from swath.errors import InputError
from swath.sensors import Band, BandSet

PRITHVI = sensors.load("hls_s30").bands.select(["B02", "B03", "B04", "B8A", "B11", "B12"])


def pairs(available: BandSet, wanted: BandSet | list[str], tolerance_nm: float | None = None) -> dict[str, str | None]:
    match = available.match(wanted, tolerance_nm)
    return {row[0]: None if row[1] == "none" else row[1] for row in match.rows()}


def test_names_aliases_and_case() -> None:
    bands = sensors.load("sentinel2_l2a").bands
    assert bands.names[:4] == ("B01", "B02", "B03", "B04")
    for name in ("B04", "b04", "B4", "red", "RED"):
        assert bands[bands.position(name)].name == "B04"
        assert name in bands
    assert bands[3] in bands
    assert "B10" not in bands
    assert bands.select(["swir1", "b8a"]).names == ("B11", "B8A")
    assert bands.select("red").names == ("B04",)
    assert bands[1:3].names == ("B02", "B03")


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no band 'B13'.*B01, B02.*nearest names are: .*B12"):
        sensors.load("sentinel2_l2a").bands.position("B13")


def test_an_alias_of_two_bands_has_to_be_made_clear() -> None:
    bands = BandSet((Band("a", aliases=("nir",)), Band("b", aliases=("nir",))))
    with pytest.raises(InputError, match="'nir' fits several bands: a, b"):
        bands.position("nir")


def test_a_name_given_twice_is_refused_with_both_places() -> None:
    with pytest.raises(InputError, match=r"'b04' appears twice \(positions 0 and 2\)"):
        BandSet.of("B04", "B03", "b04")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"name": " "}, "no name"),
        ({"name": "B1", "wavelength_nm": 0.0}, "wavelength of the band 'B1' is 0.0 nm"),
        ({"name": "B1", "wavelength_nm": float("nan")}, "is nan nm"),
        ({"name": "B1", "width_nm": -5.0}, "width of the band 'B1' is -5.0 nm"),
    ],
)
def test_impossible_bands_are_refused(keywords: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Band(**keywords)  # type: ignore[arg-type]


def test_empty_and_single_sets() -> None:
    empty = BandSet(())
    assert len(empty) == 0
    assert empty.match(["red"]).missing == ("red",)
    assert BandSet.of("red").match(empty).require() == ()
    with pytest.raises(InputError, match="no band 'red'"):
        empty.position("red")


def test_sets_are_values() -> None:
    bands = sensors.load("landsat8_oli").bands
    again = pickle.loads(pickle.dumps(bands))
    assert again == bands
    assert hash(again) == hash(bands)
    assert again.position("red") == bands.position("red")


def test_name_beats_alias_beats_wavelength() -> None:
    source = BandSet(
        (
            Band("x", wavelength_nm=660.0, width_nm=30.0, kind="reflectance"),
            Band("y", aliases=("red",), wavelength_nm=661.0, width_nm=30.0, kind="reflectance"),
            Band("red2", wavelength_nm=662.0, width_nm=30.0, kind="reflectance"),
        )
    )
    wanted = BandSet(
        (
            Band("near", wavelength_nm=660.0, width_nm=30.0, kind="reflectance"),
            Band("red", wavelength_nm=660.0, width_nm=30.0, kind="reflectance"),
            Band("red2", wavelength_nm=660.0, width_nm=30.0, kind="reflectance"),
        )
    )
    assert source.match(wanted).rows() == [("near", "x", "wavelength"), ("red", "y", "alias"), ("red2", "red2", "name")]


def test_missing_bands_stop_with_both_lists() -> None:
    match = sensors.load("landsat5_tm").bands.match(sensors.load("sentinel2_l2a").bands)
    assert match.missing == ("B01", "B05", "B06", "B07", "B8A", "B09")
    with pytest.raises(InputError, match=r"No source band serves B01, B05.*the source has B1, B2"):
        match.require()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("sentinel2_l1c", ["B02", "B03", "B04", "B8A", "B11", "B12"]),
        ("sentinel2_l2a", ["B02", "B03", "B04", "B8A", "B11", "B12"]),
        ("hls_s30", ["B02", "B03", "B04", "B8A", "B11", "B12"]),
        ("hls_l30", ["B02", "B03", "B04", "B05", "B06", "B07"]),
        ("landsat8_oli", ["B2", "B3", "B4", "B5", "B6", "B7"]),
        ("landsat7_etm", ["B1", "B2", "B3", "B4", "B5", "B7"]),
        ("landsat5_tm", ["B1", "B2", "B3", "B4", "B5", "B7"]),
    ],
)
@pytest.mark.parametrize("wanted", ["hls_s30", "hls_l30"])
def test_the_six_prithvi_bands(source: str, expected: list[str], wanted: str) -> None:
    target = PRITHVI if wanted == "hls_s30" else sensors.load("hls_l30").bands[1:7]
    match = sensors.load(source).bands.match(target)
    assert [match.available[index].name for index in match.require()] == expected


def test_the_six_prithvi_bands_match_by_wavelength_alone() -> None:
    bare = BandSet(tuple(Band(f"channel_{b.name}", wavelength_nm=b.wavelength_nm, kind="reflectance") for b in PRITHVI))
    match = sensors.load("hls_s30").bands.match(bare)
    assert [match.available[index].name for index in match.require()] == list(PRITHVI.names)
    assert set(match.how) == {"wavelength"}


def test_b05_of_the_two_hls_products_is_not_the_same_channel() -> None:
    l30, s30 = sensors.load("hls_l30").bands, sensors.load("hls_s30").bands
    assert pairs(s30, l30.select(["B05"])) == {"B05": "B8A"}
    assert pairs(l30, s30.select(["B05"])) == {"B05": None}
    # Bare names carry no wavelength: the name is all there is.
    assert pairs(l30, ["B05"]) == {"B05": "B05"}


def test_the_second_band_of_landsat_5_is_green_and_of_landsat_8_blue() -> None:
    tm, oli = sensors.load("landsat5_tm").bands, sensors.load("landsat8_oli").bands
    assert pairs(tm, oli.select(["B2", "B3"])) == {"B2": "B1", "B3": "B2"}


def test_kinds_never_mix() -> None:
    red = BandSet((Band("red", wavelength_nm=660.0, kind="reflectance"),))
    assert pairs(sensors.load("globe").bands, red) == {"red": None}
    thermal = BandSet((Band("t", wavelength_nm=10_895.0, kind="reflectance"),))
    assert pairs(sensors.load("landsat8_oli").bands, thermal) == {"t": None}
    assert pairs(sensors.load("globe").bands, ["red", "dem"]) == {"red": "red", "dem": "elevation"}


def test_radar_bands_match_by_polarisation() -> None:
    radar = sensors.load("sentinel1_grd").bands
    assert pairs(radar, ["VV", "sigma0_VH"]) == {"VV": "VV", "sigma0_VH": "VH"}
    assert pairs(radar.select(["VH"]), radar.select(["VV"])) == {"VV": None}


def test_a_panchromatic_band_serves_no_narrow_one() -> None:
    oli, etm = sensors.load("landsat8_oli").bands, sensors.load("landsat7_etm").bands
    red = BandSet((Band("wanted", wavelength_nm=600.0, width_nm=30.0, kind="reflectance"),))
    assert pairs(oli.select(["pan"]), red) == {"wanted": None}
    assert pairs(etm, oli.select(["pan"])) == {"B8": "B8"}


def test_tolerance_is_the_callers_to_choose() -> None:
    source = BandSet((Band("s", wavelength_nm=700.0, width_nm=10.0, kind="reflectance"),))
    wanted = BandSet((Band("w", wavelength_nm=720.0, width_nm=10.0, kind="reflectance"),))
    assert pairs(source, wanted) == {"w": None}
    assert pairs(source, wanted, 20.0) == {"w": "s"}
    assert pairs(source, wanted, 19.9) == {"w": None}


def test_the_nearest_pair_wins_and_ties_go_to_the_narrower_source() -> None:
    def band(name: str, centre: float, width: float) -> Band:
        return Band(name, wavelength_nm=centre, width_nm=width, kind="reflectance")

    source = BandSet((band("wide", 690.0, 60.0), band("narrow", 710.0, 40.0)))
    assert pairs(source, BandSet((band("w", 700.0, 20.0),))) == {"w": "narrow"}
    two = BandSet((band("far", 680.0, 20.0), band("near", 709.0, 20.0)))
    assert pairs(source, two) == {"far": "wide", "near": "narrow"}


bands = st.builds(
    Band,
    name=st.sampled_from(["B1", "B2", "B3", "B4", "B5", "B6"]),
    aliases=st.lists(st.sampled_from(["red", "nir", "blue", "B2", "B5"]), max_size=2).map(tuple),
    wavelength_nm=st.none() | st.floats(400, 900),
    width_nm=st.none() | st.floats(5, 150),
    kind=st.sampled_from(["reflectance", "variable", "backscatter"]),
)
band_sets = st.lists(bands, max_size=6, unique_by=lambda band: band.name).map(lambda items: BandSet(tuple(items)))


@settings(deadline=None, max_examples=100)
@given(band_sets, band_sets, st.none() | st.floats(0, 100))
def test_each_source_serves_one_wanted_band_at_most(source: BandSet, wanted: BandSet, tolerance: float | None) -> None:
    match = source.match(wanted, tolerance)
    found = [index for index in match.indices if index is not None]
    assert len(found) == len(set(found))
    assert len(match.indices) == len(match.how) == len(wanted)
    for band, index, how in zip(wanted, match.indices, match.how, strict=True):
        assert (index is None) == (how is None)
        if index is not None:
            served = source[index]
            assert band.kind == served.kind or "variable" in (band.kind, served.kind)
            assert how != "name" or band.name == served.name


@settings(deadline=None, max_examples=100)
@given(band_sets)
def test_matching_a_set_against_itself_is_the_identity(source: BandSet) -> None:
    match = source.match(source)
    assert match.require() == tuple(range(len(source)))
    assert set(match.how) <= {"name"}


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(13)), st.integers(1, 13))
def test_the_order_of_the_source_does_not_matter(order: list[int], count: int) -> None:
    full = sensors.load("hls_s30").bands
    shuffled = BandSet(tuple(full[index] for index in order))
    wanted = sensors.load("hls_l30").bands
    assert pairs(shuffled, wanted) == pairs(full, wanted)
    fewer = shuffled[:count]
    assert pairs(fewer, full)[fewer[0].name] == fewer[0].name
