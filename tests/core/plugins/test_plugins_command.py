"""The installed command: `civitas plugins list|show|check`."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RECORDER = """
import atexit, json, os, sys

@atexit.register
def record():
    with open(os.environ["RECORD"], "w") as file:
        json.dump(sorted(sys.modules), file)
"""

OPTIONS = """
from civitas.plugins import Capabilities, TransportSpec, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr

import atexit, threading, time

print("noise of an import")
atexit.register(print, "noise of an exit")
threading.Thread(target=time.sleep, args=(1000,), name="pigeon").start()

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    loft: str = Field("home", description="Where the pigeons return to.")
    birds: int = Field(description="How many.")
    token: SecretStr = Field(SecretStr("coo"), description="For the keeper.")
    feed: str = "corn"

@hookimpl
def civitas_transports():
    yield TransportSpec(
        "pigeon", "Slow but sure", print, Options, Capabilities(cross_process=True)
    )
"""


def rows(done):
    assert done.returncode in (0, 1), done.stderr
    return {
        (each["kind"], each["name"], each["distribution"]): each for each in json.loads(done.stdout)
    }


def states(done):
    return {key[1:]: row["state"] for key, row in rows(done).items()}


def test_list_gives_every_state(scratch):
    scratch.install("carrier-pigeon")
    scratch.install("postal-pigeon")
    scratch.install("grey-dove", name="dove")
    scratch.install("new-swan", name="swan", group="civitas.v2.transports")
    scratch.install("early-heron", name="heron", dependencies=("civitas-core>=7.1",))
    scratch.install("false-bird", name="in_process")
    done = scratch.civitas("list", "--json", CIVITAS_DISABLE_PLUGINS="dove, finch")
    assert done.returncode == 0
    found = states(done)
    expected = {
        ("in_process", "civitas-core"): "ok",
        ("in_process", "false-bird"): "shadows-builtin",
        ("pigeon", "carrier-pigeon"): "conflict",
        ("pigeon", "postal-pigeon"): "conflict",
        ("dove", "grey-dove"): "disabled",
        ("swan", "new-swan"): "incompatible",
        ("heron", "early-heron"): "incompatible",
        ("nats", "civitas-nats"): "not-installed",
        ("json", "civitas-core"): "ok",
        ("msgpack", "civitas-core"): "ok",
    }
    assert expected.items() <= found.items()
    assert "note: CIVITAS_DISABLE_PLUGINS names 'finch'" in done.stderr
    row = rows(done)["transport", "pigeon", "postal-pigeon"]
    assert row["version"] == "1.0"
    assert row["entry_point"]["value"] == "postal_pigeon.plugin"
    assert "carrier-pigeon 1.0" in row["note"]
    assert '"civitas-core>=7.1"' in rows(done)["transport", "heron", "early-heron"]["note"]


def test_list_works_with_a_broken_plugin_installed_and_imports_none(scratch):
    site = scratch.install(plugin="raise RuntimeError('imported')\n")
    (site / "sitecustomize.py").write_text(RECORDER)
    record = scratch.root / "modules.json"
    done = scratch.civitas("list", RECORD=str(record))
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if " pigeon " in line)
    assert line.split() == ["transport", "pigeon", "ok", "carrier-pigeon", "1.0"]
    modules = json.loads(record.read_text())
    assert "civitas.plugins.catalog" in modules
    plugins = ("carrier_pigeon", "civitas.transport.plugin", "civitas.plugins.builtin")
    assert not [module for module in modules if module.startswith(plugins)]


def test_show_tells_options_and_claims_and_no_secret(scratch):
    scratch.install(plugin=OPTIONS)
    done = scratch.civitas("show", "pigeon")
    assert done.returncode == 0, done.stderr
    for part in (
        "transport pigeon: Slow but sure",
        "carrier-pigeon 1.0",
        "cross_process",
        "Where the pigeons return to.",
        "default 'home'",
        "required",
        "default (hidden), secret",
    ):
        assert part in done.stdout
    assert "coo" not in done.stdout


def test_what_a_plugin_prints_or_leaves_running_does_not_spoil_the_json(scratch):
    scratch.install(plugin=OPTIONS)
    done = scratch.civitas("show", "pigeon", "--json")
    shown = json.loads(done.stdout)
    assert "left behind, as it had not ended after 0.5 s: thread 'pigeon'" in done.stderr
    assert [option["name"] for option in shown["options"]] == ["loft", "birds", "token", "feed"]
    assert shown["options"][2]["default"] == "(hidden)"


def test_show_gives_json(scratch):
    shown = json.loads(scratch.civitas("show", "in_process", "--json").stdout)
    assert shown["distribution"] == "civitas-core"
    assert shown["builtin"] is True
    assert shown["options"] == []
    assert shown["capabilities"]["cross_process"] is False


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("show", "pigoen"), "did you mean 'pigeon'?"),
        (("show", "nats"), 'pip install "civitas-nats"'),
        (("show", "pigeon", "--kind", "bird"), "--kind"),
        (("show", "pigeon", "--kind", "serializer"), "'pigeon' is a transport"),
        (("check", "pigeon", "pigoen"), "did you mean 'pigeon'?"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(scratch, arguments, part):
    scratch.install()
    done = scratch.civitas(*arguments)
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_show_of_a_broken_plugin_exits_with_1(scratch):
    scratch.install(plugin="import carrier_missing\n")
    done = scratch.civitas("show", "pigeon")
    assert done.returncode == 1
    assert "[plugin-broken; Python: " in done.stderr
    assert "Traceback" not in done.stderr


def test_show_asks_which_when_a_name_is_of_both_kinds(scratch):
    scratch.install(name="json")
    done = scratch.civitas("show", "json")
    assert done.returncode == 2
    assert "--kind" in done.stderr
    assert scratch.civitas("show", "json", "--kind", "serializer").returncode == 0


def test_check_passes_what_works(scratch):
    scratch.install()
    done = scratch.civitas("check")
    assert done.returncode == 0, done.stdout
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["ok", "transport", "in_process"],
        ["ok", "transport", "pigeon"],
        ["unproved:", "nothing", "is"],
        ["ok", "serializer", "json"],
        ["ok", "serializer", "msgpack"],
        ["ok", "instrument", "log"],
    ]


@pytest.mark.slow
def test_check_gives_each_plugin_its_own_verdict_and_fails(scratch):
    scratch.install("exiting-bird", name="exiting", plugin="import os; os._exit(0)\n")
    scratch.install("broken-bird", name="broken", plugin="import carrier_missing\n")
    scratch.install("misfit-bird", name="misfit", transport="class Pigeon: ...\n")
    scratch.install("false-bird", name="in_process")
    scratch.install("early-bird", name="early", dependencies=("civitas-core>=7.1",))
    scratch.install("chatty-bird", name="pigeon", plugin=OPTIONS)
    done = scratch.civitas("check", "--json")
    assert done.returncode == 1
    verdicts = {each["name"]: each for each in json.loads(done.stdout)}
    problems = {name: (each["error"] or {}).get("problem", "") for name, each in verdicts.items()}
    assert "importing it ended the process, with exit code 0" in problems["exiting"]
    assert "carrier_missing" in problems["broken"]
    assert "has no method start()" in problems["misfit"]
    assert "is built in and can't be replaced" in problems["false-bird:in_process"]
    assert "needs civitas-core>=7.1, and " in problems["early"]
    assert verdicts["early"]["state"] == "incompatible"
    assert verdicts["broken"]["error"]["code"] == "plugin-broken"
    assert Path(verdicts["broken"]["error"]["interpreter"]).parent == scratch.interpreter.parent
    assert verdicts["in_process"]["state"] == verdicts["pigeon"]["state"] == "ok"
    assert "option 'feed' has no description" in verdicts["pigeon"]["advice"]


def test_check_excuses_what_is_disabled_unless_it_is_asked_for(scratch):
    scratch.install(plugin="raise RuntimeError('imported')\n")
    excused = scratch.civitas("check", CIVITAS_PLUGINS="")
    assert excused.returncode == 0
    assert "disabled       transport pigeon" in excused.stdout
    assert scratch.civitas("check", "pigeon", CIVITAS_PLUGINS="").returncode == 1


def test_check_of_a_name_that_is_not_installed_fails_with_the_command(scratch):
    done = scratch.civitas("check", "nats")
    assert done.returncode == 1
    assert 'pip install "civitas-nats"' in done.stdout


HANGING = """
import os, pathlib, time
pathlib.Path(os.environ["RECORD"]).write_text(str(os.getpid()))
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_check_that_is_interrupted_leaves_no_process(scratch, number):
    scratch.install(plugin=HANGING)
    record = scratch.root / "pid"
    check = subprocess.Popen(
        [scratch.interpreter.with_name("civitas"), "plugins", "check", "pigeon"],
        env=scratch.environment({"RECORD": str(record)}, ("site",)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: record.exists() and record.read_text(), "the plugin is imported")
    check.send_signal(number)
    output = check.communicate(timeout=30)
    assert (check.returncode, *output) == (128 + number, b"", b"")
    child = int(record.read_text())
    until(lambda: not Path(f"/proc/{child}").exists(), "the plugin's process ends")


def until(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
