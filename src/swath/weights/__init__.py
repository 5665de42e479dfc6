"""Published weights: what is known about them, how they are fetched, checked and put into a network."""

from __future__ import annotations

from swath.weights.catalogue import Entry, PublishedBand, entry, family_of, is_name, names
from swath.weights.fetch import Found, find
from swath.weights.report import LoadReport, fill
from swath.weights.tensors import read_tensors

__all__ = [
    "Entry",
    "Found",
    "LoadReport",
    "PublishedBand",
    "entry",
    "family_of",
    "fill",
    "find",
    "is_name",
    "names",
    "read_tensors",
]
