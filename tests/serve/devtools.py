"""Drive Debian's chromium through its DevTools protocol: just enough for the browser tests and for screenshots."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL in software; the page is our own
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    # Names resolve to nothing: neither a page nor the browser itself can reach beyond this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """Path of the browser, or None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """A headless browser with one page; a context manager.

    Everything the page does on the network and every error on its console is kept in ``requests`` (address),
    ``responses`` (address, status) and ``complaints``.
    """

    def __init__(self, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        self.requests: list[str] = []
        self.responses: list[tuple[str, int]] = []
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        program = find_chromium()
        if program is None:
            raise FileNotFoundError("chromium is not installed (tools/install_chromium.sh)")
        self._profile = tempfile.mkdtemp(prefix="swath-chromium-")
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._socket = self._connect()
            self._prepare(width, height, dark)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove its profile."""
        if hasattr(self, "_socket"):
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, address: str) -> None:
        """Go to an address with fresh records.

        A change of the fragment alone would not load the page again, so it is left first.
        """
        self.send("Page.navigate", {"url": "about:blank"})
        for records in (self.requests, self.responses, self.complaints):
            records.clear()
        self.send("Page.navigate", {"url": address})

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression in the page; promises are awaited."""
        answer = self.send("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 40.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(script):
            if time.monotonic() > end:
                errors = self.evaluate("window.__errors")
                raise AssertionError(f"'{script}' did not become true in {seconds:g} s; {errors}; {self.complaints}")
            time.sleep(0.05)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        self.drag([(x, y)])

    def drag(self, places: list[tuple[float, float]]) -> None:
        """Press at the first place, move through the others, release at the last."""
        self._mouse("mouseMoved", places[0], 0)
        self._mouse("mousePressed", places[0], 1)
        for place in places[1:]:
            self._mouse("mouseMoved", place, 1)
        self._mouse("mouseReleased", places[-1], 0)

    def press(self, key: str) -> None:
        """Press and release one key, named as in KeyboardEvent.key."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38}
        codes |= {"ArrowRight": 39, "ArrowDown": 40, "Backspace": 8}
        text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
        for kind in ("keyDown", "keyUp"):
            message = {
                "type": kind,
                "key": key,
                "code": "Space" if key == " " else key,
                "windowsVirtualKeyCode": codes[key],
            }
            self.send("Input.dispatchKeyEvent", message | (text if kind == "keyDown" else {}))

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Show the page on a screen of another size; a phone has touch and a dense screen."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", size)
        self.send(
            "Emulation.setTouchEmulationEnabled",
            {"enabled": phone, "maxTouchPoints": 1 if phone else 0} if phone else {"enabled": False},
        )

    def touch(self, places: list[tuple[float, float]]) -> None:
        """Put a finger down at the first place, move it through the others, lift it."""
        for number, (x, y) in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            self.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        self.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def screenshot(self, path: Path) -> Path:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", {"format": "png"})["data"]))
        return path

    def send(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come meanwhile are kept."""
        number = self._post(method, parameters, session)
        while number not in self._answers:
            self._receive()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def _post(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> int:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters or {}}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return number

    def _mouse(self, kind: str, place: tuple[float, float], buttons: int) -> None:
        button = "none" if kind == "mouseMoved" and not buttons else "left"
        message = {"type": kind, "x": place[0], "y": place[1], "button": button, "buttons": buttons, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", message)

    def _connect(self) -> Any:
        import websocket

        port_file = Path(self._profile) / "DevToolsActivePort"
        self._until(lambda: port_file.is_file() and port_file.read_text().count("\n") >= 1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
        return websocket.create_connection(pages[0]["webSocketDebuggerUrl"], suppress_origin=True, timeout=60)

    def _until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError("chromium did not start")
            time.sleep(0.05)

    def _prepare(self, width: int, height: int, dark: bool) -> None:
        for domain in ("Network", "Runtime", "Log", "Page"):
            self.send(f"{domain}.enable")
        # Workers are targets of their own; they wait until their network is watched as well.
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self.send("Target.setAutoAttach", attach)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.send("Emulation.setEmulatedMedia", {"features": features})

    def _receive(self) -> None:
        message = json.loads(self._socket.recv())
        if "id" in message:
            self._answers[message["id"]] = message
            return
        detail = message["params"]
        match message["method"]:
            case "Target.attachedToTarget":
                self._post("Network.enable", session=detail["sessionId"])
                self._post("Runtime.enable", session=detail["sessionId"])
                self._post("Runtime.runIfWaitingForDebugger", session=detail["sessionId"])
            case "Network.requestWillBeSent":
                self.requests.append(detail["request"]["url"])
            case "Network.responseReceived":
                self.responses.append((detail["response"]["url"], detail["response"]["status"]))
            case "Runtime.consoleAPICalled" if detail["type"] in ("error", "assert"):
                self.complaints.append(" ".join(str(part.get("value", part)) for part in detail["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(detail["exceptionDetails"]))
            case "Log.entryAdded" if detail["entry"]["level"] == "error":
                self.complaints.append(f"{detail['entry']['text']} {detail['entry'].get('url', '')}")
