"""A fleet of sensors, one of them flaky: a poller reads them, an aggregator says how they are."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from statistics import fmean
from time import monotonic

from civitas import AgentProcess, CivitasError, Message

LOWEST, HIGHEST = -60.0, 60.0
"""What can be a temperature of the air, in degrees Celsius."""
BROKEN_LINE = -127.0
"""What a sensor says when its line is broken."""


class Sensor(AgentProcess):
    """Measures when it is asked: the driver of a device.

    Args:
        name: the agent's name.
        around: what the temperature is about, in degrees Celsius.
        flaky: the share of readings that go wrong, from 0 to 1.
    """

    def __init__(self, name: str, around: float, flaky: float = 0.0) -> None:
        super().__init__(name)
        self.around, self.flaky = around, flaky

    async def handle(self, message: Message) -> Message:
        """Answer with a reading, or fail as devices do."""
        if random.random() < self.flaky:
            return await self.fail()
        return self.reply({"celsius": round(random.gauss(self.around, 0.3), 1)})

    async def fail(self) -> Message:
        """Crash, hang, or answer with a wrong value."""
        kind = random.choice(("crash", "hang", "wrong value"))
        if kind == "crash":
            raise ConnectionError("the device does not answer")
        if kind == "hang":
            await asyncio.Event().wait()  # until `handle_timeout` ends it
        return self.reply({"celsius": BROKEN_LINE})


class Poller(AgentProcess):
    """Reads all sensors again and again, side by side. None can keep it from the others.

    Args:
        name: the agent's name.
        sensors: names of the sensors.
        period: seconds from one reading to the next.
        limit: seconds that a sensor has for its answer.
    """

    def __init__(
        self, name: str, sensors: list[str], period: float = 1.0, limit: float = 0.5
    ) -> None:
        super().__init__(name)
        self.sensors, self.period, self.limit = sensors, period, limit

    async def on_start(self) -> None:
        """Set the timer."""
        self.every(self.period, {}, "poll")

    async def handle(self, message: Message) -> None:
        """Read each sensor once."""
        if message.type == "poll":
            await asyncio.gather(*(self.read(sensor) for sensor in self.sensors))

    async def read(self, sensor: str) -> None:
        """Read a sensor, and report what has come of it."""
        try:
            reply = await self.ask(sensor, {}, "read", timeout=self.limit)
        except (CivitasError, TimeoutError) as error:
            await self.report_failure(sensor, type(error).__name__)
            return
        celsius = reply.payload["celsius"]
        if LOWEST <= celsius <= HIGHEST:
            await self.send("aggregator", {"sensor": sensor, "celsius": celsius}, "reading")
        else:
            await self.report_failure(sensor, "wrong value")

    async def report_failure(self, sensor: str, why: str) -> None:
        """Report that there is no reading."""
        await self.send("aggregator", {"sensor": sensor, "why": why}, "failure")


class Aggregator(AgentProcess):
    """Keeps the latest readings of each sensor, and counts what went wrong.

    Args:
        name: the agent's name.
        keep: how many readings of each sensor are kept.
        stale: seconds after which a sensor without a reading counts no more.
    """

    def __init__(self, name: str, keep: int = 20, stale: float = 5.0) -> None:
        super().__init__(name)
        self.keep, self.stale = keep, stale
        self.readings: dict[str, deque[float]] = {}
        self.latest: dict[str, float] = {}
        self.failures: dict[str, Counter[str]] = {}

    async def handle(self, message: Message) -> Message | None:
        """Note a reading or a failure; answer everything else with how things stand."""
        if message.type not in ("reading", "failure"):
            return self.reply(self.summary())
        sensor = message.payload["sensor"]
        self.failures.setdefault(sensor, Counter())
        readings = self.readings.setdefault(sensor, deque(maxlen=self.keep))
        if message.type == "reading":
            readings.append(message.payload["celsius"])
            self.latest[sensor] = monotonic()
        else:
            self.failures[sensor][message.payload["why"]] += 1
        return None

    def summary(self) -> dict[str, object]:
        """Return the mean of each sensor, and that of those that are not stale."""
        now = monotonic()
        fresh = [name for name, at in self.latest.items() if now - at <= self.stale]
        means = {name: fmean(values) for name, values in self.readings.items() if values}
        return {
            "mean": round(fmean(means[name] for name in fresh), 1) if fresh else None,
            "sensors": {
                name: {
                    "mean": round(means[name], 1) if name in means else None,
                    "readings": len(self.readings[name]),
                    "stale": name not in fresh,
                    "failures": dict(failures),
                }
                for name, failures in sorted(self.failures.items())
            },
        }
