"""`civitas topology`: judge a topology, show it, and describe the format to an editor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from civitas.cli.output import imports_print_to_stderr, write, write_error, write_json
from civitas.cli.run import DEFAULT_TOPOLOGY, topology_path

if TYPE_CHECKING:
    from civitas.topology import Topology, TopologyError

_WIDEST_LINE: Final = 100_000

app = typer.Typer(help="Check and show topologies.", no_args_is_help=True)

_ARGUMENT = Annotated[
    Path | None,
    typer.Argument(
        metavar="TOPOLOGY", help="The topology file.", show_default=str(DEFAULT_TOPOLOGY)
    ),
]
_FILE = Annotated[
    Path | None,
    typer.Option("--topology", "-t", metavar="FILE", help="The same, as an option."),
]
_TRANSPORT = Annotated[
    str | None,
    typer.Option(
        "--transport", metavar="TYPE", help="Replace the whole transport block by this type."
    ),
]
_SETS = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=YAML",
        help="Set one value, such as send_timeout=5. Repeatable.",
    ),
]
_APP_DIR = Annotated[
    Path,
    typer.Option("--app-dir", metavar="DIR", help="Folder from which agent classes are imported."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("validate")
def validate(
    topology: _ARGUMENT = None,
    file: _FILE = None,
    transport: _TRANSPORT = None,
    sets: _SETS = None,
    app_dir: _APP_DIR = Path(),
    as_json: _JSON = False,
) -> None:
    """Say everything that is wrong with a topology, as `civitas run` would.

    Exits with 0 when nothing is, with 2 otherwise.
    """
    from civitas.runtime import Runtime
    from civitas.topology import TopologyError

    path = topology_path(topology, file)
    try:
        with imports_print_to_stderr():
            loaded = _load(path, transport, sets, app_dir)
            Runtime.from_topology(loaded)  # as `run` does before it starts anything
    except TopologyError as error:
        if not as_json:
            raise
        write_json({"valid": False, "file": str(path), "problems": _problems(error)})
        raise typer.Exit(2) from error
    summary = _summary(loaded)
    if as_json:
        write_json({"valid": True, "file": loaded.file, **summary, "problems": []})
    else:
        words = ", ".join(f"{key.replace('_', ' ')}: {_text(summary[key])}" for key in summary)
        write(f"{loaded.file} is valid ({words})")


@app.command("show")
def show(
    topology: _ARGUMENT = None,
    file: _FILE = None,
    transport: _TRANSPORT = None,
    sets: _SETS = None,
    app_dir: _APP_DIR = Path(),
    as_json: _JSON = False,
) -> None:
    """Show supervisors, agents and transport as they would run; secrets are masked."""
    from civitas.topology.show import as_mapping

    with imports_print_to_stderr():
        shown = as_mapping(_load(topology_path(topology, file), transport, sets, app_dir))
    if as_json:
        write_json(shown)
    else:
        _print_tree(shown)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of topologies, with the options of all installed transports."""
    from civitas.topology.schema import installed_plugins, json_schema

    with imports_print_to_stderr():
        installed = installed_plugins()
    for note in installed.notes:
        write_error(f"note: {note}")
    write_json(json_schema(installed.transports, installed.serializers))


def _load(path: Path, transport: str | None, sets: list[str] | None, app_dir: Path) -> Topology:
    from civitas.process import AgentProcess
    from civitas.topology import load_topology

    loaded = load_topology(
        path, agent_base=AgentProcess, transport=transport, sets=sets or (), app_dir=app_dir
    )
    for note in loaded.notes:
        write_error(f"note: {note}")
    return loaded


def _problems(error: TopologyError) -> list[dict[str, Any]]:
    return [
        {
            "file": each.location.file,
            "line": each.location.line,
            "path": each.path,
            "message": each.message,
            "suggestion": each.suggestion,
            "code": each.code,
        }
        for each in error.problems
    ]


def _summary(topology: Topology) -> dict[str, Any]:
    return {
        "agents": sum(1 for _ in topology.supervision.agents()),
        "supervisors": sum(1 for _ in topology.supervision.supervisors()),
        "transport": topology.transport.type_name,
        "serializer": topology.serializer.type_name,
        "worker_processes": list(topology.processes),
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value) if value else "none"
    return str(value)


def _print_tree(shown: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def label(head: str, settings: dict[str, Any]) -> Text:
        listed = "  ".join(f"{key}={_text(value)}" for key, value in settings.items())
        return Text.assemble((head, "bold"), (f"  {listed}" if listed else "", "dim"))

    def grow(branch: Tree, block: dict[str, Any]) -> None:
        for child in block["children"]:
            kind, values = next(iter(child.items()))
            head = f"{values['name']}" if kind == "agent" else f"{values['name']} (supervisor)"
            hidden = ("name", "children")
            settings = {key: value for key, value in values.items() if key not in hidden}
            twig = branch.add(label(head, settings))
            if kind == "supervisor":
                grow(twig, values)

    root = shown["supervision"]
    settings = {key: value for key, value in root.items() if key not in ("name", "children")}
    tree = Tree(label(f"{root['name']} (supervisor)", settings))
    grow(tree, root)
    transport = {key: value for key, value in shown["transport"].items() if key != "type"}
    # A tree is cut at the width of its console; the terminal wraps what is longer.
    console = Console(soft_wrap=True, highlight=False, width=_WIDEST_LINE)
    console.print(label(f"transport {shown['transport']['type']}", transport))
    console.print(label(f"serializer {shown['serializer']}", {}))
    console.print(tree)
