"""The commands `civitas-nats dead-letters`: list, replay and drop."""

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
from civitas.cli.output import write, write_error, write_json
from civitas.errors import ConfigurationError, logger_of

if TYPE_CHECKING:
    from civitas_nats.jetstream.dead_letter_batch import BatchResult
    from civitas_nats.jetstream.dead_letter_contents import DeadLetterContents
    from civitas_nats.jetstream.dead_letter_store import Selection, Snapshot
    from civitas_nats.jetstream.dead_letters import StoredDeadLetter
    from civitas_nats.options import NATSOptions

EXIT_FAILURE: Final = 1
EXIT_INTERRUPTED: Final = 130

_KEPT_SHOWN: Final = 20
"""Kept letters that are printed with their reason; `--json` prints all."""

T = TypeVar("T")

app = typer.Typer(
    help="Messages that their agents could not process: list them, return them, remove them.",
    no_args_is_help=True,
)

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


@app.command("list")
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
    from civitas.cli.tables import write_table
    from civitas_nats.cli import output

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent)

    def row(stored: StoredDeadLetter, contents: DeadLetterContents) -> Any:
        if as_json:
            return output.as_json(stored, contents, time.time())
        return output.as_row(stored, contents)

    rows, more = _run(_read(options, selection, limit, row))
    if as_json:
        write_json(rows)
    elif rows:
        write_table(output.COLUMNS, rows)
    else:
        _write_none(selection)
    if more:
        write_error(f"{more} more: raise --limit")


@app.command()
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
    from civitas_nats.jetstream.dead_letter_batch import BatchResult

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent, everything)
    result = BatchResult()
    try:
        _run(_replay(options, selection, result, expired_too=expired))
    finally:
        _report("replayed", selection, result, as_json=as_json)
    if result.kept:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
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
    from civitas_nats.jetstream.dead_letter_batch import BatchResult

    options = _options(topology, servers, stream, dead_letter_subject)
    selection = _selection(numbers, agent, everything)
    if not yes and not sys.stdin.isatty():
        raise ConfigurationError("there is nobody to ask: give --yes")
    snapshot = _run(_snapshot(options, selection))
    if snapshot.count and not yes:
        question = f"Remove {_counted(snapshot.count)} for ever?"
        if not typer.confirm(question, err=True):
            write_error("nothing is removed")
            raise typer.Exit(EXIT_FAILURE)
    result = BatchResult()
    try:
        _run(_drop(options, snapshot, result))
    finally:
        _report("removed", selection, result, as_json=as_json)


async def _read(
    options: NATSOptions,
    selection: Selection,
    limit: int | None,
    row: Callable[[StoredDeadLetter, DeadLetterContents], T],
) -> tuple[list[T], int]:
    """Return a row for each letter, at most `limit` of them, and how many more there are."""
    from civitas_nats.cli.output import Progress
    from civitas_nats.jetstream.dead_letter_contents import contents_of
    from civitas_nats.jetstream.dead_letter_store import DeadLetterStore

    rows: list[T] = []
    async with DeadLetterStore(options, _logger()) as store:
        snapshot = await store.snapshot(selection)
        wanted = snapshot.count if limit is None else min(limit, snapshot.count)
        with Progress("read", wanted) as progress:
            async with aclosing(store.letters(snapshot)) as letters:
                async for stored in letters:
                    rows.append(row(stored, contents_of(stored.letter.frame)))
                    progress.at(len(rows))
                    if len(rows) == limit:
                        return rows, snapshot.count - limit
    return rows, 0


async def _replay(
    options: NATSOptions, selection: Selection, result: BatchResult, *, expired_too: bool
) -> None:
    from civitas_nats.cli.output import Progress
    from civitas_nats.jetstream.dead_letter_batch import replay_all
    from civitas_nats.jetstream.dead_letter_store import DeadLetterStore

    async with DeadLetterStore(options, _logger()) as store:
        await store.check_replay_target()
        snapshot = await store.snapshot(selection)
        with Progress("replayed", snapshot.count) as progress:
            await replay_all(store, snapshot, result, progress.at, expired_too=expired_too)


async def _snapshot(options: NATSOptions, selection: Selection) -> Snapshot:
    from civitas_nats.jetstream.dead_letter_store import DeadLetterStore

    async with DeadLetterStore(options, _logger()) as store:
        return await store.snapshot(selection)


async def _drop(options: NATSOptions, snapshot: Snapshot, result: BatchResult) -> None:
    from civitas_nats.cli.output import Progress
    from civitas_nats.jetstream.dead_letter_batch import drop_all
    from civitas_nats.jetstream.dead_letter_store import DeadLetterStore

    async with DeadLetterStore(options, _logger()) as store:
        with Progress("removed", snapshot.count) as progress:
            await drop_all(store, snapshot, result, progress.at)


def _options(
    topology: Path | None, servers: str | None, stream: str | None, subject: str | None
) -> NATSOptions:
    from civitas_nats.cli.options import options_of_command

    configure_logging("warning")
    return options_of_command(topology, servers, stream, subject)


def _selection(
    numbers: Sequence[int] | None, agent: str | None, everything: bool | None = None
) -> Selection:
    """Return the selected letters; `everything` is None where a selection is not required."""
    from civitas_nats.cli.options import check_agent
    from civitas_nats.jetstream.dead_letter_store import Selection

    given = [bool(numbers), agent is not None, bool(everything)]
    if everything is not None and sum(given) != 1:
        raise ConfigurationError("which letters? give --number, --agent or --all, one of them")
    return Selection(tuple(numbers or ()), None if agent is None else check_agent(agent))


def _report(verb: str, selection: Selection, result: BatchResult, *, as_json: bool) -> None:
    """Print the results of a batch, also when an error has ended it."""
    if as_json:
        write_json({verb: result.done, "kept": [each._asdict() for each in result.kept]})
        return
    for each in result.kept[:_KEPT_SHOWN]:
        write_error(f"kept {each.number}, to {each.agent}: {each.reason}")
    if len(result.kept) > _KEPT_SHOWN:
        write_error(f"kept {len(result.kept) - _KEPT_SHOWN} more: --json tells of all")
    if result.done or result.kept:
        write(f"{verb} {_counted(result.done)}")
    elif sys.exception() is None:
        _write_none(selection)


def _write_none(selection: Selection) -> None:
    of_agent = "" if selection.agent is None else f" of agent {selection.agent!r}"
    write_error(f"there are no dead letters{of_agent}")


def _counted(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _logger() -> logging.Logger:
    return logger_of("civitas.nats")


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        write_error("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
