"""The examples run as they stand, and the word count is right."""

from __future__ import annotations

import collections
import json
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

pytestmark = pytest.mark.slow

TOPOLOGY = "examples/word_count.yaml"


def library(folder: Path, files: int) -> Path:
    """Write text files of random words, and some that are no text."""
    chance = random.Random(files)
    vocabulary = [
        "Wort",
        "word",
        "mother-in-law",
        "don't",
        "l\u2019eau",
        "数",
        "x1",
        "42",
        "_",
        "ÉTÉ",
    ]
    for number in range(files):
        path = folder / f"shelf_{number % 3}" / f"text_{number}.{chance.choice(['md', 'txt'])}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(chance.choices(vocabulary, k=200)), encoding="utf-8")
    (folder / "picture.png").write_bytes(b"word word word")
    (folder / "broken.txt").write_bytes(b"word \xff\xfe word")
    return folder


def plain_count(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Count in one loop: words of each file, and how often each word comes."""
    files: dict[str, int] = {}
    words: collections.Counter[str] = collections.Counter()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".md", ".txt"}):
        text = path.read_bytes().decode("utf-8", "replace")
        found = re.findall("[^\\W\\d_]+(?:['\u2019-][^\\W\\d_]+)*", text)
        files[str(path)] = len(found)
        words.update(word.casefold() for word in found)
    return files, dict(sorted(words.items()))


def test_the_word_count_equals_a_plain_one_in_spite_of_the_crash(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    folder = library(tmp_path / "library", 40)
    report = tmp_path / "report.json"
    running = start(
        "run",
        TOPOLOGY,
        cwd=repository,
        WORD_COUNT_FOLDER=str(folder),
        WORD_COUNT_REPORT=str(report),
        COLUMNS="100",
    )
    assert running.wait() == 0, running.err
    files, words = plain_count(folder)
    assert json.loads(report.read_text()) == {"files": files, "words": words}
    told = "\n".join(running.err)
    assert "InjectedCrashError" in told
    assert re.search(r"agent 'counter_\d' restarted", told)
    assert "counted 41 of 41 files" in told
    assert "Traceback" not in told
    shown = "\n".join(running.out)
    assert f"{sum(words.values()):,} words in 41 of 41 files" in shown
    crashes = [line.split("│")[3].strip() for line in running.out if "counter_" in line]
    assert sum(map(int, crashes)) == 1


def test_the_word_count_works_on_the_documentation_by_default(
    start: Start, repository: Path
) -> None:
    running = start("run", TOPOLOGY, cwd=repository)
    assert running.wait() == 0, running.err
    count = sum(1 for p in (repository / "docs").rglob("*") if p.suffix in {".md", ".txt"})
    assert f"in {count} of {count} files of docs, each counted once." in "\n".join(running.out)


def test_an_empty_folder_is_a_clear_error(start: Start, repository: Path, tmp_path: Path) -> None:
    running = start("run", TOPOLOGY, cwd=repository, WORD_COUNT_FOLDER=str(tmp_path))
    assert running.wait() == 1
    assert "no text files (.md, .rst, .text, .txt)" in running.err[-1]
    assert "Traceback" not in "\n".join(running.err)


def test_a_folder_that_is_not_there_is_a_clear_error(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "nowhere")
    running = start("run", TOPOLOGY, cwd=repository, WORD_COUNT_FOLDER=nowhere)
    assert running.wait() == 1
    assert f"there is no folder {nowhere!r}" in running.err[-1]


def test_a_signal_in_the_middle_of_it_finishes_the_count(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    folder = library(tmp_path / "library", 400)
    running = start("run", TOPOLOGY, cwd=repository, WORD_COUNT_FOLDER=str(folder))
    running.until("counted 40 of 401 files")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert "in 401 of 401 files" in "\n".join(running.out)


def test_every_topology_of_the_examples_is_valid(start: Start, repository: Path) -> None:
    topologies = sorted((repository / "examples").glob("*.yaml"))
    assert topologies
    for topology in topologies:
        running = start("topology", "validate", str(topology), cwd=repository)
        assert running.wait() == 0, running.err
