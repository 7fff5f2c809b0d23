"""`civitas top` in a real terminal, while processes of a real system die and come back."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import pytest

from support.commands import COMMAND
from support.deployment import Build, agent
from support.tmux import row, terminal

pytestmark = pytest.mark.slow

TOP = shlex.quote(str(COMMAND)) + " top topology.yaml --interval=0.2 --timeout=0.5"


def test_a_system_is_watched_while_a_process_and_the_broker_die_and_come_back(
    build: Build,
) -> None:
    system = build(agent("here"), agent("far", "w1"), transport={"start_proxy": False})
    line = f"echo before; stty -a >saved; {TOP}; code=$?; stty -a >after; echo ended $code; cat"
    proxy = system.proxy()
    with proxy, terminal(system.folder, line) as shown:
        shown.until(lambda text: row(text, "far")[:3] == ["far", "w1", "unknown"])
        _primary, w1 = system.run("supervisor", "w1")
        shown.until(lambda text: row(text, "far")[:3] == ["far", "w1", "running"])
        system.console().send("far", {})
        shown.until(lambda text: row(text, "w1")[:2] == ["w1", "worker"])

        os.kill(w1.pid, signal.SIGKILL)
        shown.until(lambda text: row(text, "w1")[:3] == ["w1", "missing", "for"])
        shown.press("/", "f", "a", "r", "Enter", "Down")
        text = shown.until(lambda text: "'far': last crash " in text)
        assert "process 'w1' (node " in text.replace("\n", "")
        system.run("w1")
        shown.until(lambda text: row(text, "far")[:3] == ["far", "w1", "running"])

        shown.press("t")
        shown.until(lambda text: "  subjects (ONE_FOR_ONE)" in text and not row(text, "here"))
        shown.resize(50, 16)
        shown.until(lambda text: row(text, "far")[:2] == ["far", "running"])
        shown.resize(110, 30)
        proxy.end(signal.SIGKILL)
        shown.until(lambda text: "the connection is lost: " in text)
        proxy.start()
        text = shown.until(lambda text: row(text, "far")[:3] == ["far", "w1", "running"])
        assert "the connection is lost" not in text

        shown.press("?")
        shown.until(lambda text: "the supervision tree, and back" in text)
        shown.press("x", "q")
        text = shown.until(lambda text: "ended" in text)
        assert text.split() == ["before", "ended", "0"]
        after = system.folder / "after"
        assert after.read_text() == (system.folder / "saved").read_text()


def test_without_a_system_it_says_so_in_no_colours_and_a_dumb_terminal_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "topology.yaml").write_text(
        "transport: {type: zmq, pub_addr: 'ipc://p', sub_addr: 'ipc://s', start_proxy: false}\n"
        "supervision: {name: root, children: [{name: near, type: no.such.Agent}]}\n"
    )
    top = f"{TOP} --connect-timeout=0.1"
    line = f"trap : INT; TERM=dumb {top}; NO_COLOR=1 {top}; echo ended $?; cat"
    with terminal(tmp_path, line) as shown:
        shown.until(lambda text: "no running system was found" in text)
        assert row(shown.text(), "near")[:3] == ["near", "supervisor", "unknown"]
        colours = shown.text(colours=True)
        assert not [each for each in range(30, 38) if f"\x1b[{each}m" in colours]
        assert "\x1b[1m" in colours
        shown.press("C-c")
        text = shown.until(lambda text: "ended" in text)
    assert "the terminal says that it is dumb (TERM=dumb)" in text
    assert "--once prints one" in text
    assert text.split()[-2:] == ["ended", "0"]
