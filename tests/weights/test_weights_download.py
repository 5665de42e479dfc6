"""Downloads against a server that cuts, lies, refuses and forgets."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swath.errors import InputError, MissingError, ResourceError
from swath.weights.download import download

CONTENT = bytes(range(256)) * 4000  # about a megabyte, several blocks
SUM = hashlib.sha256(CONTENT).hexdigest()
Serve = Callable[..., Any]


def get(server: Any, target: Path, **options: Any) -> Path:
    defaults = {"checksum": SUM, "size": len(CONTENT), "wait": lambda seconds: None}
    return download(server.address, target, **(defaults | options))


def alone(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_a_whole_file_arrives_alone_and_progress_ends_at_its_size(tmp_path: Path, serve: Serve, content: bytes) -> None:
    seen: list[tuple[int, int | None]] = []
    server = serve(content)
    checksum = hashlib.sha256(content).hexdigest()
    done = download(server.address, tmp_path / "model.pt", checksum=checksum, progress=lambda a, b: seen.append((a, b)))
    assert done.read_bytes() == content
    assert alone(tmp_path) == ["model.pt"]
    assert not content or seen[-1] == (len(content), len(content))
    assert done.stat().st_mode & 0o444 == 0o444


def test_a_cut_connection_is_resumed_where_it_stopped(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)
    server.faults = ["cut 300000", "cut 1", "cut 0"]
    pauses: list[float] = []
    assert get(server, tmp_path / "model.pt", wait=pauses.append).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=300001-", "bytes=300001-"]
    assert len(pauses) == 3
    assert alone(tmp_path) == ["model.pt"]


def test_an_interrupted_process_leaves_what_the_next_one_goes_on_with(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)

    def stop(done: int, total: int | None) -> None:
        if done >= 262_144:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path / "model.pt", progress=stop)
    assert not (tmp_path / "model.pt").exists()
    assert len(alone(tmp_path)) == 1
    assert get(server, tmp_path / "model.pt").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=262144-"]
    assert alone(tmp_path) == ["model.pt"]


def test_a_server_without_ranges_sends_all_again(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT, ranges=False)
    server.faults = ["cut 300000"]
    assert get(server, tmp_path / "model.pt").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_a_server_that_always_cuts_at_the_same_place_is_given_up(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT, ranges=False)
    server.faults = ["cut 300000"] * 50
    with pytest.raises(MissingError, match=r"cut after 300000 of 1024000 bytes; 3 attempts; 300000 bytes are kept"):
        get(server, tmp_path / "model.pt", attempts=3)
    assert len(server.asked) == 4  # the first one brought something


def test_a_range_from_another_place_is_not_taken(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)
    server.faults = ["cut 300000", "wrong range"]
    assert get(server, tmp_path / "model.pt").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", None]


@pytest.mark.parametrize("code", [500, 502, 503, 429])
def test_a_busy_server_is_asked_again(tmp_path: Path, serve: Serve, code: int) -> None:
    server = serve(CONTENT)
    server.faults = [f"status {code}"]
    assert get(server, tmp_path / "model.pt").read_bytes() == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize("code", [404, 403, 410])
def test_an_absent_file_is_an_error_at_once(tmp_path: Path, serve: Serve, code: int) -> None:
    server = serve(CONTENT)
    server.faults = [f"status {code}"]
    with pytest.raises(MissingError, match=f"answered {code}.*path="):
        get(server, tmp_path / "model.pt")
    assert len(server.asked) == 1
    assert alone(tmp_path) == []


def test_a_server_that_stays_broken_is_given_up_with_its_answer(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)
    server.faults = ["status 500"] * 9
    with pytest.raises(MissingError, match=r"answered 500; 3 attempts"):
        get(server, tmp_path / "model.pt", attempts=3)
    assert len(server.asked) == 3
    assert alone(tmp_path) == []


def test_nobody_listening_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/model.pt"
    with pytest.raises(MissingError, match=r"ConnectionRefusedError.*2 attempts"):
        download(address, tmp_path / "model.pt", attempts=2, wait=lambda seconds: None)
    assert alone(tmp_path) == []


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, serve: Serve) -> None:
    changed = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    server = serve(changed)
    with pytest.raises(InputError, match=f"sha256 {hashlib.sha256(changed).hexdigest()}.*Expected: {SUM}"):
        get(server, tmp_path / "model.pt")
    assert alone(tmp_path) == []
    assert len(server.asked) == 1


def test_what_an_older_file_left_is_dropped_when_the_checksum_tells(tmp_path: Path, serve: Serve) -> None:
    server = serve(bytes(len(CONTENT)))
    server.faults = ["cut 300000"]
    with pytest.raises(MissingError):
        get(server, tmp_path / "model.pt", attempts=0)
    (left,) = tmp_path.iterdir()
    server.content = CONTENT
    assert left.stat().st_size == 300_000
    assert get(server, tmp_path / "model.pt").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", None]


@pytest.mark.parametrize(("fault", "options"), [("lie 5", {}), ("endless", {}), ("", {"size": 10})])
def test_another_size_than_published_is_refused(
    tmp_path: Path, serve: Serve, fault: str, options: dict[str, int]
) -> None:
    server = serve(CONTENT)
    server.faults = [fault] if fault else []
    with pytest.raises(InputError, match="do not use it"):
        get(server, tmp_path / "model.pt", **options)
    assert alone(tmp_path) == []


def test_without_checksum_and_length_all_that_comes_is_the_file(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT, length=False)
    assert get(server, tmp_path / "model.pt", checksum=None, size=None).read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_needs_no_more_bytes(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)
    server.faults = ["cut 300000"]
    with pytest.raises(MissingError):
        get(server, tmp_path / "model.pt", attempts=0)
    (left,) = tmp_path.iterdir()
    left.write_bytes(CONTENT)
    assert get(server, tmp_path / "model.pt", size=None).read_bytes() == CONTENT  # the server says 416
    assert server.asked[1:] == [f"bytes={len(CONTENT)}-"]


def test_two_at_once_fetch_the_file_once(tmp_path: Path, serve: Serve) -> None:
    server = serve(CONTENT)
    server.faults = ["cut 300000"]
    threads = [threading.Thread(target=get, args=(server, tmp_path / "model.pt")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "model.pt").read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert alone(tmp_path) == ["model.pt"]


def test_a_folder_that_is_absent_is_not_a_traceback(tmp_path: Path, serve: Serve) -> None:
    target = tmp_path / "model.pt"
    target.mkdir()
    with pytest.raises((ResourceError, OSError)):
        get(serve(CONTENT), target)
