"""A pretrained transformer as a contender of real10, beside the same one from random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.judge import ResultTable, real10
from swath.judge.real10 import Contender, Inputs, Plan, Samples, Task
from swath.judge.real10.networks import Network
from swath.judge.real10.run import FEW
from swath.judge.real10.samples import Target
from swath.learn.objectives import MaskedReconstruction, pretrained_network
from swath.learn.objectives.transfer import PretrainedNetwork
from swath.sensors import BandSet
from swath.systems.eo._real10_rows import check_whole
from swath.types import DataKind, ResultRow

TOLD = "told"
LONGEST_REFLECTED_NM = 3_000.0
"""Beyond this wavelength a band shows what the ground emits."""


@dataclass(frozen=True)
class Tuning:
    """How a transformer learns a task; the same wherever its weights come from.

    Args:
        steps: optimiser steps.
        rate: peak learning rate.
        head_width: channels inside pyramid and head.
    """

    steps: int
    rate: float
    head_width: int

    @property
    def options(self) -> str:
        """In one line."""
        return f"U-Net head of width {self.head_width}, {self.steps} steps at {self.rate:g}"


class SeriesNetwork(nn.Module):
    """A network of series that reads ``(B, T C, H, W)`` and takes the bands it knows.

    Args:
        network: of series ``(B, T, K, H, W)``.
        dates: T.
        places: of its K bands among the C.
    """

    def __init__(self, network: PretrainedNetwork, dates: int, places: Sequence[int]) -> None:
        super().__init__()
        self.network, self.dates, self.places = network, dates, list(places)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)``."""
        logits: Tensor = self.network(image.unflatten(1, (self.dates, -1))[:, :, self.places])
        return logits


class Transferred:
    """The encoder of a masked autoencoder under a U-Net head, all weights learned: a ``Model`` of real10.

    Inputs are standardised by the training samples of the task, as the suite's network has them: for a single scene
    radiance and reflectance are then the same numbers.

    Args:
        start: whose encoder is taken.
        tuning: how to learn.
        seed: of the head's weights and of the batches.
        told: samples whose answers the encoder learns first; for a control.
    """

    def __init__(self, start: MaskedReconstruction, tuning: Tuning, seed: int, told: Samples | None = None) -> None:
        self._start, self._tuning, self._told = start, tuning, told
        self._encoder: dict[str, Tensor] | None = None
        self._made: SeriesNetwork | None = None
        self._learner = Network(seed, tuning.steps, make=self._make, rate=tuning.rate)

    def fit(self, inputs: Inputs, target: Target) -> Self:
        """Learn from the training samples; with ``told`` from these first, of which only the encoder is kept."""
        if self._told is not None:
            self._learner.fit(self._told.inputs, self._told.target)
            assert self._made is not None  # by fit
            self._encoder = self._made.network.encoder.state_dict()
        self._learner.fit(inputs, target)
        return self

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """Classes ``(N, h, w)``."""
        return self._learner.predict(inputs)

    def _make(self, inputs: Inputs, answers: int) -> nn.Module:
        bands = as_reflectance(inputs.bands)
        made = pretrained_network(self._start, bands, answers, head="unet", head_width=self._tuning.head_width)
        if self._encoder is not None:
            made.network.encoder.load_state_dict(self._encoder)
        places = [place for place in bands.match(self._start.bands).indices if place is not None]
        self._made = SeriesNetwork(made.network, inputs.values.shape[1], places)
        return self._made


def as_reflectance(bands: BandSet) -> BandSet:
    """Radiance in reflective bands called reflectance, so that bands match; only for standardised values of a scene."""
    return BandSet(
        tuple(
            replace(band, kind="reflectance", unit="1")
            if band.kind == "radiance" and (band.wavelength_nm or np.inf) < LONGEST_REFLECTED_NM
            else band
            for band in bands
        )
    )


def measured(
    networks: Mapping[str, MaskedReconstruction],
    tuning: Tuning,
    tasks: Sequence[Task],
    baselines: Sequence[Contender],
    *,
    seed: int,
    root: Path | None,
    frozen: bool,
    out: Path,
) -> ResultTable:
    """Scores with few labels of all networks, of ``told`` and of the baselines on every task.

    ``told`` is the control that has to be found: the encoder of ``scratch`` that has learned the answers of all samples
    of the task, the tested ones too, before it learns from few like the others.

    Args:
        networks: name to whose encoder is taken; ``scratch`` among them.
        tuning: how all of them learn.
        tasks: tasks of maps.
        baselines: contenders of the suite.
        seed: of splits, draws and learning.
        root: folder of the data; None = ``$SWATH_DATA``.
        frozen: whether data have to be those of the suite.
        out: where the suite keeps its rows.

    Raises:
        InputError: a contender failed, or the data of a task are absent.
    """
    rows: list[ResultRow] = []
    for task in tasks:
        contenders = [_contender(name, start, tuning) for name, start in networks.items()]
        samples = real10.load(task, real10.root_of(task, root), frozen=frozen)
        contenders.append(_contender(TOLD, networks["scratch"], tuning, samples))
        plan = Plan((task,), (*contenders, *baselines), (seed,), (FEW,), data=root, frozen=frozen)
        found = real10.run(out, plan)
        check_whole(found)
        rows += found.table.select(metric=task.metric)
    return ResultTable(rows)


def score_rows(table: ResultTable, base: ResultRow, learned: Mapping[str, DataKind]) -> list[ResultRow]:
    """``score_few`` of every contender: a row a task (column group), and their mean.

    Args:
        table: rows of ``measured``.
        base: what all rows share.
        learned: kind of the rows of contenders that have learned from other data than those of the task.
    """
    found: list[ResultRow] = []
    names = list(dict.fromkeys(str(row.backbone) for row in table))
    for name in names:
        of_task = [row for row in table if row.backbone == name]
        common = replace(base, backbone=name, metric="score_few", higher_is_better=True)
        common = replace(common, data_kind=learned.get(name, of_task[0].data_kind), protocol=FEW)
        for row in of_task:
            told = replace(common, dataset=row.dataset, group=row.dataset, value=row.value, k_shot=row.k_shot)
            found.append(replace(told, n_train=row.n_train, n_test=row.n_test, note=row.note))
        mean = float(np.mean([row.value for row in of_task]))
        found.append(replace(common, dataset=f"{len(of_task)} tasks", value=mean))
    return found


def _contender(name: str, start: MaskedReconstruction, tuning: Tuning, told: Samples | None = None) -> Contender:
    # Weights belong to the options, so that a kept score is never one of other weights.
    digest = hashlib.sha256()
    for key, tensor in start.state_dict().items():
        digest.update(key.encode() + tensor.numpy().tobytes())
    options = f"encoder {digest.hexdigest()[:8]}, {tuning.options}"
    return Contender(name, options, lambda seed: Transferred(start, tuning, seed, told))
