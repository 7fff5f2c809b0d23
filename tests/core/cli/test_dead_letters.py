"""`civitas dead-letters`, on a ledger: what is kept is listed, returned, moved and removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from civitas import envelope
from civitas._signing.signatures import ClusterKey
from civitas.cli.app import main
from civitas.serializer import MsgpackSerializer
from support.agents import Scripted
from support.dead_letters import frame_of
from support.ledger import Entry, Ledger, LedgerStore, running
from support.ledger_plugin import installed, marked_frame

KEY = "the-key-of-this-cluster"


class Outcome(NamedTuple):
    code: Any
    out: str
    err: str


class Kept:
    """A ledger with messages, a topology that names it, and the command."""

    def __init__(self, ledger: Ledger, folder: Path, capfd, monkeypatch) -> None:
        self.ledger = ledger
        self.file = folder / "topology.yaml"
        self._name = str(folder)
        self._capfd = capfd
        self._monkeypatch = monkeypatch
        self.topology()

    def topology(self, kind: str = "ledger", **more: Any) -> None:
        transport = {"type": kind} | ({} if kind == "in_process" else {"name": self._name})
        agents = [{"agent": {"name": each, "type": "no.such.Agent"}} for each in ("cook", "waiter")]
        supervision = {"name": "root", "children": agents}
        self.file.write_text(
            yaml.dump({"transport": transport, "supervision": supervision, **more})
        )

    def give_up(self, agent: str, n: int, **about: Any) -> None:
        entry = Entry(frame_of({"n": n}, **about), 0, 0.0, failures=3)
        self.ledger.give_up(agent, entry, "ValueError: no")

    def wait(self, agent: str, *numbers: int, **about: Any) -> None:
        for n in numbers:
            self.ledger.keep(agent, frame_of({"n": n}, **about))

    def waiting(self, agent: str) -> list[int]:
        """Return what waits for an agent, by its payload."""
        return [read(frame)["n"] for frame in self.ledger.kept(agent)]

    def left(self) -> list[int]:
        return [each.number for each in self.ledger.dead_letters]

    def civitas(self, *arguments: object) -> Outcome:
        given = [str(each) for each in arguments]
        self._monkeypatch.setattr("sys.argv", ["civitas", *given, "--topology", str(self.file)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(ended.value.code or 0, *self._capfd.readouterr())

    def run(self, *arguments: object) -> Outcome:
        return self.civitas("dead-letters", *arguments)


def read(frame: bytes) -> dict[str, Any]:
    return MsgpackSerializer().deserialize(envelope.open(frame).body).payload


@pytest.fixture
def kept(tmp_path, capfd, monkeypatch) -> Iterator[Kept]:
    monkeypatch.setattr("civitas.cli.dead_letters.source._CONNECT_TIMEOUT", 0.3)
    with installed(tmp_path, monkeypatch) as ledger:
        yield Kept(ledger, tmp_path, capfd, monkeypatch)


# --- listing ------------------------------------------------------------------------------------


def test_letters_are_listed_oldest_first_and_they_stay(kept):
    for n, agent in enumerate(("cook", "waiter", "cook"), 1):
        kept.give_up(agent, n)
    done = kept.run("list", "--json")
    rows = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert [(each["number"], each["agent"]) for each in rows] == [
        (1, "cook"),
        (2, "waiter"),
        (3, "cook"),
    ]
    assert {(each["deliveries"], each["reason"]) for each in rows} == {(3, "ValueError: no")}
    assert kept.left() == [1, 2, 3]


def test_letters_are_chosen_by_agent_by_number_and_by_limit(kept):
    for n in range(1, 7):
        kept.give_up(("cook", "waiter")[n % 2], n)

    def numbers(*arguments: object) -> list[int]:
        return [each["number"] for each in json.loads(kept.run("list", "--json", *arguments).out)]

    assert numbers("--agent", "cook") == [2, 4, 6]
    assert numbers("-n", 5, "--number", 2) == [2, 5]
    assert numbers("-n", 5, "-n", 2, "--agent", "cook") == [2]
    assert numbers("--limit", 2) == [1, 2]
    assert kept.run("list", "--limit", 2).err == "4 more: raise --limit\n"


def test_what_waits_is_listed_apart_also_for_names_that_nobody_has(kept):
    kept.give_up("cook", 0)
    kept.wait("cook_2", 1, 2)
    kept.wait("cook", 3)
    rows = json.loads(kept.run("list", "--waiting", "--json").out)
    assert [(each["agent"], each["message"]["payload"]["n"]) for each in rows] == [
        ("cook_2", 1),
        ("cook_2", 2),
        ("cook", 3),
    ]
    header, *lines = kept.run("list", "--waiting", "--agent", "cook_2").out.splitlines()
    assert header.split() == ["number", "agent", "time", "from", "type", "payload"]
    assert len(lines) == 2
    assert kept.waiting("cook_2") == [1, 2]


def test_a_message_is_shown_whole(kept):
    kept.give_up("cook", 7)
    done = kept.run("show", 1)
    assert done.code == 0
    facts = dict(line.split(maxsplit=1) for line in done.out.splitlines()[:5])
    assert (facts["agent"], facts["reason"]) == ("cook", "ValueError: no")
    assert done.out.endswith('{\n  "n": 7\n}\n')
    assert json.loads(kept.run("show", 1, "--json").out)["message"]["payload"] == {"n": 7}


def test_a_message_is_read_by_a_serializer_with_its_options(kept):
    kept.topology(serializer={"type": "marked", "mark": "m:"})
    kept.ledger.give_up("cook", Entry(marked_frame("m:", {"n": 1}), 0, 0.0, failures=3), "no")
    done = kept.run("show", 1, "--json")
    assert json.loads(done.out)["message"]["payload"] == {"n": 1}, done.err


@pytest.mark.parametrize("arguments", [("show", 9), ("list", "-n", 9), ("replay", "-n1", "-n9")])
def test_a_number_that_is_not_there_is_told_and_nothing_is_done(kept, arguments):
    kept.give_up("cook", 1)
    done = kept.run(*arguments)
    assert (done.code, done.out, done.err) == (2, "", "error: there is no dead letter 9\n")
    assert kept.left() == [1]


def test_nothing_that_is_kept_is_an_empty_list(kept):
    assert kept.run("list", "--json").out == "[]\n"
    assert kept.run("list").err == "there are no dead letters\n"
    told = kept.run("list", "--waiting", "--agent", "cook").err
    assert told == "there are no waiting messages of agent 'cook'\n"


# --- returning ----------------------------------------------------------------------------------


def test_letters_go_back_in_order_as_if_never_delivered(kept):
    for n in range(1, 5):
        kept.give_up(("cook", "waiter")[n % 2], n)
    done = kept.run("replay", "--all")
    assert done == (0, "replayed 4 dead letters\n", "")
    assert (kept.waiting("cook"), kept.waiting("waiter")) == ([2, 4], [1, 3])
    assert {envelope.attempt_of(each) for each in kept.ledger.kept("cook")} == {0}
    assert kept.left() == []


def test_letters_of_an_agent_that_was_renamed_go_to_another_one(kept):
    kept.give_up("cook_2", 1)
    kept.give_up("waiter", 2)
    assert kept.run("replay", "--agent", "cook_2", "--to", "cook").code == 0
    assert (kept.waiting("cook"), kept.left()) == ([1], [2])


def test_a_letter_that_its_agent_would_drop_stays_unless_it_is_wanted(kept):
    kept.give_up("cook", 1, age=100.0, ttl=1.0)
    kept.give_up("cook", 2)
    done = kept.run("replay", "--all")
    assert (done.code, done.out) == (1, "replayed 1 dead letter\n")
    assert done.err.startswith("kept 1, to cook: its time to live is over")
    assert kept.run("replay", "--all", "--expired", "--json").out == (
        '{\n  "replayed": 1,\n  "kept": []\n}\n'
    )
    assert kept.waiting("cook") == [2, 1]


def test_an_error_in_between_leaves_a_letter_twice_and_loses_none(kept, monkeypatch):
    """What happens when the broker ends after it has kept a frame, and before the removal."""
    for n in range(1, 4):
        kept.give_up("cook", n)
    remove = LedgerStore.remove

    async def fails_once(self: LedgerStore, message: Any) -> None:
        if message.number == 2:
            monkeypatch.setattr(LedgerStore, "remove", remove)
            raise asyncio.IncompleteReadError(b"", 1)
        await remove(self, message)

    monkeypatch.setattr(LedgerStore, "remove", fails_once)
    done = kept.run("replay", "--all")
    assert (done.code, done.out) == (1, "replayed 1 dead letter\n")
    assert (kept.waiting("cook"), kept.left()) == ([1, 2], [2, 3])
    assert kept.run("replay", "--all").out == "replayed 2 dead letters\n"
    assert kept.waiting("cook") == [1, 2, 3]


# --- removing -----------------------------------------------------------------------------------


def test_what_is_removed_goes_nowhere(kept):
    kept.give_up("cook", 1)
    kept.give_up("waiter", 2)
    kept.wait("cook_2", 3)
    kept.wait("cook", 4)
    assert kept.run("drop", "--agent", "cook", "--yes").out == "removed 1 dead letter\n"
    done = kept.run("drop", "--waiting", "--agent", "cook_2", "-y")
    assert done.out == "removed 1 waiting message\n"
    assert kept.left() == [2]
    assert (kept.waiting("cook_2"), kept.waiting("cook")) == ([], [4])


def test_nothing_is_removed_where_nobody_can_be_asked(kept, monkeypatch):
    kept.give_up("cook", 1)
    monkeypatch.setattr("sys.stdin", StringIO())
    done = kept.run("drop", "--all")
    assert (done.code, done.err) == (2, "error: there is nobody to ask: give --yes\n")
    assert kept.left() == [1]


# --- moving -------------------------------------------------------------------------------------


async def test_messages_for_a_name_that_is_no_more_are_named_and_handled_by_another_agent(kept):
    kept.wait("cook_2", *range(1, 6))
    cook = Scripted("cook")
    async with running(kept.ledger, cook, Scripted("waiter")):
        told = await asyncio.to_thread(kept.civitas, "stats", "--connect-timeout=5")
        assert told.code == 0
        assert (
            "stranded: 5 messages for 'cook_2', which neither a process nor the topology has;"
            " rescue them: civitas dead-letters move --from cook_2 --to NAME\n"
        ) in told.out
        stats = await asyncio.to_thread(kept.civitas, "stats", "--json", "--connect-timeout=5")
        assert json.loads(stats.out)["stranded"] == {"cook_2": 5}
        done = await asyncio.to_thread(kept.run, "move", "--from", "cook_2", "--to", "cook")
        assert done == (0, "moved 5 waiting messages\n", "")
        async with asyncio.timeout(10):
            while len(cook.got) < 5:
                await asyncio.sleep(0.01)
        assert [each.payload["n"] for each in cook.got] == [1, 2, 3, 4, 5]
        told = await asyncio.to_thread(kept.civitas, "stats", "--connect-timeout=5")
        assert "stranded" not in told.out


async def test_messages_of_a_running_agent_are_not_moved(kept):
    async with running(kept.ledger, Scripted("cook"), Scripted("cook_2")):
        done = await asyncio.to_thread(
            kept.run, "move", "--from", "cook_2", "--to", "cook", "--yes"
        )
    assert done.code == 1
    assert "the agent 'cook_2' runs in the process 'supervisor', and gets its messages" in done.err


async def test_a_target_that_nobody_has_is_doubted_with_a_suggestion(kept, monkeypatch):
    kept.wait("cook_2", 1)
    monkeypatch.setattr("sys.stdin", StringIO())
    async with running(kept.ledger, Scripted("cook"), Scripted("waiter")):
        done = await asyncio.to_thread(kept.run, "move", "--from", "cook_2", "--to", "waitr")
    assert (done.code, done.out) == (2, "")
    assert "has an agent 'waitr'; did you mean 'waiter'?" in done.err
    assert "give --yes to move them all the same" in done.err
    assert kept.waiting("cook_2") == [1]


def test_without_a_running_system_it_is_doubted_and_done_when_somebody_says_so(kept, monkeypatch):
    kept.wait("cook", 1)
    monkeypatch.setattr("sys.stdin", StringIO())
    done = kept.run("move", "--from", "cook", "--to", "waiter")
    assert done.code == 2
    assert "whether a process has 'cook' is not known: " in done.err
    assert "the topology has 'cook', which gets them when its process is there" in done.err
    assert kept.run("move", "--from", "cook", "--to", "waiter", "--yes").code == 0
    assert (kept.waiting("cook"), kept.waiting("waiter")) == ([], [1])


def test_a_signed_message_is_signed_for_its_new_agent(kept):
    kept.topology(cluster_key=KEY, signed_frames="all")
    key = ClusterKey(KEY)
    former = key.at("cook_2", attempt_may_change=True)
    kept.ledger.keep("cook_2", former.sign(frame_of({"n": 1}), 7))
    assert kept.run("move", "--from", "cook_2", "--to", "cook", "--yes").code == 0
    [frame] = kept.ledger.kept("cook")
    plain, _ = key.at("cook", attempt_may_change=True).verify(frame)
    assert read(plain) == {"n": 1}
    kept.topology(cluster_key="another-key-of-another", signed_frames="all")
    done = kept.run("move", "--from", "cook", "--to", "waiter", "--yes")
    assert (done.code, done.out) == (1, "moved 0 waiting messages\n")
    assert "it is signed with another cluster_key" in done.err
    assert len(kept.ledger.kept("cook")) == 1


# --- what is given ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("list", "--agent", "*"), "--agent: a name can't contain '*'"),
        (("replay", "--all", "--to", "a b"), "--to: a name"),
        (("replay",), "which messages? give --number, --agent or --all, one of them"),
        (("replay", "--all", "--agent", "cook"), "one of them"),
        (("drop", "--yes"), "which messages?"),
        (("move", "--from", "cook", "--to", "cook"), "--from and --to are both 'cook'"),
    ],
)
def test_bad_input_ends_with_2(kept, arguments, reason):
    done = kept.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_a_transport_that_keeps_nothing_is_told(kept):
    kept.topology("in_process")
    done = kept.run("list")
    assert done.code == 2
    assert "error: the transport 'in_process' keeps no messages: " in done.err


async def test_a_transport_that_commands_can_not_look_into_is_told_with_what_to_do(kept):
    kept.topology("sealed")
    done = await asyncio.to_thread(kept.run, "list")
    assert done.code == 2
    assert (
        "error: the transport 'sealed' of ledger is at-least-once, and offers commands no way to"
        " what it keeps (its TransportSpec has no `dead_letters`): look with the tools of its"
        " broker, or ask its author\n"
    ) in done.err
    async with running(kept.ledger, Scripted("cook")):
        told = await asyncio.to_thread(kept.civitas, "stats", "--connect-timeout=5")
    assert told.code == 0
    assert "note: what is stranded was not counted: the transport 'sealed'" in told.err


async def test_stats_does_not_wait_for_a_store_that_does_not_answer(kept, monkeypatch):
    async def never(self: LedgerStore, kept: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LedgerStore, "survey", never)
    async with running(kept.ledger, Scripted("cook")):
        told = await asyncio.to_thread(
            kept.civitas, "stats", "--json", "--timeout=1.5", "--connect-timeout=5"
        )
    assert told.code == 0
    assert "stranded" not in json.loads(told.out)
    assert told.err == "note: what is stranded was not counted: not within 1.5 s\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ledger", "dead letters  civitas dead-letters lists, returns, moves and removes them\n"),
        ("sealed", "dead letters  civitas dead-letters can't reach them: "),
        ("in_process", ""),
    ],
)
def test_plugins_show_says_whether_commands_reach_what_is_kept(
    kept, capfd, monkeypatch, name, told
):
    monkeypatch.setattr("sys.argv", ["civitas", "plugins", "show", name])
    with pytest.raises(SystemExit):
        main()
    out = capfd.readouterr().out
    assert told in out if told else "dead letters" not in out
