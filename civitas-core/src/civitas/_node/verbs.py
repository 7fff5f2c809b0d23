"""Verbs: what the program around a node does through it: send, ask and broadcast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar, overload

from civitas._bus.bus import MessageBus
from civitas._bus.sender import Sender
from civitas._typed.shapes import Payload
from civitas.errors import ConfigurationError, NotConnectedError
from civitas.messages import Message

R = TypeVar("R")
T = TypeVar("T")


class Verbs(ABC):
    """The verbs of a node, for its callers; a node says whether it runs, and where."""

    _bus: MessageBus
    _callers: Sender

    def send(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = "message",
        headers: Mapping[str, str] | None = None,
        ttl: float | None = None,
        priority: int = 0,
    ) -> Coroutine[Any, Any, None]:
        """Send a message to an agent; see `AgentProcess.send`."""
        sending = self._callers.send(recipient, payload, message_type, headers, ttl, priority)
        return sending if self._bus.affinity.is_running() else self._in_loop(sending)

    @overload
    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
        headers: Mapping[str, str] | None = ...,
    ) -> Coroutine[Any, Any, Message]: ...

    @overload
    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
        headers: Mapping[str, str] | None = ...,
        *,
        reply: type[R],
    ) -> Coroutine[Any, Any, R]: ...

    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = "message",
        timeout: float | None = 30.0,
        headers: Mapping[str, str] | None = None,
        *,
        reply: type[R] | None = None,
    ) -> Coroutine[Any, Any, Message] | Coroutine[Any, Any, R]:
        """Send a message to an agent; awaiting it gives the answer; see `AgentProcess.ask`."""
        asking = self._callers.ask(recipient, payload, message_type, timeout, headers)
        if not self._bus.affinity.is_running():
            asking = self._in_loop(asking)
        if reply is None:
            return asking
        from civitas._typed.answers import as_model  # a process without models does without

        return as_model(asking, reply)

    async def broadcast(
        self,
        pattern: str,
        payload: Payload,
        message_type: str = "message",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send to every agent whose name matches; see `AgentProcess.broadcast`."""
        self._check_running()
        await self._callers.broadcast(pattern, payload, message_type, headers)

    @abstractmethod
    def _check_running(self) -> None:
        """Raise NotConnectedError unless the node has started, and not ended."""

    @abstractmethod
    def _check_loop(self) -> None:
        """Raise unless the node has ended, or this runs in the event loop that it belongs to."""

    def _in_loop(self, verb: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Return a verb that is refused if it runs in another event loop.

        The bus looks at the thread only. That is enough while the node's loop is running.
        """
        try:
            self._check_running()
        except NotConnectedError:
            verb.close()
            raise
        return self._checked(verb)

    async def _checked(self, verb: Coroutine[Any, Any, T]) -> T:
        try:
            self._check_loop()
        except ConfigurationError:
            verb.close()
            raise
        return await verb
