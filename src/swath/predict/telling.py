"""What a prediction tells while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from swath.errors import InputError
from swath.failures import Failure


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


def nothing_valid(source: str, failures: Sequence[Failure], *, strict: bool) -> InputError:
    """The sentence for a scene without a pixel that can be predicted."""
    if failures:
        return InputError(
            f"No pixel of '{source}' can be predicted: {len(failures)} parts of it cannot be read, first "
            f"{failures[0].item} ({failures[0].reason})",
            expected="a scene that can be read, at least in part",
            remedy="repair the file or fetch it again",
        )
    return InputError(
        f"No pixel of '{source}' can be predicted: every one is masked"
        + (" in at least one wanted band" if strict else ""),
        expected="at least one valid pixel",
        remedy="check the no-data value and the cloud mask"
        + (", or allow pixels that lack some bands: strict=False, --lenient" if strict else ""),
    )
