"""Reading YAML: lines, aliases, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from civitas.errors import Location
from civitas.topology import Problem, TopologyError
from civitas.topology.yaml_nodes import locate, plain
from civitas.topology.yaml_reader import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, Parsed, parse, read_file


def read(text: str) -> Parsed:
    return parse(text, lambda line: Location("t.yaml", line))


def values(text: str) -> Any:
    parsed = read(text)
    assert parsed.problems == []
    return plain(parsed.root)


def refusal(text: str) -> Problem:
    with pytest.raises(TopologyError) as caught:
        read(text)
    (problem,) = caught.value.problems
    return problem


def test_scalars_have_their_yaml_types_except_dates() -> None:
    text = "a: 5\nb: '5'\nc: yes\nd:\ne: 1.5\nf: text\ng: 2024-02-30\nh: !!str 7\ni: =\n"

    assert values(text) == {
        "a": 5,
        "b": "5",
        "c": True,
        "d": None,
        "e": 1.5,
        "f": "text",
        "g": "2024-02-30",
        "h": "7",
        "i": "=",
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("top",), 1),
        (("top", "list"), 2),
        (("top", "list", 0), 3),
        (("top", "list", 1), 4),
        (("top", "list", 1, "deep"), 5),
        (("top", "block"), 6),
        (("after",), 9),
        (("top", "list", 1, "missing"), 4),
        (("top", "list", 7), 2),
    ],
)
def test_every_place_knows_its_line(path: tuple[Any, ...], line: int) -> None:
    text = "top:\n  list:\n    - one\n    - key: x\n      deep: y\n"
    text += "  block: |\n    a\n    b\nafter: 1\n"

    assert locate(read(text).root, path) == Location("t.yaml", line)


def test_merge_keys_give_what_is_not_given() -> None:
    text = """
base: &base {p: 1, q: 2}
more: &more {q: 3, r: 4}
one:
  <<: *base
  p: 9
two:
  <<: [*base, *more]
"""
    result = values(text)

    assert result["one"] == {"p": 9, "q": 2}
    assert result["two"] == {"p": 1, "q": 2, "r": 4}


def test_a_merged_key_has_the_line_where_it_is_written() -> None:
    root = read("base: &base\n  p: 1\none:\n  <<: *base\n").root

    assert locate(root, ("one", "p")).line == 2


def test_a_key_given_twice_is_a_problem_that_names_both_lines() -> None:
    parsed = read("a: 1\nb: 2\na: 3\nb: 4\n")

    assert [each.location.line for each in parsed.problems] == [3, 4]
    assert "t.yaml:1" in parsed.problems[0].message
    assert plain(parsed.root) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: !secret x\n", 2, "'!secret'"),
        ("a: 1\nb: !!python/name:os.system x\n", 2, "python/name"),
        ("a: 1\nb: !thing {c: 1}\n", 2, "'!thing'"),
        ("a:\n  <<: 5\n", 2, "`<<` merges mappings only"),
        ("a: " + "9" * 5000, 1, "digits"),
    ],
)
def test_a_value_without_a_meaning_is_a_problem(text: str, line: int, message: str) -> None:
    (problem,) = read(text).problems

    assert problem.location.line == line
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "line", "message", "suggestion"),
    [
        ("", 1, "nothing here", "supervision"),
        ("# only a comment\n", 1, "nothing here", "supervision"),
        ("a: 1\nb: [1,\nc: 2\n", 3, "not YAML", "begins at t.yaml:2"),
        ("a: 1\nb:\n\t- 2\n", 3, "not YAML", "spaces"),
        ("a: {b: ${X}}\n", 1, "not YAML", "in quotes"),
        ("a: 1\n b: 2\n", 2, "not YAML", ""),
        ("a: 'open\n", 1, "not YAML", ""),
        ("a: 1\nb: \x07\n", 2, "#x0007", ""),
        ("a: 1\nb: *nobody\n", 2, "*nobody has no anchor", ""),
        ("a: &a\n  - *a\n", 2, "contains itself", ""),
        ("a: 1\n---\nb: 2\n", 2, "second document", "---"),
        ("? [1]\n: 2\n", 1, "a key must be text", ""),
        ("[" * 100_000, 1, f"more than {MAX_DEPTH} levels", ""),
    ],
)
def test_what_is_no_topology_is_refused_with_its_line(
    text: str, line: int, message: str, suggestion: str
) -> None:
    problem = refusal(text)

    assert problem.location == Location("t.yaml", line)
    assert message in problem.message
    assert suggestion in problem.suggestion


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert str(MAX_ALIASED) in refusal("\n".join(lines)).message


def test_aliases_that_nest_deeper_and_deeper_are_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{x: {{x: *a{n - 1}}}}}" for n in range(1, 150)]

    assert f"more than {MAX_DEPTH} levels" in refusal("\n".join(lines)).message


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"nowhere\.yaml: the file can't be read: No such file"):
        read_file(tmp_path / "nowhere.yaml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="can't be read: Is a directory"):
        read_file(tmp_path)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(TopologyError, match=r"t\.yaml:2: the file is not UTF-8"):
        read_file(file)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert plain(read_file(file).root) == {"a": 1}


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(TopologyError, match=f"larger than {MAX_BYTES // 1024**2} MiB"):
        read_file(Path("/dev/zero"))
