"""Trying a plugin in a process of its own, since what it imports may hang, exit or crash.

`try_plugin` starts this module as a program with the plugin's name; the child writes what it
found as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import import_module
from typing import Any, NamedTuple

from civitas.errors import CivitasError
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.diagnosis import BrokenPluginError, UnusablePluginError
from civitas.plugins.loader import (
    LoadedTransport,
    capabilities_of,
    load_serializer,
    load_transport,
    make_serializer,
    make_transport,
)
from civitas.plugins.specs import TransportContext


class Trial(NamedTuple):
    """What came of trying a plugin.

    Attributes:
        error: why it can't be used, as `UnusablePluginError.as_dict` writes it; `None` if it can.
        advice: what its author should improve.
    """

    error: dict[str, Any] | None
    advice: list[str]


def try_plugin(candidate: Candidate, protocol: str, timeout: float) -> Trial:
    """Import a plugin in a child process and make what it offers, if that needs no options.

    Args:
        candidate: the plugin.
        protocol: the Protocol class for its product, as `module:name`.
        timeout: seconds after which the child is killed.
    """
    # With -P the child searches the same places as the installed command, not this folder too.
    module = f"{__package__}.probe"
    program = [sys.executable, "-P", "-m", module, candidate.kind.value]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [*program, candidate.qualified_name, protocol],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            return _broken(candidate, f"importing it was not done after {timeout:g} s")
        finally:
            _end(child)
        output.seek(0)
        text = output.read()
    try:
        return Trial(*json.loads(text))
    except ValueError:
        return _broken(candidate, f"importing it ended the process, {_ending(status)}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started: they are one process group."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _broken(candidate: Candidate, cause: str) -> Trial:
    return Trial(BrokenPluginError(candidate, cause).as_dict(), [])


def _ending(status: int) -> str:
    if status < 0:
        return f"by signal {signal.Signals(-status).name}"
    return f"with exit code {status}"


def main(arguments: list[str]) -> None:
    """Be the child: load one plugin and write what was found.

    Args:
        arguments: the kind, the qualified name, and the protocol as `module:name`.
    """
    kind, name, protocol = arguments
    # A plugin may print when it is imported. Its words go where nobody takes them for the result.
    result = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, _, attribute = protocol.partition(":")
    try:
        advice = _try(PluginKind(kind), name, getattr(import_module(module), attribute))
        answer = Trial(None, advice)
    except UnusablePluginError as error:
        answer = Trial(error.as_dict(), [])
    os.write(result, json.dumps(answer).encode())
    # Threads and exit handlers that the plugin started at import have no say in the result.
    os._exit(0)


def _try(kind: PluginKind, name: str, protocol: type) -> list[str]:
    """Load a plugin and make its product where that needs no options; return advice."""
    if kind is PluginKind.SERIALIZER:
        make_serializer(load_serializer(name), protocol)
        return []
    loaded = load_transport(name)
    if loaded.spec.options is None:
        return _make(loaded, None, protocol)
    from pydantic import ValidationError

    from civitas.plugins.options import options_advice

    advice = options_advice(loaded.spec)
    try:
        options = loaded.spec.options()
    except ValidationError:
        return [*advice, "not made: some options have no default, so its methods are unchecked"]
    except Exception as error:
        cause = f"its options can't be made from their defaults: {type(error).__name__}: {error}"
        raise BrokenPluginError(loaded.candidate, cause) from error
    return [*advice, *_make(loaded, options, protocol)]


def _make(loaded: LoadedTransport, options: Any, protocol: type) -> list[str]:
    """Make the transport, without starting it; return advice."""
    try:
        capabilities_of(loaded, options)
        make_transport(loaded, options, TransportContext(), protocol)
    except UnusablePluginError:
        raise
    except CivitasError as error:
        return [f"not made, so its methods are unchecked; its factory says: {error}"]
    return []


if __name__ == "__main__":
    main(sys.argv[1:])
