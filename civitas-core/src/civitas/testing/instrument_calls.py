"""Calls of an instrument, as the kit makes them: what a method raises fails the test, in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from civitas.errors import AgentError, CivitasError, ErrorAction, describe
from civitas.instruments import NodeView
from civitas.messages import Message
from civitas.process import AgentProcess
from civitas.runtime import Runtime
from civitas.supervisor import Supervisor


def call(instrument: Any, method: str, *arguments: object) -> Any:
    """Call a method, if it is there."""
    function = getattr(instrument, method, None)
    if function is None:
        return None
    try:
        return function(*arguments)
    except BaseException as error:
        raise _raised(method, error) from error


async def finish(instrument: Any, method: str, *arguments: object) -> None:
    """Call `start` or `stop`, if it is there, and await it."""
    result = call(instrument, method, *arguments)
    if isinstance(result, Awaitable):
        try:
            await result
        except BaseException as error:
            raise _raised(method, error) from error


def manager_of(instrument: Any, message: Message) -> Any:
    """Return what `handling` gives for a message."""
    return call(instrument, "handling", message.recipient, message)


def enter(manager: Any) -> Callable[[BaseException | None], None]:
    """Enter a context manager, if it is one; return what leaves it with an outcome."""
    if manager is None:
        return lambda _error: None
    kind = type(manager)
    lacking = [name for name in ("__enter__", "__exit__") if not hasattr(kind, name)]
    assert not lacking, (
        f"what `handling` gives, a {kind.__name__}, has no {' and no '.join(lacking)}"
    )
    call(manager, "__enter__")

    def leave(error: BaseException | None) -> None:
        trace = None if error is None else error.__traceback__
        call(manager, "__exit__", None if error is None else type(error), error, trace)

    return leave


def execute(instrument: Any, message: Message, error: BaseException | None) -> None:
    """Let it watch an execution that comes to this."""
    enter(manager_of(instrument, message))(error)


def _raised(method: str, error: BaseException) -> AssertionError:
    return AssertionError(f"{method} raised {describe(error)}")


async def fill(instrument: Any) -> None:
    """Start it, let it see a few messages, and stop it."""
    await finish(instrument, "start", node_view())
    await show_many(instrument, range(10))
    await finish(instrument, "stop")


async def show_many(instrument: Any, numbers: range) -> None:
    """Let it see messages, of which some fail; its own tasks have their turns."""
    for number in numbers:
        message = message_of(number)
        message.reply_to = f"_reply.0123456789abcdef.{number}"
        call(instrument, "sending", message)
        execute(instrument, message, ValueError(f"no {number}") if number % 10 == 0 else None)
        if number % 50 == 0:
            await asyncio.sleep(0)


def message_of(number: int = 0) -> Message:
    """Return a message with identifiers of its own."""
    return Message(
        id=f"0190d3a4-7c1e-7abc-8def-{number:012x}",
        type="question",
        sender="asker",
        recipient="oracle",
        payload={"what": "is 6 times 7?"},
        timestamp=1721000000.25,
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_span_id="fedcba9876543210",
    )


def node_view() -> NodeView:
    """Return what stands for a node."""
    return NodeView("supervisor", "0123456789abcdef", "primary", dict)


class _Oracle(AgentProcess):
    """Does with a message what its payload says."""

    async def handle(self, message: Message) -> Message | None:
        match message.payload.get("do"):
            case "fail":
                raise ValueError("no good")
            case "retry" if message.attempt < 2:
                raise TimeoutError("not yet")
            case "defer":
                await self.defer().reply({"later": True})
                return None
            case "nothing":
                return None
        return self.reply({"payload": message.payload, "attempt": message.attempt})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        what = message.payload.get("then", "ESCALATE")
        return ErrorAction.RETRY if isinstance(error, TimeoutError) else ErrorAction[what]


_ASKED: Final[tuple[dict[str, Any], ...]] = (
    *({}, {"text": "é🦜"}, {"do": "retry"}, {"do": "defer"}, {"do": "nothing"}),
    *({"do": "fail", "then": "SKIP"}, {"do": "fail"}, {"after": "a crash"}),
)


async def outcomes(instruments: list[Any]) -> tuple[list[Any], Mapping[str, Mapping[str, int]]]:
    """Return what a node makes of messages, and how often methods of its instruments raised."""
    tree = Supervisor("root", [_Oracle("oracle")], backoff_base=0.0)
    found: list[Any] = []
    async with Runtime(tree, instruments=instruments) as runtime:
        for payload in _ASKED:
            try:
                found.append((await runtime.ask("oracle", payload)).payload)
            except AgentError as error:
                found.append(str(error))
        await runtime.broadcast("ora*", {})
        try:
            await runtime.send("nobody", {})
        except CivitasError as error:
            found.append(str(error))
        await runtime.ask("oracle", {})
        stats = runtime.stats()
        found += [stats.sent, stats.delivered, stats.dropped, stats.restarts]
        found += [(each.name, each.handled, each.errors) for each in stats.agents]
    return found, runtime.stats().instruments
