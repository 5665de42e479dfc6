"""published: data sets in the layout in which their authors ship them, read where they lie.

Every module offers the same five things: ``open(root)`` gives records, ``describe(root)`` counts and a fingerprint,
``check(root)`` all problems at once, ``write_fake(root, seed)`` a miniature tree for tests, and its docstring the
citation and licence.
"""

from __future__ import annotations

from swath.sources.published import (
    fmow_sentinel,
    hls,
    hls_burn_scars,
    hls_crops,
    instageo,
    reobench,
    reobench_answers,
    rsscn7,
    rstoolbox,
    sen1floods11,
)
from swath.sources.published.common import Description

READERS = {
    "fmow_sentinel": fmow_sentinel,
    "hls": hls,
    "hls_burn_scars": hls_burn_scars,
    "hls_crops": hls_crops,
    "instageo": instageo,
    "reobench": reobench,
    "reobench_answers": reobench_answers,
    "rsscn7": rsscn7,
    "rstoolbox": rstoolbox,
    "sen1floods11": sen1floods11,
}
"""Name to module."""

__all__ = [
    "READERS",
    "Description",
    "fmow_sentinel",
    "hls",
    "hls_burn_scars",
    "hls_crops",
    "instageo",
    "reobench",
    "reobench_answers",
    "rsscn7",
    "rstoolbox",
    "sen1floods11",
]
