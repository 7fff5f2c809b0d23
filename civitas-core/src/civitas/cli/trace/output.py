"""Output: a trace as a tree with times, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from civitas.cli.output import write
from civitas.cli.tables import Branch, write_tree
from civitas.cli.trace.paths import Path, TracedMessage, last_word
from civitas.cli.trace.records import MessageEvent, Record


def write_path(path: Path) -> None:
    """Print the messages of a trace, each below that which caused it, and what agents logged."""
    first = path.began
    moment = datetime.fromtimestamp(first, UTC).isoformat(timespec="milliseconds")
    write(f"trace {path.trace} began at {moment}; times are milliseconds since then")
    for step in path.steps:
        write_tree(_branch(step, first))
    for line in path.lines:
        write(_line(line, first))


def json_of(path: Path) -> dict[str, Any]:
    """Return a trace as values for JSON: its messages as a tree, and its records by time."""
    return {
        "trace": path.trace,
        "messages": [_message(step) for step in path.steps],
        "lines": [_record(each) for each in path.records],
    }


def _branch(step: TracedMessage, first: float) -> Branch:
    about = step.about
    sent = [record for record, each in step.records if each.event == "sent"]
    head = f"{about.type} {about.sender} -> {about.recipient}"
    rest = f"  sent {_ms(sent[0].at, first)} in {sent[0].process}" if sent else ""
    outcomes = [Branch(_outcome(*each, first)) for each in last_word(step)]
    if not outcomes:
        outcomes = [Branch("not handled, as far as these logs say")]
    lines = [Branch(_line(line, first)) for line in step.lines]
    return Branch(
        head, rest, [*outcomes, *lines, *(_branch(each, first) for each in step.children)]
    )


def _outcome(record: Record, about: MessageEvent, first: float) -> str:
    if about.event == "dropped":
        return f"{_ms(record.at, first)} dropped in {record.process}: {about.reason}"
    seconds = about.seconds or 0.0
    began, took = _ms(record.at - seconds, first), f"{seconds * 1000:.1f} ms"
    attempt = f", attempt {about.attempt + 1}" if about.attempt else ""
    return f"{began} {about.event} in {record.process}, took {took}: {about.outcome}{attempt}"


def _line(record: Record, first: float) -> str:
    where = "/".join(filter(None, (record.process, record.agent)))
    return f"{_ms(record.at, first)} {record.level} {where} {record.logger}: {record.text}"


def _ms(at: float, first: float) -> str:
    return f"{(at - first) * 1000:+.1f}"


def _message(step: TracedMessage) -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(step.about).items() if key in _OF_MESSAGE},
        "events": list(_events(step)),
        "children": [_message(each) for each in step.children],
    }


_OF_MESSAGE = {"id", "type", "sender", "recipient", "span", "parent"}


def _events(step: TracedMessage) -> Iterator[dict[str, Any]]:
    for record, about in step.records:
        told = {key: value for key, value in asdict(about).items() if key not in _OF_MESSAGE}
        del told["trace"]
        yield {"time": _time(record), "process": record.process, **told}


def _record(record: Record) -> dict[str, Any]:
    values = {key: value for key, value in asdict(record).items() if key not in {"at", "about"}}
    return {"time": _time(record), **values}


def _time(record: Record) -> str:
    return datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds")
