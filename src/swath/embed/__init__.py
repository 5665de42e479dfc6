"""Embeddings of scenes and points by published encoders, as files that say what made them."""

from __future__ import annotations

from swath.embed.record import EmbeddingRecord, read_record
from swath.embed.scene import Storage, embed_scene

__all__ = ["EmbeddingRecord", "Storage", "embed_scene", "read_record"]
