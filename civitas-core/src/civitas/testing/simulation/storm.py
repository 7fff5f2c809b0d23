"""Storm: carries out a plan of faults, and ends what it has begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from civitas.testing.simulation.deployment import Deployment
from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.history import History
from civitas.testing.simulation.network import Conditions, SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.recording import Injections
from civitas.testing.simulation.world import World

_SLOWNESS: Final = 200.0
_DRIFT: Final = 1.02
_LOSS: Final = 0.1
_REPETITION: Final = 0.3
_SPIKES: Final = 0.1
_USUAL: Final = Conditions()


class Storm:
    """Makes things go wrong in one system.

    `stalls` has (process, from, until) for each time in which a process did not run as usual.
    `cuts` has (processes, others, from, until) for each in which these did not hear each other, by
    their labels; where there are no others, these heard nobody.
    """

    def __init__(
        self,
        world: World,
        network: SimulatedNetwork,
        deployment: Deployment,
        injections: Injections,
        history: History,
    ) -> None:
        self.stalls: list[tuple[SimulatedProcess, float, float]] = []
        self.cuts: list[tuple[set[str], set[str], float, float]] = []
        self._going: Counter[str] = Counter()
        self._world = world
        self._network = network
        self._deployment = deployment
        self._injections = injections
        self._history = history
        self._doers: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "kill_primary": self._kill,
            "stop": self._stop,
            "pause": self._pause,
            "slow": self._slow,
            "drift": self._drift,
            "clock": self._clock,
            "partition": self._partition,
            "link": self._link,
            "server": self._server,
            "loss": self._weather,
            "repetition": self._weather,
            "spikes": self._weather,
        }

    async def rage(self, plan: Sequence[Fault]) -> None:
        """Carry out a plan; return when the last fault is over."""
        began = self._world.now
        loop = asyncio.get_running_loop()
        under_way = []
        for fault in sorted(plan, key=lambda each: each.at):
            await asyncio.sleep(began + fault.at - self._world.now)
            self._history.note("FAULT", fault.what)
            under_way.append(loop.create_task(self._do(fault)))
        if under_way:
            await asyncio.gather(*under_way)

    async def calm(self) -> None:
        """End all that is broken."""
        self._injections.clear()
        self._network.calm()
        for process in self._world.processes:
            process.resume()
            process.slowness = 1.0

    async def _do(self, fault: Fault) -> None:
        doer = self._doers.get(fault.kind)
        if doer is not None:
            await doer(fault)
            self._history.note("over", fault.what)
            return
        # What an agent suffers happens at its next occasion.
        self._injections.plan(fault.kind, fault.target, fault.seconds)
        if fault.kind == "slow_stop":
            self._stalled_agent(fault)

    # --- processes ----------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> None:
        if self._deployment.kill(fault.target):
            await asyncio.sleep(fault.seconds)
            self._deployment.start(fault.target)

    async def _stop(self, fault: Fault) -> None:
        await self._deployment.stop(fault.target)
        await asyncio.sleep(fault.seconds)
        self._deployment.start(fault.target)

    async def _pause(self, fault: Fault) -> None:
        process = self._deployment.process(fault.target)
        if process is not None:
            process.pause()
            await self._pass(process, fault.seconds)
            process.resume()

    async def _slow(self, fault: Fault) -> None:
        process = self._deployment.process(fault.target)
        if process is not None:
            process.slowness = _SLOWNESS
            await self._pass(process, fault.seconds)
            process.slowness = 1.0

    async def _drift(self, fault: Fault) -> None:
        process = self._deployment.process(fault.target)
        if process is not None:
            process.drift(_DRIFT)
            await self._pass(process, fault.seconds)
            process.drift(1.0)

    async def _clock(self, fault: Fault) -> None:
        process = self._deployment.process(fault.target)
        if process is not None:
            process.wall_offset += fault.seconds

    # --- the network --------------------------------------------------------------------------

    async def _partition(self, fault: Fault) -> None:
        names, current = fault.target.split(","), self._deployment.current
        side = {each.process.label for name, each in current.items() if name in names}
        rest = {each.process.label for name, each in current.items() if name not in names}
        cut = self._network.part(side, rest)
        await self._stay_cut(side, rest, fault.seconds)
        self._network.heal(cut)

    async def _link(self, fault: Fault) -> None:
        process = self._deployment.process(fault.target)
        if process is not None:
            self._network.link_down(process, "cut")
            await self._stay_cut({process.label}, set(), fault.seconds)
            self._network.link_up(process)

    async def _server(self, fault: Fault) -> None:
        self._network.server_down("the server has gone")
        everyone = {each.process.label for each in self._deployment.current.values()}
        await self._stay_cut(everyone, set(), fault.seconds)
        self._network.server_up()

    async def _weather(self, fault: Fault) -> None:
        self._going[fault.kind] += 1
        self._change_weather()
        await asyncio.sleep(fault.seconds)
        self._going[fault.kind] -= 1
        self._change_weather()

    def _change_weather(self) -> None:
        now, going = self._network.conditions, self._going
        now.loss = _LOSS if going["loss"] else 0.0
        now.repetition = _REPETITION if going["repetition"] else 0.0
        now.spike = _SPIKES if going["spikes"] else _USUAL.spike

    # --- parts --------------------------------------------------------------------------------

    async def _pass(self, process: SimulatedProcess, seconds: float) -> None:
        """Let time pass, and note that the process did not run as usual in it."""
        began = self._history.now
        await asyncio.sleep(seconds)
        self.stalls.append((process, began, self._history.now + 1.0))

    async def _stay_cut(self, side: set[str], rest: set[str], seconds: float) -> None:
        """Let time pass, and note that processes do not hear each other in it."""
        now = self._history.now
        self.cuts.append((side, rest, now, now + seconds))
        await asyncio.sleep(seconds)

    def _stalled_agent(self, fault: Fault) -> None:
        """Note that any process may stand still for a while: which one is known only later."""
        for each in self._deployment.current.values():
            now = self._history.now
            self.stalls.append((each.process, now, now + fault.seconds + 60.0))
