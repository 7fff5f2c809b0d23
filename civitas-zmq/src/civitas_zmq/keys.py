"""CURVE keys as text: 32 bytes in Z85, which has 40 characters (ZeroMQ RFC 32)."""

from __future__ import annotations

from typing import Final

KEY_LENGTH: Final = 40

_ALPHABET: Final = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_DIGIT: Final = {character: value for value, character in enumerate(_ALPHABET)}


def check_key(key: str) -> str:
    """Return the key if it is one. No message repeats it: it may be a secret.

    Raises:
        ValueError: it is no key.
    """
    if len(key) != KEY_LENGTH:
        raise ValueError(
            f"a key has {KEY_LENGTH} characters, not {len(key)}; `civitas-zmq keygen` makes a pair"
        )
    decode(key)
    return key


def decode(key: str) -> bytes:
    """Return the bytes that a key's text stands for.

    Raises:
        ValueError: the text is not Z85.
    """
    decoded = bytearray()
    for start in range(0, len(key), 5):
        number = 0
        for character in key[start : start + 5]:
            if character not in _DIGIT:
                raise ValueError("a key has a character that is not of Z85; is it quoted in YAML?")
            number = number * len(_ALPHABET) + _DIGIT[character]
        if number >> 32:
            raise ValueError("a key is not Z85: five of its characters stand for too large a value")
        decoded += number.to_bytes(4, "big")
    return bytes(decoded)
