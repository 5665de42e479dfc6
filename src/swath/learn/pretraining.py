"""Pretrain without labels: the composition of chips, network, objective, loop and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from swath.chips import Augment, ChipLoader, ChipSet, Statistics
from swath.chips.samples import input_statistics
from swath.errors import ConfigError
from swath.files import read_yaml, write_json
from swath.learn.config import FitConfig, parse
from swath.learn.curves import curve_picture
from swath.learn.fit import fit
from swath.learn.objectives.judging import masked_validation, picture
from swath.learn.objectives.masked import MaskedReconstruction, MaskingOptions, load_masked
from swath.learn.objectives.probing import Probe, ProbeOptions, probed
from swath.learn.options import AugmentOptions
from swath.learn.reproduce import seeded
from swath.nn import Normalise
from swath.nn.band_groups import find_groups
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec
from swath.nn.patches import grid_of
from swath.sensors import BandSet
from swath.types import Split

OPTIONS, PICTURE, CURVES = "options.json", "reconstructions.png", "curves.png"
_MONITOR = {"monitor": "masked_mse", "monitor_mode": "min"}


class ModelOptions(BaseModel):
    """Shape of the network; the usual values are ours, for small chips on two processor cores.

    Args:
        family: ``space_time``, tokens of all bands in space and time; or ``grouped``, tokens of groups of bands, every
            date by itself.
        patch: side of a patch in pixels, of the coarsest image where there are several scales.
        tubelet: dates per token, space_time only.
        width: numbers per token in the encoder.
        depth: blocks of the encoder.
        heads: attention heads of the encoder.
        decoder_width: numbers per token in the decoder.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder.
        conditions: ``time`` and ``place``, space_time only.
        doublings: finer images to make up, grouped only: 2 for twice and four times the size. Chips have the size of
            the finest, the network sees the coarsest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["space_time", "grouped"] = "space_time"
    patch: int = Field(default=8, ge=1)
    tubelet: int = Field(default=1, ge=1)
    width: int = Field(default=128, ge=16)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    decoder_width: int = Field(default=64, ge=16)
    decoder_depth: int = Field(default=2, ge=1)
    decoder_heads: int = Field(default=4, ge=1)
    conditions: tuple[Literal["time", "place"], ...] = ()
    doublings: int = Field(default=0, ge=0, le=4)


def _monitored(value: Any) -> Any:
    """The validation value of pretraining, where none was chosen."""
    return {**_MONITOR, **value} if isinstance(value, Mapping) else value


class PretrainOptions(BaseModel):
    """All options of pretraining, in one YAML file.

    Args:
        objective: ``mae``, masked reconstruction.
        model: shape of the network.
        bands: names of the bands to learn from; all bands of the chips when None.
        groups: names of the bands in each group, for the family ``grouped``; all bands in one group when empty.
        masking: which tokens are hidden.
        batch_size: chips per step.
        augment: random changes of the training chips.
        probe: how often a linear probe tells what the features know of the labels; None for never.
        fit: how to train; ``monitor`` is ``masked_mse`` unless another value is named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["mae"] = "mae"
    model: ModelOptions = ModelOptions()
    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    groups: tuple[tuple[str, ...], ...] = ()
    masking: MaskingOptions = MaskingOptions()
    batch_size: int = Field(default=16, ge=1)
    augment: AugmentOptions = AugmentOptions()
    probe: ProbeOptions | None = None
    fit: Annotated[FitConfig, BeforeValidator(_monitored)] = FitConfig(
        monitor="masked_mse", monitor_mode="min", learning_rate=1e-3, weight_decay=0.05
    )


def read_pretrain_options(config: Path | str | Mapping[str, Any] | None) -> PretrainOptions:
    """Options of pretraining from a YAML file or a mapping.

    Raises:
        ConfigError: the file is not YAML, a key or value is wrong (the nearest is named), or two do not go together.
        InputError: there is no such file.
    """
    where = str(config) if isinstance(config, Path | str) else "the options"
    if isinstance(config, Path | str):
        content = read_yaml(Path(config), "a YAML file with options of pretraining, such as 'objective: mae'") or {}
    else:
        content = dict(config or {})
    options = parse(PretrainOptions, content, where)
    _check_family(options, where)
    return options


def pretrain(
    chipset: ChipSet,
    split: Split,
    options: PretrainOptions | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    seed: int,
    progress: bool = True,
    statistics: Statistics | None = None,
) -> MaskedReconstruction:
    """Pretrain on the train split and keep the weights that were best on the validation split.

    An unfinished run in ``out`` is resumed. Labels are not read by the objective; a probe, where one is asked for,
    reads them and changes nothing. Writes what ``fit`` writes, the options (``options.json``), a picture of
    reconstructions (``reconstructions.png``) of held-out chips, and one of the numbers of the log (``curves.png``).

    Args:
        chipset: the chips.
        split: which chip is for what.
        options: options, or what ``read_pretrain_options`` takes.
        out: folder of the run; ``best/`` and ``last/`` in it are the models.
        seed: of initialisation, data order, augmentation and masks.
        progress: show a progress bar.
        statistics: statistics of the train split; read from the chip set, or measured, when None.

    Raises:
        ConfigError: options do not go together, no probe can be made for the labels, or ``out`` holds a run with other
            options or another seed.
        InputError: the train split is empty, or a band is missing.
        ContractError: the patch does not divide the chips.
    """
    if not isinstance(options, PretrainOptions):
        options = read_pretrain_options(options)
    _check_family(options, "the options")
    out = Path(out)
    train_ids, held_out = split.ids("train"), split.ids("validation")
    modality = next(iter(chipset.inputs))
    known = statistics or input_statistics(chipset, split)[modality]
    task = build_pretraining(chipset.bands, known, options, size=chipset.size, seed=seed, modality=modality)
    augment = Augment(**options.augment.model_dump())
    loader = ChipLoader(chipset, train_ids, batch_size=options.batch_size, seed=seed, augment=augment)
    validate = None
    if held_out:
        validate = masked_validation(
            ChipLoader(chipset, held_out, batch_size=options.batch_size, seed=0, shuffle=False)
        )
    if options.probe is not None:
        probe = Probe(chipset, train_ids, held_out, options.probe)  # refuses a split without validation part
        validate = probed(validate, probe, options.probe.every) if validate else None
    result = fit(task, loader, config=options.fit, out=out, seed=seed, validate=validate, progress=progress)
    best = load_masked(result.best or result.last)
    write_json(out / OPTIONS, options.model_dump(mode="json"))
    curve_picture(result.history, out / CURVES)
    picture(best, chipset.batch(_spread(held_out or train_ids, 4)), out / PICTURE)
    return best


def build_pretraining(
    bands: BandSet,
    statistics: Statistics,
    options: PretrainOptions,
    *,
    size: int,
    seed: int,
    modality: str = "image",
) -> MaskedReconstruction:
    """An untrained objective for some bands.

    Args:
        bands: the bands on offer.
        statistics: mean and standard deviation per band.
        options: network, bands, groups and masks.
        size: side of the chips in pixels.
        seed: of the initial weights.
        modality: which input of a batch to read.

    Raises:
        ConfigError: options do not go together.
        InputError: a band is missing.
        ContractError: the patch does not divide the chips; the nearest sizes are named.
    """
    chosen = bands.select(options.bands) if options.bands else bands
    places = [statistics.bands.index(name) for name in chosen.names]
    mean, std = ([values[place] for place in places] for values in (statistics.mean, statistics.std))
    model = options.model
    step = model.patch * 2**model.doublings
    grid_of((1, size, size), (1, step, step))
    with seeded(seed, "initialise"):
        network = _grouped(chosen, options) if model.family == "grouped" else _space_time(len(chosen), size, model)
    normalise = Normalise(mean, std, names=chosen.names)
    return MaskedReconstruction(network, normalise, chosen, options.masking, modality=modality)


def _spread(ids: Sequence[str], count: int) -> list[str]:
    """So many ids, evenly spread over the list: neighbours in it lie beside each other and look alike."""
    places = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return [ids[place] for place in places]


def _grouped(bands: BandSet, options: PretrainOptions) -> GroupedAutoencoder:
    model = options.model
    groups = find_groups(bands, options.groups) if options.groups else (tuple(range(len(bands))),)
    # One group needs no code of it: the network is the plain masked autoencoder.
    group_width = None if options.groups else 0
    encoder = GroupedSpec(
        len(bands),
        groups,
        patch=model.patch,
        width=model.width,
        depth=model.depth,
        heads=model.heads,
        group_width=group_width,
    )
    decoder = GroupedDecoderSpec(
        model.decoder_width,
        model.decoder_depth,
        model.decoder_heads,
        group_width=group_width,
        doublings=model.doublings,
    )
    return GroupedAutoencoder(encoder, decoder)


def _space_time(bands: int, size: int, model: ModelOptions) -> MaskedAutoencoder:
    return MaskedAutoencoder(
        MaskedAutoencoderSpec(
            bands,
            image=size,
            patch=(model.tubelet, model.patch, model.patch),
            width=model.width,
            depth=model.depth,
            heads=model.heads,
            decoder_width=model.decoder_width,
            decoder_depth=model.decoder_depth,
            decoder_heads=model.decoder_heads,
            conditions=model.conditions,
        )
    )


def _check_family(options: PretrainOptions, where: str) -> None:
    """Refuse options that the family has no use for: silence would hide a mistake."""
    model, grouped = options.model, options.model.family == "grouped"
    idle = {
        "groups": bool(options.groups) and not grouped,
        "model.doublings": model.doublings > 0 and not grouped,
        "model.tubelet": model.tubelet > 1 and grouped,
        "model.conditions": bool(model.conditions) and grouped,
    }
    wrong = [name for name, found in idle.items() if found]
    if wrong:
        raise ConfigError(
            f"{where}: '{wrong[0]}' is given and the family is '{model.family}', which has no use for it",
            expected=f"the family '{'space_time' if grouped else 'grouped'}' with '{wrong[0]}'",
            remedy=f"change 'model.family', or leave '{wrong[0]}' out",
        )
