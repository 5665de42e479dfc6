"""The state of a training run: all that a killed run needs to go on as if nothing had happened.

One safetensors file holds the weights, their moving average, the moments of the optimiser and the state of torch's
random stream; its metadata holds, as JSON, where the run stands, its history and what it was started with. One file
means one atomic replacement: a run killed while saving goes on from the state before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from swath.errors import ConfigError, InputError
from swath.files import replacing
from swath.learn.config import FitConfig
from swath.learn.optimise import MovingAverage
from swath.learn.tensor_file import write_tensors
from swath.reading import parse_json

STATE = "training_state.safetensors"


@dataclass
class Progress:
    """Where a run stands.

    Args:
        epoch: epochs completed.
        batch: batches of the present epoch already used.
        step: optimiser steps made.
        loss_sum, count, norm_sum, epoch_steps: sums over the present epoch for its line in the log.
        wall_s: seconds of training, over all starts.
        best_value: best validation value so far, or None.
        best_epoch: its epoch, or None.
        history: one line per completed epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    count: float = 0.0
    norm_sum: float = 0.0
    epoch_steps: int = 0
    wall_s: float = 0.0
    best_value: float | None = None
    best_epoch: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def take_step(self, batches: int, loss_sum: float, count: float, norm: float) -> None:
        """Note an optimiser step: its batches, summed loss, valid count and norm of the gradient."""
        self.step += 1
        self.batch += batches
        self.epoch_steps += 1
        self.loss_sum += loss_sum
        self.count += count
        self.norm_sum += norm

    def end_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batch, self.epoch_steps = self.epoch + 1, 0, 0
        self.loss_sum, self.count, self.norm_sum = 0.0, 0.0, 0.0


@dataclass(frozen=True)
class TrainingState:
    """The moving parts of a run, to be saved and restored together."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: MovingAverage | None

    def save(self, path: Path, progress: Progress, started_with: Mapping[str, Any]) -> None:
        """Write everything into one file, complete or not at all."""
        metadata = {"progress": json.dumps(asdict(progress)), "started_with": json.dumps(started_with)}
        with replacing(path) as temporary:
            write_tensors(temporary, self._tensors(), metadata)

    def restore(self, path: Path) -> Progress:
        """Read everything back, bit for bit.

        Raises:
            InputError: the file is truncated or does not belong to this network.
        """
        metadata, stored = _read(path)
        names = [name for name, _ in self._moments()]
        try:
            with torch.no_grad():
                for name, tensor in self.module.state_dict().items():
                    tensor.copy_(stored[f"model.{name}"])
                for name, tensor in (self.average.average if self.average else {}).items():
                    tensor.copy_(stored[f"average.{name}"])
            for name, parameter in self._named_parameters():
                self._restore_moments(parameter, f"optimiser.{name}.", stored)
            torch.set_rng_state(stored["random.cpu"])
            if "random.cuda" in stored and torch.cuda.is_available():
                torch.cuda.set_rng_state(stored["random.cuda"])
            return Progress(**json.loads(metadata["progress"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"The training state {path} does not fit this run ({error}; {len(names)} moments expected)",
                expected="the state that the same network, optimiser and configuration wrote",
                remedy="start in another output directory, or remove this one to begin anew",
            ) from error

    def _restore_moments(self, parameter: nn.Parameter, prefix: str, stored: Mapping[str, Tensor]) -> None:
        moments: dict[str, Tensor] = {}
        for key in (key for key in stored if key.startswith(prefix)):
            value = stored[key]
            # The memory order of the weights decides in which order sums are taken, so moments keep it too.
            like = value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
            moments[key.removeprefix(prefix)] = like
        if moments:
            self.optimiser.state[parameter] = moments

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self.module.state_dict().items()}
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.average.items()}
        tensors |= dict(self._moments())
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        return tensors

    def _moments(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._named_parameters():
            for moment, tensor in self.optimiser.state.get(parameter, {}).items():
                yield f"optimiser.{name}.{moment}", tensor

    def _named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.module.named_parameters()


def check_same_run(path: Path, started_with: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was started differently.

    Raises:
        ConfigError: a setting, the seed, the task or the training set differs from the stored one; all are listed.
        InputError: the file is truncated.
    """
    metadata = _read(path, tensors=False)[0]
    expected = "the settings that training wrote"
    then = _flat(
        parse_json(metadata.get("started_with", "{}"), path, expected=expected, remedy="remove it to begin anew")
    )
    now = _flat(json.loads(json.dumps(started_with)))
    # A setting that a run of an older swath did not know had the effect of today's default.
    defaults = {f"config.{name}": value for name, value in FitConfig().model_dump(mode="json").items()}
    then = {name: value for name, value in defaults.items() if name in now} | then
    differences = [
        f"{key} was {json.dumps(then.get(key, 'absent'))} and is now {json.dumps(now.get(key, 'absent'))}"
        for key in dict.fromkeys([*then, *now])
        if then.get(key, "absent") != now.get(key, "absent")
    ]
    if differences:
        more = f"; and {len(differences) - 8} more" if len(differences) > 8 else ""
        raise ConfigError(
            f"{path.parent} holds a run that was started differently: {'; '.join(differences[:8])}{more}",
            expected="the same configuration, seed, task and training set when a run is continued",
            remedy="choose another output directory, or remove this one to begin anew",
        )


def _read(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if tensors else ()
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"The training state {path} cannot be read ({error})",
            expected="the file that training wrote",
            remedy="remove it to begin anew, or choose another output directory",
        ) from error


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as one level of dotted keys; lists stay whole."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat
