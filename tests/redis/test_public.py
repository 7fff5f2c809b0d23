"""The example imports only what the API reference documents: a third party has nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import civitas_redis_example

REPOSITORY = Path(__file__).parents[2]
PACKAGE = Path(civitas_redis_example.__file__).parent
ENTRY = re.compile(r"^::: (civitas[\w.]*)\n((?: +.*\n)*)", re.MULTILINE)
MEMBERS = re.compile(r"members: \[(.*)\]")


def documented() -> dict[str, set[str]]:
    """Return the modules of the API reference, each with the names that it shows."""
    found: dict[str, set[str]] = {}
    for page in sorted((REPOSITORY / "docs" / "api").glob("*.md")):
        for module, options in ENTRY.findall(page.read_text() + "\n"):
            shown = set(names_of(module))
            members = MEMBERS.search(options)
            if members:
                shown &= {each.strip() for each in members[1].split(",")}
            found[module] = shown
    return found


def names_of(module: str) -> Iterator[str]:
    """Yield the names that a module defines and tells of, as mkdocstrings shows them."""
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    body = ast.parse(Path(spec.origin).read_text()).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) and not node.name.startswith("_"):
                yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if told and not node.target.id.startswith("_"):
                yield node.target.id


DOCUMENTED = documented()


def is_documented(module: str, name: str) -> bool:
    """Tell whether the reference has a name: in the module itself, or in one that it is made of."""
    if name in DOCUMENTED.get(module, ()):
        return True
    exported = getattr(import_module(module), "__all__", ())
    parts = [names for part, names in DOCUMENTED.items() if part.startswith(f"{module}.")]
    return name in exported and any(name in names for names in parts)


def undocumented(source: str) -> list[str]:
    """Return what code imports of core and the reference does not have."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if of_core(each.name)]
        elif isinstance(node, ast.ImportFrom) and of_core(node.module or ""):
            module = str(node.module)
            names = [each.name for each in node.names]
            found += [f"{module}.{name}" for name in names if not is_documented(module, name)]
    return found


def of_core(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "civitas"


def test_every_name_that_the_package_imports_of_core_is_in_the_reference():
    found = {path.name: undocumented(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    assert {"plugin.py", "connections.py", "wire.py"} <= found.keys()
    assert {file: names for file, names in found.items() if names} == {}


def test_what_is_not_in_the_reference_would_be_found():
    for line, name in {
        "from civitas._bus.bus import MessageBus": "civitas._bus.bus.MessageBus",
        "from civitas.transport.dispatcher import LANE_LIMIT as l": "",
        "from civitas.transport import _Lane": "civitas.transport._Lane",
        "from civitas.messages import IdSource, MAX_NAME_BYTES": "civitas.messages.MAX_NAME_BYTES",
        "from civitas._supervision.remote import RemoteChild": "civitas._supervision.remote."
        "RemoteChild",
        "from civitas.plugins.options import describe_options": "civitas.plugins.options."
        "describe_options",
        "import civitas._bus.bus": "civitas._bus.bus",
        "def f():\n    from civitas._cluster.probes import Probes": "civitas._cluster.probes."
        "Probes",
        "from civitas.transport import Dispatcher, ReplyInbox": "",
        "from civitas.envelope import with_reply_to": "",
        "from civitas_redis_example.wire import RedisWire": "",
    }.items():
        assert undocumented(line) == ([name] if name else []), line


def test_no_other_way_into_core_is_taken():
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert not re.search(r"import_module|__import__|importlib|sys\.modules", text)
