"""What a thread, or a signal, may do at any moment while a command is at something else."""

from __future__ import annotations

import pytest

from civitas.cli import output
from civitas.plugins import masking
from support.commands import printed_by


def test_a_secret_may_be_hidden_while_another_thread_writes_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "_secrets", {"a first secret"})
    forms_of, later = vars(masking)["_forms"], ["a second secret"]

    def forms_while_more_is_hidden(secret: str) -> frozenset[str]:
        output.hide(later)
        forms: frozenset[str] = forms_of(secret)
        return forms

    monkeypatch.setattr(masking, "_forms", forms_while_more_is_hidden)
    assert "a first secret" not in output.error_text(["it is a first secret"])
    assert "a second secret" not in output.error_text(["it is a second secret"])


ENDED = """
import asyncio, signal
from civitas.cli.up import _run_group

class Group:
    async def run(self):
        return 0

asyncio.run(_run_group(Group(), None))
signal.raise_signal(signal.SIGTERM)
print("goes on to its end")
"""


def test_a_signal_that_comes_when_all_processes_have_ended_changes_nothing() -> None:
    assert printed_by(ENDED) == "goes on to its end"
