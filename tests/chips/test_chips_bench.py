"""The race of chips runs, all ways cut the same pixels, and its numbers mean what its table says."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("async_geotiff")
pytest.importorskip("odc.stac")

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("chips")
    for name in ("chips", "peers", "peers.chips_contender", "peers.chips_data"):
        sys.modules.pop(name, None)


def test_a_quick_race_cuts_the_same_chips_by_all_ways() -> None:
    command = [sys.executable, "-W", "ignore", str(BENCH / "chips.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith('{"bench"')]
    cut = [row for row in rows if not row["way"].startswith("roof")]
    assert len({row["way"] for row in cut}) == 8
    assert {row["place"] for row in cut} == {"near", "far"}
    assert len({(row["digest"], row["valid"]) for row in cut}) == 1
    needed = {row["blocks"] for row in rows if row["way"].startswith("roof")}
    for way in ("swath", "swath_archive"):
        first, second = (row for row in cut if row["way"] == way and row["place"] == "far")
        assert (first["headers_read"], second["headers_read"]) == (12, 0)
        assert {first["blocks_decoded"], second["blocks_decoded"]} == needed
        assert second["run_requests"] == second["runs"] == second["server_requests"]
    assert [line.split(",")[0] for line in lines if ": chips " in line] == ["near: chips equal", "far: chips equal"]


def row(way: str, digest: str, wall: float = 1.0, round_: int = 0) -> dict[str, object]:
    return {
        "bench": "chips", "place": "near", "round": round_, "job": 1, "way": way, "wall_s": wall, "cpu_s": 0.5,
        "chips": 4, "valid": 9, "digest": digest, "peak_rss_mb": 100,
    }  # fmt: skip


def test_other_pixels_or_a_failure_void_the_race(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.table([row("swath", "a"), row("rasterio", "a", 3.0)])
    assert "to swath x3.00 [3.00, 3.00]" in capsys.readouterr().out
    assert not bench.table([row("swath", "a"), row("rasterio", "b")])
    assert "NOT EQUAL" in capsys.readouterr().out
    assert not bench.table([row("swath", "a"), {"place": "near", "job": 1, "way": "rasterio", "error": "no disk"}])
    assert "rasterio: no disk" in capsys.readouterr().out


def test_the_interval_is_the_range_of_few_and_holds_the_median_of_many(bench: ModuleType) -> None:
    assert bench.interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert bench.interval([5.0]) == (5.0, 5.0, 5.0)
    stream, held = np.random.default_rng(0), []
    for count in (6, 9, 12):
        for _ in range(400):
            _, low, high = bench.interval(stream.normal(0, 1, count).tolist())
            held.append(low <= 0 <= high)
    assert np.mean(held) >= 0.94


def test_the_server_gives_ranges_and_counts_them(bench: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(bytes(range(100)))
    with bench.served(tmp_path, 0.0) as address:

        def ask(path: str, span: str = "") -> tuple[int, bytes]:
            request = urllib.request.Request(f"{address}/{path}", headers={"Range": span} if span else {})
            try:
                with urllib.request.urlopen(request) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        assert ask("a.tif", "bytes=10-12") == (206, bytes([10, 11, 12]))
        assert ask("a.tif", "bytes=98-200") == (206, bytes([98, 99]))
        assert ask("a.tif") == (200, bytes(range(100)))
        assert ask("a.tif", "bytes=100-")[0] == 416
        assert ask("b.tif")[0] == ask("../x")[0] == 404
        assert json.loads(ask("count")[1]) == {"requests": 6, "bytes": 105}
        assert json.loads(ask("count")[1]) == {"requests": 0, "bytes": 0}
