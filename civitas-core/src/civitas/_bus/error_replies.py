"""Error replies: how an error of an asked agent becomes an error of the one who asked.

The kinds differ in what the asker may conclude: requests of the last two were not executed.

    kind       | what happened                                  | who asked gets
    -----------+------------------------------------------------+--------------------
    agent      | the agent raised, or ended, while it executed  | AgentError
    unanswered | the agent executed it, and gave no answer      | UnansweredError
    invalid    | the agent has refused it, and executes nothing | MessageValidationError
    routing    | no agent has begun to execute it               | MessageRoutingError

An agent's error is of the first kind whatever its class: also a MessageRoutingError, which says
that a send of the agent's own found nobody.
"""

from __future__ import annotations

from typing import Final

from civitas import envelope
from civitas.envelope import KIND_MESSAGE
from civitas.errors import (
    AgentError,
    CivitasError,
    FrameError,
    MessageRoutingError,
    MessageValidationError,
    RefusedMessageError,
    UnansweredError,
    describe,
    printable,
)
from civitas.messages import TYPE_ERROR, Message, compose_reply

_MESSAGE: Final = bytes((KIND_MESSAGE,))


def error_reply(
    request: Message, agent: str, error: BaseException, *, executed: bool = True
) -> Message:
    """Make the reply that says why `agent` did not answer a request."""
    said = describe(error)
    kind = "agent" if executed else "routing"
    text = said.text
    if isinstance(error, UnansweredError):
        kind, text = "unanswered", error.error_text
    payload = {"kind": kind, "agent": agent, "error_type": said.kind, "error_text": text}
    if isinstance(error, RefusedMessageError):
        payload |= {"kind": "invalid", "path": error.path}
    return compose_reply(agent, request, payload, TYPE_ERROR)


def error_of(reply: Message) -> CivitasError:
    """Return the error that such a reply means to the one who asked."""
    payload = reply.payload
    kind = payload.get("kind")
    text = printable(str(payload.get("error_text", "")))
    if kind == "routing":
        return MessageRoutingError(text)
    if kind == "invalid":
        return MessageValidationError(text, printable(str(payload.get("path", ""))))
    agent = printable(str(payload.get("agent", reply.sender)))
    if kind == "unanswered":
        return UnansweredError(agent, text)
    return AgentError(agent, printable(str(payload.get("error_type", "Exception"))), text)


def request_in(frame: bytes, agent: str) -> Message:
    """Return as much of a request as it takes to answer it; nobody asks in a frame without one.

    A frame of another kind is no request: an answer to a reply would be one to somebody's own.
    """
    try:
        reply_to = envelope.reply_to_of(frame) if frame[2:3] == _MESSAGE else ""
    except FrameError:
        reply_to = ""
    return Message(recipient=agent, reply_to=reply_to or None)
