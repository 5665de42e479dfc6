"""``swath trust``: learn where a model applies and how sure it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command on ``app``."""
    app.command("trust", rich_help_panel=panel)(trust)


def trust(
    run: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    chips: Annotated[Path, typer.Argument(help="Folder of the chips that it learned from.")],
    alpha: Annotated[float, typer.Option(help="Share of pixels whose set of classes may miss the truth.")] = 0.1,
    by_class: Annotated[bool, typer.Option("--by-class", help="Promise it for every class on its own.")] = False,
    pixels: Annotated[int, typer.Option(min=2, help="Training pixels to compare with.")] = 2000,
    importance: Annotated[
        bool, typer.Option("--importance", help="Weigh bands by what the model loses without them.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws of pixels.")] = 0,
) -> None:
    """Learn the area of applicability and conformal sets of a model, for maps one can defend."""
    from swath import chips as room
    from swath import types, verbs
    from swath.cli import show
    from swath.judge.calibrate import TrustOptions, calibrate
    from swath.judge.trust import RECORD
    from swath.predict.conformal import check_alpha

    check_alpha(alpha)
    chipset = room.open(chips)
    split = types.Split.load(chips / "split.parquet")
    options = TrustOptions(alpha=alpha, by_class=by_class, pixels=pixels, importance=importance, seed=seed)
    found = calibrate(verbs.load(run), chipset, split, options)
    found.save(run)
    _print(found)
    show.say(f"trust: {run / RECORD}")


def _print(found: object) -> None:
    from swath.cli import show
    from swath.judge.trust import Trust

    assert isinstance(found, Trust)
    facts, sets = found.facts, found.sets
    show.say(
        f"area of applicability: dissimilarity up to {found.applicability.threshold:.3f}, from "
        f"{facts['training_pixels']} training pixels in {facts['folds']} folds"
    )
    for name, share in found.outside.items():
        show.say(f"outside it: {share:.1%} of the labelled pixels of the {name} split")
    show.say(f"sets of classes: {1 - sets.alpha:.0%} promised, from {facts['validation_chips']} validation chips")
    endless = [name for name, value in zip(sets.classes, sets.thresholds, strict=True) if math.isinf(value)]
    if endless:
        show.say(f"note: too few validation chips for {', '.join(endless)}; every set holds them")
    rows = [(name, int(row["pixels"]), row["coverage"], row["size"]) for name, row in found.coverage.items()]
    if rows:
        show.table("on the test split", ("class", "pixels", "coverage", "classes in a set"), rows)
