"""Page: asks the health address of a process on this machine whether it is ready."""

from __future__ import annotations

import json
from typing import Any, Final

from civitas._health.settings import Listen
from civitas.errors import CivitasError

_LARGEST: Final = 1024 * 1024
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def ask_ready(listen: Listen, timeout: float) -> list[str]:
    """Return why the process that listens there is not ready; nothing where it is.

    Raises:
        CivitasError: nobody answers there, or something else does.
    """
    from http.client import HTTPConnection, HTTPException

    at = listen._replace(host=_EVERYWHERE.get(listen.host, listen.host))
    connection = HTTPConnection(at.host, at.port, timeout=timeout)
    try:
        connection.request("GET", "/ready?format=json")
        told: Any = json.loads(connection.getresponse().read(_LARGEST))
    except (OSError, HTTPException) as error:
        raise CivitasError(f"no process answers at {at}: {error}") from error
    except ValueError as error:
        raise CivitasError(f"what answers at {at} is no process of civitas") from error
    finally:
        connection.close()
    reasons = told.get("reasons") if isinstance(told, dict) else None
    if not isinstance(reasons, list):
        raise CivitasError(f"what answers at {at} is no process of civitas")
    return [str(each) for each in reasons]
