"""Which bands share a token, and the positions that tell place and group.

Cong et al., "SatMAE: pre-training transformers for temporal and multi-spectral satellite imagery", NeurIPS 2022.
Groups are asked for by name or wavelength and become numbers of bands here, so that no order of bands is ever assumed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swath.errors import ConfigError, InputError
from swath.nn.positions import sine_cosine, sine_cosine_2d
from swath.sensors import BandSet

Groups = tuple[tuple[int, ...], ...]


def positions(rows: int, columns: int, codes: Sequence[int], width: int, group_width: int | None) -> Tensor:
    """Places beside groups: the code of a token is ``[column, row, group]``.

    Args:
        rows: rows of tokens.
        columns: columns of tokens.
        codes: the number that stands for each group.
        width: numbers per token.
        group_width: how many of them tell the group; None or 0 for none.

    Returns:
        float32 ``(1, G, rows, columns, width)``.

    Raises:
        ConfigError: the numbers of the place are no multiple of 4, or those of the group are odd.
    """
    part = group_width or 0
    place = sine_cosine_2d(rows, columns, width - part)[None].expand(len(codes), -1, -1, -1)
    if not part:
        return place[None]
    group = sine_cosine(torch.tensor(list(codes)), part)[:, None, None].expand(-1, rows, columns, -1)
    return torch.cat([place, group], dim=-1)[None]


def split_width(owner: str, width: int, group_width: int | None) -> None:
    """Refuse a width that cannot be split into place and group.

    Raises:
        ConfigError: tells a split that would do.
    """
    part = group_width or 0
    if part < 0 or part % 2 or width - part < 4 or (width - part) % 4:
        near = next((size for size in range(width // 4, 0, -1) if size % 2 == 0 and (width - size) % 4 == 0), 0)
        raise ConfigError(
            f"The {owner} has width {width}, of which {part} numbers tell the group",
            expected="an even part for the group, and a multiple of 4, at least 4, left for the place",
            remedy=f"set group_width to {near}" if near else "choose a width such as 96",
        )


def check_groups(groups: Sequence[Sequence[int]], bands: int) -> None:
    """Refuse groups that do not hold every band exactly once.

    Raises:
        ConfigError: tells the bands that are in none or in two groups.
    """
    named = [band for group in groups for band in group]
    twice = sorted({band for band in named if named.count(band) > 1})
    unknown, absent = sorted(set(named) - set(range(bands))), sorted(set(range(bands)) - set(named))
    problems = {
        "a group is empty": not groups or not all(len(group) for group in groups),
        f"there are no bands {unknown}": bool(unknown),
        f"the bands {twice} are in two groups": bool(twice),
        f"the bands {absent} are in none": bool(absent),
    }
    wrong = [words for words, found in problems.items() if found]
    if wrong:
        raise ConfigError(
            f"The groups {tuple(tuple(group) for group in groups)} do not fit {bands} bands: {'; '.join(wrong)}",
            expected=f"every number from 0 to {bands - 1} in exactly one group",
            remedy="list the numbers of the bands, such as ((0, 1, 2), (3, 4))",
        )


def find_groups(bands: BandSet, groups: Sequence[BandSet | Sequence[str]]) -> Groups:
    """Numbers of the bands in each group, found by name, alias or wavelength and never by position.

    Args:
        bands: the bands of the input.
        groups: the bands of each group: names, or a ``BandSet``, which matches another sensor's by wavelength.

    Raises:
        InputError: a wanted band is absent.
        ConfigError: two groups want the same band, or a band is in no group; both are named.
    """
    wanted = [group if isinstance(group, BandSet) else BandSet.of(*group) for group in groups]
    _check_overlaps(bands, wanted)
    together = bands.match(BandSet(tuple(band for group in wanted for band in group)))
    if together.missing:
        raise InputError(
            f"The groups want {', '.join(together.missing)}; the bands are {', '.join(bands.names)}",
            expected="groups of bands that exist, by name, alias or wavelength",
            remedy="leave these bands out of the groups, or use a sensor that has them",
        )
    numbers = iter(together.require())
    found = tuple(tuple(next(numbers) for _ in group) for group in wanted)
    omitted = [band.name for position, band in enumerate(bands) if not any(position in group for group in found)]
    if omitted:
        raise ConfigError(
            f"The bands {', '.join(omitted)} are in no group; the groups are "
            + "; ".join(", ".join(group.names) for group in wanted),
            expected="every band in exactly one group",
            remedy="add them to a group, or select only the bands "
            + ", ".join(bands[position].name for group in found for position in group),
        )
    return found


def _check_overlaps(bands: BandSet, wanted: Sequence[BandSet]) -> None:
    """Refuse a band that two groups want, under the same name or another."""
    owners: dict[int, int] = {}
    for number, group in enumerate(wanted, start=1):
        # By name and alias alone: a wavelength can lead to a band that another group wants by its name.
        for position in bands.match(group.names).indices:
            if position is not None and owners.setdefault(position, number) != number:
                raise ConfigError(
                    f"The band {bands[position].name} is in the groups {owners[position]} and {number}",
                    expected="every band in one group, for its pixels are made up once",
                    remedy="take it out of one of them",
                )
