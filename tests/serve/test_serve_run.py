from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from swath.errors import ConfigError, InputError, MissingError, ResourceError
from swath.serve import free_port, run
from swath.serve.run import VENDOR, listen, url

needs_library = pytest.mark.skipif(
    not (VENDOR / "maplibre-gl.mjs").is_file(), reason="MapLibre GL is not fetched (python tools/fetch_maplibre.py)"
)


@needs_library
def test_a_port_in_use_is_named_with_a_free_one(map_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ResourceError, match=rf"Port {port} of 127\.0\.0\.1 is in use.*--port \d+") as caught:
            run(map_directory, port=port)
    assert caught.value.exit_code != 0


@needs_library
def test_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        run(tmp_path / "absent", port=0)
    with pytest.raises(InputError, match=r"holds no layers\.json"):
        run(tmp_path, port=0)


def test_a_missing_map_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["swath.serve.run"], "VENDOR", tmp_path)
    with pytest.raises(MissingError, match=r"tools/fetch_maplibre\.py"):
        run(tmp_path)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[serve\]'"):
        run(tmp_path)


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_out_of_range(port: int) -> None:
    with pytest.raises(ConfigError, match=f"The port is {port}"):
        listen("127.0.0.1", port)


def test_hosts_that_are_not_here() -> None:
    with pytest.raises(ConfigError, match="not an address of this machine"):
        listen("192.0.2.1", 0)


def test_free_port_can_be_used() -> None:
    port = free_port()
    with listen("127.0.0.1", port) as listener:
        assert url(listener) == f"http://127.0.0.1:{port}"


def test_the_address_of_all_interfaces_can_be_opened() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert url(listener).startswith("http://127.0.0.1:")


@needs_library
@pytest.mark.parametrize("times", [1, 2])
def test_one_line_with_the_address_and_a_clean_end(map_directory: Path, times: int) -> None:
    script = "import sys; from swath.serve import run; run(sys.argv[1], port=0)"
    command = [sys.executable, "-W", "error", "-c", script, str(map_directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http://"))
        with urllib.request.urlopen(f"{address}/api/health", timeout=20) as answer:
            assert json.load(answer)["status"] == "ok"
        for _ in range(times):
            server.send_signal(signal.SIGINT)
        rest, errors = server.communicate(timeout=20)
    assert server.returncode == 0
    assert rest == ""
    assert errors == "Stopped.\n"
