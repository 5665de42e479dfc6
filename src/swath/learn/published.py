"""A published encoder, frozen, with a head that learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.models import GalileoPatches, PrestoPixels, load
from swath.models.galileo import GalileoEncoder
from swath.models.presto import Presto
from swath.nn.network import Head, make_head
from swath.nn.tuning import count_parameters
from swath.sensors import BandSet
from swath.types import Batch, Features
from swath.weights import LoadReport, entry, names

FAMILIES = ("presto", "galileo")
"""Families of published encoders that read any dates and bands, and give a map of cells."""


@dataclass(frozen=True)
class PublishedSpec:
    """What a checkpoint stores of it.

    Args:
        encoder: name of the encoder.
        outputs: numbers per pixel or sample.
        head: ``vector``, ``linear`` or ``fcn``.
        head_width: channels inside ``fcn``.
    """

    encoder: str
    outputs: int
    head: Head = "linear"
    head_width: int = 128


class Published(nn.Module):
    """A published encoder as a module that gives features and never learns.

    Args:
        published: the encoder.
    """

    def __init__(self, published: PrestoPixels | GalileoPatches) -> None:
        super().__init__()
        self.published = published
        self.network = published.network.requires_grad_(False)
        self.channels, self.stride = published.embedding_dim, published.output_stride

    def forward(self, batch: Batch) -> Features:
        """One map of cells ``(B, D, h, w)``, 0 where nothing is seen, and the mean over the others as code."""
        found = self.published.encode(batch)
        # What inference mode made cannot be part of a graph; a copy can.
        cells = torch.where(found.valid[:, None], found.values, 0.0).clone()
        return Features((cells,), (found.stride,), cls=found.points().clone())

    def train(self, mode: bool = True) -> Published:
        """Nothing: it stays as it was published."""
        return super().train(False)


class PublishedNetwork(nn.Module):
    """Embeddings of a batch, as the encoder was published, and a head on them.

    The encoder reads physical values with their own dates, places and masks; nothing of it learns, and no gradient
    passes through it. It lies in the checkpoint as a whole, which therefore needs no other file.

    Args:
        encoder: name of the encoder; its weights are those of a checkpoint to be read.
        outputs: numbers per pixel or sample.
        head: which head.
        head_width: channels inside ``fcn``.

    Raises:
        ConfigError: the head needs a pyramid, which the encoder has not.
    """

    def __init__(self, encoder: str, outputs: int, *, head: Head = "linear", head_width: int = 128) -> None:
        super().__init__()
        self.spec = PublishedSpec(encoder, outputs, head, head_width)
        if head not in ("vector", "linear", "fcn"):
            raise ConfigError(
                f"The head '{head}' reads a pyramid, and the encoder '{encoder}' gives one map",
                expected="vector, linear or fcn",
                remedy="set head to linear or fcn, or leave it out",
            )
        self._take(untrained(encoder))
        self.head = make_head(head, (self.encoder.channels,), (self.encoder.stride,), outputs, head_width)

    def _take(self, published: PrestoPixels | GalileoPatches) -> None:
        self.encoder = Published(published)

    def fill(self, path: str | None = None, *, fetch: bool = True) -> LoadReport:
        """Put the published weights in.

        Raises:
            InputError: the file holds the weights of another family.
            MissingError: the weights are nowhere.
        """
        bands = self.encoder.published.inputs["image"]
        loaded = load(self.spec.encoder, path, fetch=fetch)
        assert isinstance(loaded, PrestoPixels | GalileoPatches)  # untrained() takes no other
        self._take(loaded)
        self.using(bands)
        return loaded.report

    @property
    def inputs(self) -> Mapping[str, BandSet]:
        """Bands that may be used."""
        return self.encoder.published.inputs

    def using(self, bands: BandSet) -> PublishedNetwork:
        """The same network for batches that hold these bands alone; the others count as missing.

        Raises:
            InputError: none of them fits.
        """
        self._take(self.encoder.published.using(bands))
        return self

    def parameters_of_encoder(self) -> int:
        """Number of frozen parameters."""
        return count_parameters(self.encoder)[0]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw numbers ``(B, R, H, W)``, or ``(B, R)``, and where they mean something ``(B, H, W)``, or ``(B,)``.

        Raises:
            InputError: no band fits, dates or places are unknown, or values cannot be what they are said to be.
            ContractError: inputs differ in size or dates.
        """
        found: Features = self.encoder(batch)
        device = next(self.head.parameters()).device
        cells = found.maps[0].to(device)
        known = (cells != 0).any(dim=1)  # what is not seen is 0 in every component, and nothing else is
        if self.spec.head == "vector":
            raw: Tensor = self.head(Features((), (), cls=None if found.cls is None else found.cls.to(device)))
            return raw, known.flatten(1).any(1)
        stride = self.encoder.stride
        maps: Tensor = self.head(Features((cells,), found.strides))
        rows, columns = _size(batch, stride, cells)
        if stride > 1:
            known = known.repeat_interleave(stride, dim=1).repeat_interleave(stride, dim=2)
        return maps[..., :rows, :columns], known[..., :rows, :columns]

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        return [("encoder",), ("head",)]

    def new_parts(self) -> tuple[str, ...]:
        """Prefixes of what no published weights hold."""
        return ("head",)


def _size(batch: Batch, stride: int, cells: Tensor) -> tuple[int, int]:
    """Rows and columns of the input whose cells these are."""
    for modality in batch.inputs.values():
        rows, columns = modality.values.shape[-2:]
        if (-(-rows // stride), -(-columns // stride)) == tuple(cells.shape[-2:]):
            return int(rows), int(columns)
    raise ContractError(
        f"The encoder gave cells {tuple(cells.shape)}",
        expected=f"one cell per {stride} x {stride} pixels of an input",
        remedy="give inputs of one size",
    )


def untrained(name: str) -> PrestoPixels | GalileoPatches:
    """A published encoder without its weights, to be filled.

    Raises:
        InputError: no such name.
        ConfigError: the encoder is of a family that is not built here.
    """
    known = entry(name)
    if known.family not in FAMILIES:
        fitting = [each for each in names() if entry(each).family in FAMILIES]
        raise ConfigError(
            f"'pretrained' is '{name}' of the family '{known.family}', which is a backbone of its own",
            expected=f"one of {', '.join(fitting)}",
            remedy=f"write network: {{backbone: {name}}}; it learns or is frozen as 'tuning' says",
        )
    report = LoadReport(name, "no file yet", False, (), (), (), (), (), (0, 0))
    with torch.device("cpu"):  # its version is a hash over numbers, which the meta device has not
        if known.family == "presto":
            return PrestoPixels(known, Presto(), report)
        return GalileoPatches(known, GalileoEncoder(), report)
