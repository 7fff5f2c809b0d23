"""A researcher in one process asks an archive in another for lines about a question."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

from civitas import AgentProcess, Message

MOST = 3
WORD = re.compile(r"[^\W\d_]{4,}")


class Archive(AgentProcess):
    """Finds lines in the text files of a folder.

    Args:
        name: the agent's name.
        folder: where the files are.
    """

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self.folder = Path(folder)

    async def handle(self, message: Message) -> Message:
        """Answer with the lines that contain the most of the words."""
        return self.reply({"lines": await asyncio.to_thread(self.find, message.payload["words"])})

    def find(self, words: list[str]) -> list[dict[str, str]]:
        """Return the lines that contain the most of the words, each with its place."""
        wanted = set(words)
        hits: Counter[tuple[str, str]] = Counter()
        for path in sorted(self.folder.rglob("*.md")):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                found = wanted & {word.casefold() for word in WORD.findall(line)}
                if found:
                    hits[f"{path}:{number}", line.strip()] = len(found)
        return [{"place": place, "line": line} for (place, line), _ in hits.most_common(MOST)]


class Researcher(AgentProcess):
    """Answers questions from what the archive finds."""

    async def handle(self, message: Message) -> Message:
        """Ask the archive for the question's words and answer with what it found."""
        words = sorted({word.casefold() for word in WORD.findall(message.payload["question"])})
        reply = await self.ask("archive", {"words": words})
        return self.reply({"question": message.payload["question"], **reply.payload})
