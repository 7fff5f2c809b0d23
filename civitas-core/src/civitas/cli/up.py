"""`civitas up`: run all processes of a topology on this machine, as a process group."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli import options, streams
from civitas.cli.event_loop import keep_objects, run_in_own_loop
from civitas.cli.foreign_code import foreign_code
from civitas.cli.notices import notifier_here
from civitas.cli.signals import stop_on_signals
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas._health.notify import Notifier
    from civitas.cli.process_group.group import ProcessGroup
    from civitas.cli.process_group.notices import Notices
    from civitas.topology import Topology


def up(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
    health: options.Health = None,
    app_dir: options.AppDir = Path(),
    log_level: options.LogLevel = "info",
    log_format: options.LogFormat = "text",
    grace: Annotated[
        float, options.seconds("What a process may take to end before it is killed.", 0.0, 86_400.0)
    ] = 35.0,
) -> None:
    """Run all processes of a topology: Ctrl-C ends them in order, a second one kills them."""
    from civitas.cli.logs import configure_logging
    from civitas.cli.process_group.console import OWN_NAME
    from civitas.topology import pipes

    if os.getpid() == 1:
        from civitas.cli.first_process import go_on_behind_process_1

        go_on_behind_process_1()
    configure_logging(log_level, log_format, OWN_NAME)
    pipes.kept.set({})  # the processes read the topology, too
    given = options.chosen(topology, file, overlays, transport, sets)._replace(health=health)
    notifier = notifier_here()
    environment = os.environ.copy()
    with foreign_code():  # the processes print it again, to stdout
        loaded = given.load()
    arguments = [
        "run",
        f"--topology={given.file}",
        f"--app-dir={app_dir}",
        f"--log-level={log_level}",
        f"--log-format={log_format}",
    ]
    arguments += [f"--overlay={each}" for each in given.overlays]
    arguments += [f"--transport={transport}"] if transport is not None else []
    private = [f"--set={each}" for each in sets or ()]
    _run_all(loaded, arguments, private, environment, grace, log_format, notifier)


def processes_to_run(topology: Topology) -> tuple[str, ...]:
    """Return the names of the processes that a topology needs, the primary first."""
    return (PRIMARY, *topology.processes) if options.crosses_processes(topology) else (PRIMARY,)


def _run_all(
    topology: Topology,
    arguments: list[str],
    private_arguments: list[str],
    environment: Mapping[str, str],
    grace: float,
    log_format: str,
    notifier: Notifier | None,
) -> None:
    """Run a `civitas run` for each process until they end, and exit."""
    from civitas.cli.logs import JSON
    from civitas.cli.process_group.console import Console, colours_allowed
    from civitas.cli.process_group.group import Member, ProcessGroup
    from civitas.cli.process_group.parent_watch import ParentWatch
    from civitas.cli.process_group.private_arguments import PrivateArguments
    from civitas.topology import pipes

    names = processes_to_run(topology)
    own = (streams.out(), streams.err())
    out, err = (io.FileIO(each.fileno(), "wb", closefd=False) for each in own)
    console = Console(names, out, err, colours=colours_allowed(), as_json=log_format == JSON)
    addresses = health_arguments(topology, names)
    files = pipes.kept.get() or {}
    with (
        ParentWatch() as watch,
        _notices(notifier) as notices,
        PrivateArguments(
            private_arguments, files, None if notices is None else notices.end
        ) as private,
    ):
        members = []
        for name in names:
            given = (*arguments, f"--process={name}", *addresses.get(name, ()))
            command = watch.command(*given, grace=grace, private=private)
            members.append(Member(name, command, is_primary=name == PRIMARY))
        descriptors = [watch.descriptor, private.descriptor]
        descriptors += [notices.end.descriptor] if notices is not None else []
        group = ProcessGroup(
            members,
            console,
            grace=grace,
            pass_fds=descriptors,
            environment=environment,
            said_done=watch.is_done,
        )
        group.say(f"starting {', '.join(names)}; Ctrl-C stops")
        for note in topology.notes:
            group.say(f"note: {note}")
        if topology.processes and len(names) == 1:
            group.say(
                f"transport {topology.transport.type_name!r} stays within one process: "
                f"the agents of {', '.join(topology.processes)} run in {PRIMARY} too"
            )
        keep_objects()
        raise typer.Exit(run_in_own_loop(_run_group(group, notices)))


def health_arguments(topology: Topology, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the argument that gives each of some processes a health address of its own.

    Raises:
        ConfigurationError: there are not enough ports for all of them.
    """
    listen = topology.health.listen
    if listen is None:
        return {}
    return {name: [f"--health={listen.after(number)}"] for number, name in enumerate(names)}


def _notices(notifier: Notifier | None) -> AbstractContextManager[Notices | None]:
    if notifier is None:
        return nullcontext()
    from civitas.cli.process_group.notices import Notices

    return Notices(notifier)


async def _run_group(group: ProcessGroup, notices: Notices | None) -> int:
    """Run a process group until it ends; the first signal stops it, the second one kills it."""
    import asyncio  # the help of this command needs none

    loop = asyncio.get_running_loop()

    def stop(name: str) -> None:
        group.say(f"{name}: ending all in order; once more to kill them")
        group.stop()

    def stop_soon(name: str) -> None:
        with suppress(RuntimeError):  # the loop has just ended, and all with it
            loop.call_soon_threadsafe(stop, name)

    stop_on_signals(stop_soon, lambda _: group.kill(), hangup=True)
    if notices is None:
        return await group.run()
    from civitas.transport.tasks import cancel_task, start_task

    telling = start_task(
        notices.tell(group), name="civitas notices", failed=lambda error: group.say(str(error))
    )
    try:
        return await group.run()
    finally:
        cancel_task(telling)
