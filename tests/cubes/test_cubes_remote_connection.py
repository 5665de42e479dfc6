"""Connections against a server that is busy, hangs up, cuts, lies and refuses: nothing lost, nothing fetched twice."""

from __future__ import annotations

import datetime
import email.utils
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from remote_server import FakeClock, FileServer

pytest.importorskip("urllib3")

from swath.cubes import remote
from swath.cubes.remote import signing
from swath.errors import ConfigError, InputError, MissingError

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.bin").write_bytes(CONTENT)
    (tmp_path / "served" / "a.json").write_text('{"a": 1}')
    started = FileServer(tmp_path / "served")
    yield started
    started.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def connect(clock: FakeClock, signer: Any = None, **patience: Any) -> remote.Connection:
    time = remote.Clock(clock.now, clock.sleep, clock.draw)
    return remote.Connection(signer=signer, patience=remote.Patience(**patience), clock=time)


def test_a_span_is_one_request_and_tells_size_and_tag(server: FileServer, clock: FakeClock) -> None:
    connection = connect(clock)
    span = connection.span(f"{server.address}/a.bin", 1000, 3000, counted="run_requests")
    assert span.content == CONTENT[1000:3000] and span.total == len(CONTENT) and span.tag
    assert server.fetched("/a.bin") == [(1000, 3000)]
    assert connection.report.counts()["bytes"] == 2000 and connection.report.run_requests == 1
    beyond = connection.span(f"{server.address}/a.bin", len(CONTENT) - 10, len(CONTENT) + 500)
    assert beyond.content == CONTENT[-10:]
    past = connection.span(f"{server.address}/a.bin", len(CONTENT), len(CONTENT) + 5)
    assert past.content == b"" and past.total == len(CONTENT)


@pytest.mark.parametrize("at", [0, 1, 100, 1999])
def test_a_truncated_answer_is_continued_from_where_it_ended(server: FileServer, clock: FakeClock, at: int) -> None:
    server.faults = [f"cut {at}"]
    connection = connect(clock)
    assert connection.span(f"{server.address}/a.bin", 1000, 3000).content == CONTENT[1000:3000]
    assert server.fetched("/a.bin") == [(1000, 3000), (1000 + at, 3000)]
    assert connection.report.bytes == 2000 and connection.report.retries == 1
    assert sum(one.sent for one in server.asked) == 2000


def test_a_stream_goes_on_after_cuts_and_from_what_is_there(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["cut 300000", "hang up", "cut 5"]
    got = bytearray(CONTENT[:7])
    span = connect(clock).stream(f"{server.address}/a.bin", 7, got.extend, got.clear)
    assert bytes(got) == CONTENT and span.total == len(CONTENT)
    assert sum(one.sent for one in server.asked) == len(CONTENT) - 7


def test_a_server_without_ranges_sends_streams_again_and_cannot_be_read_in_parts(
    server: FileServer, clock: FakeClock
) -> None:
    server.faults = ["cut 300000", "whole"]
    got = bytearray()
    connect(clock).stream(f"{server.address}/a.bin", 0, got.extend, got.clear)
    assert bytes(got) == CONTENT
    server.faults = ["whole"]
    with pytest.raises(MissingError, match="ignores Range"):
        connect(clock).span(f"{server.address}/a.bin", 10, 20)
    server.faults = ["whole"]
    assert connect(clock).span(f"{server.address}/a.bin", 0, 20).content == CONTENT[:20]


def test_pauses_double_and_stay_below_their_limit(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["status 500", "status 503", "hang up", "status 502"]
    connection = connect(clock, first_s=1.0, most_s=3.0)
    assert connection.json(f"{server.address}/a.json") == {"a": 1}
    assert clock.pauses == [1.0, 2.0, 3.0, 3.0]
    assert connection.report.requests == 5 and connection.report.waited_s == 9.0


def test_jitter_shortens_pauses(server: FileServer) -> None:
    clock = FakeClock(jitter=0.25)
    server.faults = ["status 500", "status 500"]
    connect(clock, first_s=1.0).json(f"{server.address}/a.json")
    assert clock.pauses == [0.25, 0.5]
    drawn = {remote.Clock().jitter() for _ in range(20)}
    assert len(drawn) > 10 and all(0 <= value < 1 for value in drawn)


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["status 429 after 17"]
    connect(clock).json(f"{server.address}/a.json")
    assert clock.pauses == [17.0]
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
    assert 30 < (remote.answers.asked_to_wait(email.utils.format_datetime(moment, usegmt=True)) or 0) <= 40
    assert remote.answers.asked_to_wait("soon") is None


def test_a_server_that_asks_for_more_than_one_has_is_given_up(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["status 429 after 9000"]
    with pytest.raises(MissingError, match="429 and asks to wait 9000 s; 1 attempts"):
        connect(clock).json(f"{server.address}/a.json")
    assert clock.pauses == []


def test_attempts_end(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["status 500"] * 9
    with pytest.raises(MissingError, match=r"answered 500; 3 attempts"):
        connect(clock, attempts=3).span(f"{server.address}/a.bin", 0, 10)
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_refusal_is_told_at_once(server: FileServer, clock: FakeClock, status: int) -> None:
    server.faults = [f"status {status}"]
    with pytest.raises(MissingError, match=f"answered {status}"):
        connect(clock).span(f"{server.address}/a.bin?secret=1", 0, 10)
    assert len(server.asked) == 1


def test_the_rate_is_kept(server: FileServer, clock: FakeClock) -> None:
    connection = connect(clock, per_minute=30)
    for _ in range(4):
        connection.json(f"{server.address}/a.json")
    assert clock.pauses == [2.0, 2.0, 2.0]


def test_nobody_listening_is_a_sentence(clock: FakeClock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(MissingError, match=r"nothing answers there; 2 attempts\)\. Expected: a server that answers"):
        connect(clock, attempts=2).json(address)


def test_addresses_and_answers_that_are_none(server: FileServer, clock: FakeClock) -> None:
    connection = connect(clock)
    for address in ("ftp://example.org/x", "http://", "gs://bucket/x.tif"):
        with pytest.raises(InputError, match="http"):
            connection.json(address)
    with pytest.raises(InputError, match=r"not JSON|no text"):
        connection.json(f"{server.address}/a.bin")
    with pytest.raises(ConfigError, match="above 0"):
        remote.Patience(per_minute=0)


def test_a_file_that_changes_under_way_is_noticed(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["cut 100"]
    clock.sleep = lambda seconds: (server.folder / "a.bin").write_bytes(CONTENT[::-1])  # type: ignore[assignment, method-assign]
    with pytest.raises(InputError, match="another file than before"):
        connect(clock).span(f"{server.address}/a.bin", 1000, 3000)


def test_a_wrong_range_is_not_taken(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["wrong range"]
    assert connect(clock).span(f"{server.address}/a.bin", 10, 20).content == CONTENT[10:20]


def test_connections_are_kept_open(server: FileServer, clock: FakeClock) -> None:
    import urllib3

    connection = connect(clock)
    for start in range(0, 1000, 100):
        connection.span(f"{server.address}/a.bin", start, start + 50)
    (pool,) = connection._pools.values()
    (host,) = [pool.pools.get(key) for key in pool.pools.keys()]  # noqa: SIM118 (its container has no iterator)
    assert isinstance(host, urllib3.HTTPConnectionPool) and host.num_connections == 1


class Signed:
    """The signer of an archive on the test server."""

    def __init__(self, server: FileServer, clock: FakeClock, now: Callable[[], float]) -> None:
        self.count = 0
        ask = connect(clock)
        self.signer = signing.Sas(
            f"{server.address}/token/{{collection}}",
            "s2 l2a",
            (server.host,),
            lambda place, headers: ask.json(place, headers=headers),
            now=now,
        )


def test_addresses_are_signed_and_an_expired_signature_is_renewed_before_use(
    server: FileServer, clock: FakeClock
) -> None:
    server.token, server.expiry = "one", "2030-01-01T00:00:00Z"
    end = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC).timestamp()
    now = [end - 3600]
    connection = connect(clock, Signed(server, clock, lambda: now[0]).signer)
    for _ in range(3):
        assert connection.span(f"{server.address}/signed/a.bin", 0, 5).content == CONTENT[:5]
    assert server.tokens_given == 1 and server.asked[0].path == "/token/s2%20l2a"
    now[0] = end - 30
    server.token = "two"
    connection.span(f"{server.address}/signed/a.bin", 0, 5)
    assert server.tokens_given == 2 and all(one.status != 403 for one in server.asked)


def test_a_refused_signature_is_renewed_once_and_reading_goes_on(server: FileServer, clock: FakeClock) -> None:
    server.token = "one"
    connection = connect(clock, Signed(server, clock, lambda: 0.0).signer)
    connection.span(f"{server.address}/signed/a.bin", 0, 5)
    server.token = "two"  # the first one ended early
    assert connection.span(f"{server.address}/signed/a.bin", 5, 9).content == CONTENT[5:9]
    assert [one.status for one in server.asked if one.path.startswith("/signed")] == [206, 403, 206]
    assert clock.pauses == []
    server.hook = lambda path: None
    server.faults = ["status 403", "", "status 403"]
    with pytest.raises(MissingError, match="answered 403"):
        connection.span(f"{server.address}/signed/a.bin", 0, 5)


def test_a_token_goes_to_the_hosts_of_its_archive_only(
    server: FileServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = signing.Bearer("ARCHIVE_TOKEN", (server.host,), "mine", "https://example.org/login")
    other = signing.Bearer("ARCHIVE_TOKEN", ("example.org",), "mine")
    monkeypatch.delenv("ARCHIVE_TOKEN", raising=False)
    with pytest.raises(MissingError, match=r"'mine' wants a token.*ARCHIVE_TOKEN is not set.*example\.org/login"):
        connect(clock, mine).json(f"{server.address}/a.json")
    monkeypatch.setenv("ARCHIVE_TOKEN", "secret")
    connect(clock, mine).json(f"{server.address}/a.json")
    assert server.headers_seen[-1]["Authorization"] == "Bearer secret"
    connect(clock, other).json(f"{server.address}/a.json")
    assert "Authorization" not in server.headers_seen[-1]
    assert not signing.within("http://evil-example.org/x", ("example.org",))
    assert signing.within("https://a.example.org/x", ("example.org",))
    server.faults = ["status 401"]
    with pytest.raises(MissingError, match="answered 401") as told:
        connect(clock, mine).json(f"{server.address}/a.json")
    assert "secret" not in str(told.value)


def test_a_signing_service_that_answers_nonsense(server: FileServer, clock: FakeClock) -> None:
    server.expiry = "tomorrow"
    with pytest.raises(InputError, match="gave no signature"):
        connect(clock, Signed(server, clock, lambda: 0.0).signer).span(f"{server.address}/signed/a.bin", 0, 5)


def test_several_threads_ask_at_once_and_every_byte_once(server: FileServer, clock: FakeClock) -> None:
    server.faults = ["cut 10", "status 503", "hang up"]
    connection = connect(clock)
    spans = connection.side_by_side(
        lambda start: connection.span(f"{server.address}/a.bin", start, start + 1000).content,
        list(range(0, 40_000, 1000)),
    )
    assert b"".join(spans) == CONTENT[:40_000]
    assert sum(one.sent for one in server.asked) == 40_000


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[stac\]'"):
        remote.Connection()
