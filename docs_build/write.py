"""`make docs-text`: writes the generated parts of all pages into the pages.

A test sees that the pages have what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs_build.reference.contents import reference
from docs_build.reference.workspace import ROOT

DOCS: Final = ROOT / "docs"


def outdated() -> Iterator[tuple[Path, str]]:
    """Give each page whose generated parts are not those of today, with the text that it needs."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        wanted = reference().written(text)
        if text != wanted:
            yield page, wanted


def main() -> None:
    """Write the pages that are outdated, and name them."""
    for page, wanted in outdated():
        page.write_text(wanted, encoding="utf-8")
        sys.stdout.write(f"written: {page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
