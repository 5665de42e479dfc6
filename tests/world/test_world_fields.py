"""Fields: parcels that are whole, sized as real ones, shared out as the base says; crops in rotation."""

from __future__ import annotations

import numpy as np
import pytest
from fake_land import CELL, CROPLAND, FOREST, GRASSLAND, even_earth
from scipy import ndimage

from swath.errors import InputError
from swath.sources.world.earth.fields import LAND_USE, PHASES, ROTATIONS, crop_of
from swath.sources.world.frame import Window
from swath.sources.world.truth import CROPS, FALLOW, NO_CROP, PASTURE, RICE, WINTER_CEREAL

EARTH = even_earth()
PLOUGHED = 2 * PHASES


def test_the_share_of_fields_is_that_of_the_base() -> None:
    """An IGBP cropland has more than 60 % fields."""
    ploughed = [(even_earth(seed).read("rotation", CELL) >= PLOUGHED).mean() for seed in range(3)]
    assert np.mean(ploughed) == pytest.approx(0.75, abs=0.06)
    half = even_earth(covers={CROPLAND: 0.5, FOREST: 0.5}).read("rotation", CELL) >= PLOUGHED
    assert half.mean() == pytest.approx(0.375, abs=0.08)


@pytest.mark.parametrize("label", [FOREST, GRASSLAND])
def test_land_without_cropland_has_no_fields(label: int) -> None:
    layers = even_earth(covers={label: 1.0}).read_all(LAND_USE, CELL)
    assert layers["field"].max() == 0 == layers["rotation"].max()


def test_a_field_is_one_piece_of_one_use_within_the_classes_of_real_field_sizes() -> None:
    """Lesiv et al. 2019: fields run from well below 0.64 to above 100 hectares, most of them below 16."""
    layers = EARTH.read_all(LAND_USE, CELL)
    field, rotation = layers["field"], layers["rotation"]
    assert field.dtype == np.int64 and ((field > 0) == (rotation > 0)).all()
    numbers, first, counts = np.unique(field, return_index=True, return_counts=True)
    hectares = counts[numbers > 0] / 100.0
    assert 0.3 < np.median(hectares) < 16 and np.quantile(hectares, 0.99) < 100
    assert np.array_equal(rotation, rotation.ravel()[first][np.searchsorted(numbers, field)])
    inner = [number for number in np.unique(field[300:700, 300:700]) if number > 0][::20]
    for number in inner:
        pieces, _ = ndimage.label(field == number)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() >= 0.5 * sizes.sum()  # a road, a canal or the border of a district may cut it


def test_regions_differ_in_the_size_of_their_fields() -> None:
    medians = []
    for seed in range(5):
        _, counts = np.unique(even_earth(seed).read("field", CELL), return_counts=True)
        medians.append(np.median(counts[1:]))
    assert max(medians) > 2.0 * min(medians)


def test_fields_go_on_over_the_border_of_cells_with_the_same_bits() -> None:
    window = Window(CELL.zone, CELL.row - 40, CELL.column + 850, 120, 100)
    whole = EARTH.read_all(LAND_USE, window)
    border = whole["field"][39], whole["field"][40]
    assert (border[0][border[0] > 0] == border[1][border[0] > 0]).mean() > 0.7
    part = even_earth().read_all(LAND_USE, Window(CELL.zone, window.row + 30, window.column + 40, 50, 30))
    for name in LAND_USE:
        assert np.array_equal(part[name], whole[name][30:80, 40:70])
    assert not np.array_equal(even_earth(2).read("field", CELL) > 0, EARTH.read("field", CELL) > 0)


def test_numbers_are_unique_in_the_zone() -> None:
    far = Window(CELL.zone, -400_000, 30_000, 1000, 1000)
    near, other = (set(np.unique(EARTH.read("field", cell))) - {0} for cell in (CELL, far))
    assert near and other and not near & other


def test_fields_lie_on_dry_land_between_towns() -> None:
    layers = EARTH.read_all(("field", "open_water", "town_depth"), CELL)
    assert layers["field"][(layers["open_water"] >= 0.5) | (layers["town_depth"] > 0)].max() == 0


def test_crops_rotate() -> None:
    codes = np.arange(len(ROTATIONS) * PHASES, dtype=np.uint8).reshape(-1, PHASES)
    years = np.stack([crop_of(codes, year) for year in range(1980, 2101)])
    assert years.max() < len(CROPS.entries) and years.dtype == np.uint8
    for rotation, sequence in enumerate(ROTATIONS):
        own = years[:, rotation, 0].tolist()
        assert own[: len(own) - len(sequence)] == own[len(sequence) :]
        assert set(own) == set(sequence)
    assert (years[:, 0] == NO_CROP).all() and (years[:, 1] == PASTURE).all()
    for year in (1979, 2101):
        with pytest.raises(InputError):
            crop_of(codes, year)


@pytest.mark.parametrize(
    ("group", "usual", "rare"), [(0, RICE, WINTER_CEREAL), (1, FALLOW, RICE), (2, WINTER_CEREAL, RICE)]
)
def test_crops_suit_the_climate(group: int, usual: int, rare: int) -> None:
    earth = even_earth(group=group, roughness=5.0)
    counts = np.bincount(crop_of(earth.read("rotation", CELL), 2024).ravel(), minlength=len(CROPS.entries))
    assert counts[usual] > 1.5 * counts[rare]


def test_rice_grows_on_plains() -> None:
    plain, hills = (
        (crop_of(even_earth(group=0, roughness=rough).read("rotation", CELL), 2024) == RICE).mean()
        for rough in (5.0, 200.0)
    )
    assert plain > 0.1 > 10 * hills
