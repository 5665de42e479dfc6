"""Chunks and tiles of a few bytes that would inflate to gigabytes."""

from __future__ import annotations

import json
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hostile_seeds import use_scene, zarr

from swath.cubes.bounded import MEASURED, SLACK, compressor_of, decoded_length
from swath.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")

CODECS = {
    "zstd": numcodecs.Zstd(),
    "blosc": numcodecs.Blosc(),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(),
}


def test_every_measured_compressor_is_tried() -> None:
    assert set(CODECS) == MEASURED


@pytest.mark.parametrize("name", CODECS)
def test_a_chunk_that_inflates_is_refused(tmp_path: Path, name: str) -> None:
    zarr(tmp_path, 2)
    red = tmp_path / "scene.zarr" / "red"
    metadata = json.loads((red / ".zarray").read_text()) | {"compressor": CODECS[name].get_config()}
    (red / ".zarray").write_text(json.dumps(metadata))
    bomb = CODECS[name].encode(bytes(SLACK + 1))
    for chunk in red.iterdir():
        if not chunk.name.startswith("."):
            chunk.write_bytes(bomb)
    with pytest.raises(InputError, match="inflates to more than"):
        use_scene(tmp_path)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("length", [0, 1, 1000, 3_000_001])
def test_lengths_are_those_of_the_codec(name: str, length: int) -> None:
    # Noise, so that streams too short to inflate far are measured all the same.
    data = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    assert decoded_length(name, CODECS[name].encode(data), 1 if name != "blosc" else SLACK) >= min(length, 2)
    if length > 1:
        assert decoded_length(name, CODECS[name].encode(data), length) == length


def test_frames_that_follow_each_other_count_together() -> None:
    for name in ("zstd", "gzip", "bz2"):
        data = CODECS[name].encode(bytes(3_000_000))
        assert decoded_length(name, data * 3, 10**6) > 10**6
        assert decoded_length(name, data * 3, 9_000_000) == 9_000_000 or name == "gzip"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"compressor": {"id": "zlib"}, "filters": [{"id": "gzip"}]}, "zlib after gzip"),
        ({"compressor": {"id": "lzma"}}, "lzma"),
        ({"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "shuffle"}]}, "packs its compressed chunks"),
        ({"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "zstd"}]}}]}, "shards"),
    ],
)
def test_chains_that_cannot_be_measured(tmp_path: Path, metadata: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compressor_of(metadata, tmp_path)


def test_a_zarr_3_chunk_that_inflates_is_refused(tmp_path: Path) -> None:
    zarr(tmp_path, 3)
    for chunk in (tmp_path / "scene.zarr" / "red" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(CODECS["zstd"].encode(bytes(SLACK + 1)))
    with pytest.raises(InputError, match="inflates to more than"):
        use_scene(tmp_path)
