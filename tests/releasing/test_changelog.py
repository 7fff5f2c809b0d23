"""Reading a changelog, and what speaks against a release."""

from __future__ import annotations

from datetime import date

import pytest
from packaging.version import Version

from release.changelog import form_problems, release_problems, sections

TODAY = date(2031, 5, 17)
TEXT = """# Changelog

## [Unreleased]

## [0.2.0] - 2031-05-17

### Added

- Wings.

### Fixed

- A crash,
  in two lines.

## [0.1.1] - 2031-02-01 [YANKED]

- Feet.

## [0.1.0] - 2030-12-24

- An egg.
"""


def test_the_sections_of_a_changelog_are_told_apart() -> None:
    found = sections(TEXT)
    assert [(each.name, str(each.dated)) for each in found] == [
        ("Unreleased", "None"),
        ("0.2.0", "2031-05-17"),
        ("0.1.1", "2031-02-01"),
        ("0.1.0", "2030-12-24"),
    ]
    assert [each.is_empty for each in found] == [True, False, False, False]
    assert "A crash" in found[1].body
    assert "Feet" not in found[1].body


def test_a_changelog_that_is_ready_has_no_problems() -> None:
    assert release_problems(TEXT, Version("0.2"), TODAY) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("0.2.0", "0.3.0", "it has no section [0.2.0]"),
        ("- 2031-05-17", "- unreleased", "its section [0.2.0] has no date"),
        ("- 2031-05-17", "- 2031-13-45", "its section [0.2.0] has no date"),
        ("- 2031-05-17", "- 2031-05-18", "its section [0.2.0] is of a day to come"),
        ("## [0.1.0] - 2030", "## [0.1.0] - 2032", "its sections are not in order"),
        ("[Unreleased]\n", "[Unreleased]\n\n- Song.\n", "[Unreleased] stands above [0.2.0]"),
        ("### Fixed", "### Improved", "[0.2.0] has a group 'Improved'"),
        ("- Wings.\n\n### Fixed\n\n- A crash,", "", "its section [0.2.0] says nothing"),
    ],
)
def test_what_speaks_against_a_release_is_named(old: str, new: str, problem: str) -> None:
    found = release_problems(TEXT.replace(old, new), Version("0.2.0"), TODAY)
    assert any(each.startswith(problem) for each in found), found


def test_before_a_release_a_section_needs_no_date() -> None:
    text = TEXT.replace("- 2031-05-17", "- unreleased")
    assert form_problems(text, Version("0.2.0")) == []
