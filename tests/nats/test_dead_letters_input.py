"""What is given to `civitas-nats dead-letters`, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from civitas.errors import ConfigurationError
from civitas_nats.cli.options import options_of_command
from civitas_nats.options import NATSOptions
from support.nats.dead_letter_stream import DeadLetterStream, run
from support.nats.dead_letters import add_dead_letters, letter_of
from support.nats.server import NatsServer
from support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_programs")]


@pytest.fixture
def letters(shared_jetstream, unique) -> DeadLetterStream:
    return DeadLetterStream(shared_jetstream, unique)


@pytest.fixture
def file(letters, tmp_path) -> Path:
    return letters.topology(tmp_path)


# --- what is given ------------------------------------------------------------------------------


def test_a_topology_gives_servers_and_login_and_nothing_else_of_it_is_read(tmp_path):
    with NatsServer(tmp_path / "s", jetstream=True, user="u", password="open sesame") as server:
        login = {"user": "u", "password": "open sesame"}
        options = NATSOptions(servers=server.url, jetstream=True, **login)
        add_dead_letters(options, letter_of({}))
        file = tmp_path / "topology.yaml"
        file.write_text(
            f"transport: {{type: nats, servers: '{server.url}', jetstream: true, user: u,"
            " password: '${SECRET}'}\n"
            "supervision: {name: root, children: [{agent: {name: a, type: no.such.Agent}}]}\n"
        )
        done = run("list", "-t", file, "--json", SECRET="open sesame")
        assert [each["number"] for each in json.loads(done.stdout)] == [1]
        done = run("replay", "-t", file, "--all", SECRET="close sesame")
        assert (done.returncode, done.stdout) == (1, "")
        assert "does not let this process in" in done.stderr
        assert "sesame" not in done.stderr


def test_overlays_and_the_environment_change_the_topology(tmp_path, monkeypatch):
    file, overlay = tmp_path / "topology.yaml", tmp_path / "prod.yaml"
    file.write_text("transport: {type: nats, stream_name: DEV, jetstream: true}")
    overlay.write_text("transport: {servers: 'nats://prod:4222', stream_name: PROD}")
    monkeypatch.setenv("CIVITAS_SET", "transport.dead_letter_subject=prod.dead")

    options = options_of_command(file, [overlay], None, None, None)

    assert (list(options.servers), options.stream_name) == (["nats://prod:4222"], "PROD")
    assert (options.dead_letter_subject, options.jetstream) == ("prod.dead", True)
    with pytest.raises(ConfigurationError, match="give --topology as well"):
        options_of_command(None, [overlay], None, None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("transport: {type: in_process}", "has no transport of type nats; its type is"),
        ("transport: {type: nats, server: x}", "did you mean 'servers'"),
        ("transport: {type: nats, token: '${NOT_SET}'}", "NOT_SET"),
    ],
)
def test_a_topology_with_mistakes_or_of_another_transport_is_refused(tmp_path, text, reason):
    file = tmp_path / "topology.yaml"
    file.write_text(text)
    done = run("list", "--topology", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("list", "--servers", "http://x"), "--servers: a server's URL begins with nats://"),
        (("list", "--servers", "nats://u:sesame@x"), "do not belong on a command line"),
        (("list", "--servers", "sesame@x:1"), "do not belong on a command line"),
        (("list", "--stream", "a.b"), "--stream: 'a.b' can't name a stream"),
        (("list", "--dead-letter-subject", "a*"), "--dead-letter-subject: 'a*' can't begin"),
        (("list", "--dead-letter-subject", "civitas.agent"), "is that of the agents"),
        (("list", "--agent", "*"), "--agent: a name can't contain '*'"),
        (("list", "--number", "0"), "or equal to 1"),
        (("list", "--limit", "0"), "or equal to 1"),
        (("list", "--topology", "/none"), "/none: the file can't be read"),
        (("replay",), "which messages? give --number, --agent or --all"),
        (("replay", "--all", "--agent", "a"), "one of them"),
        (("drop", "--yes"), "which messages?"),
    ],
)
def test_bad_input_ends_with_2(arguments, reason):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in " ".join(done.stderr.replace("│", " ").split())
    assert "sesame" not in done.stderr


@pytest.mark.parametrize("command", ["list", "show", "replay", "drop", "move"])
def test_the_help_tells_the_defaults(command):
    told, options = run(command, "--help").stdout, NATSOptions()
    for default in (options.servers[0], options.stream_name, options.dead_letter_subject):
        assert f"[default: ({default})]" in told


def test_no_server_ends_with_1(tmp_path):
    place = f"127.0.0.1:{free_port()}"
    file = tmp_path / "topology.yaml"
    block = f"{{type: nats, servers: '{place}', connect_timeout: 0.5}}"
    file.write_text(f"transport: {block}")
    done = run("list", "-t", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: no NATS server at nats://{place}" in done.stderr


def test_a_stream_that_is_not_there_or_has_other_subjects_is_told(letters):
    letters.add()
    done = run("list", "--servers", letters.url, "--stream", "NONE")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no stream NONE_DEAD" in done.stderr
    done = run("list", "--servers", letters.url, "--stream", letters.stream)
    assert done.returncode == 2
    assert f"has the subjects {letters.stream}.dead.*, not civitas.dead.*" in done.stderr


def test_a_server_without_jetstream_is_told(shared_nats, tmp_path):
    file = tmp_path / "topology.yaml"
    block = f"{{type: nats, servers: '{shared_nats.url}', send_timeout: 0.5}}"
    file.write_text(f"transport: {block}")
    done = run("list", "-t", file)
    assert done.returncode == 2
    assert "JetStream is not enabled" in done.stderr


def test_a_server_that_takes_only_small_messages_is_no_obstacle(tmp_path):
    with NatsServer(tmp_path, jetstream=True, max_payload=8000) as server:
        small = NATSOptions(servers=server.url, jetstream=True, max_message_bytes=2000)
        add_dead_letters(small, letter_of({}))
        done = run("list", "--servers", server.url, "--json")
        assert len(json.loads(done.stdout)) == 1
