"""The everyday verbs: open, train, predict, evaluate, serve, run, claims."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

PANEL = "Everyday"

Sensor = Annotated[str | None, typer.Option(help="Sensor: gives names, scale and no-data (see 'swath sensors').")]
Level = Annotated[str | None, typer.Option(help="Processing level of the sensor.")]
Baseline = Annotated[str | None, typer.Option(help="Processing baseline, such as 05.09 for Sentinel-2.")]
Bands = Annotated[str | None, typer.Option(help="Band names in file order, separated by commas: B02,B03,B04.")]
Time = Annotated[str | None, typer.Option(help="Time of acquisition as ISO text, where the file does not say.")]
NoData = Annotated[float | None, typer.Option(help="Value that means no data, where the file does not say.")]


class Data(StrEnum):
    """Where data come from, as result rows say it."""

    real = "real"
    hybrid = "hybrid"
    simulated = "simulated"
    fixture = "fixture"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module on ``app``."""
    for name, command in (
        ("open", open_scene),
        ("train", train),
        ("evaluate", evaluate),
        ("serve", serve),
        ("run", run),
        ("claims", claims),
    ):
        app.command(name, rich_help_panel=PANEL)(command)


def open_scene(
    path: Annotated[Path, typer.Argument(help="GeoTIFF, NetCDF, Zarr, or a folder of bands.")],
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    nodata: NoData = None,
    bands: Bands = None,
    time: Time = None,
    picture: Annotated[Path | None, typer.Option(help="Write a quick look as PNG.")] = None,
) -> None:
    """Open a scene and tell what is in it: grids, bands, dates, units, share of valid pixels."""
    from swath import cubes, verbs
    from swath.cli import show

    if picture is not None:
        check_suffix(picture, (".png",))
    names = split_names(bands)
    scene = verbs.open(path, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=names, time=time)
    for row in cubes.summary(scene):
        show.table("", ("property", "value"), [(key, value) for key, value in row.items()])
    if picture is not None:
        cubes.quicklook(cubes.to_cube(scene), picture)
        show.say(f"picture: {picture}")


def train(
    source: Annotated[
        Path,
        typer.Argument(help="Folder made by 'swath chips cut'; with --features: labelled points or polygons."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the run; an unfinished run is resumed.")],
    features: Annotated[
        Path | None, typer.Option("--features", help="GeoTIFF of 'swath embed': train on a few labels, in seconds.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="unet, upernet, fcn, linear, transposed, vector. With --features: linear or forest."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="With --features: column of the labels with the class.")] = None,
    block: Annotated[
        float | None, typer.Option(help="With --features: side of the blocks held out, in cells; else chosen.")
    ] = None,
    scene: Annotated[
        Path | None, typer.Option(help="With --features: scene to compare with; else the one in the record.")
    ] = None,
    map_: Annotated[Path | None, typer.Option("--map", help="With --features: also write the map (GeoTIFF).")] = None,
    data: Annotated[Data | None, typer.Option(help="With --features: what the scores say of the data (real).")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML with the training options.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training chips.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Chips per step.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone: unet, vit_small, prithvi_eo_v2_300_tl ...")] = None,
    pretrained: Annotated[str | None, typer.Option(help="Folder of a trained model, or name of an encoder.")] = None,
    tuning: Annotated[str | None, typer.Option(help="full, frozen, linear, lora, bottleneck, prompt, ...")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of a trained model: a smaller one also learns from its answers.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="mae: pretrain without labels, with --config of docs/pretraining.md.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and data order.")] = 0,
) -> None:
    """Train on chips, or with --features on a few labels. Stopped runs on chips go on exactly where they were."""
    from swath import verbs
    from swath.cli import few, show, unlabelled

    asked = few.Asked(head, column, block, scene, map_)
    own = {f"--{name}": value for name, value in (*vars(asked).items(), ("data", data)) if name != "head"}
    of_chips: dict[str, object] = {"--config": config, "--epochs": epochs, "--learning-rate": learning_rate}
    of_chips |= {"--batch-size": batch_size, "--backbone": backbone, "--pretrained": pretrained, "--tuning": tuning}
    few.check_options(features, own, {**of_chips, "--teacher": teacher, "--objective": objective})
    if features is not None:
        few.train(features, source, out, asked, seed, "real" if data is None else data.value)
        return
    if objective is not None:
        labelled = {"--head": head, "--backbone": backbone, "--pretrained": pretrained}
        unlabelled.check_options(objective, {**labelled, "--tuning": tuning, "--teacher": teacher})
        unlabelled.pretrain(source, out, config, (epochs, learning_rate, batch_size), seed)
        return
    verbs.fit(
        source, out, config=config, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size,
        backbone=backbone, head=head, pretrained=pretrained, tuning=tuning, teacher=teacher, seed=seed,
    )  # fmt: skip
    show.say(f"model: {out}")


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    chips: Annotated[Path, typer.Argument(help="Folder of a chip set.")],
    split: Annotated[str, typer.Option(help="Which split to score.")] = "test",
    data: Annotated[
        Data | None, typer.Option(help="What the rows say of the data; default: what the chips say, else real.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the rows as parquet and CSV here.")] = None,
    corruptions: Annotated[
        str | None, typer.Option(help="Also score under these, separated by commas, or 'all'; resumes from --out.")
    ] = None,
    severities: Annotated[str, typer.Option(help="Severities of the corruptions, 1 to 5.")] = "1,2,3,4,5",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corruptions.")] = 0,
    metric: Annotated[str, typer.Option(help="Metric of the grid of corruptions.")] = "miou",
    html: Annotated[
        Path | None, typer.Option(help="Page of the corruptions with pictures; default: beside --out.")
    ] = None,
) -> None:
    """Score a model on a chip set, with intervals over chips; with --corruptions also on worse images."""
    from swath import verbs
    from swath.cli import evaluate as pages
    from swath.cli import show

    if out is not None:
        check_suffix(out, (".parquet", ""))
    if html is not None:
        check_suffix(html, (".html",))
        pages.need_corruptions(html, corruptions)
    kind: Literal["real", "hybrid", "simulated", "fixture"] | None = None if data is None else data.value
    if corruptions is not None:
        _evaluate_corrupted(model, chips, (split, kind), (corruptions, severities, seed, metric), (out, html))
        return
    score = verbs.score(model, chips, split=split, data_kind=kind)
    rows = [(row.metric, row.class_name or "all", row.value, row.ci_low, row.ci_high) for row in score.rows]
    show.table(f"{split} split", ("metric", "class", "value", "low", "high"), rows)
    if out is not None:
        from swath.judge import ResultTable

        table = ResultTable()
        table.extend(score.rows)
        table.save(out)
        show.say(f"rows: {out}")


def _evaluate_corrupted(
    model: Path,
    chips: Path,
    source: tuple[str, Literal["real", "hybrid", "simulated", "fixture"] | None],
    sweep: tuple[str, str, int, str],
    files: tuple[Path | None, Path | None],
) -> None:
    """Score clean and under corruptions; ``sweep`` is names, severities, seed and metric, ``files`` table and page."""
    from swath import verbs
    from swath.cli import evaluate as pages
    from swath.cli import show
    from swath.errors import ConfigError

    names, severities, seed, metric = sweep
    out, html = files[0], pages.page_beside(files[1], files[0])
    try:
        steps = [int(part) for part in severities.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--severities {severities}",
            expected="whole numbers from 1 to 5 between commas",
            remedy="write for example: --severities 1,3,5",
        ) from error
    from swath.judge.corruptions import corruption_grid
    from swath.judge.score import OVERALL

    if metric not in OVERALL:
        raise ConfigError(f"--metric {metric}", expected=f"one of {', '.join(OVERALL)}", remedy="choose one of them")
    rows = verbs.score_corrupted(
        model, chips, corruptions=split_names(names), severities=steps, seed=seed,
        split=source[0], data_kind=source[1], out=out,
    )  # fmt: skip
    show.say(corruption_grid(rows, metric))
    if out is not None:
        show.say(f"rows: {out}")
    if html is not None:
        swept = pages.Swept(model, chips, source[0], names, severities, seed, metric)
        show.say(f"page: {pages.write_page(html, rows, swept)}")


def serve(
    folder: Annotated[Path, typer.Argument(help="The folder of the demo, or any maps.")] = Path("demo"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="Name by which it is reached, for example behind a proxy; several times, or '*' for any."),
    ] = None,
) -> None:
    """Show maps in the browser."""
    from swath import verbs

    verbs.serve(folder, host=host, port=port, hosts=host_name or [])


def run(
    system: Annotated[str, typer.Argument(help="Slug of a system ('swath systems').")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; default runs/SYSTEM.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke of seconds; its scores mean nothing.")] = False,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence", help="All registered seeds; decides the claims. Started again beside itself it shares them."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a single run.")] = 0,
) -> None:
    """Run a published system: data, model, baselines, score, report."""
    from swath import verbs
    from swath.cli import show
    from swath.errors import ConfigError

    if quick and evidence:
        raise ConfigError(
            "Both --quick and --evidence were given",
            expected="one of them",
            remedy="drop one: evidence needs full runs",
        )
    mode: Literal["quick", "full", "evidence"] = "quick" if quick else "evidence" if evidence else "full"
    folder = out or Path("runs") / system
    report = verbs.run(system, folder, mode=mode, seed=seed)
    show_report(report)
    show.say(f"report: {folder / 'report.html'}")


def claims(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the registrations; default: the project's.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the ledger as one HTML page.")] = None,
    rerun: Annotated[str | None, typer.Option(help="Measure one seed of this system and compare.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="A stored seed is compared by value, a new one by verdict.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New folder of the rerun; default: none.")] = None,
) -> None:
    """The ledger: every registered claim and what the evidence says."""
    from swath import judge
    from swath.cli import claims as pages
    from swath.cli import show
    from swath.errors import ConfigError

    if (rerun is None) != (seed is None) or (rerun is None and out is not None):
        raise ConfigError(
            "--rerun, --seed and --out were not given together",
            expected="--rerun SYSTEM with --seed NUMBER, and --out with them only",
            remedy="write: swath claims --rerun SYSTEM --seed 0",
        )
    if html is not None:
        check_suffix(html, (".html",))
    if rerun is not None and seed is not None:
        pages.measure_again(rerun, seed, folder, out, json)
    elif json:
        show.as_json(judge.claims_table(folder))
    elif html is None:
        for system in judge.ledger(folder):
            show.table(system.system, judge.LEDGER_HEADS, system.lines())
            show.say("")
    if html is not None:
        judge.write_ledger_page(html, folder)
        if not json:
            show.say(f"page: {html}")


def split_names(text: str | None) -> list[str] | None:
    """Names between commas; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",")]


def check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a name whose ending says another format than the one written.

    Raises:
        ConfigError: the suffix is none of ``suffixes``; an empty one among them means that none is needed.
    """
    from swath.errors import ConfigError

    if not path.name or path.suffix.lower() not in suffixes:
        known = " or ".join(suffix or "no suffix" for suffix in suffixes)
        raise ConfigError(
            f"The output '{path}' has the suffix '{path.suffix}'",
            expected=known,
            remedy=f"write to '{(path if path.name else path / 'output').with_suffix(suffixes[0])}'",
        )


def show_report(report: object) -> None:
    """Print the main rows of a report: pooled scores of every contender."""
    from swath.cli import show
    from swath.types import Report

    assert isinstance(report, Report)
    main = [row for row in report.rows if row.class_name is None and row.group is None]
    rows = [
        (row.dataset, row.backbone, row.seed, row.metric, row.value, row.ci_low, row.ci_high, row.data_kind)
        for row in main
        if row.metric in ("accuracy", "miou")
    ]
    columns = ("data set", "contender", "seed", "metric", "value", "low", "high", "data")
    show.table(report.title, columns, rows)
    verdicts = [(each.claim.name, each.measured, each.low, each.high, each.verdict) for each in report.claims]
    if verdicts:
        show.table("registered claims, over all their seeds", ("claim", "measured", "low", "high", "verdict"), verdicts)
