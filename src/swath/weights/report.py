"""Weights into a network, and the account of what went where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.errors import InputError
from swath.weights.catalogue import family_of

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST_SHARE = 0.9
"""Less of a network filled than this is an error even where strictness was waived."""
_SHOWN = 6

Resize = Callable[["Tensor", tuple[int, ...]], "Tensor"]
"""Stored tensor and wanted shape -> a tensor of that shape."""


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file and of the parameters of a network.

    Args:
        name: the encoder.
        source: the file.
        verified: whether its checksum is known and agrees.
        bands: (band, where its weights come from) per input: the published name, or ``new: ...``.
        used: parameters filled as stored.
        resized: (parameter, stored shape, shape in the network).
        new: parameters that no tensor serves and that keep their initial values.
        unused: tensors that no parameter takes.
        numbers: numbers in the network, and how many of them come from the file.
        notes: what else is to be known about this loading.
    """

    name: str
    source: str
    verified: bool
    bands: tuple[tuple[str, str], ...]
    used: tuple[str, ...]
    resized: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    numbers: tuple[int, int]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Two columns for a printed table: what, and from where or how many."""
        total, filled = self.numbers
        check = "checksum agrees" if self.verified else "checksum NOT verified"
        rows = [("weights", f"{self.source} ({check})")]
        rows += [(f"band {band}", source) for band, source in self.bands]
        rows.append(("parameters used", f"{len(self.used)} ({filled} of {total} numbers)"))
        rows += [(f"resized {name}", f"{old} to {new}") for name, old, new in self.resized]
        rows.append(("parameters new", _listed(self.new)))
        rows.append(("tensors unused", _listed(self.unused)))
        rows += [("note", note) for note in self.notes]
        return rows

    def __str__(self) -> str:
        """The table as text."""
        rows = self.rows()
        width = max(len(left) for left, _ in rows)
        lines = [f"{left:<{width}}  {right}" for left, right in rows]
        return "\n".join([f"{self.name}: what was loaded", *lines])


def fill(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    name: str,
    source: str,
    verified: bool,
    bands: Sequence[tuple[str, str]] = (),
    resize: Mapping[str, Resize] | None = None,
    strict: bool = True,
) -> LoadReport:
    """Put tensors into a network in place.

    Args:
        network: any module.
        tensors: by the names of its ``state_dict``.
        name: what the weights are called, for sentences and the report.
        source: the file, for the same.
        verified: whether the checksum of the file agrees.
        bands: for the report.
        resize: parameters whose stored shape may differ, with the function that brings it to the wanted one.
        strict: every parameter has to be filled and every tensor used; otherwise 90 % of the numbers are enough.

    Raises:
        InputError: the tensors are those of another family, do not fit, or hold NaN or infinite numbers.
    """
    import torch

    wanted = network.state_dict()
    taken: dict[str, Tensor] = {}
    resized: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    misfit: dict[str, str] = {}
    for key, parameter in wanted.items():
        if key not in tensors:
            continue
        shape, stored = tuple(parameter.shape), tensors[key]
        if tuple(stored.shape) == shape:
            taken[key] = stored
        elif key in (resize or {}):
            taken[key] = (resize or {})[key](stored, shape)
            resized.append((key, tuple(stored.shape), shape))
        else:
            misfit[key] = f"{key} has the shape {tuple(stored.shape)} instead of {shape}"
    unused = tuple(key for key in tensors if key not in taken)
    new = tuple(key for key in wanted if key not in taken)
    broken = [
        key for key, value in taken.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    total = sum(parameter.numel() for parameter in wanted.values())
    filled = sum(wanted[key].numel() for key in taken)
    _refuse(name, source, tensors, _Faults(misfit, new, unused, broken, filled / max(total, 1)), strict)
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in taken.items()}, strict=False)
    as_stored = tuple(key for key in taken if key not in {changed[0] for changed in resized})
    return LoadReport(name, source, verified, tuple(bands), as_stored, tuple(resized), new, unused, (total, filled))


@dataclass(frozen=True)
class _Faults:
    misfit: dict[str, str]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    broken: list[str]
    share: float


def _refuse(name: str, source: str, tensors: Mapping[str, Tensor], faults: _Faults, strict: bool) -> None:
    """Raise the sentence for what does not fit."""
    problems = [*faults.misfit.values()]
    problems += [f"{key} is missing" for key in faults.new if key not in faults.misfit]
    problems += [f"{key} has no place" for key in faults.unused if key not in faults.misfit]
    if faults.broken:
        raise InputError(
            f"'{source}' holds NaN or infinite numbers in {_listed(faults.broken)}",
            expected="finite weights",
            remedy="fetch the file again",
        )
    if not problems or (not strict and faults.share >= SMALLEST_SHARE):
        return
    other = family_of(set(tensors))
    if other is not None and other != name and faults.share < SMALLEST_SHARE:
        raise InputError(
            f"'{source}' holds the weights of '{other}'",
            expected=f"the weights of '{name}'",
            remedy=f"load it as '{other}', or give the file of '{name}'",
        )
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    raise InputError(
        f"'{source}' does not fit '{name}' ({faults.share:.0%} of its numbers would be filled): "
        f"{'; '.join(problems[:_SHOWN])}{more}",
        expected=f"{'exactly' if strict else f'at least {SMALLEST_SHARE:.0%} of'} the parameters of '{name}'",
        remedy="give the published file"
        + ("; strict=False keeps initial values where a parameter is missing" if strict else ""),
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
