"""`make docs-look`: opens every page of the built site in a browser, and says what looks wrong.

Each page is opened as on a phone and as on a desk, in light and in dark. A page that is wider than
its window, text that can hardly be told from what is behind it, a request to another host, a file
that does not load, or an error of a script: each is told, and the exit code is 1. With `--pictures`
it leaves screenshots of all pages for people to look at.
"""

from __future__ import annotations

import argparse
import base64
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from docs_build.browser import Browser, BrowserError, browser

WINDOWS: Final = {"phone": (390, 844), "desk": (1280, 900)}
SCHEMES: Final = ("light", "dark")
LEAST_CONTRAST: Final = 4.5
"""Ratio of text to what is behind it (WCAG 2.1, 1.4.3, for large text)."""

TALLEST: Final = 12_000
"""Pixels of a page that a picture shows at most."""

_MEASURE: Final = (Path(__file__).parent / "measure.js").read_text(encoding="utf-8")


def look(site: Path, pictures: Path | None) -> Iterator[str]:
    """Give what is wrong with the pages of a site, one sentence each.

    Args:
        site: folder of the built site.
        pictures: folder for screenshots; None for none.
    """
    pages = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    with served(site) as address, browser() as window:
        for size, (width, height) in WINDOWS.items():
            window.do(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=size == "phone",
            )
            for scheme in SCHEMES:
                feature = {"name": "prefers-color-scheme", "value": scheme}
                window.do("Emulation.setEmulatedMedia", features=[feature])
                for name in pages:
                    for wrong in _judge(window, address, name, scheme):
                        yield f"{name}, {size}, {scheme}: {wrong}"
                    if pictures is not None:
                        file = f"{name.replace('/', '-').removesuffix('.html')}-{size}-{scheme}.png"
                        _photograph(window, pictures / file, width)


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface while the block lasts, and give its address."""
    handler = partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no log of it."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what does not load is told by the browser."""


def _judge(window: Browser, address: str, name: str, scheme: str) -> Iterator[str]:
    """Open a page, and give what is wrong with it."""
    window.open(address + name)
    measured: dict[str, Any] = window.run(f"({_MEASURE})({LEAST_CONTRAST})")
    if measured["width"] > measured["window"]:
        yield (
            f"{measured['width']} pixels wide in a window of {measured['window']}:"
            f" {', '.join(measured['wide'])}"
        )
    if measured["dark"] != (scheme == "dark"):
        yield "it does not follow the colour scheme of the system"
    for text in measured["faint"]:
        yield f"hard to read: {text}"
    for event in window.events:
        details = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            url = details["request"]["url"]
            if not url.startswith((address, "data:", "blob:")):
                yield f"asks for {url}"
        elif event["method"] == "Network.responseReceived":
            response = details["response"]
            if response["status"] >= 400:
                yield f"{response['url']} does not load: {response['status']}"
        elif event["method"] == "Network.loadingFailed":
            yield f"a file does not load: {details.get('errorText')}"
        elif event["method"] == "Runtime.exceptionThrown":
            yield f"a script fails: {details['exceptionDetails'].get('text')}"


def _photograph(window: Browser, file: Path, width: int) -> None:
    height = min(int(window.run("document.documentElement.scrollHeight")), TALLEST)
    area = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = window.do("Page.captureScreenshot", format="png", clip=area, captureBeyondViewport=True)
    file.write_bytes(base64.b64decode(taken["data"]))


def main() -> int:
    """Look at a site as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    arguments = parser.parse_args()
    if not (arguments.site / "index.html").is_file():
        parser.error(f"there is no site in {arguments.site}: make docs builds it")
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    try:
        wrong = list(look(arguments.site, arguments.pictures))
    except BrowserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("".join(f"{each}\n" for each in wrong) or "every page looks right\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
