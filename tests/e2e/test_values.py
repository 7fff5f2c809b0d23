"""Values of files, variables and options, as agents of the installed command get them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
