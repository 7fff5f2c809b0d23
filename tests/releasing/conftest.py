"""A workspace that is ready for its first release."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.workspaces import TABLE, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace where all is ready for the first release."""
    made = Workspace(tmp_path / "workspace")
    made.root.mkdir()
    made.git("init", "--quiet")
    made.write("civitas", "0.1.0", "civitas-core>=0.1,<0.2")
    made.write("civitas-core", "0.1.0")
    made.write("civitas-pigeon", "0.1.0", "civitas-core>=0.1,<0.2")
    made.report("0.1.0", "0.1.0")
    made.report("0.1.0", "0.1.0", "civitas-core", plugin="in_process")
    (made.root / "docs").mkdir()
    (made.root / "docs/compatibility.md").write_text(TABLE)
    (made.root / ".gitignore").write_text("dist/\n")
    made.commit()
    return made
