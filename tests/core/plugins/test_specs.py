"""Loading what a hook offers: once, and without swallowing what is not a plugin's mistake."""

from __future__ import annotations

from support.broken_plugins import plugin


def test_one_module_may_serve_several_names_and_is_asked_once(scratch):
    hook = "open('asked', 'a').write('asked\\n'); return [spec('pigeon'), spec('dove')]"
    scratch.lay("pigeon", {"plugin": plugin(hook=hook)}, transports="pigeon.plugin")
    scratch.lay("dove", {}, transports="pigeon.plugin")
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


INTERRUPTED = "import signal\nsignal.raise_signal(signal.SIGINT)\n"


def test_an_interrupt_by_the_user_goes_through(scratch):
    scratch.lay("pigeon", {"plugin": INTERRUPTED}, transports="pigeon.plugin")
    program = """
from civitas.plugins.loader import load_transport
try:
    load_transport("pigeon")
except KeyboardInterrupt:
    print("true")
"""
    assert scratch.python(program) is True


def test_an_error_that_a_factory_raises_on_purpose_goes_through(scratch):
    make = "from civitas import errors; raise errors.ConfigurationError('no loft')"
    scratch.lay("pigeon", {"plugin": plugin(make=make)}, transports="pigeon.plugin")
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
