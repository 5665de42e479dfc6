"""What one sensor or model saw: values, validity, bands, time and place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swath import grids
from swath.errors import ContractError
from swath.sensors import BandSet

if TYPE_CHECKING:
    import torch
    from torch import Tensor

AXES = ("sample", "time", "band", "y", "x")
AXES_WITH_FACES = ("sample", "time", "band", "face", "y", "x")


@dataclass(frozen=True, eq=False)
class Modality:
    """Values of one sensor (or model) for a batch of samples.

    Axes are always sample, time, band, y, x: ``(B, T, C, H, W)``. One date keeps its axis (T = 1), a point or a
    station is H = W = 1, and only a HEALPix grid adds faces: ``(B, T, C, F, H, W)``.

    Args:
        values: float32, physical units as the bands declare them; finite everywhere (invalid places are filled).
        valid: bool, broadcastable to ``values``; True where a value may be used.
        bands: C bands in the order of the band axis.
        time: int64 ``(B, T)``, seconds since 1970-01-01 UTC; not decreasing along T.
        grid: one grid per sample, each of shape (H, W) or (F, H, W).
    """

    values: Tensor
    valid: Tensor
    bands: BandSet
    time: Tensor
    grid: tuple[grids.Grid, ...]

    @property
    def batch_size(self) -> int:
        """Number of samples B."""
        return int(self.values.shape[0])

    @property
    def has_faces(self) -> bool:
        """Whether the values carry a HEALPix face axis."""
        return self.values.ndim == len(AXES_WITH_FACES)

    def to(self, device: torch.device | str) -> Modality:
        """The same modality with its tensors on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ("values", "valid", "time")}
        return replace(self, **moved)

    def year_doy(self) -> tuple[Tensor, Tensor]:
        """Calendar year and 0-based day of year, both int64 ``(B, T)``."""
        import torch

        days = self.time.cpu().numpy().astype("datetime64[s]").astype("datetime64[D]")
        years = days.astype("datetime64[Y]")
        doy = (days - years.astype("datetime64[D]")).astype(np.int64)
        device = self.time.device
        return torch.from_numpy(years.astype(np.int64) + 1970).to(device), torch.from_numpy(doy).to(device)

    def hour(self) -> Tensor:
        """Hour of day in UTC, float32 ``(B, T)`` in [0, 24)."""
        return (self.time % 86_400).float() / 3_600

    def lonlat(self) -> Tensor:
        """Longitude and latitude of cell centres in degrees, float32 ``(B, 2, [F,] H, W)``.

        Raises:
            ContractError: a grid lies nowhere on Earth.
        """
        import torch

        # Samples often share a grid (the whole globe, one station), and projecting is not cheap.
        places = {grid: torch.from_numpy(np.stack(grids.lonlat(grid))).float() for grid in set(self.grid)}
        stacked = [places[grid] for grid in self.grid]
        empty = torch.empty((0, 2, *self.values.shape[3:]))
        return (torch.stack(stacked) if stacked else empty).to(self.values.device)

    def gsd_m(self) -> Tensor:
        """Ground sampling distance in metres, float32 ``(B,)``."""
        import torch

        sizes = {grid: grids.gsd_m(grid) for grid in set(self.grid)}
        return torch.tensor([sizes[grid] for grid in self.grid], dtype=torch.float32, device=self.values.device)

    def check(self, name: str = "modality") -> None:
        """Raise a plain sentence if the contract is broken.

        Raises:
            ContractError: a type, shape, count or value is not as the class says.
        """
        self._check_tensors(name)
        self._check_shapes(name)
        self._check_grids(name)
        self._check_content(name)

    def _check_tensors(self, name: str) -> None:
        import torch

        wanted = {"values": torch.float32, "valid": torch.bool, "time": torch.int64}
        for field, dtype in wanted.items():
            tensor = getattr(self, field)
            if not isinstance(tensor, torch.Tensor):
                raise ContractError(
                    f"'{name}.{field}' is a {type(tensor).__name__}",
                    expected="a torch tensor",
                    remedy="convert it with torch.from_numpy",
                )
            if tensor.dtype != dtype:
                raise ContractError(
                    f"'{name}.{field}' has dtype {str(tensor.dtype).removeprefix('torch.')}",
                    expected=str(dtype).removeprefix("torch."),
                    remedy="convert it before building the batch; raw numbers go through Sensor.to_physical first",
                )
        if not isinstance(self.bands, BandSet):
            raise ContractError(
                f"'{name}.bands' is a {type(self.bands).__name__}",
                expected="a BandSet",
                remedy="load the sensor and take its bands, or use BandSet.of for bare names",
            )

    def _check_shapes(self, name: str) -> None:
        import torch

        # An empty batch has no grid that could tell.
        faces = any(grids.has_faces(grid) for grid in self.grid) if self.grid else self.has_faces
        axes = AXES_WITH_FACES if faces else AXES
        if self.values.ndim != len(axes):
            raise ContractError(
                f"'{name}.values' has shape {tuple(self.values.shape)}",
                expected=f"the {len(axes)} axes {', '.join(axes)}",
                remedy="keep axes of length 1: one date is T = 1, one point is H = W = 1"
                + ("; a HEALPix grid needs its face axis" if faces else ""),
            )
        if self.values.shape[2] != len(self.bands):
            raise ContractError(
                f"'{name}.values' has {self.values.shape[2]} channels but {len(self.bands)} bands "
                f"({', '.join(self.bands.names)})",
                expected="one band per channel on axis 2",
                remedy="check the axis order (time, band, y, x) and the band list",
            )
        try:
            fits = torch.broadcast_shapes(self.valid.shape, self.values.shape) == self.values.shape
        except RuntimeError:
            fits = False
        if not fits or self.valid.ndim != self.values.ndim:
            raise ContractError(
                f"'{name}.valid' has shape {tuple(self.valid.shape)} and the values {tuple(self.values.shape)}",
                expected="the same number of axes, each equal or 1",
                remedy="add axes of length 1, for example valid[:, :, None] for a mask shared by all bands",
            )
        if tuple(self.time.shape) != tuple(self.values.shape[:2]):
            raise ContractError(
                f"'{name}.time' has shape {tuple(self.time.shape)}",
                expected=f"(sample, time) = {tuple(self.values.shape[:2])}",
                remedy="give one time in seconds UTC for every sample and date",
            )

    def _check_grids(self, name: str) -> None:
        if len(self.grid) != self.batch_size:
            raise ContractError(
                f"'{name}.grid' holds {len(self.grid)} grids for {self.batch_size} samples",
                expected="one grid per sample",
                remedy="repeat the grid for samples that share it",
            )
        space = tuple(self.values.shape[3:])
        for position, grid in enumerate(self.grid):
            if grids.shape(grid) != space:
                raise ContractError(
                    f"'{name}.grid[{position}]' has shape {grids.shape(grid)} and the values {space}",
                    expected="the same numbers of rows and columns",
                    remedy="cut the grid together with the values",
                )

    def _check_content(self, name: str) -> None:
        import torch

        if not bool(torch.isfinite(self.values).all()):
            broken = torch.nonzero(~torch.isfinite(self.values).flatten(1).all(1)).flatten().tolist()
            raise ContractError(
                f"'{name}.values' holds NaN or infinite numbers in samples {broken[:8]}",
                expected="finite values everywhere, with valid = False where data are missing",
                remedy="mark them in 'valid' and fill the values, for example with 0 after normalising",
            )
        if self.time.shape[1] > 1 and bool((self.time.diff(dim=1) < 0).any()):
            raise ContractError(
                f"'{name}.time' goes backwards along the time axis",
                expected="dates in order, oldest first",
                remedy="sort the dates and the values together",
            )
