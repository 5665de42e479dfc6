"""Splits of chips from many tiles, and class weights."""

from __future__ import annotations

from collections import Counter
from typing import Any

import geopandas
import numpy as np
import pytest
from shapely.geometry import box

from swath.chips.archive.groups import class_weights, split_by_cluster, split_by_distance, split_by_year
from swath.errors import ConfigError, InputError


class Places:
    """As much of a chip set as a split looks at: chips around tile centres."""

    size = 10

    def __init__(self, centres: list[tuple[float, float]], chips: int = 5, years: list[int] | None = None) -> None:
        rows = []
        for tile, (lon, lat) in enumerate(centres):
            for chip in range(chips):
                year = (years or [2020])[(tile + chip) % len(years or [2020])]
                rows.append({
                    "id": f"t{tile:02d}_{chip}", "group": f"tile{tile:02d}", "row": 1000 * tile, "column": 10 * chip,
                    "year": year, "geometry": box(lon, lat, lon + 0.01, lat + 0.01),
                })  # fmt: skip
        self.index = geopandas.GeoDataFrame(rows, geometry="geometry", crs=4326)

    def times(self, ids: list[str]) -> Any:
        years = self.index.set_index("id").loc[ids, "year"].to_numpy()
        return (years - 1970)[:, None] * 31_556_952 + 15_000_000


def parts(split: Any) -> dict[str, set[str]]:
    table = split.table.assign(tile=split.table["id"].str[:3])
    return {name: set(part["tile"]) for name, part in table.groupby("split")}


def test_clusters_stay_whole_and_no_tile_lies_in_two_parts() -> None:
    random = np.random.default_rng(2)
    places = Places([(float(x), float(y)) for x, y in random.uniform((-170, -60), (170, 60), (30, 2))])
    split = split_by_cluster(places, clusters=12, seed=1)
    found = parts(split)
    assert not (found["train"] & found["test"] or found["train"] & found["validation"])
    counts = Counter(split.table["split"])
    assert counts["test"] >= 0.2 * 150
    assert counts["validation"] >= 0.2 * 150
    assert counts["train"] > 30
    assert split_by_cluster(places, clusters=12, seed=1).hash == split.hash
    places.index = places.index.sample(frac=1.0, random_state=3)
    assert split_by_cluster(places, clusters=12, seed=1).hash == split.hash
    assert split_by_cluster(places, clusters=12, seed=2).hash != split.hash


def test_the_antimeridian_tears_no_cluster_apart() -> None:
    places = Places([(179.9, 0.0), (-179.9, 0.0), (0.0, 50.0), (60.0, 0.0), (-60.0, -40.0)])
    split = split_by_cluster(places, clusters=4, test=0.2, validation=0.0)
    groups = dict(zip(split.table["id"].str[:3], split.table["group"], strict=True))
    assert groups["t00"] == groups["t01"]
    assert len(set(groups.values())) == 4
    near = split_by_distance(places, km=30.0, test=0.2, validation=0.0)
    joined = dict(zip(near.table["id"].str[:3], near.table["group"], strict=True))
    assert joined["t00"] == joined["t01"]


def test_distance_joins_transitively_and_exactly() -> None:
    degree = 111.19492664455873  # kilometres on a sphere of the mean radius
    line = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (10.0, 0.0), (20.0, 0.0)]
    split = split_by_distance(Places(line, chips=1), km=degree * 1.001, test=0.2, validation=0.2)
    groups = split.table.set_index("id")["group"]
    assert groups["t00_0"] == groups["t01_0"] == groups["t02_0"]
    assert len(set(groups)) == 3
    apart = split_by_distance(Places(line, chips=1), km=degree * 0.999, test=0.2, validation=0.2)
    assert len(set(apart.table["group"])) == 5
    with pytest.raises(InputError, match=r"train.*empty|empty"):
        split_by_distance(Places(line, chips=1), km=5000.0)


def test_years_newest_for_test_and_same_places_only_on_request() -> None:
    places = Places([(0.0, 0.0), (30.0, 0.0), (60.0, 0.0), (90.0, 0.0)], chips=4, years=[2018, 2019, 2020, 2021])
    split = split_by_year(places, test=0.2, validation=0.2)
    by = {name: set(part["group"]) for name, part in split.table.groupby("split")}
    assert by == {"test": {"2021"}, "validation": {"2020"}, "train": {"2018", "2019"}}
    places.index["column"] = 0  # now all years see the same places
    with pytest.raises(InputError, match="same_place"):
        split_by_year(places, test=0.2, validation=0.2)
    again = split_by_year(places, test=0.2, validation=0.2, same_place=True)
    assert set(again.table["split"]) == {"train", "validation", "test"}


def test_chips_that_overlap_test_chips_are_not_used() -> None:
    places = Places([(0.0, 0.0), (30.0, 0.0), (60.0, 0.0)], chips=2)
    places.index["row"] = [0, 0, 9, 50, 100, 100]  # a chip of the second tile shares a row of pixels with the first
    places.index["column"] = [0, 10, 10, 10, 0, 10]
    split = split_by_distance(places, km=10.0, test=0.3, validation=0.0)
    said = split.table.set_index("id")["split"]
    assert said["t00_0"] == said["t00_1"] == "test"
    assert said["t01_0"] == "unused"
    assert said["t01_1"] == "train"


@pytest.mark.parametrize("options", [{"test": 1.0}, {"validation": -0.1}, {"test": 0.6, "validation": 0.5}])
def test_odd_shares(options: dict) -> None:
    with pytest.raises(ConfigError, match="shares"):
        split_by_cluster(Places([(0.0, 0.0), (9.0, 0.0), (20.0, 0.0)]), **options)
    with pytest.raises(ConfigError):
        split_by_distance(Places([(0.0, 0.0)]), km=0.0)
    with pytest.raises(InputError, match="1 groups"):
        split_by_cluster(Places([(0.0, 0.0)]))


def test_class_weights_by_hand() -> None:
    assert class_weights({"dry": 30, "wet": 10}) == {"dry": 40 / 60, "wet": 2.0}
    with pytest.raises(InputError, match="snow"):
        class_weights({"dry": 30, "snow": 0})
    with pytest.raises(InputError, match="none"):
        class_weights({})
