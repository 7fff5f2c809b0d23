"""Dates: stand-ins for `datetime` and `date`, whose now is that of a simulated process.

Both are classes of C, whose methods can't be replaced. A stand-in makes objects of the real class,
and `isinstance` can't tell it from that: it differs only where it is asked for the time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeAlias

Now: TypeAlias = Callable[[], float]
"""Returns what the wall clock shows, in seconds since 1970."""


class _AsReal(type):
    """Class of a stand-in; its base is the real class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__bases__[0])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__bases__[0])


def stand_ins(now: Now) -> dict[type, type]:
    """Return the stand-in for each class of dates."""

    class AnyDate(date, metaclass=_AsReal):
        def __new__(cls, *arguments: Any, **settings: Any) -> Any:
            return date.__new__(date, *arguments, **settings)

        @classmethod
        def today(cls) -> Any:
            return date.fromtimestamp(now())

    class AnyDatetime(datetime, metaclass=_AsReal):
        def __new__(cls, *arguments: Any, **settings: Any) -> Any:
            return datetime.__new__(datetime, *arguments, **settings)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return datetime.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.fromtimestamp(now(), UTC).replace(tzinfo=None)

    stand_ins: Final[dict[type, type]] = {date: AnyDate, datetime: AnyDatetime}
    for real, each in stand_ins.items():
        each.__name__ = each.__qualname__ = real.__name__
        each.__module__ = real.__module__
    return stand_ins
