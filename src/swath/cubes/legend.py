"""The legend of a class map: value, name and colour of every class."""

from __future__ import annotations

import colorsys
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swath.errors import InputError

# Okabe and Ito (2008), then darker and lighter tones that stay apart from them for red-green blind readers.
PALETTE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#000000",
    "#999999",
    "#332288",
    "#661100",
    "#004D40",
    "#FFC9B5",
    "#DDDDDD",
)
_GOLDEN_ANGLE = 0.381966
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class LegendEntry:
    """One class: stored value, name, and colour as ``#rrggbb``."""

    value: int
    name: str
    colour: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        return int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16)


@dataclass(frozen=True)
class Legend:
    """The classes of a map, in order.

    Raises:
        InputError: a value or name appears twice, or a colour is not ``#rrggbb``.
    """

    entries: tuple[LegendEntry, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(self.entries))
        for kind in ("value", "name"):
            seen = Counter(getattr(entry, kind) for entry in self.entries)
            twice = next((item for item, count in seen.items() if count > 1), None)
            if twice is not None:
                raise InputError(
                    f"The {kind} '{twice}' appears {seen[twice]} times in the legend",
                    expected="every value and every name once",
                    remedy="merge or rename the classes",
                )
        for entry in self.entries:
            if not _COLOUR.fullmatch(entry.colour):
                raise InputError(
                    f"The class '{entry.name}' has the colour '{entry.colour}'",
                    expected="six hexadecimal digits such as #0072B2",
                    remedy="write the colour as #rrggbb",
                )

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[LegendEntry]:
        return iter(self.entries)

    @classmethod
    def of(cls, *names: str, first: int = 0) -> Legend:
        """Classes ``first``, ``first + 1``, ... with colours that colour-blind readers can tell apart."""
        return cls.from_names(dict(enumerate(names, start=first)))

    @classmethod
    def from_names(cls, names: Mapping[int, str]) -> Legend:
        """A legend from value to name, with default colours."""
        return cls(
            tuple(
                LegendEntry(int(value), str(name), default_colour(index))
                for index, (value, name) in enumerate(names.items())
            )
        )

    @classmethod
    def from_json(cls, text: str) -> Legend:
        """Read what ``to_json`` wrote.

        Raises:
            InputError: the text is not a legend.
        """
        expected = "a JSON list of entries with value, name and colour"
        try:
            rows = json.loads(text)
            if not isinstance(rows, list):
                raise TypeError(f"a {type(rows).__name__} instead of a list")
            entries = tuple(LegendEntry(int(row["value"]), str(row["name"]), str(row["colour"])) for row in rows)
            wide = next((entry.value for entry in entries if entry.value.bit_length() > 63), None)
            if wide is not None:
                raise ValueError("a value beyond 64 bits")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise InputError(
                f"The text '{text[:60]}' is not a legend ({type(error).__name__}: {str(error)[:200]})",
                expected=expected,
                remedy="write it with Legend.to_json",
            ) from error
        return cls(entries)

    def to_json(self) -> str:
        """A JSON list of entries with value, name and colour."""
        return json.dumps([{"value": e.value, "name": e.name, "colour": e.colour} for e in self.entries])

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def values(self) -> tuple[int, ...]:
        """Stored values in order."""
        return tuple(entry.value for entry in self.entries)

    def mapping(self) -> dict[str, int]:
        """Name to stored value, as ``rasterise`` takes it."""
        return {entry.name: entry.value for entry in self.entries}

    def colour_table(self, nodata: float | None = None) -> dict[int, tuple[int, int, int, int]]:
        """Value to red, green, blue, alpha, for GDAL; the no-data value is transparent."""
        table = {entry.value: (*entry.rgb, 255) for entry in self.entries}
        if nodata is not None and float(nodata).is_integer() and int(nodata) not in table:
            table[int(nodata)] = (0, 0, 0, 0)
        return table


def legend_from_colours(colours: Mapping[str, str] | Iterable[tuple[str, str]], first: int = 0) -> Legend:
    """A legend from name to colour; values count up from ``first``.

    Raises:
        InputError: a name appears twice, or a colour is not ``#rrggbb``.
    """
    pairs = colours.items() if isinstance(colours, Mapping) else colours
    return Legend(tuple(LegendEntry(value, name, colour) for value, (name, colour) in enumerate(pairs, start=first)))


def default_colour(index: int) -> str:
    """The colour of class number ``index``; beyond the palette, hues a golden angle apart at falling lightness."""
    if index < len(PALETTE):
        return PALETTE[index]
    turn = index - len(PALETTE)
    lightness = (0.35, 0.55, 0.75)[turn % 3]
    rgb = colorsys.hls_to_rgb((0.08 + turn * _GOLDEN_ANGLE) % 1.0, lightness, 0.7)
    return "#" + "".join(f"{round(channel * 255):02X}" for channel in rgb)
