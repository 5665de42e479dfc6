"""Names of weights in the checkpoints of InstaGeo, and ours; facts of the published layout, version 0.1.0.

A training framework puts ``net.`` in front. The encoder lies under ``prithvi_encoder.``, in older files under
``prithvi_100M_backbone.``, with the names of Prithvi; the head under ``segmentation_head.`` as a numbered sequence:
four steps of numbered layers (0 transposed convolution, 2 convolution, 3 normalisation), and the last convolution (5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from swath.errors import InputError
from swath.models.prithvi_keys import ENCODER, house_tensors, published_name

if TYPE_CHECKING:
    from torch import Tensor

NET = "net."
ENCODERS = ("prithvi_encoder.", "prithvi_100M_backbone.")
HEAD = "segmentation_head."
_LAYERS = {"0": "enlarge", "2": "convolve", "3": "norm"}
_STEP = re.compile(r"(\d+)\.(\d+)\.(.+)")
_LAST = re.compile(r"5\.(weight|bias)")


def plain_name(name: str) -> str:
    """A name without what training frameworks put in front."""
    shorter = True
    while shorter:
        shorter = False
        for word in (NET, "model.", "module."):
            if name.startswith(word):
                name, shorter = name.removeprefix(word), True
    return name


def is_instageo(names: Mapping[str, Tensor]) -> bool:
    """Whether these are the names of a checkpoint of InstaGeo."""
    return any(plain_name(name).startswith(ENCODERS) for name in names)


def encoder_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the encoder by the names of Prithvi; files of other origin are given back as they are."""
    if not is_instageo(tensors):
        return dict(tensors)
    found = {}
    for name, tensor in tensors.items():
        for prefix in ENCODERS:
            if plain_name(name).startswith(prefix):
                found[plain_name(name).removeprefix(prefix)] = tensor
    return found


def house_names(tensors: Mapping[str, Tensor], *, name: str, source: str) -> dict[str, Tensor]:
    """All tensors by the names of ``models.instageo.InstaGeo``; tables of positions are left out.

    Args:
        tensors: of a file.
        name: the network they are meant for, for sentences.
        source: the file, for sentences.

    Raises:
        InputError: they are those of another family, or two names mean one weight.
    """
    if not is_instageo(tensors):
        raise InputError(
            f"'{source}' holds no '{NET}{ENCODERS[0]}': it is no checkpoint of InstaGeo",
            expected=f"encoder and head of '{name}'",
            remedy="give a checkpoint of InstaGeo; an encoder alone goes in by the weights of a Prithvi backbone",
        )
    found = dict(house_tensors(encoder_of(tensors), name=name, source=source))
    for published, tensor in tensors.items():
        plain = plain_name(published)
        if plain.startswith(HEAD):
            found[_head_name(plain.removeprefix(HEAD))] = tensor
        elif not plain.startswith(ENCODERS):
            found[plain] = tensor
    return found


def published_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back: the names of the current published layout."""
    steps = 1 + max((int(name.split(".")[2]) for name in state if name.startswith("head.steps.")), default=-1)
    found = {}
    for ours, tensor in state.items():
        if ours.startswith(ENCODER):
            found[NET + ENCODERS[0] + published_name(ours).removeprefix(ENCODER)] = tensor
            continue
        words = ours.split(".")
        if words[1] == "steps":
            number = {layer: number for number, layer in _LAYERS.items()}[words[3]]
            found[f"{NET}{HEAD}{words[2]}.{number}.{words[4]}"] = tensor
        else:
            found[f"{NET}{HEAD}{steps + 1}.{words[2]}"] = tensor
    return found


def _head_name(rest: str) -> str:
    """Our name of a weight of the head; one that has none keeps its own, and finds no place."""
    step, last = _STEP.fullmatch(rest), _LAST.fullmatch(rest)
    if step is not None and step[2] in _LAYERS:
        return f"head.steps.{step[1]}.{_LAYERS[step[2]]}.{step[3]}"
    return f"head.output.{last[1]}" if last is not None else HEAD + rest
