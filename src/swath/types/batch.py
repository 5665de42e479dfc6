"""A batch of samples with targets: the one thing that passes from chips to learners and judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import ContractError, nearest
from swath.types.modality import Modality
from swath.types.task import IGNORE, TARGETS, TargetShape, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs and targets of B samples, for Earth observation and weather alike.

    Args:
        inputs: one ``Modality`` per sensor; grids may differ between sensors, the number of samples may not.
        targets: tensors (see ``TARGETS`` for shapes) or ragged lists with one entry per sample.
        target_valid: for each target a bool tensor with as many axes, each equal or 1, or a list of B bools for a
            ragged target.
        ids: one name per sample, unique within the batch.
        meta: anything else, such as groups or file names; never read by models.
    """

    inputs: Mapping[str, Modality]
    targets: Mapping[str, Any] = field(default_factory=dict)
    target_valid: Mapping[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """Number of samples B."""
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with all tensors on ``device``."""
        import torch

        def moved(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in values.items()}

        return replace(
            self,
            inputs={name: modality.to(device) for name, modality in self.inputs.items()},
            targets=moved(self.targets),
            target_valid=moved(self.target_valid),
        )

    def check(self, tasks: Mapping[str, Task] | None = None) -> None:
        """Raise a plain sentence if the contract is broken.

        Args:
            tasks: the task of each target name; with it, the shapes of ``TARGETS`` are checked too.

        Raises:
            ContractError: something is not as this class, ``Modality`` or ``TARGETS`` says.
        """
        if not self.inputs:
            raise ContractError(
                "The batch has no inputs", expected="at least one modality", remedy="add one to 'inputs'"
            )
        for name, modality in self.inputs.items():
            modality.check(f"inputs['{name}']")
            if modality.batch_size != self.batch_size:
                raise ContractError(
                    f"inputs['{name}'] holds {modality.batch_size} samples and the batch has {self.batch_size} ids",
                    expected="the same number of samples everywhere",
                    remedy="cut all parts of the batch together",
                )
        if len(set(self.ids)) != len(self.ids):
            twice = sorted(str(name) for name, count in Counter(self.ids).items() if count > 1)
            raise ContractError(
                f"Sample ids appear twice: {', '.join(twice[:5])}",
                expected="one id per sample",
                remedy="give every sample its own id",
            )
        if set(self.targets) != set(self.target_valid):
            raise ContractError(
                f"Targets {sorted(self.targets)} and target_valid {sorted(self.target_valid)} differ",
                expected="the same keys in both",
                remedy="give a validity mask for every target",
            )
        for name in self.targets:
            _check_target(name, self.targets[name], self.target_valid[name], self.batch_size)
        for name, task in (tasks or {}).items():
            self._check_task(name, task)

    def _check_task(self, name: str, task: Task) -> None:
        if name not in self.targets:
            raise ContractError(
                f"The batch has no target '{name}' (it has {sorted(self.targets) or 'none'})",
                expected=f"a target for the task '{task}'",
                remedy="add the target or change the name in the task",
            )
        if task not in TARGETS:
            raise ContractError(
                f"The task '{task}' is unknown",
                expected=f"one of {', '.join(TARGETS)}",
                remedy=f"the nearest are: {nearest(task, TARGETS)}",
            )
        shape = TARGETS[task]
        faces = any(modality.has_faces for modality in self.inputs.values())
        axes = tuple(axis.strip("[]") for axis in shape.axes if faces or not axis.startswith("["))
        target = self.targets[name]
        kind = "ragged" if isinstance(target, Sequence) else str(target.dtype).removeprefix("torch.")
        if kind != shape.dtype:
            raise ContractError(
                f"targets['{name}'] is {kind}",
                expected=f"{shape.dtype} for the task '{task}'",
                remedy="labels are int64, quantities float32, objects and texts a list with one entry per sample",
            )
        if kind != "ragged" and target.ndim != len(axes):
            raise ContractError(
                f"targets['{name}'] has shape {tuple(target.shape)}",
                expected=f"the axes {', '.join(axes)} for the task '{task}'",
                remedy="keep axes of length 1",
            )
        if shape.labels:
            _check_labels(name, target, self.target_valid[name], shape)


def _check_target(name: str, target: Any, valid: Any, batch_size: int) -> None:
    import torch

    ragged = isinstance(target, Sequence) and not isinstance(target, str)
    if not ragged and (not isinstance(target, torch.Tensor) or target.ndim == 0):
        raise ContractError(
            f"targets['{name}'] is a {type(target).__name__}"
            + (" without axes" if isinstance(target, torch.Tensor) else ""),
            expected="a tensor whose first axis is the sample, or a list with one entry per sample",
            remedy="convert arrays with torch.from_numpy; keep axes of length 1",
        )
    if len(target) != batch_size:
        raise ContractError(
            f"targets['{name}'] holds {len(target)} samples and the batch has {batch_size} ids",
            expected="the same number of samples everywhere",
            remedy="cut inputs and targets together",
        )
    if isinstance(target, torch.Tensor):
        _check_tensor_target(name, target, valid)
    else:
        _check_flags(name, valid, batch_size)


def _check_flags(name: str, valid: Any, batch_size: int) -> None:
    """The validity of a ragged target."""
    flags = valid.tolist() if hasattr(valid, "tolist") else valid
    listed = isinstance(flags, Sequence)
    if not listed or len(flags) != batch_size or not all(isinstance(flag, bool | np.bool_) for flag in flags):
        held = f"holds {len(flags)} entries" if listed else f"is a {type(flags).__name__}"
        raise ContractError(
            f"target_valid['{name}'] {held} for {batch_size} samples",
            expected="one bool per sample for a ragged target",
            remedy="give a list of bools",
        )


def _check_tensor_target(name: str, target: Tensor, valid: Any) -> None:
    import torch

    if not isinstance(valid, torch.Tensor) or valid.dtype != torch.bool:
        raise ContractError(
            f"target_valid['{name}'] is not a bool tensor",
            expected="a bool tensor broadcastable to the target",
            remedy=f"for labels use: target != {IGNORE}",
        )
    try:
        fits = torch.broadcast_shapes(valid.shape, target.shape) == target.shape
    except RuntimeError:
        fits = False
    # Fewer axes would be lined up from the right: a (B,) mask would be read along x wherever B happens to equal W.
    if not fits or valid.ndim != target.ndim:
        raise ContractError(
            f"target_valid['{name}'] has shape {tuple(valid.shape)} and the target {tuple(target.shape)}",
            expected="the same number of axes, each equal or 1",
            remedy="give one bool per target value, or keep axes of length 1",
        )
    if target.is_floating_point() and not bool(torch.isfinite(target[valid.expand_as(target)]).all()):
        raise ContractError(
            f"targets['{name}'] holds NaN or infinite numbers where target_valid is True",
            expected="finite targets wherever they are valid",
            remedy="set target_valid to False there",
        )


def _check_labels(name: str, target: Tensor, valid: Tensor, shape: TargetShape) -> None:
    used = target[valid.expand_as(target)]
    if bool((used < 0).any()):
        values = sorted(set(used[used < 0].tolist()))[:5]
        raise ContractError(
            f"targets['{name}'] holds the labels {values} where target_valid is True",
            expected="labels from 0 upward where valid",
            remedy=f"map no-data labels to {IGNORE} and set target_valid to False there",
        )
    unused = target[~valid.expand_as(target)]
    if bool((unused != IGNORE).any()):
        raise ContractError(
            f"targets['{name}'] holds labels other than {IGNORE} where target_valid is False",
            expected=f"{IGNORE} wherever a label may not be used",
            remedy=f"fill them with {IGNORE}",
        )
