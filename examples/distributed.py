"""A desk on one machine takes orders; a press on another does them and sends the pages back."""

from __future__ import annotations

from civitas import AgentProcess, Message


class Desk(AgentProcess):
    """Takes orders, hands them on, and answers with what is open and what is done."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.taken = 0
        self.printed: dict[int, str] = {}

    async def handle(self, message: Message) -> Message | None:
        """Take an order, note one that is done, or tell how things stand."""
        if message.type == "printed":
            self.printed[message.payload["number"]] = message.payload["page"]
            return None
        if "print" in message.payload:
            self.taken += 1
            order = {"number": self.taken, "text": message.payload["print"]}
            await self.send("press", order, "order")
        return self.reply({"taken": self.taken, "printed": list(self.printed.values())})


class Press(AgentProcess):
    """Sets a text in a frame.

    An order may come twice when messages are at-least-once. Its number makes that harmless: the
    desk notes the same page in the same place.
    """

    async def handle(self, message: Message) -> None:
        """Do one order, and send it back."""
        lines = str(message.payload["text"]).splitlines() or [""]
        width = max(map(len, lines))
        bar = f"+{'-' * (width + 2)}+"
        page = "\n".join([bar, *(f"| {line.ljust(width)} |" for line in lines), bar])
        await self.send("desk", {"number": message.payload["number"], "page": page}, "printed")
