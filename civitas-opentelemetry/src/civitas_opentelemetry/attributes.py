"""The names of OpenTelemetry's conventions for messaging, and what messages have for them.

https://opentelemetry.io/docs/specs/semconv/messaging/
"""

from __future__ import annotations

from typing import Final

from civitas.errors import printable
from civitas.instruments import role_of
from civitas.messages import Message

SEND: Final = "send"
PROCESS: Final = "process"

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
CLIENT_ID: Final = "messaging.client.id"
ERROR_TYPE: Final = "error.type"
MESSAGE_TYPE: Final = "civitas.message.type"
ATTEMPT: Final = "civitas.message.attempt"
AGENT: Final = "civitas.agent.name"
REASON: Final = "civitas.dead_letter.reason"

_MOST_TEXT: Final = 200
"""Bytes of a text of others that an attribute has."""

_MOST_ROLES: Final = 1_000
"""Roles whose attributes are kept: names that are sent to may be anybody's."""


class Operation:
    """One of the two operations: what its spans are called, and the attributes of each role."""

    __slots__ = ("_known", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._known: dict[str, tuple[str, dict[str, str]]] = {}

    def of(self, agent: str) -> tuple[str, dict[str, str]]:
        """Return the name of a span, and the attributes that all spans of a role have."""
        found = self._known.get(agent)
        if found is None:
            role = shown(role_of(agent))
            found = (
                f"{self.name} {role}",
                {
                    SYSTEM: "civitas",
                    OPERATION_NAME: self.name,
                    OPERATION_TYPE: self.name,
                    DESTINATION: role,
                },
            )
            if len(self._known) < _MOST_ROLES:
                self._known[agent] = found
        return found


def of_message(message: Message, client: str) -> dict[str, str | int]:
    """Return the attributes of one message, which only a span that is recorded has."""
    found: dict[str, str | int] = {
        MESSAGE_ID: shown(message.id),
        CONVERSATION_ID: shown(message.correlation_id or message.id),
        CLIENT_ID: client,
        MESSAGE_TYPE: shown(message.type),
    }
    if message.attempt:
        found[ATTEMPT] = message.attempt
    return found


def error_type(error: BaseException) -> str:
    """Return the class of an error, with its module unless that is of Python itself."""
    kind = type(error)
    name = kind.__qualname__
    return shown(name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}")


def shown(text: object) -> str:
    """Return a text of others as one that every exporter can encode."""
    return printable(str(text), _MOST_TEXT)
