"""Jasper Ridge: an AVIRIS scene of 100 x 100 pixels and 198 bands with the shares of four materials in every pixel.

Layout: ``jasperRidge2_R198.mat`` (MATLAB 5) with ``Y`` (198, 10000) uint16 counts up to 5437, pixels column by column;
``SlectBands`` (198, 1), which of the 224 channels were kept, from 1; ``A`` (4, 10000), shares that sum to 1; ``M``
(198, 4), the spectra of the materials tree, water, dirt, road.

The shares are themselves an estimate, made from the same scene by unmixing; whoever predicts them learns that estimate.
Wavelengths are not in the file: 224 channels are spread evenly from 380 to 2500 nm, which is right to about 10 nm.

Citation: Zhu, Wang, Xiang, Fan, Pan: Structured sparse method for hyperspectral unmixing. ISPRS Journal of
Photogrammetry and Remote Sensing 88, 2014.
Licence: none stated; AVIRIS imagery of NASA/JPL is in the public domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import limits, rng
from swath.errors import InputError
from swath.reading import reading
from swath.sensors import Band, BandSet
from swath.sources.published.common import Description, fingerprint, folder_of, nothing_in

NAME = "jasper_ridge"
FILE = "jasperRidge2_R198.mat"
MATERIALS = ("tree", "water", "dirt", "road")
CHANNELS, SHORTEST_NM, LONGEST_NM = 224, 380.0, 2500.0
BANDS, SIDE = 198, 100


@dataclass(frozen=True, eq=False)
class Scene:
    """The scene and its shares in memory.

    Args:
        values: float32 counts ``(band, y, x)``.
        bands: names ``A001`` .. by channel of the instrument, with approximate wavelengths.
        shares: float64 ``(material, y, x)``, each from 0 to 1, together 1.
    """

    values: NDArray[np.float32]
    bands: BandSet
    shares: NDArray[np.float64]


def open(root: Path | str) -> Scene:
    """The scene in ``root``.

    Raises:
        InputError: there is no such directory or file, it is damaged, or its arrays have other shapes.
    """
    folder = folder_of(root, NAME)
    path = folder / FILE
    if not path.is_file():
        raise nothing_in(folder, NAME, FILE)
    stored = _load(path)
    kept, pixels = stored["SlectBands"].ravel().astype(np.int64), stored["Y"].shape[1]
    side = round(pixels**0.5)
    shapes = {"Y": (len(kept), side * side), "A": (len(MATERIALS), side * side)}
    for name, shape in shapes.items():
        if stored[name].shape != shape:
            raise InputError(
                f"'{name}' of {path} has shape {stored[name].shape}",
                expected=f"{shape}: bands or materials, and the pixels of a square",
                remedy="download the data set again",
            )
    if len(kept) == 0 or kept.min() < 1 or kept.max() > CHANNELS or len(set(kept.tolist())) < len(kept):
        raise InputError(
            f"'SlectBands' of {path} does not list channels", expected=f"different numbers from 1 to {CHANNELS}",
            remedy="download the data set again",
        )  # fmt: skip
    # MATLAB stores a column of the picture at a time.
    values = stored["Y"].reshape(len(kept), side, side).transpose(0, 2, 1).astype(np.float32)
    shares = stored["A"].reshape(len(MATERIALS), side, side).transpose(0, 2, 1).astype(np.float64)
    return Scene(np.ascontiguousarray(values), bands(kept), np.ascontiguousarray(shares))


def bands(kept: NDArray[np.int64]) -> BandSet:
    """Bands of the channels ``kept``, numbered from 1."""
    step = (LONGEST_NM - SHORTEST_NM) / (CHANNELS - 1)
    return BandSet(
        tuple(
            Band(f"A{number:03d}", wavelength_nm=SHORTEST_NM + (number - 1) * step, width_nm=10.0, unit="counts")
            for number in kept.tolist()
        )
    )


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the file, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no scene in it.
    """
    if not (folder_of(root, NAME) / FILE).is_file():
        raise nothing_in(Path(root), NAME, FILE)
    try:
        scene = open(root)
    except InputError as error:
        return [error.given]
    found = []
    if not np.isfinite(scene.shares).all() or scene.shares.min() < -1e-6:
        found.append(f"{FILE}: shares below 0 or not finite")
    off = np.abs(scene.shares.sum(axis=0) - 1) > 1e-3
    if off.any():
        found.append(f"{FILE}: the shares of {int(off.sum())} pixels do not sum to 1")
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands and fingerprint.

    Raises:
        InputError: as ``open``.
    """
    scene = open(root)
    return Description(
        name=NAME,
        title="Jasper Ridge, AVIRIS with shares of four materials",
        citation="Zhu et al. 2014, ISPRS Journal of Photogrammetry and Remote Sensing 88",
        licence="none stated; AVIRIS imagery is in the public domain",
        records=1,
        bands={"aviris": scene.bands.names},
        classes=(),
        labels={},
        missing=(),
        fingerprint=fingerprint(Path(root), files(root)),
    )


def files(root: Path | str) -> list[Path]:
    """The files that ``open`` reads."""
    return [Path(root) / FILE]


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature scene: 40 x 40 pixels, 24 bands, smooth shares, mixed linearly with noise."""
    from scipy.io import savemat
    from scipy.ndimage import gaussian_filter

    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    random = rng.generator(seed, "fake jasper ridge")
    side, count = 40, 24
    rough = np.stack([gaussian_filter(random.normal(size=(side, side)), 4) for _ in MATERIALS])
    shares = np.exp(rough * 40)
    shares /= shares.sum(axis=0)
    spectra = random.uniform(200, 4000, (count, len(MATERIALS)))
    flat = shares.transpose(0, 2, 1).reshape(len(MATERIALS), -1)
    mixed = spectra @ flat + random.normal(0, 20, (count, side * side))
    kept = np.arange(1, CHANNELS, CHANNELS // count)[:count, None]
    savemat(
        folder / FILE,
        {"Y": np.clip(mixed, 0, 6000).astype(np.uint16), "A": flat, "M": spectra, "SlectBands": kept.astype(np.uint8)},
    )
    return folder


def _load(path: Path) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat

    limits.TEXT_BYTES.check(path.stat().st_size, path)
    wanted = ("Y", "A", "SlectBands")
    expected, remedy = f"a MATLAB 5 file with {', '.join(wanted)}", "download the data set again"
    with reading(path, expected=expected, remedy=remedy):
        stored = loadmat(path, variable_names=list(wanted))
        absent = [name for name in wanted if not isinstance(stored.get(name), np.ndarray) or stored[name].ndim != 2]
        if absent:
            raise InputError(f"{path} lacks {', '.join(absent)}", expected=expected, remedy=remedy)
        return {name: stored[name] for name in wanted}
