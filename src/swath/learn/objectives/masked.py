"""Masked reconstruction: hide most tokens of an image or series and learn to make them up.

He et al., CVPR 2022, with the networks of ``nn.masked_autoencoder`` (space and time) and ``nn.grouped`` (groups of
bands, several scales). Values go in standardised, 0 where invalid, and no invalid pixel counts in any loss. All that is
drawn comes from the generator that ``fit`` names by seed, epoch and batch, so that a resumed run hides the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn.checkpoint import WEIGHTS, read_record
from swath.learn.config import parse
from swath.learn.intake import EARLIEST_S
from swath.learn.record import bands_from_records, bands_to_records
from swath.learn.task import evaluation
from swath.learn.when_where import centre
from swath.nn import Normalise, losses
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.nn.masked_autoencoder import ORDER, MaskedAutoencoder, MaskedAutoencoderSpec
from swath.nn.masking import Masked, consistent_mask, draw_noise, frame_mask, random_mask
from swath.nn.multiscale import FINE_WEIGHT, scales
from swath.nn.patches import unpatchify
from swath.nn.reconstruction import group_loss
from swath.nn.time_place import TimePlace
from swath.sensors import BandSet
from swath.types import Batch, Modality
from swath.weights import fill, read_tensors

TASK = "pretraining"
"""Name in a checkpoint."""


class MaskingOptions(BaseModel):
    """Which tokens are hidden.

    Args:
        kind: ``random``; ``consistent``: the same places in all groups of bands, or on all dates; ``dates``: whole
            dates of a series.
        ratio: share of tokens that is hidden; for ``dates`` see ``dates``.
        dates: how many dates the kind ``dates`` hides.
        drop_metadata: share of samples for which time, and by itself place, is withheld while training.
        fine_weight: share of the finer images in the loss of a network of several scales.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["random", "consistent", "dates"] = "random"
    ratio: float = Field(default=0.75, gt=0, lt=1)
    dates: int = Field(default=1, ge=1)
    drop_metadata: float = Field(default=0.1, ge=0, le=1)
    fine_weight: float = Field(default=FINE_WEIGHT, gt=0, lt=1)


@dataclass(frozen=True, eq=False)
class Restored:
    """What a network made of a batch, in standard deviations, all ``(B, T, C, H, W)``.

    Args:
        original: what was there, 0 where invalid.
        made: what the network gives for every pixel.
        hidden: bool, pixels of hidden tokens.
        valid: bool, pixels that count.
        finer: (original, made, valid) of the images of 2, 4, ... times the size.
    """

    original: Tensor
    made: Tensor
    hidden: Tensor
    valid: Tensor
    finer: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()

    def pasted(self) -> Tensor:
        """The original with the hidden pixels made up."""
        return torch.where(self.hidden, self.made, self.original)


class MaskedReconstruction(nn.Module):
    """A masked autoencoder that learns from batches: a ``Trainable`` for ``fit``.

    A network of groups of bands sees every date by itself. One of several scales takes images of its finest scale and
    sees the coarsest, made by averaging.

    Args:
        model: the network.
        normalise: statistics of the bands, in their order.
        bands: the bands the network wants; a batch serves them by name, alias or wavelength, never by position.
        masking: which tokens are hidden.
        modality: which input of the batch to read.

    Raises:
        ConfigError: numbers of bands differ, or whole dates are to be hidden from a network of single dates.
    """

    def __init__(
        self,
        model: MaskedAutoencoder | GroupedAutoencoder,
        normalise: Normalise,
        bands: BandSet,
        masking: MaskingOptions | None = None,
        *,
        modality: str = "image",
    ) -> None:
        super().__init__()
        self.model, self.normalise, self.bands = model, normalise, bands
        self.masking, self.modality = masking or MaskingOptions(), modality
        self.inputs: Mapping[str, BandSet] = {modality: bands}
        wanted = model.spec.bands if isinstance(model, MaskedAutoencoder) else model.encoder_spec.bands
        if not wanted == len(bands) == len(normalise.mean):
            raise ConfigError(
                f"The network takes {wanted} bands; there are {len(bands)} bands and statistics of "
                f"{len(normalise.mean)}",
                expected="the same number of all three",
                remedy="build network and statistics for the same bands",
            )
        if self.masking.kind == "dates" and isinstance(model, GroupedAutoencoder):
            raise ConfigError(
                "Whole dates are to be hidden from a network that sees every date by itself",
                expected="random or consistent masks for groups of bands",
                remedy="change the kind of masking, or use a network of space and time",
            )

    @property
    def doublings(self) -> int:
        """Finer images that the network makes."""
        return self.model.decoder_spec.doublings if isinstance(self.model, GroupedAutoencoder) else 0

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """``loss_sum`` and ``count`` over the hidden tokens with any valid pixel.

        With several scales and the share w of ``fine_weight`` the loss is ``(1 - w) tokens + w fine``, where ``fine``
        is the mean absolute error over the valid pixels of each finer image, averaged over these (0.6 and 0.4 as
        published); it enters the sum times the count of tokens.

        Raises:
            ContractError: the modality is absent, or sizes do not fit.
            InputError: a wanted band is missing, or a date is not known that the network wants.
        """
        values, valid = self._read(batch)
        if isinstance(self.model, GroupedAutoencoder):
            levels = self._levels(values, valid)
            mask = self._mask(levels[0][0], rng)
            total, count = self._grouped_loss(levels, mask)
        else:
            mask = self._mask(values, rng)
            about = self._about(batch)
            if about is not None:
                noise = draw_noise(rng, about.samples, 2, device=values.device)
                about = about.dropped(noise, self.masking.drop_metadata)
            found = self.model(values, mask, about=about, valid=valid).loss
            total, count = found.total, found.count
        return {"loss_sum": total, "count": count}

    def restore(self, batch: Batch, mask: Masked | torch.Generator) -> Restored:
        """Hide tokens and make them up, in evaluation mode and without gradients, on the device of the weights.

        Args:
            batch: any batch that ``loss`` takes.
            mask: which tokens to hide, or the generator that draws them as in training.

        Raises:
            ContractError: as ``loss``, or the mask does not fit.
            InputError: as ``loss``.
        """
        with evaluation(self), torch.inference_mode():
            values, valid = self._read(batch)
            samples, dates = values.shape[:2]
            if isinstance(self.model, GroupedAutoencoder):
                levels = self._levels(values, valid)
                drawn = mask if isinstance(mask, Masked) else self._mask(levels[0][0], mask)
                found = self.model(levels[0][0], drawn)
                hidden = self._hidden_pixels(drawn, tuple(levels[0][0].shape))

                def unfold(image: Tensor) -> Tensor:
                    return image.unflatten(0, (samples, dates))

                finer = tuple(
                    (unfold(target), unfold(made), unfold(counted))
                    for (target, counted), made in zip(levels[1:], found.larger, strict=True)
                )
                original, counts = levels[0]
                return Restored(unfold(original), unfold(found.image), unfold(hidden), unfold(counts), finer)
            drawn = mask if isinstance(mask, Masked) else self._mask(values, mask)
            made = self.model(values, drawn, about=self._about(batch), valid=valid)
            fitted, known = self.model.encoder.fit(values, valid)
            width = drawn.hidden[..., None].expand(*drawn.hidden.shape, self.model.spec.numbers)
            hidden = unpatchify(width, made.size, made.patch, ORDER)
            assert known is not None  # a mask went in
            return Restored(fitted, made.images(), hidden, known)

    def features(self, batch: Batch) -> Tensor:
        """What the encoder makes of a batch with nothing hidden: ``(B, D, h, w)``, a column per patch, dates averaged.

        Args:
            batch: any batch that ``loss`` takes.

        Raises:
            ContractError: as ``loss``.
            InputError: as ``loss``.
        """
        values, valid = self._read(batch)
        if isinstance(self.model, GroupedAutoencoder):
            maps: Tensor = self.model.encoder(self._levels(values, valid)[0][0]).maps[-1]
            return maps.unflatten(0, values.shape[:2]).mean(1)
        series: Tensor = self.model.encoder(values, self._about(batch)).maps[-1]
        return series.mean(1)

    def record(self) -> dict[str, Any]:
        """All that rebuilds the objective except its weights; see ``load_masked``."""
        if isinstance(self.model, GroupedAutoencoder):
            name, arguments = "grouped_autoencoder", {
                "encoder": asdict(self.model.encoder_spec),
                "decoder": asdict(self.model.decoder_spec),
            }  # fmt: skip
        else:
            name, arguments = "masked_autoencoder", asdict(self.model.spec)
        statistics = {"mean": self.normalise.mean.tolist(), "std": self.normalise.std.tolist()}
        found = {
            "task": TASK,
            "architecture": {"name": name, "arguments": arguments},
            "inputs": {self.modality: {"bands": bands_to_records(self.bands), "statistics": statistics}},
            "classes": [],
            "colours": [],
            "loss": self.masking.model_dump(mode="json"),
        }
        return dict(json.loads(json.dumps(found)))

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> MaskedReconstruction:
        """The objective that ``record()`` describes, with fresh weights.

        Raises:
            InputError: the record is not that of a pretrained network.
        """
        model = build_model(record, where)
        modality, entry = next(iter(record["inputs"].items()))
        bands = bands_from_records(entry["bands"], where)
        statistics = entry["statistics"]
        normalise = Normalise(statistics["mean"], statistics["std"], names=bands.names)
        return cls(model, normalise, bands, parse(MaskingOptions, record["loss"], where), modality=modality)

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Standardised values and mask of the wanted bands, both ``(B, T, C, H, W)``, on the device of the weights."""
        modality = self._modality(batch)
        indices = list(modality.bands.match(self.bands).require())
        device = self.normalise.mean.device
        valid = modality.valid.expand_as(modality.values)[:, :, indices].to(device)
        return self.normalise(modality.values[:, :, indices].to(device), valid), valid

    def _modality(self, batch: Batch) -> Modality:
        modality = batch.inputs.get(self.modality)
        if modality is None or modality.has_faces:
            raise ContractError(
                f"The batch has no input '{self.modality}' on rows and columns (it has "
                f"{', '.join(sorted(batch.inputs)) or 'none'})",
                expected=f"the modality '{self.modality}' with the bands {', '.join(self.bands.names)}",
                remedy="rename the input, or build the objective with modality=NAME",
            )
        return modality

    def _levels(self, values: Tensor, valid: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Images ``(B T, C, H, W)`` and masks of all scales, coarsest first."""
        return scales(values.flatten(0, 1), valid.flatten(0, 1), self.doublings)

    def _mask(self, images: Tensor, rng: torch.Generator) -> Masked:
        """Hidden tokens of images as the network sees them."""
        options, device = self.masking, images.device
        if isinstance(self.model, GroupedAutoencoder):
            rows, columns = self.model.grid(images)
            layers = len(self.model.encoder_spec.groups)
        else:
            layers, rows, columns = self.model.spec.grid(images.shape[1], *images.shape[-2:])
        number = rows * columns
        samples = images.shape[0]
        if options.kind == "random":
            return random_mask(draw_noise(rng, samples, layers * number, device=device), options.ratio)
        if options.kind == "consistent":
            return consistent_mask(draw_noise(rng, samples, number, device=device), layers, options.ratio)
        return frame_mask(draw_noise(rng, samples, layers, device=device), number, options.dates)

    def _grouped_loss(self, levels: list[tuple[Tensor, Tensor]], mask: Masked) -> tuple[Tensor, Tensor]:
        assert isinstance(self.model, GroupedAutoencoder)  # the caller has seen to it
        spec, (image, valid) = self.model.encoder_spec, levels[0]
        found = self.model(image, mask)
        tokens = group_loss(found.image.float(), image, valid, mask.hidden, groups=spec.groups, patch=spec.patch)
        if not self.doublings:
            return tokens.total, tokens.count
        pairs = zip(found.larger, levels[1:], strict=True)
        fine = torch.stack([losses.l1(made.float(), target, counted).mean() for made, (target, counted) in pairs])
        share = self.masking.fine_weight
        return (1 - share) * tokens.total + share * fine.mean() * tokens.count, tokens.count

    def _hidden_pixels(self, mask: Masked, shape: tuple[int, ...]) -> Tensor:
        """Pixels ``(B, C, H, W)`` of hidden tokens of groups of bands."""
        assert isinstance(self.model, GroupedAutoencoder)  # the caller has seen to it
        spec = self.model.encoder_spec
        grid = (len(spec.groups), shape[-2] // spec.patch, shape[-1] // spec.patch)
        group_of = [next(g for g, group in enumerate(spec.groups) if band in group) for band in range(spec.bands)]
        tokens = mask.hidden.unflatten(1, grid)[:, group_of]
        return tokens.repeat_interleave(spec.patch, 2).repeat_interleave(spec.patch, 3)

    def _about(self, batch: Batch) -> TimePlace | None:
        """When and where, as far as the network wants to know."""
        if isinstance(self.model, GroupedAutoencoder) or not self.model.spec.conditions:
            return None
        modality, told = self._modality(batch), {}
        if "time" in self.model.spec.conditions:
            unknown = (modality.time < EARLIEST_S).any(1)
            if bool(unknown.any()):
                raise InputError(
                    f"The date of the sample '{batch.ids[int(unknown.nonzero()[0])]}' is not known",
                    expected="dates for a network whose conditions name time",
                    remedy="give the scenes their dates, or leave time out of the conditions",
                )
            told["year"], told["day"] = modality.year_doy()
        if "place" in self.model.spec.conditions:
            centres = [centre(grid) for grid in modality.grid]
            told["longitude"], told["latitude"] = torch.tensor(centres, dtype=torch.float64).reshape(-1, 2).T
        return TimePlace.of(**told).to(self.normalise.mean.device)


def build_model(record: Mapping[str, Any], where: str) -> MaskedAutoencoder | GroupedAutoencoder:
    """The network of a record, with fresh weights.

    Raises:
        InputError: the record is that of another task.
    """
    name, arguments = record["architecture"]["name"], record["architecture"]["arguments"]
    if record["task"] == TASK and name == "grouped_autoencoder":
        encoder, decoder = GroupedSpec(**arguments["encoder"]), GroupedDecoderSpec(**arguments["decoder"])
        return GroupedAutoencoder(encoder, decoder)
    if record["task"] == TASK and name == "masked_autoencoder":
        return MaskedAutoencoder(MaskedAutoencoderSpec(**arguments))
    raise InputError(
        f"{where} is of the task '{str(record['task'])[:40]}' and the network '{str(name)[:40]}'",
        expected="a pretrained masked autoencoder",
        remedy="name the folder that pretraining wrote (best/ or last/ inside its output)",
    )


def load_masked(path: Path | str) -> MaskedReconstruction:
    """The objective of a checkpoint, on the processor and in evaluation mode.

    Args:
        path: the folder that pretraining wrote, ``best`` or ``last``.

    Raises:
        InputError: there is no checkpoint, it is of another task, or the weights do not fit it exactly.
    """
    folder = Path(path)
    record = read_record(folder)
    objective = MaskedReconstruction.from_record(record, str(folder))
    tensors = read_tensors(folder / WEIGHTS)
    fill(objective, tensors, name="the pretrained network", source=str(folder / WEIGHTS), verified=False)
    return objective.eval()
