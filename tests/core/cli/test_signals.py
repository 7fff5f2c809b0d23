"""Dispositions of signals in the children that are forked while a command listens to signals."""

from __future__ import annotations

import json

from support.commands import printed_by

FORKING = """
import asyncio, json, os, signal, sys, threading
from civitas.cli.signals import stop_on_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

def look():
    found = [signal.getsignal(each) for each in NUMBERS]
    names = [getattr(each, "name", str(each)) for each in found]
    print(json.dumps([*names, signal.set_wakeup_fd(-1)]), flush=True)
    os._exit(0)

def fork():
    child = os.fork()
    if not child:
        look()
    os.waitpid(child, 0)

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, print)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    fork()
    stop_on_signals(print, print, hangup=True)
    fork()
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()

signal.signal(signal.SIGTERM, {before})
asyncio.run(main())
"""

PYTHONS = "<built-in function default_int_handler>"
DEFAULT, IGNORED = "SIG_DFL", "SIG_IGN"


def dispositions(before: str) -> list[list[object]]:
    """Return those of three children: one that was forked before, and two while it listens."""
    return [
        json.loads(each) for each in printed_by(FORKING.replace("{before}", before)).split("\n")
    ]


def test_a_forked_child_has_pythons_dispositions_and_no_wake_up_descriptor() -> None:
    before, *children = dispositions("signal.SIG_DFL")
    assert children == [[PYTHONS, DEFAULT, DEFAULT, IGNORED, -1]] * 2
    assert before[0] != PYTHONS, "who does not listen to signals changes nothing for others"


def test_a_signal_that_was_ignored_from_the_start_is_ignored_by_children() -> None:
    _, *children = dispositions("signal.SIG_IGN")
    assert [each[1] for each in children] == [IGNORED] * 2
