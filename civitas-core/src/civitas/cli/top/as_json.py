"""As JSON: a frame as values for programs; what is not known is null. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from civitas.cli.stats.states import Situation
from civitas.cli.top.frames import AgentLine, Frame, ProcessLine


def json_of(frame: Frame) -> dict[str, Any]:
    """Return a frame as values for JSON."""
    return {
        "time": datetime.fromtimestamp(frame.wall, UTC).isoformat(timespec="milliseconds"),
        "problem": frame.problem,
        "processes": list(map(_process, frame.processes)),
        "agents": list(map(_agent, frame.agents)),
    }


def _situation(situation: Situation) -> dict[str, Any]:
    return {
        "state": situation.state,
        "seconds": situation.since,
        "seconds_left": situation.until,
        "reason": situation.reason,
    }


def _process(line: ProcessLine) -> dict[str, Any]:
    return {
        "process": line.name,
        "expected": line.expected,
        **_situation(line.situation),
        "role": line.role or None,
        "node": line.node or None,
        "sent": line.sent,
        "delivered": line.delivered,
        "lost": line.lost,
        "dropped": line.dropped,
        "sent_rate": line.sent_rate,
        "delivered_rate": line.delivered_rate,
    }


def _agent(line: AgentLine) -> dict[str, Any]:
    in_hand, crash = line.in_hand, line.crash
    return {
        "agent": line.name,
        "process": line.process,
        "expected": line.expected,
        **_situation(line.situation),
        "rate": line.rate,
        "handled": line.handled,
        "queued": line.queued,
        "backlog": line.backlog,
        "in_hand": None
        if in_hand is None
        else {
            "type": in_hand.type,
            "id": in_hand.id,
            "seconds": in_hand.seconds,
            "at_least": in_hand.at_least,
            "count": in_hand.count,
            "most": in_hand.most,
        },
        "handling_time": line.handling,
        "busy": line.busy,
        "errors": line.errors,
        "restarts": line.restarts,
        "lost": line.lost,
        "last_crash": None if crash is None else {"text": crash.text, "seconds": crash.seconds},
    }
