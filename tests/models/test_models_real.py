"""Real fuel-moisture pixels through the whole way: bands, units, dates, places, real weights, a linear head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_batches import COVER, S1, TERRAIN, WEATHER, seconds
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from swath import models, sensors
from swath.errors import ConfigError, InputError
from swath.grids import LatLon
from swath.sensors import BandSet
from swath.types import Batch, Modality

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def fuel_moisture(folder: Path) -> Batch:
    """All 2313 pixels with three dates each, in physical units."""
    raw, month, latlon, cover = (
        np.load(folder / f"{name}.npy") for name in ("s1_s2_era5_srtm", "month", "latlon", "dynamic_world")
    )
    turns = np.cumsum(np.diff(month, axis=1) < 0, axis=1)
    years = 2017 + np.concatenate([np.zeros((len(month), 1), int), turns], axis=1)
    rows = [
        seconds(*[f"{y}-{m + 1:02d}-15" for y, m in zip(*row, strict=True)]) for row in zip(years, month, strict=True)
    ]
    time = torch.tensor(rows)
    grid = tuple(LatLon.point(lon=float(lon), lat=float(lat)) for lat, lon in latlon)

    def part(bands: BandSet, values: np.ndarray) -> Modality:
        numbers = torch.from_numpy(np.ascontiguousarray(values, np.float32))[..., None, None]
        return Modality(numbers, torch.ones_like(numbers, dtype=torch.bool), bands, time, grid)

    inputs = {
        "radar": part(S1, raw[:, :, :2]),
        "optical": part(sensors.load("sentinel2_l1c").bands.select(OPTICAL), raw[:, :, 2:13] / 1e4),
        "weather": part(WEATHER, raw[:, :, 13:15]),
        "terrain": part(TERRAIN, raw[:, :, 15:17]),
        "cover": part(COVER, cover[:, :, None]),
    }
    return Batch(inputs, ids=tuple(str(row) for row in range(len(raw))))


def test_linear_heads_reach_the_scores_that_were_stored(real_data: Path) -> None:
    """The data's own page gives 25.02 (ridge, alpha 316) and 27.11 (least squares) with the published code."""
    folder = real_data / "presto_fuel_moisture" / "npy"
    target, test = np.load(folder / "target.npy"), np.load(folder / "is_test.npy").astype(bool)
    features = models.load("presto").encode(fuel_moisture(folder)).points().numpy()
    scaled = StandardScaler().fit(features[~test]).transform(features)
    for head, wanted in ((Ridge(alpha=10**2.5), 25.02), (LinearRegression(), 27.11)):
        made = head.fit(scaled[~test], target[~test]).predict(scaled[test])
        assert np.sqrt(np.mean((made - target[test]) ** 2)) == pytest.approx(wanted, abs=0.02)


def test_the_front_door_loads_encoders_by_name_and_says_what(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import swath

    file = real_data / "galileo_nano_weights" / "encoder.pt"
    assert swath.load("galileo_nano", path=file).name == "galileo_nano"
    assert "checksum agrees" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"'galileo' is not the name of an encoder.*nearest names are: galileo_nano"):
        swath.load("galileo", path=file)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presto").mkdir()
    with pytest.raises(InputError, match="no checkpoint"):
        swath.load("./presto")
