"""Doors to and from other libraries: TorchGeo's data sets, rslearn's windows, TerraTorch's data modules.

Nothing here imports a neighbour: data sets are taken by what they answer, files by how they lie.
"""

from __future__ import annotations

from swath.neighbours.rslearn import RslearnWindow, open_window, read_windows, write_windows
from swath.neighbours.terratorch import TerraTorchCheckpoint, load_encoder, read_checkpoint, write_terratorch
from swath.neighbours.torchgeo import TorchGeoBatches, from_torchgeo

__all__ = [
    "RslearnWindow",
    "TerraTorchCheckpoint",
    "TorchGeoBatches",
    "from_torchgeo",
    "load_encoder",
    "open_window",
    "read_checkpoint",
    "read_windows",
    "write_terratorch",
    "write_windows",
]
