"""All options of ``swath train``: one model for every task, read from YAML, a mapping or flags, and checked whole.

What is a fact of the samples (task, classes, bands on offer, dates, units) is not written here again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from swath.errors import ConfigError, nearest
from swath.files import read_yaml
from swath.learn.config import FitConfig, parse
from swath.learn.objective import LossOptions
from swath.models.backbones import NAMES as PUBLISHED
from swath.models.backbones import published_options
from swath.nn.branch import Time
from swath.nn.build import IMAGE_BACKBONES, BackboneOptions, backbone
from swath.nn.joint import NO_BACKBONE, Fusion
from swath.nn.network import Head
from swath.nn.tuning import Kind

UNET = "unet"
SHAPE = ("width", "depth", "stem_stride", "norm")
"""Options of the network that have their usual value for a U-Net."""
Method = Literal["full", "frozen", "linear", "lora", "bottleneck", "prompt", "partial", "bias"]
KIND_OF: Mapping[Method, Kind] = {
    "full": "full",
    "frozen": "frozen",
    "linear": "frozen",
    "lora": "lora",
    "bottleneck": "adapter",
    "prompt": "prompt",
    "partial": "partial",
    "bias": "bias",
}
"""Method of tuning -> kind of ``swath.nn.adapt``."""


class NetworkOptions(BaseModel):
    """Backbone and head; see ``docs/networks.md``.

    Args:
        backbone: name of a backbone for images, or ``none``: the head reads what the encoder of dates gives; or of a
            published encoder that learns, see ``swath.models.backbones``.
        weights: of a published encoder: the file or its folder, or ``random``; None for the published ones, which are
            found or fetched.
        head: None for the usual one: that of the U-Net, ``upernet`` for other maps, ``vector`` for whole samples.
        head_width: channels of the maps inside a pyramid or head.
        options: what differs from the published size of the backbone, see ``swath.nn.BackboneOptions`` and
            ``swath.models.backbones.PublishedOptions``.
        width: channels of the finest level of a U-Net; for other backbones where it is given.
        depth: halvings of a U-Net, or blocks.
        stem_stride: stride of the first convolution of a U-Net or ResNet.
        norm: ``channel`` normalises each pixel by itself, so that a window and a whole image agree.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = UNET
    weights: str | None = None
    head: Head | None = None
    head_width: int = Field(default=128, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)
    width: int = Field(default=32, ge=1)
    depth: int = Field(default=3, ge=0)
    stem_stride: int = Field(default=2, ge=1)
    norm: Literal["group", "channel"] = "group"

    @property
    def shape(self) -> dict[str, Any]:
        """``width``, ``depth``, ``stem_stride`` and ``norm``, as ``swath.nn.UNet`` takes them."""
        return {name: getattr(self, name) for name in SHAPE}

    def backbone_options(self) -> dict[str, Any]:
        """Options of the backbone: for a U-Net its whole shape, for others what was written."""
        given = SHAPE if self.backbone == UNET else [name for name in SHAPE if name in self.model_fields_set]
        return {**{name: getattr(self, name) for name in given}, **self.options}


class SeriesOptions(BaseModel):
    """Sizes of an encoder of dates (``time: transformer``, ``tempcnn`` or ``gru``); see ``swath.nn.SeriesSpec``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=32, ge=2)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    kernel: int = Field(default=5, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class TuningOptions(BaseModel):
    """How much of the network learns; see ``swath.nn.adapt``. In YAML a bare word is the method.

    Args:
        method: ``full``; ``frozen``: the head and what joins inputs; ``linear``: the same with a linear head; ``lora``;
            ``bottleneck``: adapters; ``prompt``; ``partial``: the last ``blocks`` parts; ``bias``. The head always
            learns.
        rank: lora: rank of the change.
        width: bottleneck: numbers in it.
        prompts: prompt: number per block.
        blocks: partial: parts, counted from the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "full"
    rank: int = Field(default=8, ge=1)
    width: int = Field(default=64, ge=1)
    prompts: int = Field(default=8, ge=1)
    blocks: int = Field(default=2, ge=1)


class AugmentOptions(BaseModel):
    """Random changes of the training chips; see ``swath.chips.Augment``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: bool = True
    rotations: bool = True
    brightness: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)


class DistilOptions(BaseModel):
    """How a small network learns from a trained one; see ``learn.distil``.

    Args:
        depth: blocks of a student that is the teacher's own network with fewer of them; None for the network that the
            options describe.
        width: numbers per token of that student, no more than its teacher has; None for as many. Nothing of other
            width starts from the teacher.
        layers: which blocks of the teacher it starts from: the ``first``, or an ``even`` choice of all.
        weight: of the teacher against the labels.
        temperature: how soft the probabilities are that are compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=4)
    layers: Literal["first", "even"] = "first"
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)


def _method(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], Field(min_length=1)]


class TrainOptions(BaseModel):
    """All options of ``swath train``, in one YAML file or as flags.

    Args:
        network: backbone and head.
        bands: names of the bands to learn from, or one list per input; all bands of the chips when None.
        fusion: where several inputs meet: ``early``, ``late`` or ``token``; None: late.
        time: how dates become one map; None: ``pool``, and ``difference`` for change. See ``swath.nn.branch``.
        series: sizes of the encoder of dates.
        pretrained: folder of a trained model, or name of a published encoder, which then is the backbone.
        tuning: how much of the network learns.
        loss: what to minimise; None for the usual loss of the task.
        batch_size: chips per step.
        class_balance: exponent p of the class weights (n / (K n_c))^p: 0 weighs pixels alike, 1 weighs classes alike.
        label_smoothing: share of the uniform distribution in the target.
        modality_dropout: share of samples in which each of several inputs is hidden while training.
        augment: random changes of the training chips.
        teacher: folder of a trained model to learn from as well.
        distil: how; needs ``teacher``.
        cache: keep the features of a frozen backbone in the folder of the run, where nothing changes chips at random.
        cache_views: keep those of so many randomly changed forms of every chip, where something does.
        fit: how to train; ``monitor`` has another usual value for each task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkOptions = NetworkOptions()
    bands: Names | dict[str, Names] | None = Field(default=None, min_length=1)
    fusion: Fusion | None = None
    time: Time | None = None
    series: SeriesOptions = SeriesOptions()
    pretrained: str | None = None
    tuning: Annotated[TuningOptions, BeforeValidator(_method)] = TuningOptions()
    loss: LossOptions | None = None
    batch_size: int = Field(default=16, ge=1)
    class_balance: float = Field(default=0.5, ge=0, le=1)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    augment: AugmentOptions = AugmentOptions()
    teacher: str | None = None
    distil: DistilOptions = DistilOptions()
    cache: bool = True
    cache_views: int | None = Field(default=None, ge=1)
    fit: FitConfig = FitConfig()


def read_options(
    config: Path | str | Mapping[str, Any] | None,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    backbone: str | None = None,
    head: str | None = None,
    pretrained: str | None = None,
    tuning: str | None = None,
    teacher: str | None = None,
) -> TrainOptions:
    """Training options from a YAML file or a mapping; the keyword arguments beat it.

    Everything that can be known without the samples is checked here, names and options of the backbone included.

    Raises:
        ConfigError: the file is not YAML, or a key or value is wrong (the nearest key is named).
        InputError: there is no such file.
    """
    where = str(config) if isinstance(config, Path | str) else "the options"
    content = _from_file(Path(config)) if isinstance(config, Path | str) else dict(config or {})
    if isinstance(content, dict):
        if isinstance(content.get("tuning"), str):
            content = {**content, "tuning": {"method": content["tuning"]}}
        content = _merged(content, "fit", {"epochs": epochs, "learning_rate": learning_rate})
        content = _merged(content, "network", {"backbone": backbone, "head": head})
        content = _merged(content, "tuning", {"method": tuning})
        flags = {"batch_size": batch_size, "pretrained": pretrained, "teacher": teacher}
        content = {**content, **{name: value for name, value in flags.items() if value is not None}}
    options = parse(TrainOptions, content, where)
    check_network(options.network, where)
    _check_together(options, where)
    return options


def _check_together(options: TrainOptions, where: str) -> None:
    """Refuse options without a use: silence would hide a mistake."""
    given, asked = options.model_fields_set, options.distil.depth is not None
    shaped = [name for name in ("network", "fusion", "time", "series", "pretrained") if asked and name in given]
    both = "a student whose shape is the teacher's ('distil.depth'), or this, not both"
    idle: dict[str, tuple[bool, str]] = {
        "distil": ("distil" in given and options.teacher is None, "a 'teacher' to learn from"),
        **{f"distil.{name}": (name in options.distil.model_fields_set and not asked, "'distil.depth' beside it")
           for name in ("layers", "width")},
        "cache_views": (options.cache_views is not None and (options.teacher is not None or not options.cache),
                        "'cache: true' and no 'teacher'"),
        **dict.fromkeys(shaped, (True, both)),
    }  # fmt: skip
    for name, (wrong, expected) in idle.items():
        if wrong:
            raise ConfigError(f"{where}: '{name}' is given", expected=expected, remedy=f"leave '{name}' out")


def _merged(content: dict[Any, Any], section: str, flags: Mapping[str, Any]) -> dict[Any, Any]:
    """The content with the flags that were given in one of its sections."""
    given = {name: value for name, value in flags.items() if value is not None}
    present = content.get(section) or {}
    return {**content, section: {**present, **given}} if given and isinstance(present, dict) else content


def check_network(network: NetworkOptions, where: str = "the options") -> None:
    """Refuse names and options of a backbone that do not exist, without taking memory for it.

    Raises:
        ConfigError: the backbone is unknown, or has no such option.
    """
    import torch

    names = (*IMAGE_BACKBONES, NO_BACKBONE, *PUBLISHED)
    if network.backbone not in names:
        raise ConfigError(
            f"{where}: the backbone '{network.backbone[:40]}' is unknown",
            expected=f"one of {', '.join(names)}",
            remedy=f"the nearest is {nearest(network.backbone, names, 1)}",
        )
    options, known = network.backbone_options(), vars(BackboneOptions())
    if network.backbone in PUBLISHED:
        published_options(network.backbone, options)
        return
    if network.weights is not None:
        raise ConfigError(
            f"{where}: 'weights' is given with the backbone '{network.backbone}'",
            expected=f"weights of a published encoder: {', '.join(PUBLISHED)}",
            remedy="name the trained model in 'pretrained', or leave 'weights' out",
        )
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(
            f"{where}: the option '{str(unknown[0])[:40]}' of the backbone is unknown",
            expected=f"one of {', '.join(known)}",
            remedy=f"the nearest is {nearest(str(unknown[0]), known, 1)}",
        )
    if network.backbone != NO_BACKBONE and "groups" not in options:  # groups name bands, which are not known here
        with torch.device("meta"):
            backbone(network.backbone, 1, BackboneOptions(**options))


def _from_file(path: Path) -> Any:
    return read_yaml(path, "a YAML file with training options, such as 'batch_size: 16'") or {}
