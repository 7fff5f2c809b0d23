"""Plugins that are broken, each in a way of its own, and what is to be said of each.

Each table has the source of the module `plugin` and the cause that the diagnosis gives, in which
FILE stands for the file of that module.
"""

from __future__ import annotations

from typing import Final

Table = dict[str, tuple[str, str]]

HEAD: Final = """\
from civitas.plugins import Capabilities, SerializerSpec, TransportSpec, hookimpl
from civitas.transport import InProcessTransport

class Pigeon(InProcessTransport):
    {member}

def make(options, context):
    {make}

def spec(name=__package__, **changes):
    return TransportSpec(**({"name": name, "summary": "Flies", "factory": make} | changes))

@hookimpl
def civitas_transports():
    {hook}
"""
MAKE, HOOK = 8, 15
"""The lines of `HEAD` in which a case has its code."""

MODELS: Final = """
from pydantic import BaseModel, ConfigDict

class Loose(BaseModel):
    loft: str = "home"

class Options(Loose):
    model_config = ConfigDict(extra="forbid")
"""


def plugin(
    hook: str = "return [spec()]",
    make: str = "return Pigeon(context)",
    member: str = "pass",
) -> str:
    """Return a plugin that works, but for what is given."""
    return HEAD.replace("{hook}", hook).replace("{make}", make).replace("{member}", member)


def with_spec(change: str) -> str:
    """Return a plugin whose spec is otherwise."""
    return plugin(hook=f"return [spec({change})]")


RAISES: Final[Table] = {
    "raises_at_import": ("raise OSError('no\\n  wind')\n", r"OSError: no\n  wind, at FILE:1"),
    "raises_what_is_no_exception": (
        "class Odd(BaseException): pass\nraise Odd\n",
        "Odd, at FILE:2",
    ),
    "raises_what_can_not_be_told": (
        "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd\n",
        "Odd: (its text can't be had: __str__ raised ZeroDivisionError), at FILE:3",
    ),
    "exits_at_import": ("import sys\nsys.exit(3)\n", "SystemExit: 3, at FILE:2"),
    "calls_itself": (
        "def f(): f()\nf()\n",
        "RecursionError: maximum recursion depth exceeded, at FILE:1",
    ),
    "has_no_syntax": ("def (:\n", "SyntaxError: invalid syntax (plugin.py, line 1)"),
    "needs_what_is_not_there": (
        "import carrier_missing\n",
        "it needs the module 'carrier_missing', which is missing "
        "(ModuleNotFoundError: No module named 'carrier_missing'), at FILE:1",
    ),
    "needs_a_name_that_is_not_there": (
        "from json import no_such_name\n",
        "ImportError: cannot import name 'no_such_name' from 'json' (JSON), at FILE:1",
    ),
    "raises_inside_a_library": (
        "import fractions\nfractions.Fraction('x')\n",
        "ValueError: Invalid literal for Fraction: 'x', at FILE:2",
    ),
    "raises_in_its_hook": (
        plugin(hook="return [1 / 0]"),
        f"ZeroDivisionError: division by zero, at FILE:{HOOK}",
    ),
    "raises_in_its_generator": (
        plugin(hook="yield 1 / 0"),
        f"ZeroDivisionError: division by zero, at FILE:{HOOK}",
    ),
    "raises_when_it_is_made": (
        plugin(make="raise OSError('no wind')"),
        f"its factory failed: OSError: no wind, at FILE:{MAKE}",
    ),
    "exits_when_it_is_made": (
        plugin(make="raise SystemExit"),
        f"its factory failed: SystemExit, at FILE:{MAKE}",
    ),
    "needs_what_is_not_there_when_it_is_made": (
        plugin(make="import carrier_missing"),
        "its factory failed: it needs the module 'carrier_missing', which is missing "
        f"(ModuleNotFoundError: No module named 'carrier_missing'), at FILE:{MAKE}",
    ),
}
"""Those that raise, also what ends a process where nobody catches it."""

GIVES: Final[Table] = {
    "gives_none": (
        plugin(hook="return None"),
        "civitas_transports gave None, not a list of TransportSpec",
    ),
    "gives_a_number": (
        plugin(hook="return 42"),
        "civitas_transports gave a value of type int, not a list of TransportSpec",
    ),
    "gives_text": (
        plugin(hook="return __package__"),
        "civitas_transports gave a value of type str, not a list of TransportSpec",
    ),
    "gives_a_spec_alone": (
        plugin(hook="return spec()"),
        "civitas_transports gave a value of type TransportSpec, not a list of TransportSpec",
    ),
    "gives_more_than_specs": (
        plugin(hook="return [spec(), 'dove']"),
        "civitas_transports gave a value of type str where a TransportSpec belongs",
    ),
    "gives_a_class": (
        plugin(hook="return [TransportSpec]"),
        "civitas_transports gave the class TransportSpec where a TransportSpec belongs",
    ),
    "gives_the_spec_of_a_serializer": (
        plugin(hook="return [SerializerSpec(__package__, 'Sings', dict)]"),
        "civitas_transports gave a value of type SerializerSpec where a TransportSpec belongs",
    ),
    "gives_nothing": (
        plugin(hook="return []"),
        "its entry point is named 'gives_nothing' but civitas_transports offers nothing; "
        "the names must be equal",
    ),
    "gives_another_name": (
        plugin(hook="return [spec(42), spec('dove')]"),
        "its entry point is named 'gives_another_name' but civitas_transports offers 42, 'dove'; "
        "the names must be equal",
    ),
    "gives_itself_twice": (
        plugin(hook="return [spec(), spec()]"),
        "civitas_transports offers 'gives_itself_twice' 2 times",
    ),
    "gives_specs_for_ever": (
        plugin(hook="while True: yield spec()"),
        "civitas_transports gave more than 1000 specs; does it ever end?",
    ),
    "has_an_async_hook": (
        plugin().replace("def civitas", "async def civitas"),
        "civitas_transports is async and nothing awaits it: write `def civitas_transports`",
    ),
    "has_a_hook_with_a_parameter": (
        plugin().replace("civitas_transports()", "civitas_transports(manager)"),
        "civitas_transports in has_a_hook_with_a_parameter.plugin must take no arguments; "
        "it takes (manager), missing a required argument: 'manager'",
    ),
    "has_an_unknown_hook": (
        plugin().replace("civitas_transports", "civitas_transprots"),
        "civitas_transprots in has_an_unknown_hook.plugin is marked with @hookimpl, and is no "
        "hook: did you mean civitas_transports?",
    ),
    "has_no_hook": (
        plugin().replace("@hookimpl", ""),
        "has_no_hook.plugin implements no hook civitas_transports; "
        "is the function there, with @hookimpl?",
    ),
}
"""Those whose hook gives something else than specs."""

SPECS: Final[Table] = {
    "has_no_summary": (with_spec("summary=None"), "summary must be a line of text, not None"),
    "has_no_factory": (
        with_spec("factory='make'"),
        "factory must be callable, not a value of type str",
    ),
    "has_options_of_no_model": (
        with_spec("options=dict"),
        "options must be a pydantic model class or None, not the class dict",
    ),
    "has_an_instance_of_options": (
        MODELS + with_spec("options=Options()"),
        "options must be a pydantic model class or None, not a value of type Options",
    ),
    "has_loose_options": (
        MODELS + with_spec("options=Loose"),
        "Loose ignores unknown keys, so that a mistyped option goes unnoticed; "
        'set model_config = ConfigDict(extra="forbid")',
    ),
    "has_no_capabilities": (
        with_spec("capabilities={'cross_process'}"),
        "capabilities must be Capabilities, not a value of type set",
    ),
    "has_a_capability_in_words": (
        with_spec("capabilities=Capabilities('yes')"),
        "capability cross_process must be True or False, not 'yes'",
    ),
    "has_capabilities_of_no_argument": (
        with_spec("capabilities=lambda: Capabilities()"),
        "capabilities is called with (options); it takes (), too many positional arguments",
    ),
    "has_dead_letters_of_no_kind": (
        with_spec("dead_letters=True"),
        "dead_letters must be callable or None, not a value of type bool",
    ),
    "has_an_apart_of_no_kind": (
        with_spec("apart='elsewhere'"),
        "apart must be callable or None, not a value of type str",
    ),
    "has_an_apart_of_no_name": (
        with_spec("apart=lambda options: None"),
        "apart is called with (options, name); it takes (options), too many positional arguments",
    ),
    "has_dead_letters_of_no_context": (
        with_spec("dead_letters=lambda options: None"),
        "dead_letters is called with (options, context); it takes (options), too many positional"
        " arguments",
    ),
    "has_no_room": (
        with_spec("capabilities=Capabilities(max_message_bytes=0)"),
        "max_message_bytes must be a positive number or None, not 0",
    ),
}
"""Those with a malformed spec; each cause begins with `its TransportSpec is malformed: `."""

NO_TRANSPORT: Final = "what its factory makes is no Transport: "
MISFITS: Final[Table] = {
    "has_a_factory_of_one_argument": (
        plugin().replace("make(options, context)", "make(options)"),
        "its TransportSpec is malformed: factory is called with (options, context); "
        "it takes (options), too many positional arguments",
    ),
    "has_an_async_factory": (
        plugin().replace("def make", "async def make"),
        NO_TRANSPORT + "coroutine must be awaited before it is a Transport",
    ),
    "makes_nothing": (plugin(make="return"), NO_TRANSPORT + "None is no Transport"),
    "makes_a_class": (
        plugin(make="return Pigeon"),
        NO_TRANSPORT + "the class Pigeon is not an instance: it must be called",
    ),
    "misses_one_method": (
        plugin(member="wait_ready = property()"),
        NO_TRANSPORT + "Pigeon has no method wait_ready()",
    ),
    "misses_every_method": (
        plugin(make="return object()"),
        NO_TRANSPORT + "object has no method start(); object has no method stop(); "
        "object has no method subscribe(address, handler); "
        "object has no method publish(address, data); "
        "object has no method request(address, data, timeout); "
        "object has no method wait_ready(); object has no method has_reply_address(address)",
    ),
    "has_a_wrong_signature": (
        plugin(member="async def publish(self, address): pass"),
        NO_TRANSPORT + "Pigeon can't be called as publish(address, data): it takes (address), "
        "too many positional arguments",
    ),
    "is_not_async": (
        plugin(member="def publish(self, address, data): pass"),
        NO_TRANSPORT + "Pigeon has publish(address, data), which is not async: "
        "write `async def publish`",
    ),
}
"""Those that make something else than a transport."""

VALUES: Final = (
    *("", ":", ".plugin", "two words", "a:b:c", "os.", "os:path join", "os [extra", "os:path:"),
)
"""Values of entry points that name no module, whatever is installed."""

TIMEOUT: Final = 5
"""Seconds for those that hang: enough that all others are through on a busy machine."""
HANG: Final = "import time; time.sleep(1000)"
NOT_DONE: Final = f"was not done after {TIMEOUT} s, at FILE"
HANGS: Final[Table] = {
    "hangs_at_import": (HANG, f"importing it {NOT_DONE}:1"),
    "hangs_in_its_hook": (plugin(hook=HANG), f"its hook civitas_transports {NOT_DONE}:{HOOK}"),
    "hangs_when_it_is_made": (plugin(make=HANG), f"its factory {NOT_DONE}:{MAKE}"),
    "spins": ("while True: pass\n", f"importing it {NOT_DONE}:1"),
    "writes_for_ever": ("while True:\n    print('x' * 1000)\n", f"importing it {NOT_DONE}:2"),
}
"""Those that never come back."""

ENDS: Final[Table] = {
    "exits_hard": ("import os\nos._exit(3)\n", "importing it ended the process, with exit code 3"),
    "exits_hard_in_its_hook": (
        plugin(hook="import os; os._exit(0)"),
        "its hook civitas_transports ended the process, with exit code 0",
    ),
    "exits_hard_when_it_is_made": (
        plugin(make="import os; os._exit(0)"),
        "its factory ended the process, with exit code 0",
    ),
    "is_killed": (
        "import os\nos.kill(os.getpid(), 9)\n",
        "importing it ended the process, by signal SIGKILL",
    ),
    "crashes_the_interpreter": (
        "import ctypes\nctypes.string_at(0)\n",
        "importing it ended the process, by signal SIGSEGV, at FILE:2",
    ),
    "reads_from_the_terminal": ("input()\n", "EOFError: EOF when reading a line, at FILE:1"),
}
"""Those that end the process that imports them, and one that has nobody to ask."""

WORKS: Final = {
    "leaves_a_process": "import pathlib, subprocess\nleft = subprocess.Popen(['sleep', '1000'])\n"
    f"pathlib.Path(__file__).with_name('pid').write_text(str(left.pid))\n{plugin()}",
    "leaves_a_thread": f"import threading\n"
    f"threading.Thread(target=lambda: __import__('time').sleep(1000)).start()\n{plugin()}",
    "deletes_stdout": "import sys\ndel sys.stdout\n" + plugin(),
    "has_no_streams": "import sys\nsys.stdout = sys.stderr = None\n" + plugin(),
}
"""Plugins that work, and whose import has an effect which must not harm anybody."""


def crossing(member: str) -> str:
    """Return a plugin whose transport claims to cross processes, with that for its class."""
    return plugin(
        hook="return [spec(capabilities=Capabilities(cross_process=True))]", member=member
    )


MEMBER: Final = 5
"""The line of `HEAD` in which a case has what is its class's."""
CARRIES: Final = "this was the instance that carries the messages"
CONTROLS: Final = (
    "this was the instance of the control plane, which has a thread and an event loop of its own"
)
STARTS: Final[Table] = {
    "raises_when_it_starts": (
        crossing("async def start(self): raise ValueError('no loft')"),
        f"ValueError: no loft, at FILE:{MEMBER}; {CARRIES}",
    ),
    "exits_when_it_subscribes": (
        crossing("async def subscribe(self, address, handler): raise SystemExit(3)"),
        f"SystemExit: 3, at FILE:{MEMBER}; {CARRIES}",
    ),
    "listens_to_signals": (
        crossing("async def start(self): import signal; signal.signal(10, signal.SIG_DFL)"),
        "ValueError: signal only works in main thread of the main interpreter, "
        f"at FILE:{MEMBER}; {CONTROLS}",
    ),
}
"""Those that can be made, and raise while the node starts; each message has `failed to start: `."""
