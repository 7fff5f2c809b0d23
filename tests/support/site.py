"""A built documentation site as a reader's browser has it: what pages load, say and lead to."""

from __future__ import annotations

import posixpath
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LOADED_BY: Final = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "object": ("data",),
    "embed": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
_SHOWN_ANYWHERE: Final = "404.html"
"""A server shows it in place of any page, so its links begin at the root of the site."""

_NOT_LOADED: Final = ("canonical", "prev", "next")


class Page(HTMLParser):
    """One page: what a browser loads for it, where its links lead, and the anchors that it has."""

    def __init__(self, file: Path, site: Path) -> None:
        super().__init__()
        self.path = file.relative_to(site).as_posix()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.mermaid = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.mermaid |= "mermaid" in (values.get("class") or "").split()
        self.anchors |= {values[name] or "" for name in ("id", "name") if name in values}
        if tag in ("a", "area") and values.get("href"):
            self.links.append(values["href"] or "")
        if tag == "form" and values.get("action"):
            self.links.append(values["action"] or "")
        if tag == "link" and values.get("rel") in _NOT_LOADED:
            self.links.append(values.get("href") or "")
        else:
            self.loads += [
                values[name] or "" for name in _LOADED_BY.get(tag, ()) if values.get(name)
            ]
        self.loads += re.findall(r"url\(['\"]?(.*?)['\"]?\)", values.get("style") or "")


class Site:
    """All pages of a built site, by their paths within it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {
            page.path: page for page in (Page(file, folder) for file in folder.rglob("*.html"))
        }

    def broken(self, page: Page, target: str) -> str:
        """Return what is wrong with a target within the site; nothing if it leads somewhere."""
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            return ""
        path = page.path
        if parts.path:
            target_path = unquote(parts.path)
            if page.path == _SHOWN_ANYWHERE:
                target_path = target_path.removeprefix("/")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target_path))
        if not (self.folder / path).is_file():
            return f"{page.path}: {target}: there is no such file"
        anchor = unquote(parts.fragment)
        if anchor and path in self.pages and anchor not in self.pages[path].anchors:
            return f"{page.path}: {target}: there is no such anchor"
        return ""

    def documented(self) -> set[str]:
        """Return the full names that the API reference describes, from its inventory."""
        inventory = (self.folder / "objects.inv").read_bytes()
        listed = zlib.decompress(inventory.split(b"\n", 4)[4]).decode()
        return {line.partition(" ")[0] for line in listed.splitlines()}


def elsewhere(url: str) -> bool:
    """Return whether a URL names a host."""
    return bool(urlsplit(url).netloc)
