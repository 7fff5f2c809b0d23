"""Keeping secrets out of everything that is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from civitas.errors import describe, printable

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
_SHORTEST_LINE: Final = 8
_LONGEST_REPEATED: Final = 50


def mask_urls(text: str) -> str:
    """Return the text without the users, passwords and secret parameters of the URLs in it."""
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(f"{MASK}@", text))


@lru_cache(maxsize=256)  # a topology has the same keys again and again
def looks_secret(name: str) -> bool:
    """Return whether a name such as `password` says that its value is secret."""
    return bool(_SECRET_NAME.search(name))


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets, and without users and passwords of URLs.

    Secrets of one or two characters are left alone: replacing them would garble the text and hide
    nothing.
    """
    forms = {form for secret in secrets for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return mask_urls(text)


@lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[str]:
    """Return how a text may have a secret in it: as it is, escaped in some way, or a line of it."""
    lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE]
    plain = [secret, *lines]
    escaped = [*map(repr, plain), *map(ascii, plain), *map(json.dumps, plain)]
    quoted = [quote(each, safe, errors="replace") for each in plain for safe in ("", "/")]
    forms = [*plain, *(each[1:-1] for each in escaped), *map(printable, plain), *quoted]
    forms += map(_shortened, plain)
    return frozenset(each for each in forms if len(each) >= _SHORTEST_SECRET)


def _shortened(secret: str) -> str:
    """Return how an error of pydantic's repeats a long value (2.7 to 2.14): both ends of it."""
    written = repr(secret).encode(errors="replace")
    if len(written) <= _LONGEST_REPEATED:
        return secret
    ends = written[:25], written[-24:]
    return "...".join(each.decode(errors="ignore") for each in ends)


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


def describe_without_inputs(error: BaseException) -> str:
    """Return kind and text of what foreign code raised with values that may be secret.

    An error of pydantic's repeats them, shortened, so that masking would not find them.
    """
    described = describe(error)
    if described.kind != "ValidationError" or not hasattr(error, "errors"):
        return str(described)
    told = error.errors(include_url=False, include_input=False, include_context=False)
    texts = (": ".join((*filter(None, [_dotted(each["loc"])]), each["msg"])) for each in told)
    return printable(f"{described.kind}: {'; '.join(texts)}")


def _dotted(place: Iterable[Any]) -> str:
    return ".".join(map(str, place))


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
