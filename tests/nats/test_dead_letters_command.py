"""`civitas-nats dead-letters` on real servers: letters are listed, returned and removed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from civitas import envelope
from civitas.errors import ProcessingError
from civitas.serializer import JsonSerializer, MsgpackSerializer
from civitas_nats.jetstream.dead_letters import DeadLetter
from civitas_nats.transport import NATSTransport
from support.commands import DEADLINE, Running
from support.dead_letters import ORIGIN, frame_of
from support.nats.dead_letter_stream import COMMAND, PROGRESS, DeadLetterStream, run
from support.nats.dead_letters import jetstream_of, letter_of
from support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_programs")]

GARBAGE = DeadLetter("a", b"no frame at all\xff", "unreadable: no frame", 1, 3)
EXPIRED = letter_of({"n": 2}, reply_to="_reply.8.1", age=100.0, ttl=30.0)
FOREIGN = DeadLetter("a", envelope.seal(b"?", "other", ORIGIN, attempt=9), "E: no", 5, 4)


@pytest.fixture
def letters(shared_jetstream, unique) -> DeadLetterStream:
    return DeadLetterStream(shared_jetstream, unique)


@pytest.fixture
def file(letters, tmp_path) -> Path:
    return letters.topology(tmp_path)


# --- listing ------------------------------------------------------------------------------------


def test_letters_are_listed_oldest_first_with_all_that_is_known_and_they_stay(letters):
    payload = {"text": "grüß", "blob": b"\x00\xff", 7: [1.5, float("inf")]}
    letter = DeadLetter("über", frame_of(payload), "ValueError: 你好 \\x", 5, 17)
    letters.add(letter, EXPIRED)
    first, second = letters.list()
    message = first.pop("message")
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "number": 1,
        "agent": "über",
        "deliveries": 5,
        "reason": "ValueError: 你好 \\x",
        "stream_sequence": 17,
        "bytes": len(letter.frame),
        "expired": False,
        "problem": None,
    }
    assert (message["sender"], message["type"], message["ttl"]) == ("asker", "order", None)
    assert message["payload"] == {"text": "grüß", "blob": {"base64": "AP8="}, "7": [1.5, "inf"]}
    assert (second["expired"], second["message"]["reply_to"]) == (True, "_reply.8.1")
    assert letters.numbers() == [1, 2]


def test_the_table_has_a_line_for_each_letter_and_a_preview_of_its_payload(letters, file):
    json_letter = letter_of({"text": "y" * 100}, serializer=JsonSerializer())
    letters.add(replace(json_letter, reason="E: \x1b[31m"), GARBAGE, FOREIGN)
    done = run("list", "--topology", file)
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    assert " ".join(header) == "number agent time deliveries reason from type payload"
    assert rows[0][4:] == ["E: \\x1b[31m", "asker", "order", '{"text": "' + "y" * 50 + "..."]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", rows[0][2])
    assert rows[1][4:] == [
        "unreadable: no frame",
        "(not a frame: 16 bytes are too few for a frame; 16 bytes)",
    ]
    assert rows[2][4:] == [
        "E: no",
        f"(written by the serializer 'other'; {len(FOREIGN.frame)} bytes)",
    ]


def test_what_is_no_frame_is_given_whole(letters):
    letters.add(GARBAGE)
    [row] = letters.list()
    assert (row["message"], row["frame"]) == (None, "bm8gZnJhbWUgYXQgYWxs/w==")
    assert row["problem"].startswith("not a frame: ")


def test_letters_are_chosen_by_agent_by_number_and_by_limit(letters, file):
    letters.add(*(letter_of({"n": n}, "ab"[n % 2]) for n in range(1, 7)))
    assert [each["number"] for each in letters.list("--agent", "a")] == [2, 4, 6]
    assert [each["number"] for each in letters.list("-n", 5, "--number", 2)] == [2, 5]
    done = run("list", "--topology", file, "--agent", "b", "--limit", 2, "--json")
    assert [each["number"] for each in json.loads(done.stdout)] == [1, 3]
    assert done.stderr == "1 more: raise --limit\n"


def test_letters_of_an_agent_with_dots_in_its_name_are_its_own(letters, file):
    names = ["workers.eu.1", "workers_eu_1", "workers", "workers=2Eeu=2E1"]
    letters.add(*(letter_of({"n": n}, name) for n, name in enumerate(names)))
    assert [each["agent"] for each in letters.list()] == names
    [row] = letters.list("--agent", names[0])
    assert (row["number"], row["agent"]) == (1, names[0])
    assert run("replay", "--topology", file, "--agent", names[0]).returncode == 0
    assert [at for at, _ in letters.returned()] == ["workers/eu/1"]
    assert letters.numbers() == [2, 3, 4]


def test_no_letters_are_an_empty_list(letters, file):
    letters.add()
    assert letters.list() == []
    done = run("list", "--topology", file, "--agent", "x")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "there are no dead letters of agent 'x'\n"


def test_thousands_are_read_over_gaps(letters, file):
    letters.add(*(letter_of({"n": n}) for n in range(3000)))
    chosen = [argument for n in (1, 2, 1000, 3000) for argument in ("-n", str(n))]
    assert run("drop", "-t", file, "--yes", *chosen).returncode == 0
    expected = [n for n in range(1, 3001) if n not in (1, 2, 1000, 3000)]
    rows = letters.list()
    assert [each["number"] for each in rows] == expected
    assert [each["message"]["payload"]["n"] + 1 for each in rows] == expected


# --- returning ----------------------------------------------------------------------------------


def test_letters_go_back_to_their_agents_in_order_as_if_never_delivered(letters, file):
    letters.add(*(letter_of({"n": n}, "ab"[n % 2]) for n in range(1, 6)), FOREIGN)
    done = run("replay", "-t", file, "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "replayed 6 dead letters\n", "")
    back = letters.returned()
    assert [agent for agent, _ in back] == ["b", "a", "b", "a", "b", "a"]
    assert {envelope.attempt_of(frame) for _, frame in back} == {0}
    bodies = [MsgpackSerializer().deserialize(envelope.open(f).body) for _, f in back[:-1]]
    assert [each.payload["n"] for each in bodies] == [1, 2, 3, 4, 5]
    assert back[-1][1] == envelope.with_attempt(FOREIGN.frame, 0)
    assert letters.numbers() == []


def test_only_the_chosen_letters_go_back(letters, file):
    letters.add(*(letter_of({"n": n}, "ab"[n % 2]) for n in range(1, 7)))
    done = run("replay", "-t", file, "-n", 3, "-n", 6, "--json")
    assert json.loads(done.stdout) == {"replayed": 2, "kept": []}
    assert run("replay", "-t", file, "--agent", "a").stdout == "replayed 2 dead letters\n"
    assert letters.numbers() == [1, 5]
    done = run("replay", "-t", file, "-n", 1, "-n", 99)
    assert (done.returncode, done.stderr) == (2, "error: there is no dead letter 99\n")
    assert letters.numbers() == [1, 5]


def test_letters_that_would_be_in_vain_stay_with_the_reason(letters, file):
    letters.add(GARBAGE, letter_of({}), EXPIRED, replace(letter_of({}), agent="_reply"))
    done = run("replay", "-t", file, "--all")
    assert (done.returncode, done.stdout) == (1, "replayed 1 dead letter\n")
    garbage, expired, nobody = done.stderr.splitlines()
    assert garbage.startswith("kept 1, to a: no agent can read it: not a frame: ")
    assert expired.startswith("kept 3, to a: its time to live is over")
    assert nobody.startswith("kept 4, to _reply: no agent has this name: ")
    assert letters.numbers() == [1, 3, 4]
    done = run("replay", "-t", file, "--all", "--json")
    assert done.returncode == 1
    assert [each["number"] for each in json.loads(done.stdout)["kept"]] == [1, 3, 4]


def test_an_expired_request_goes_back_without_its_time_limit_and_its_asker(letters, file):
    letters.add(EXPIRED)
    assert run("replay", "-t", file, "-n", 1, "--expired").returncode == 0
    [(_, frame)] = letters.returned()
    opened, before = envelope.open(frame), envelope.open(EXPIRED.frame)
    assert opened._replace(body=b"") == before._replace(body=b"", reply_to="", attempt=0)
    now, then = (MsgpackSerializer().deserialize(each.body) for each in (opened, before))
    assert (now.ttl, now.reply_to, now.payload, now.id) == (None, None, then.payload, then.id)


def test_a_request_in_time_keeps_its_time_limit_and_its_asker(letters, file):
    letter = letter_of({}, reply_to="_reply.8.1", ttl=3600.0)
    letters.add(letter)
    assert run("replay", "-t", file, "--all", "--expired").returncode == 0
    [(_, frame)] = letters.returned()
    assert frame == envelope.with_attempt(letter.frame, 0)


def test_a_replay_that_stored_a_letter_and_did_not_remove_it_is_repeated_without_storing_it_twice(
    letters, file
):
    async def deny_deletion() -> None:
        async with jetstream_of(letters.url) as jetstream:
            subjects = [f"{letters.options.dead_letter_subject}.*"]
            config = StreamConfig(name=letters.dead_stream, subjects=subjects, discard="new")
            await jetstream.add_stream(config, deny_delete=True)

    asyncio.run(deny_deletion())
    letters.add(letter_of({"n": 1}), letter_of({"n": 2}))
    for _ in range(2):
        done = run("replay", "-t", file, "--all")
        assert done.returncode == 1
        assert "message delete not permitted" in done.stderr
        assert len(letters.returned()) == 1
    assert letters.numbers() == [1, 2]


async def test_a_letter_that_the_transport_wrote_is_handled_by_its_agent_when_it_is_back(
    letters, file
):
    options = letters.options.model_copy(update={"max_deliver": 1})
    given: asyncio.Queue[int] = asyncio.Queue()
    healthy = False

    async def handle(frame: bytes) -> None:
        given.put_nowait(envelope.attempt_of(frame))
        if not healthy:
            raise ProcessingError("a", "ValueError", "no such order")

    transport = NATSTransport(options)
    try:
        await transport.subscribe("a", handle)
        await transport.start()
        await transport.publish("a", frame_of({}))
        async with asyncio.timeout(DEADLINE):
            await given.get()
            while not (rows := await asyncio.to_thread(letters.list)):
                pass
        assert (rows[0]["reason"], rows[0]["deliveries"]) == ("ValueError: no such order", 1)
        healthy = True
        done = await asyncio.to_thread(run, "replay", "-t", file, "--agent", "a")
        assert done.stdout == "replayed 1 dead letter\n"
        async with asyncio.timeout(DEADLINE):
            assert await given.get() == 0
    finally:
        await transport.stop()
    assert await asyncio.to_thread(letters.numbers) == []


def test_a_full_stream_is_told_and_the_letter_stays(letters, tmp_path):
    letters.options = letters.options.model_copy(update={"max_bytes": 400})
    letters.add(letter_of({}), letter_of({"n": "x" * 300}), letter_of({}))
    file = letters.topology(tmp_path, send_timeout=0.5)
    done = run("replay", "-t", file, "--all")
    assert (done.returncode, done.stdout) == (1, "replayed 1 dead letter\n")
    assert f"stream {letters.stream} is full" in done.stderr
    assert letters.numbers() == [2, 3]


def test_nothing_goes_back_where_the_stream_of_the_agents_is_another_one(letters, tmp_path):
    letters.add(letter_of({}))
    file = letters.topology(tmp_path, subject_prefix="somewhere.else")
    done = run("replay", "-t", file, "--all")
    assert done.returncode == 2
    assert f"has the subjects {letters.stream}.agent.*" in done.stderr
    assert "somewhere.else.*" in done.stderr
    assert letters.numbers() == [1]


def test_ctrl_c_ends_a_replay_between_two_letters_and_tells_how_far_it_is(jetstream, tmp_path):
    letters = DeadLetterStream(jetstream, "S")
    letters.add(*(letter_of({"n": n}) for n in range(8000)))
    arguments = ["dead-letters", "replay", "-t", str(letters.topology(tmp_path)), "--all"]
    command = Running(arguments, tmp_path, {}, COMMAND)
    try:
        eventually(lambda: jetstream.streams()["S"]["state"]["messages"])
        command.signal(signal.SIGINT)
        assert command.wait() == 130
    finally:
        command.close()
    back = len(letters.returned())
    assert 0 < back < 8000
    assert command.out == [f"replayed {back} dead letter{'s' if back > 1 else ''}"]
    assert PROGRESS.sub("", "".join(f"{line}\n" for line in command.err)) == "interrupted\n"
    assert letters.numbers() == list(range(back + 1, 8001))


def test_a_server_that_is_killed_under_a_replay_is_told_and_the_replay_can_be_repeated(
    jetstream, tmp_path
):
    letters = DeadLetterStream(jetstream, "S")
    letters.add(*(letter_of({"n": n}) for n in range(2000)))
    file = letters.topology(tmp_path, send_timeout=1.0)
    arguments = ["dead-letters", "replay", "-t", str(file), "--all"]
    command = Running(arguments, tmp_path, {}, COMMAND)
    try:
        eventually(lambda: jetstream.streams()["S"]["state"]["messages"])
        jetstream.kill()
        assert command.wait() == 1
    finally:
        command.close()
    assert command.count("error: ") == 1
    assert command.count("Traceback") == 0
    jetstream.start()
    assert run("replay", "-t", file, "--all").returncode == 0
    assert letters.numbers() == []
    bodies = [MsgpackSerializer().deserialize(envelope.open(f).body) for _, f in letters.returned()]
    assert [each.payload["n"] for each in bodies] == list(range(2000))


# --- removing -----------------------------------------------------------------------------------


def test_letters_are_removed_and_go_nowhere(letters, file):
    letters.add(letter_of({}), GARBAGE, letter_of({}, "b"))
    assert run("drop", "-t", file, "--agent", "a", "--yes").stdout == "removed 2 dead letters\n"
    assert letters.numbers() == [3]
    done = run("drop", "-t", file, "--all", "-y", "--json")
    assert json.loads(done.stdout) == {"removed": 1, "kept": []}
    assert letters.numbers() == letters.returned() == []


def test_nothing_is_removed_where_nobody_can_be_asked(letters, file):
    letters.add(letter_of({}))
    done = run("drop", "-t", file, "--all")
    assert (done.returncode, done.stderr) == (2, "error: there is nobody to ask: give --yes\n")
    assert letters.numbers() == [1]


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, [1]), (b"y\n", 0, [])])
def test_letters_are_removed_when_somebody_says_yes(letters, file, answer, code, left):
    letters.add(letter_of({}))
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, answer)
        done = subprocess.run(
            [COMMAND, "dead-letters", "drop", "-t", file, "--all"],
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "Remove 1 dead letter for ever?" in done.stderr
    assert done.returncode == code
    assert letters.numbers() == left
