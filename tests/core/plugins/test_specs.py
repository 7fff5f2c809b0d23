"""What a hook may return, and what a factory may make."""

from __future__ import annotations

import pytest

HEAD = """
from civitas.plugins import Capabilities, TransportSpec, hookimpl
from pydantic import BaseModel, ConfigDict

class Loose(BaseModel):
    loft: str = "home"

class Options(Loose):
    model_config = ConfigDict(extra="forbid")

def make(options, context):
    {make}

def spec(name="pigeon", **changes):
    given = dict(name=name, summary="Slow but sure", factory=make)
    return TransportSpec(**(given | changes))

@hookimpl
def civitas_transports():
    return {result}
"""


def plugin(result: str = "[spec()]", make: str = "return object()") -> str:
    return HEAD.replace("{result}", result).replace("{make}", make)


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        ("[spec(name='dove')]", "its entry point is named 'pigeon' but civitas_transports offers"),
        ("[]", "offers nothing; the names must be equal"),
        ("[spec(), spec()]", "offers 'pigeon' 2 times"),
        ("None", "gave None, not a list of TransportSpec"),
        ("42", "gave a value of type int, not a list of TransportSpec"),
        ("spec()", "gave a value of type TransportSpec, not a list of TransportSpec"),
        ("'pigeon'", "gave a value of type str, not a list"),
        ("[spec(), 'dove']", "gave a value of type str where a TransportSpec belongs"),
        ("[TransportSpec]", "gave the class TransportSpec where a TransportSpec belongs"),
        ("[1 / 0]", "ZeroDivisionError: division by zero, at "),
        ("(1 / 0 for _ in 'x')", "ZeroDivisionError: division by zero, at "),
        ("[spec(summary=None)]", "summary must be a line of text"),
        ("[spec(factory='make')]", "factory must be callable"),
        ("[spec(options=dict)]", "options must be a pydantic model class or None"),
        ("[spec(options=Options())]", "options must be a pydantic model class or None"),
        ("[spec(options=Loose)]", 'set model_config = ConfigDict(extra="forbid")'),
        ("[spec(capabilities={'cross_process'})]", "capabilities must be Capabilities"),
        ("[spec(capabilities=Capabilities('yes'))]", "cross_process must be True or False"),
        ("[spec(capabilities=Capabilities(max_message_bytes=0))]", "max_message_bytes must be"),
    ],
)
def test_a_hook_that_returns_nonsense_is_broken_with_its_cause(scratch, result, cause):
    scratch.install(plugin=plugin(result))
    error = scratch.load("pigeon")["error"]
    assert error["code"] == "plugin-broken"
    assert cause in error["text"]
    assert "carrier-pigeon 1.0" in error["text"]


WHOLE = {
    "start": "async def start(self): ...",
    "stop": "async def stop(self): ...",
    "subscribe": "async def subscribe(self, address, handler): ...",
    "publish": "async def publish(self, address, data): ...",
    "request": "async def request(self, address, data, timeout): ...",
    "wait_ready": "async def wait_ready(self): ...",
    "has_reply_address": "def has_reply_address(self, address): ...",
}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"wait_ready": ""}, "Pigeon has no method wait_ready()"),
        (
            {"request": "async def request(self, address, data): ..."},
            "Pigeon can't be called as request(address, data, timeout)",
        ),
        ({"publish": "def publish(self, address, data): ..."}, "write `async def publish`"),
    ],
)
def test_a_factory_whose_product_does_not_fit_is_broken(scratch, changes, cause):
    lines = [line for line in (WHOLE | changes).values() if line]
    scratch.install(transport="class Pigeon:\n    " + "\n    ".join(lines) + "\n")
    error = scratch.load("pigeon")["error"]
    assert error["code"] == "plugin-broken"
    assert cause in error["text"]
    assert "carrier-pigeon 1.0" in error["text"]


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        ("raise OSError('no wind')", "its factory failed: OSError: no wind, at "),
        ("raise SystemExit", "its factory failed: SystemExit"),
        ("import carrier_missing", "its factory failed: it needs the module"),
        ("return None", "what its factory makes is not a Transport: None is not a Transport"),
        ("return dict", "the class dict is not an instance"),
    ],
)
def test_a_factory_that_fails_is_broken(scratch, make, cause):
    scratch.install(plugin=plugin(make=make))
    error = scratch.load("pigeon")["error"]
    assert error["code"] == "plugin-broken"
    assert cause in error["text"]


def test_an_async_factory_is_broken_and_leaves_no_coroutine_behind(scratch):
    scratch.install(plugin=plugin().replace("def make", "async def make"))
    error = scratch.load("pigeon")["error"]  # warnings are errors there
    assert error["code"] == "plugin-broken"
    assert "must be awaited" in error["text"]


def test_one_module_may_serve_several_names_and_is_asked_once(scratch):
    source = plugin("(print('asked', file=open('asked', 'a')), [spec(), spec('dove')])[1]")
    scratch.install("carrier-pigeon", plugin=source)
    scratch.install("dove-pigeon", name="dove", value="carrier_pigeon.plugin")
    program = """
import json
from civitas.plugins.loader import PluginLoader
loader = PluginLoader()
names = [loader.transport(name).spec.name for name in ("pigeon", "dove", "pigeon")]
same = loader.transport("dove") is loader.transport("dove")
print(json.dumps([names, same]))
"""
    assert scratch.python(program) == [["pigeon", "dove", "pigeon"], True]
    assert (scratch.root / "asked").read_text() == "asked\n"


def test_an_interrupt_by_the_user_goes_through(scratch):
    scratch.install(plugin="raise KeyboardInterrupt\n")
    program = """
from civitas.plugins.loader import load_transport
try:
    load_transport("pigeon")
except KeyboardInterrupt:
    print("true")
"""
    assert scratch.python(program) is True


def test_an_error_that_a_factory_raises_on_purpose_goes_through(scratch):
    scratch.install(
        plugin=plugin(make="from civitas import errors; raise errors.ConfigurationError('no loft')")
    )
    program = """
import json
from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas.plugins.loader import load_transport, make_transport
from civitas.transport import Transport
try:
    make_transport(load_transport("pigeon"), None, TransportContext(), Transport)
except ConfigurationError as error:
    print(json.dumps(str(error)))
"""
    assert scratch.python(program) == "no loft"
