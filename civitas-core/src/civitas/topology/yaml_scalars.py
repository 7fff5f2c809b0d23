"""What a text means that stands without quotes: a number, true or false, nothing, or itself.

The rules are those of YAML 1.1, as PyYAML has them, less what turns a text into another value
without a word: a time is text (YAML 1.1 reads 12:30 as 750, base 60), and so is a number with a
leading zero (017 as 15, base 8). More than YAML 1.1, a number is what JSON takes for one (1e3), and
0o17 is a number of base 8.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml

YES_AND_NO: Final = {
    spelling(word): value
    for value, words in ((True, ("yes", "on")), (False, ("no", "off")))
    for word in words
    for spelling in (str.lower, str.title, str.upper)
}
"""Words that are true or false as values, and themselves as keys."""
_WORDS: Final[dict[str, Any]] = {
    **YES_AND_NO,
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_WHOLE: Final = r"(?:0|[1-9][0-9_]*)"
_DECIMAL: Final = re.compile(rf"[-+]?{_WHOLE}")
_BASED: Final = re.compile(r"[-+]?0(?:b[01_]*[01]|o[0-7_]*[0-7]|x[0-9a-fA-F_]*[0-9a-fA-F])_*")
_FLOAT: Final = re.compile(
    rf"[-+]?(?:{_WHOLE}\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    rf"|[-+]?{_WHOLE}[eE][-+]?[0-9]+"
)
_NUMBERS_BEGIN: Final = "-+.0123456789"
_NO_NUMBER: Final = re.compile(r"([-+]?\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)")
_AROUND: Final = " \t\r\n"
"""White space that text without quotes neither begins nor ends with in a file."""
_TAGS_OF_TEXT: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "value", "merge", "timestamp")
)


def read_plain(text: str) -> Any:
    """Return the value of a text without quotes, as if it had been typed into a file.

    Raises:
        ValueError: it is a number that Python can't read, such as one of 5,000 digits.
    """
    text = text.strip(_AROUND)
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBERS_BEGIN:  # most texts: four patterns need not be tried
        return text
    digits = text.replace("_", "")
    if _DECIMAL.fullmatch(text):
        return _whole(digits)
    if _BASED.fullmatch(text):
        return int(digits, 0)
    if _FLOAT.fullmatch(text):
        number = float(digits)
        if math.isinf(number):
            raise ValueError("the number is too large; what is meant as text stands in quotes")
        return number
    if _NO_NUMBER.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def read_tagged(tag: str, text: str) -> Any:
    """Return the value of a text with a tag before it, such as `!!int 5`.

    Raises:
        ValueError: the tag is unknown, or the text has no meaning of that kind.
    """
    if tag in _TAGS_OF_TEXT:
        return text
    try:
        return yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, text))
    except yaml.YAMLError as error:
        raise ValueError(meaningless(tag)) from error
    except (ValueError, LookupError) as error:
        raise ValueError(f"the YAML tag {tag!r} stands before something else") from error


def meaningless(tag: str) -> str:
    """Say that a tag is none that a topology may have."""
    return f"the YAML tag {tag!r} has no meaning here"


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise ValueError("the number has more digits than can be read") from error
