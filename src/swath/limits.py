"""How much a file may declare before swath believes it: the one list of limits, each with its reason.

A file of a few bytes can declare a raster of 10^18 pixels, a chunk of 4 GB or a network of 10^12 weights. What is
declared is therefore compared with these limits before anything of that size is allocated. Every limit can be raised
by an environment variable of the same name, ``SWATH_MAX_SIDE=8000000`` for ``SIDE``, by those who know their file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from swath.errors import ConfigError, InputError


@dataclass(frozen=True)
class Limit:
    """One limit.

    Args:
        name: suffix of its environment variable.
        default: largest number that is believed without it.
        what: what is counted.
    """

    name: str
    default: int
    what: str

    @property
    def variable(self) -> str:
        """Name of the environment variable that overrules the default."""
        return f"SWATH_MAX_{self.name}"

    @property
    def value(self) -> int:
        """The limit in force.

        Raises:
            ConfigError: the environment variable holds no whole number of at least 1.
        """
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 20 or int(text) < 1:
            raise ConfigError(
                f"The environment variable {self.variable} is '{text[:40]}'",
                expected=f"a whole number of at least 1 (default {self.default})",
                remedy="correct it or remove it",
            )
        return int(text)

    def check(self, number: int, where: str | Path) -> None:
        """Refuse a declared number beyond the limit.

        Raises:
            InputError: ``number`` is larger than the limit.
        """
        if number > self.value:
            raise InputError(
                f"'{where}' declares {_short(number)} {self.what}",
                expected=f"at most {_short(self.value)}",
                remedy=f"check that the file is what it should be; if it is, set {self.variable}={_short(number)}",
            )


def _short(number: int) -> str:
    """Digits of a number, rounded where nobody would read them."""
    return f"{number}" if number < 10**16 else f"about 10^{len(f'{number:x}') * 6 // 5}"


SIDE = Limit("SIDE", 5_000_000, "pixels along one side")
"""The Earth is 4,007,501 pixels of 10 m around; a coordinate of this length takes 40 MB."""
NUMBERS = Limit("NUMBERS", 2 * 10**11, "numbers (pixels times bands and dates)")
"""20 times a file of 40,000 x 40,000 pixels and six bands; planning its reads takes about a second and 100 MB."""
BANDS = Limit("BANDS", 10_000, "bands or variables")
DATES = Limit("DATES", 100_000, "dates")
"""Eleven years by the hour."""
BLOCK_BYTES = Limit("BLOCK_BYTES", 2**30, "bytes in one stored block or chunk after decoding")
"""A stored block is decoded as a whole, in every thread that reads."""
CHUNKS = Limit("CHUNKS", 10**6, "stored chunks")
LABEL_PIXELS = Limit("LABEL_PIXELS", 2 * 10**9, "pixels of a label raster, which is held in memory")
"""4 GB of 16-bit labels."""
CHIP_NUMBERS = Limit("CHIP_NUMBERS", 2**28, "numbers in one chip")
ROWS = Limit("ROWS", 10**7, "rows")
TABLE_BYTES = Limit("TABLE_BYTES", 4 * 2**30, "bytes in a table after decoding")
TEXT_BYTES = Limit("TEXT_BYTES", 64 * 2**20, "bytes of text")
"""JSON, TOML and VRT take about ten times their size in memory."""
YAML_BYTES = Limit("YAML_BYTES", 2**20, "bytes of YAML")
"""YAML is read at about 200 kB a second and takes some hundred times its size in memory."""
YAML_NODES = Limit("YAML_NODES", 100_000, "YAML values after its aliases are written out")
ZIP_BYTES = Limit("ZIP_BYTES", 4 * 2**30, "bytes in a zip archive after decompression")
ZIP_RATIO = Limit("ZIP_RATIO", 200, "times its stored size after decompression")
"""Counted for archives that hold more than 100 MB; plain tables compress about 20 times."""
VRT_SOURCES = Limit("VRT_SOURCES", 100_000, "files to be read for one VRT, nested ones written out")
PARAMETERS = Limit("PARAMETERS", 10**9, "parameters of a network")
"""4 GB of float32 weights."""
STORE_NODES = Limit("STORE_NODES", 10_000, "groups and variables")
