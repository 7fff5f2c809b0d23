"""Every suite runs, with next to nothing to do, so that no benchmark rots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgpack
import psutil
import pytest

from benchmarks.document import Document
from benchmarks.frames import data_size, kinds_of
from benchmarks.harness import Effort, Row
from benchmarks.payloads import SIZES, fewer, payload
from benchmarks.suites import SUITES, tables_of
from civitas import envelope
from civitas.serializer import MsgpackSerializer
from support.commands import completed

REPOSITORY = Path(__file__).parents[2]
LEAST = Effort(rounds=1, turns=1, share=0.0005)
IN_PROCESS = ["messages", "tracing"]
SLOW = ["agents", "processes", "scrapes"]


def check(rows: list[Row]) -> None:
    names = [(row.work, row.floor_is) for row in rows]
    assert len(names) == len(set(names)) > 1
    for row in rows:
        assert (row.floor is None) == (row.ratio is None) == (row.floor_is == "")
        if row.ratio is not None:
            assert row.ratio.median > 0


def test_messages_within_a_process_are_measured() -> None:
    for name in IN_PROCESS:
        check(list(SUITES[name].rows(LEAST)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_suite_of_processes_runs(name: str) -> None:
    check(list(SUITES[name].rows(LEAST)))


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(set(SUITES) - {*IN_PROCESS, *SLOW}))
def test_a_suite_of_many_processes_runs(name: str) -> None:
    check(list(SUITES[name].rows(LEAST)))


def test_suites_are_measured_as_they_say_and_some_a_second_time_at_the_end() -> None:
    tables = list(tables_of(list(SUITES), pinned=None))
    assert tables[: len(SUITES)] == [(name, suite.pinned) for name, suite in SUITES.items()]
    assert tables[len(SUITES) :] == [(name, False) for name, each in SUITES.items() if each.both]
    assert list(tables_of(["nats"], pinned=True)) == [("nats", True)]


@pytest.mark.parametrize("size", [0, 100, 70_000])
def test_the_frames_of_floors_have_the_values_of_ours(size: int) -> None:
    for kind in kinds_of(size):
        frame = kind.make()
        assert frame == kind.bytes
        body = envelope.open(frame).body
        message = MsgpackSerializer().deserialize(body)
        assert message.payload == payload(size)
        assert kind.read(frame) == msgpack.unpackb(body)
        assert data_size(kind.read(frame)) == size
    question, answer, _ = (envelope.open(kind.bytes) for kind in kinds_of(size))
    assert question.reply_to == answer.reply_to
    assert (question.kind, answer.kind) == (envelope.KIND_MESSAGE, envelope.KIND_REPLY)


def test_a_run_of_large_messages_carries_a_bounded_number_of_bytes() -> None:
    assert fewer(10_000, 100) == 10_000
    assert all(fewer(20_000, size) * size <= 64 << 20 for size in SIZES.values())


@pytest.mark.slow
def test_a_run_writes_its_document_and_prints_it(tmp_path: Path) -> None:
    file = tmp_path / "made" / "run.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", "many"]
    done = completed(*command, "--output", file, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout == file.read_text()
    document = Document.from_json(done.stdout)
    assert document.quick
    assert [part.suite for part in document.parts] == ["many"]
    assert json.loads(done.stdout)["format"] == 1
    assert "ask to 100 agents of a worker" in done.stderr


@pytest.mark.slow
def test_a_ctrl_c_shows_what_was_measured_and_leaves_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--quick", "processes"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "ask over zmq, 100 B" in line:
                break
        started = psutil.Process(run.pid).children(recursive=True)
        os.killpg(run.pid, signal.SIGINT)
        shown, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert "ask over zmq, 100 B (p50)" in shown
    assert len(started) > 3
    assert not [each for each in started if each.is_running()]


def test_a_suite_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    done = completed(sys.executable, "-m", "benchmarks", "mesages", cwd=REPOSITORY)
    assert done.returncode == 2
    assert "no such suite: mesages; there are messages, " in done.stderr
