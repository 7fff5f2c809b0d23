"""What a topology may say, what it may not, and what of it is never shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from civitas_redis_example.options import RedisOptions, capabilities_of
from civitas_redis_example.plugin import make_transport
from support.commands import COMMAND, completed, printed_by


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("redis://cache.example", ("cache.example", 6379), (None, None)),
        ("rediss://cache.example:7000/", ("cache.example", 7000), (None, None)),
        ("redis://[::1]:7000", ("::1", 7000), (None, None)),
        ("redis://:sesame@host", ("host", 6379), (None, "sesame")),
        ("redis://ali:open%2Fsesame%40@host", ("host", 6379), ("ali", "open/sesame@")),
    ],
)
def test_a_url_says_where_the_server_is_and_who_this_process_is(url, address, login):
    options = RedisOptions(url=url)
    assert (options.address, options.login) == (address, login)


def test_a_login_may_stand_in_options_of_its_own():
    assert RedisOptions(password="sesame").login == (None, "sesame")
    assert RedisOptions(username="ali", password="sesame").login == ("ali", "sesame")
    assert RedisOptions(username="", password="").login == (None, None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "http://host"}, "url is redis://host:port, or rediss://host:port"),
        ({"url": "redis://"}, "url is redis://"),
        ({"url": "redis://host:0"}, "url is redis://"),
        ({"url": "redis://host:99999"}, "url is redis://"),
        ({"url": "redis://[host"}, "url is redis://"),
        ({"url": "redis://host/2"}, "pub/sub knows no databases"),
        ({"url": "redis://host?db=2"}, "all else has an option of its own"),
        ({"url": "redis://:sesame#1@host"}, "as %2F %3F %23"),
        ({"url": "redis://:sesame@host", "password": "sesame"}, "there is a login in url"),
        ({"username": "ali"}, "username needs a password"),
        ({"tls": {}}, "write rediss://"),
        ({"url": "rediss://host", "tls": {"cert": "a.pem"}}, "cert and key of tls"),
        ({"prefix": "two words"}, "prefix"),
        ({"max_message_bytes": 1 << 30}, "max_message_bytes"),
        ({"urll": "redis://host"}, "urll"),
    ],
)
def test_what_can_not_be_meant_is_refused_and_no_secret_is_told(given, told):
    with pytest.raises(ValidationError) as caught:
        RedisOptions(**given)
    assert told in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_nothing_shows_a_secret():
    for options in (
        RedisOptions(username="ali", password="sesame"),
        RedisOptions(url="redis://ali:sesame@host"),
    ):
        assert "sesame" not in repr(options) + str(options) + options.place
    assert "url='redis://host'" in repr(options)


@pytest.mark.slow
def test_a_topology_is_shown_without_its_secrets(tmp_path):
    topology = tmp_path / "topology.yaml"
    topology.write_text(
        "transport: {type: redis, url: 'redis://ali:sesame@host:7000'}\n"
        "supervision: {name: root, children: [{agent: {name: a, type: civitas.AgentProcess}}]}\n"
    )
    done = completed(COMMAND, "topology", "show", topology)
    assert done.returncode == 0, done.stderr
    assert "redis://***@host:7000" in done.stdout
    assert "sesame" not in done.stdout


def test_the_claims_are_those_of_the_options():
    options = RedisOptions(max_message_bytes=5000)
    claims = capabilities_of(options)
    assert make_transport(options).capabilities == claims
    assert (claims.cross_machine, claims.at_least_once) == (True, False)
    assert claims.max_message_bytes == 5000


def test_the_plugin_is_read_without_importing_the_library():
    code = (
        "import sys; from civitas_redis_example.plugin import civitas_transports\n"
        "[spec] = civitas_transports(); spec.options(); print('redis' in sys.modules)"
    )
    assert printed_by(code) == "False"
