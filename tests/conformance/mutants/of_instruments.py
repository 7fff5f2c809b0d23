"""Instruments with one thing wrong each."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextvars import ContextVar

import pytest

from civitas.testing import InstrumentConformance

current = ContextVar("current", default=None)


class RightExecution:
    """Sets a context variable around a handler."""

    def __init__(self, role):
        self.role = role

    def __enter__(self):
        self.token = current.set(self.role)

    def __exit__(self, kind, error, trace):
        current.reset(self.token)


class RightInstrument:
    """Has all methods, and a task: what the mutants change one thing of."""

    def __init__(self):
        self.task = None

    async def start(self, node):
        self.task = asyncio.create_task(asyncio.Event().wait())

    async def stop(self):
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def sending(self, message):
        """See it."""

    def handling(self, role, message):
        return RightExecution(role)

    def dead_letter(self, item, reason):
        """See it."""

    def crashed(self, agent, error):
        """See it."""

    def restarted(self, agent):
        """See it."""


class IsMisspelled(RightInstrument):
    def on_crashed(self, agent, error):
        """Nothing calls it."""


class ConnectsWhenItIsMade(RightInstrument):
    def __init__(self):
        super().__init__()
        self.descriptor = os.open(os.devnull, os.O_RDONLY)

    async def stop(self):
        await super().stop()
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None

    def __del__(self):
        if self.descriptor is not None:
            os.close(self.descriptor)


class LeavesItsThread(RightInstrument):
    async def start(self, node):
        await super().start(node)
        self.ended = threading.Event()
        threading.Thread(target=self.ended.wait, args=(1.0,), daemon=True).start()


class NeedsItsStart(RightInstrument):
    async def start(self, node):
        await super().start(node)
        self.node = node

    async def stop(self):
        assert self.node is not None
        await super().stop()


class EndsOnlyOnce(RightInstrument):
    begun = ended = False

    async def start(self, node):
        await super().start(node)
        self.begun = True

    async def stop(self):
        if self.begun and self.ended:
            raise RuntimeError("it has ended")
        self.ended = True
        await super().stop()


class TakesBytesForAMessage(RightInstrument):
    def dead_letter(self, item, reason):
        item.type.upper()


class KnowsOnlyExceptions(RightInstrument):
    def handling(self, role, message):
        class Strict(RightExecution):
            def __exit__(self, kind, error, trace):
                super().__exit__(kind, error, trace)
                if error is not None and not isinstance(error, Exception):
                    raise TypeError(f"a {kind.__name__} is no error")

        return Strict(role)


class FormatsATypeIntoAnother(RightInstrument):
    def sending(self, message):
        f"sending {message.type}".encode("ascii", "surrogateescape")


class RaisesThePriority(RightInstrument):
    def sending(self, message):
        message.priority = 1


class ClearsTheSpan(RightInstrument):
    def handling(self, role, message):
        message.span_id = ""
        return super().handling(role, message)


class HasOneForAll(RightInstrument):
    def __init__(self):
        super().__init__()
        self.one = None

    def handling(self, role, message):
        self.one = self.one or Depth()
        return self.one


class Depth:
    """Counts how many handlers run; it may be entered twice, and is no context manager of one."""

    def __init__(self):
        self.deep = 0

    def __enter__(self):
        self.deep += 1

    def __exit__(self, *outcome):
        self.deep -= 1


class SetsAndForgets(RightInstrument):
    def handling(self, role, message):
        class Forgetful(RightExecution):
            def __exit__(self, *outcome):
                """Leave it set."""

        return Forgetful(f"{role} {message.id}")


class SetsWithoutAReset(RightInstrument):
    def handling(self, role, message):
        class Hasty(RightExecution):
            def __exit__(self, kind, error, trace):
                if error is None:
                    super().__exit__(kind, error, trace)

        return Hasty(role)


class WritesAtOnce(RightInstrument):
    def sending(self, message):
        time.sleep(0.002)


class KeepsAnEntryForEachMessage(RightInstrument):
    def __init__(self):
        super().__init__()
        self.seen = {}

    def sending(self, message):
        self.seen[message.id] = {"to": message.recipient, "answer at": message.reply_to}


class IsOneForTheWholeProcess(RightInstrument):
    running = 0

    async def start(self, node):
        if IsOneForTheWholeProcess.running:
            raise RuntimeError("it runs already")
        IsOneForTheWholeProcess.running += 1
        await super().start(node)

    async def stop(self):
        if self.task is not None:
            IsOneForTheWholeProcess.running = 0
        await super().stop()


class NeedsANode(RightInstrument):
    """Relies on what only a real node tells."""

    async def start(self, node):
        await super().start(node)
        self.known = node.stats().get("state") == "starting"

    def crashed(self, agent, error):
        if self.task is not None and self.known:
            raise LookupError(agent)


def _adopt(subject):
    class Adoption(InstrumentConformance):
        @pytest.fixture
        def make_instrument(self):
            return subject

    Adoption.__name__ = Adoption.__qualname__ = f"Test{subject.__name__}"
    return Adoption


for _subject in [each for each in list(globals().values()) if isinstance(each, type)]:
    if _subject.__module__ == __name__ and issubclass(_subject, RightInstrument):
        globals()[f"Test{_subject.__name__}"] = _adopt(_subject)
