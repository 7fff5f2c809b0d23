"""The configuration file of a server of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from support.certificates import Certificates


class Settings(TypedDict, total=False):
    """Settings of a server, all of which can be left out.

    Attributes:
        jetstream: whether it stores streams.
        store: where; a folder beside its log when left out.
        max_file_store: bytes that all streams may have on disk.
        max_payload: bytes that a message may have.
        token: the token of clients.
        user: the user name of clients, with `password`.
        tls: files for encrypted connections.
        verify: whether clients need a certificate, too.
        config: more text for the file, such as `Credentials.config` and `NkeyUser.config`.
    """

    jetstream: bool
    store: Path
    max_file_store: int
    max_payload: int
    token: str
    user: str
    password: str
    tls: Certificates
    verify: bool
    config: str


def configuration(settings: Settings) -> str:
    """Return the text for a configuration file."""
    return "\n".join(_lines(settings))


def _lines(settings: Settings) -> Iterator[str]:
    if settings.get("jetstream"):
        yield f'jetstream {{ store_dir: "{settings["store"]}"'
        if "max_file_store" in settings:
            yield f"max_file_store: {settings['max_file_store']}"
        yield "}"
    if "max_payload" in settings:
        yield f"max_payload: {settings['max_payload']}"
    if "token" in settings:
        yield f'authorization {{ token: "{settings["token"]}" }}'
    if "user" in settings:
        yield f'authorization {{ user: "{settings["user"]}", password: "{settings["password"]}" }}'
    if "tls" in settings:
        files = settings["tls"]
        yield f'tls {{ ca_file: "{files.ca}", cert_file: "{files.cert}", key_file: "{files.key}"'
        yield f"verify: {str(settings.get('verify', False)).lower()}"
        yield "}"
    yield settings.get("config", "")
