"""NatsCluster: three real servers that are one, and who leads what among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, Unpack

from support.nats.server import NatsServer, PortTakenError
from support.nats.server_config import Settings
from support.ports import free_port
from support.waiting import eventually

SIZE: Final = 3
ELECTED_WITHIN: Final = 40.0
"""Seconds for an election: a server that misses its leader waits 4 to 9 s before it stands."""


class NatsCluster:
    """Three servers, each with a route to the others.

    Attributes:
        servers: the three; each can be killed, paused and started again by itself.

    Args:
        folder: where the servers keep their files.
        settings: see `Settings`, alike for all. JetStream is on unless they say otherwise.
    """

    def __init__(self, folder: Path, **settings: Unpack[Settings]) -> None:
        self._folder = folder
        self._settings: Settings = {"jetstream": True, **settings}
        self._was_up = False
        self.servers = self._made()

    @property
    def urls(self) -> list[str]:
        """Where clients connect to."""
        return [server.url for server in self.servers]

    def start(self) -> Self:
        """Start all servers, and return when they are one.

        Raises:
            NoServerError: one did not come up; its log says why.
        """
        while True:
            for server in self.servers:
                server.launch()
            try:
                for server in self.servers:
                    server.wait_up(ELECTED_WITHIN)
                break
            except PortTakenError:
                self.kill()
                if self._was_up:  # their clients know the ports
                    raise
                self.servers = self._made()
        self.wait_joined()
        self._was_up = True
        return self

    def wait_joined(self) -> None:
        """Return when all servers that run know each other, and JetStream has a leader."""
        running = self._running()
        eventually(
            lambda: {each.neighbours() for each in running},
            lambda counts: counts == {len(running) - 1},
        )
        if self._settings["jetstream"]:
            self.meta_leader()

    def meta_leader(self) -> NatsServer:
        """Return the server that leads JetStream, when all that run agree on it."""
        return self._elected(
            lambda: {each.ask("jsz")["meta_cluster"].get("leader") for each in self._running()}
        )

    def leader(self, stream: str) -> NatsServer:
        """Return the server that leads a stream, when all that keep it and run agree on it."""

        def look() -> set[str | None]:
            kept = [each.streams() for each in self._running()]
            return {each[stream]["cluster"].get("leader") for each in kept if stream in each}

        return self._elected(look)

    def kill(self) -> None:
        """End all servers as a crash would."""
        for server in self.servers:
            server.kill()

    def restart(self) -> None:
        """End all servers as a crash would, and start them again at their ports."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _made(self) -> list[NatsServer]:
        ports = [free_port() for _ in range(SIZE)]
        routes = ", ".join(f"nats-route://127.0.0.1:{port}" for port in ports)
        servers = []
        for number, port in enumerate(ports, 1):
            membership = f"cluster {{ name: tests, listen: 127.0.0.1:{port}, routes: [{routes}] }}"
            config = f"{self._settings.get('config', '')}\n{membership}"
            settings: Settings = {**self._settings, "config": config}
            servers.append(NatsServer(self._folder, name=f"n{number}", **settings))
        return servers

    def _running(self) -> list[NatsServer]:
        return [each for each in self.servers if each.is_running and not each.is_paused]

    def _elected(self, look: Callable[[], set[str | None]]) -> NatsServer:
        """Return the server of the only name that is seen."""
        by_name: dict[str | None, NatsServer] = {each.name: each for each in self._running()}
        (name,) = eventually(
            look,
            lambda seen: len(seen) == 1 and seen <= by_name.keys(),
            ELECTED_WITHIN,
            trying=(OSError, LookupError),
        )
        return by_name[name]
