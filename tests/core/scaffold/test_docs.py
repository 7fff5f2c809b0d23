"""What the page for authors shows of the scaffold is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import pages


@pytest.mark.slow
def test_the_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    text = (pages.DOCS / "plugins.md").read_text(encoding="utf-8")
    section = text.split("### Start from a scaffold\n")[1].split("\n### ")[0]
    assert [block.language for block in pages.blocks(section)] == ["console"]
    pages.run(section, tmp_path)
    for name in ("wire.py", "options.py", "plugin.py", "stub.py"):
        assert f"`{name}`" in section
        assert (tmp_path / "civitas-pigeon/src/civitas_pigeon" / name).is_file()
