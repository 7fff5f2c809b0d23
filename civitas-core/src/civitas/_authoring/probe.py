"""The probe: a plugin is tried in a process of its own, since its import may hang, exit or crash.

`try_plugin` starts this module as a program with the plugin's name. The child writes what it is
about to do and in the end what it found, each a line of JSON, and should it be killed, where the
plugin's code stood.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from civitas._authoring.conformance import proof_of, unproved
from civitas._program import command_of_part
from civitas.errors import CivitasError, crash_of, describe
from civitas.plugins import loader
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.errors import BrokenPluginError, UnusablePluginError
from civitas.plugins.loader import (
    LoadedInstrument,
    LoadedPlugin,
    LoadedSerializer,
    LoadedTransport,
    PluginLoader,
)
from civitas.plugins.specs import Capabilities, InstrumentContext, TransportContext

_STACK_TIMEOUT: Final = 2.0
"""Seconds in which a child whose time is up writes its stack."""
_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
"""A line of a stack as faulthandler writes it, the innermost first."""

Report = Callable[[str], None]


class Trial(NamedTuple):
    """Why a plugin can't be used, if it can't, and what its author should improve.

    The error is as `UnusablePluginError.as_dict` writes it. `unproved` says what of its claims the
    conformance report does not prove that its package ships.
    """

    error: dict[str, Any] | None
    advice: list[str]
    unproved: list[str]


def try_plugin(candidate: Candidate, protocol: str, timeout: float) -> Trial:
    """Import a plugin in a child process and make what it offers, if that needs no options.

    `protocol` is the Protocol class for its product, as `module:name`. After `timeout` seconds the
    child is killed.

    Raises:
        CivitasError: this program can't start children.
    """
    arguments = (candidate.kind.value, candidate.qualified_name, protocol)
    program = command_of_part(f"{__package__}.probe", *arguments)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as stack:
        child = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=stack,
            start_new_session=True,
        )
        try:
            ending = _ending(child.wait(timeout))
        except subprocess.TimeoutExpired:
            ending = f"was not done after {timeout:g} s"
            child.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                child.wait(_STACK_TIMEOUT)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # with whatever it started
            child.wait()
        reports = list(_reports(output))
        if reports and isinstance(reports[-1], list):
            return Trial(*reports[-1])
        doing = reports[-1] if reports else "starting"
        place = _place(_text_of(stack), candidate)
    return Trial(BrokenPluginError(candidate, f"{doing} {ending}{place}").as_dict(), [], [])


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _reports(output: IO[bytes]) -> Iterator[Any]:
    """Yield what the child reported. A plugin may have written to every open file: no JSON."""
    for line in _text_of(output).splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def _ending(status: int) -> str:
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with exit code {status}"
    return f"ended the process, {how}"


def _place(stack: str, candidate: Candidate) -> str:
    """Return the line of the plugin's own code that a stack went through last, if any is known."""
    package = candidate.module.partition(".")[0]
    for file, line in _FRAME.findall(stack):
        if package in (*Path(file).parts, Path(file).stem):
            return f", at {file}:{line}"
    return ""


def main(arguments: list[str]) -> None:
    """Be the child: load the plugin of this kind and qualified name and write what was found."""
    kind, name, protocol = arguments
    # A plugin may print when it is imported, for ever perhaps. Its output is discarded.
    result, stack = os.dup(sys.stdout.fileno()), os.dup(sys.stderr.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(signal.SIGUSR1, stack, all_threads=False, chain=True)

    def report(what: str | Trial) -> None:
        os.write(result, json.dumps(what).encode() + b"\n")

    module, _, attribute = protocol.partition(":")
    try:
        report(_try(PluginKind(kind), name, getattr(import_module(module), attribute), report))
    except UnusablePluginError as error:
        report(Trial(error.as_dict(), [], []))
    # Threads and exit handlers that the plugin started at import have no say in the result.
    os._exit(0)


def _try(kind: PluginKind, name: str, protocol: type, report: Report) -> Trial:
    """Load a plugin and make its product where that needs no options."""
    plugins = PluginLoader(report)
    loaded: LoadedPlugin[Any] = plugins.load(kind, name)
    if loaded.spec.options is None:
        return _make(loaded, None, protocol, report)
    from pydantic import ValidationError

    from civitas.plugins.options import options_advice
    from civitas.topology.option_schema import option_schema

    advice = options_advice(loaded.spec)
    report("the JSON Schema of its options")
    left_out = option_schema(loaded.spec.options).left_out
    advice += [f"{each}: `civitas topology schema` leaves it out" for each in left_out]
    report("making its options")
    try:
        options = loaded.spec.options()
    except ValidationError:
        claims = getattr(loaded.spec, "capabilities", None)
        stated = claims if isinstance(claims, Capabilities) else None
        advice.append("not made: some options have no default, so its methods are unchecked")
        return Trial(None, advice, _unproved(loaded.candidate, stated))
    except BaseException as error:
        text = describe(crash_of(error))
        cause = f"its options can't be made from their defaults: {text}"
        raise BrokenPluginError(loaded.candidate, cause) from error
    made = _make(loaded, options, protocol, report)
    return made._replace(advice=[*advice, *made.advice])


def _make(loaded: LoadedPlugin[Any], options: Any, protocol: type, report: Report) -> Trial:
    """Make the product, without starting it."""
    advice: list[str] = []
    open_: list[str] = []
    try:
        if isinstance(loaded, LoadedTransport):
            report("what gives its capabilities")
            claims = loader.capabilities_of(loaded, options)
            fixed = isinstance(loaded.spec.capabilities, Capabilities)
            when = "" if fixed else " with the default options"
            open_ = _unproved(loaded.candidate, claims, when)
            report("its factory")
            loader.make_transport(loaded, options, TransportContext(), protocol)
        else:
            open_ = _unproved(loaded.candidate)
            report("its factory")
            if isinstance(loaded, LoadedInstrument):
                loader.make_instrument(loaded, options, InstrumentContext(), protocol)
            else:
                assert isinstance(loaded, LoadedSerializer)
                loader.make_serializer(loaded, options, protocol)
    except UnusablePluginError:
        raise
    except CivitasError as error:
        advice.append(f"not made, so its methods are unchecked; its factory says: {error}")
    return Trial(None, advice, open_)


def _unproved(
    candidate: Candidate, claims: Capabilities | None = None, when: str = ""
) -> list[str]:
    """Return what the report that the plugin ships does not prove of these claims."""
    made = [] if claims is None else [name for name, made in asdict(claims).items() if made is True]
    return unproved(proof_of(candidate), made, when)


if __name__ == "__main__":
    main(sys.argv[1:])
