"""Options: every key has its default, every mistake is a sentence, no secret is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from civitas.plugins import Capabilities, TransportContext
from civitas.plugins.loader import load_transport
from civitas.plugins.options import describe_options, options_advice
from civitas.topology import TopologyError
from civitas.topology.plugins import options_from_mapping
from civitas_nats.options import NATSOptions, TLSOptions, capabilities_of
from civitas_nats.plugin import civitas_transports
from civitas_nats.transport import NATSTransport
from support.commands import printed_by

SECRET = "s3same"


def test_the_defaults_are_those_of_a_server_of_ones_own_at_most_once():
    assert NATSOptions().model_dump() == {
        "servers": ("nats://localhost:4222",),
        "jetstream": False,
        "stream_name": "AGENCY",
        "tls": None,
        "credentials": None,
        "nkey_seed": None,
        "token": None,
        "user": None,
        "password": None,
        "connect_timeout": 5.0,
        "ping_interval": 2.0,
        "send_timeout": 15.0,
        "max_message_bytes": 1_000_000,
        "max_pending_messages": 16 * 1024,
        "subject_prefix": "civitas.agent",
        "inbox_prefix": "_INBOX",
        "linger": 1.0,
        "ack_wait": 30.0,
        "max_deliver": 5,
        "max_ack_pending": 256,
        "retry_delay": 5.0,
        "create_stream": True,
        "replicas": None,
        "max_bytes": None,
        "dead_letter_subject": "civitas.dead",
    }


def test_all_keys_are_taken():
    given = {
        "servers": ["tls://a:1", "tls://b:2"],
        "jetstream": True,
        "stream_name": "WORK",
        "tls": {"ca": "/ca.pem", "cert": "/cert.pem", "key": "/key.pem"},
        "user": "ali",
        "password": SECRET,
        "connect_timeout": 1,
        "ping_interval": 0.5,
        "send_timeout": 3,
        "max_message_bytes": 2048,
        "max_pending_messages": 10,
        "subject_prefix": "a.b",
        "inbox_prefix": "_INBOX.kitchen",
        "linger": 0,
        "ack_wait": 10,
        "max_deliver": 1,
        "max_ack_pending": 1,
        "retry_delay": 0,
        "create_stream": False,
        "replicas": 3,
        "max_bytes": 1_000_000,
        "dead_letter_subject": "a.dead",
    }
    block = {"type": "nats", **given}
    options = options_from_mapping(block, nats_spec())
    assert isinstance(options, NATSOptions)
    assert options.servers == ("tls://a:1", "tls://b:2")
    assert options.tls == TLSOptions(ca="/ca.pem", cert="/cert.pem", key="/key.pem")
    assert options.password is not None
    assert options.password.get_secret_value() == SECRET
    assert options.dead_letter_stream == "WORK_DEAD"
    dumped = options.model_dump()
    plain = [key for key in given if key not in ("servers", "tls", "password")]
    assert {key: dumped[key] for key in plain} == {key: given[key] for key in plain}


def nats_spec():
    [spec] = civitas_transports()
    return spec


@pytest.mark.parametrize(
    "servers", ["a, tls://b:1", ["a", "tls://b:1"], ("nats://a:4222", "tls://b:1")]
)
def test_servers_are_a_list_or_a_text_with_commas(servers):
    assert NATSOptions(servers=servers).servers == ("nats://a:4222", "tls://b:1")


@pytest.mark.parametrize("login", [{}, {"token": "t"}, {"user": "u", "password": "p"}])
def test_an_empty_text_is_what_this_process_does_not_have(login):
    empty = dict.fromkeys(("credentials", "nkey_seed", "token", "user", "password"), "")
    options = NATSOptions(**{**empty, **login}, tls={"ca": "", "cert": "", "key": ""})
    assert options == NATSOptions(**login, tls={})
    assert options.model_fields_set > {"credentials", "tls"}


def test_a_file_may_be_in_the_folder_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/elsewhere")
    assert NATSOptions(credentials="~/x.creds").credentials == Path("/elsewhere/x.creds")
    assert TLSOptions(ca="~/ca.pem").ca == Path("/elsewhere/ca.pem")
    assert NATSOptions(credentials="x/~.creds").credentials == Path("x/~.creds")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"server": "a"}, "did you mean 'servers'"),
        ({"servers": []}, "servers: .*at least 1"),
        ({"servers": ""}, "servers: .*has no host"),
        ({"servers": ["a", "http://b"]}, "servers.1: .*begins with nats:// or tls://"),
        ({"servers": 4222}, "servers: "),
        ({"jetstream": "maybe"}, "jetstream: must be true or false"),
        ({"stream_name": "a.b"}, "stream_name: 'a.b' can't name a stream"),
        ({"stream_name": ""}, "stream_name: '' can't name a stream"),
        ({"tls": True}, "tls: "),
        ({"tls": {"cert": "x"}}, "tls: cert and key belong together"),
        ({"tls": {"key": "x"}}, "tls: cert and key belong together"),
        ({"tls": {"cafile": "x"}}, "tls.cafile"),
        ({"credentials": "~nobody-of-that-name/x"}, "credentials: .*no such user"),
        ({"nkey_seed": 5}, "nkey_seed: must be text.*put it in quotes"),
        ({"password": 12345, "user": "u"}, "password: must be text.*put it in quotes"),
        ({"user": "u"}, "user and password belong together"),
        ({"password": SECRET}, "user and password belong together"),
        ({"user": "u", "password": ""}, "user and password belong together"),
        ({"token": SECRET, "nkey_seed": SECRET}, "nkey_seed and token are ways to log in"),
        ({"token": SECRET, "user": "u", "password": SECRET}, "token and user are ways to log in"),
        ({"token": SECRET, "credentials": "f"}, "credentials and token are ways to log in"),
        ({"token": "t", "servers": f"a,u:{SECRET}@b"}, "token and a login in the URL of servers"),
        ({"connect_timeout": 0}, "connect_timeout: must be greater than 0"),
        ({"connect_timeout": 601}, "connect_timeout: must be 600 or less"),
        ({"ping_interval": 0.01}, "ping_interval: must be 0.05 or more"),
        ({"send_timeout": 101}, "send_timeout: must be 100 or less"),
        ({"send_timeout": 0}, "send_timeout: must be greater than 0"),
        ({"max_message_bytes": 10}, "max_message_bytes: must be 1024 or more"),
        ({"max_pending_messages": 0}, "max_pending_messages: must be 1 or more"),
        ({"subject_prefix": "a b"}, "subject_prefix: 'a b' can't begin a subject"),
        ({"subject_prefix": "$JS.x"}, "subject_prefix: .*NATS keeps for itself"),
        ({"inbox_prefix": "a b"}, "inbox_prefix: 'a b' can't begin an inbox"),
        ({"inbox_prefix": "civitas"}, "inbox_prefix civitas and subject_prefix civitas.agent: "),
        ({"inbox_prefix": "civitas.agent.x"}, "one begins with the other"),
        ({"inbox_prefix": "civitas.dead"}, "and dead_letter_subject civitas.dead: "),
        ({"linger": -1}, "linger: must be 0 or more"),
        ({"ack_wait": 0}, "ack_wait: must be 0.1 or more"),
        ({"ack_wait": float("inf")}, "ack_wait: "),
        ({"ack_wait": float("nan")}, "ack_wait: "),
        ({"ack_wait": 1e9}, "ack_wait: must be 604800 or less"),
        ({"max_deliver": 0}, "max_deliver: must be 1 or more"),
        ({"max_ack_pending": 0}, "max_ack_pending: must be 1 or more"),
        ({"max_ack_pending": 1 << 20}, "max_ack_pending: must be 65536 or less"),
        ({"retry_delay": -1}, "retry_delay: must be 0 or more"),
        ({"retry_delay": float("inf")}, "retry_delay: "),
        ({"replicas": 6}, "replicas: must be 5 or less"),
        ({"max_bytes": 0}, "max_bytes: must be 1 or more"),
        ({"max_bytes": "1GB"}, "max_bytes: must be a whole number"),
        ({"dead_letter_subject": "civitas.agent"}, "are both civitas.agent: dead letters would"),
        (
            {"dead_letter_subject": "a._reply", "subject_prefix": "a"},
            "among the subjects of replies and system messages",
        ),
    ],
)
def test_a_wrong_option_is_told_in_words_and_tells_no_secret(given, reason):
    with pytest.raises(TopologyError, match=reason) as caught:
        options_from_mapping({"type": "nats", **given}, nats_spec())
    assert SECRET not in str(caught.value)
    if not {"server"} & given.keys():
        with pytest.raises(ValidationError) as raised:
            NATSOptions(**given)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"token": SECRET},
        {"nkey_seed": SECRET},
        {"user": "ali", "password": SECRET},
        {"servers": f"nats://ali:{SECRET}@host"},
        {"servers": ["nats://a", f"nats://{SECRET}@b:1"]},
    ],
)
def test_a_secret_is_in_no_text_of_the_options(given: dict[str, Any]):
    options = NATSOptions(**given)
    for text in (repr(options), str(options), f"{options}", repr([options])):
        assert SECRET not in text
        assert "host:4222" in text or "localhost:4222" in text or "nats://a:4222" in text
    assert SECRET not in repr(describe_options(NATSOptions))


def test_every_option_is_described_and_no_advice_is_left():
    assert options_advice(nats_spec()) == []
    assert all(field.description for field in TLSOptions.model_fields.values())


def test_an_editor_is_told_that_servers_are_a_text_or_a_list():
    judge = Draft202012Validator(NATSOptions.model_json_schema())
    for servers in ("nats://a:1", ["nats://a:1", "tls://b:2"], ["nats://a:1"]):
        assert judge.is_valid({"servers": servers}), servers
    for servers in ([], 4222, [4222], {"a": 1}):
        assert not judge.is_valid({"servers": servers}), servers


def test_the_claims_are_those_of_core_nats_or_of_jetstream():
    claims = {"cross_process": True, "cross_machine": True, "survives_broker_restart": True}
    core = capabilities_of(NATSOptions(max_message_bytes=2048))
    assert core == Capabilities(**claims, max_message_bytes=2048)
    durable = capabilities_of(NATSOptions(jetstream=True))
    assert durable == Capabilities(**claims, at_least_once=True, max_message_bytes=1_000_000)


def test_the_plugin_is_found_by_its_name_and_makes_the_transport():
    loaded = load_transport("nats")
    made = loaded.spec.factory(NATSOptions(jetstream=True), TransportContext())
    assert isinstance(made, NATSTransport)
    assert loaded.spec.capabilities_for(NATSOptions(jetstream=True)).at_least_once


def test_reading_the_plugin_does_not_import_nats_py():
    code = "import sys, civitas_nats.plugin; print('nats' in sys.modules)"
    assert printed_by(code) == "False"


def test_the_public_names_are_there():
    import civitas_nats

    for name in civitas_nats.__all__:
        assert getattr(civitas_nats, name).__name__ == name
    with pytest.raises(AttributeError, match="NATSTransporter"):
        _ = civitas_nats.NATSTransporter
