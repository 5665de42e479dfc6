"""One scene mapped by several processes or the workers of a dask cluster, strip by strip.

Strips do not depend on one another: each reads the rows it needs, and its rasters lie in the hidden folder beside the
map. So every worker opens scene and model once, sees that they are those of whoever asked, and does strips; what was
asked puts the maps together, as after a run that was stopped. All see the same disks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import xarray as xr

from swath.errors import ConfigError, ContractError, ResourceError
from swath.failures import Failures
from swath.jobs import Job, run_each
from swath.predict.layers import Layer
from swath.types import Predictor


@dataclass(frozen=True)
class Crew:
    """Who predicts the strips of one scene.

    Args:
        load: gives the predictor and the layers beyond those of its task, as whoever asks has them; a function at
            module level or a ``functools.partial`` of one, called once in each process.
        open: gives the cube in the same way.
        workers: processes; of no account with ``cluster``.
        cluster: ``local:2`` or the address of a scheduler, see ``swath.jobs.Job``.
        progress: text of a progress bar over strips, empty for none.
    """

    load: Callable[[], tuple[Predictor, Mapping[str, Layer] | None]]
    open: Callable[[], xr.Dataset]
    workers: int = 2
    cluster: str = ""
    progress: str = ""


Prepare = Callable[[Predictor, Mapping[str, Layer] | None, xr.Dataset], Callable[[int], Any]]
"""From predictor, further layers and cube to what does a strip by its number."""


def share(crew: Crew, strips: Sequence[int], prepare: Prepare, key: tuple[str, str]) -> list[Any]:
    """What came of every strip, in their order.

    Args:
        crew: who does them.
        strips: their numbers.
        prepare: called once in each process; a function at module level or a ``functools.partial`` of one.
        key: names the request, so that a worker keeps what it has opened.

    Raises:
        ResourceError: a strip could not be done; those that could are kept.
    """
    failures, found = Failures(), []
    job = Job(crew.workers, stage="predict", describe=_named, progress=crew.progress, cluster=crew.cluster)
    for _, done in run_each(list(strips), functools.partial(_do, crew, prepare, key), job=job, failures=failures):
        found.append(done)
    if failures.rows:
        first = failures.rows[0]
        raise ResourceError(
            f"{len(failures.rows)} of {len(strips)} strips could not be predicted; the first is {first.item}: "
            f"{first.reason}",
            expected="all of them",
            remedy="start the same command again, which does what is left",
        )
    return found


def check_can_be_shared(stable: str | None, source: str) -> None:
    """Refuse what other processes cannot open as the same.

    Raises:
        ConfigError: a scene in memory or at an address, or a model without a lasting description.
    """
    if stable is None:
        raise ConfigError(
            f"'{source}' was to be mapped by several processes",
            expected="a scene in files and a trained model, which every process can open for itself",
            remedy="leave the cluster out, or copy the scene to disk first",
        )


def check_same(asked: str | None, here: str | None, source: str) -> None:
    """See that a worker has opened what was asked for.

    Raises:
        ContractError: scene, model or options are others.
    """
    if asked != here:
        raise ContractError(
            f"A worker that opened '{source}' and the model found others than whoever asked",
            expected="the same files, under the same names, and the same versions of libraries",
            remedy="see that nothing changes the scene or the model meanwhile, and that all see the same disks",
        )


def _named(strip: int) -> str:
    return f"strip {strip}"


_held: list[tuple[tuple[str, str], Callable[[int], Any]]] = []
"""What this process does strips with: a process works for one request at a time."""


def _do(crew: Crew, prepare: Prepare, key: tuple[str, str], strip: int) -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums come in one order, whoever does a strip
    try:
        if not _held or _held[0][0] != key:
            _held.clear()
            predictor, extra = crew.load()
            _held.append((key, prepare(predictor, extra, crew.open())))
        return _held[0][1](strip)
    finally:
        torch.set_num_threads(threads)
