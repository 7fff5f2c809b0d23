"""Names of the distribution civitas 0.12 that are not here: errors say what is written instead."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import civitas
from civitas import Runtime, Supervisor, Worker
from civitas._published import KEYS, NAMES, OPTIONS, TYPES
from civitas.components import build_component_set
from civitas.errors import ConfigurationError
from civitas.serializer import MsgpackSerializer
from civitas.topology.model import BLOCKS
from civitas.transport import InProcessTransport
from civitas_nats import NATSTransport
from civitas_zmq import ZMQTransport
from support.commands import printed_by


def test_what_has_a_hint_is_not_here() -> None:
    assert not NAMES.keys() & {*civitas.__all__, *dir(civitas)}
    assert not any({*KEYS} & set(block.model_fields) for name, block in BLOCKS if name != "child")
    for made in (Runtime, Worker, build_component_set):
        assert not OPTIONS.keys() & set(inspect.signature(made).parameters)
    assert not any("." in each for each in TYPES), "a class is not refused"


@pytest.mark.parametrize("name", ["GenServer", "EvalAgent"])
def test_an_import_of_a_name_that_is_not_here_says_what_is(name: str) -> None:
    said = NAMES[name] or "nothing here takes its place"
    told = printed_by(
        f"try:\n    from civitas import Runtime, {name}\nexcept ImportError as error: print(error)"
    )
    for part in (f"cannot import '{name}'", "civitas 0.12", said):
        assert part in told
    with pytest.raises(AttributeError, match=f"{name}.*civitas 0.12"):
        getattr(civitas, name)


def test_whether_a_name_is_there_can_be_asked_and_others_are_as_python_has_them() -> None:
    assert not hasattr(civitas, "GenServer")
    assert not hasattr(civitas, "nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'civitas'"):
        exec("from civitas import nothing")


@pytest.mark.parametrize("name", ["RoutingEntry", "SpawnError"])
def test_names_that_are_elsewhere_here_can_be_imported_from_the_top_too(name: str) -> None:
    module = importlib.import_module(getattr(civitas, name).__module__)
    assert getattr(module, name) is getattr(civitas, name)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_the_other_says_what_is_written_here(option: str) -> None:
    made: Any = build_component_set if option == "transport_type" else Runtime
    first = () if option == "transport_type" else (Supervisor("root"),)
    with pytest.raises(ConfigurationError) as refused:
        made(*first, **{option: object()})
    said = OPTIONS[option] or "nothing here takes its place"
    assert f"is of the distribution civitas 0.12; {said}" in str(refused.value)


def test_a_worker_without_a_transport_is_told_how_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match=r'Worker\(agents, transport="NAME"\)'):
        Worker([])


async def test_a_tree_without_children_is_idle_until_it_is_stopped() -> None:
    async with Runtime(Supervisor("root", children=None)) as runtime:
        assert runtime.all_agents() == []
        waiting = runtime.wait()
        await runtime.stop()
        assert await waiting == 0


@pytest.mark.parametrize("transport", [InProcessTransport, ZMQTransport, NATSTransport])
def test_a_transport_that_is_given_a_serializer_says_what_it_takes(transport: Any) -> None:
    with pytest.raises(ConfigurationError, match="not MsgpackSerializer; a serializer is given to"):
        transport(MsgpackSerializer())
