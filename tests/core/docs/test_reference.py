"""What is made from the code is whole; no page can ask for more, or leave something out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

from civitas import errors
from civitas.cli.app import app
from civitas.plugins import errors as plugin_errors
from civitas.topology.model import BLOCKS, AgentBlock
from civitas_nats.options import NATSOptions, TLSOptions
from civitas_zmq.options import CurveOptions, ZMQOptions
from docs_build.reference.contents import reference
from docs_build.reference.markers import MarkerError, markers
from docs_build.write import outdated

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {
    page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md"))
}


def filled(marker: str) -> str:
    return reference().filled(f"<!-- generated: {marker} -->\n\nWhat to do.")


def rows(marker: str) -> dict[str, list[str]]:
    """Return the rows of a generated table by their first cell, links and code marks taken off."""
    lines = [line for line in filled(marker).splitlines() if line.startswith("|")][2:]
    bare = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", line).replace("`", "") for line in lines]
    cells = [[cell.strip() for cell in line[1:-1].split(" |")] for line in bare]
    return {row[0]: row[1:] for row in cells}


def test_no_page_asks_for_what_there_is_not() -> None:
    for name, page in PAGES.items():
        assert "<!-- generated" not in reference().filled(page), name


def test_the_pages_have_the_parts_of_today() -> None:
    names = [page.relative_to(DOCS).as_posix() for page, _ in outdated()]
    assert names == [], "make docs-text writes them"


def test_a_part_that_is_old_is_replaced_and_nothing_else_is() -> None:
    page = "Before.\n\n<!-- generated: command civitas version -->\n\nAfter.\n"
    written = reference().written(page)
    assert "| `--json`" in written
    old = written.replace("`--json`", "`--yaml`")
    assert reference().written(old) == reference().written(written) == written
    assert reference().filled(old) == reference().filled(page)


def test_a_part_without_an_end_takes_nothing_of_the_next_one() -> None:
    one, two = (f"<!-- generated: command civitas {name} -->" for name in ("version", "run"))
    written = reference().written(f"{one}\n\nBetween.\n\n{two}\n")
    broken = written.replace("<!-- end of generated -->", "", 1)
    assert "Between." in reference().written(broken)


def test_the_pages_show_everything() -> None:
    assert reference().missing(PAGES.values()) == []


@pytest.mark.parametrize(
    ("page", "part"),
    [
        ("zmq.md", "options zmq.curve.secret_key"),
        ("command-line.md", "command civitas topology validate"),
        ("topology-reference.md", "topology agent.handle_timeout"),
        ("errors.md", "error PluginConflictError"),
        ("errors.md", "error-codes"),
    ],
)
def test_a_page_that_leaves_something_out_is_noticed(page: str, part: str) -> None:
    pages = {name: text for name, text in PAGES.items() if name != page}
    assert part in reference().missing(pages.values())


@pytest.mark.parametrize(
    ("marker", "hint"),
    [
        ("optoins zmq", "no kind of generated part 'optoins'; did you mean 'options'?"),
        ("options zqm", "no transport or mapping 'zqm'; did you mean 'zmq'?"),
        ("options zmq curve=#keys linge=#x", "no option of zmq 'linge'; did you mean 'linger'?"),
        ("options zmq: send_hmw", "no option of zmq 'send_hmw'; did you mean 'send_hwm'?"),
        ("options zmq", "say where the keys of curve are told of"),
        ("topology agnet", "no block of a topology 'agnet'; did you mean 'agent'?"),
        ("topology agent tpye=#x", "no key of agent 'tpye'; did you mean 'type'?"),
        ("command civitas rnu", "no command 'civitas rnu'; did you mean 'civitas run'?"),
        ("command civitas run proces=#x", "no argument or option of civitas run 'proces'"),
        ("error MailboxFullEror", "did you mean 'MailboxFullError'?"),
    ],
)
def test_a_marker_that_is_wrong_says_what_it_may_have_meant(marker: str, hint: str) -> None:
    with pytest.raises(MarkerError) as error:
        filled(marker)
    assert hint in str(error.value)


def test_an_error_without_advice_is_refused() -> None:
    page = "<!-- generated: error FrameError -->\n\n## `AgentError`\n\nAdvice for another one."
    with pytest.raises(MarkerError, match="what to do about FrameError"):
        reference().filled(page)


def test_a_marker_in_a_code_block_is_shown_as_it_is() -> None:
    page = "```text\n<!-- generated: options nobody -->\n```\n"
    assert list(markers(page)) == []
    assert reference().filled(page) == page


def test_the_text_around_a_marker_stays() -> None:
    page = "Before.\n\n<!-- generated: command civitas version -->\n\nAfter.\n"
    text = reference().filled(page)
    assert text.startswith('Before.\n\n<div class="reference command" markdown>\n\n| argument or')
    assert text.endswith("|\n\n</div>\n\nAfter.\n")


@pytest.mark.parametrize(
    ("marker", "model"),
    [
        ("options zmq curve=#keys", ZMQOptions),
        ("options zmq.curve", CurveOptions),
        ("options nats tls=#tls", NATSOptions),
        ("options nats.tls", TLSOptions),
    ],
)
def test_the_table_of_options_is_the_model(marker: str, model) -> None:
    table = rows(marker)
    assert list(table) == list(model.model_fields)
    for name, field in model.model_fields.items():
        type_, default, description = table[name]
        assert type_
        assert (default == "**required**") == field.is_required()
        assert description == re.sub(r"\s+", " ", field.description).replace("`", "")
        assert ("secret" in type_) == ("SecretStr" in str(field.annotation))


def test_types_bounds_and_defaults_are_in_words() -> None:
    zmq, nats = rows("options zmq curve=#keys"), rows("options nats tls=#tls")
    assert zmq["linger"][:2] == ["number, at least 0 and at most 60", "1"]
    assert zmq["start_proxy"][:2] == ["true or false", "true"]
    assert zmq["allowed_clients"][:2] == ["list of texts", "none"]
    assert zmq["curve"][:2] == ["mapping", "none"]
    assert zmq["connect_timeout"][:2] == ["number, more than 0", "none"]
    assert nats["servers"][:2] == ["text, or list of texts", "nats://localhost:4222"]
    assert nats["token"][:2] == ["text, secret", "none"]
    assert nats["credentials"][0] == "file"
    assert nats["max_ack_pending"][0] == "whole number, at least 1 and at most 65,536"
    assert rows("topology supervisor")["backoff"][:2] == [
        "CONSTANT, LINEAR or EXPONENTIAL",
        "CONSTANT",
    ]
    assert rows("topology top")["serializer"][:2] == ["text, or mapping", "{type: msgpack}"]


def test_a_selection_has_its_own_order_and_its_links() -> None:
    text = filled("options nats:\n     user token=#logging-in")
    assert re.findall(r"^\| (\S+) \|", text, re.MULTILINE)[2:] == [
        "`user`",
        "[`token`](#logging-in)",
    ]


def test_a_transport_without_options_says_so() -> None:
    assert filled("options in_process").startswith("It has no options.")


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name or "top" for name, _ in BLOCKS])
def test_the_table_of_a_block_is_the_model(name: str, block) -> None:
    table = rows(f"topology {name or 'top'}")
    assert list(table) == list(block.model_fields)
    assert all(type_ and description for type_, _, description in table.values())


def test_a_setting_of_the_agent_s_class_has_no_default_in_the_table() -> None:
    table = rows("topology agent")
    optional = [name for name, field in AgentBlock.model_fields.items() if not field.is_required()]
    assert {table[name][1] for name in optional} == {""}
    assert table["name"][1] == table["type"][1] == "**required**"


def commands(group, path: str = "civitas"):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_a_command_has_all_that_it_takes(name: str) -> None:
    table = rows(f"command {name}")
    parameters = COMMANDS[name].params
    assert len(table) == len(parameters)
    for shown, each in zip(table, parameters, strict=True):
        named = [word.split(" ")[0] for word in shown.split(", ")]
        spellings = each.opts if each.param_type_name == "option" else [each.metavar]
        assert named == [spelling.strip("[]") for spelling in spellings]
        assert each.help
        assert table[shown][1] == each.help.replace("`", "")


def test_the_table_of_a_command_has_its_defaults() -> None:
    table = rows("command civitas ask")
    assert table["AGENT"][0] == "**required**"
    assert table["JSON"][0] == "{}"
    assert table["--topology FILE, -t"][0] == "topology.yaml"
    assert table["--timeout SECONDS"][0] == "30"
    assert table["--json"][0] == ""
    assert rows("command civitas run")["--app-dir DIR"][0] == "."


def test_every_command_has_a_section_with_its_own_table() -> None:
    sections = re.split(r"^## ", PAGES["command-line.md"], flags=re.MULTILINE)
    tables = {
        marker.subject: section.partition("\n")[0]
        for section in sections
        for marker, _ in markers(section)
    }
    assert tables == {name: f"`{name}`" for name in COMMANDS}


def public_errors() -> dict[str, type[errors.CivitasError]]:
    return {
        name: each
        for module in (errors, plugin_errors)
        for name, each in vars(module).items()
        if inspect.isclass(each) and issubclass(each, errors.CivitasError)
    }


@pytest.mark.parametrize("name", public_errors())
def test_an_error_is_described_in_the_words_of_its_class(name: str) -> None:
    each = public_errors()[name]
    summary = " ".join((inspect.getdoc(each) or "").partition("\n\n")[0].split())
    text = filled(f"error {name}")
    assert f"{each.__module__}.{name}]" in text
    assert f"code `{each.code}`" in text
    assert f"\n\n{summary}" in text
    assert "Attributes" not in text
    row = next(line for line in filled("error-codes").splitlines() if f"`{name}`" in line)
    assert row == f"| `{each.code}` | [`{name}`](#{name.lower()}) | {summary} |"


def test_every_error_has_a_heading_where_the_table_of_codes_leads() -> None:
    headings = re.findall(r"^### `(\w+)`$", PAGES["errors.md"], re.MULTILINE)
    asked = [marker.subject for marker, _ in markers(PAGES["errors.md"]) if marker.kind == "error"]
    assert headings == asked
