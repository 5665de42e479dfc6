"""``swath bench``: what this machine does, measured on the user's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.everyday import Bands, Baseline, Level, NoData, Sensor, split_names
from swath.cli.more import PANEL

if TYPE_CHECKING:
    from swath.judge.real10 import Contender

app = typer.Typer(help="Measure this machine on your own files.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the commands of this module on ``root``."""
    root.add_typer(app, name="bench", rich_help_panel=PANEL)


@app.callback()
def _group() -> None:
    """Measure this machine on your own files."""


@app.command("io")
def io(
    scenes: Annotated[list[Path], typer.Argument(help="Raster files, or folders of single-band files; one grid each.")],
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    nodata: NoData = None,
    bands: Bands = None,
    size: Annotated[int, typer.Option(min=1, help="Window size in pixels.")] = 256,
    count: Annotated[int, typer.Option(min=1, help="Random windows.")] = 500,
    memory: Annotated[float, typer.Option(min=1, help="MiB for the planned reader.")] = 1024.0,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Threads that decode.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, help="Most time for each measurement.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure reading for training: MB/s decoded, chips/s random and planned by block, and the limit it is near."""
    from swath.chips.measure import measure
    from swath.chips.stored import stored_scene
    from swath.cli import show
    from swath.cubes.assemble import Options

    names = split_names(bands)
    options = Options(sensor, level, baseline, None if names is None else tuple(names), nodata)
    opened = [stored_scene(path, options=options) for path in scenes]
    found = measure(opened, size=size, count=count, memory_mb=memory, workers=workers, seconds=seconds)
    if json:
        show.as_json(found.record())
        return
    rows = [(each.scene, each.codec, each.block, each.blocks, each.mb_s) for each in found.codecs]
    show.table("decoding, block after block", ("scene", "codec", "block", "blocks", "MB/s, one thread"), rows)
    plan = found.plan
    show.table(
        f"{plan['windows']} random windows of {size} x {size} pixels",
        ("reader", "chips/s"),
        [
            ("one by one, fully random, open files", found.random_chips_s),
            (f"planned by block, {workers} threads ({found.planned_mb_s:.0f} MB/s decoded)", found.planned_chips_s),
        ],
    )
    show.say(
        f"plan: {plan['blocks_read']} blocks read for {plan['blocks_needed']} needed "
        f"({plan['reads_per_needed']:.2f}), at most {plan['peak_mb']:.0f} MB, {plan['order']}; shuffle radius "
        f"{plan['shuffle_radius']:.2f} (1 is a full shuffle), each window drawn from {plan['pool']:.0f}"
    )
    show.say(f"limit: {found.limit}")


@app.command("real10")
def real10(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for rows and tables; goes on where it stopped.")
    ] = Path("runs/real10"),
    data: Annotated[Path | None, typer.Option(help="Folder with the data sets; default: $SWATH_DATA.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=10, help="Seeds from 0.")] = 5,
    tasks: Annotated[str | None, typer.Option(help="Tasks between commas; default: all ten.")] = None,
    contenders: Annotated[
        str | None,
        typer.Option(help="Contenders between commas, such as forest,presto+linear; default: the baselines."),
    ] = None,
    encoders: Annotated[
        bool, typer.Option("--encoders", help="Also Presto and Galileo nano with linear and forest heads.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Made-up miniatures, one seed; the scores mean nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ten real tasks with fixed splits: scores, and the mean rank of every contender with its interval."""
    from swath.cli import show
    from swath.failures import EXIT_WITH_FAILURES
    from swath.files import write_text
    from swath.judge import real10 as suite

    chosen = suite.TASKS if tasks is None else suite.chosen(suite.TASKS, tasks.split(","), "task")
    known = _contenders(contenders, encoders, (lambda line: None) if json else show.say)
    if quick:
        plan = suite.miniature(out / "miniatures", chosen, known)
    else:
        plan = suite.Plan(chosen, known, tuple(range(seeds)), data=data)
    say = (lambda line: None) if json else show.say
    measured = suite.run(out / "quick" if quick else out, plan, say)
    if not len(measured.table):
        raise suite.nothing_measured(measured)
    if json:
        show.as_json(suite.record(measured))
    else:
        text = suite.page(measured, chosen)
        written = write_text((out / "quick" if quick else out) / "real10.md", text)
        print(text)
        show.say(f"written: {written}" + ("; miniatures, the scores mean nothing" if quick else ""))
    if measured.failures:
        raise typer.Exit(EXIT_WITH_FAILURES)


def _contenders(names: str | None, encoders: bool, say: Callable[[str], None]) -> tuple[Contender, ...]:
    """The contenders by name, or the baselines, and the encoders where asked for; what is not here is told."""
    from swath.errors import MissingError
    from swath.judge import real10 as suite

    asked = [] if names is None else names.split(",")
    wanted = [name for name in suite.ENCODERS if name in asked]
    if not (encoders or wanted):
        return suite.BASELINES if names is None else suite.chosen(suite.BASELINES, asked, "contender")
    from swath.judge.real10.encoders import encoder_contenders

    found = encoder_contenders(say)
    absent = [name for name in wanted if name not in [each.name for each in found]]
    if absent and not [name for name in asked if name not in absent]:
        raise MissingError(
            f"The weights of {', '.join(absent)} are not here",
            expected="their files below $SWATH_DATA or in the cache",
            remedy="set SWATH_DATA to the directory that holds them, or embed a scene once, which fetches them",
        )
    if names is None:
        return (*suite.BASELINES, *found)
    kept = [*(name for name in asked if name not in absent), *(each.name for each in found if encoders)]
    return suite.chosen((*suite.BASELINES, *found), kept, "contender")
