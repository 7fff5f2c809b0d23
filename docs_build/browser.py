"""A headless Chromium that is told what to do over pipes, in its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
DEADLINE: Final = 30.0
"""Seconds for one answer of the browser."""


class BrowserError(Exception):
    """The browser is not there, does not answer, or refuses what it is told."""


def find() -> str:
    """Return the path of an installed browser.

    Raises:
        BrowserError: there is none.
    """
    found = (shutil.which(name) for name in NAMES)
    path = next((each for each in found if each), None)
    if path is None:
        raise BrowserError(f"no browser is installed: one of {', '.join(NAMES)} is needed")
    return path


class Browser:
    """One page of a browser.

    Args:
        write: file descriptor of the pipe that the browser reads commands from.
        read: file descriptor of the pipe that it writes answers and events to.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write = write
        self._read = read
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        """What the browser has told unasked since `open`, with `method` and `params`."""

    def attach(self) -> None:
        """Open an empty page, and talk to it from now on."""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        session = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its result.

        Raises:
            BrowserError: the browser refuses it, or does not answer in time.
        """
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        answer = self._until(lambda message: message.get("id") == number, method)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """Load a page, and wait until everything that it asks for is there."""
        self.events.clear()
        self.do("Page.navigate", url=url)
        if not any(each["method"] == "Page.loadEventFired" for each in self.events):
            self._until(lambda message: message.get("method") == "Page.loadEventFired", url)

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, and return the value of its last expression."""
        done = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise BrowserError(str(done["exceptionDetails"]))
        return done["result"].get("value")

    def _until(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Read messages up to the one that is wanted; keep the events among them."""
        deadline = time.monotonic() + DEADLINE
        while True:
            line, found, rest = self._buffer.partition(b"\0")
            if found:
                self._buffer = rest
                message: dict[str, Any] = json.loads(line)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
                continue
            ready, _, _ = select.select([self._read], [], [], deadline - time.monotonic())
            received = os.read(self._read, 1 << 20) if ready else b""
            if not received:
                raise BrowserError(f"{what}: the browser does not answer")
            self._buffer += received


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser while the block lasts.

    Raises:
        BrowserError: none is installed.
    """
    path = find()
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # Its helpers may still write into the profile when it has ended itself.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            path,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        # The browser expects its pipes at descriptors 3 and 4.
        place = f'exec "$@" 3<&{command_read} 4>&{answer_write}'
        process = subprocess.Popen(
            ["bash", "-c", place, "bash", *arguments],
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        made = Browser(command_write, answer_read)
        try:
            made.attach()
            yield made
        finally:
            process.terminate()
            process.wait()
            os.close(command_write)
            os.close(answer_read)
