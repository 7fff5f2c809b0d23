"""Pages: what `/live`, `/ready` and `/metrics` answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from civitas._health.settings import HealthSettings
from civitas._node.health.http import JSON, Answer, Request, refusal
from civitas._node.health.metrics import CONTENT_TYPE, exposition
from civitas._node.health.vitals import Vitals
from civitas.errors import printable

_INDEX: Final = "/live: is this process to be left alone?\n/ready: can it do its work now?\n"
_INDEX_OF_METRICS: Final = "/metrics: its counters, as OpenMetrics text\n"

_LONGEST_REASON: Final = 1000
"""Bytes of a line at most."""


class Pages:
    """Answers the requests of a node.

    `blocked` returns for how many seconds its event loop has not turned.
    """

    def __init__(
        self, vitals: Vitals, settings: HealthSettings, blocked: Callable[[], float]
    ) -> None:
        self._vitals = vitals
        self._settings = settings
        self._blocked = blocked

    async def respond(self, request: Request) -> Answer:
        """Answer a request."""
        vitals, settings, blocked = self._vitals, self._settings, self._blocked()
        match request.path:
            case "/live":
                return self._verdict(request, "live", vitals.not_live(blocked, settings))
            case "/ready":
                return self._verdict(request, "ready", vitals.not_ready(blocked, settings))
            case "/metrics" if settings.metrics:
                is_ready = not vitals.not_ready(blocked, settings)
                text = await exposition(vitals, blocked, is_ready=is_ready)
                return Answer(HTTPStatus.OK, text, CONTENT_TYPE)
            case "/":
                index = _INDEX + (_INDEX_OF_METRICS if settings.metrics else "")
                return Answer(HTTPStatus.OK, index.encode())
        return refusal(HTTPStatus.NOT_FOUND)

    def _verdict(self, request: Request, word: str, reasons: Sequence[str]) -> Answer:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        lines = [printable(each, _LONGEST_REASON) for each in reasons]
        if not _wants_json(request):
            return Answer(status, _encoded("".join(f"{each}\n" for each in lines or [word])))
        vitals = self._vitals
        values: dict[str, Any] = {word: not reasons, "reasons": lines}
        values |= {"process": vitals.process, "role": vitals.role, "state": vitals.state()}
        return Answer(status, _encoded(f"{json.dumps(values)}\n"), JSON)


def _wants_json(request: Request) -> bool:
    if "json" in parse_qs(request.query).get("format", ()):
        return True
    accepted = {each.partition(";")[0].strip().lower() for each in request.accept.split(",")}
    return JSON in accepted and "text/plain" not in accepted


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
