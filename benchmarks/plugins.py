"""What installed plugins that nobody names add to a start: so many microseconds for each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.harness import Effort, Row, Spread

CIVITAS: Final = Path(sys.executable).with_name("civitas")
COUNTS: Final = (100, 400)
ROUNDS: Final = 15

# As long as that of a usual package: its description is the README.
METADATA = "Metadata-Version: 2.4\nName: bench-{name}\nVersion: 1.0\nSummary: Not used\n"
README = "\n" + "A line of a README, as long as such lines are, one of a hundred.\n" * 100

PLUGIN = """
from civitas.plugins import TransportSpec, hookimpl
from civitas.transport import InProcessTransport

@hookimpl
def civitas_transports():
    yield TransportSpec("named", "Is named", lambda options, context: InProcessTransport(context))
"""

READY = """
from civitas import AgentProcess

class Ready(AgentProcess):
    async def on_start(self):
        self.stop()
"""

TREE = "supervision: {name: root, children: [{agent: {name: ready, type: ready.Ready}}]}\n"


def _install(site: Path, name: str) -> None:
    """Write what the installation of a plugin leaves behind, without a module to import."""
    folder = site / f"bench_{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(METADATA.format(name=name) + README)
    (folder / "RECORD").write_text("")
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\n")
    points = f"[civitas.v1.transports]\n{name} = bench_{name}\n"
    (folder / "entry_points.txt").write_text(points)


def _prepare(here: Path) -> None:
    (here / "ready.py").write_text(READY)
    (here / "in_process.yaml").write_text("transport: {type: in_process}\n" + TREE)
    (here / "named.yaml").write_text("transport: {type: named}\n" + TREE)
    for count in (0, *COUNTS):
        site = here / str(count)
        _install(site, "named")
        (site / "bench_named.py").write_text(PLUGIN)
        for number in range(count):
            _install(site, f"idle{number:03}")


def _timed(here: Path, count: int, *arguments: str) -> float:
    """Run a command to its end, where so many idle plugins are installed; return microseconds."""
    environment = {**os.environ, "PYTHONPATH": str(here / str(count))}
    began = perf_counter()
    subprocess.run(
        [str(CIVITAS), *arguments], check=True, capture_output=True, cwd=here, env=environment
    )
    return (perf_counter() - began) * 1e6


def rows(effort: Effort) -> Iterator[Row]:
    """Measure whole commands with and without idle plugins, in turn.

    A built-in is found without a look at what is installed, but pydantic looks once for plugins of
    its own. A plugin that is named takes one scan of the metadata more. A list, which has a line
    for each, is not a start and has a target of its own.
    """
    commands = {
        "civitas run, in_process": (("run", "in_process.yaml"), 100.0),
        "civitas run, a plugin": (("run", "named.yaml"), 100.0),
        "civitas plugins list": (("plugins", "list"), 250.0),
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        _prepare(here)
        for work, (arguments, target) in commands.items():
            yield from _added(effort.of(ROUNDS), here, work, arguments, target)


def _added(
    effort: Effort, here: Path, work: str, arguments: Sequence[str], target: float
) -> Iterator[Row]:
    """Measure what each plugin adds: the median over rounds, so that one is no matter in which
    something else ran.
    """
    counts = (0, *COUNTS)
    for count in counts:
        _timed(here, count, *arguments)
    rounds = [
        {count: _timed(here, count, *arguments) for count in counts} for _ in range(effort.rounds)
    ]
    for count in counts:
        times = Spread.of([each[count] / 1e3 for each in rounds])
        yield Row(f"{work}: {count} idle plugins", "ms", times, key=work, at=count)
    for count in COUNTS:
        each = Spread.of([(times[count] - times[0]) / count for times in rounds])
        yield Row(f"{work}: each of {count} idle plugins adds", "us", each, target=target)
