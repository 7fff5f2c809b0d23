"""Values of files, variables and options, as agents of the installed command get them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitas.errors import ConfigurationError
from civitas.runtime import Runtime
from civitas_zmq.keys import make_pair
from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow

SHOWS = """
    import json

    class Shows(AgentProcess):
        def __init__(self, name, **config):
            super().__init__(name)
            self.config = config

        async def on_start(self):
            print(json.dumps(self.config))
            self.stop()
"""


def test_an_agent_gets_values_as_they_are_written_and_variables_as_if_they_were_typed(
    app: Callable[..., Path],
) -> None:
    config = {
        "at: 12:30": {"at": "12:30"},
        "zip: 01234": {"zip": "01234"},
        "mode: 0o17": {"mode": 15},
        "rate: 1e3": {"rate": 1000.0},
        "many: 1_000": {"many": 1000},
        "day: 2024-01-02": {"day": "2024-01-02"},
        "on: x": {"on": "x"},
        "size: ${SIZE}": {"size": 100},
        "is_on: ${IS_ON}": {"is_on": True},
        'token: "${TOKEN}"': {"token": "sesame\n"},
        "nested: ${UNSET:-${SIZE}}": {"nested": 100},
        "none: ${EMPTY}": {"none": None},
        "money: 5$": {"money": "5$"},
    }
    file = app(SHOWS, f"name: a, type: agents.Shows, config: {{{', '.join(config)}}}")
    text = file.read_text().replace("${SIZE}", "'@'", 1)  # inside braces YAML wants quotes
    lines = "".join(f"          {each}\n" for each in config)
    text = text[: text.index("    - agent")]
    text += f"    - agent:\n        name: a\n        type: agents.Shows\n        config:\n{lines}"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    done = completed(
        *(COMMAND, "run", file, "--app-dir", file.parent),
        *("--set", "supervision.children.a.config.'a.b'=12:30"),
        SIZE="100\n",
        IS_ON="yes\r",
        TOKEN="sesame\n",
        EMPTY="",
    )

    assert done.returncode == 0, done.stderr
    expected = {key: value for each in config.values() for key, value in each.items()}
    assert json.loads(done.stdout) == expected | {"a.b": "12:30"}


def test_a_payload_that_is_no_json_is_refused_with_its_path(app: Callable[..., Path]) -> None:
    file = app("", "name: a, type: agents.A")

    done = completed(COMMAND, "ask", "a", '{"rates": [1, NaN]}', "--topology", file)

    assert done.returncode == 2
    assert "payload.rates[1] is NaN" in done.stderr


WRONG_FILES = {
    "a nats authority": ({"type": "nats", "tls": {"ca": "gone.pem"}}, "tls.ca: gone.pem"),
    "a nats key": (
        {"type": "nats", "tls": {"cert": "gone.pem", "key": "gone.key"}},
        "tls.cert: gone.pem",
    ),
    "nats credentials": (
        {"type": "nats", "credentials": "~/gone.creds"},
        "credentials: /elsewhere/gone.creds can't be read",
    ),
    "a nats seed": ({"type": "nats", "nkey_seed": "SUSPECT"}, "nkey_seed is no seed"),
    "a redis authority": (
        {"type": "redis", "url": "rediss://localhost", "tls": {"ca": "~/gone.pem"}},
        "tls.ca: /elsewhere/gone.pem",
    ),
    "a zmq folder": (
        {"type": "zmq", "pub_addr": "ipc:///gone/x", "sub_addr": "tcp://127.0.0.1:1"},
        "there is no folder /gone",
    ),
    "a zmq key": (
        {"type": "zmq", "curve": {"server_public_key": make_pair().public_key}},
        "transport.curve.public_key is missing",
    ),
}


def system(transport: dict[str, Any]) -> dict[str, Any]:
    agent = {"name": "a", "type": "civitas.process.AgentProcess"}
    supervision = {"name": "root", "children": [{"agent": agent}]}
    return {"transport": transport, "supervision": supervision}


@pytest.mark.parametrize(("transport", "told"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_or_key_that_a_transport_can_not_use_is_found_before_a_start(
    transport: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")

    with pytest.raises(ConfigurationError) as caught:
        Runtime.from_config_dict(system(transport))
    assert told in str(caught.value)


def test_validate_finds_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(json.dumps(system({"type": "nats", "credentials": "gone.creds"})))

    done = completed(COMMAND, "topology", "validate", file, "--json", cwd=tmp_path)

    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["path"], problem["line"]) == ("transport", 1)
    assert problem["message"] == "credentials: gone.creds can't be read: No such file or directory"


def test_up_hands_on_what_came_through_a_pipe_and_folders_may_begin_with_a_tilde(
    app: Callable[..., Path],
) -> None:
    file = app(SHOWS, "name: a, type: agents.Shows, config: {x: 1}")
    up = f"{COMMAND} up /dev/stdin --app-dir=~/{file.parent.name}"

    done = completed("sh", "-c", f"cat {file} | {up}", HOME=str(file.parent.parent))

    assert done.returncode == 0, done.stderr
    assert done.stdout == 'supervisor | {"x": 1}\n'


def test_a_folder_of_agents_that_is_not_there_is_bad_input(app: Callable[..., Path]) -> None:
    file = app(SHOWS, "name: a, type: agents.Shows")

    done = completed(COMMAND, "run", file, "--app-dir", "nowhere", COLUMNS="200")

    assert done.returncode == 2
    assert "the folder 'nowhere' does not exist" in done.stderr
