"""The values that every numeric parameter is given: limits of number types, and values that are not numbers."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction


class Thing:
    """An object without any conversion to a number."""

    def __repr__(self) -> str:
        return "Thing()"


class Indexed:
    """An integer only by `__index__`, as numpy's are."""

    def __index__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return "Indexed()"


class Floated:
    """A number only by `__float__`."""

    def __float__(self) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "Floated()"


class Both(Indexed, Floated):
    """A number by both."""


class Refusing:
    """An object whose conversions raise their own error."""

    def __index__(self) -> int:
        raise LookupError("no index")

    def __float__(self) -> float:
        raise LookupError("no float")

    def __lt__(self, other: object) -> bool:
        raise LookupError("no order")

    __le__ = __gt__ = __ge__ = __lt__

    def __repr__(self) -> str:
        return "Refusing()"


class Contrary(int):
    """An int that says the contrary when it is compared."""

    def __lt__(self, other: int) -> bool:
        return not int.__lt__(self, other)

    def __le__(self, other: int) -> bool:
        return not int.__le__(self, other)

    def __gt__(self, other: int) -> bool:
        return not int.__gt__(self, other)

    def __ge__(self, other: int) -> bool:
        return not int.__ge__(self, other)

    __hash__ = int.__hash__


class OwnFloat(float):
    """A float of a class of its own."""


VALUES: dict[str, Callable[[], object]] = {
    "True": lambda: True,
    "False": lambda: False,
    "-1": lambda: -1,
    "0": lambda: 0,
    "1": lambda: 1,
    "2": lambda: 2,
    "-0.0": lambda: -0.0,
    "1.0": lambda: 1.0,
    "1.5": lambda: 1.5,
    "-0.5": lambda: -0.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "-2**31-1": lambda: -(2**31) - 1,
    "-2**63": lambda: -(2**63),
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "Decimal(1.5)": lambda: Decimal("1.5"),
    "Decimal(2)": lambda: Decimal(2),
    "Decimal(-1)": lambda: Decimal(-1),
    "Decimal(NaN)": lambda: Decimal("NaN"),
    "Fraction(3,2)": lambda: Fraction(3, 2),
    "Fraction(-1,2)": lambda: Fraction(-1, 2),
    "Indexed": Indexed,
    "Floated": Floated,
    "Both": Both,
    "Refusing": Refusing,
    "Contrary(3)": lambda: Contrary(3),
    "Contrary(-3)": lambda: Contrary(-3),
    "OwnFloat(1.5)": lambda: OwnFloat(1.5),
    "str": lambda: "1",
    "bytes": lambda: b"1",
    "None": lambda: None,
    "object": Thing,
    "complex": lambda: 1j,
    "list": lambda: [1],
}
