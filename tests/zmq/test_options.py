"""Options of a topology: each is described, each mistake is a sentence, no secret is shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from civitas.plugins import TransportContext
from civitas.plugins.loader import load_transport
from civitas.plugins.options import describe_options, options_advice
from civitas_zmq import addresses
from civitas_zmq.keys import make_pair
from civitas_zmq.options import ZMQOptions
from civitas_zmq.plugin import civitas_transports
from civitas_zmq.transport import ZMQTransport
from support.commands import printed_by

KEY = make_pair().public_key
LONG = "x" * 108


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"pub_adr": "tcp://127.0.0.1:1"}, "Extra inputs are not permitted"),
        ({"pub_addr": "127.0.0.1:5559"}, "neither tcp://host:port nor ipc://path"),
        ({"pub_addr": "tcp://127.0.0.1"}, "neither tcp://host:port nor ipc://path"),
        ({"pub_addr": "tcp://127.0.0.1:*"}, "neither tcp://host:port nor ipc://path"),
        ({"pub_addr": "tcp://eth0;10.0.0.1:1"}, "neither tcp://host:port nor ipc://path"),
        ({"pub_addr": "inproc://x"}, "neither tcp://host:port nor ipc://path"),
        ({"sub_addr": "tcp://127.0.0.1:0"}, "port 0 .* is not between 1 and 65535"),
        ({"sub_addr": "tcp://127.0.0.1:70000"}, "port 70000"),
        ({"sub_addr": "ipc://"}, "names no file"),
        ({"sub_addr": f"ipc:///{LONG[:107]}"}, "has 108 bytes; the system allows 107"),
        ({"sub_addr": f"ipc:///{'é' * 54}"}, "has 109 bytes"),
        ({"pub_addr": "tcp://[::1]:5560", "sub_addr": "tcp://[::1]:5560"}, "must differ"),
        ({"allowed_clients": [KEY]}, "allowed_clients says nothing without curve"),
        ({"heartbeat_interval": 2, "heartbeat_timeout": 2}, "must be longer than"),
        (
            {"max_total_subscription_bytes": 1 << 20},
            r"max_total_subscription_bytes \(1048576\) must be at least max_subscription_bytes",
        ),
        ({"send_hwm": 0}, "greater than or equal to 1"),
        ({"max_message_bytes": 10}, "greater than or equal to 1024"),
        ({"curve": {"server_public_key": "short"}}, "a key has 40 characters, not 5"),
        ({"curve": {"server_public_key": "~" * 40}}, "not of Z85"),
        ({"curve": {"server_public_key": "#" * 40}}, "too large a value"),
        ({"curve": {"public_key": KEY}}, "server_public_key\n.*Field required"),
        ({"curve": {"server_public_key": KEY, "secret_key": "short"}}, "a key has 40 characters"),
    ],
)
def test_a_wrong_option_is_refused_with_the_reason(given, reason):
    with pytest.raises(ValidationError, match=f"(?s){reason}"):
        ZMQOptions(**given)


def test_a_path_as_long_as_the_system_allows_is_taken():
    assert ZMQOptions(pub_addr=f"ipc:///{LONG[:106]}")


def test_a_key_that_is_empty_is_one_that_this_process_does_not_have():
    options = ZMQOptions(
        curve={
            "server_public_key": KEY,
            "server_secret_key": "",
            "public_key": "",
            "secret_key": "",
        }
    )
    assert options.curve is not None
    assert options.curve.server_secret_key is options.curve.secret_key is None


def test_every_option_is_described_and_no_advice_is_left():
    [spec] = civitas_transports()
    assert options_advice(spec) == []
    defaults = {option.name: option.default for option in describe_options(spec.options)}
    assert defaults["pub_addr"] == "'tcp://127.0.0.1:5559'"
    assert defaults["sub_addr"] == "'tcp://127.0.0.1:5560'"
    assert defaults["start_proxy"] == "True"


@pytest.mark.parametrize(
    ("address", "to_bind", "to_connect", "is_near"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1", True),
        ("tcp://127.1.2.3:1", "tcp://127.1.2.3:1", "tcp://127.1.2.3:1", True),
        ("tcp://localhost:1", "tcp://127.0.0.1:1", "tcp://localhost:1", True),
        ("tcp://[::1]:1", "tcp://[::1]:1", "tcp://[::1]:1", True),
        ("tcp://*:1", "tcp://*:1", "tcp://127.0.0.1:1", False),
        ("tcp://0.0.0.0:1", "tcp://0.0.0.0:1", "tcp://127.0.0.1:1", False),
        ("tcp://[::]:1", "tcp://[::]:1", "tcp://[::1]:1", False),
        ("tcp://10.1.2.3:1", "tcp://10.1.2.3:1", "tcp://10.1.2.3:1", False),
        ("ipc:///run/x", "ipc:///run/x", "ipc:///run/x", True),
        ("ipc://@name", "ipc://@name", "ipc://@name", True),
    ],
)
def test_an_address_to_bind_and_to_connect_to(address, to_bind, to_connect, is_near):
    assert addresses.check(address) == address
    assert addresses.to_bind(address) == to_bind
    assert addresses.to_connect(address) == to_connect
    assert addresses.is_on_this_machine(address) is is_near


def test_the_plugin_is_found_by_its_name_and_makes_the_transport():
    loaded = load_transport("zmq")
    made = loaded.spec.factory(ZMQOptions(), TransportContext())
    assert isinstance(made, ZMQTransport)
    claims = loaded.spec.capabilities_for(ZMQOptions(max_message_bytes=2048))
    assert (claims.cross_process, claims.survives_broker_restart) == (True, True)
    assert (claims.cross_machine, claims.at_least_once) == (False, False)
    assert claims.max_message_bytes == 2048


def test_reading_the_plugin_does_not_import_pyzmq():
    code = "import sys, civitas_zmq.plugin; print('zmq' in sys.modules)"
    assert printed_by(code) == "False"


def test_the_public_names_are_there():
    import civitas_zmq

    for name in civitas_zmq.__all__:
        assert getattr(civitas_zmq, name).__name__ == name
    with pytest.raises(AttributeError, match="ZMQTransporter"):
        _ = civitas_zmq.ZMQTransporter
