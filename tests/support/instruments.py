"""Instruments for tests: one that writes down what it sees, and some whose methods raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from civitas import AgentProcess, Message, Runtime, Supervisor

METHODS = ("start", "stop", "sending", "handling", "dead_letter", "crashed", "restarted")


class Recorder:
    """Writes down each call."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def start(self, node: Any) -> None:
        self.node = node
        self.seen.append(("start",))

    async def stop(self) -> None:
        self.seen.append(("stop",))

    def sending(self, message: Message) -> None:
        self.seen.append(("sending", message.recipient))

    def handling(self, role: str, message: Message) -> Recorded:
        return Recorded(self.seen, role)

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        self.seen.append(("dead_letter", reason))

    def crashed(self, agent: str, error: BaseException) -> None:
        self.seen.append(("crashed", agent, str(error)))

    def restarted(self, agent: str) -> None:
        self.seen.append(("restarted", agent))


class Recorded:
    """Writes down that a handler begins, and what it comes to."""

    def __init__(self, seen: list[tuple[Any, ...]], role: str) -> None:
        self.seen, self.role = seen, role

    def __enter__(self) -> None:
        self.seen.append(("enter", self.role))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.seen.append(("exit", self.role, kind and kind.__name__))
        return True  # which counts for nothing


def runtime_with(*agents: AgentProcess, instruments: list[Any], **supervision: Any) -> Runtime:
    tree = Supervisor("root", agents, **({"backoff_base": 0.0} | supervision))
    return Runtime(tree, instruments=instruments)


def raising(*methods: str, error: Callable[[], BaseException] = lambda: ValueError("mine")) -> Any:
    """Return an instrument whose methods of these names raise."""

    def method(self: Any, *_: Any) -> Any:
        raise error()

    return type("Faulty", (), dict.fromkeys(methods, method))()
