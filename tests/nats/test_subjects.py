"""Subjects and names: each address has its own, and no server misunderstands them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from civitas.messages import MAX_NAME_BYTES, name_problem
from civitas_nats.subjects import (
    Subjects,
    check_inbox,
    check_prefix,
    check_stream,
    consumer_name,
    is_agent,
)

NAMES = st.one_of(
    st.text(max_size=50),
    st.text(alphabet="%=-23DEü", min_size=1, max_size=MAX_NAME_BYTES),
    st.lists(st.text(alphabet="=2Eaü_-", min_size=1, max_size=9), min_size=1, max_size=99).map(
        ".".join
    ),
).filter(lambda name: name_problem(name) is None)


def test_an_agent_is_one_token_behind_the_prefix_and_system_addresses_are_more():
    subjects = Subjects("civitas.agent")
    assert subjects.all_agents == "civitas.agent.*"
    assert subjects.of("researcher") == "civitas.agent.researcher"
    assert subjects.of("_reply.0a.1") == "civitas.agent._reply.0a.1"
    assert subjects.of("_agency.hello") == "civitas.agent._agency.hello"


def test_the_dots_of_a_name_are_slashes():
    subject = "civitas.agent.workers/eu/1"
    assert Subjects("civitas.agent").of("workers.eu.1") == subject
    assert Subjects("civitas.agent").agent_of(subject) == "workers.eu.1"


@given(NAMES)
def test_a_name_is_one_token_of_a_subject_from_which_it_can_be_read(name):
    subjects = Subjects("a.b")
    subject = subjects.of(name)
    assert subject.count(".") == subjects.all_agents.count(".")
    assert not set(subject) & set(" *>\t\r\n\0")
    assert subjects.agent_of(subject) == name
    if "." not in name:
        assert subject == f"a.b.{name}"


@pytest.mark.parametrize(
    ("address", "stored"),
    [("a", True), ("agency.x", True), ("_agency.hello", False), ("_reply.0a.1", False)],
)
def test_only_agents_are_ever_stored(address, stored):
    assert is_agent(address) is stored


def test_names_that_look_alike_are_different_consumers():
    names = ["a-b", "a_b", "ab", "A-B", "ü", "u\u0308", "a%b", "a=b", "a=25b", "a%25b", "a==b"]
    names += ["a.b", "a=2Eb", "a=2eb", "a%2Eb", "a=3D2Eb"]
    assert len({consumer_name(name) for name in names}) == len(names)
    assert consumer_name("a-b") == "a-b"
    assert consumer_name("workers.eu.1") == "workers=2Eeu=2E1"
    assert consumer_name("forscher-ü") == "forscher-ü"


def test_a_name_too_long_for_a_consumer_is_hashed_to_one_that_no_agent_has_by_itself():
    for name in ("%" * 100, "ü" * 70 + "%" * 60, "a." * 99 + "b"):
        hashed = consumer_name(name)
        assert hashed.startswith("=-")
        assert consumer_name(hashed) != hashed != consumer_name(hashed[2:])


@given(NAMES, NAMES)
@example("%" * 100, "%" * 101)
@example("%" * 100, "=-" + "0" * 32)
def test_different_agents_have_different_consumers_which_a_server_takes(one, other):
    names = {consumer_name(one), consumer_name(other)}
    assert len(names) == len({one, other})
    for name in names:
        assert len(name.encode()) <= 255
        assert not set(name) & set(" .*>/\\\t\r\n\0%")  # for '%' see consumer_name


@given(NAMES.filter(lambda name: "." not in name and len(name.encode()) < 80))
def test_the_consumer_of_a_name_without_dots_is_the_one_that_it_always_had(name):
    assert consumer_name(name) == name.replace("=", "=3D").replace("%", "=25")


@pytest.mark.parametrize("prefix", ["civitas.agent", "a", "a.b.c", "grüße.$x", "a._b", "x" * 250])
def test_tokens_with_dots_between_them_begin_subjects(prefix):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("", "can't begin a subject"),
        (".", "can't begin a subject"),
        ("a.", "can't begin a subject"),
        (".a", "can't begin a subject"),
        ("a..b", "can't begin a subject"),
        ("a.*", "can't begin a subject"),
        ("a.>", "can't begin a subject"),
        ("a b", "can't begin a subject"),
        ("a\u2003b", "can't begin a subject"),
        ("a\r\nPUB", "can't begin a subject"),
        ("a\0", "can't begin a subject"),
        ("a\x07", "can't begin a subject"),
        ("a\udc80", "can't begin a subject"),
        ("ü" * 126, "at most 250 bytes"),
        ("$SYS.x", "NATS keeps for itself"),
        ("_INBOX", "NATS keeps for itself"),
    ],
)
def test_a_prefix_that_servers_would_refuse_or_use_is_refused(prefix, reason):
    with pytest.raises(ValueError, match=reason):
        check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["_INBOX", "_INBOX.kitchen", "inboxes.a-b", "x" * 100])
def test_an_inbox_begins_with_tokens_of_ascii(prefix):
    assert check_inbox(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("", "can't begin an inbox"),
        ("_INBOX.", "can't begin an inbox"),
        ("_INBOX.*", "can't begin an inbox"),
        ("_INBOX.>", "can't begin an inbox"),
        ("a b", "can't begin an inbox"),
        ("a\r\nPUB", "can't begin an inbox"),
        ("küche", "tokens of ASCII"),
        ("x" * 101, "at most 100 bytes"),
        ("$SYS.x", "servers keep for themselves"),
    ],
)
def test_an_inbox_that_servers_or_nats_py_would_not_bear_is_refused(prefix, reason):
    with pytest.raises(ValueError, match=reason):
        check_inbox(prefix)


@pytest.mark.parametrize("name", ["AGENCY", "a-b_c", "$x", "x" * 250, "ü" * 125])
def test_a_stream_may_have_a_name_of_250_bytes(name):
    assert check_stream(name) == name
    assert len(f"{name}_DEAD".encode()) <= 255


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.b",
        "a b",
        "a*",
        "a>",
        "a/b",
        "a\\b",
        "a\n",
        "\0",
        "\x07",
        "\udc80",
        "x" * 251,
        "ü" * 126,
    ],
)
def test_a_name_that_servers_refuse_for_a_stream_is_refused(name):
    with pytest.raises(ValueError, match="can't name a stream"):
        check_stream(name)
