"""Start the map server on a port of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Collection
from pathlib import Path

from swath.errors import ConfigError, MissingError, ResourceError, SwathError, require
from swath.serve.layers import FILE_NAME

VENDOR = Path(__file__).parent / "static" / "vendor"


def run(
    directory: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    open_browser: bool = False,
    hosts: Collection[str] = (),
) -> None:
    """Serve the layers of a directory, or one GeoTIFF, until Ctrl-C.

    A directory without ``layers.json`` shows the maps that lie in it, and a line says how many layers they make.
    Prints one line with the address. Port 0 takes any free port. Requests must name this machine, ``host``, or one of
    ``hosts`` (behind a proxy: the name it is reached by).

    Raises:
        InputError: the directory, its ``layers.json`` or a listed raster cannot be used.
        ResourceError: the port is in use or may not be used.
        ConfigError: host or port is not one.
        MissingError: the extra ``serve`` or the map library is not installed.
    """
    for module in ("fastapi", "rio_tiler", "uvicorn"):
        require(module, "serve")
    if not (VENDOR / "maplibre-gl.mjs").is_file():
        raise MissingError(
            "The map library MapLibre GL is not in this copy of swath",
            expected="the files that an installed wheel carries",
            remedy="run: python tools/fetch_maplibre.py (`make setup` does it)",
        )
    import uvicorn

    from swath.serve.app import create_app
    from swath.serve.guard import hosts_for

    app = create_app(directory, hosts_for(host, hosts))
    listener = listen(host, port)
    address = url(listener)
    if not (Path(directory) / FILE_NAME).is_file():
        count = app.state.layers
        print(f"Found {count} layer{'s' if count != 1 else ''} in '{directory}'", flush=True)
    # Without start and stop events a second, impatient Ctrl-C has nothing to interrupt halfway.
    settings = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(settings)
    print(f"The map is at {address} (Ctrl-C stops the server)", flush=True)
    if open_browser:
        # The socket listens already, so a browser that is faster than the server only waits.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    # uvicorn raises the interruption again after a clean shutdown
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    print("Stopped.", file=sys.stderr, flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or a sentence that says why not.

    Raises:
        ConfigError: host or port is not one.
        ResourceError: the port is in use or may not be used.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"The port is {port}", expected="a number from 0 to 65535", remedy="give another --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ConfigError(
            f"The host '{host}' is not known", expected="an address of this machine", remedy="give --host 127.0.0.1"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        # Lets a restarted server take the port of one that has just stopped; a live one still blocks it.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from error
    return listener


def url(listener: socket.socket) -> str:
    """The address a browser on this machine uses to reach a listening socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def _refusal(host: str, port: int, error: OSError) -> SwathError:
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            f"Port {port} of {host} is in use by another program",
            expected="a free port",
            remedy=f"give another one, for example --port {free_port()}, or stop the other program",
        )
    if error.errno == errno.EACCES:
        return ResourceError(
            f"Port {port} may not be used by this user",
            expected="a port that needs no special rights",
            remedy="give one above 1023, for example --port 8000",
        )
    return ConfigError(
        f"'{host}' is not an address of this machine ({error.strerror})",
        expected="an address of this machine",
        remedy="give --host 127.0.0.1",
    )
