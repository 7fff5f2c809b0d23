"""URLs of servers: what they may look like, and that what they say of passwords is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from civitas_nats.urls import check_url, has_login, mask_logins

SECRET = "s3same"


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("host", "nats://host:4222"),
        ("host:1", "nats://host:1"),
        ("nats://host", "nats://host:4222"),
        ("nats://host:", "nats://host:4222"),
        ("nats://host:1/", "nats://host:1"),
        ("tls://host:65535", "tls://host:65535"),
        ("TLS://Host", "tls://Host:4222"),
        ("NATS://host:1", "nats://host:1"),
        ("127.0.0.1", "nats://127.0.0.1:4222"),
        ("[::1]", "nats://[::1]:4222"),
        ("tls://[fe80::1%25eth0]:1", "tls://[fe80::1%25eth0]:1"),
        ("user:word@host", "nats://user:word@host:4222"),
        ("nats://token@host:1", "nats://token@host:1"),
        ("nats://user:w@rd@host:1", "nats://user:w@rd@host:1"),
    ],
)
def test_a_url_is_made_full_and_the_client_reads_it_so(url, full):
    assert check_url(url) == full
    assert check_url(full) == full
    client = Client()
    client._setup_server_pool([full])  # noqa: SLF001 - what the client makes of it
    [parsed] = client.servers
    assert parsed.geturl() == full
    assert parsed.port is not None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host", "begins with nats:// or tls://"),
        ("ws://host", "begins with nats:// or tls://"),
        ("", "has no host"),
        ("nats://", "has no host"),
        ("nats://:1", "has no host"),
        ("nats://user:s3same@", "has no host"),
        ("nats://@host", "no user or token before it"),
        ("nats://:s3same@host", "no user or token before it"),
        ("nats://host name", "without whitespace"),
        (" host", "without whitespace"),
        ("host\n", "without whitespace"),
        ("host\0", "without whitespace"),
        ("nats://host:0", "from 1 to 65535"),
        ("nats://user:s3same@host:65536", "from 1 to 65535"),
        ("nats://host:port", "from 1 to 65535"),
        ("nats://host:-1", "from 1 to 65535"),
        ("::1", "IPv6 address stands in brackets"),
        ("nats://[::1", "IPv6 address stands in brackets"),
        ("nats://user:s3same@ho\u2100st", "a server's URL is nats://host:port"),
        ("nats://host/path", "ends with its port"),
        ("nats://host?tls=true", "ends with its port"),
        ("nats://host#", "ends with its port"),
        ("nats://a,nats://b", "ends with its port"),
        ("nats://user:s3same/1@host", "the options user and password take it"),
        ("nats://user:s3same#1@host", "the options user and password take it"),
        ("nats://user:s3same?1@host", "the options user and password take it"),
        ("nats://user:s3same%40@host", "the options user and password take it"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused_without_its_password(url, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        check_url(url)
    assert SECRET not in str(caught.value)


@given(st.text())
def test_any_text_is_refused_or_made_full(text):
    try:
        full = check_url(text)
    except ValueError:
        return
    assert check_url(full) == full
    assert full.startswith(("nats://", "tls://"))


@given(st.text(), st.text(), st.sampled_from(["nats://", "tls://", "", "http://"]))
def test_no_error_tells_a_password(before, after, scheme):
    try:
        told = mask_logins([check_url(f"{scheme}{before}:{SECRET}@{after}")])
    except ValueError as error:
        told = str(error)
    assert SECRET not in told


def test_urls_are_shown_without_users_passwords_and_tokens():
    urls = [
        "nats://user:s3same@a:1",
        "tls://s3same@b:2",
        "nats://user:s3s@me@c:3",
        "nats://[::1]:4",
    ]
    assert mask_logins(urls) == "nats://a:1, tls://b:2, nats://c:3, nats://[::1]:4"


def test_a_login_in_a_url_is_seen():
    assert has_login("nats://user:word@host:1")
    assert has_login("nats://token@host:1")
    assert not has_login("nats://host:1")
