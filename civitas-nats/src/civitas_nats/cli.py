"""The command `civitas-nats`: dead letters are listed, returned to their agents, or removed."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from civitas.cli.logs import configure_logging
from civitas.cli.output import prepare_streams, write, write_error, write_json
from civitas.errors import CivitasError, ConfigurationError, PluginError

if TYPE_CHECKING:
    from civitas_nats.jetstream.contents import Contents
    from civitas_nats.jetstream.dead_letters import Buried
    from civitas_nats.jetstream.graveyard import Extent, Selection
    from civitas_nats.jetstream.rounds import Outcome
    from civitas_nats.options import NATSOptions

EXIT_FAILURE: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_INTERRUPTED: Final = 130

_TOLD: Final = 20
"""Letters of which it is said why they stay; `--json` has all."""

T = TypeVar("T")

app = typer.Typer(
    name="civitas-nats",
    help="Look after what the NATS transport keeps on JetStream.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
dead_letters = typer.Typer(
    help="Messages that their agents could not process: list them, return them, remove them.",
    no_args_is_help=True,
)
app.add_typer(dead_letters, name="dead-letters")

Topology = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        "-t",
        metavar="FILE",
        help="Take all settings from this topology's transport: servers, login, names.",
    ),
]
Servers = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        show_default="nats://localhost:4222",
        help="The servers, with commas between them.",
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="AGENCY", help="stream_name of the topology."),
]
Subject = Annotated[
    str | None,
    typer.Option(
        metavar="SUBJECT",
        show_default="civitas.dead",
        help="dead_letter_subject of the topology.",
    ),
]
Numbers = Annotated[
    list[int] | None,
    typer.Option("--number", "-n", metavar="N", min=1, help="This letter. Repeatable."),
]
Agent = Annotated[str | None, typer.Option(metavar="NAME", help="The letters of this agent.")]
All = Annotated[bool, typer.Option("--all", help="All letters.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead_letters.command("list")
def list_letters(
    topology: Topology = None,
    servers: Servers = None,
    stream: Stream = None,
    dead_letter_subject: Subject = None,
    numbers: Numbers = None,
    agent: Agent = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first of them, at most so many.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest first. They stay where they are."""
    from civitas_nats import showing

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent)

    def row(buried: Buried, contents: Contents) -> Any:
        if as_json:
            return showing.as_json(buried, contents, time.time())
        return showing.as_row(buried, contents)

    rows, more = _run(_read(options, selection, limit, row))
    if as_json:
        write_json(rows)
    elif rows:
        showing.write_table(rows)
    else:
        _tell_none(selection)
    if more:
        write_error(f"{more} more: raise --limit")


@dead_letters.command()
def replay(
    topology: Topology = None,
    servers: Servers = None,
    stream: Stream = None,
    dead_letter_subject: Subject = None,
    numbers: Numbers = None,
    agent: Agent = None,
    everything: All = False,
    expired: Annotated[
        bool,
        typer.Option(
            "--expired",
            help="Requests whose time is over as well: without a time limit, and nobody gets the"
            " answer.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Return dead letters to their agents, in the order in which they came.

    A letter is removed once the stream of the agents has stored it.

    One that its agent could not read, or would drop, stays; the exit code is 1 then.
    """
    from civitas_nats.jetstream.rounds import Outcome

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent, everything)
    outcome = Outcome()
    try:
        _run(_replay(options, selection, outcome, expired_too=expired))
    finally:
        _report("replayed", selection, outcome, as_json=as_json)
    if outcome.kept:
        raise typer.Exit(EXIT_FAILURE)


@dead_letters.command()
def drop(
    topology: Topology = None,
    servers: Servers = None,
    stream: Stream = None,
    dead_letter_subject: Subject = None,
    numbers: Numbers = None,
    agent: Agent = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for ever, after asking."""
    from civitas_nats.jetstream.rounds import Outcome

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent, everything)
    if not yes and not sys.stdin.isatty():
        raise ConfigurationError("there is nobody to ask: give --yes")
    extent = _run(_survey(options, selection))
    if extent.count and not yes:
        question = f"Remove {_counted(extent.count)} for ever?"
        if not typer.confirm(question, err=True):
            write_error("nothing is removed")
            raise typer.Exit(EXIT_FAILURE)
    outcome = Outcome()
    try:
        _run(_drop(options, extent, outcome))
    finally:
        _report("removed", selection, outcome, as_json=as_json)


async def _read(
    options: NATSOptions,
    selection: Selection,
    limit: int | None,
    row: Callable[[Buried, Contents], T],
) -> tuple[list[T], int]:
    """Return a row for each letter, at most `limit` of them, and how many more there are."""
    from civitas_nats.jetstream.contents import contents_of
    from civitas_nats.jetstream.graveyard import Graveyard
    from civitas_nats.showing import Progress

    rows: list[T] = []
    async with Graveyard(options, _logger()) as graveyard:
        extent = await graveyard.survey(selection)
        wanted = extent.count if limit is None else min(limit, extent.count)
        with Progress("read", wanted) as progress:
            async with aclosing(graveyard.letters(extent)) as letters:
                async for buried in letters:
                    rows.append(row(buried, contents_of(buried.letter.frame)))
                    progress.at(len(rows))
                    if len(rows) == limit:
                        return rows, extent.count - limit
    return rows, 0


async def _replay(
    options: NATSOptions, selection: Selection, outcome: Outcome, *, expired_too: bool
) -> None:
    from civitas_nats.jetstream import rounds
    from civitas_nats.jetstream.graveyard import Graveyard
    from civitas_nats.showing import Progress

    async with Graveyard(options, _logger()) as graveyard:
        await graveyard.check_way_back()
        extent = await graveyard.survey(selection)
        with Progress("replayed", extent.count) as progress:
            await rounds.replay(graveyard, extent, outcome, progress.at, expired_too=expired_too)


async def _survey(options: NATSOptions, selection: Selection) -> Extent:
    from civitas_nats.jetstream.graveyard import Graveyard

    async with Graveyard(options, _logger()) as graveyard:
        return await graveyard.survey(selection)


async def _drop(options: NATSOptions, extent: Extent, outcome: Outcome) -> None:
    from civitas_nats.jetstream import rounds
    from civitas_nats.jetstream.graveyard import Graveyard
    from civitas_nats.showing import Progress

    async with Graveyard(options, _logger()) as graveyard:
        with Progress("removed", extent.count) as progress:
            await rounds.drop(graveyard, extent, outcome, progress.at)


def _options(
    topology: Path | None, servers: str | None, stream: str | None, subject: str | None
) -> NATSOptions:
    from civitas_nats import settings

    configure_logging("warning")
    return settings.of_command(topology, servers, stream, subject)


def _selection(
    numbers: Sequence[int] | None, agent: str | None, everything: bool | None = None
) -> Selection:
    """Return which letters are meant; `everything` is None where that need not be said."""
    from civitas_nats.jetstream.graveyard import Selection
    from civitas_nats.settings import check_agent

    given = [bool(numbers), agent is not None, bool(everything)]
    if everything is not None and sum(given) != 1:
        raise ConfigurationError("which letters? give --number, --agent or --all, one of them")
    return Selection(tuple(numbers or ()), None if agent is None else check_agent(agent))


def _report(verb: str, selection: Selection, outcome: Outcome, *, as_json: bool) -> None:
    """Tell what has become of the letters, also when an error is about to be told."""
    if as_json:
        write_json({verb: outcome.done, "kept": [each._asdict() for each in outcome.kept]})
        return
    from civitas_nats.showing import visible

    for each in outcome.kept[:_TOLD]:
        write_error(f"kept {each.number}, to {visible(each.agent)}: {visible(each.reason)}")
    if len(outcome.kept) > _TOLD:
        write_error(f"kept {len(outcome.kept) - _TOLD} more: --json tells of all")
    if outcome.done or outcome.kept:
        write(f"{verb} {_counted(outcome.done)}")
    elif sys.exception() is None:
        _tell_none(selection)


def _tell_none(selection: Selection) -> None:
    of_agent = "" if selection.agent is None else f" of agent {selection.agent!r}"
    write_error(f"there are no dead letters{of_agent}")


def _counted(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _logger() -> logging.Logger:
    return logging.getLogger("civitas.nats")


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        write_error("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    prepare_streams()
    try:
        app()
    except (ConfigurationError, PluginError) as error:
        _exit(error, EXIT_BAD_INPUT)
    except CivitasError as error:
        _exit(error, EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _exit(error: CivitasError, status: int) -> None:
    from civitas.topology.masking import mask_urls

    write_error(f"error: {mask_urls(str(error))}")
    sys.exit(status)
