"""TorchGeo data sets as batches: masks, units and band names are added, nothing is copied to disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import rng, sensors
from swath.errors import ConfigError, InputError
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, Modality

EPOCH = np.datetime64("1970-01-01", "s")


class Samples(Protocol):
    """What is asked of a data set: samples by number, as dictionaries with ``image`` and ``mask`` or ``label``."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """One sample."""
        ...


@dataclass(frozen=True)
class Meaning:
    """What TorchGeo's samples do not say about their numbers.

    Args:
        scale: physical value = stored number * scale + offset.
        offset: see ``scale``.
        nodata: stored number that means no data; NaN and infinite numbers always do.
        ignore: label that means unknown; -100 always does.
        time: date of all samples as ISO text, where they are from one.
    """

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    ignore: int | None = None
    time: str | None = None


def from_torchgeo(
    dataset: Samples,
    *,
    sensor: str | None = None,
    bands: BandSet | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    meaning: Meaning | None = None,
    batch_size: int = 8,
    seed: int | None = None,
    indices: Sequence[int] | None = None,
) -> TorchGeoBatches:
    """A TorchGeo data set (or one that answers like it) as batches for ``learn.fit`` and ``judge.score``.

    Samples with ``crs`` and ``transform`` keep their place on Earth; others lie nowhere.

    Args:
        dataset: samples with ``image`` (band, y, x) and ``mask`` (y, x) or ``label`` (one number).
        sensor: name of the sensor, which gives bands their wavelengths and units ('swath sensors').
        bands: bands of the images in order; None = the names that the data set has in ``bands`` or ``all_bands``.
        classes: names of the classes; None = those in the attribute ``classes``.
        meaning: units, no-data and dates; None: numbers are physical and complete.
        batch_size: samples per batch.
        seed: of a new order every epoch; None keeps the order of the data set.
        indices: samples to use; None = all.

    Raises:
        ConfigError: bands or classes are not known, or a number is out of range.
        InputError: there is no sample, or a band or index is unknown.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}", expected="a whole number of at least 1", remedy="change it")
    chosen = tuple(range(len(dataset))) if indices is None else tuple(indices)
    outside = [index for index in chosen if not 0 <= index < len(dataset)]
    if not chosen or outside:
        raise InputError(
            f"The sample {outside[0]} is not in the data set" if outside else "The data set holds no sample",
            expected=f"samples from 0 to {len(dataset) - 1}" if len(dataset) else "at least one sample",
            remedy="check the indices, and that the data were found where the data set looks for them",
        )
    names = tuple(getattr(dataset, "classes", ()) if classes is None else classes)
    if not names:
        raise ConfigError(
            "The data set does not name its classes",
            expected="an attribute 'classes', or classes=",
            remedy="name them in the order of their numbers, from 0",
        )
    return TorchGeoBatches(
        dataset, _bands_of(dataset, sensor, bands), names, meaning or Meaning(), batch_size, seed, chosen
    )


def _bands_of(dataset: Samples, sensor: str | None, bands: BandSet | Sequence[str] | None) -> BandSet:
    given = bands
    if given is None:
        given = getattr(dataset, "bands", None) or getattr(dataset, "all_bands", None)
    if isinstance(given, BandSet):
        return given
    if not given or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            "The data set does not name its bands",
            expected="an attribute 'bands' or 'all_bands' with names, or bands=",
            remedy="name them in the order of the channels, for example bands=['B04', 'B03', 'B02']",
        )
    return BandSet.of(*given) if sensor is None else sensors.load(sensor).bands.select(given)


class TorchGeoBatches:
    """Batches of a data set; see ``from_torchgeo``.

    Args:
        dataset: the samples.
        bands: bands of the images in order.
        classes: names of the classes in label order.
        meaning: units, no-data and dates.
        batch_size: samples per batch.
        seed: of the order, or None.
        indices: samples to use.
    """

    def __init__(
        self,
        dataset: Samples,
        bands: BandSet,
        classes: tuple[str, ...],
        meaning: Meaning,
        batch_size: int,
        seed: int | None,
        indices: tuple[int, ...],
    ) -> None:
        self.bands, self.classes = bands, classes
        self._dataset, self._meaning, self._indices = dataset, meaning, indices
        self._batch_size, self._seed = batch_size, seed
        self._time = EPOCH if meaning.time is None else np.datetime64(meaning.time, "s")

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self._indices) / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on.

        Raises:
            InputError: a sample has no image or label, other bands or classes, or another size than its neighbours.
        """
        order = np.array(self._indices)
        if self._seed is not None:
            order = rng.generator(self._seed, "torchgeo", epoch).permutation(order)
        for position in range(start, len(self)):
            yield self._batch(order[position * self._batch_size : (position + 1) * self._batch_size].tolist())

    def _batch(self, indices: list[int]) -> Batch:
        samples = [self._dataset[index] for index in indices]
        images = [self._image(sample, index) for sample, index in zip(samples, indices, strict=True)]
        labels = [self._label(sample, index) for sample, index in zip(samples, indices, strict=True)]
        shapes = {image.shape for image in images} | {label.shape for label in labels if label.ndim}
        if len({shape[-2:] for shape in shapes}) > 1 or len({label.ndim for label in labels}) > 1:
            raise InputError(
                f"The samples {indices} have the shapes {', '.join(map(str, sorted(shapes)))}",
                expected="images and masks of one size in a batch",
                remedy="crop them with the data set's transforms, or take batch_size=1",
            )
        values = np.stack(images)
        valid = np.isfinite(values)
        if self._meaning.nodata is not None:
            valid &= values != self._meaning.nodata
        physical = np.where(valid, values * self._meaning.scale + self._meaning.offset, 0).astype(np.float32)
        target = torch.from_numpy(np.stack(labels))
        if target.ndim > 1:
            target[~torch.from_numpy(valid.any(axis=1))] = IGNORE
        image = Modality(
            values=torch.from_numpy(physical[:, None]),
            valid=torch.from_numpy(valid[:, None]),
            bands=self.bands,
            time=torch.full((len(indices), 1), int(self._time.astype(np.int64)), dtype=torch.int64),
            grid=tuple(_grid_of(sample, values.shape[-2:]) for sample in samples),
        )
        return Batch(
            inputs={"image": image},
            targets={"label": target},
            target_valid={"label": target != IGNORE},
            ids=tuple(str(index) for index in indices),
        )

    def _image(self, sample: Mapping[str, Any], index: int) -> NDArray[np.float64]:
        if "image" not in sample:
            raise _absent(index, "image", sample)
        image = np.asarray(sample["image"], dtype=np.float64)
        if image.ndim != 3 or len(image) != len(self.bands):
            raise InputError(
                f"The image of sample {index} has the shape {image.shape}",
                expected=f"(band, y, x) with the {len(self.bands)} bands {', '.join(self.bands.names)}",
                remedy="name the bands of the images with bands=, in their order",
            )
        return image

    def _label(self, sample: Mapping[str, Any], index: int) -> NDArray[np.int64]:
        found = next((sample[name] for name in ("mask", "label") if name in sample), None)
        if found is None:
            raise _absent(index, "mask' or 'label", sample)
        label = np.asarray(found)
        label = label[0] if label.ndim == 3 and len(label) == 1 else label
        whole = label.astype(np.int64)
        if label.ndim not in (0, 2) or not (whole == label).all():
            raise InputError(
                f"The label of sample {index} has the shape {label.shape} and the type {label.dtype}",
                expected="whole numbers, one for each pixel or one for the sample",
                remedy="choose a data set of segmentation or classification",
            )
        if self._meaning.ignore is not None:
            whole = np.where(whole == self._meaning.ignore, IGNORE, whole)
        odd = whole[(whole != IGNORE) & ((whole < 0) | (whole >= len(self.classes)))]
        if odd.size:
            raise InputError(
                f"The label of sample {index} holds the number {int(odd.flat[0])}",
                expected=f"0 to {len(self.classes) - 1} for the classes {', '.join(self.classes)}",
                remedy="name all classes with classes=, or say which number means unknown with Meaning(ignore=...)",
            )
        return whole


def _absent(index: int, name: str, sample: Mapping[str, Any]) -> InputError:
    return InputError(
        f"Sample {index} has no '{name}'; it has {', '.join(map(str, sample)) or 'nothing'}",
        expected="an image with a mask or a label",
        remedy="choose a data set with labels, or rename the parts in its transforms",
    )


def _grid_of(sample: Mapping[str, Any], shape: tuple[int, ...]) -> GeoBox:
    """Where a sample lies: by CRS and transform where it has both, else nowhere."""
    crs, transform = sample.get("crs"), sample.get("transform")
    size = (int(shape[-2]), int(shape[-1]))
    if crs is None or transform is None:
        return GeoBox(size, Affine.identity(), None)
    numbers = np.asarray(transform, dtype=np.float64).ravel()[:6]
    text = crs.to_wkt() if hasattr(crs, "to_wkt") else str(crs)
    return GeoBox(size, Affine(*numbers.tolist()), text)
