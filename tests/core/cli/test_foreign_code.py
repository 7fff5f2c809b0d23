"""What code of agents and plugins leaves behind when it is imported, and what is put back."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from civitas.cli import foreign_code as module
from civitas.cli.event_loop import run_in_own_loop, run_with_agents
from civitas.cli.foreign_code import foreign_code
from civitas.cli.logs import configure_logging
from civitas.cli.options import chosen
from civitas.errors import CivitasError, ConfigurationError
from support.agents import SOON


class PanicError(BaseException):
    """What is no Exception."""


def filters() -> list[Any]:
    return list(warnings.filters)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def logs() -> list[Any]:
    root = logging.getLogger()
    names = ("civitas.tests", "somebody.else")
    disabled = [logging.getLogger(each).disabled for each in names]
    return [root.handlers[:], root.level, logging.root.manager.disable, disabled]


def ends() -> list[Any]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
    return [*map(signal.getsignal, numbers), signal.pthread_sigmask(signal.SIG_BLOCK, ())]


def others() -> list[Any]:
    return [signal.getsignal(each) for each in (signal.SIGCHLD, signal.SIGUSR1)]


def ignore(*numbers: int) -> None:
    for each in numbers:
        signal.signal(each, signal.SIG_IGN)


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "the working directory": (Path.cwd, lambda: os.chdir("/")),
    "the umask": (umask, lambda: os.umask(0o111)),
    "filters of warnings": (filters, lambda: warnings.filterwarnings("error", message="no such")),
    "signals that children send": (others, lambda: ignore(signal.SIGCHLD, signal.SIGUSR1)),
    "signals that end": (ends, lambda: ignore(signal.SIGINT, signal.SIGTERM)),
    "broken pipes": (ends, lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL)),
    "blocked signals": (ends, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})),
    "loggers": (logs, lambda: logging.config.dictConfig({"version": 1, "root": {"handlers": []}})),
    "the level of loggers": (logs, lambda: logging.getLogger().setLevel(50)),
    "the threshold of loggers": (logs, lambda: logging.disable(50)),
}
KEPT_BY_RUN = {
    "the working directory",
    "the umask",
    "filters of warnings",
    "signals that children send",
    "the level of loggers",
}


LOOKS = """
from threading import Thread, main_thread
from civitas import AgentProcess as Agent
from civitas.cli.stacks import at_work, entered
def look(seen):
    SEEN.append(seen(main_thread()))
SEEN = []
for each in (entered, at_work):
    thread = Thread(target=look, args=(each,)); thread.start(); thread.join()
"""
TREE = "supervision: {{name: root, children: [{{agent: {{name: a, type: {}.Agent}}}}]}}"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have loggers to be disabled, and what `run` keeps back at the end of a test."""
    for name in ("civitas.tests", "somebody.else"):
        logging.getLogger(name)
    here, mask, (handlers, level, *_) = Path.cwd(), umask(), logs()
    numbers = (signal.SIGCHLD, signal.SIGUSR1)
    before = [signal.getsignal(each) for each in numbers]
    known = logging.root.manager.loggerDict.values()
    disabled = {each: each.disabled for each in known if isinstance(each, logging.Logger)}
    with warnings.catch_warnings():
        yield
    os.chdir(here)
    os.umask(mask)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    for logger, was_disabled in disabled.items():
        logger.disabled = was_disabled


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_import_changes_is_put_back(change: str) -> None:
    look, do = CHANGES[change]
    before = look()
    with foreign_code():
        do()
        assert look() != before
    assert look() == before


@pytest.mark.parametrize("change", CHANGES)
def test_run_puts_back_what_its_end_and_its_log_need_and_leaves_all_else(
    change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info")
    look, do = CHANGES[change]
    before = look()
    with foreign_code(hosts=True):
        do()
        assert look() != before
    if change == "loggers":  # of others it is theirs to say whether they are disabled
        assert look() == [*before[:-1], [False, True]]
    else:
        assert (look() == before) is (change not in KEPT_BY_RUN)
    noted = "has no effect: this command has its own" in capsys.readouterr().err
    assert noted is (change in ("signals that end", "broken pipes"))


def test_a_handler_of_the_agents_own_log_stays_in_run(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    own = {"own": {"class": "logging.NullHandler"}}
    with foreign_code(hosts=True):
        logging.config.dictConfig({"version": 1, "handlers": own, "root": {"handlers": ["own"]}})
    assert [type(each) for each in logging.getLogger().handlers] == [logging.NullHandler]
    assert not logging.getLogger("civitas.tests").disabled


@pytest.mark.parametrize("hosts", [False, True])
def test_a_folder_that_is_gone_harms_nobody(tmp_path: Path, hosts: bool) -> None:
    os.chdir(tmp_path)
    with foreign_code(hosts=hosts):
        (tmp_path / "sub").mkdir()
        os.chdir(tmp_path / "sub")
        (tmp_path / "sub").rmdir()
    with foreign_code():
        pass


@pytest.mark.parametrize("error", [SystemExit(0), PanicError("x"), KeyboardInterrupt()])
def test_what_is_no_exception_is_an_error_that_has_a_line(error: BaseException) -> None:
    said = rf"raised {type(error).__name__}.*, at .*\.py:\d"
    with pytest.raises(ConfigurationError, match=said), foreign_code():
        raise error


def test_an_import_that_takes_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    said = threading.Event()
    monkeypatch.setattr(module, "_HINT_AFTER", 0.01)
    monkeypatch.setattr(module, "write_error", lambda line: (lines.append(line), said.set()))
    with foreign_code():
        assert said.wait(SOON)
    assert lines[0].startswith("note: this takes more than 0.01 s to import or to make, at ")


def test_the_line_of_a_module_that_is_imported_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agents = tmp_path / f"{tmp_path.name}_agents.py"
    agents.write_text(LOOKS)
    topology = tmp_path / "topology.yaml"
    topology.write_text(TREE.format(agents.stem))
    monkeypatch.setattr("sys.path", sys.path[:])
    chosen(topology, None, None, None, None).load(tmp_path)
    assert [f", at {agents}:{line}" for line in (9, 9)] == sys.modules[agents.stem].SEEN


# --- event loops ---------------------------------------------------------------------------------


@pytest.fixture
def foreign_loops() -> Iterator[None]:
    """Have a policy that makes no loop which anybody could use."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.14 gives policies up
        before = asyncio.get_event_loop_policy()

        class Policy(type(before)):  # type: ignore[misc]
            def new_event_loop(self) -> asyncio.AbstractEventLoop:
                raise NotImplementedError

        asyncio.set_event_loop_policy(Policy())
        yield
        asyncio.set_event_loop_policy(before)


def test_a_command_that_hosts_no_agent_has_asyncios_loop_whatever_others_have_chosen(
    foreign_loops: None,
) -> None:
    async def loop() -> object:
        return asyncio.get_running_loop()

    assert isinstance(run_in_own_loop(loop()), asyncio.SelectorEventLoop)
    with pytest.raises(NotImplementedError):
        run_with_agents(work := loop(), print)
    work.close()


def test_a_plugin_that_exits_in_the_loop_of_a_command_is_its_failure() -> None:
    async def talk() -> None:
        asyncio.get_running_loop().call_soon(exec, "raise SystemExit(0)")
        await asyncio.Event().wait()

    with pytest.raises(CivitasError, match="a plugin raised SystemExit: 0"):
        run_in_own_loop(talk())


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()])
def test_what_a_task_of_an_agent_raises_to_exit_ends_no_loop(error: BaseException) -> None:
    async def leave() -> None:
        raise error

    async def run() -> list[BaseException]:
        ended = asyncio.get_running_loop().create_task(leave())
        await asyncio.wait([ended])
        await asyncio.sleep(0)
        ended.exception()
        return exits

    exits: list[BaseException] = []
    assert run_with_agents(run(), exits.append) == [error]
