"""The verb ``check``: what training would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swath.chips import ChipSet, JoinedSet
    from swath.learn import Plan

PathLike = Path | str


def check(
    chips: ChipSet | JoinedSet | PathLike,
    *,
    config: PathLike | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    backbone: str | None = None,
    head: str | None = None,
    pretrained: PathLike | None = None,
    tuning: str | None = None,
) -> Plan:
    """A dry run of ``fit``: inputs, network, steps, memory, and all problems that descriptions show.

    No pixel is read and no memory is taken for the network, so that it takes seconds whatever the sizes.

    Args:
        chips: a chip set, joined ones, or the folder of either.
        config: options as a mapping or a YAML file; unknown keys are errors.
        epochs: passes over the training chips; beats ``config``.
        batch_size: chips per step; beats ``config``.
        backbone: name of the backbone; beats ``config``.
        head: name of the head; beats ``config``.
        pretrained: folder of a trained model, or name of a published encoder; beats ``config``.
        tuning: how much of the network learns; beats ``config``.

    Raises:
        ConfigError: an unknown or impossible option.
        InputError: the folder holds no samples, or there is no such file.
    """
    from swath import chips as room
    from swath import learn

    options = learn.read_options(
        config,
        epochs=epochs,
        batch_size=batch_size,
        backbone=backbone,
        head=head,
        pretrained=None if pretrained is None else str(pretrained),
        tuning=tuning,
    )
    samples = room.open_samples(Path(chips)) if isinstance(chips, Path | str) else chips
    return learn.plan(samples, options)
