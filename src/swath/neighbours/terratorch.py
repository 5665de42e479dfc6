"""TerraTorch: chip sets as its generic data module reads them, and what its checkpoints say about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.chips import ChipSet, Statistics
from swath.errors import ConfigError, InputError, nearest
from swath.files import replacing, write_text
from swath.types import IGNORE, Split

if TYPE_CHECKING:
    from torch import Tensor

    from swath.nn.space_time import SpaceTimeEncoder
    from swath.weights import LoadReport

_PARTS = {"train": "train", "val": "validation", "test": "test"}


def write_terratorch(chipset: ChipSet, split: Split, statistics: Statistics, out: Path | str) -> Path:
    """Write a YAML of TerraTorch that reads a chip set where it lies, and one list of ids for each part of the split.

    The images stay as they are: stored numbers are multiplied by ``constant_scale``, and the means are shifted by the
    offset, so that what the model sees is standardised as swath would. No-data is not masked: TerraTorch has no mask,
    and a pixel without data counts as the number that is stored there.

    Args:
        chipset: the chips; one date.
        split: parts ``train``, ``val`` or ``validation``, and ``test``.
        statistics: of the train part, in physical units.
        out: the YAML; ``NAME_train.txt`` and so on lie beside it.

    Raises:
        ConfigError: several dates, bands with different scales, or class values that are not 0 to K - 1.
        InputError: the split has no training chips.
    """
    import yaml

    out = Path(out)
    description = chipset.description
    scale = _one_scale(chipset)
    lists = {key: _ids(split, key) for key in _PARTS}
    if not lists["train"]:
        raise InputError(f"The split of {chipset.folder} has no part 'train'", expected="one", remedy="split the chips")
    for key, ids in lists.items():
        write_text(out.with_name(f"{out.stem}_{key}.txt"), "".join(f"{name}\n" for name in ids))
    options: dict[str, Any] = {
        "batch_size": 8,
        "num_workers": 0,
        "num_classes": len(chipset.classes),
        "img_grep": "*.tif",
        "label_grep": "*.tif",
        "constant_scale": scale,
        "means": [float(mean - offset) for mean, offset in zip(statistics.mean, description.offset, strict=True)],
        "stds": [float(number) for number in statistics.std],
        "drop_last": False,
    }
    for key in _PARTS:
        options[f"{key}_data_root"] = str((chipset.folder / "images").resolve())
        options[f"{key}_label_data_root"] = str((chipset.folder / "labels").resolve())
        options[f"{key}_split"] = str(out.with_name(f"{out.stem}_{key}.txt").resolve())
    record = {
        "data": {"class_path": "terratorch.datamodules.GenericNonGeoSegmentationDataModule", "init_args": options},
        "model": {
            "class_path": "terratorch.tasks.SemanticSegmentationTask",
            "init_args": {"ignore_index": IGNORE, "class_names": list(chipset.classes)},
        },
    }
    head = f"# Bands in order: {', '.join(chipset.bands.names)}. Add model_factory and model_args of your choice.\n"
    with replacing(out) as part:
        part.write_text(head + yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    return out


def _ids(split: Split, key: str) -> list[str]:
    held = split.counts()
    name = next((name for name in (key, _PARTS[key]) if name in held), None)
    return [] if name is None else list(split.ids(name))


def _one_scale(chipset: ChipSet) -> float:
    description = chipset.description
    if len(description.times) > 1:
        raise ConfigError(
            f"The chips have {len(description.times)} dates", expected="one date", remedy="cut one date at a time"
        )
    if len(set(description.scale)) > 1:
        raise ConfigError(
            f"The bands have the scales {', '.join(f'{number:g}' for number in description.scale)}",
            expected="one scale for all bands, as TerraTorch's constant_scale is one number",
            remedy="cut the chips from physical values (cubes.to_physical)",
        )
    if chipset.legend.values != tuple(range(len(chipset.classes))):
        raise ConfigError(
            f"The labels have the values {', '.join(map(str, chipset.legend.values))}",
            expected=f"0 to {len(chipset.classes) - 1}, as TerraTorch takes them for class numbers",
            remedy="cut the chips with a legend that counts from 0",
        )
    return float(description.scale[0])


@dataclass(frozen=True)
class TerraTorchCheckpoint:
    """What a checkpoint of TerraTorch says about itself.

    Args:
        factory: the model factory, such as ``EncoderDecoderFactory``; empty where it does not say.
        model_args: options of the factory.
        bands: names of the bands that the backbone was built for; empty where it does not say.
        num_classes: number of classes, or None.
        shapes: shape of every tensor by its key.
        epoch: epochs that were finished.
    """

    factory: str
    model_args: Mapping[str, Any]
    bands: tuple[str, ...]
    num_classes: int | None
    shapes: Mapping[str, tuple[int, ...]]
    epoch: int | None


def read_checkpoint(path: Path | str) -> TerraTorchCheckpoint:
    """Read names and options of a checkpoint; only tensors and plain values are unpickled, no code runs.

    Raises:
        InputError: the file is missing, no checkpoint of Lightning, or holds objects that could run code.
    """
    content, state = _content(Path(path))
    options = content.get("hyper_parameters")
    options = dict(options) if isinstance(options, Mapping) else {}
    model_args = options.get("model_args")
    model_args = dict(model_args) if isinstance(model_args, Mapping) else {}
    bands = next((model_args[key] for key in ("backbone_bands", "bands") if model_args.get(key)), ())
    classes = next((place["num_classes"] for place in (model_args, options) if "num_classes" in place), None)
    return TerraTorchCheckpoint(
        factory=str(options.get("model_factory") or ""),
        model_args=model_args,
        bands=tuple(str(getattr(band, "value", band)) for band in bands),
        num_classes=None if classes is None else int(classes),
        shapes={str(key): tuple(value.shape) for key, value in state.items()},
        epoch=content.get("epoch") if isinstance(content.get("epoch"), int) else None,
    )


def load_encoder(path: Path | str, name: str | None = None) -> tuple[SpaceTimeEncoder, LoadReport]:
    """The Prithvi encoder of a checkpoint, as it was fine-tuned; decoder and head stay behind.

    Args:
        path: the ``.ckpt`` file.
        name: its published size, such as ``prithvi_eo_v2_300``; None: the backbone that the checkpoint names.

    Returns:
        The encoder for the bands of the checkpoint in their order, with feature maps from the blocks that decoders of
        maps read; and what was loaded. Images go in normalised as in the run that made the checkpoint: its statistics
        are not in the file.

    Raises:
        InputError: the file is no checkpoint, or its encoder is not of that size.
        ConfigError: there is no such size, or the checkpoint does not name one.
    """
    from swath.models.prithvi_keys import house_tensors
    from swath.models.sizes import PRITHVI, TAPS
    from swath.nn.space_time import SpaceTimeEncoder
    from swath.weights import fill

    told = read_checkpoint(path)
    size = _size(name or str(told.model_args.get("backbone") or ""), path)
    _, state = _content(Path(path))
    part = {key: value for key, value in state.items() if key.startswith(("model.encoder.", "encoder."))}
    tensors = house_tensors(part, name=size, source=str(path))
    encoder = {key.removeprefix("encoder."): value for key, value in tensors.items() if key.startswith("encoder.")}
    published = PRITHVI[size]
    spec = replace(
        published,
        bands=int(encoder["embed.weight"].shape[1]),
        taps=TAPS[published.depth],
        # Fine-tuning may go without encodings of time and place; their factors are then not in the file.
        conditions=tuple(each for each in published.conditions if f"{each}.scale" in encoder),
    )
    network = SpaceTimeEncoder(spec)
    bands = told.bands if len(told.bands) == spec.bands else tuple(f"band {number}" for number in range(spec.bands))
    rows = [(band, "the same place in the checkpoint") for band in bands]
    report = fill(network, encoder, name=size, source=str(path), verified=False, bands=rows)
    return network.eval(), report


def _size(name: str, path: Path | str) -> str:
    """A published size by the name that TerraTorch gives the backbone."""
    from swath.models.sizes import PRITHVI

    if name in PRITHVI:
        return name
    raise ConfigError(
        f"The backbone of '{path}' is called '{name}'" if name else f"'{path}' does not name its backbone",
        expected=f"one of {', '.join(PRITHVI)}",
        remedy=f"give name=; the nearest are: {nearest(name, PRITHVI)}",
    )


def _content(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """All that a checkpoint holds, and its tensors."""
    import torch

    expected = "a checkpoint of TerraTorch: a Lightning file with state_dict and hyper_parameters"
    if not path.is_file():
        raise InputError(f"There is no file '{path}'", expected=expected, remedy="check the path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch's unpickler, its archive reader and numpy raise half a dozen kinds
        raise InputError(
            f"'{path}' cannot be read without running what it holds ({' '.join(str(error).split())[:160]})",
            expected=expected,
            remedy="save it again with plain options: trainer.save_checkpoint(..., weights_only=True)",
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"'{path}' holds no state_dict", expected=expected, remedy="give the .ckpt file of a run")
    return content, state
