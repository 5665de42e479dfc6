"""Embeddings of scenes, chips and points by published encoders, as files that say what made them.

``embed_scene``, ``embed_chips`` and ``embed_points`` write them; ``search`` finds places that look alike;
``train_head`` makes a model from a few labels on them, and ``predict_table`` classifies the rows of a table. See
docs/embeddings.md.
"""

from __future__ import annotations

from swath.embed.few import FewOptions, FewReport, train_head
from swath.embed.head_model import FeatureHead, is_head, load_head
from swath.embed.places import read_places
from swath.embed.record import EmbeddingRecord, read_record
from swath.embed.scene import EmbedReport, Storage, embed_scene
from swath.embed.search import SearchReport, search
from swath.embed.source import EmbeddingMap, open_map
from swath.embed.table import EmbeddingTable, TableReport, embed_chips, embed_points, open_table
from swath.embed.table_predict import TablePrediction, predict_table

__all__ = [
    "EmbedReport",
    "EmbeddingMap",
    "EmbeddingRecord",
    "EmbeddingTable",
    "FeatureHead",
    "FewOptions",
    "FewReport",
    "SearchReport",
    "Storage",
    "TablePrediction",
    "TableReport",
    "embed_chips",
    "embed_points",
    "embed_scene",
    "is_head",
    "load_head",
    "open_map",
    "open_table",
    "predict_table",
    "read_places",
    "read_record",
    "search",
    "train_head",
]
