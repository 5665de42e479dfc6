"""GeoTIFFs on web servers: headers read once and kept, blocks planned and fetched in runs, costs counted.

connection = Connection(patience=Patience(per_minute=600))
file = RemoteFile(address, connection, HeaderIndex.of_user())
chips = file.windows([((0, 256), (512, 768)), ...])    # each (band, y, x); shared blocks are decoded once
connection.report.counts()
"""

from __future__ import annotations

from swath.cubes.remote.buckets import Buckets
from swath.cubes.remote.connection import Connection, Span
from swath.cubes.remote.file import RemoteFile, probe, shared_connection
from swath.cubes.remote.index import Header, HeaderIndex
from swath.cubes.remote.layout import UnsupportedError
from swath.cubes.remote.many import probe_all, read_windows
from swath.cubes.remote.part import part_of, parts_in, window_of
from swath.cubes.remote.patience import Clock, Patience
from swath.cubes.remote.plan import Run, blocks_of, runs_of
from swath.cubes.remote.report import RemoteReport
from swath.cubes.remote.scene import open_files, open_item
from swath.cubes.remote.sheet import Sheet, sheet_of
from swath.cubes.remote.signing import Bearer, Open, Sas, Signer

__all__ = [
    "Bearer",
    "Buckets",
    "Clock",
    "Connection",
    "Header",
    "HeaderIndex",
    "Open",
    "Patience",
    "RemoteFile",
    "RemoteReport",
    "Run",
    "Sas",
    "Sheet",
    "Signer",
    "Span",
    "UnsupportedError",
    "blocks_of",
    "open_files",
    "open_item",
    "part_of",
    "parts_in",
    "probe",
    "probe_all",
    "read_windows",
    "runs_of",
    "shared_connection",
    "sheet_of",
    "window_of",
]
