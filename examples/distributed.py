"""A desk on one machine takes orders; a press on another does them and sends the pages back."""

from __future__ import annotations

from civitas import AgentProcess, Message
from civitas.errors import MessageRoutingError


class Desk(AgentProcess):
    """Takes orders, hands them on, and answers with what is open and what is done."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.open: dict[str, str] = {}
        self.printed: dict[str, str] = {}

    async def handle(self, message: Message) -> Message | None:
        """Take an order, note one that is done, or tell how things stand."""
        if message.type == "printed":
            order = message.payload["order"]
            self.printed[order] = message.payload["page"]
            self.open.pop(order, None)
            return None
        if "print" in message.payload:
            order, text = message.id, str(message.payload["print"])
            try:
                await self.send("press", {"order": order, "text": text}, "order")
            except MessageRoutingError as error:  # not where messages are at-least-once
                return self.reply({"refused": str(error)})
            if order not in self.printed:  # of an earlier delivery of this message
                self.open[order] = text
        return self.reply({"open": len(self.open), "printed": list(self.printed.values())})


class Press(AgentProcess):
    """Sets a text in a frame.

    An order may come twice where messages are at-least-once. It bears the id of the message that
    brought it, which makes that harmless: the desk notes the same page in the same place.
    """

    async def handle(self, message: Message) -> None:
        """Do one order, and send it back."""
        lines = message.payload["text"].splitlines() or [""]
        width = max(map(len, lines))
        bar = f"+{'-' * (width + 2)}+"
        page = "\n".join([bar, *(f"| {line.ljust(width)} |" for line in lines), bar])
        await self.send("desk", {"order": message.payload["order"], "page": page}, "printed")
