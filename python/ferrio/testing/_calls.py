"""Calls of a recorded program that leave it by functions of Python: what they give is noted, or given.

The loop's own system calls are recorded where they are made. What Python asks the system for is here: TLS, whose keys
are random (`_tls.py`), child processes (`_children.py`), datagrams of the program's own sockets, and random bytes. In a
loop that is recorded, a call is made and what it gives is noted; in one that repeats a recording, nothing is asked, and
what is noted is given.
"""

import base64
import binascii
import builtins
import json
import os
import random
import subprocess
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Recording, _recording_here

ssl: Any
try:
    import ssl
except ImportError:
    # An interpreter that was built without OpenSSL.
    ssl = None

# Whose exceptions are given again as what they were.
_MODULES = {"builtins": builtins, "ssl": ssl, "subprocess": subprocess}

# What an exception has besides its arguments, as far as programs look at it.
_ATTRIBUTES = ("filename", "reason", "library", "verify_code", "verify_message")

# How many loops have a recording, and what was replaced since there is one.
_recorded = 0
_replaced: list[tuple[Any, str, Any, Any]] = []


class LeftError(RuntimeError):
    """The program has left the recording, which its loop is going to say."""

    def __init__(self) -> None:
        super().__init__("the program has left the recording that it repeats")


def watch(is_on: bool) -> None:
    """A loop has a recording from now on, or has none any more."""
    global _recorded
    _recorded += 1 if is_on else -1
    if is_on and _recorded == 1:
        urandom = _urandom(os.urandom)
        replacements = [(os, "urandom", urandom), (random, "_urandom", urandom)]
        if ssl is not None:
            from ferrio.testing._tls import wrap_bio

            replacements.append((ssl.SSLContext, "wrap_bio", wrap_bio(ssl.SSLContext.wrap_bio)))
        for owner, name, new in replacements:
            _replaced.append((owner, name, new, getattr(owner, name)))
            setattr(owner, name, new)
    elif _recorded == 0:
        while _replaced:
            owner, name, new, old = _replaced.pop()
            if owner.__dict__.get(name) is new:
                setattr(owner, name, old)


def call(recording: Recording, name: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Calls the function, or gives what it gave; bytes that come from outside are the result, or its first part."""
    if recording.repeats:
        entry, data = next_call(recording, name)
        return with_data(decode(entry), data)
    try:
        result = function(*arguments, **keywords)
    except BaseException as error:
        recording.note_call(name, json.dumps({"error": encode_error(error)}), b"")
        raise
    rest, data = without_data(result)
    recording.note_call(name, json.dumps({"result": encode(rest)}), data)
    return result


def call_into(recording: Recording, name: str, function: Callable[..., Any], buffer: Any, *arguments: Any) -> Any:
    """The same for a function that fills a buffer, and gives how far, or that and something else."""
    if recording.repeats:
        entry, data = next_call(recording, name)
        result = decode(entry)
        fill(buffer, data)
        return result
    try:
        result = function(buffer, *arguments)
    except BaseException as error:
        recording.note_call(name, json.dumps({"error": encode_error(error)}), b"")
        raise
    count = result[0] if isinstance(result, tuple) else result
    recording.note_call(name, json.dumps({"result": encode(result)}), filled(buffer, count))
    return result


def receive_from(sock: Any, size: Any) -> Any:
    """`sock.recvfrom(size)`."""
    recording = _recording_here()
    return sock.recvfrom(size) if recording is None else call(recording, "recvfrom", sock.recvfrom, size)


def receive_from_into(sock: Any, buffer: Any, size: Any) -> Any:
    """`sock.recvfrom_into(buffer, size)`."""
    recording = _recording_here()
    if recording is None:
        return sock.recvfrom_into(buffer, size)
    return call_into(recording, "recvfrom_into", sock.recvfrom_into, buffer, size)


def send_to(sock: Any, data: Any, address: Any) -> Any:
    """`sock.sendto(data, address)`."""
    recording = _recording_here()
    if recording is None:
        return sock.sendto(data, address)
    return call(recording, f"sendto with {size_of(data)} bytes", sock.sendto, data, address)


def _urandom(real: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def urandom(size: int, /) -> bytes:
        recording = _recording_here()
        if recording is None or not recording.keeps_bytes:
            return real(size)
        if recording.repeats:
            known = recording.next_random(size) if size > 0 else None
            return real(size) if known is None else known
        made = real(size)
        recording.note_random(made)
        return made

    return urandom


def next_call(recording: Recording, name: str) -> tuple[dict[str, Any], bytes]:
    """What the call that comes next has given; raises if the program calls something else."""
    found = recording.next_call(name)
    if found is None:
        raise LeftError
    entry = json.loads(found[0])
    if not isinstance(entry, dict):
        raise ValueError("the recording is damaged")
    return entry, found[1]


def decode(entry: dict[str, Any]) -> Any:
    """The result; raises the error that there was instead."""
    if "error" in entry:
        raise decode_error(entry["error"])
    return decoded(entry.get("result"))


def filled(buffer: Any, count: int) -> bytes:
    """The first bytes of a buffer; none if it is of a kind that is not known, as a program goes on all the same."""
    try:
        return memoryview(buffer).cast("B")[:count].tobytes()
    except (TypeError, ValueError):
        return b""


def size_of(data: Any) -> int:
    """How many bytes there are; 0 for what has none, which is refused by what gets it."""
    try:
        return memoryview(data).nbytes
    except TypeError:
        return 0


def fill(buffer: Any, data: bytes) -> None:
    """Puts bytes at the beginning of a buffer."""
    view = memoryview(buffer).cast("B")
    if len(data) > len(view):
        raise ValueError("the recording is damaged: a buffer is too small for what is recorded")
    view[: len(data)] = data


def without_data(result: Any) -> tuple[Any, bytes]:
    """A result without its bytes, and those."""
    if isinstance(result, bytes):
        return {"data"}, result
    if isinstance(result, tuple) and result and isinstance(result[0], bytes):
        return ({"data"}, *result[1:]), result[0]
    return result, b""


def with_data(rest: Any, data: bytes) -> Any:
    """The result."""
    if isinstance(rest, set):
        return data
    if isinstance(rest, tuple) and rest and isinstance(rest[0], set):
        return (data, *rest[1:])
    return rest


def encode(value: Any) -> Any:
    """What JSON can write of a value."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"tuple": [encode(each) for each in value]}
    if isinstance(value, set):
        return {"data": True}
    if isinstance(value, list):
        return [encode(each) for each in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(each)] for key, each in value.items()]}
    if hasattr(value, "public_bytes"):
        return {"certificate": base64.b64encode(value.public_bytes(_DER)).decode()}
    return {"unknown": type(value).__qualname__}


def decoded(value: Any) -> Any:
    """The value again."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind: Any
    inside: Any
    kind, inside = next(iter(value.items()), ("", None))
    match kind:
        case "bytes":
            return _from_text(inside)
        case "tuple":
            return tuple(decoded(each) for each in inside)
        case "data":
            return {"data"}
        case "dict":
            return {decoded(key): decoded(each) for key, each in inside}
        case "certificate":
            return Certificate(_from_text(inside))
    raise ValueError(f"the recording does not have a {inside}")


def encode_error(error: BaseException) -> dict[str, Any]:
    """What JSON can write of an exception."""
    kind = type(error)
    arguments = [each if isinstance(each, bool | int | float | str | None) else repr(each) for each in error.args]
    if kind.__module__ not in _MODULES:
        return {"module": "builtins", "name": "RuntimeError", "args": [f"{kind.__qualname__}: {error}"], "also": {}}
    also = {name: getattr(error, name) for name in _ATTRIBUTES if isinstance(getattr(error, name, None), int | str)}
    return {"module": kind.__module__, "name": kind.__qualname__, "args": arguments, "also": also}


def decode_error(entry: Any) -> BaseException:
    """The exception again."""
    kind = getattr(_MODULES[entry["module"]], entry["name"], None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        raise ValueError("the recording is damaged: it has an exception that is none")
    error = kind(*entry["args"])
    for name, value in entry["also"].items():
        if name in _ATTRIBUTES:
            setattr(error, name, value)
    return error


class Certificate:
    """A certificate that the recorded connection had."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def public_bytes(self, format: int | None = None) -> bytes | str:
        """It in the format of the standard library's own."""
        if format == _DER:
            return self._content
        text: str = ssl.DER_cert_to_PEM_cert(self._content)
        return text


def _from_text(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("the recording is damaged") from None


def _der() -> int:
    try:
        import _ssl
    except ImportError:
        return 2
    return int(getattr(_ssl, "ENCODING_DER", 2))


_DER = _der()
