"""Options of ``swath archive points``, ``rasters`` and ``boxes`` that they share, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from swath.cli.cluster import Cluster


@dataclass(frozen=True)
class Choice:
    """Which scenes a chip is made of, and what is hidden in them."""

    size: Annotated[int, typer.Option(min=1, help="Rows and columns of a chip.")] = 256
    steps: Annotated[int, typer.Option(min=1, help="Dates of a chip.")] = 3
    step_days: Annotated[int, typer.Option("--step-days", min=1, help="Days from one date back to the one before.")] = (
        30
    )
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="Most days between date wanted and scene.")] = (
        5.0
    )
    tolerance_minutes: Annotated[float, typer.Option("--tolerance-minutes", min=0, help="Minutes on top of them.")] = (
        0.0
    )
    source: Annotated[str, typer.Option(help="hls, s2, s2_l1c or s1.")] = "hls"
    bands: Annotated[str | None, typer.Option(help="Bands between commas; default: those the source is known for.")] = (
        None
    )
    collection: Annotated[str | None, typer.Option("--collection", help="Ids of collections between commas.")] = None
    max_cloud: Annotated[
        float, typer.Option("--max-cloud", min=0, max=100, help="Most cloud cover of a scene in percent.")
    ] = 10.0
    rule: Annotated[str, typer.Option(help="least-cloudy or nearest-date: what decides first.")] = "least-cloudy"
    daytime: Annotated[bool, typer.Option("--daytime", help="Only scenes taken with the sun above the horizon.")] = (
        False
    )
    masks: Annotated[
        str | None, typer.Option(help="cloud, near_cloud_or_shadow, cloud_shadow, water; between commas.")
    ] = None
    strategy: Annotated[str, typer.Option(help="each: a mask hides its own date; any: all dates.")] = "each"
    series: Annotated[
        bool, typer.Option("--series/--single", help="Dates before the observation, or its own date alone.")
    ] = True
    month_start: Annotated[
        bool, typer.Option("--month-start", help="Observations count from the first of their month.")
    ] = False


@dataclass(frozen=True)
class Grid:
    """The pixels of the chips, where they are not those of the scenes."""

    crs: Annotated[str | None, typer.Option(help="CRS of the chips; default: that of the scenes.")] = None
    resolution: Annotated[float | None, typer.Option(help="Pixel size in units of the CRS.")] = None


@dataclass(frozen=True)
class Making:
    """How chips are stored, and who cuts them."""

    resampling: Annotated[str, typer.Option(help="nearest, bilinear or average.")] = "nearest"
    physical: Annotated[bool, typer.Option("--physical", help="Store reflectance or dB as float32.")] = False
    published: Annotated[Path | None, typer.Option(help="Folder for the published layout of InstaGeo too.")] = None
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 works in this one.")] = 0
    cluster: Cluster = ""
