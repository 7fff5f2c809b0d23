"""The page on this transport says what its code says, and what real servers do."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas._bus.bus import DEFAULT_SEND_TIMEOUT
from civitas._bus.windows import WINDOW
from civitas.errors import AccessDeniedError
from civitas_nats import StreamMismatchError
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import consumer_name
from support import pages
from support.certificates import Certificates
from support.nats.server import NatsServer
from support.ports import free_port
from support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
NAMES = ("nats.md", "nats-jetstream.md", "nats-operation.md")
PAGE = "".join((REPOSITORY / "docs" / name).read_text(encoding="utf-8") for name in NAMES)
"""The three pages, one behind the other: the sessions of one go on on the next."""

README = (REPOSITORY / "civitas-nats" / "README.md").read_text(encoding="utf-8")
CONFIGURATIONS = dict(re.findall(r"^```text title=\"(.+)\"\n((?:.*\n)*?)```$", PAGE, re.MULTILINE))
TOKEN = re.findall(r'token: "(.*)"', CONFIGURATIONS["nats1.conf"])[0]
COMMAND = Path(sys.executable).with_name("civitas-nats")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


# --- numbers and names ---------------------------------------------------------------------------


def test_the_names_of_consumers_are_written_as_the_page_says():
    names = (".", "%", "=", "a-b", "ä")
    assert [consumer_name(name) for name in names] == ["=2E", "=25", "=3D", "a-b", "ä"]
    assert "`.`, `%` and `=` are written `=2E`, `=25` and `=3D`" in " ".join(PAGE.split())


# --- configurations ----------------------------------------------------------------------------


def blocks(text: str) -> list[dict[str, Any]]:
    """Return the transport blocks of a text, with something for each variable."""
    found = re.findall(r"^```yaml.*\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [yaml.safe_load(re.sub(r"\$\{\w+(:-)?\}", "x", each))["transport"] for each in found]


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "readme"])
def test_every_transport_block_that_is_shown_is_right(text):
    assert blocks(text)
    for options in blocks(text):
        assert options.pop("type") == "nats"
        NATSOptions(**options)


class Picky(AgentProcess):
    """Answers, and fails when told so."""

    async def handle(self, message: Message) -> Message:
        if message.type == "fail":
            raise ValueError("as told")
        return self.reply({})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return ErrorAction.ESCALATE


async def use(server: NatsServer, **options: Any) -> None:
    """See that all works that a process does with a server: one message fails, one does not."""
    root = Supervisor("root", [Picky("picky")], backoff_base=0)
    options |= {"servers": server.url, "jetstream": True, "max_deliver": 1}
    settings = {f"nats_{name}": value for name, value in options.items()}
    async with Runtime(root, transport="nats", **settings) as runtime:
        await runtime.send("picky", {}, "fail")
        await runtime.ask("picky", {})
    eventually(lambda: server.streams()["AGENCY_DEAD"]["state"]["messages"] == 1)
    assert "Violation" not in server.log


def own(name: str, folder: Path) -> str:
    """Return a configuration of the page for a server of a test, whose place is its own."""
    text = CONFIGURATIONS[name].replace("listen: 0.0.0.0:4222\n", "")
    return text.replace("/var/lib/nats", str(folder / "store"))


@pytest.mark.slow
async def test_a_server_that_is_configured_as_shown_works_for_who_has_the_token(tmp_path):
    with NatsServer(tmp_path, config=own("/etc/nats-server.conf", tmp_path)) as server:
        await use(server, token=TOKEN)
        with pytest.raises(AccessDeniedError):
            await use(server, token=TOKEN.upper())


@pytest.mark.slow
async def test_the_certificates_are_used_as_shown(tmp_path, certificates: Certificates):
    config = own("tls.conf", tmp_path)
    for name in ("cert", "key", "ca"):
        config = re.sub(rf"(?<={name}_file: ).*", str(getattr(certificates, name)), config)
    files = {
        "ca": certificates.ca,
        "cert": certificates.client_cert,
        "key": certificates.client_key,
    }
    (block,) = blocks(section("TLS"))
    assert block["tls"].keys() == files.keys()
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        await use(server, tls=files)


@pytest.mark.slow
async def test_three_servers_that_are_configured_as_shown_are_a_cluster(tmp_path):
    names = [f"nats{number}" for number in (1, 2, 3)]
    ports = {name: free_port() for name in names}
    (block,) = blocks(section("A cluster"))
    assert block["servers"] == [f"nats://{name}:4222" for name in names]
    with ExitStack() as running:
        servers = []
        for name in names:
            config = own(f"{name}.conf", tmp_path / name)
            config = config.replace("0.0.0.0:6222", f"127.0.0.1:{ports[name]}")
            config = re.sub(r"(nats\d):6222", lambda m: f"127.0.0.1:{ports[m[1]]}", config)
            servers.append(NatsServer(tmp_path / name, config=config))
        for server in servers:
            server.launch()
            running.callback(server.kill)
        for server in servers:
            server.wait_up()
        await use(servers[0], token=TOKEN, replicas=block["replicas"])
        for server in servers:
            eventually(lambda kept=server.streams: "AGENCY" in kept())


def test_the_configurations_of_the_three_servers_differ_in_the_name_alone():
    texts = {CONFIGURATIONS[f"nats{n}.conf"].replace(f"name: nats{n}", "") for n in (1, 2, 3)}
    assert len(texts) == 1


async def test_a_stream_that_does_not_fit_is_refused_in_the_words_of_the_page(jetstream):
    await use(jetstream, replicas=1)
    with pytest.raises(StreamMismatchError) as refused:
        await use(jetstream, replicas=3)
    assert f"error: {refused.value}" in " ".join(PAGE.split())


async def test_connections_have_the_names_that_the_page_tells(jetstream):
    root = Supervisor("root", [Picky("picky")])
    settings = {"nats_servers": jetstream.url, "nats_jetstream": True}
    async with Runtime(root, transport="nats", **settings):
        names = sorted(each["name"] for each in jetstream.clients())
    lines = section("Connections").replace("`", "").splitlines()
    rows = [line.split("|") for line in lines if line[:1] == "|"]
    told = (row[2].strip().replace("the process's name", "supervisor") for row in rows[2:])
    assert names == sorted(each.replace(" and ", " ") for each in told)


# --- sessions ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_files_of_the_page_do_what_its_sessions_show(tmp_path, jetstream):
    pages.run(PAGE, tmp_path, [(r"^( *)type: nats$", rf"\g<0>\n\1servers: {jetstream.url}")])


def test_the_sessions_of_the_readme_are_those_of_the_page():
    shown = [each.text for each in pages.blocks(README) if each.language == "console"]
    assert shown
    for command in re.split(r"^(?=\$ )", "".join(shown), flags=re.MULTILINE):
        assert command in PAGE


def test_the_page_that_compares_the_transports_has_their_numbers():
    page = (REPOSITORY / "docs" / "guarantees.md").read_text(encoding="utf-8")
    (largest,) = re.findall(r"^\| \*\*largest message\*\* \|.*$", page, re.MULTILINE)
    (ahead,) = re.findall(r"^\| \*\*room ahead of an agent\*\* \|.*$", page, re.MULTILINE)
    (no_room,) = re.findall(
        r"^- \*\*When there is no room\*\*.*?(?=\n\n)", page, re.MULTILINE | re.DOTALL
    )
    options = NATSOptions()
    assert f"| {options.max_message_bytes:,} bytes" in largest
    waits = " ".join(no_room.split())
    assert f"sets it to {DEFAULT_SEND_TIMEOUT:g} s." in waits
    assert f"On JetStream the transport has its own, {options.send_timeout:g} s." in waits
    room = AgentProcess("any").mailbox_size
    assert f"| {room:,} | {WINDOW} + {room:,} |" in ahead
