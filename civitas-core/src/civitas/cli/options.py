"""Arguments and options that several commands share, and the topology that they select."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from civitas.cli.output import hide
from civitas.cli.paths import all_at_home, at_home, module_folder

if TYPE_CHECKING:
    from civitas.topology import Topology

_DEFAULT_TOPOLOGY: Final = "topology.yaml"
_topology_option = partial(typer.Option, "--topology", "-t", metavar="FILE", callback=at_home)


def seconds(help_text: str, at_least: float = 0.001, at_most: float | None = None) -> Any:
    """Return an option that is a time."""
    return typer.Option(metavar="SECONDS", min=at_least, max=at_most, help=help_text)


TopologyArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="TOPOLOGY",
        help="The topology file.",
        show_default=_DEFAULT_TOPOLOGY,
        callback=at_home,
    ),
]
TopologyOption = Annotated[Path | None, _topology_option(help="The same, as an option.")]
RunningTopology = Annotated[
    Path | None,
    _topology_option(
        help="The topology of the running system, for its transport.",
        show_default=_DEFAULT_TOPOLOGY,
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Lay this file over the topology. Repeatable, in order.",
        callback=all_at_home,
    ),
]
TransportType = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="TYPE",
        help="Replace the whole transport block by this type. Before it: CIVITAS_TRANSPORT.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=YAML",
        help="Set one value, such as send_timeout=5. Repeatable. Before it: the lines of "
        "CIVITAS_SET.",
    ),
]
Health = Annotated[
    str | None,
    typer.Option(
        "--health",
        metavar="[HOST:]PORT",
        help="Answer probes and scrapers at this address, over HTTP; port 0 is any free one.",
    ),
]
ProcessShare = Annotated[
    str | None,
    typer.Option(
        "--process", metavar="NAME", help="Import and judge the agents of this process alone."
    ),
]
AppDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder from which agent classes are imported.",
        callback=module_folder,
    ),
]
NoImport = Annotated[
    bool,
    typer.Option("--no-import", help="Run no code of the topology's: import no class, no plugin."),
]
LogLevel = Annotated[
    str, typer.Option(metavar="LEVEL", help="debug (with tracebacks), info, warning or error.")
]
LogFormat = Annotated[
    str, typer.Option(metavar="FORMAT", help="text; or json, one object a line, for programs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class TopologyInput(NamedTuple):
    """The topology that a command was given: its file, and what changes it."""

    file: Path
    overlays: Sequence[Path]
    transport: str | None
    sets: Sequence[str]
    health: str | None = None

    def load(
        self,
        app_dir: Path | None = None,
        *,
        processes: Collection[str] | None = None,
        no_import: bool = False,
    ) -> Topology:
        """Read and check the topology; hide its secrets.

        Args:
            app_dir: where classes of agents are imported from; without it, none is.
            processes: those whose agents are imported and judged; `None`: all.
            no_import: whether to import no plugin either.
        """
        from civitas.process import AgentProcess
        from civitas.topology import load_topology

        topology = load_topology(
            self.file,
            agent_base=AgentProcess,
            overlays=self.overlays,
            transport=self.transport,
            sets=self.sets,
            health=self.health,
            app_dir=app_dir,
            processes=() if app_dir is None else processes,
            import_classes=not no_import,
            import_plugins=not no_import,
        )
        hide(topology.secrets)
        return topology


def chosen(
    argument: Path | None,
    option: Path | None,
    overlays: Sequence[Path] | None,
    transport: str | None,
    sets: Sequence[str] | None,
) -> TopologyInput:
    """Return the topology that a command was given, its file by its argument or its option."""
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(
            f"two topologies were given: {str(argument)!r} and {str(option)!r}"
        )
    file = argument or option or Path(_DEFAULT_TOPOLOGY)
    return TopologyInput(file, overlays or (), transport, sets or ())


def crosses_processes(topology: Topology) -> bool:
    """Return whether the topology's transport reaches other processes."""
    from civitas.plugins.loader import capabilities_of

    transport = topology.transport
    assert transport.plugin is not None
    return capabilities_of(transport.plugin, transport.options, transport.where).cross_process
