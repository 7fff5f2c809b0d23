"""A node that can't stay is not live, also before its blocked event loop hears of it."""

from __future__ import annotations

from civitas._cluster.events import Event, Evicted
from civitas._cluster.standing import Standing
from civitas._health.settings import HealthSettings
from civitas._node.health.vitals import Vitals
from support.agents import Scripted
from support.probing import running


def test_what_is_reported_is_noted_before_it_is_passed_on():
    standing = Standing()
    noted: list[tuple[Event, str]] = []
    report = standing.noting(lambda event: noted.append((event, standing.evicted)))
    lost = Evicted("superseded", fenced=True)
    report(lost)
    assert noted == [(lost, "superseded")]


async def test_a_node_that_was_fenced_is_not_live_and_one_that_has_not_joined_is_not_ready():
    async with running(Scripted("a")) as runtime:
        standing = Standing()
        vitals: Vitals = runtime._watch._vitals  # noqa: SLF001 - in a process there is no cluster
        vitals = Vitals(
            **{each: getattr(vitals, each) for each in Vitals.__slots__} | {"standing": standing}
        )
        settings = HealthSettings()
        assert vitals.not_live(0.0, settings) == []
        assert vitals.not_ready(0.0, settings) == ["it has not joined the system"]
        standing.joined = True
        assert vitals.not_ready(0.0, settings) == []
        standing.evicted = "superseded"
        why = ["this process can't stay in the system: superseded"]
        assert vitals.not_live(0.0, settings) == vitals.not_ready(0.0, settings) == why
