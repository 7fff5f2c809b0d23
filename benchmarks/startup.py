"""Start-up: what it costs to import, to show help, and to get a topology running."""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

import civitas
from benchmarks.harness import Effort, Row, Spread, one, pair

CIVITAS: Final = Path(sys.executable).with_name("civitas")
PATIENCE: Final = 60.0
ROOT: Final = Path(__file__).parents[1]

LIBRARIES: Final = "import asyncio, pluggy, importlib_metadata, msgpack, yaml"
# pydantic is lazy: `import pydantic` alone loads next to nothing of what every model needs.
ALL_LIBRARIES: Final = LIBRARIES + ", typer, rich; from pydantic import BaseModel"

TYPER_APP: Final = """
import typer
app = typer.Typer()

@app.command()
def one() -> None: ...

@app.command()
def two() -> None: ...

app()
"""

READY: Final = """
import os
from civitas import AgentProcess

class Ready(AgentProcess):
    async def on_start(self):
        self.stop()
"""

TOPOLOGY: Final = """
transport: {type: in_process}
supervision:
  name: root
  children:
    - agent: {name: ready, type: ready.Ready}
"""

MANY: Final = 5_000


def _timed(arguments: list[str], cwd: str | None = None) -> float:
    """Run a command to its end and return the milliseconds; it must succeed."""
    began = perf_counter()
    subprocess.run(arguments, check=True, capture_output=True, cwd=cwd, env=os.environ)
    return (perf_counter() - began) * 1e3


def _python(code: str) -> float:
    return _timed([sys.executable, "-c", code])


@contextmanager
def until_running(topology: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a topology; yield the process when its agents run, and end it after that."""
    with subprocess.Popen(
        [str(CIVITAS), "run", str(topology), "--app-dir", str(ROOT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if line.startswith("running: "):
                    break
            else:
                raise RuntimeError(f"the topology does not run:\n{''.join(said)}")
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def rows(effort: Effort) -> Iterator[Row]:
    """Measure `import civitas`, `civitas --help` and `civitas run`, each as a whole process.

    A run's agent stops in its `on_start`, so the run ends as soon as it is ready.
    """
    # Third-party packages were compiled when they were installed; ours may be an editable one.
    compileall.compile_dir(Path(civitas.__file__).parent, quiet=1)
    libraries = one(lambda: _python(LIBRARIES))
    floor_is = "an import of core's libraries"
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "typer_app.py").write_text(TYPER_APP)
        (here / "ready.py").write_text(READY)
        (here / "topology.yaml").write_text(TOPOLOGY)
        for pairing in (
            pair(
                "import civitas",
                "ms",
                floor_is,
                libraries,
                one(lambda: _python("import civitas")),
                0.25,
            ),
            pair(
                "import of every public name",
                "ms",
                floor_is,
                libraries,
                one(lambda: _python("from civitas import *")),
                1.35,
            ),
            pair(
                "civitas --help",
                "ms",
                "an app of typer with two commands",
                one(lambda: _timed([sys.executable, "typer_app.py", "--help"], folder)),
                one(lambda: _timed([str(CIVITAS), "--help"])),
                1.2,
            ),
            pair(
                "civitas run until ready",
                "ms",
                "an import of core's libraries, typer, rich and pydantic",
                one(lambda: _python(ALL_LIBRARIES)),
                one(lambda: _timed([str(CIVITAS), "run"], folder)),
                1.25,
            ),
        ):
            yield from pairing.rows(effort)
        yield _large_topology(effort, here)


def _large_topology(effort: Effort, folder: Path) -> Row:
    """Measure what thousands of agents add to the start of a topology."""
    files = {}
    for agents in (1, effort.count(MANY)):
        children = "".join(
            f"    - agent: {{name: agent_{number}, type: benchmarks.agents.Idle}}\n"
            for number in range(agents)
        )
        files[agents] = folder / f"{agents}.yaml"
        files[agents].write_text(f"supervision:\n  name: root\n  children:\n{children}")

    def seconds(file: Path) -> float:
        began = perf_counter()
        with until_running(file):
            return perf_counter() - began

    one_agent, many = files.values()
    more = [seconds(many) - seconds(one_agent) for _ in range(effort.rounds)]
    return Row(
        f"run of a topology of {MANY:,} agents until ready: more than for one",
        "s",
        Spread.of(more),
        target=0.4,
    )
