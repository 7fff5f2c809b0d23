"""DeadLetterStream: dead letters on a server, and the command `civitas-nats dead-letters`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from civitas_nats.jetstream.dead_letters import DeadLetter
from civitas_nats.options import NATSOptions
from support.forked_commands import printed
from support.nats.dead_letters import add_dead_letters, stored
from support.nats.server import NatsServer

PROGRESS = re.compile(r"^\w+ \d+ of \d+\n", re.MULTILINE)
"""Lines of progress, which are printed when a machine is slow."""

COMMAND = Path(sys.executable).with_name("civitas-nats")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"COLUMNS": "100", "TZ": "UTC", **environment}
    done = printed("civitas-nats", "dead-letters", *arguments, **settings)
    assert "Traceback" not in done.stderr
    done.stderr = PROGRESS.sub("", done.stderr)
    return done


class DeadLetterStream:
    """The dead letters of a stream of its own on a server, and the command for it."""

    def __init__(self, server: NatsServer, name: str) -> None:
        self.url = server.url
        self.options = NATSOptions(
            servers=server.url,
            jetstream=True,
            stream_name=name,
            subject_prefix=f"{name}.agent",
            dead_letter_subject=f"{name}.dead",
        )
        self.stream = name
        self.dead_stream = f"{name}_DEAD"

    def topology(self, folder: Path, **more: Any) -> Path:
        keys = ("stream_name", "subject_prefix", "dead_letter_subject")
        block = {"type": "nats", "servers": self.url, "jetstream": True}
        block |= {key: getattr(self.options, key) for key in keys} | more
        file = folder / "topology.yaml"
        file.write_text(json.dumps({"transport": block}))
        return file

    def add(self, *letters: DeadLetter) -> None:
        add_dead_letters(self.options, *letters)

    def list(self, *arguments: object) -> list[dict[str, Any]]:
        flags = ("--stream", self.stream, "--dead-letter-subject", f"{self.stream}.dead")
        done = run("list", "--json", "--servers", self.url, *flags, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def numbers(self) -> list[int]:
        return [each["number"] for each in self.list()]

    def returned(self) -> list[tuple[str, bytes]]:
        begin = f"{self.options.subject_prefix}."
        return [(at.removeprefix(begin), frame) for at, frame in stored(self.url, self.stream)]
