"""Callers: the verbs of a node, called where its event loop may be another one, or none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from civitas.errors import ConfigurationError, NotConnectedError

T = TypeVar("T")


def in_loop(
    verb: Coroutine[Any, Any, T], check_running: Callable[[], None], check_loop: Callable[[], None]
) -> Coroutine[Any, Any, T]:
    """Return a verb that is refused if it runs in another event loop than its node's.

    The bus looks at the thread only. That is enough while the node's loop is running.

    Args:
        verb: what the caller awaits.
        check_running: raises NotConnectedError where the node does not run.
        check_loop: raises ConfigurationError in another event loop.
    """
    try:
        check_running()
    except NotConnectedError:
        verb.close()
        raise
    return _checked(verb, check_loop)


async def _checked(verb: Coroutine[Any, Any, T], check_loop: Callable[[], None]) -> T:
    try:
        check_loop()
    except ConfigurationError:
        verb.close()
        raise
    return await verb
