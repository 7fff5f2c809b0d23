"""WatchedBus: a bus whose instruments see each message before it is sent.

A class of its own, so that a bus without them does nothing for it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from threading import get_ident
from typing import Any

from civitas._bus.bus import MessageBus
from civitas.messages import REPLY_PREFIX, Message
from civitas.trace import adopt_headers


class WatchedBus(MessageBus):
    """Shows what is sent to instruments; what they raise is counted, and touches nothing."""

    def send(self, message: Message, *, own: bool = False) -> Coroutine[Any, Any, None]:
        """Send a message that the instruments have seen; see `MessageBus.send`."""
        self._show(message)
        return super().send(message, own=own)

    def ask(
        self, message: Message, timeout: float | None, *, own: bool = False, by_agent: bool = True
    ) -> Coroutine[Any, Any, Message]:
        """Ask with a message that the instruments have seen; see `MessageBus.ask`."""
        self._show(message)
        return super().ask(message, timeout, own=own, by_agent=by_agent)

    def _show(self, message: Message) -> None:
        if get_ident() != self.affinity.thread:
            return  # it will be refused, and instruments are called in the node's event loop alone
        # An answer that is sent by hand is no message of its own, like any other answer.
        if type(message.recipient) is str and message.recipient.startswith(REPLY_PREFIX):
            return
        for sending, report in self.instruments.sending:
            headers = message.headers
            try:
                message.headers = dict(headers)  # of its own, to write into
                sending(message)
                if message.headers != headers:
                    adopt_headers(message)
                else:
                    message.headers = headers
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the instrument's
                message.headers = headers
                report(error)
