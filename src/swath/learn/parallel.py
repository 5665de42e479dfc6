"""Several processes of one machine that share every batch of a run.

The process that called ``fit`` is the first of the team and starts the others, which get copies of task and loader. All
walk through the same batches; each takes every n-th sample of a batch, and before a step the gradients of the summed
loss and the valid counts of all are added up (gloo over the loopback device). The step is therefore that of one process
on the whole batch: the mean over the valid count of all, not the mean of means. The first process alone keeps the
moving average, validates, and writes log, checkpoints and state.

What differs from one process: sums are taken in another order (about 1e-6 of a gradient); statistics of batch
normalisation, and losses that are no sums over pixels (Dice, Lovász), are those of each process's own samples, of which
the first process's running statistics are kept; dropout and random objectives draw from streams of their own, named by
process and step. Every process reads whole batches, so a loader that is slower than the network gains nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # in torch's C++ part

from swath import rng
from swath.errors import ContractError, ResourceError, SwathError
from swath.jobs import cause_of_death
from swath.learn.features import CachedBatch
from swath.types import Batch, Features

_MEETING = timedelta(minutes=2)
_WAITING = timedelta(days=30)
"""Processes wait for each other while the first one validates; one that dies closes its connection."""
_TOGETHER = timedelta(minutes=10)
"""Nobody is late for the gradients, since the counts came before them."""
GLOO, NCCL = "gloo", "cpu:gloo,cuda:nccl"
_PATIENCE_S = 5.0
_LEFT_ALONE = 77
"""Exit status of a process whose team broke apart, so that it is not taken for the cause."""


class TeamLost(RuntimeError):
    """Another process of the team cannot be reached."""


@dataclass(frozen=True)
class Team:
    """The place of this process among those that share a run; the default is a run of one process.

    Args:
        rank: 0 for the process that called ``fit``.
        size: number of processes.
        backend: what adds up: ``GLOO``, or ``NCCL`` where every process has a graphics card of its own.
    """

    rank: int = 0
    size: int = 1
    backend: str = GLOO

    @property
    def leads(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    @property
    def stream(self) -> tuple[int, ...]:
        """What to add to the name of a random stream so that every process has its own."""
        return (self.rank,) if self.rank else ()

    def part(self, batch: Batch) -> Batch:
        """The samples of a batch for this process: every ``size``-th one from number ``rank`` on; maybe none."""
        return batch if self.size == 1 else take_samples(batch, slice(self.rank, None, self.size))

    def begin_step(self, seed: int, step: int) -> None:
        """Name the random stream of the step, except for the first process, whose stream is saved with its state."""
        if self.rank:
            torch.manual_seed(rng.key(seed, "fit", self.rank, step) % 2**63)

    def total(self, parameters: Sequence[nn.Parameter], loss_sum: float, count: float) -> tuple[float, float]:
        """Add up gradients, in place, and sums of all processes; returns loss sum and valid count of all.

        Raises:
            TeamLost: another process is gone.
        """
        if self.size == 1:
            return loss_sum, count
        used = [float(parameter.grad is not None) for parameter in parameters]
        sums = torch.tensor([loss_sum, count, *used], dtype=torch.float64)
        flat = torch.cat([_flat_gradient(parameter) for parameter in parameters])
        try:
            _add_up(sums, _WAITING)
            _add_up(flat, _TOGETHER)
        except RuntimeError as error:
            raise TeamLost(str(error)) from error
        total_loss, total_count, *users = sums.tolist()
        pieces = flat.split([parameter.numel() for parameter in parameters])
        for parameter, piece, number in zip(parameters, pieces, users, strict=True):
            if number == 0:  # used by nobody: as with one process, no gradient at all
                continue
            if parameter.grad is None or parameter.grad.stride() != parameter.stride():
                # One memory order in all processes, so that all take the norm in the same order and stay equal.
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(piece.view_as(parameter))
        return total_loss, total_count


def _add_up(tensor: torch.Tensor, patience: timedelta) -> None:
    options = dist.AllreduceOptions()  # whose default is the sum
    options.timeout = patience
    group: Any = dist.group.WORLD
    group.allreduce([tensor], options).wait()


def _flat_gradient(parameter: nn.Parameter) -> torch.Tensor:
    if parameter.grad is None:
        return torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device)
    return parameter.grad.reshape(-1)


def take_samples(batch: Batch, chosen: slice) -> Batch:
    """Some samples of a batch; tensors are views. Where none is left, only ``ids`` are empty."""
    size, ids = batch.batch_size, batch.ids[chosen]
    if len(ids) in (0, size):
        return replace(batch, ids=ids)

    def taken(value: Any) -> Any:
        # What all samples share, such as a mask with one entry, stays.
        one_each = isinstance(value, torch.Tensor | list | tuple) and len(value) == size
        return value[chosen] if one_each else value

    def taken_all(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: taken(value) for name, value in values.items()}

    inputs = {
        name: replace(m, values=taken(m.values), valid=taken(m.valid), time=taken(m.time), grid=taken(m.grid))
        for name, m in batch.inputs.items()
    }
    part = replace(
        batch,
        inputs=inputs,
        targets=taken_all(batch.targets),
        target_valid=taken_all(batch.target_valid),
        ids=ids,
        meta=taken_all(batch.meta),
    )
    if isinstance(part, CachedBatch):
        seen = part.features
        maps = tuple(taken(level) for level in seen.maps)
        return replace(part, features=Features(maps, seen.strides, taken(seen.tokens), taken(seen.cls)))
    return part


@contextmanager
def recruited(size: int, follow: Callable[[Team], None], backend: str = GLOO) -> Iterator[Team]:
    """A team for the length of a block; the other processes run ``follow`` meanwhile.

    Args:
        size: processes; 1 starts none.
        follow: what the others do with their place in the team; it travels by pickle.
        backend: what adds up, see ``Team``.

    Raises:
        ContractError: ``follow`` cannot be pickled.
        ResourceError: a process cannot be started, or died.
        SwathError: what another process raised.
    """
    if size == 1:
        yield Team()
        return
    members: list[_Member] = []
    with _loopback():
        try:
            for member in _start(size, follow, backend):
                members.append(member)  # one by one, so that those that began are dismissed when a later one cannot
            _meet(members, backend)
            yield Team(0, size, backend)
        except TeamLost as error:
            raise _cause(members) from error
        finally:
            for member in members:
                member.dismiss(patient=sys.exc_info()[0] is None)
            if dist.is_initialized():
                dist.destroy_process_group()


@dataclass(frozen=True, eq=False)
class _Member:
    """Another process of the team, and the pipe on which it speaks."""

    rank: int
    process: Any
    pipe: Connection

    def hear(self, seconds: float) -> bytes | None:
        """Its next word, or None when it died or said nothing in time."""
        if not wait([self.pipe, self.process.sentinel], seconds):
            return None
        try:
            return self.pipe.recv_bytes() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None

    def dismiss(self, *, patient: bool) -> None:
        """Let it end, and make it end."""
        self.process.join(_PATIENCE_S if patient else 0)
        if self.process.exitcode is None:
            self.process.terminate()
            self.process.join(_PATIENCE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _start(size: int, follow: Callable[[Team], None], backend: str) -> Iterator[_Member]:
    """The other processes, each when it has begun."""
    if dist.is_initialized():
        raise ResourceError(
            "This process already belongs to a group of torch.distributed",
            expected="a process of its own for a run with several processes",
            remedy="set processes to 1, or start the run outside of torchrun",
        )
    try:
        # Bytes, because multiprocessing would let the processes share the memory of the weights.
        message = pickle.dumps(follow)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ContractError(
            f"The task or the loader cannot be sent to another process ({error})",
            expected="objects of classes at module level, without functions defined inside others",
            remedy="set processes to 1, or move these functions to the level of a module",
        ) from error
    context = multiprocessing.get_context("spawn")
    for rank in range(1, size):
        ours, theirs = context.Pipe()
        process = context.Process(target=_member, args=(theirs, Team(rank, size, backend)), daemon=True)
        try:
            process.start()
        except OSError as error:
            raise _no_process(str(error)) from error
        theirs.close()
        with suppress(OSError):  # it died at once, which hear() will tell
            ours.send_bytes(message)
        yield _Member(rank, process, ours)


def _meet(members: Sequence[_Member], backend: str) -> None:
    """Join all processes into one group, once every one has said that it is there."""
    for member in members:
        if member.hear(seconds=600.0) != b"ready":
            member.process.join(_PATIENCE_S)
            raise _no_process(f"process {member.rank} {cause_of_death(member.process.exitcode)} before it could begin")
    store = TCPStore("127.0.0.1", 0, len(members) + 1, is_master=True, wait_for_workers=False)
    for member in members:
        with suppress(OSError):
            member.pipe.send_bytes(str(store.port).encode())
    try:
        dist.init_process_group(backend, store=store, rank=0, world_size=len(members) + 1, timeout=_MEETING)
    except RuntimeError as error:
        raise TeamLost(str(error)) from error


def _member(pipe: Connection, team: Team) -> None:
    """The life of another process: take the work, meet, follow, and tell what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears Ctrl-C, and ends the others
    try:
        follow = pickle.loads(pipe.recv_bytes())
        pipe.send_bytes(b"ready")
        store = TCPStore("127.0.0.1", int(pipe.recv_bytes()), team.size, is_master=False)
        dist.init_process_group(team.backend, store=store, rank=team.rank, world_size=team.size, timeout=_MEETING)
        follow(team)
        dist.destroy_process_group()
    except (TeamLost, EOFError, OSError):
        os._exit(_LEFT_ALONE)
    except BaseException as error:
        known = isinstance(error, SwathError)
        with suppress(Exception):
            pipe.send_bytes(pickle.dumps(error if known else f"{type(error).__name__}: {error}"))
        os._exit(1)  # without waiting for the others, who wait for this one


def _cause(members: Sequence[_Member]) -> SwathError:
    """Why the team broke apart, as an error for whoever called ``fit``."""
    for member in members:
        member.process.join(_PATIENCE_S)
    for member in members:
        said = member.hear(seconds=0.0)
        if said is not None:
            error = pickle.loads(said)
            if isinstance(error, SwathError):
                return error
            return _lost(f"training process {member.rank} failed: {error}")
    codes = {member.rank: member.process.exitcode for member in members}
    dead = {rank: code for rank, code in codes.items() if code not in (None, 0, _LEFT_ALONE)}
    rank, code = next(iter((dead or codes).items()))
    return _lost(f"training process {rank} {cause_of_death(code)}" if dead else "a training process cannot be reached")


def _lost(what: str) -> ResourceError:
    return ResourceError(
        f"The run stopped, because {what}",
        expected="all processes of the run alive until its end",
        remedy="free memory or take fewer processes, and start the same training again; it goes on from the last state",
    )


def _no_process(why: str) -> ResourceError:
    return ResourceError(
        f"No training process can be started: {why}",
        expected="memory and rights for one more process; in a script, a start under 'if __name__ == \"__main__\":'",
        remedy=f"set processes to 1, or to fewer (this machine has {os.cpu_count()} cores)",
    )


@contextmanager
def _loopback() -> Iterator[None]:
    """Keep the connections of gloo on the loopback device, where it would look up the name of the machine."""
    name = "GLOO_SOCKET_IFNAME"
    if name in os.environ or not sys.platform.startswith("linux"):
        yield
        return
    os.environ[name] = "lo"
    try:
        yield
    finally:
        os.environ.pop(name, None)
