"""What a backbone gives, and the record that describes a published backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from swath.errors import ContractError
from swath.sensors import BandSet
from swath.types.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """All that is fixed about one published size of a backbone.

    Args:
        name: the name by which users ask for it.
        family: the module family that builds it.
        bands: the bands it was trained on, or None when it takes any.
        channels: feature channels of each level, finest first.
        strides: stride in input pixels of each level, finest first.
        temporal: whether it keeps a time axis in its maps.
        parameters: the published number of parameters, or None.
    """

    name: str
    family: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    bands: BandSet | None = None
    temporal: bool = False
    parameters: int | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """Feature maps ``(B, [T,] C_l, h_l, w_l)`` with their strides, and optional tokens and class token.

    Args:
        maps: one map per level, finest first.
        strides: stride of each level in input pixels.
        tokens: ``(B, N, D)`` or None.
        cls: ``(B, D)`` or None.
    """

    maps: tuple[Tensor, ...]
    strides: tuple[int, ...]
    tokens: Tensor | None = None
    cls: Tensor | None = None

    def check(self) -> None:
        """Raise a plain sentence when levels, strides or batch sizes disagree.

        Raises:
            ContractError: nothing is held, a map has no rows and columns, or the counts differ.
        """
        if not self.maps and self.tokens is None and self.cls is None:
            raise ContractError(
                "Features hold no map, no tokens and no class token",
                expected="at least one of them",
                remedy="return what encode() computed",
            )
        flat = [tuple(part.shape) for part in self.maps if part.ndim not in (4, 5)]
        if flat:
            raise ContractError(
                f"A feature map has the shape {flat[0]}",
                expected="(sample, channel, y, x), or (sample, time, channel, y, x)",
                remedy="reshape tokens to a map, or hand them over as tokens",
            )
        if len(self.maps) != len(self.strides):
            raise ContractError(
                f"Features hold {len(self.maps)} maps and {len(self.strides)} strides",
                expected="one stride per map",
                remedy="return both from encode()",
            )
        if list(self.strides) != sorted(self.strides):
            raise ContractError(
                f"The strides {self.strides} are not in order",
                expected="levels from finest to coarsest",
                remedy="reverse the maps and the strides together",
            )
        sizes = {int(part.shape[0]) for part in (*self.maps, self.tokens, self.cls) if part is not None}
        if len(sizes) > 1:
            raise ContractError(
                f"Features hold different numbers of samples: {sorted(sizes)}",
                expected="one batch size",
                remedy="check the reshape in encode()",
            )


@runtime_checkable
class Backbone(Protocol):
    """Anything that turns a batch into features."""

    spec: Spec

    def encode(self, batch: Batch) -> Features:
        """Feature maps of the batch."""
        ...
