"""``corrupt``: the one door to all corruptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from swath.errors import InputError
from swath.judge.corruptions import severities
from swath.judge.corruptions.geometric import placement
from swath.judge.corruptions.look import Wanted, affected, worsened
from swath.judge.corruptions.pose import coarsest, finest, posed
from swath.judge.corruptions.scale import Scale
from swath.judge.corruptions.targets import TargetAdapter, move_targets
from swath.types import Batch
from swath.types.task import Task


def corrupt(
    batch: Batch,
    name: str,
    severity: int,
    seed: int,
    *,
    tasks: Mapping[str, Task] | None = None,
    scales: Mapping[str, Scale] | None = None,
    modalities: Sequence[str] | None = None,
    announced: bool = False,
    adapters: Mapping[str, TargetAdapter] | None = None,
) -> Batch:
    """The batch as a worse sensor, worse weather or another pose would have given it; the input stays as it is.

    Tensors have to lie in the memory of the processor.

    What happens to a sample depends on (seed, corruption, id) alone, never on the rest of the batch. The random numbers
    do not depend on the severity, so that one field, direction or pattern grows with it.

    Appearance: values go to the unit scale of their band (colour as it is; else the given scale, or the sample's own
    2nd to 98th percentile), are corrupted there, come back and are clipped to what the kind of band can be. Backscatter
    gets speckle instead of Gaussian noise, and no clouds or haze. Elevation, coordinates and quality flags stay.
    Invalid pixels keep value and mark.

    Geometry: one map per sample for all dates and modalities, their validity, grids and targets; what comes from
    outside the frame is invalid, holds the low end of the scale, and its labels are ignored.

    Args:
        batch: samples; see ``Batch``.
        name: one of ``NAMES`` or the name of a published folder.
        severity: 1 to 5.
        seed: seed of the random streams.
        tasks: task of each target where it cannot be told from integer labels.
        scales: scale of a modality by its name.
        modalities: which inputs to change in appearance; by default all that the corruption makes sense for.
        announced: gaps are marked invalid; by default they are not, as when a provider ships them unnoticed.
        adapters: how to move ragged targets that swath cannot (geometric corruptions only).

    Raises:
        ConfigError: unknown corruption, severity outside 1 to 5, unknown modality, or a target that cannot be moved.
        ContractError: the batch breaks its contract, for example with NaN among its values.
        InputError: clouds or haze on radar alone, images smaller than the motion, faces, or a scale that does not fit.
    """
    wanted = Wanted(severities.canonical(name), severities.check_severity(severity), seed, announced)
    _check(batch)
    if any(modality.has_faces for modality in batch.inputs.values()):
        raise InputError(
            f"The corruption '{wanted.name}' was asked for a grid with faces",
            expected="images on one plane",
            remedy="regrid to a plane first",
        )
    if wanted.name in severities.GEOMETRIC:
        found = _moved(batch, wanted, scales or {}, tasks or {}, adapters or {})
    else:
        inputs = dict(batch.inputs)
        for key in affected(batch, wanted.name, modalities):
            inputs[key] = worsened(batch, key, wanted, (scales or {}).get(key))
        found = replace(batch, inputs=inputs)
    facts = {"corruption": wanted.name, "severity": severity, "severity_set": severities.SEVERITY_SET}
    return replace(found, meta={**batch.meta, **facts})


def _moved(
    batch: Batch,
    wanted: Wanted,
    scales: Mapping[str, Scale],
    tasks: Mapping[str, Task],
    adapters: Mapping[str, TargetAdapter],
) -> Batch:
    """The batch after a geometric corruption."""
    moved = placement(wanted.name, wanted.strength, batch.ids, wanted.seed, coarsest(batch))
    targets, valid = move_targets(batch, moved, wanted.name, finest(batch), tasks, adapters)
    inputs = {key: posed(each, moved, scales.get(key), key) for key, each in batch.inputs.items()}
    return replace(batch, inputs=inputs, targets=targets, target_valid=valid)


def _check(batch: Batch) -> None:
    """Raise the sentences of ``Batch.check`` without its costly passes over values that are fine."""
    tensors = all(isinstance(each.values, torch.Tensor) for each in batch.inputs.values())
    # One sum tells whether anything is NaN or infinite; torch takes several passes for it.
    if not tensors or not all(
        each.values.ndim in (5, 6)
        and each.values.dtype == torch.float32
        and each.valid.ndim == each.values.ndim
        and len(each.grid) == each.batch_size == batch.batch_size
        and math.isfinite(float(each.values.numpy().sum(dtype=np.float32)))
        for each in batch.inputs.values()
    ):
        batch.check()
