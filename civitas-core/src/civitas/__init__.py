"""Civitas: supervised asyncio agents that talk by name over a transport of your choice."""

from civitas.components import ComponentSet
from civitas.errors import CivitasError, ErrorAction
from civitas.messages import Message
from civitas.process import AgentProcess
from civitas.runtime import Runtime
from civitas.supervisor import Supervisor

__all__ = [
    "AgentProcess",
    "CivitasError",
    "ComponentSet",
    "ErrorAction",
    "Message",
    "Runtime",
    "Supervisor",
]
