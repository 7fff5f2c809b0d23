"""What redis-py raises, in the words of the contract."""

from __future__ import annotations

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from civitas.errors import NotConnectedError, TransportError, describe


class AccessDeniedError(TransportError):
    """The server does not let this process in, or not into its channels."""

    code = "redis-access"


def translated(error: BaseException, place: str) -> TransportError:
    """Return the error to raise or report for what has gone wrong with a server.

    Args:
        error: what was raised.
        place: where the server is, for the message.
    """
    if isinstance(error, TransportError):
        return error
    text = describe(error).text or "it does not answer"
    if isinstance(error, AuthenticationError | AuthorizationError):
        return AccessDeniedError(
            f"{place} does not let this process in: {text}; check username and password"
        )
    if isinstance(error, NoPermissionError):
        return AccessDeniedError(
            f"{place} lets this user do too little: {text}; its ACL must have the commands of"
            " pub/sub and the channels that begin with the option prefix"
        )
    return NotConnectedError(f"no connection to {place}: {text}")
