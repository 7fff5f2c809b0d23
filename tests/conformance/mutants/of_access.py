"""Transports that say a password, or nothing of a refusal, each in one way."""

from __future__ import annotations

import logging

from of_outages import MortalHub, RightAfterAnOutage
from right import adopt_all

from civitas.errors import AccessDeniedError, NotConnectedError

log = logging.getLogger("civitas.hub")


class _GuardedHub(MortalHub):
    """A hub that asks for a password, or forbids an address."""

    password = forbidden = None

    def use_secret(self):
        self.password = "correct horse battery"
        return self.password

    def use_forbidden(self):
        self.forbidden = "forbidden"
        return self.forbidden


class RightAtADoor(RightAfterAnOutage):
    network = _GuardedHub

    async def subscribe(self, address, handler):
        if address == self.hub.forbidden:
            raise AccessDeniedError(f"the hub forbids {address!r}")
        await super().subscribe(address, handler)


class SaysItsPassword(RightAtADoor):
    async def start(self):
        if self.hub.password is not None:
            raise AccessDeniedError(f"the hub takes no {self.hub.password!r}")
        await super().start()


class KeepsItsPasswordInACause(RightAtADoor):
    async def start(self):
        if self.hub.password is not None:
            try:
                raise OSError(f"hub://user:{self.hub.password}@here")
            except OSError as error:
                raise AccessDeniedError("the hub does not let this process in") from error
        await super().start()


class LogsItsPassword(RightAtADoor):
    async def start(self):
        log.debug("connecting to hub://user:%s@here", self.hub.password)
        await super().start()


class SaysItsPasswordInAnOutage(RightAtADoor):
    async def publish(self, address, data):
        if self.started and not self.hub.up:
            raise NotConnectedError(f"hub://user:{self.hub.password}@here is away")
        await super().publish(address, data)


class CallsARefusalFine(RightAtADoor):
    async def subscribe(self, address, handler):
        await super(RightAtADoor, self).subscribe(address, handler)
        if address == self.hub.forbidden:
            self.hub.listeners[address].clear()


class TakesARefusalForAnOutage(RightAtADoor):
    async def subscribe(self, address, handler):
        if address == self.hub.forbidden:
            self.lost()
            self.back()
        await super().subscribe(address, handler)


adopt_all(globals(), __name__)
