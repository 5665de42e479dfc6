"""One readable training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

import pandas as pd
import torch
from torch import nn

from swath import rng
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.files import replacing
from swath.learn.checkpoint import save_checkpoint
from swath.learn.config import FitConfig
from swath.learn.curves import Curves, curves, progress_bar
from swath.learn.features import replayed
from swath.learn.frozen import training_mode
from swath.learn.optimise import MovingAverage, learning_rate, make_optimiser, rates, set_rates
from swath.learn.parallel import Team, recruited
from swath.learn.reproduce import backend_of, choose_device, repeatable, seeded, threads_of
from swath.learn.state import STATE, Progress, TrainingState, check_same_run
from swath.learn.task import Trainable, evaluation
from swath.types import Batch

LOG, BEST, LAST = "log.csv", "best", "last"
HOW = {"checkpoint_every_epochs", "checkpoint_every_steps", "device", "threads", "processes", "tensorboard"}
"""Settings that say how a run is carried out, not what it computes; they may change when a run is continued."""

Validate = Callable[[Any, int], dict[str, float]]
Advance = Callable[[int], None]


class BatchLoader(Protocol):
    """Batches in an order that depends on the epoch alone, from any position on."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on."""
        ...


@dataclass(frozen=True)
class FitResult:
    """What a training run left.

    Args:
        out: its directory.
        epochs: epochs completed.
        steps: optimiser steps made.
        best: checkpoint with the best validation value, None without validation (or when all values were NaN).
        last: checkpoint of the last epoch.
        best_value: the best validation value.
        best_epoch: its epoch, counted from 0.
        history: one line per epoch, as in ``log.csv``.
        wall_s: seconds of training over all starts.
        resumed: whether an earlier start was continued, or found finished.
    """

    out: Path
    epochs: int
    steps: int
    best: Path | None
    last: Path
    best_value: float | None
    best_epoch: int | None
    history: tuple[dict[str, Any], ...]
    wall_s: float
    resumed: bool


def fit(
    task: Trainable,
    loader: BatchLoader,
    *,
    config: FitConfig,
    out: Path | str,
    seed: int,
    validate: Validate | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a task; afterwards it holds the averaged weights of the last epoch, in evaluation mode.

    Called again with the same ``out`` it goes on where the last saved state stands; on one thread the result is the
    same, bit for bit, as that of a run that was never interrupted. A finished run returns at once.

    Writes ``log.csv`` (one line per epoch), ``last/`` and ``best/`` (checkpoints), ``training_state.safetensors``.

    Args:
        task: a task that is also a ``torch.nn.Module``, or whose ``student`` is one; the trained parameters are those
            that require gradients.
        loader: training batches.
        config: how to train.
        out: output directory.
        seed: names the random streams of the run (dropout and objectives); 0 is a seed like any other.
        validate: called with the task (averaged weights, evaluation mode) and the epoch after each epoch; its values
            go to the log, and ``config.monitor`` names the one that decides which epoch is best.
        progress: whether to show a progress bar on standard error.

    Raises:
        InputError: no batches, no trained parameters, or a loss that is NaN or infinite (step and samples are named).
        ConfigError: ``out`` holds a run that was started differently, or ``config.monitor`` is not validated.
        ResourceError: the device that was asked for is absent.
    """
    with repeatable(threads_of(config)), seeded(seed, "fit"):
        run = _Run(task, loader, config, Path(out), seed)
        if not run.finished:
            others = partial(_follow, task, loader, config, Path(out), seed)
            with (
                curves(run.out, run.progress.step, wanted=config.tensorboard) as run.curves,
                recruited(config.processes, others, backend_of(config)) as run.team,
                progress_bar(run.progress, run.batches, config.epochs, enabled=progress) as advance,
            ):
                _loop(run, validate, advance)
        if run.average:
            run.average.keep()
        run.module.eval()
    return run.result()


def _loop(run: _Run, validate: Validate | None, advance: Advance) -> None:
    while not run.finished:
        for group in run.groups():
            run.step(group)
            advance(len(group))
            run.save_within_epoch()
        run.end_epoch(validate)


def _follow(task: Trainable, loader: BatchLoader, config: FitConfig, out: Path, seed: int, team: Team) -> None:
    """What the other processes of a run do."""
    with repeatable(threads_of(config)), seeded(seed, "fit", *team.stream):
        run = _Run(task, loader, config, out, seed, team)
        _loop(run, None, lambda batches: None)


class _Run:
    """A training run: the parts of ``fit`` and the steps of its loop."""

    def __init__(
        self, task: Trainable, loader: BatchLoader, config: FitConfig, out: Path, seed: int, team: Team | None = None
    ) -> None:
        learner = getattr(task, "student", task)  # what learns from another model is trained and saved without it
        if not isinstance(learner, nn.Module):
            raise ContractError(f"The task is a {type(task).__name__}", expected="a torch module", remedy="derive it")
        self.task, self.module, self.loader, self.config, self.out, self.seed = task, learner, loader, config, out, seed
        self.origin: dict[str, Any] = getattr(task, "origin", {})
        self.team, self.curves = team or Team(), cast("Curves | None", None)
        self.device, self.amp = choose_device(config, self.team.rank)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # NCCL and what names no card use the current one
        self.module.to(self.device)
        self.batches = len(loader)
        if self.batches == 0:
            raise InputError(
                "The training set holds no batches", expected="at least one", remedy="check the split and the chip set"
            )
        self.parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise InputError(
                "The task has no trainable parameters", expected="at least one", remedy="unfreeze a part of the network"
            )
        self.steps = config.epochs * math.ceil(self.batches / config.accumulate)
        self.optimiser = make_optimiser(self.module, config)
        self.average = None if config.ema_decay is None else MovingAverage(self.module, config.ema_decay)
        self.state = TrainingState(self.module, self.optimiser, self.average)
        self.started_with = {
            "config": config.model_dump(mode="json", exclude=HOW),
            "seed": seed,
            "batches": self.batches,
            "task": task.record(),
        }
        self.progress, self.resumed = self._resume()
        self.clock = time.perf_counter()
        self.checked = False

    def _resume(self) -> tuple[Progress, bool]:
        path = self.out / STATE
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out} is a file", expected="an output directory", remedy="choose another name")
        if not path.exists():
            return Progress(), False
        check_same_run(path, self.started_with)
        return self.state.restore(path), True

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.progress.epoch >= self.config.epochs

    def groups(self) -> Iterator[list[Batch]]:
        """The batches left in this epoch, as many at a time as share one optimiser step."""
        training_mode(self.module)
        batches = iter(self.loader.epoch(self.progress.epoch, self.progress.batch))
        while group := list(itertools.islice(batches, self.config.accumulate)):
            if self.progress.batch + len(group) > self.batches:
                self._wrong_length("more")
            yield group
        if self.progress.batch < self.batches:
            self._wrong_length(str(self.progress.batch))

    def step(self, group: Sequence[Batch]) -> None:
        """One optimiser step: the gradient of the summed loss over the summed count of all batches of the group."""
        progress, team = self.progress, self.team
        rate = learning_rate(progress.step, self.steps, self.config)
        set_rates(self.optimiser, rate)
        team.begin_step(self.seed, progress.step)
        self.optimiser.zero_grad(set_to_none=True)
        sums = [self._backward(batch, position) for position, batch in enumerate(group)]
        loss_sum, count = team.total(self.parameters, sum(own for own, _ in sums), sum(own for _, own in sums))
        norm = 0.0
        if count > 0:  # a group without any valid label moves nothing, not even by weight decay
            torch._foreach_div_([p.grad for p in self.parameters if p.grad is not None], count)
            norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf))
            if not math.isfinite(norm):
                self._not_finite("norm of the gradient", norm, group)
            self.optimiser.step()
        if self.average and team.leads:
            self.average.update(progress.step)
        progress.take_step(len(group), loss_sum, count, norm)
        if self.curves:
            self.curves.step(progress.step, loss=loss_sum / max(count, 1e-12), grad_norm=norm, lr=rate)

    def _backward(self, batch: Batch, position: int) -> tuple[float, float]:
        """Add the gradient of this process's share of a batch; returns summed loss and valid count of the share."""
        if not self.checked:
            batch.check()
            self.checked = True
        batch = self.team.part(batch).to(self.device)
        if not batch.ids:
            return 0.0, 0.0
        at = (self.progress.epoch, self.progress.batch + position)
        stream = rng.torch_generator(self.seed, "objective", *at, *self.team.stream)
        autocast = torch.autocast("cuda", dtype=torch.bfloat16) if self.amp else nullcontext()
        with autocast, replayed(self.module, batch):
            loss = self.task.loss(batch, stream)
        value, count = float(loss["loss_sum"].detach()), float(loss["count"].detach())
        if not math.isfinite(value):
            self._not_finite("loss", value / max(count, 1.0), [batch])
        loss["loss_sum"].backward()
        return value, count

    def save_within_epoch(self) -> None:
        """Save the state when ``checkpoint_every_steps`` asks for it."""
        every = self.config.checkpoint_every_steps
        if (
            self.team.leads
            and every is not None
            and self.progress.step % every == 0
            and self.progress.batch < self.batches
        ):
            self._tick()
            self.state.save(self.out / STATE, self.progress, self.started_with)

    def end_epoch(self, validate: Validate | None) -> None:
        """Validate, write the line of the log, the checkpoints and the state; the first process does it for all."""
        progress, epoch = self.progress, self.progress.epoch
        if not self.team.leads:
            progress.end_epoch()
            return
        with self.average.applied() if self.average else nullcontext(), evaluation(self.module):
            scores = {} if validate is None else {k: float(v) for k, v in validate(self.module, epoch).items()}
            self._tick()
            line = {
                "epoch": epoch,
                "step": progress.step,
                "loss": progress.loss_sum / progress.count if progress.count else math.nan,
                **rates(self.optimiser, learning_rate(progress.step - 1, self.steps, self.config)),
                "grad_norm": progress.norm_sum / progress.epoch_steps,
                "wall_s": round(progress.wall_s, 3),
                **scores,
            }
            progress.history.append(line)
            if validate is not None and self._best(scores):
                progress.best_value, progress.best_epoch = scores[self.config.monitor], epoch
                self._checkpoint(BEST, line)
            saving = (epoch + 1) % self.config.checkpoint_every_epochs == 0 or epoch + 1 == self.config.epochs
            if saving:
                self._checkpoint(LAST, line)
            if self.curves:
                self.curves.epoch(progress.step, line)
        progress.end_epoch()
        with replacing(self.out / LOG) as temporary:
            pd.DataFrame(progress.history).to_csv(temporary, index=False)
        if saving:
            self.state.save(self.out / STATE, progress, self.started_with)

    def _best(self, scores: dict[str, float]) -> bool:
        monitor, best = self.config.monitor, self.progress.best_value
        if monitor not in scores:
            raise ConfigError(
                f"'monitor' is '{monitor}', but validation gives {', '.join(scores) or 'nothing'}",
                expected="one of the validation values",
                remedy=f"set monitor to {nearest(monitor, scores, 1) or 'a value that validate() returns'}",
            )
        value = scores[monitor]
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value > best if self.config.monitor_mode == "max" else value < best

    def _checkpoint(self, name: str, line: dict[str, Any]) -> None:
        save_checkpoint(
            self.out / name,
            cast(Trainable, self.module),
            config=self.config.model_dump(mode="json"),
            provenance={"seed": self.seed, "averaged": self.average is not None, **self.origin, **line},
        )

    def _tick(self) -> None:
        now = time.perf_counter()
        self.progress.wall_s += now - self.clock
        self.clock = now

    def result(self) -> FitResult:
        """What ``fit`` returns."""
        p = self.progress
        best = self.out / BEST if p.best_epoch is not None else None
        values = asdict(p)
        return FitResult(
            out=self.out,
            epochs=p.epoch,
            steps=p.step,
            best=best,
            last=self.out / LAST,
            history=tuple(values["history"]),
            best_value=p.best_value,
            best_epoch=p.best_epoch,
            wall_s=p.wall_s,
            resumed=self.resumed,
        )

    def _not_finite(self, what: str, value: float, group: Sequence[Batch]) -> NoReturn:
        ids = [name for batch in group for name in batch.ids]
        more = f" and {len(ids) - 12} more" if len(ids) > 12 else ""
        raise InputError(
            f"The {what} is {value} at step {self.progress.step} (epoch {self.progress.epoch}) for the samples "
            f"{', '.join(ids[:12])}{more}",
            expected="a finite number",
            remedy="look at these samples and the statistics, lower learning_rate, or set clip_norm",
        )

    def _wrong_length(self, given: str) -> NoReturn:
        raise ContractError(
            f"The loader gave {given} batches in epoch {self.progress.epoch}",
            expected=f"{self.batches}, as len(loader) says",
            remedy="let epoch(epoch, start) give the batches from 'start' to the end, and len() count all of them",
        )
