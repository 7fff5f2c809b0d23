"""Error replies: what goes over the wire about an error, and what is made of what comes."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from civitas import Message, Runtime, Supervisor
from civitas._bus.error_replies import error_of, error_reply
from civitas.errors import (
    TEXT_LIMIT,
    AgentError,
    CivitasError,
    MessageRoutingError,
    MessageTooLargeError,
    MessageValidationError,
    RefusedMessageError,
    UnansweredError,
)
from civitas.messages import TYPE_ERROR
from civitas.transport import InProcessTransport
from support.agents import SOON, Scripted, echo

REQUEST = Message(recipient="a", reply_to="_reply.n.1")


@pytest.mark.parametrize(
    ("error", "executed", "kind", "text"),
    [
        (ValueError("no"), True, AgentError, "agent 'a' failed to answer: ValueError: no"),
        (ValueError(), True, AgentError, "agent 'a' failed to answer: ValueError"),
        (MessageRoutingError("no 'x'"), True, AgentError, "MessageRoutingError: no 'x'"),
        (MessageRoutingError("no 'a'"), False, MessageRoutingError, "no 'a'"),
        (RefusedMessageError("no", "payload.x"), True, MessageValidationError, "no"),
        (UnansweredError("a", "why"), True, UnansweredError, "agent 'a' gave no answer: why"),
    ],
)
def test_an_error_comes_as_what_the_asker_may_conclude(
    error: Exception, executed: bool, kind: type[CivitasError], text: str
) -> None:
    heard = error_of(error_reply(REQUEST, "a", error, executed=executed))
    assert type(heard) is kind
    assert text in str(heard)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"kind": "of the future"},
        {"kind": 7, "agent": None, "error_type": [], "error_text": {"a": 1}},
        {"kind": "agent", "agent": "\x1b[2J", "error_type": "\x9b", "error_text": "\n" * 99_999},
        {"kind": "routing", "error_text": "\x1b]0;title\x07" * 9_999},
        {"kind": "unanswered", "error_text": "\u202egnp.exe"},
    ],
)
def test_whatever_comes_as_an_error_reply_is_an_error_that_can_be_shown(payload: Any) -> None:
    heard = error_of(Message(type=TYPE_ERROR, sender="a", payload=payload))
    assert str(heard).isprintable()
    assert len(str(heard).encode()) < 2 * TEXT_LIMIT


class Narrow(InProcessTransport):
    """Carries small frames only."""

    async def publish(self, address: str, data: bytes) -> None:
        if len(data) > 800:
            raise MessageTooLargeError(f"{len(data)} bytes")
        await super().publish(address, data)


async def test_a_text_that_is_too_large_for_the_transport_is_shortened() -> None:
    async def fail_at_length(agent: Scripted, message: Message) -> None:
        raise ValueError("x" * 10_000)

    root = Supervisor("root", [Scripted("a", fail_at_length)], backoff_base=0.0)
    async with Runtime(root, transport=Narrow()) as r:
        with pytest.raises(AgentError, match="ValueError: xxxxxxxx.*…"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_reply_that_is_too_large_is_an_error_to_who_asked() -> None:
    async def answer_at_length(agent: Scripted, message: Message) -> Message:
        return agent.reply({"x": "x" * 10_000})

    root = Supervisor("root", [Scripted("a", answer_at_length), Scripted("b", echo)])
    async with Runtime(root, transport=Narrow()) as r:
        with pytest.raises(AgentError, match="MessageTooLargeError"):
            await r.ask("a", {}, timeout=SOON)


ENDINGS = """
import asyncio, os, signal, sys
from civitas import AgentProcess, Runtime, Supervisor

class Agent(AgentProcess):
    async def handle(self, message):
        match message.payload["do"]:
            case "exit":
                sys.exit(3)
            case "interrupt":
                for _ in range(2):  # the first one cancels the main task
                    os.kill(os.getpid(), signal.SIGINT)
                    for _ in range(10_000):
                        os.getpid()
        return self.reply({})

async def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    async with Runtime(Supervisor("root", [Agent("a")], backoff_base=0.0)) as runtime:
        for do in sys.argv[1:]:
            try:
                await runtime.ask("a", {"do": do}, timeout=10)
            except Exception as error:
                print(error, flush=True)

asyncio.run(main())
"""


def run(*what: str) -> subprocess.CompletedProcess[str]:
    """Run a process whose agent does these things, one after the other."""
    return subprocess.run(
        [sys.executable, "-c", ENDINGS, *what],
        capture_output=True,
        text=True,
        timeout=6 * SOON,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_an_exit_in_a_handler_does_not_end_the_process() -> None:
    ended = run("exit", "nothing", "exit")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "agent 'a' failed to answer: SystemExit: 3\n" * 2


def test_an_interrupt_by_a_signal_does() -> None:
    ended = run("interrupt", "nothing")
    assert ended.returncode in {-signal.SIGINT, 128 + signal.SIGINT, 1}
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
    assert ended.stdout == ""
