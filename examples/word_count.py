"""Word count: a librarian hands files to counters, survives what befalls them, and adds up.

The transport may lose the message that an agent crashed on, and a process that is killed answers
nothing more, so the librarian asks for each file and hands it out again when it is told that the
counter failed. A file counts when its answer comes, and only then: nothing is lost, and nothing
counts twice.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import re
import signal
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from civitas import AgentProcess, Message
from civitas.errors import AgentError, MessageRoutingError, OutcomeUnknownError

TEXT_FILES = {".md", ".txt", ".rst", ".text"}
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
TOP = 12
BREAK = 0.1
"""Seconds between two looks whether a counter is back."""
PATIENCE = 600.0
"""Seconds for a file, which may be large; that a counter has failed is heard at once."""


class InjectedCrashError(RuntimeError):
    """Raised on purpose, to show what supervision does about it."""


def count_words(text: str) -> collections.Counter[str]:
    """Return how often each word is in the text, whatever its case."""
    return collections.Counter(word.casefold() for word in WORD.findall(text))


def text_files(folder: Path) -> list[Path]:
    """Return the text files of a folder and of those below it, in order.

    Raises:
        FileNotFoundError: there is no such folder, or no text file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    files = sorted(path for path in folder.rglob("*") if path.suffix in TEXT_FILES)
    if not files:
        kinds = ", ".join(sorted(TEXT_FILES))
        raise FileNotFoundError(f"no text files ({kinds}) in folder {str(folder)!r}")
    return files


class Counter(AgentProcess):
    """Counts the words of one file a message."""

    async def handle(self, message: Message) -> Message | None:
        """Answer with the counts of the file, or leave when there is no more work."""
        if message.type == "no more work":
            self.stop()
            return None
        path = Path(message.payload["path"])
        text = await asyncio.to_thread(path.read_text, encoding="utf-8", errors="replace")
        fuse = message.payload["fuse"]
        if fuse == "process" and os.getpid() != message.payload["librarian"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if fuse:
            raise InjectedCrashError(f"in the middle of {path.name}")
        return self.reply({"words": dict(count_words(text))})


class Librarian(AgentProcess):
    """Hands out the files of a folder and adds up what comes back.

    Args:
        name: the agent's name.
        folder: where the text files are.
        counters: how many counters there are, called counter_1 and so on.
        report: file for the result as JSON; empty for none.
        crash_at: which file (from 1, or the last) crashes the counter that gets it; 0 for none.
        kill_at: which file kills the whole process of the counter that gets it; 0 for none.
            Where all agents share one process, it is one more crash.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        counters: int = 4,
        report: str = "",
        crash_at: int = 0,
        kill_at: int = 0,
    ) -> None:
        super().__init__(name)
        self.folder = Path(folder)
        self.counters = [f"counter_{number}" for number in range(1, counters + 1)]
        self.report = report
        self.fuses = {kill_at: "process", crash_at: "agent"}
        self.handed_out = 0
        self.counted: dict[Path, collections.Counter[str]] = {}
        self.files_of: collections.Counter[str] = collections.Counter()
        self.crashes_of: collections.Counter[str] = collections.Counter()
        self.away: collections.defaultdict[str, bool] = collections.defaultdict(bool)

    async def on_start(self) -> None:
        """Find the files; the work begins with the first message, when all agents are up."""
        self.waiting = deque(text_files(self.folder))
        self.total = len(self.waiting)
        self.fuses = {min(at, self.total): what for at, what in self.fuses.items() if at}
        await self.send(self.name, {}, "begin")

    async def handle(self, message: Message) -> None:
        """Do all the work, show it, and end the system."""
        with Journal(self.total) as journal:
            await asyncio.gather(*(self.keep_busy(name, journal) for name in self.counters))
        self.show()
        await asyncio.gather(*(self.dismiss(name) for name in self.counters))
        self.stop()

    async def keep_busy(self, counter: str, journal: Journal) -> None:
        """Ask one counter for file after file until all are counted."""
        while len(self.counted) < self.total:
            if not self.waiting:
                await asyncio.sleep(BREAK)  # another counter may give a file back
                continue
            path = self.waiting.popleft()
            try:
                reply = await self.ask(counter, self.order(path), timeout=PATIENCE)
            except AgentError as error:
                self.crashes_of[counter] += 1
                self.waiting.appendleft(path)
                journal.say(f"{counter} crashed {error.error_text}; the file is handed out again")
            except (MessageRoutingError, OutcomeUnknownError):  # a file may be counted twice
                self.waiting.appendleft(path)
                if not self.away[counter]:
                    self.crashes_of[counter] += 1
                    journal.say(f"the process of {counter} has gone; its file is handed out again")
                self.away[counter] = True
                await asyncio.sleep(BREAK)
            else:
                if self.away.pop(counter, False):
                    journal.say(f"{counter} is back")
                self.counted[path] = collections.Counter(reply.payload["words"])
                self.files_of[counter] += 1
                journal.advance()

    def order(self, path: Path) -> dict[str, Any]:
        """Return what a counter is told of a file; a fuse burns once."""
        self.handed_out += 1
        fuse = self.fuses.pop(self.handed_out, "")
        return {"path": str(path), "fuse": fuse, "librarian": os.getpid()}

    async def dismiss(self, counter: str) -> None:
        """Tell a counter that the work is done, also one whose process is still coming back."""
        while True:
            try:
                return await self.send(counter, {}, "no more work")
            except MessageRoutingError:
                await asyncio.sleep(BREAK)

    def show(self) -> None:
        """Print the result, and write it to the report."""
        words = sum(self.counted.values(), collections.Counter[str]())
        if self.report:
            Path(self.report).write_text(json.dumps(result(self.counted)), encoding="utf-8")
        console = Console()
        agents = Table("agent", _number("files"), _number("crashes"))
        for name in sorted(self.files_of | self.crashes_of):
            agents.add_row(name, str(self.files_of[name]), str(self.crashes_of[name]))
        top = Table("word", _number("times"))
        for word, times in words.most_common(TOP):
            top.add_row(word, f"{times:,}")
        console.print("\nWho did it:", agents, f"The {TOP} most frequent words:", top)
        console.print(
            f"{words.total():,} words in {len(self.counted):,} of {self.total:,} files "
            f"of {self.folder}, each counted once."
        )


def _number(heading: str) -> Column:
    return Column(heading, justify="right")


def result(counted: dict[Path, collections.Counter[str]]) -> dict[str, Any]:
    """Return what the report holds."""
    words = sum(counted.values(), collections.Counter[str]())
    return {
        "files": {str(path): counts.total() for path, counts in sorted(counted.items())},
        "words": dict(sorted(words.items())),
    }


class Journal:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self.console = Console(stderr=True)
        self.total = total
        self.done = 0
        self.bar = Progress(
            TextColumn("counting"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("files", total=total)

    def __enter__(self) -> Journal:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False)

    def advance(self) -> None:
        """Count one file more."""
        self.done += 1
        self.bar.advance(self.task)
        step = max(self.total // 10, 1)
        if self.bar.disable and (self.done % step == 0 or self.done == self.total):
            self.say(f"counted {self.done} of {self.total} files")
