"""Servers for the tests of this folder. One starts within the time of a test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.certificates import Certificates, tls_files
from support.nats.cluster import NatsCluster
from support.nats.programs import DEBIAN, VARIABLE, program_of, releases
from support.nats.server import NatsServer

_numbers: Final = itertools.count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a test that is marked run once with each release."""
    if metafunc.definition.get_closest_marker("each_release") is not None:
        chosen = [
            pytest.param(each, marks=pytest.mark.earlier_release) if each == DEBIAN else each
            for each in releases()
        ]
        metafunc.parametrize("release", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def release(request: pytest.FixtureRequest) -> Iterator[str]:
    """The release whose server runs: the first of them, unless a test is marked `each_release`."""
    chosen: str = getattr(request, "param", releases()[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, program_of(chosen))
        yield chosen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server without JetStream."""
    with NatsServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def jetstream(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with JetStream."""
    with NatsServer(tmp_path / "server", jetstream=True) as running:
        yield running


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    """A cluster of three servers with JetStream. It takes 0.3 s to start, but 9 s to vote again."""
    with NatsCluster(tmp_path / "cluster") as running:
        yield running


@pytest.fixture(scope="session")
def shared_nats(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server for tests that do nothing to it. They are apart by `unique`."""
    with NatsServer(tmp_path_factory.mktemp(f"nats-{release}")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_jetstream(
    release: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsServer]:
    """A server with JetStream for tests that do nothing to it. They are apart by `unique`."""
    with NatsServer(tmp_path_factory.mktemp(f"jetstream-{release}"), jetstream=True) as running:
        yield running


@pytest.fixture
def unique() -> str:
    """A word that no other test has: for names of streams and prefixes of subjects."""
    return f"t{os.getpid()}x{next(_numbers)}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Files for encrypted connections."""
    return tls_files(tmp_path_factory.mktemp("certificates"))
