"""`civitas plugins`: list, show, check and begin packages with plugins of every kind."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from civitas.cli.exit_codes import FAILURE
from civitas.cli.foreign_code import foreign_code
from civitas.cli.options import AsJson, seconds
from civitas.cli.output import write, write_error, write_json, write_notes
from civitas.cli.paths import at_home
from civitas.cli.signals import exit_on_signals
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from civitas._authoring.survey import Finding
    from civitas.plugins.catalog import Candidate, PluginKind
    from civitas.plugins.loader import LoadedPlugin, LoadedTransport
    from civitas.plugins.specs import Capabilities

_PROTOCOLS: Final = {
    "transport": "civitas.transport:Transport",
    "serializer": "civitas.serializer:Serializer",
    "instrument": "civitas.instruments:Instrument",
}
"""What the product of a plugin of each kind must fit, as `module:name`."""

_KINDS: Final = "transport, serializer or instrument."

_DEAD_LETTERS: Final = {
    True: "civitas dead-letters lists, returns, moves and removes them",
    False: "civitas dead-letters can't reach them: its TransportSpec has no `dead_letters`",
}

_NEXT: Final = (
    ("python -m venv .venv && . .venv/bin/activate", ""),
    ('pip install -e ".[dev]"', ""),
    ("civitas plugins check {name}", "it is found, and whole"),
    ("pytest", "it passes the conformance kit as it stands"),
    ("mypy && ruff check", ""),
    ("grep -rnI TODO README.md pyproject.toml src tests", "what is yours to do"),
    ("python -m build", "what you publish, in dist/"),
)
"""What to run in the folder of a new package, each with a remark."""

app = typer.Typer(
    help="List, show, check and begin plugins: transports, serializers, instruments.",
    no_args_is_help=True,
)


@app.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """List what is installed and what could be; no plugin is imported."""
    from civitas._authoring.conformance import proof_of
    from civitas.plugins.catalog import PluginKind, builtins, scan_all
    from civitas.plugins.selection import Policy

    installed = scan_all()
    rows = [
        {
            "kind": each.kind.value,
            "name": each.name,
            "state": each.state.value,
            "distribution": each.distribution,
            **_entry(each.candidate),
            "conformance": each.candidate and proof_of(each.candidate),
            "note": each.note,
        }
        for each in _survey(installed)
    ]
    everything = [*installed, *(each for kind in PluginKind for each in builtins(kind))]
    write_notes(
        f"{setting} names {entry!r}, which fits nothing that is installed"
        for setting, entry in Policy.from_environment().idle_entries(everything)
    )
    if as_json:
        write_json(rows)
    else:
        from civitas.cli.tables import Column, write_table

        names = ("kind", "name", "state", "distribution", "version", "conformance", "note")
        columns = [Column(each.upper(), wraps=each in ("conformance", "note")) for each in names]
        write_table(columns, ([str(row[each] or "") for each in names] for row in rows))


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or distribution:name.")],
    kind: Annotated[str | None, typer.Option(metavar="KIND", help=_KINDS)] = None,
    as_json: AsJson = False,
) -> None:
    """Import one plugin and show its options and what it claims."""
    from civitas.plugins.errors import BrokenPluginError
    from civitas.plugins.loader import load

    kinds = _kinds_of(name, kind)
    if len(kinds) > 1:
        what = " and ".join(each.article for each in kinds)
        raise typer.BadParameter(f"{name!r} is {what}: choose with --kind")
    try:
        with foreign_code():
            description = _description(load(kinds[0], name))
    except BrokenPluginError as error:
        raise CivitasError(str(error)) from error  # a failure here, not bad input
    if as_json:
        write_json(description)
    else:
        _write_description(description)


@app.command("check")
def check_plugins(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Default: all installed.")
    ] = None,
    timeout: Annotated[float, seconds("Time for each plugin.", 0.1)] = 30.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 also where a claim is not proved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import each plugin in a process of its own and say what is wrong; exit 1 if one fails.

    What the conformance report that a plugin ships does not prove is shown as unproved.
    """
    wanted = [(kind, name) for name in names for kind in _kinds_of(name)] if names else _installed()
    exit_on_signals()
    verdicts = [_verdict(kind, name, timeout) for kind, name in wanted]
    if as_json:
        write_json(verdicts)
    else:
        for verdict in verdicts:
            subject = f"{verdict['kind']} {verdict['name']}"
            if verdict["distribution"]:
                subject += f" ({verdict['distribution']} {verdict['version'] or '?'})"
            write(f"{verdict['state']:<13}  {subject}")
            if verdict["error"]:
                write(f"{'':<15}{verdict['error']['problem']}")
            for advice in verdict["advice"]:
                write(f"{'':<15}advice: {advice}")
            for claim in verdict["unproved"]:
                write(f"{'':<15}unproved: {claim}")
    # What a setting disables is meant to be unusable, unless somebody asks for it by name.
    excused = () if names else ("disabled",)
    if any(each["state"] not in ("ok", *excused) for each in verdicts):
        raise typer.Exit(FAILURE)
    if strict and any(each["unproved"] for each in verdicts):
        raise typer.Exit(FAILURE)


@app.command("new")
def new_plugin(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=_KINDS)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in topologies.")],
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="civitas-NAME",
            help="The folder to make.",
            callback=at_home,
        ),
    ] = None,
    distribution: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="civitas-NAME", help="What `pip install` will be given."
        ),
    ] = None,
    author: Annotated[
        str | None, typer.Option(metavar="AUTHOR", help='"Name" or "Name <mail@address>".')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a package that works as it stands; its TODOs say what is yours to do."""
    from civitas._authoring.placing import place
    from civitas._authoring.scaffold import identify, render, rivals_of
    from civitas.plugins.catalog import CORE_DISTRIBUTION, scan
    from civitas.plugins.metadata import installed_version

    identity = identify(_plugin_kind(kind, "KIND"), name, distribution)
    folder = directory or Path(identity.distribution)
    files = render(identity, installed_version(CORE_DISTRIBUTION) or "unknown", author)
    try:
        place(files, folder)
    except OSError as error:
        raise CivitasError(f"nothing was written to {str(folder)!r}: {error}") from error
    notes = rivals_of(identity, scan())
    for note in notes:
        write_error(f"warning: {note}")
    if as_json:
        names = {key: getattr(identity, key) for key in ("name", "distribution", "package")}
        where = {"directory": str(folder.absolute()), "files": list(files)}
        write_json({"kind": kind, **names, **where, "notes": notes})
        return
    write(f"{identity.distribution}: the {kind} {name!r}, in {folder}")
    for path in files:
        write(f"  {path}")
    write("next:")
    for command, remark in ((f"cd {shlex.quote(str(folder))}", ""), *_NEXT):
        line = command.format(name=name)
        write(f"  {line:<52}# {remark}" if remark else f"  {line}")


def _plugin_kind(word: str, parameter: str) -> PluginKind:
    from civitas.plugins.catalog import PluginKind

    words = [each.value for each in PluginKind]
    if word not in words:
        raise typer.BadParameter(f"{parameter} is {_KINDS.rstrip('.')}, not {word!r}")
    return PluginKind(word)


def _kinds_of(name: str, kind: str | None = None) -> Sequence[PluginKind]:
    """Return the kinds in which something of that name is installed or known.

    Raises:
        UnknownPluginError: there is none.
    """
    from civitas.plugins import catalog
    from civitas.plugins.selection import unknown_plugin

    wanted = list(catalog.PluginKind) if kind is None else [_plugin_kind(kind, "--kind")]
    reference = catalog.Reference.parse(name)
    offers = [*catalog.scan(), *(each for kind in wanted for each in catalog.builtins(kind))]
    offered = {each.kind for each in offers if reference.fits(each)}
    found = [
        each
        for each in wanted
        if each in offered or reference.name in catalog.known_distributions(each)
    ]
    if not found:
        raise unknown_plugin(wanted, name, catalog.scan_all())
    return found


def _survey(installed: Sequence[Candidate]) -> list[Finding]:
    from civitas._authoring.survey import survey
    from civitas.plugins.catalog import PluginKind
    from civitas.plugins.selection import Policy

    policy = Policy.from_environment()
    return [each for kind in PluginKind for each in survey(kind, installed, policy)]


def _installed() -> list[tuple[PluginKind, str]]:
    """Return what to check when no name is given: all that is installed, each name once."""
    from civitas._authoring.survey import State
    from civitas.plugins.catalog import scan

    targets: dict[tuple[PluginKind, str], None] = {}
    for each in _survey(scan()):
        if each.candidate is not None:
            shadows = each.state is State.SHADOWS_BUILTIN
            targets[each.kind, each.candidate.qualified_name if shadows else each.name] = None
    return list(targets)


def _verdict(kind: PluginKind, name: str, timeout: float) -> dict[str, Any]:
    from civitas._authoring.probe import Trial, try_plugin
    from civitas.plugins.errors import UnusablePluginError
    from civitas.plugins.selection import select

    candidate: Candidate | None = None
    try:
        candidate = select(kind, name)
        trial: Trial = try_plugin(candidate, _PROTOCOLS[kind.value], timeout)
    except UnusablePluginError as error:
        trial = Trial(error.as_dict(), [], [])
    code = trial.error["code"] if trial.error else "ok"
    return {
        "kind": kind.value,
        "name": name,
        "state": code.removeprefix("plugin-"),
        "distribution": candidate and candidate.distribution,
        **_entry(candidate),
        **trial._asdict(),
    }


def _entry(candidate: Candidate | None) -> dict[str, Any]:
    """Return the fields that every JSON row has about the entry point."""
    if candidate is None:
        return {"version": None, "builtin": False, "entry_point": None}
    from civitas.plugins.metadata import installed_version

    version = candidate.version or installed_version(candidate.distribution)
    return {
        "version": version,
        "builtin": candidate.builtin,
        "entry_point": {"group": candidate.group, "value": candidate.value},
    }


def _description(loaded: LoadedPlugin[Any]) -> dict[str, Any]:
    """Return what `show` shows.

    `capabilities` is `null` where the claims depend on the options. `default_capabilities` has the
    claims with the default options; it is `null` where an option has no default.
    """
    from civitas._authoring.conformance import proof_of
    from civitas.plugins.loader import LoadedTransport
    from civitas.plugins.specs import Capabilities

    candidate, spec = loaded.candidate, loaded.spec
    description: dict[str, Any] = {
        "kind": candidate.kind.value,
        "name": candidate.name,
        "summary": spec.summary,
        "distribution": candidate.distribution,
        **_entry(candidate),
        "conformance": proof_of(candidate),
    }
    from civitas.plugins.options import describe_options

    if isinstance(loaded, LoadedTransport):
        claims = loaded.spec.capabilities
        stated = claims if isinstance(claims, Capabilities) else None
        description["capabilities"] = stated
        description["default_capabilities"] = stated or _default_claims(loaded)
        description["dead_letters"] = loaded.spec.dead_letters is not None
    description["options"] = describe_options(spec.options)
    return description


def _default_claims(loaded: LoadedTransport) -> Capabilities | None:
    from civitas.errors import ConfigurationError
    from civitas.plugins.guard import guard_call
    from civitas.plugins.loader import capabilities_of

    model = loaded.spec.options
    try:
        with guard_call(loaded.candidate, "its options can't be made: ", None, ValueError):
            options = None if model is None else model()
        return capabilities_of(loaded, options)
    except (ValueError, ConfigurationError):  # pydantic's ValidationError is a ValueError
        return None


def _write_description(description: dict[str, Any]) -> None:
    from civitas.cli.tables import Column, write_table

    entry = description["entry_point"]
    write(f"{description['kind']} {description['name']}: {description['summary']}")
    write(f"distribution  {description['distribution']} {description['version'] or '?'}")
    write(f"entry point   {description['name']} = {entry['value']}  [{entry['group']}]")
    write(f"conformance   {str(description['conformance'] or '') or 'no report'}")
    if "capabilities" in description:
        claims = description["default_capabilities"]
        when = "" if description["capabilities"] else " with the default options"
        write(f"capabilities  {_claims_text(claims) + when if claims else 'depend on the options'}")
        if claims is None or claims.at_least_once or description["dead_letters"]:
            write(f"dead letters  {_DEAD_LETTERS[description['dead_letters']]}")
    options = description["options"]
    write("options" if options else "options       none")
    lines = []
    for each in options:
        default = "required" if each.required else f"default {each.default}"
        default += ", secret" * each.secret
        lines.append([each.name, each.type, default, each.description])
    columns = [Column(""), Column(""), Column(""), Column("", wraps=True)]
    write_table(columns, lines, has_header=False, indent=2)


def _claims_text(claims: Capabilities) -> str:
    from dataclasses import asdict

    words = [name for name, claimed in asdict(claims).items() if claimed is True]
    if claims.max_message_bytes is not None:
        words.append(f"messages up to {claims.max_message_bytes} bytes")
    return ", ".join(words) or "none claimed"
