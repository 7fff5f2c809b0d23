"""`civitas-nats streams create`: an administrator's login makes what processes may not make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.nats.permissions import authorization, users_of
from support.nats.server import NatsServer

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("civitas-nats")


def create(folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command with a topology of these options."""
    topology = folder / "topology.yaml"
    topology.write_text(json.dumps({"transport": {"type": "nats", **options}}))
    command = [COMMAND, "streams", "create", "--topology", topology]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_creates_both_streams_with_the_login_of_an_administrator_and_may_be_repeated(tmp_path):
    config = authorization(users_of("jetstream.conf").values())
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        options = {"servers": server.url, "jetstream": True, "create_stream": False}
        login = {"user": "admin", "password": "x", "inbox_prefix": "_INBOX.admin"}
        for _ in range(2):
            done = create(tmp_path, **options, **login)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == "the streams AGENCY and AGENCY_DEAD are there\n"
        assert server.streams().keys() == {"AGENCY", "AGENCY_DEAD"}
        assert "Violation" not in server.log
        guest = {"user": "guest", "password": "x", "inbox_prefix": "_INBOX.guest"}
        done = create(tmp_path, **options, **guest, stream_name="OTHER", send_timeout=1)
        assert done.returncode == 1
        assert 'Permissions Violation for Publish to "$JS.API.STREAM.INFO.OTHER"' in done.stderr


def test_a_stream_that_is_there_and_does_not_fit_is_told(tmp_path, jetstream):
    options = {"servers": jetstream.url, "jetstream": True}
    assert create(tmp_path, **options, replicas=1).returncode == 0
    done = create(tmp_path, **options, max_bytes=1024)
    assert done.returncode == 2
    assert "stream AGENCY exists and does not fit: max_bytes is" in done.stderr
