"""The commands `dead-letters`: list, show, replay, drop and move, for any source of messages."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar, get_type_hints

import typer

from civitas.cli import options
from civitas.cli.event_loop import run_in_own_loop
from civitas.cli.exit_codes import BY_SIGNAL, FAILURE
from civitas.cli.output import write, write_error, write_json
from civitas.errors import ConfigurationError

if TYPE_CHECKING:
    from civitas.cli.dead_letters.source import MessageSource
    from civitas.transport.dead_letters.batch import BatchResult
    from civitas.transport.dead_letters.reader import MessageContents
    from civitas.transport.dead_letters.store import Kept, KeptMessage, Selection

EXIT_INTERRUPTED: Final = BY_SIGNAL + 2

_STAYING_SHOWN: Final = 20
"""Messages that stay and are printed with their reason; `--json` prints all."""

T = TypeVar("T")
SourceOf: TypeAlias = "Callable[[], MessageSource]"

_UNRESOLVED: Final = {"MessageSource": object}
"""What annotations of commands name for the type checker alone."""

Numbers = Annotated[
    list[int] | None,
    typer.Option("--number", "-n", metavar="N", min=1, help="This message. Repeatable."),
]
Agent = Annotated[str | None, typer.Option(metavar="NAME", help="The messages of this agent.")]
All = Annotated[bool, typer.Option("--all", help="All messages.")]
Waiting = Annotated[
    bool,
    typer.Option(
        "--waiting", help="Not dead letters, but what is kept for agents and not processed yet."
    ),
]
Expired = Annotated[
    bool,
    typer.Option(
        "--expired",
        help="Messages whose time is over as well: without a time limit, and nobody gets the"
        " answer.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def commands_for(source_of: Callable[..., MessageSource], help_text: str) -> typer.Typer:
    """Return the group of commands, each with the options of `source_of` before its own."""
    app = typer.Typer(help=help_text, no_args_is_help=True)
    commands: dict[str, Callable[..., None]] = {
        "list": list_messages,
        "show": show,
        "replay": replay,
        "drop": drop,
        "move": move,
    }
    for name, command in commands.items():
        app.command(name)(_with_source(source_of, command))
    return app


def list_messages(
    source: SourceOf,
    numbers: Numbers = None,
    agent: Agent = None,
    waiting: Waiting = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first of them, at most so many.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List dead letters, the oldest first. They stay where they are."""
    from civitas.cli.dead_letters import work
    from civitas.cli.dead_letters.output import as_json as row_of_json
    from civitas.cli.dead_letters.output import as_row, columns_of
    from civitas.cli.tables import write_table

    selection = _selection(numbers, agent, waiting=waiting)

    def row(message: KeptMessage, contents: MessageContents) -> Any:
        return row_of_json(message, contents, time.time()) if as_json else as_row(message, contents)

    rows, more = _run(work.read(source(), selection, limit, row))
    if as_json:
        write_json(rows)
    elif rows:
        write_table(columns_of(selection.kept), rows)
    else:
        _write_none(selection)
    if more:
        write_error(f"{more} more: raise --limit")


def show(
    source: SourceOf,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="As `list` has it.")],
    waiting: Waiting = False,
    as_json: options.AsJson = False,
) -> None:
    """Show one dead letter whole. It stays where it is."""
    from civitas.cli.dead_letters import output, work

    selection = _selection([number], None, waiting=waiting)

    def whole(message: KeptMessage, contents: MessageContents) -> Any:
        return (output.as_json if as_json else output.as_lines)(message, contents, time.time())

    rows, _ = _run(work.read(source(), selection, None, whole))
    for found in rows:
        if as_json:
            write_json(found)
        else:
            write(*found)


def replay(
    source: SourceOf,
    numbers: Numbers = None,
    agent: Agent = None,
    everything: All = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="To this agent instead of their own.")
    ] = None,
    expired: Expired = False,
    as_json: options.AsJson = False,
) -> None:
    """Return dead letters to their agents, in the order in which they came.

    A letter is removed once the transport keeps it for its agent again.

    One that its agent could not read, or would drop, stays; the exit code is 1 then.
    """
    selection = _selection(numbers, agent, everything)
    _return("replayed", source(), selection, _name(to, "--to"), expired=expired, as_json=as_json)


def drop(
    source: SourceOf,
    numbers: Numbers = None,
    agent: Agent = None,
    everything: All = False,
    waiting: Waiting = False,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove dead letters for ever, after asking."""
    from civitas.cli.dead_letters import work
    from civitas.transport.dead_letters.batch import BatchResult

    selection = _selection(numbers, agent, everything, waiting=waiting)
    if not yes and not sys.stdin.isatty():
        raise ConfigurationError("there is nobody to ask: give --yes")
    where = source()
    chosen = _run(work.chosen_from(where, selection))
    if chosen.count and not yes:
        _ask(f"Remove {_counted(chosen.count, selection.kept)} for ever?", "nothing is removed")
    result = BatchResult()
    try:
        _run(work.drop(where, chosen, result))
    finally:
        _report("removed", selection, result, as_json=as_json)


def move(
    source: SourceOf,
    former: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The name that no process has.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The agent that gets them.")],
    expired: Expired = False,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Move what waits for an agent that is no more to another one, in its order.

    A message is removed from the former name once the transport keeps it for the other one.

    One that no agent could read, or would drop, stays; the exit code is 1 then.
    """
    from civitas.cli.dead_letters import work

    former, target = str(_name(former, "--from")), str(_name(to, "--to"))
    if former == target:
        raise ConfigurationError(f"--from and --to are both {former!r}")
    selection = _selection(None, former, waiting=True)
    where = source()
    doubts = _run(work.doubts_about(where, former, target))
    if doubts and not yes:
        write_error(*doubts)
        if not sys.stdin.isatty():
            raise ConfigurationError("there is nobody to ask: give --yes to move them all the same")
        _ask(f"Move what waits for {former!r} all the same?", "nothing is moved")
    _return("moved", where, selection, target, expired=expired, as_json=as_json)


# --- parts -------------------------------------------------------------------------------------


def _return(
    verb: str,
    source: MessageSource,
    selection: Selection,
    agent: str | None,
    *,
    expired: bool,
    as_json: bool,
) -> None:
    from civitas.cli.dead_letters import work
    from civitas.transport.dead_letters.batch import BatchResult, Target

    result = BatchResult()
    target = Target(source.reader, agent, expired)
    try:
        _run(work.send(verb, source, selection, target, result))
    finally:
        _report(verb, selection, result, as_json=as_json)
    if result.kept:
        raise typer.Exit(FAILURE)


def _with_source(
    source_of: Callable[..., MessageSource], command: Callable[..., None]
) -> Callable[..., None]:
    """Return a command with the options of its source, which it gets as its first argument.

    Typer reads the signature and the annotations.
    """
    theirs = inspect.signature(source_of).parameters
    _, *own = inspect.signature(command).parameters.values()

    def run(**given: Any) -> None:
        of_source = {name: given.pop(name) for name in theirs}
        command(partial(source_of, **of_source), **given)

    hints = {
        **get_type_hints(source_of, include_extras=True, localns=_UNRESOLVED),
        **get_type_hints(command, include_extras=True, localns=_UNRESOLVED),
    }
    arguments = [
        each.replace(kind=each.KEYWORD_ONLY, annotation=hints[each.name])
        for each in (*theirs.values(), *own)
    ]
    run.__doc__ = command.__doc__
    run.__dict__["__wrapped__"] = command  # its source has the docstring
    run.__annotations__ = {each.name: each.annotation for each in arguments}
    run.__dict__["__signature__"] = inspect.Signature(arguments)
    return run


def _selection(
    numbers: Sequence[int] | None,
    agent: str | None,
    everything: bool | None = None,
    *,
    waiting: bool = False,
) -> Selection:
    """Return the selected messages; `everything` is None where a selection is not required."""
    from civitas.transport.dead_letters.store import Kept, Selection

    given = [bool(numbers), agent is not None, bool(everything)]
    if everything is not None and sum(given) != 1:
        raise ConfigurationError("which messages? give --number, --agent or --all, one of them")
    kept = Kept.WAITING if waiting else Kept.DEAD
    return Selection(kept, _name(agent, "--agent"), tuple(numbers or ()))


def _name(name: str | None, option: str) -> str | None:
    """Return the name of an agent after checking it."""
    from civitas.messages import name_problem

    problem = None if name is None else name_problem(name)
    if problem is not None:
        raise ConfigurationError(f"{option}: {problem}")
    return name


def _ask(question: str, otherwise: str) -> None:
    if not typer.confirm(question, err=True):
        write_error(otherwise)
        raise typer.Exit(FAILURE)


def _report(verb: str, selection: Selection, result: BatchResult, *, as_json: bool) -> None:
    """Print the results of a batch, also when an error has ended it."""
    if as_json:
        write_json({verb: result.done, "kept": [each._asdict() for each in result.kept]})
        return
    for each in result.kept[:_STAYING_SHOWN]:
        write_error(f"kept {each.number}, to {each.agent}: {each.reason}")
    if len(result.kept) > _STAYING_SHOWN:
        write_error(f"kept {len(result.kept) - _STAYING_SHOWN} more: --json tells of all")
    if result.done or result.kept:
        write(f"{verb} {_counted(result.done, selection.kept)}")
    elif sys.exception() is None:
        _write_none(selection)


def _write_none(selection: Selection) -> None:
    of_agent = "" if selection.agent is None else f" of agent {selection.agent!r}"
    write_error(f"there are no {selection.kept.value}s{of_agent}")


def _counted(count: int, kept: Kept) -> str:
    return f"{count} {kept.value}{'' if count == 1 else 's'}"


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return run_in_own_loop(coroutine)
    except KeyboardInterrupt:
        write_error("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
