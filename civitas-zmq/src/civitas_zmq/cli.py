"""The command `civitas-zmq`: `proxy` runs a proxy in the foreground, `keygen` makes keys."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli.entry import CommandGroup, run_commands
from civitas.cli.logs import configure_logging
from civitas.cli.options import Overlays
from civitas.cli.output import write, write_error, write_json
from civitas.cli.paths import at_home
from civitas.errors import ConfigurationError, logger_of

if TYPE_CHECKING:
    from civitas_zmq.proxy import ProxySettings

SECRET_VARIABLE: Final = "CIVITAS_ZMQ_SERVER_SECRET_KEY"

_CHECK_INTERVAL: Final = 0.5
"""Seconds between two checks that the proxy still runs."""

app = typer.Typer(
    name="civitas-zmq",
    cls=CommandGroup,
    help="Run the ZeroMQ proxy that the processes of a system connect to, and make keys for it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

TopologyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Take all settings from this topology's transport.",
        callback=at_home,
    ),
]
SecretKeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"The proxy's secret key; or the variable {SECRET_VARIABLE} has it.",
        callback=at_home,
    ),
]
AllowFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Public keys to let in, one in a line.", callback=at_home),
]


@app.command()
def proxy(
    pub_addr: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            show_default="tcp://127.0.0.1:5559",
            help="Where processes send to.",
        ),
    ] = None,
    sub_addr: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            show_default="tcp://127.0.0.1:5560",
            help="Where they receive from.",
        ),
    ] = None,
    topology: TopologyFile = None,
    overlays: Overlays = None,
    secret_key_file: SecretKeyFile = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Public key of a process to let in. Repeatable."),
    ] = None,
    allow_file: AllowFile = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="From which level.")] = "info",
) -> None:
    """Run a proxy in the foreground, until SIGINT or SIGTERM.

    Processes use it with `start_proxy: false`.
    """
    from civitas_zmq import cli_settings, keys
    from civitas_zmq.proxy import ProxySettings

    configure_logging(log_level)
    secret = keys.read_key(secret_key_file) if secret_key_file else None
    secret = secret or os.environ.get(SECRET_VARIABLE)
    chosen = ProxySettings()
    if topology is not None:
        chosen = cli_settings.of_topology(topology, secret, overlays or ())
    elif overlays:
        raise ConfigurationError("--overlay changes a topology: give --topology as well")
    chosen = cli_settings.with_addresses(chosen, pub_addr, sub_addr)
    allowed = [*(allow or []), *(keys.read_keys(allow_file) if allow_file else [])]
    chosen = cli_settings.with_keys(chosen, secret, allowed)
    raise typer.Exit(_run(chosen))


@app.command()
def keygen(
    name: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NAME]",
            help="Write NAME.key and NAME.pub; none given, print.",
            callback=at_home,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key pair: one for the proxy, and one for each process.

    With NAME the secret key goes to a file that only you can read, and is not shown.
    """
    from civitas_zmq.keys import make_pair, write_pair

    pair = make_pair()
    if name is None:
        shown = {"public_key": pair.public_key, "secret_key": pair.secret_key}
    else:
        secret_file, public_file = write_pair(name, pair)
        shown = {
            "public_key": pair.public_key,
            "public_key_file": str(public_file),
            "secret_key_file": str(secret_file),
        }
    if as_json:
        write_json(shown)
    else:
        write(*(f"{key}: {value}" for key, value in shown.items()))


def _run(settings: ProxySettings) -> int:
    """Run a proxy until a signal; return the exit code."""
    from civitas_zmq.proxy import Proxy

    # Not an Event: a handler that interrupts the wait for one may need the lock that this holds.
    signals: SimpleQueue[int] = SimpleQueue()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: signals.put(number))
    running = Proxy(settings, logger_of("civitas.zmq.proxy"))
    running.start()
    try:
        keys = ""
        if settings.server_secret_key is not None:
            keys = f"; keys let in: {len(settings.allowed_clients)}"
        write(f"ready: publish to {settings.pub_addr}, subscribe at {settings.sub_addr}{keys}")
        sys.stdout.flush()
        while running.is_running:
            with suppress(Empty):
                signals.get(timeout=_CHECK_INTERVAL)
                return 0
    finally:
        running.stop()
    write_error("error: the proxy failed")
    return 1


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    run_commands(app)
