"""The picture of `civitas top` is what it draws, and the page tells of all keys and columns."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from civitas.cli.stats.states import Situation
from civitas.cli.top.as_json import json_of
from civitas.cli.top.cells import PROCESS_CELLS, agent_cells
from civitas.cli.top.frames import AgentLine, Frame, InHand, ProcessLine
from civitas.cli.top.views import HELP
from docs_build.top_picture import PICTURE, picture

PAGE = (Path(__file__).parents[3] / "docs" / "watching.md").read_text(encoding="utf-8")


SCRIPTS = PAGE.partition("## For scripts")[2].partition("\n## ")[0]


def test_the_picture_is_what_the_command_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "python -m docs_build.top_picture"


def test_the_picture_is_well_formed_and_loads_nothing() -> None:
    text = picture()
    ET.fromstring(text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_site_leaves_the_picture_its_colours_and_its_letters() -> None:
    """A rule for all text of diagrams would write in black on the black of a terminal."""
    style = (PICTURE.parent / "extra.css").read_text(encoding="utf-8")
    rules = re.findall(
        r"^(\.diagram[^.{]* text) \{|^(\.diagram svg.* text) \{", style, re.MULTILINE
    )
    assert rules == [("", ".diagram svg:where(:not(.terminal)) text")]
    assert 'class="terminal"' in picture().partition("<style>")[0]


def test_the_page_tells_of_every_key() -> None:
    keys = {key for names, _ in HELP for key in names.split(", ")}
    assert [key for key in keys if key not in PAGE.partition("## Keys")[2]] == []


def test_the_page_tells_of_every_column_and_every_value() -> None:
    cells = {each.title for each in (*PROCESS_CELLS, *agent_cells(Frame(0.0, backlogs=True)))}
    plain = {"agent", "process", "role", "node"}
    assert [title for title in cells - plain if title not in PAGE] == []
    there = Situation("running")
    line = AgentLine("a", "w", expected=True, situation=there, in_hand=InHand("t", "1"))
    values = json_of(Frame(0.0, (ProcessLine("w", expected=True, situation=there),), (line,)))
    told = {*values, *values["processes"][0], *values["agents"][0], *values["agents"][0]["in_hand"]}
    assert told == set(re.findall(r"`(\w+)`", SCRIPTS)) - {"text"}
