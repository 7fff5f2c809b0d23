"""What the templates come to: files of one shape, whatever the package is called."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from civitas._authoring.placing import place
from civitas._authoring.rendering import compatible_range
from civitas._authoring.scaffold import (
    LONGEST_DISTRIBUTION,
    LONGEST_NAME,
    identify,
    render,
)
from civitas.errors import ConfigurationError
from civitas.plugins.catalog import PluginKind
from civitas.testing import (
    InstrumentConformance,
    SerializerConformance,
    TransportConformance,
)
from support.commands import completed

REPOSITORY = Path(__file__).parents[3]
STANDARD = {
    PluginKind.TRANSPORT: TransportConformance.standard,
    PluginKind.SERIALIZER: SerializerConformance.standard,
    PluginKind.INSTRUMENT: InstrumentConformance.standard,
}
COMMON = {".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
CODE = {
    PluginKind.TRANSPORT: {"options", "stub", "wire"},
    PluginKind.SERIALIZER: {"serializer"},
    PluginKind.INSTRUMENT: {"instrument", "options"},
}
TODO = {
    PluginKind.TRANSPORT: {
        "README.md": ["a sentence or two", "your own options", "is guaranteed", "other TODOs"],
        "pyproject.toml": ["in one line", "licence", "authors", "your client library"],
        "src/civitas_pigeon/plugin.py": ["Name the broker", "in one line"],
        "src/civitas_pigeon/options.py": ["your own options", "largest frame", "Claim what holds"],
        "src/civitas_pigeon/wire.py": [
            "Put a prefix",
            "Undo",
            "Connect with your client library",
            "Subscribe",
            "Unsubscribe",
            "Publish",
            "Read",
            "Flush",
        ],
        "src/civitas_pigeon/stub.py": ["Remove this file"],
        "tests/test_conformance.py": ["Start a broker", "kill the broker", "where that broker is"],
        "tests/test_stub.py": ["Remove this file"],
    },
    PluginKind.SERIALIZER: {
        "README.md": ["a sentence or two", "which values", "other TODOs"],
        "pyproject.toml": ["in one line", "licence", "authors", "library of your format"],
        "src/civitas_pigeon/plugin.py": ["in one line"],
        "src/civitas_pigeon/serializer.py": ["Raise this number", "Write it", "Read your format"],
    },
    PluginKind.INSTRUMENT: {
        "README.md": ["a sentence or two", "what it costs", "other TODOs"],
        "pyproject.toml": ["in one line", "licence", "authors", "library of what you send to"],
        "src/civitas_pigeon/plugin.py": ["in one line"],
        "src/civitas_pigeon/options.py": ["your own options"],
        "src/civitas_pigeon/instrument.py": ["Keep what", "Connect", "Send the rest", "Also there"],
    },
}
"""What is left to an author, by file, in order: a word or two of each TODO."""

MOST_OWN_LINES = 120
"""Lines of code that a transport over a broker should take its author."""

both = pytest.mark.parametrize("kind", PluginKind, ids=lambda kind: kind.value)


def package(kind: PluginKind, *names: str, author: str | None = None) -> dict[str, str]:
    return render(identify(kind, *(names or ("pigeon",))), "0.1.0", author)


@both
def test_the_files_are_those_that_a_package_needs(kind):
    code = {f"src/civitas_pigeon/{name}.py" for name in ("__init__", "plugin", *CODE[kind])}
    own = {PluginKind.TRANSPORT: {"stub"}, PluginKind.INSTRUMENT: {"instrument"}}.get(kind, set())
    tests = {f"tests/test_{name}.py" for name in ("conformance", *own)}
    assert set(package(kind)) == COMMON | code | tests | {"src/civitas_pigeon/py.typed"}


@both
def test_every_todo_is_where_an_author_must_act_and_there_is_no_other(kind):
    found = {
        name: [re.sub(r"[\s#]+", " ", todo) for todo in text.split("TODO:")[1:]]
        for name, text in package(kind).items()
        if "TODO:" in text
    }
    assert {name: len(todos) for name, todos in found.items()} == {
        name: len(words) for name, words in TODO[kind].items()
    }
    for name, todos in found.items():
        for todo, words in zip(todos, TODO[kind][name], strict=True):
            assert words in todo[:250], f"{name}: {todo[:250]}"


@both
def test_the_tests_of_the_kit_that_are_named_exist(kind):
    named = set(re.findall(r"(?<!def )\btest_\w+", "".join(package(kind).values())))
    files_of_tests = {"test_conformance", "test_instrument", "test_stub"}
    assert len(named) > 3
    assert named - files_of_tests <= set(STANDARD[kind])


@both
def test_only_what_core_documents_is_imported(kind):
    imports = [
        node
        for name, text in package(kind).items()
        if name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("civitas.")
    ]
    assert len(imports) > 4
    for node in imports:
        _, room = node.module.split(".")
        assert (REPOSITORY / "docs" / "api" / f"{room}.md").is_file(), node.module
        offered = getattr(importlib.import_module(node.module), "__all__", None)
        assert offered is None or {each.name for each in node.names} <= set(offered), node.module


def own_lines(text: str) -> int:
    """Count the lines of a module that are neither blank nor comment nor docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [each for each in ast.walk(ast.parse(text)) if isinstance(each, documented)]
    docstrings = [each.body[0] for each in nodes if ast.get_docstring(each) is not None]
    in_docstrings = {
        number for each in docstrings for number in range(each.lineno, (each.end_lineno or 0) + 1)
    }
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in in_docstrings
        for number, line in enumerate(text.splitlines(), 1)
    )


def test_lines_are_counted_without_comments_and_docstrings():
    text = '"""A\nmodule."""\n\nx = 1  # one\n\n\ndef f():\n    """F."""\n    # two\n    return x\n'
    assert own_lines(text) == 3


def test_what_an_author_of_a_transport_owns_is_little():
    texts = package(PluginKind.TRANSPORT)
    owned = [f"src/civitas_pigeon/{name}.py" for name in ("wire", "options", "plugin")]
    counts = {name: own_lines(texts[name]) for name in owned}
    assert counts[owned[0]] <= 60, "the wire: room is left for a real client library"
    assert sum(counts.values()) <= MOST_OWN_LINES, counts
    afternoon = REPOSITORY / "tests/support/afternoon/wire.py"
    assert own_lines(afternoon.read_text(encoding="utf-8")) <= MOST_OWN_LINES


@both
def test_no_placeholder_is_left_and_no_template_is_left_out(kind):
    texts = package(kind)
    assert not [name for name, text in texts.items() if "$" in text or "tmpl" in name]
    folder = files("civitas._authoring") / "templates"
    templates = [*(folder / "common").iterdir(), *(folder / kind.value).iterdir()]
    assert len(templates) == len(texts)
    assert all(template.name.endswith(".tmpl") for template in templates)


@both
def test_pyproject_says_what_the_command_was_told(kind):
    author = 'Ada "Queen\\" 🦜 Lovelace <ada@example.org>'
    told = tomllib.loads(package(kind, "pigeon", "acme-pigeon", author=author)["pyproject.toml"])
    project = told["project"]
    core = tomllib.loads((REPOSITORY / "civitas-core/pyproject.toml").read_text())["project"]
    assert project["name"] == "acme-pigeon"
    assert project["entry-points"] == {kind.group: {"pigeon": "acme_pigeon.plugin"}}
    assert project["dependencies"] == ["civitas-core>=0.1,<0.2"]
    assert "civitas-core[testing]>=0.1,<0.2" in project["optional-dependencies"]["dev"]
    assert project["authors"] == [{"name": 'Ada "Queen\\" 🦜 Lovelace', "email": "ada@example.org"}]
    assert project["requires-python"] == core["requires-python"]
    assert project["license"] == core["license"]


def test_the_licence_is_that_of_the_project():
    licence = package(PluginKind.TRANSPORT)["LICENSE"]
    assert licence == (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        ("Ada Lovelace", '{ name = "Ada Lovelace" }'),
        (" Lovelace, Ada<ada@x> ", '{ name = "Lovelace, Ada", email = "ada@x" }'),
    ],
)
def test_an_author_is_a_name_with_or_without_an_address(author, shown):
    assert f"authors = [{shown}]" in package(PluginKind.SERIALIZER, author=author)["pyproject.toml"]


@pytest.mark.parametrize(
    "author", ["", "  ", "<ada@x>", "Ada <ada>", "Ada <ada@x", "A\nb", "\udcff"]
)
def test_an_author_that_can_not_be_read_is_refused(author):
    with pytest.raises(ConfigurationError, match="can't be read"):
        package(PluginKind.SERIALIZER, author=author)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("0.9.12", ">=0.9,<0.10"),
        ("0.2.0.dev3", ">=0.2.0.dev3,<0.3"),
        ("0.2rc1", ">=0.2rc1,<0.3"),
        ("1.0.0", ">=1.0,<2"),
        ("1.4.2.post1+local", ">=1.4,<2"),
        ("2.1.0b2", ">=2.1.0b2,<3"),
    ],
)
def test_the_range_of_core_begins_with_the_running_one_and_ends_before_the_next_break(
    version, expected
):
    assert compatible_range(version) == expected


def test_lines_keep_their_length_and_their_form_whatever_the_names(tmp_path):
    for kind in PluginKind:
        place(package(kind, "x"), tmp_path / f"short-{kind.value}")
        longest = ("y" * LONGEST_NAME, "z" * LONGEST_DISTRIBUTION)
        place(package(kind, *longest), tmp_path / f"long-{kind.value}")
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = completed(sys.executable, "-m", "ruff", *check, ".", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
