"""The readers of series, tables and cubes that are no rasters: what they promise, and what each knows of its data."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from swath.errors import InputError
from swath.sources.published import eolearn, jasper_ridge, presto_tables, sits
from swath.sources.published.arrays import array_problems, read_array
from swath.sources.published.common import UNLABELLED
from swath.types import IGNORE

READER = pytest.mark.parametrize("reader", [eolearn, jasper_ridge, presto_tables, sits], ids=lambda each: each.NAME)
VICTIMS = {
    "eolearn": eolearn.SCENES,
    "jasper_ridge": jasper_ridge.FILE,
    "presto_tables": f"npy/{presto_tables.SERIES}",
    "sits": f"samples/{sits.SETS[0]}.csv.gz",
}


@READER
def test_a_fake_tree_is_without_problems(reader: ModuleType, tmp_path: Path) -> None:
    root = reader.write_fake(tmp_path / "tree", 0)
    assert reader.check(root) == []
    described = reader.describe(root)
    assert described.name == reader.NAME and described.records > 0
    assert set(described.labels) == ({*described.classes, UNLABELLED} if described.classes else set())
    assert all(path.is_file() for path in reader.files(root))
    json.dumps(described.as_dict())


@READER
def test_the_fingerprint_follows_the_bytes(reader: ModuleType, tmp_path: Path) -> None:
    if reader is jasper_ridge:
        pytest.skip("a MATLAB file holds the time at which it was written")
    prints = [
        reader.describe(reader.write_fake(tmp_path / name, seed)).fingerprint
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert prints[0] == prints[1] != prints[2]


@READER
def test_no_directory_and_an_empty_one(reader: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        reader.open(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no file"):
        reader.open(tmp_path)


@READER
def test_a_damaged_file_is_a_problem_and_not_a_crash(reader: ModuleType, tmp_path: Path) -> None:
    root = reader.write_fake(tmp_path, 0)
    (root / VICTIMS[reader.NAME]).write_bytes(b"\x93NUMPY no")
    (problem, *_) = reader.check(root)
    assert Path(VICTIMS[reader.NAME]).name in problem


def test_an_array_has_the_shape_and_type_that_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 2), np.float32))
    assert read_array(path, (None, 2)).shape == (3, 2)
    for shape, kinds in (((None, 3), "f"), ((None,), "f"), ((3, 2), "iu")):
        with pytest.raises(InputError, match=r"float32 of shape \(3, 2\)"):
            read_array(path, shape, kinds)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        read_array(path, (None,), "O")
    np.save(path, np.array([np.nan, 1.0]))
    assert array_problems(path, (2,)) == ["a.npy: 1 numbers are NaN or infinite"]
    assert "is missing" in array_problems(tmp_path / "b.npy", (2,))[0]


def test_eolearn_classes_dates_and_place(tmp_path: Path) -> None:
    patch = eolearn.open(eolearn.write_fake(tmp_path, 0))
    scenes, bands = patch.scenes()
    assert scenes.shape == (3, 13, 40, 40) and bands.names[8] == "B8A"
    times = patch.times()
    assert patch.scene_times() == (times[0], times[2], times[4])
    use = patch.land_use()
    assert use[0, 0] == IGNORE and set(np.unique(use)) == {IGNORE, 0, 1, 2, 3, 4}
    lon, lat = patch.lonlat()
    assert (round(lon, 1), round(lat, 1)) == (14.6, 45.9)
    values, valid = patch.ndvi()
    assert values.shape == valid.shape == (6, 40, 40) and not valid.all() and (values[~valid] == 0).all()


def test_eolearn_scenes_of_other_dates_have_none(tmp_path: Path) -> None:
    root = eolearn.write_fake(tmp_path, 0)
    series = np.load(root / eolearn.NDVI)
    series[2] = 0.9
    np.save(root / eolearn.NDVI, series)
    assert eolearn.open(root).scene_times()[1] is None


def test_eolearn_strange_land_use_is_named(tmp_path: Path) -> None:
    root = eolearn.write_fake(tmp_path, 0)
    use = np.load(root / eolearn.LAND_USE)
    use[5, 5] = 7
    np.save(root / eolearn.LAND_USE, use)
    with pytest.raises(InputError, match="holds the land use 7"):
        eolearn.open(root).land_use()
    assert any("land use 7" in problem for problem in eolearn.check(root))


def test_jasper_ridge_is_stored_column_by_column(tmp_path: Path) -> None:
    from scipy.io import loadmat, savemat

    root = jasper_ridge.write_fake(tmp_path, 0)
    scene, stored = jasper_ridge.open(root), loadmat(tmp_path / jasper_ridge.FILE)
    assert scene.values.shape == (24, 40, 40) and scene.shares.shape == (4, 40, 40)
    assert scene.values[3, 5, 7] == stored["Y"][3, 7 * 40 + 5]
    assert scene.bands[0].wavelength_nm == 380.0 and scene.bands.names[0] == "A001"
    np.testing.assert_allclose(scene.shares.sum(axis=0), 1)
    stored["A"][0, :3] += 0.5
    savemat(tmp_path / jasper_ridge.FILE, {name: stored[name] for name in ("Y", "A", "M", "SlectBands")})
    assert jasper_ridge.check(root) == [f"{jasper_ridge.FILE}: the shares of 3 pixels do not sum to 1"]
    savemat(tmp_path / jasper_ridge.FILE, {"Y": stored["Y"], "A": stored["A"][:2], "SlectBands": stored["SlectBands"]})
    with pytest.raises(InputError, match=r"'A' of .* has shape"):
        jasper_ridge.open(root)


def test_presto_units_places_and_split(tmp_path: Path) -> None:
    root = presto_tables.write_fake(tmp_path, 0)
    table, stored = presto_tables.open(root), np.load(root / "npy" / presto_tables.SERIES)
    assert len(table) == 120 and table.bands.names[:3] == ("VV", "VH", "B02")
    np.testing.assert_allclose(table.values[..., 4], stored[..., 4] / 10_000, rtol=1e-6)
    np.testing.assert_allclose(table.values[..., 13], stored[..., 13], rtol=1e-6)
    assert (table.lonlat[:, 1] > 40).all() and (table.lonlat[:, 0] < -80).all()
    assert table.is_test.sum() == 40 and len(set(table.group)) == 30


def test_presto_cells_are_groups_where_no_site_is_named(tmp_path: Path) -> None:
    table = presto_tables.open(presto_tables.write_fake(tmp_path, 0, named_sites=False))
    assert table.group[0].startswith("cell ") and table.group[0] == table.group[30]


def test_presto_problems(tmp_path: Path) -> None:
    root = presto_tables.write_fake(tmp_path, 0)
    np.save(root / "npy" / "is_test.npy", (np.arange(120) < 60).astype(np.int64))
    assert "lies in both parts of the split" in presto_tables.check(root)[0]
    np.save(root / "npy" / "target.npy", np.zeros(119))
    assert "differ in length" in presto_tables.check(root)[0]
    np.save(root / "npy" / "target.npy", np.zeros(120))
    np.save(root / "npy" / "month.npy", np.full((120, 3), 12))
    with pytest.raises(InputError, match="holds 12 to 12"):
        presto_tables.open(root)


def test_sits_series_are_in_order_of_their_dates(tmp_path: Path) -> None:
    root = sits.write_fake(tmp_path, 0)
    path = root / "samples" / f"{sits.SETS[0]}.csv.gz"
    table = pd.read_csv(path)
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    (series,) = sits.open(root)
    assert len(series) == 96 and series.values.shape == (96, 12, 1)
    assert series.classes == ("Cerrado", "Forest", "Pasture", "Soy_Corn")
    assert (np.diff(series.times, axis=1) > np.timedelta64(0)).all()
    assert series.values[0, 0, 0] == pytest.approx(table["NDVI"][0], abs=1e-6)
    assert sits.describe(root).missing == ("cerrado_2classes.csv.gz", "samples_l8_rondonia_2bands.csv.gz")


def test_sits_ragged_and_missing(tmp_path: Path) -> None:
    root = sits.write_fake(tmp_path, 0)
    path = root / "samples" / f"{sits.SETS[0]}.csv.gz"
    table = pd.read_csv(path)
    table.loc[3, "NDVI"] = np.nan
    table.to_csv(path, index=False)
    assert sits.check(root) == [f"{path.name}: 1 values are missing"]
    table.iloc[:-1].to_csv(path, index=False)
    assert "with 11 and with 12 dates" in sits.check(root)[0]
    table.drop(columns="label").to_csv(path, index=False)
    assert "lacks label" in sits.check(root)[0]


def test_the_real_files(real_data: Path) -> None:
    """Shapes that the data's own descriptions tell."""
    assert jasper_ridge.open(real_data / "hyperspectral_jasper_ridge").values.shape == (198, 100, 100)
    fuel = presto_tables.open(real_data / "presto_fuel_moisture")
    assert len(fuel) == 2313 and fuel.is_test.sum() == 735 and len(set(fuel.group)) == 150
    algae = presto_tables.open(real_data / "presto_algae_blooms")
    assert len(algae) == 1122 and algae.is_test.sum() == 345
    assert [len(each) for each in sits.open(real_data / "sits_modis_s2")] == [1218, 746, 160]
    patch = eolearn.open(real_data / "eolearn_eopatch")
    assert patch.scenes()[0].shape == (5, 13, 101, 100) and len(patch.times()) == 68
