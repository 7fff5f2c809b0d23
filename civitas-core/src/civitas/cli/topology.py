"""`civitas topology`: check a topology, show it, and print the format's schema for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from civitas.cli import options
from civitas.cli.exit_codes import BAD_INPUT
from civitas.cli.foreign_code import foreign_code
from civitas.cli.output import write, write_json, write_notes
from civitas.cli.run import check_process, node_of
from civitas.cli.up import processes_to_run

if TYPE_CHECKING:
    from civitas.errors import ConfigurationError, PluginError
    from civitas.topology import Topology

app = typer.Typer(help="Check and show topologies.", no_args_is_help=True)


@app.command("validate")
def validate(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
    process: options.ProcessShare = None,
    app_dir: options.AppDir = Path(),
    no_import: options.NoImport = False,
    as_json: options.AsJson = False,
) -> None:
    """Say everything that is wrong with a topology, as `civitas run` would.

    Exits with 0 when nothing is, with 2 otherwise. It runs code that the topology names.
    """
    from civitas.errors import ConfigurationError, PluginError

    given = options.chosen(topology, file, overlays, transport, sets)
    try:
        with foreign_code():
            loaded = given.load(app_dir, processes=_only(process), no_import=no_import)
            write_notes(_notes(loaded))
            if process is not None:
                check_process(loaded, process)
            if not no_import:
                _make_nodes(loaded, process)
    except (ConfigurationError, PluginError) as error:
        if not as_json:
            raise
        problems = _problems(error, given.file)
        write_json({"valid": False, "file": str(given.file), "problems": problems})
        raise typer.Exit(BAD_INPUT) from error
    summary = {
        "agents": sum(1 for _ in loaded.supervision.agents()),
        "supervisors": sum(1 for _ in loaded.supervision.supervisors()),
        "transport": loaded.transport.type_name,
        "serializer": loaded.serializer.type_name,
        "worker_processes": list(loaded.processes),
    }
    if as_json:
        judged = {"not_judged": list(loaded.not_judged), "problems": []}
        files = {"file": loaded.file, "overlays": [str(each) for each in given.overlays]}
        write_json({"valid": True, **files, **summary, **judged})
    else:
        words = ", ".join(f"{key.replace('_', ' ')}: {_text(summary[key])}" for key in summary)
        valid = "has no mistake in what was judged" if loaded.not_judged else "is valid"
        laid_over = f" with {', '.join(map(str, given.overlays))}" if given.overlays else ""
        write(f"{loaded.file}{laid_over} {valid} ({words})")


@app.command("show")
def show(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
    process: options.ProcessShare = None,
    app_dir: options.AppDir = Path(),
    no_import: options.NoImport = False,
    as_json: options.AsJson = False,
) -> None:
    """Show supervisors, agents and transport as they would run; secrets are masked.

    What overlays, variables and options have given is listed below the tree, with files and lines.
    It runs code that the topology names.
    """
    given = options.chosen(topology, file, overlays, transport, sets)
    with foreign_code():
        loaded = given.load(app_dir, processes=_only(process), no_import=no_import)
        write_notes(_notes(loaded))
        if process is not None:
            check_process(loaded, process)
        shown = loaded.as_mapping()
    if as_json:
        origins = {path: where._asdict() for path, where in loaded.origins.items()}
        write_json({**shown, "origins": origins})
    else:
        _print_tree(shown)
        elsewhere = [each for each in loaded.origins.items() if each[1].file != loaded.file]
        elsewhere.sort(key=lambda each: (each[1].line is None, each[1].file, each[1].line))
        write(*(f"{where}: {path}" for path, where in elsewhere))


@app.command("schema")
def schema(
    no_import: Annotated[
        bool, typer.Option("--no-import", help="Of core and its built-ins alone.")
    ] = False,
) -> None:
    """Print the JSON Schema of topologies, with the options of all installed transports.

    It imports every plugin that is installed.
    """
    from civitas.topology.schema import installed_plugins, json_schema

    with foreign_code():
        installed = installed_plugins(only_builtin=no_import)
    write_notes(installed.notes)
    write_json(json_schema(installed.plugins))


def _only(process: str | None) -> tuple[str, ...] | None:
    return None if process is None else (process,)


def _make_nodes(topology: Topology, process: str | None) -> None:
    """Make the nodes of a topology, or that of one process, as `run` does before it starts one.

    Raises:
        TopologyError: some can't be made; all problems are listed.
        ConfigurationError: there is no such process.
    """
    from civitas.topology import Problem, TopologyError
    from civitas.topology.problems import raise_problems

    problems: dict[str, Problem] = {}
    for name in _only(process) or processes_to_run(topology):
        try:
            node_of(topology, name)
        except TopologyError as error:
            problems |= {str(each): each for each in error.problems}  # some are those of each node
    raise_problems(list(problems.values()))


def _problems(error: ConfigurationError | PluginError, file: Path) -> list[dict[str, Any]]:
    """Return the problems that an error lists; one that lists none is one of the whole file."""
    from civitas.errors import Location
    from civitas.topology import Problem, TopologyError

    whole = Problem(Location(str(file)), "", str(error), code=error.code, cause=error)
    keys = ("path", "message", "suggestion", "code")
    return [
        {**each.location._asdict(), **{key: getattr(each, key) for key in keys}}
        for each in (error.problems if isinstance(error, TopologyError) else (whole,))
    ]


def _notes(loaded: Topology) -> list[str]:
    return [*loaded.notes, *(f"not judged: {each}" for each in loaded.not_judged)]


def _text(value: Any) -> str:
    if value == []:
        return "none"
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return " ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _print_tree(shown: dict[str, Any]) -> None:
    from civitas.cli.tables import Branch, write_tree

    def branch(
        head: str, block: dict[str, Any], *hidden: str, below: Sequence[Branch] = ()
    ) -> Branch:
        settings = (f"  {k}={_text(value)}" for k, value in block.items() if k not in hidden)
        return Branch(head, "".join(settings), below)

    def tree_of(block: dict[str, Any]) -> Branch:
        below = [
            branch(each["agent"]["name"], each["agent"], "name")
            if "agent" in each
            else tree_of(each["supervisor"])
            for each in block["children"]
        ]
        return branch(f"{block['name']} (supervisor)", block, "name", "children", below=below)

    write_tree(branch(f"transport {shown['transport']['type']}", shown["transport"], "type"))
    named = (
        ("serializer", shown["serializer"]),
        *(("instrument", e) for e in shown["instruments"]),
    )
    for kind, given in named:
        block = given if isinstance(given, dict) else {"type": given}
        write_tree(branch(f"{kind} {block['type']}", block, "type"))
    write_tree(tree_of(shown["supervision"]))
