"""AgentProcess: the class that agents derive from. It is no process of the operating system."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from enum import Enum
from typing import Any, Self

from civitas._bus.deferred import Deferred
from civitas._bus.mailbox import DEFAULT_SIZE
from civitas._bus.sender import Sender
from civitas.errors import ErrorAction, NotConnectedError
from civitas.messages import Message


class ProcessStatus(Enum):
    """Where an agent is in its life."""

    INITIALIZING = "INITIALIZING"
    """Not started yet, or in `on_start`."""
    RUNNING = "RUNNING"
    """Handling messages, or waiting for one."""
    CRASHED = "CRASHED"
    """Down, until its supervisor starts it again."""
    STOPPING = "STOPPING"
    """Told to stop, and not yet done with it."""
    STOPPED = "STOPPED"
    """Ended for good."""


class _Done:
    """What `stop` returns, so that both `self.stop()` and `await self.stop()` work."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


class AgentProcess:
    """An agent: subclass it and override `handle`, and the other hooks as needed.

    Messages are handled one at a time, in the order in which they came. When a handler raises,
    `on_error` decides; by default the agent crashes and its supervisor makes a fresh object from
    the same constructor arguments, which goes on with the same mailbox.

    Args:
        name: the agent's name, unique in the system.
        mailbox_size: how many messages may wait for it.
        max_retries: how often RETRY runs a message again before it escalates.
        shutdown_timeout: seconds that a stop waits for the mailbox to be drained.
        handle_timeout: seconds after which a `handle` is cancelled with TimeoutError; None for
            no limit.

    Example:
        A greeter, and how it is asked:

            class Greeter(AgentProcess):
                async def handle(self, message):
                    return self.reply({"text": f"Hello, {message.payload['name']}!"})

            async with Runtime(Supervisor("root", children=[Greeter("greeter")])) as runtime:
                reply = await runtime.ask("greeter", {"name": "Ada"})
    """

    name: str
    _sender: Sender | None = None
    _leave: Callable[[], None] | None = None
    _status: Callable[[], ProcessStatus] | None = None
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the constructor's arguments: a restart makes a fresh object from them."""
        self = super().__new__(cls)
        self._arguments = (args, kwargs)
        return self

    def __init__(
        self,
        name: str,
        mailbox_size: int = DEFAULT_SIZE,
        max_retries: int = 3,
        shutdown_timeout: float = 30.0,
        handle_timeout: float | None = None,
    ) -> None:
        self.name = name
        self.mailbox_size = mailbox_size
        self.max_retries = max_retries
        self.shutdown_timeout = shutdown_timeout
        self.handle_timeout = handle_timeout
        self.state: dict[str, Any] = {}

    # --- hooks ------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Prepare; awaited before the first message. Raising here fails the start."""

    async def handle(self, message: Message) -> Message | None:
        """Handle one message; return `self.reply(...)` to answer an ask.

        Who asks and gets nothing has an `UnansweredError`; see `defer` for an answer that takes
        its time.
        """
        return None

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Decide what becomes of a message whose handling raised. The default is ESCALATE."""
        return ErrorAction.ESCALATE

    async def on_stop(self) -> None:
        """Clean up; awaited whenever a started agent ends, also after a crash."""

    # --- verbs, for use inside the hooks ------------------------------------------------------

    def send(
        self, recipient: str, payload: dict[str, Any], message_type: str = "message"
    ) -> Coroutine[Any, Any, None]:
        """Send a message: `await self.send(...)` returns when it has been accepted.

        Waits while the recipient's mailbox is full, at most `send_timeout` seconds.

        Args:
            recipient: name of an agent.
            payload: a dict of JSON-like values.
            message_type: says what it is; types that begin with `_agency.` are reserved.

        Raises:
            MessageRoutingError: there is no such agent.
            MailboxFullError: there was no room in time.
            SerializationError: a value can't be sent; the message names its path.
        """
        sender = self._sender or self._connected()
        return sender.send(recipient, payload, message_type)

    def ask(
        self,
        recipient: str,
        payload: dict[str, Any],
        message_type: str = "message",
        timeout: float | None = 30.0,
    ) -> Coroutine[Any, Any, Message]:
        """Send a message: `await self.ask(...)` returns its answer.

        Args:
            recipient: name of an agent.
            payload: a dict of JSON-like values.
            message_type: says what it is.
            timeout: seconds for the wait for room and for the answer together.

        Raises:
            AgentError: the asked agent raised.
            TimeoutError: no answer in time; MailboxFullError when there was not even room.
            MessageRoutingError: there is no such agent.
        """
        sender = self._sender or self._connected()
        return sender.ask(recipient, payload, message_type, timeout)

    async def broadcast(
        self, pattern: str, payload: dict[str, Any], message_type: str = "message"
    ) -> None:
        """Send to every agent whose name matches a shell pattern, such as `worker_*`.

        Raises:
            CivitasError: a recipient did not get it; an ExceptionGroup when several did not.
        """
        await self._connected().broadcast(pattern, payload, message_type)

    def reply(self, payload: dict[str, Any]) -> Message:
        """Make the answer to the message being handled, for `handle` to return."""
        return self._connected().reply(payload)

    def defer(self) -> Deferred:
        """Answer the message being handled later: return None from `handle`, and keep this.

            later = self.defer()
            self.tasks.add(asyncio.create_task(self.work(message, later)))

        and, in `work`, `await later.reply({...})` or `await later.fail(error)`: once, from any
        task of this process. An agent may have `mailbox_size` of them open. A stop waits for them
        within the agent's `shutdown_timeout`. When the agent ends before, or nobody holds the
        Deferred any more, who asked gets an AgentError at once. A durable transport keeps the
        message until then.

        Raises:
            RuntimeError: no message is being handled, or it was deferred before.
            MailboxFullError: too many are open.
        """
        return self._connected().defer()

    def stop(self) -> _Done:
        """Say that this agent is done: it ends after the message being handled.

        It is not restarted. When all agents have ended, so does the runtime.
        """
        self._connected()
        assert self._leave is not None
        self._leave()
        return _DONE

    @property
    def status(self) -> ProcessStatus:
        """Where this agent is in its life."""
        return self._status() if self._status is not None else ProcessStatus.INITIALIZING

    # --- for the runtime ----------------------------------------------------------------------

    def connect(
        self, sender: Sender, leave: Callable[[], None], status: Callable[[], ProcessStatus]
    ) -> None:
        """Connect the verbs, `stop` and `status`; the slot does so before `on_start`."""
        self._sender = sender
        self._leave = leave
        self._status = status

    def respawn(self) -> AgentProcess:
        """Return a fresh object from the captured constructor arguments, with these settings."""
        args, kwargs = self._arguments
        fresh = type(self)(*args, **kwargs)
        fresh.configure(
            self.mailbox_size, self.max_retries, self.shutdown_timeout, self.handle_timeout
        )
        return fresh

    def configure(
        self,
        mailbox_size: int | None = None,
        max_retries: int | None = None,
        shutdown_timeout: float | None = None,
        handle_timeout: float | None = None,
    ) -> None:
        """Override settings from outside the constructor, as a topology does; None keeps one."""
        if mailbox_size is not None:
            self.mailbox_size = mailbox_size
        if max_retries is not None:
            self.max_retries = max_retries
        if shutdown_timeout is not None:
            self.shutdown_timeout = shutdown_timeout
        if handle_timeout is not None:
            self.handle_timeout = handle_timeout

    def _connected(self) -> Sender:
        if self._sender is None:
            raise NotConnectedError(
                f"agent {getattr(self, 'name', type(self).__name__)!r} is not running in a "
                f"runtime yet; its verbs work inside its hooks"
            )
        return self._sender
