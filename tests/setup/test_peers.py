"""`make bench-peers`: what it does where something is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import environments
from benchmarks.peers.contenders import WORKS, Contender, Places, Work
from benchmarks.peers.measure import measure

NOWHERE = Places("", {})

FLOOR = Contender("floor", "floor", ("alone",))
OURS = Contender("ours", "agents", ("alone",))
NOT_INSTALLED = Contender("xoscar", "xoscar", ("alone",))


def test_who_fails_is_named_with_the_reason_and_the_others_are_measured() -> None:
    missing: dict[str, str] = {}
    rows = measure(
        Work("ask", "ask", 20, (FLOOR, OURS, NOT_INSTALLED), {}),
        {environments.OURS: Path(sys.executable)},
        NOWHERE,
        rounds=2,
        missing=lambda contender, reason: missing.update({contender.name: reason}),
        progress=lambda _: None,
    )
    assert [row.contender for row in rows] == ["floor", "ours"]
    assert [rows[0].of_floor, rows[1].of_ours] == [1, 1]
    assert list(missing) == ["xoscar"]
    assert "No module named 'xoscar'" in missing["xoscar"]


def test_who_has_no_environment_takes_no_part() -> None:
    work = Work("ask", "ask", 20, (FLOOR, OURS), {})
    assert measure(work, {}, NOWHERE, 1, pytest.fail, lambda _: None) == []


@pytest.mark.slow
def test_an_environment_that_can_not_be_made_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(environments.UnavailableError, match=r"^No matching distribution found for"):
        environments.make("faststream", Path(sys.executable))
    assert not (tmp_path / "faststream" / "made-of").exists()


def test_each_peer_has_its_versions_pinned() -> None:
    named = {each.environment for work in WORKS for each in work.contenders} - {environments.OURS}
    pinned = {each.stem for each in (environments.ROOT / "requirements/peers").glob("*.txt")}
    assert named == pinned
