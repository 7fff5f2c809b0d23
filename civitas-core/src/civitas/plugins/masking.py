"""Keeping secrets out of everything that is shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

MASK: Final = "***"

_USER_INFO: Final = re.compile(
    r"(?<=://)(?:[^/?#\s]*@|[^/?#\s:]*:(?!\d+[/?#])(?:(?!://)[^\s'\"])*@)"
)
"""The second form is wrong, and written all the same: a password with `/`, `?` or `#` in it."""
_SECRET_WORDS: Final = (
    r"(?:pass(?:word|phrase|wd)?|pwd|secret|token|credential|private|nkey|seed|api_?key|auth)"
)
_SECRET_NAME: Final = re.compile(_SECRET_WORDS, re.IGNORECASE)
_SECRET_PARAMETER: Final = re.compile(
    rf"([?&][^=&#\s]*{_SECRET_WORDS}[^=&#\s]*=)[^&#\s'\"]*", re.IGNORECASE
)
_SHORTEST_SECRET: Final = 3


def mask_urls(text: str) -> str:
    """Return the text without the users, passwords and secret parameters of the URLs in it."""
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(f"{MASK}@", text))


def looks_secret(name: str) -> bool:
    """Return whether a name such as `password` says that its value is secret."""
    return bool(_SECRET_NAME.search(name))


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets, and without users and passwords of URLs.

    Secrets of one or two characters are left alone: replacing them would garble the text and hide
    nothing.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return mask_urls(text)


def mask_values(value: Any, name: str = "") -> Any:
    """Return JSON-like values, standing under `name`, in which nothing secret is left.

    A name such as `password` hides the value.
    """
    if isinstance(value, Mapping):
        return {key: mask_values(item, str(key)) for key, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if looks_secret(name):
        return MASK
    if isinstance(value, list):
        return [mask_values(item, name) for item in value]
    return mask_urls(value) if isinstance(value, str) else value


def without_inputs(error: object) -> str | None:
    """Return what an error of pydantic says without the values, which its own text repeats.

    `None` for any other error.
    """
    if type(error).__name__ != "ValidationError" or not hasattr(error, "errors"):
        return None
    told = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in told
    )


def secret_texts(value: Any, names: Collection[str], *, is_secret: bool = False) -> list[str]:
    """Return the texts that stand under these names, or under one that looks secret.

    Args:
        value: JSON-like values as the user wrote them, of any depth.
        names: names of secret fields.
        is_secret: whether the value itself stands under such a name.
    """
    texts: list[str] = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            hidden = is_secret or key in names or looks_secret(str(key))
            texts += secret_texts(item, names, is_secret=hidden)
    elif isinstance(value, list):
        for item in value:
            texts += secret_texts(item, names, is_secret=is_secret)
    elif is_secret and value is not None and not isinstance(value, bool):
        texts.append(str(value))
    return texts
