"""Paths: the messages of a trace as a tree: who was sent what because of which message. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from civitas.cli.trace.records import MessageEvent, Record


@dataclass(slots=True)
class TracedMessage:
    """A message, as the logs know it.

    Attributes:
        span: its span.
        records: what was said of it, by time.
        lines: what its recipient has logged while it handled it.
        children: the messages that were sent because of it, by time.
    """

    span: str
    records: list[tuple[Record, MessageEvent]] = field(default_factory=list)
    lines: list[Record] = field(default_factory=list)
    children: list[TracedMessage] = field(default_factory=list)

    @property
    def about(self) -> MessageEvent:
        """What is known of the message."""
        return self.records[0][1]

    @property
    def began(self) -> float:
        """When it is heard of first."""
        return min(_began(record, about) for record, about in self.records)


@dataclass(slots=True)
class Path:
    """A trace: its first messages, what no message of it explains, and all records by time."""

    trace: str
    steps: list[TracedMessage]
    lines: list[Record]
    records: list[Record]

    @property
    def began(self) -> float:
        """When the first of it is heard of.

        That need not be its first message: of one whose sender kept no log the begin is reckoned
        from its end, and the clocks of two processes differ a little.
        """
        return min(
            each.at if each.about is None else _began(each, each.about) for each in self.records
        )


def traces_of(records: Iterable[Record], wanted: str) -> list[str]:
    """Return the traces that an id means: of a trace, a message or a span, or how one begins."""
    exact, alike = dict[str, None](), dict[str, None]()
    for record in records:
        about = record.about
        ids = {record.trace} | ({about.id, about.span} if about is not None else set())
        if wanted in ids:
            exact[record.trace] = None
        elif any(each.startswith(wanted) for each in ids):
            alike[record.trace] = None
    return [each for each in exact or alike if each]


def path_of(records: Iterable[Record], trace: str) -> Path:
    """Return a trace with all that is said of it, in the order of time."""
    own = sorted((each for each in records if each.trace == trace), key=lambda each: each.at)
    steps: dict[str, TracedMessage] = {}
    for record in own:
        about = record.about
        if about is not None:
            key = about.span or about.id
            steps.setdefault(key, TracedMessage(key)).records.append((record, about))
    roots = _joined(steps)
    lines = [record for record in own if record.about is None]
    return Path(trace, roots, [each for each in lines if not _placed(each, steps)], own)


def _joined(steps: dict[str, TracedMessage]) -> list[TracedMessage]:
    """Put each message below that which caused it; return those that none caused, by time."""
    roots = []
    for step in sorted(steps.values(), key=lambda step: step.began):
        parent = steps.get(step.about.parent)
        if parent is None or _is_below(parent, step):
            roots.append(step)
        else:
            parent.children.append(step)
    return roots


def _is_below(step: TracedMessage, other: TracedMessage) -> bool:
    """Return whether a message is below another one, or the same: logs may be forged."""
    waiting: list[TracedMessage] = [other]
    while waiting:
        each = waiting.pop()
        if each is step:
            return True
        waiting += each.children
    return False


def _placed(line: Record, steps: dict[str, TracedMessage]) -> bool:
    """Put a line of an agent to the message that it handled then; return whether there is one."""
    for step in steps.values():
        for record, about in step.records:
            handled = about.event == "handled" and about.recipient == line.agent != ""
            within = _began(record, about) - 0.001 <= line.at <= record.at + 0.001
            if handled and within and record.process == line.process:
                step.lines.append(line)
                return True
    return False


def _began(record: Record, about: MessageEvent) -> float:
    return record.at - (about.seconds or 0.0)


def last_word(step: TracedMessage) -> Sequence[tuple[Record, MessageEvent]]:
    """Return what became of a message: its executions, and where it was dropped."""
    return [each for each in step.records if each[1].event != "sent"]
