"""Names of weights in the published files of Prithvi, and ours.

Two layouts exist: the first version lies flat (``blocks.0...``, ``decoder_blocks.0...``), the second under ``encoder.``
and ``decoder.``. Training frameworks put words in front of both. Tables of positions are in the files and never loaded:
they follow from the size of the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swath.errors import InputError
from swath.weights import family_of

if TYPE_CHECKING:
    from torch import Tensor

ENCODER, DECODER = "encoder.", "decoder."
_WORDS = ("model.", "module.", "_timm_module.", "backbone.")
"""What training frameworks put in front of names."""
_POSITIONS = ("pos_embed", "decoder_pos_embed")
_FLAT_DECODER = re.compile(r"decoder_|mask_token$|\w+_embed_dec\.")
# Published part of a name and ours, both ways; within encoder and decoder.
_ENCODER = (
    ("patch_embed.proj.", "embed."),
    ("cls_token", "class_token"),
    ("temporal_embed_enc.", "time."),
    ("location_embed_enc.", "place."),
)
_DECODER = (
    ("decoder_embed.", "embed."),
    ("temporal_embed_dec.", "time."),
    ("location_embed_dec.", "place."),
    ("decoder_blocks.", "blocks."),
    ("decoder_norm.", "norm."),
    ("decoder_pred.", "predict."),
)
_BLOCK = (
    (".attn.qkv.", ".attention.qkv."),
    (".attn.proj.", ".attention.project."),
    (".mlp.fc1.", ".mlp.expand."),
    (".mlp.fc2.", ".mlp.contract."),
)


def house_name(name: str) -> str | None:
    """Our name, in ``MaskedAutoencoder``, of a published weight; None for tables of positions.

    Args:
        name: as in a published file of either layout.
    """
    shorter = True
    while shorter:
        shorter = False
        for word in _WORDS:
            if name.startswith(word):
                name, shorter = name.removeprefix(word), True
    name = name.replace("_timm_module.", "")
    if not name.startswith((ENCODER, DECODER)):
        name = (DECODER if _FLAT_DECODER.match(name) else ENCODER) + name
    part, rest = name.split(".", 1)
    if rest in _POSITIONS:
        return None
    for published, ours in _DECODER if part == "decoder" else _ENCODER:
        if rest.startswith(published):
            rest = ours + rest.removeprefix(published)
            break
    for published, ours in _BLOCK:
        rest = rest.replace(published, ours)
    return f"{part}.{rest}"


def published_name(name: str) -> str:
    """The name in the published files of the second version of a weight of ``MaskedAutoencoder``: the way back."""
    part, rest = name.split(".", 1)
    for published, ours in _BLOCK:
        rest = rest.replace(ours, published)
    for published, ours in _DECODER if part == "decoder" else _ENCODER:
        if rest.startswith(ours):
            rest = published + rest.removeprefix(ours)
            break
    return f"{part}.{rest}"


def house_tensors(tensors: Mapping[str, Tensor], *, name: str, source: str) -> dict[str, Tensor]:
    """Published tensors by our names, without tables of positions.

    Args:
        tensors: of a file in either layout.
        name: the encoder they are meant for, for sentences.
        source: the file, for sentences.

    Raises:
        InputError: they are those of another family, or two names mean one weight.
    """
    other = family_of(set(tensors))
    found: dict[str, Tensor] = {}
    for published, tensor in tensors.items():
        ours = house_name(published)
        if ours is None:
            continue
        if ours in found:
            raise InputError(
                f"'{source}' holds '{ours}' twice, the second time as '{published}'",
                expected="each weight once",
                remedy="keep one of the two networks in the file",
            )
        found[ours] = tensor
    kernel = found.get("encoder.embed.weight")
    if kernel is None or kernel.ndim != 5:
        strange = "no embedding of patches" if kernel is None else f"an embedding of patches with {kernel.ndim} axes"
        raise InputError(
            f"'{source}' holds " + (f"the weights of '{other}'" if other else f"{strange}: another family"),
            expected=f"the weights of '{name}', whose patches have 5 axes (numbers, band, date, y, x)",
            remedy="give the file of this encoder, or load it under the name of its own family",
        )
    return found


def depth_of(names: Iterable[str]) -> int:
    """Number of blocks of the encoder among our names."""
    found = [re.match(r"encoder\.blocks\.(\d+)\.", name) for name in names]
    return 1 + max((int(match[1]) for match in found if match), default=-1)
