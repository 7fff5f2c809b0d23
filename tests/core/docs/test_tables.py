"""The tables on the pages say what the code says."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import civitas
from civitas import AgentProcess, ErrorAction, Message, Supervisor, envelope, errors
from civitas._agents.backoff import BackoffKind, backoff_delay
from civitas._bus.windows import GRANT_EVERY, WINDOW
from civitas._cluster import claims, member_table, pieces
from civitas._cluster.authority import RULES, Address, Believed
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.restart import Strategy
from civitas.envelope import KIND_REPLY, Origin
from civitas.process import ProcessStatus
from civitas.serializer import SCHEMA, limits
from civitas.testing.simulation.checks import CHECKS
from civitas.testing.simulation.faults import Faults
from civitas.transport.dispatcher import LANE_LIMIT

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
PACKAGE = REPOSITORY / "civitas-core" / "src" / "civitas"


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return what stands between a heading and the next one."""
    body = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
    return next(
        part.partition("\n")[2]
        for part in re.split(r"^#+ ", body, flags=re.MULTILINE)
        if part.partition("\n")[0] == heading
    )


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of all tables, without their headings, code marks taken off."""
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.replace("`", "").strip() for cell in line[1:-1].split("|")] for line in lines]


def column(markdown: str, number: int = 0) -> list[str]:
    return [row[number] for row in rows(markdown)]


# --- command line ------------------------------------------------------------------------------


def test_the_loggers_that_the_page_names_exist():
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    for name in column(section("command-line.md", "Logging")):
        quote = '"' if "NAME" not in name else ""
        assert f'logger_of({"f" * (not quote)}"{name.removesuffix("NAME")}{quote}' in source


# --- agents and supervision --------------------------------------------------------------------


def test_the_errors_of_a_sender_exist():
    listed = re.findall(r"^- (.*?):", section("agents.md", "Errors of a sender"), re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(listed))
    assert len(names) > 5
    assert all(hasattr(errors, name) or hasattr(builtins, name) for name in names)


def test_the_table_of_hooks_has_every_hook():
    hooks = section("agents.md", "Hooks")
    names = [name.partition("(")[0] for name in column(hooks)]
    public = [name for name in vars(AgentProcess) if name.startswith("on_") or name == "handle"]
    assert sorted(names[: len(public)]) == sorted(public)


def test_the_table_of_constructor_arguments_has_the_defaults():
    documented = {row[0]: row[1] for row in rows(section("agents.md", "Hooks"))[5:]}
    parameters = inspect.signature(AgentProcess.__init__).parameters.values()
    assert documented == {p.name: str(p.default) for p in parameters if p.default is not p.empty}


def test_the_verbs_are_shown_with_their_arguments():
    for shown in column(section("agents.md", "Verbs")):
        call = ast.parse(shown.removeprefix("await "), mode="eval").body
        method = getattr(AgentProcess, call.func.attr)
        keywords = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
        signature = inspect.signature(method)
        signature.bind(None, *call.args, **keywords)
        for name, value in keywords.items():
            assert signature.parameters[name].default == value


def test_the_table_of_actions_has_every_action():
    documented = [name.split()[0] for name in column(section("agents.md", "`on_error`"))]
    assert documented == [action.value for action in ErrorAction]


def test_every_strategy_has_a_section_with_a_diagram():
    headed = re.findall(r"^### `(\w+)`$", text("supervision.md"), re.MULTILINE)
    assert headed == [strategy.value for strategy in Strategy]
    for strategy in Strategy:
        file = strategy.value.lower().replace("_", "-") + ".svg"
        assert f"(assets/{file})" in section("supervision.md", f"`{strategy.value}`")


def test_the_first_waits_of_each_backoff_are_as_the_table_says():
    table = {row[0]: row[1:] for row in rows(section("supervision.md", "Backoff"))[3:]}
    assert list(table) == [kind.value for kind in BackoffKind]
    for name, waits in table.items():
        for crashes, shown in enumerate(waits, 1):
            least, most = (backoff_delay(BackoffKind(name), 1, 10, crashes, j) for j in (0, 1))
            low, _, high = shown.partition("\N{EN DASH}")
            assert (least, most) == (float(low), float(high or low))


def test_the_defaults_that_the_page_on_supervision_names():
    page = text("supervision.md")
    default = {
        name: parameter.default
        for name, parameter in inspect.signature(Supervisor).parameters.items()
    }
    intensity = f"With the\ndefaults, {default['max_restarts']} in {default['restart_window']:g} s"
    base = f"`backoff_base` is {default['backoff_base']:g} second and `backoff_max` is "
    assert intensity in page
    assert f"{base}{default['backoff_max']:g} seconds" in page
    assert f"`{default['backoff']}` (default)" in page
    assert "This is the default" in section("supervision.md", f"`{default['strategy']}`")


def test_every_status_is_named():
    page = text("supervision.md")
    assert all(f"`{status.value}`" in page for status in ProcessStatus)


# --- many processes ----------------------------------------------------------------------------


def test_the_heartbeats_that_the_page_tells_of_are_those_of_the_code():
    page = section("processes.md", "Supervision across processes")
    signature = inspect.signature(Supervisor.add_remote_child).parameters.values()
    defaults = {p.name: str(p.default) for p in signature if p.name.startswith(("heart", "missed"))}
    assert {row[0]: row[1] for row in rows(page) if row[0] in defaults} == defaults
    assert f"{HeartbeatPolicy().bound:g} seconds with the defaults" in " ".join(page.split())


def test_the_numbers_of_the_windows_are_those_of_the_code():
    assert f"may be {WINDOW} messages ahead" in section("processes.md", "What is guaranteed")
    way = section("architecture.md", "The way of a message between two processes")
    assert f"After every {GRANT_EVERY} frames" in way
    assert f"A window is {WINDOW} frames" in way


# --- testing under faults ----------------------------------------------------------------------


def test_the_table_of_faults_has_every_fault():
    assert column(section("testing-under-faults.md", "Faults")) == Faults.every().kinds


def test_the_table_of_rules_has_every_rule():
    rules = [check.__name__.replace("_", " ") for check in CHECKS]
    assert column(section("testing-under-faults.md", "What has to hold")) == rules


# --- security ----------------------------------------------------------------------------------


def test_the_table_of_who_may_say_what_has_each_rule():
    words = {
        Address.OWN: "own",
        Address.EVERYONE: "all",
        Address.BOTH: "all, own",
        Believed.PROVED: "a member, or with a proof",
        Believed.KNOWN: "who was one",
        Believed.MEMBER: "member",
        Believed.PRIMARY: "the primary",
    }
    table = {row[0]: row for row in rows(section("security.md", "Who may say what")) if row[0]}
    assert set(table) == {kind.__name__ for kind in RULES}
    for kind, rule in RULES.items():
        if kind.__name__ == "Piece":
            continue
        *_, taken_at, believed_from = table[kind.__name__]
        assert taken_at == words[rule.taken_at], kind
        assert words[rule.believed_from] in believed_from, kind


def test_the_limits_that_the_page_on_security_names_are_those_of_the_code():
    page = text("security.md")
    for number in (
        member_table.LIMIT,
        member_table.AGENTS,
        claims.CLAIMS,
        limits.BODY.values,
        limits.BODY.containers,
        limits.MOST_KEYS,
        LANE_LIMIT,
    ):
        assert f"{number:,}" in page
    assert f"more than {limits.FREE_KEYS} of them" in page
    assert f"{pieces.OF_STRANGERS_BYTES >> 20} MiB of unfinished messages of outsiders" in page
    assert f"{pieces.LARGEST_MESSAGE >> 20} MiB in pieces" in page
    assert f"{WINDOW} of each node" in page


# --- wire format -------------------------------------------------------------------------------


def layout(lengths: dict[str, int]) -> dict[str, tuple[int, int | None]]:
    """Return offset and length of each field of a frame, by nothing but the table."""

    def value(cell: str) -> int:
        terms = cell.replace("*", "").split(" + ")
        return sum(lengths[term] if term in lengths else int(term) for term in terms)

    found = {}
    for offset, size, meaning in rows(section("wire-format.md", "The frame")):
        name = re.match(r"(?:length \*(\w)\*|(\w+))", meaning)
        found[name[1] or name[2]] = (value(offset), None if size == "the rest" else value(size))
    return found


@pytest.mark.parametrize("reply_to", ["", "_reply.0123456789abcdef.7", "_reply.\u00fc"])
@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_a_frame_made_from_the_table_is_the_frame_that_seal_makes(serializer, reply_to):
    address = reply_to.encode()
    values = {
        "magic": b"\xc1",
        "version": b"\x01",
        "kind": b"\x01",
        "attempt": b"\x05",
        "node": b"\x00\x01\x02\x03\x04\x05\x06\x07",
        "generation": (1_700_000_000).to_bytes(4, "big"),
        "number": (2**40).to_bytes(8, "big"),
        "s": len(serializer).to_bytes(1, "big"),
        "serializer": serializer.encode(),
        "r": len(address).to_bytes(2, "big"),
        "reply_to": address,
        "body": b"what the serializer made",
    }
    frame = bytearray()
    table = layout({"s": len(serializer), "r": len(address)})
    assert list(table) == list(values)
    for name, (offset, size) in table.items():
        assert offset == len(frame), name
        assert size in (None, len(values[name])), name
        frame += values[name]
    assert frame == envelope.seal(
        values["body"],
        serializer,
        Origin(values["node"], 1_700_000_000),
        kind=KIND_REPLY,
        reply_to=reply_to,
        number=2**40,
        attempt=5,
    )


def test_the_fields_of_a_body_are_those_of_a_message_in_order():
    documented = column(section("wire-format.md", "The body"))
    fields = ["schema", *Message.__slots__]
    assert documented == [f"{number} {field}" for number, field in enumerate(fields)]
    assert rows(section("wire-format.md", "The body"))[0][1] == f"integer, {SCHEMA}"


# --- architecture ------------------------------------------------------------------------------


def rooms() -> list[str]:
    return column(section("architecture.md", "Rooms"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a module imports whenever it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "civitas":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("civitas."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            found |= {name[1] for name in names if name[0] == "civitas" and len(name) > 1}
    return found - {room_of(path)}


def test_the_table_of_rooms_has_every_room():
    there = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert sorted(rooms()) == sorted(there)


def test_the_rooms_are_in_the_order_of_the_layers_that_are_checked():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    level = {name: i for i, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert sorted(rooms(), key=lambda room: -level[room]) == rooms()


def test_rooms_import_only_what_stands_above_them():
    order = {room: number for number, room in enumerate(rooms())}
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PACKAGE and path.name == "__init__.py":
            continue
        for room in imported_rooms(path):
            assert order[room] < order[room_of(path)], f"{path} imports {room}"


def test_the_files_that_decide_are_there():
    decided = re.findall(r"`([\w/]+\.py)`", section("architecture.md", "Where is it decided?"))
    assert len(decided) >= 15
    for name in decided:
        package = REPOSITORY / f"civitas-{name.split('/')[0].removeprefix('civitas_')}" / "src"
        assert (PACKAGE / name).is_file() or (package / name).is_file(), name


# --- API reference -----------------------------------------------------------------------------


def test_every_name_of_the_package_is_in_the_reference():
    documented = re.findall(r"^\| \[`(\w+)`\]\[civitas\.", text("api/index.md"), re.MULTILINE)
    assert sorted(documented) == sorted(civitas.__all__)
