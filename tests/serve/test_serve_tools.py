"""The two set-up scripts of the room, without network and without rights."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"

FAKE_NPM = """#!/bin/sh
# npm pack PACKAGE --silent --ignore-scripts --pack-destination FOLDER
echo "$@" >> "{log}"
for last in "$@"; do :; done
cp "{folder}/$(echo "$2" | tr @ -).tgz" "$last/"
"""


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script with a package of its own making and an npm that delivers it."""
    specification = importlib.util.spec_from_file_location("fetch_maplibre", TOOLS / "fetch_maplibre.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "fetch_maplibre", module)  # where dataclasses look their module up
    specification.loader.exec_module(module)
    packages = []
    for package in module.PACKAGES:
        archive = tmp_path / f"{package.name}-{package.version}.tgz"
        with tarfile.open(archive, "w:gz") as packed:
            for name in (*package.files, "dist/unwanted.map"):
                content = f"content of {name}".encode()
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
        packages.append(replace(package, sha512=hashlib.sha512(archive.read_bytes()).hexdigest()))
    programs = tmp_path / "programs"
    programs.mkdir()
    npm = programs / "npm"
    npm.write_text(FAKE_NPM.format(log=tmp_path / "log", folder=tmp_path))
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "ROOT", tmp_path / "project")
    monkeypatch.setattr(module, "PACKAGES", tuple(packages))
    return module


def folder_of(fetcher: ModuleType) -> Path:
    """Where MapLibre GL, the first package, belongs."""
    return Path(fetcher.ROOT / fetcher.PACKAGES[0].target)


def test_the_map_library_is_fetched_once(fetcher: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert fetcher.main() == 0
    target = folder_of(fetcher)
    files = {path.name: path.read_text() for path in target.iterdir()}
    assert set(files) == {Path(name).name for name in fetcher.PACKAGES[0].files} | {"VERSION"}
    assert files["maplibre-gl.css"] == "content of dist/maplibre-gl.css"
    assert [path.name for path in target.parent.iterdir()] == ["vendor"]
    capsys.readouterr()
    assert fetcher.main() == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "log").read_text().count("pack maplibre-gl@") == 1
    reader = fetcher.ROOT / fetcher.PACKAGES[1].target
    assert {path.name for path in reader.iterdir()} == {"geotiff.js", "LICENSE", "VERSION"}


def test_an_old_or_incomplete_copy_is_replaced(fetcher: ModuleType) -> None:
    folder_of(fetcher).mkdir(parents=True)
    (folder_of(fetcher) / "VERSION").write_text("maplibre-gl 1.0.0 0\n")
    (folder_of(fetcher) / "left-over.js").write_text("")
    assert fetcher.main() == 0
    assert not (folder_of(fetcher) / "left-over.js").exists()
    (folder_of(fetcher) / "maplibre-gl.css").unlink()
    assert fetcher.main() == 0
    assert (folder_of(fetcher) / "maplibre-gl.css").is_file()


def test_another_file_than_the_published_one_is_refused(
    fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(fetcher, "PACKAGES", (replace(fetcher.PACKAGES[0], sha512="0" * 128),))
    assert fetcher.main() == 1
    assert "is not the published file" in capsys.readouterr().err
    assert not folder_of(fetcher).exists()


def test_an_npm_that_fails_is_quoted(fetcher: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "programs" / "npm").write_text("#!/bin/sh\necho 'no route' >&2\nexit 1\n")
    assert fetcher.main() == 1
    assert "npm could not deliver maplibre-gl 6.17.0 (no route)" in capsys.readouterr().err
    assert not folder_of(fetcher).exists()


def test_no_npm_and_no_way_to_get_it(
    fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", shutil.which("false") or "/bin/false")
    assert fetcher.main() == 1
    assert "Install Node.js with npm, then run this again" in capsys.readouterr().err


def installer(tmp_path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run the chromium script where only the given programs exist."""
    folder = tmp_path / "only"
    folder.mkdir()
    for name in ("mktemp", "rm", "tail", "env"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, script in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(TOOLS / "install_chromium.sh")],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("programs", "sentence"),
    [
        ({"chromium": "exit 0"}, "already installed"),
        ({"id": "echo 0"}, "no apt-get on this machine"),
        ({"apt_get": "exit 1", "id": "echo 1000"}, "needs root"),
        ({"apt_get": "exit 1", "id": "echo 1000", "sudo": "exit 1"}, "needs root"),
        ({"apt_get": "echo broken; exit 1", "id": "echo 0"}, "will be skipped; its last words:\nbroken"),
        ({"apt_get": "exit 0", "id": "echo 0"}, "installed chromium"),
    ],
)
def test_installing_chromium_never_stops_the_set_up(tmp_path: Path, programs: dict[str, str], sentence: str) -> None:
    done = installer(tmp_path, **programs)
    assert done.returncode == 0
    assert sentence in done.stdout
    assert done.stderr == ""
