"""Map-reduce over files: which errors do these logs have, and how often?

A reducer hands files to mappers, one at a time to each, and adds up what comes back. It asks, and
a file counts when its answer is there. So a mapper may crash, or go with its process: the file is
then handed out again, and none counts twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from pathlib import Path

from civitas import AgentProcess, CivitasError, ErrorAction, Message

MARK = " ERROR "


def errors_of(file: Path) -> Counter[str]:
    """Map: return how often each error is in a log. It blocks, so it runs in a thread."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        return Counter(line.partition(MARK)[2].strip() for line in lines if MARK in line)


def logs_in(folder: str) -> list[Path]:
    """Return the logs of a folder, in order."""
    return sorted(Path(folder).glob("*.log"))


class Job:
    """One question: which files are left, and what has come of the others.

    Args:
        files: what there is to do.
        tries: how often a file is handed out.
    """

    def __init__(self, files: list[Path], tries: int) -> None:
        self.waiting = deque(files)
        self.left = len(files)
        self.tries = dict.fromkeys(files, tries)
        self.found: Counter[str] = Counter()
        self.failed: dict[str, str] = {}
        self.news = asyncio.Condition()

    async def next_file(self) -> Path | None:
        """Return a file that nobody has, or None when all are done.

        A mapper without a file waits: another one may give one back.
        """
        async with self.news:
            await self.news.wait_for(lambda: self.waiting or not self.left)
            return self.waiting.popleft() if self.waiting else None

    async def done(self, found: dict[str, int]) -> None:
        """Reduce: add what was found in a file."""
        async with self.news:
            self.found.update(found)
            self.left -= 1
            self.news.notify_all()

    async def give_back(self, file: Path, reason: str) -> None:
        """Hand a file out again, or give it up when that was its last try."""
        async with self.news:
            self.tries[file] -= 1
            if self.tries[file]:
                self.waiting.append(file)
            else:
                self.failed[file.name] = reason
                self.left -= 1
            self.news.notify_all()


class Reducer(AgentProcess):
    """Answers what errors the logs of a folder have.

    Args:
        name: the agent's name.
        mappers: names of the agents that read files.
        tries: how often a file is handed out before the answer names it as failed.
        file_timeout: seconds that a mapper has for a file.
        pause: seconds without work for a mapper that has failed.
    """

    def __init__(
        self,
        name: str,
        mappers: list[str],
        tries: int = 10,
        file_timeout: float = 10.0,
        pause: float = 1.0,
    ) -> None:
        super().__init__(name, concurrency=4)  # four questions at once
        self.mappers = mappers
        self.tries = tries
        self.file_timeout = file_timeout
        self.pause = pause

    async def handle(self, message: Message) -> Message:
        """Have all files read, and answer with the sums."""
        folder = message.payload["folder"]
        files = await asyncio.to_thread(logs_in, folder)
        if not files:
            raise FileNotFoundError(f"no logs in {folder}")
        job = Job(files, self.tries)
        await asyncio.gather(*(self.keep_busy(mapper, job) for mapper in self.mappers))
        errors = dict(job.found.most_common())
        return self.reply({"files": len(files), "errors": errors, "failed": job.failed})

    async def keep_busy(self, mapper: str, job: Job) -> None:
        """Hand one mapper file after file until all are done."""
        while file := await job.next_file():
            try:
                answer = await self.ask(mapper, {"file": str(file)}, timeout=self.file_timeout)
            except (CivitasError, TimeoutError) as error:
                print(f"{mapper} has failed with {file.name}: {type(error).__name__}", flush=True)
                await job.give_back(file, str(error))
                await asyncio.sleep(self.pause)
            else:
                await job.done(answer.payload["errors"])

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Refuse a question that makes no sense."""
        if isinstance(error, KeyError | TypeError | OSError):
            return ErrorAction.SKIP
        return ErrorAction.ESCALATE


class Mapper(AgentProcess):
    """Reads a file, and answers with its errors."""

    async def handle(self, message: Message) -> Message:
        """Map one file."""
        found = await asyncio.to_thread(errors_of, Path(message.payload["file"]))
        return self.reply({"errors": dict(found)})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Go on after a file that can't be read: who asked gets the error."""
        return ErrorAction.SKIP if isinstance(error, OSError) else ErrorAction.ESCALATE
