"""`datetime.now` and `today` in virtual time.

Programs take the class by name (`from datetime import datetime`), so a replacement of the module's attribute would
reach few of them, and the class is one of C's, whose attributes cannot be set. So its dictionary is changed, for as
long as the simulation lasts.
"""

import ctypes
import datetime
import gc
import time
from collections.abc import Callable
from typing import Any


class _Attributes:
    """The attributes of a class in C, as they are in its dictionary."""

    def __init__(self, owner: type) -> None:
        self.__dict__["owner"] = owner

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["owner"].__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        owner = self.__dict__["owner"]
        (dictionary,) = gc.get_referents(owner.__dict__)
        dictionary[name] = value
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


def calendar(is_inside: Callable[[], bool]) -> list[tuple[Any, str, Any]]:
    """Replacements of `datetime.now`, `datetime.utcnow` and `date.today`, which asks `time.time` only before 3.15."""
    attributes, of_dates = _Attributes(datetime.datetime), _Attributes(datetime.date)
    real_now, real_utcnow, real_today = attributes.now, attributes.utcnow, of_dates.today

    def now(cls: Any, tz: Any = None) -> Any:
        return cls.fromtimestamp(time.time(), tz) if is_inside() else real_now.__get__(None, cls)(tz)

    def utcnow(cls: Any) -> Any:
        if not is_inside():
            return real_utcnow.__get__(None, cls)()
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    def today(cls: Any) -> Any:
        return cls.fromtimestamp(time.time()) if is_inside() else real_today.__get__(None, cls)()

    return [
        (attributes, "now", classmethod(now)),
        (attributes, "utcnow", classmethod(utcnow)),
        (of_dates, "today", classmethod(today)),
    ]
