"""Logins by NKey and by credentials: a server's configuration, and the file for the client."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nkeys

_UNLIMITED: Final = -1
_CREDENTIALS: Final = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


@dataclass(frozen=True)
class Credentials:
    """A user of an account of an operator.

    Attributes:
        file: the credentials file (.creds) that the user shows.
        config: configuration of a server with the account, which has JetStream.
    """

    file: Path
    config: str


@dataclass(frozen=True)
class NkeyUser:
    """A user by a key alone.

    Attributes:
        file: a file with nothing but the seed.
        seed: what the user signs with: SU...
        config: configuration of a server with this user.
    """

    file: Path
    seed: str
    config: str


def nkey_user(folder: Path) -> NkeyUser:
    """Make a user who logs in by a key."""
    key = _Key(nkeys.PREFIX_BYTE_USER)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "user.nk"
    file.write_text(key.seed)
    return NkeyUser(file, key.seed, f"authorization {{ users: [{{ nkey: {key.public} }}] }}")


def credentials(folder: Path) -> Credentials:
    """Make an operator, an account with JetStream, and a user who logs in by a file.

    JWTs are of version 2: https://docs.nats.io/running-a-nats-service/configuration/securing_nats
    """
    operator = _Key(nkeys.PREFIX_BYTE_OPERATOR)
    system, account = _Key(nkeys.PREFIX_BYTE_ACCOUNT), _Key(nkeys.PREFIX_BYTE_ACCOUNT)
    user = _Key(nkeys.PREFIX_BYTE_USER)
    operator_jwt = operator.vouch(
        operator.public, "operator", system_account=system.public, type="operator"
    )
    system_jwt = operator.vouch(system.public, "SYS", type="account", limits=_limits("conn"))
    account_jwt = operator.vouch(
        account.public,
        "agents",
        type="account",
        limits=_limits("conn", "mem_storage", "disk_storage", "streams", "consumer"),
    )
    user_jwt = account.vouch(user.public, "user", type="user", pub={}, sub={}, **_limits())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "user.creds"
    file.write_text(_CREDENTIALS.format(jwt=user_jwt, seed=user.seed))
    config = (
        f"operator: {operator_jwt}\n"
        f"system_account: {system.public}\n"
        "resolver: MEMORY\n"
        f"resolver_preload {{ {system.public}: {system_jwt}, {account.public}: {account_jwt} }}"
    )
    return Credentials(file, config)


class _Key:
    """A new pair of keys."""

    def __init__(self, prefix: int) -> None:
        seed: bytes = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(seed))
        self.seed = seed.decode()
        self.public: str = self._pair.public_key.decode()

    def vouch(self, subject: str, name: str, **claims: Any) -> str:
        """Return a JWT about a key, signed with this one."""
        content = {
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "nats": {"version": 2, **claims},
            "sub": subject,
        }
        digest = hashlib.sha256(json.dumps(content).encode()).digest()
        content["jti"] = base64.b32encode(digest).decode().rstrip("=")
        said = ".".join(_encoded(json.dumps(part).encode()) for part in (_HEADER, content))
        return f"{said}.{_encoded(self._pair.sign(said.encode()))}"


_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}


def _limits(*more: str) -> dict[str, int]:
    return dict.fromkeys(("subs", "data", "payload", *more), _UNLIMITED)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
