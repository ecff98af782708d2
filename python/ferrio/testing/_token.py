"""Tokens: a schedule as short text.

A token holds what the exploration could do, the choices that differ from the undisturbed run, and a fingerprint of what
happened. For each choice it notes how many alternatives there were and of which kind, so that a program which has
changed is noticed at the first choice that no longer fits.
"""

import base64
import binascii
from dataclasses import dataclass

from ferrio.testing._errors import Drift
from ferrio.testing._freedoms import NAMES

_PREFIX = "f2."
_KINDS = list(NAMES)

# The freedom, the alternative taken and how many there were.
Choice = tuple[str, int, int]


@dataclass(frozen=True)
class Token:
    """What a token says."""

    bits: int
    stall: float
    cancel: tuple[int, int] | None
    deviations: dict[int, Choice]
    outcome: int

    def encode(self) -> str:
        """The text."""
        numbers = [self.bits, round(self.stall * 1e6), *(self.cancel or (0, 0)), len(self.deviations)]
        before = -1
        for index, (kind, taken, alternatives) in sorted(self.deviations.items()):
            numbers += [index - before, _KINDS.index(kind), taken, alternatives]
            before = index
        payload = b"".join(map(_varint, numbers)) + (self.outcome & 0xFFFFFFFF).to_bytes(4, "big")
        return _PREFIX + base64.urlsafe_b64encode(payload).decode().rstrip("=")

    def planned(self) -> list[int]:
        """The alternatives that the run takes, up to the last that matters."""
        end = max(self.deviations, default=-1) + 1
        return [self.deviations[index][1] if index in self.deviations else 0 for index in range(end)]

    def has_outcome(self, outcome: int) -> bool:
        """Whether a run has gone as the one that the token was made of."""
        return self.outcome & 0xFFFFFFFF == outcome & 0xFFFFFFFF

    def check(self, choices: list[Choice]) -> None:
        """Raises Drift at the first choice that a run could not make as planned."""
        for index, (kind, taken, alternatives) in sorted(self.deviations.items()):
            wanted = f"choice {index + 1} takes alternative {taken} of {alternatives} ({kind})"
            if index >= len(choices):
                raise Drift(f"the token does not fit the program: {wanted}, but a run makes {len(choices)} choices")
            if choices[index] != (kind, taken, alternatives):
                found, _, count = choices[index]
                raise Drift(f"the token does not fit the program: {wanted}, where it now offers {count} ({found})")


def is_token(text: str) -> bool:
    """Whether it begins as a token does."""
    return text.startswith(_PREFIX)


def decode(text: str) -> Token:
    """Reads a token; ValueError if it is none."""
    try:
        if not text.startswith(_PREFIX):
            raise ValueError
        body = text[len(_PREFIX) :]
        payload = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        numbers = _varints(payload[:-4])
        bits, stall, task, step, count = (next(numbers) for _ in range(5))
        deviations: dict[int, Choice] = {}
        index = -1
        for _ in range(count):
            gap, kind, taken, alternatives = (next(numbers) for _ in range(4))
            index += gap
            deviations[index] = (_KINDS[kind], taken, alternatives)
    except (ValueError, IndexError, StopIteration, RuntimeError, binascii.Error):
        raise ValueError(f"{text!r} is not a token of ferrio.testing") from None
    cancel = (task, step) if step else None
    return Token(bits, stall / 1e6, cancel, deviations, int.from_bytes(payload[-4:], "big"))


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _varints(payload: bytes):  # type: ignore[no-untyped-def]
    number = shift = 0
    for byte in payload:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield number
            number = shift = 0
