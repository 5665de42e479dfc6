"""Save a picture of a served map: ``python tools/screenshot.py http://127.0.0.1:8000/ OUT.png [--dark]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "serve"))

from devtools import Browser, find_chromium


def main() -> int:
    """Open the page, wait until the map rests, save the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--phone", action="store_true", help="as a phone shows it")
    parser.add_argument("--script", default="", help="JavaScript to run once the map rests, before the picture")
    parser.add_argument("--until", default="true", help="JavaScript that becomes true when the picture may be taken")
    parser.add_argument("--dark", action="store_true", help="as a system with dark colours shows it")
    arguments = parser.parse_args()
    if find_chromium() is None:
        print("screenshot: chromium is not installed; run tools/install_chromium.sh", file=sys.stderr)
        return 1
    with Browser(arguments.width, arguments.height, dark=arguments.dark) as browser:
        if arguments.phone:
            browser.resize(arguments.width, arguments.height, phone=True)
        browser.open(arguments.url)
        browser.wait("window.__ready === true", 60)
        if arguments.script:
            browser.evaluate(arguments.script)
        browser.wait(f"window.__ready === true && ({arguments.until})", 60)
        errors = browser.evaluate("window.__errors")
        if errors:
            print(f"screenshot: the page reports {errors}", file=sys.stderr)
            return 1
        browser.screenshot(arguments.out)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
