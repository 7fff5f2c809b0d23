"""Error replies: how an exception of an asked agent becomes an AgentError of the one who asked."""

from __future__ import annotations

from civitas import envelope
from civitas.errors import AgentError, CivitasError, FrameError, MessageRoutingError
from civitas.messages import TYPE_ERROR, Message, compose_reply


def error_reply(request: Message, agent: str, error: BaseException) -> Message:
    """Make the reply that says why `agent` did not answer a request."""
    payload = {
        "kind": "routing" if isinstance(error, MessageRoutingError) else "agent",
        "agent": agent,
        "error_type": type(error).__name__,
        "error_text": str(error),
    }
    return compose_reply(agent, request, payload, TYPE_ERROR)


def error_of(reply: Message) -> CivitasError:
    """Return the error that such a reply means to the one who asked."""
    payload = reply.payload
    text = str(payload.get("error_text", ""))
    if payload.get("kind") == "routing":
        return MessageRoutingError(text)
    agent = str(payload.get("agent", reply.sender))
    return AgentError(agent, str(payload.get("error_type", "Exception")), text)


def request_in(frame: bytes, agent: str) -> Message:
    """Return as much of a request as it takes to answer it; nobody asks in a frame without one."""
    try:
        reply_to = envelope.reply_to_of(frame)
    except FrameError:
        reply_to = ""
    return Message(recipient=agent, reply_to=reply_to or None)
