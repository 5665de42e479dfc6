"""What a prediction tells while it runs."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from swath.errors import InputError


def progress_bar(show: bool) -> Progress:
    """A bar of tiles on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} tiles"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


def changed(source: str) -> InputError:
    """The sentence for a scene that did not stay as it was."""
    return InputError(
        f"The scene '{source}' was changed or removed while it was being predicted",
        expected="files that stay as they are",
        remedy="run the same command again when they do; it begins anew",
    )
