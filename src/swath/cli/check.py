"""``swath check``: a dry run of training, or the parts of a published size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from swath.learn import Plan


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command on ``app``."""
    app.command("check", rich_help_panel=panel)(check)


def check(
    source: Annotated[
        str,
        typer.Argument(metavar="CHIPS", help="Folder of a chip set or joined ones; or the name of a size or system."),
    ],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML with the training options.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone: unet, vit_small, prithvi_eo_v2_300_tl ...")] = None,
    head: Annotated[str | None, typer.Option(help="Head: unet, upernet, fcn, linear, transposed or vector.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="Folder of a trained model, or name of an encoder.")] = None,
    tuning: Annotated[str | None, typer.Option(help="full, frozen, linear, lora, bottleneck, prompt, ...")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training chips.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Chips per step.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check training before it starts: inputs, network, memory, steps, problems. No pixel is read.

    Ends with exit code 1 where there are problems.
    """
    from swath.cli import show

    if not Path(source).is_dir():
        _tell_sizes(source, json)
        return
    from swath.checking import check as dry_run

    found = dry_run(
        source, config=config, epochs=epochs, batch_size=batch_size, backbone=backbone, head=head,
        pretrained=pretrained, tuning=tuning,
    )  # fmt: skip
    if json:
        show.as_json(found.record())
    else:
        _tell(found)
    if found.problems:
        raise typer.Exit(1)


def _tell_sizes(name: str, json: bool) -> None:
    """The parts of a published size, or of all sizes that a system stands for."""
    from swath import systems
    from swath.cli import show

    chosen = getattr(systems.load(name), "PAPER", ()) if name in systems.slugs() else (name,)
    if not chosen:
        show.say(f"'{name}' is a system that publishes no model: there is no size to check")
        return
    found = {size: _size(size) for size in chosen}
    if json:
        rows = [
            {"size": size, "part": part, "parameters": number} for size, each in found.items() for part, number in each
        ]
        show.as_json(rows)
        return
    for size, each in found.items():
        show.table(size, ("part", "parameters"), [(part, f"{number:,}") for part, number in each])


def _size(name: str) -> Sequence[tuple[str, int]]:
    """Parts and parameters of a published size.

    Raises:
        ConfigError: there is neither a folder nor a size of that name.
    """
    from swath.errors import ConfigError, nearest
    from swath.models import sizes

    if name not in sizes.names():
        raise ConfigError(
            f"'{name}' is no folder of chips and no published size",
            expected=f"a folder made by 'swath chips cut' or 'swath chips join', or one of {', '.join(sizes.names())}",
            remedy=f"the nearest names are: {nearest(name, sizes.names())}",
        )
    return sizes.describe(name)


def _tell(found: Plan) -> None:
    from swath.cli import show

    inputs = [
        (
            each.name,
            " ".join(each.bands),
            ", ".join(dict.fromkeys(each.units)),
            each.dates,
            " x ".join(map(str, each.shape)),
        )
        for each in found.inputs
    ]
    show.table(f"inputs of {found.source}", ("input", "bands", "unit", "dates", "batch (B, T, C, H, W)"), inputs)
    splits = ", ".join(f"{number} {name}" for name, number in found.splits.items())
    show.say(f"task: {found.task}; samples: {splits or 'no split'}")
    if found.counts:
        show.table("train split", ("class", "labels"), list(found.counts.items()))
    else:
        show.say(f"quantities: {', '.join(found.names)}")
    if found.parts:
        rows = [(part, f"{every:,}", f"{learning:,}", f"{every - learning:,}") for part, every, learning in found.parts]
        total, learning = sum(part[1] for part in found.parts), sum(part[2] for part in found.parts)
        rows.append(("all", f"{total:,}", f"{learning:,}", f"{total - learning:,}"))
        show.table(f"network: {found.network}", ("part", "parameters", "learn", "frozen"), rows)
    if found.output:
        show.say(f"output: {' x '.join(map(str, found.output))}")
    steps = found.steps
    show.say(
        f"steps: {steps['steps_per_epoch']} per epoch, {steps['steps']} in {steps['epochs']} epochs, "
        f"batches of {steps['batch_size']}"
    )
    if found.memory is not None:
        from swath.learn.memory import HOW

        parts = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in vars(found.memory).items())
        show.say(f"memory: {found.memory.total / 2**20:.1f} MiB ({parts})")
        show.say(f"how: {HOW}")
    for problem in found.problems:
        show.say(f"problem: {problem}")
    if not found.problems:
        show.say("no problems found")
