"""Start-up: what it costs to import, to show help, and to get a topology running."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import civitas
from benchmarks.harness import Row, paired

CIVITAS = Path(sys.executable).with_name("civitas")
LIBRARIES = "import asyncio, pluggy, importlib_metadata, msgpack, yaml"
# pydantic is lazy: `import pydantic` alone loads next to nothing of what every model needs.
ALL_LIBRARIES = LIBRARIES + ", typer, rich; from pydantic import BaseModel"

TYPER_APP = """
import typer
app = typer.Typer()

@app.command()
def one() -> None: ...

@app.command()
def two() -> None: ...

app()
"""

READY = """
import os
from civitas import AgentProcess

class Ready(AgentProcess):
    async def on_start(self):
        self.stop()
"""

TOPOLOGY = """
transport: {type: in_process}
supervision:
  name: root
  children:
    - agent: {name: ready, type: ready.Ready}
"""


def _timed(arguments: list[str], cwd: str | None = None) -> float:
    """Run a command to its end and return the milliseconds; it must succeed."""
    began = perf_counter()
    subprocess.run(arguments, check=True, capture_output=True, cwd=cwd, env=os.environ)
    return (perf_counter() - began) * 1e3


def _python(code: str) -> float:
    return _timed([sys.executable, "-c", code])


def rows() -> list[Row]:
    """Measure `import civitas`, `civitas --help` and `civitas run`, each as a whole process.

    A run's agent stops in its `on_start`, so the run ends as soon as it is ready.
    """
    # Third-party packages were compiled when they were installed; ours may be an editable one.
    compileall.compile_dir(Path(civitas.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "typer_app.py").write_text(TYPER_APP)
        (here / "ready.py").write_text(READY)
        (here / "topology.yaml").write_text(TOPOLOGY)
        return [
            paired(
                "import civitas",
                "ms",
                lambda: _python(LIBRARIES),
                lambda: _python("import civitas"),
                1.35,
            ),
            paired(
                "import of every public name",
                "ms",
                lambda: _python(LIBRARIES),
                lambda: _python("from civitas import *"),
                1.35,
            ),
            paired(
                "civitas --help",
                "ms",
                lambda: _timed([sys.executable, "typer_app.py", "--help"], folder),
                lambda: _timed([str(CIVITAS), "--help"]),
                1.4,
            ),
            paired(
                "civitas run until ready",
                "ms",
                lambda: _python(ALL_LIBRARIES),
                lambda: _timed([str(CIVITAS), "run"], folder),
                1.4,
            ),
        ]
