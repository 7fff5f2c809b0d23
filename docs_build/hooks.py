"""What mkdocs calls while it builds the site: generated parts are put into the pages.

A part that a page asks for and that does not exist ends the build, and so does one that no page
asks for.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError

sys.path.append(str(Path(__file__).parents[1]))  # mkdocs knows this file alone

from docs_build.diagrams import inlined
from docs_build.reference.contents import reference
from docs_build.reference.markers import MarkerError

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return a page's text with its generated parts and its diagrams."""
    try:
        text = reference().filled(markdown)
    except MarkerError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
    return inlined(text, Path(page.file.abs_src_path or "").parent)


def on_files(files: Files, **_: object) -> Files:
    """See that the pages together show all that they must."""
    try:
        missing = reference().missing(file.content_string for file in files.documentation_pages())
    except MarkerError:
        return files  # the page itself will say it, with its name
    if missing:
        asked = "\n".join(f"  <!-- generated: {name} -->" for name in missing)
        raise PluginError(f"no page shows what these parts would:\n{asked}")
    return files
