"""`civitas plugins`: which transports and serializers there are, and whether they work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from civitas.cli.exit_codes import FAILURE
from civitas.cli.new_plugin import new_plugin, plugin_kind
from civitas.cli.options import AsJson
from civitas.cli.output import imports_print_to_stderr, write, write_json, write_notes
from civitas.cli.signals import exit_on_signals
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from civitas._authoring.conformance import Proof
    from civitas.plugins.catalog import Candidate, PluginKind
    from civitas.plugins.loader import LoadedPlugin, LoadedTransport
    from civitas.plugins.options import OptionInfo
    from civitas.plugins.specs import Capabilities

PROTOCOLS: Final = {
    "transport": "civitas.transport:Transport",
    "serializer": "civitas.serializer:Serializer",
}
"""What the product of a plugin of each kind must fit, as `module:name`."""

app = typer.Typer(
    help="List, show, check and begin transports and serializers.", no_args_is_help=True
)


@app.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """List what is installed and what could be; no plugin is imported."""
    from civitas._authoring.survey import survey
    from civitas.plugins.catalog import PluginKind, builtins, scan_all
    from civitas.plugins.policy import Policy

    installed, policy = scan_all(), Policy.from_environment()
    rows = [
        {
            "kind": each.kind.value,
            "name": each.name,
            "state": each.state.value,
            "distribution": each.distribution,
            **_entry(each.candidate),
            "conformance": _proof(each.candidate),
            "note": each.note,
        }
        for kind in PluginKind
        for each in survey(kind, installed, policy)
    ]
    everything = [*installed, *(each for kind in PluginKind for each in builtins(kind))]
    write_notes(
        f"{setting} names {entry!r}, which fits nothing that is installed"
        for setting, entry in policy.idle_entries(everything)
    )
    if as_json:
        write_json(rows)
    else:
        columns = ("kind", "name", "state", "distribution", "version", "conformance", "note")
        cells = [[str(row[column] or "") for column in columns] for row in rows]
        _write_table([[column.upper() for column in columns], *cells])


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or distribution:name.")],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="transport or serializer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import one plugin and show its options and what it claims."""
    from civitas.plugins.errors import BrokenPluginError
    from civitas.plugins.loader import load

    kinds = _kinds_of(name, kind)
    if len(kinds) > 1:
        raise typer.BadParameter(f"{name!r} is a transport and a serializer: choose with --kind")
    try:
        with imports_print_to_stderr():
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
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Time for each plugin.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Import each plugin in a process of its own and say what is wrong; exit 1 if one fails."""
    targets = (
        [(kind, name) for name in names for kind in _kinds_of(name)] if names else _installed()
    )
    exit_on_signals()
    verdicts = [_verdict(kind, name, timeout) for kind, name in targets]
    if as_json:
        write_json(verdicts)
    else:
        for verdict in verdicts:
            _write_verdict(verdict)
    # What a setting disables is meant to be unusable, unless somebody asks for it by name.
    excused = () if names else ("disabled",)
    if any(each["state"] not in ("ok", *excused) for each in verdicts):
        raise typer.Exit(FAILURE)


app.command("new")(new_plugin)


def _kinds_of(name: str, kind: str | None = None) -> Sequence[PluginKind]:
    """Return the kinds in which something of that name is installed or known.

    Raises:
        UnknownPluginError: there is none.
    """
    from civitas.plugins import catalog
    from civitas.plugins.selection import unknown_plugin

    wanted = list(catalog.PluginKind) if kind is None else [plugin_kind(kind, "--kind")]
    reference, installed = catalog.Reference.parse(name), catalog.scan()
    found = []
    for each in wanted:
        offers = [*catalog.builtins(each), *(one for one in installed if one.kind is each)]
        is_known = reference.name in catalog.known_distributions(each)
        if is_known or any(map(reference.fits, offers)):
            found.append(each)
    if not found:
        raise unknown_plugin(wanted, name, catalog.scan_all())
    return found


def _installed() -> list[tuple[PluginKind, str]]:
    """Return what to check when no name is given: all that is installed, each name once."""
    from civitas._authoring.survey import State, survey
    from civitas.plugins.catalog import PluginKind, scan
    from civitas.plugins.policy import Policy

    installed, policy = scan(), Policy.from_environment()
    found = (each for kind in PluginKind for each in survey(kind, installed, policy))
    targets = (
        (each.kind, each.candidate.qualified_name)
        if each.state is State.SHADOWS_BUILTIN
        else (each.kind, each.name)
        for each in found
        if each.candidate is not None
    )
    return list(dict.fromkeys(targets))


def _verdict(kind: PluginKind, name: str, timeout: float) -> dict[str, Any]:
    from civitas._authoring.probe import Trial, try_plugin
    from civitas.plugins.errors import UnusablePluginError
    from civitas.plugins.selection import select

    candidate: Candidate | None = None
    try:
        candidate = select(kind, name)
        trial: Trial = try_plugin(candidate, PROTOCOLS[kind.value], timeout)
    except UnusablePluginError as error:
        trial = Trial(error.as_dict(), [])
    code = trial.error["code"] if trial.error else "ok"
    return {
        "kind": kind.value,
        "name": name,
        "state": code.removeprefix("plugin-"),
        "distribution": candidate.distribution if candidate else None,
        **_entry(candidate),
        "error": trial.error,
        "advice": trial.advice,
    }


def _write_verdict(verdict: dict[str, Any]) -> None:
    subject = f"{verdict['kind']} {verdict['name']}"
    if verdict["distribution"]:
        subject += f" ({verdict['distribution']} {verdict['version']})"
    write(f"{verdict['state']:<13}  {subject}")
    if verdict["error"]:
        write(f"{'':<15}{verdict['error']['problem']}")
    for advice in verdict["advice"]:
        write(f"{'':<15}advice: {advice}")


def _entry(candidate: Candidate | None) -> dict[str, Any]:
    """Return the fields that every JSON row has about the entry point."""
    if candidate is None:
        return {"version": None, "builtin": False, "entry_point": None}
    from importlib_metadata import version

    return {
        "version": version(candidate.distribution) if candidate.builtin else candidate.version,
        "builtin": candidate.builtin,
        "entry_point": {"group": candidate.group, "value": candidate.value},
    }


def _proof(candidate: Candidate | None) -> Proof | None:
    """Return what the conformance report proves that a plugin ships."""
    from civitas._authoring.conformance import proof_of

    return None if candidate is None else proof_of(candidate)


def _description(loaded: LoadedPlugin) -> dict[str, Any]:
    """Return what `show` shows.

    `capabilities` is `null` where the claims depend on the options. `default_capabilities` has the
    claims with the default options; it is `null` where an option has no default.
    """
    from civitas.plugins.loader import LoadedTransport
    from civitas.plugins.specs import Capabilities

    candidate, spec = loaded.candidate, loaded.spec
    description: dict[str, Any] = {
        "kind": candidate.kind.value,
        "name": candidate.name,
        "summary": spec.summary,
        "distribution": candidate.distribution,
        **_entry(candidate),
        "conformance": _proof(candidate),
    }
    if isinstance(loaded, LoadedTransport):
        from civitas.plugins.options import describe_options

        stated = loaded.spec.capabilities
        description["capabilities"] = stated if isinstance(stated, Capabilities) else None
        description["default_capabilities"] = _default_claims(loaded)
        description["options"] = describe_options(loaded.spec.options)
    return description


def _default_claims(loaded: LoadedTransport) -> Capabilities | None:
    """Return what a transport claims with the default options; `None` where one has no default."""
    from civitas.errors import ConfigurationError
    from civitas.plugins.guard import guard_call
    from civitas.plugins.loader import capabilities_of
    from civitas.plugins.specs import Capabilities

    spec = loaded.spec
    if isinstance(spec.capabilities, Capabilities):
        return spec.capabilities
    try:
        with guard_call(loaded.candidate, "its options can't be made: ", None, ValueError):
            options = None if spec.options is None else spec.options()
        return capabilities_of(loaded, options)
    except (ValueError, ConfigurationError):  # pydantic's ValidationError is a ValueError
        return None


def _write_description(description: dict[str, Any]) -> None:
    entry = description["entry_point"]
    write(f"{description['kind']} {description['name']}: {description['summary']}")
    write(f"distribution  {description['distribution']} {description['version']}")
    write(f"entry point   {description['name']} = {entry['value']}  [{entry['group']}]")
    write(f"conformance   {str(description['conformance'] or '') or 'no report'}")
    if "capabilities" in description:
        claims, default = description["capabilities"], description["default_capabilities"]
        if claims is not None:
            write(f"capabilities  {_claims_text(claims)}")
        elif default is not None:
            write(f"capabilities  {_claims_text(default)} with the default options")
        else:
            write("capabilities  depend on the options")
        options = description["options"]
        write("options" if options else "options       none")
        cells = [[each.name, each.type, _default_text(each), each.description] for each in options]
        _write_table(cells, indent="  ")


def _claims_text(claims: Capabilities) -> str:
    from dataclasses import asdict

    words = [name for name, claimed in asdict(claims).items() if claimed is True]
    if claims.max_message_bytes is not None:
        words.append(f"messages up to {claims.max_message_bytes} bytes")
    return ", ".join(words) or "none claimed"


def _default_text(option: OptionInfo) -> str:
    default = "required" if option.required else f"default {option.default}"
    return f"{default}, secret" if option.secret else default


def _write_table(lines: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print aligned columns, the last one as long as it is."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        write(indent + "  ".join(cells).rstrip())
