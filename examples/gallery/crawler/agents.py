"""A crawler: one request at a time and a pause for each host; its fetchers may be killed."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections import defaultdict
from time import monotonic
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit
from zlib import crc32

from civitas import AgentProcess, CivitasError, Message

SITE = {
    "demo://news/": "demo://news/today demo://news/sports demo://shop/",
    "demo://news/today": "demo://news/ demo://wiki/tea",
    "demo://news/sports": "demo://news/yesterday",
    "demo://shop/": "demo://shop/tea demo://shop/cups",
    "demo://shop/tea": "demo://wiki/tea demo://shop/",
    "demo://shop/cups": "demo://elsewhere/",
    "demo://wiki/": "demo://wiki/tea",
    "demo://wiki/tea": "demo://wiki/water",
    "demo://wiki/water": "demo://wiki/",
}
"""A web of three hosts, for those who have none: the links of each page. One leads nowhere."""
REQUEST_SECONDS = 10.0  # how long a host may be silent
ANSWER_SECONDS = 60.0  # how long a fetcher may take, its pauses included
MOST_BYTES = 1_000_000  # how much of a page is read


def host_of(url: str) -> str:
    """Return the host of a URL, with its port."""
    return urlsplit(url).netloc


def read(url: str) -> str:
    """Return a page of the real web. This blocks, so it runs in a thread."""
    with urllib.request.urlopen(url, timeout=REQUEST_SECONDS) as response:
        text: bytes = response.read(MOST_BYTES)
    return text.decode("utf-8", "replace")


async def fetch(url: str) -> list[str]:
    """Return the links of a page; raise OSError when the page can't be had."""
    if url.startswith(("http://", "https://")):
        text = await asyncio.to_thread(read, url)
        links = (urljoin(url, link) for link in re.findall(r'<a [^>]*href="([^"]+)"', text))
        return [urldefrag(link).url for link in links]
    await asyncio.sleep(0.05)  # as a network does
    if url not in SITE:
        raise FileNotFoundError("404: there is no such page")
    return SITE[url].split()


class Crawler(AgentProcess):
    """Knows which pages are to be fetched, and has them fetched host by host.

    Args:
        name: the agent's name.
        start: URLs of the first pages. Links to other hosts are not followed.
        fetchers: names of agents that fetch. One of them has all the pages of a host.
        most: how many pages it takes.
        tries: how often it asks for a page.
    """

    def __init__(
        self, name: str, start: list[str], fetchers: list[str], most: int = 1000, tries: int = 6
    ) -> None:
        super().__init__(name)
        self.start, self.fetchers, self.most, self.tries = start, fetchers, most, tries
        self.queues: dict[str, asyncio.Queue[str]] = {}
        self.known: set[str] = set()
        self.fetched: set[str] = set()
        self.failed: dict[str, str] = {}

    async def on_start(self) -> None:
        """Begin with the first pages, each host in a task of its own."""
        self.queues = {host_of(url): asyncio.Queue() for url in self.start}
        self.take(self.start)
        for host in self.queues:
            self.background(self.crawl(host), name=f"crawl {host}")

    async def handle(self, message: Message) -> Message:
        """Tell how far it is."""
        waiting = len(self.known) - len(self.fetched) - len(self.failed)
        return self.reply({"fetched": len(self.fetched), "failed": self.failed, "waiting": waiting})

    def take(self, urls: list[str]) -> None:
        """Queue the pages that are new, and on a host that is crawled."""
        for url in urls:
            queue = self.queues.get(host_of(url))
            if queue is not None and url not in self.known and len(self.known) < self.most:
                self.known.add(url)
                queue.put_nowait(url)

    async def crawl(self, host: str) -> None:
        """Have the pages of one host fetched, one after another."""
        fetcher = self.fetchers[crc32(host.encode()) % len(self.fetchers)]
        while True:
            url = await self.queues[host].get()
            answer = await self.ask_for(url, fetcher)
            if "error" in answer:
                self.failed[url] = answer["error"]
            else:
                self.fetched.add(url)
                self.take(answer["links"])
            print(f"{url}: {answer.get('error', 'fetched')}", flush=True)

    async def ask_for(self, url: str, fetcher: str) -> dict[str, Any]:
        """Ask a fetcher for a page; again, and later each time, when the fetcher has failed."""
        for attempt in range(self.tries):
            try:
                return (await self.ask(fetcher, {"url": url}, timeout=ANSWER_SECONDS)).payload
            except (CivitasError, TimeoutError) as error:
                print(f"{url}: {fetcher} has failed ({type(error).__name__})", flush=True)
                await asyncio.sleep(2**attempt)
        return {"error": f"{fetcher} has failed {self.tries} times"}


class Fetcher(AgentProcess):
    """Fetches pages: of each host one at a time, with a pause between two.

    A fresh object can't know when the one before it has asked a host, so it begins with a pause.
    `pause` is in seconds.
    """

    def __init__(self, name: str, pause: float = 0.5) -> None:
        super().__init__(name, concurrency=10)
        self.pause = pause
        self.hosts: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def on_start(self) -> None:
        """Let each host have its pause from now on."""
        first = monotonic() + self.pause
        self.may_ask: defaultdict[str, float] = defaultdict(lambda: first)

    async def handle(self, message: Message) -> Message:
        """Fetch a page, and answer with its links, or with an error."""
        host = host_of(url := message.payload["url"])
        async with self.hosts[host]:
            await asyncio.sleep(self.may_ask[host] - monotonic())
            try:
                return self.reply({"links": await fetch(url)})
            except OSError as error:
                return self.reply({"error": str(error)})
            finally:
                self.may_ask[host] = monotonic() + self.pause
