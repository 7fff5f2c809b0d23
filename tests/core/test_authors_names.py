"""Names of authors: every name but the few of AgentProcess itself is theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime
from support.agents import SOON, runtime

PUBLIC = {
    *("name", "mailbox_size", "max_retries", "shutdown_timeout", "handle_timeout"),
    *("retry_delay", "retry_backoff", "after", "every", "background", "retry"),
    "concurrency",
    *("on_start", "handle", "on_unhandled", "on_error", "on_stop"),
    *("send", "ask", "broadcast", "reply", "defer", "stop", "status", "state"),
}

ORDINARY = """
    accept acknowledge active address agent agents alive apply args arguments attach backoff batch
    begin bind binding broker buffer bus cache call cancel channel children class_name clean cleanup
    client clock close closed closing codec collect command commit components config configure
    connect connected connection consume consumer context count counts create current data db
    deliver detach disconnect dispatch done emit end engine env error errors events execute exit
    export failure fetch finish flush format get group history host id idle inbox index init input
    items job join key kind kwargs leave leaving limit listen load lock log logger loop mailbox main
    make message messages metrics mode model name_of next node notify on_message open options outbox
    output owner parent path pause pending pid poll pool port process processes publish put queue
    read ready receive recover registry release reload remote remove request reset respawn restart
    restarts result resume retire retries role route run running save scope sender serializer
    session set settings setup shutdown signal slot slots source spawn start started stats status_of
    step stopped stopping store subscribe supervisor system tags task tasks tell terminate text tick
    timeout timer topic trace transport type update uuid validate value version wait wake watch work
    worker write
    _agent _args _arguments _binding _bus _configure _connect _connected _context _fail _handle _id
    _kwargs _leave _lock _loop _mailbox _message _name _node _run _sender _slot _start _state
    _status _stop _supervisor _task
"""


class Obedient(AgentProcess):
    """Answers, and crashes when it is told to."""

    async def handle(self, message: Message) -> Message:
        if message.type == "crash":
            raise ValueError("as it was told")
        return self.reply({"from": self.name})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return ErrorAction(message.payload["action"])


async def lives(*agents: AgentProcess) -> None:
    """Agents start, answer, crash, restart, answer again and end by themselves."""
    async with runtime(*agents, max_restarts=len(agents)) as system:
        for agent in agents:
            await answers(system, agent.name)
            await system.send(agent.name, {"action": "ESCALATE"}, "crash")
        for agent in agents:
            await answers(system, agent.name)
            assert system.get_agent(agent.name) is not agent
            await system.send(agent.name, {"action": "STOP"}, "crash")
        assert system.stats().restarts == len(agents)
        assert await system.wait() == 0


async def answers(system: Runtime, name: str) -> None:
    assert (await system.ask(name, {}, timeout=SOON)).payload == {"from": name}


async def method(self: object, *arguments: object) -> None:
    raise AssertionError("the runtime has no business with it")


@pytest.mark.parametrize("name", ORDINARY.split())
async def test_an_agent_may_have_any_ordinary_name_as_its_own(name: str) -> None:
    class AsAttribute(Obedient):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            setattr(self, name, "mine")

    bodies = {"value": "mine", "method": method, "property": property(lambda _: "mine")}
    of_class = [type("Own", (Obedient,), {name: body})(kind) for kind, body in bodies.items()]
    await lives(*of_class, AsAttribute("attribute"))


def test_the_names_that_the_runtime_has_are_those_that_the_docs_list() -> None:
    there = {name for name in {*dir(AgentProcess), *vars(AgentProcess("x"))} if name[:2] != "__"}
    assert there - PUBLIC == {"_civitas_binding"}
    docs = (Path(__file__).parents[2] / "docs/agents.md").read_text()
    section = docs.partition("## Names of your own")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)", section)) >= PUBLIC


# --- state ----------------------------------------------------------------------------------------


class AsClassAttribute(Obedient):
    state = "awake"


class AsInstanceAttribute(Obedient):
    def __init__(self, *arguments: Any) -> None:
        self.state = "awake"
        super().__init__(*arguments)


class AsProperty(Obedient):
    @property
    def state(self) -> str:
        return "awake"


@dataclass
class AsField(Obedient):
    label: str
    state: str = "awake"

    def __post_init__(self) -> None:
        super().__init__(self.label)


class AsSlot(Obedient):
    __slots__ = ("state",)

    def __init__(self, *arguments: Any) -> None:
        self.state = "awake"
        super().__init__(*arguments)


KINDS = (AsClassAttribute, AsInstanceAttribute, AsProperty, AsField, AsSlot)


@pytest.mark.parametrize("kind", KINDS)
async def test_state_can_be_redeclared(kind: Any) -> None:
    agent = kind("worker")
    assert agent.state == "awake"
    await lives(agent)


async def test_state_is_a_dict_of_each_object_which_a_restart_makes_anew() -> None:
    first, second = Obedient("first"), Obedient("second")
    assert first.state == second.state == {}
    first.state["count"] = 1
    assert (first.state, second.state) == ({"count": 1}, {})
    async with runtime(first) as system:
        await system.send("first", {"action": "ESCALATE"}, "crash")
        await system.ask("first", {}, timeout=SOON)
        fresh = system.get_agent("first")
        assert fresh is not None
        assert fresh.state == {}


# --- what the runtime does without ----------------------------------------------------------------


async def test_an_agent_whose_own_stop_does_something_else_ends_after_an_error() -> None:
    class Sloppy(Obedient):
        def stop(self) -> Any:
            raise AssertionError("not called by the runtime")

    await lives(Sloppy("worker"))


async def test_an_agent_may_guard_its_attributes_from_the_first() -> None:
    class Guarded(Obedient):
        def __init__(self, *arguments: Any) -> None:
            object.__setattr__(self, "allowed", PUBLIC)
            super().__init__(*arguments)

        def __setattr__(self, key: str, value: object) -> None:
            assert key in self.allowed
            super().__setattr__(key, value)

    await lives(Guarded("worker"))


async def test_an_agent_may_be_empty_equal_to_others_and_without_a_hash() -> None:
    class Collection(Obedient):
        def __len__(self) -> int:
            return 0

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Collection)

        __hash__ = None  # type: ignore[assignment]

    await lives(Collection("first"), Collection("second"))
