"""Damaged and malicious NetCDF and Zarr stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numcodecs
import numpy as np
import pytest
from hostile_seeds import Bench, netcdf, survive, use_scene, zarr

import swath
from swath.cubes.declared import check_netcdf
from swath.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def test_damaged_stores(bench: Callable[[str], Bench]) -> None:
    counts = survive(bench("store"), 40)
    assert min(counts.values()) > 1


class Bomb:
    """Unpickled, it touches the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_pickles_in_a_zarr_store_are_never_read(tmp_path: Path, canary: Path, place: str) -> None:
    zarr(tmp_path, 2)
    metadata = tmp_path / "scene.zarr" / "red" / ".zarray"
    content = json.loads(metadata.read_text())
    content[place] = {"id": "pickle"} if place == "compressor" else [{"id": "pickle", "protocol": 5}]
    metadata.write_text(json.dumps(content))
    chunk = numcodecs.Pickle().encode(np.array([Bomb(canary)], dtype=object))
    (tmp_path / "scene.zarr" / "red" / "0.0.0").write_bytes(chunk)
    with pytest.raises(InputError, match="codec 'pickle'"):
        use_scene(tmp_path)


def test_a_zarr_3_store_with_a_strange_codec(tmp_path: Path) -> None:
    zarr(tmp_path, 3)
    metadata = tmp_path / "scene.zarr" / "red" / "zarr.json"
    content = json.loads(metadata.read_text())
    content["codecs"] = [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]
    metadata.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"codec 'numcodecs\.pickle'"):
        use_scene(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [10**9, 10**9, 10**9]}, "pixels along one side"),
        ({"shape": [10**6, 10**6, 10**6], "chunks": [1, 10**6, 10**6]}, "numbers"),
        ({"chunks": [1, 10**6, 10**6]}, "bytes in one stored block or chunk"),
        ({"shape": [1, 400_000, 400_000], "chunks": [1, 1, 1]}, "stored chunks"),
        ({"shape": [-1, 2, 2]}, "declares the shape"),
        ({"shape": "x"}, "declares the shape"),
    ],
)
def test_what_a_zarr_array_declares(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    zarr(tmp_path, 2)
    metadata = tmp_path / "scene.zarr" / "red" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | changes))
    with pytest.raises(InputError, match=said):
        use_scene(tmp_path)


def test_metadata_that_nest_a_hundred_thousand_deep(tmp_path: Path) -> None:
    zarr(tmp_path, 3)
    (tmp_path / "scene.zarr" / "red" / "zarr.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="RecursionError"):
        use_scene(tmp_path)


def test_a_damaged_chunk_is_told_when_it_is_read(tmp_path: Path) -> None:
    zarr(tmp_path, 2)
    (tmp_path / "scene.zarr" / "red" / "0.0.0").write_bytes(b"\x02\x01\x21\x04" + b"\xf0\0\0\0" + b"\xff" * 8)
    with pytest.raises(InputError, match="cannot be read as Zarr"):
        use_scene(tmp_path)


def test_hdf5_leads_to_no_other_file(tmp_path: Path) -> None:
    (secret,) = netcdf(tmp_path)
    secret = secret.rename(tmp_path / "other.nc")
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["red"] = h5py.ExternalLink(str(secret), "/red")
    layout = h5py.VirtualLayout(shape=(2, 12, 20), dtype="f4")
    layout[:] = h5py.VirtualSource(str(secret), "red", shape=(2, 12, 20))
    with h5py.File(tmp_path / "b.nc", "w") as file:
        file.create_virtual_dataset("red", layout)
    with h5py.File(tmp_path / "c.nc", "w") as file:
        file.create_dataset("red", (8,), "u1", external=[("/etc/hostname", 0, 8)])
    for name in "abc":
        with pytest.raises(InputError, match="does not follow from inside a file"):
            swath.open(tmp_path / f"{name}.nc")


def test_hdf5_groups_in_circles_and_giant_arrays(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["one/two"] = file.create_group("three")
        file["three/again"] = file["one"]
    with h5py.File(tmp_path / "b.nc", "w") as file:
        file.create_dataset("red", (10**6, 10**6), "f4", chunks=(100, 100))
    with h5py.File(tmp_path / "c.nc", "w") as file:
        file.create_dataset("red", (20_000, 20_000), "f4", chunks=(20_000, 20_000))
    for name, said in (("a", "lie in each other"), ("b", "numbers"), ("c", "bytes in one stored block")):
        with pytest.raises(InputError, match=said):
            swath.open(tmp_path / f"{name}.nc")


def test_a_good_file_passes(tmp_path: Path) -> None:
    (path,) = netcdf(tmp_path)
    check_netcdf(path)
    use_scene(tmp_path)
