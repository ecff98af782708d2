"""TLS of a recorded program: what its sessions give is noted, or given.

The keys of a connection are random, so a session cannot be run again with the bytes of the recorded one. What is
recorded is therefore what the program can tell of a session: the result of each of its calls, what it has decrypted,
and how many bytes it took from the one buffer and put into the other. A session that repeats that moves as many bytes,
which mean nothing, and decrypts what is recorded; whoever uses memory BIOs, the loop's transports or the program, sees
no difference.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from ferrio._ferrio import Recording, _recording_here
from ferrio.testing._calls import (
    decode,
    encode,
    encode_error,
    fill,
    filled,
    next_call,
    size_of,
    with_data,
    without_data,
)

# Attributes that are known without a handshake, or are the program's own.
_OWN = ("context", "owner", "server_side", "server_hostname", "session")

# In an entry of a call in whose middle `sni_callback` is called: the name that the client has asked for.
_ASKED = "asked"

# How many bytes one call puts into a buffer at most, besides what it was given.
_MOST = 1 << 24


def wrap_bio(real: Callable[..., Any]) -> Callable[..., Any]:
    """`SSLContext.wrap_bio`, for sessions whose calls are recorded."""

    def wrap_bio(self: Any, incoming: Any, outgoing: Any, *arguments: Any, **keywords: Any) -> Any:
        made = real(self, incoming, outgoing, *arguments, **keywords)
        recording = _recording_here()
        if recording is None or not hasattr(made, "_sslobj"):
            return made
        # The name that a client asks for is looked at by the context that a session begins with.
        asked = self if made.server_side else None
        made._sslobj = _Session(recording, made._sslobj, incoming, outgoing, asked)
        return made

    wrap_bio.__doc__ = real.__doc__
    return wrap_bio


class _Session:
    """What an `SSLObject` is made of."""

    __slots__ = ("_asked", "_incoming", "_outgoing", "_real", "_recording")

    _recording: Recording

    def __init__(self, recording: Recording, real: Any, incoming: Any, outgoing: Any, asked: Any) -> None:
        for name, value in zip(self.__slots__, (asked, incoming, outgoing, real, recording), strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if name in _OWN:
            return value
        if not callable(value):
            return self._call(name, lambda: getattr(self._real, name))

        def method(*arguments: Any) -> Any:
            return self._call(name, value, *arguments)

        return method

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        recording = self._recording
        here = _recording_here()
        if here is None or here is not recording:
            # It is no longer recorded, or another thread calls.
            return function(*arguments)
        shown = _described(name, arguments)
        return self._give(shown, arguments) if recording.repeats else self._note(shown, function, arguments)

    def _note(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        received, made = self._incoming.pending, self._outgoing.pending
        entry: dict[str, Any] = {}
        data = b""
        try:
            with self._noting_asked_names(name):
                result = function(*arguments)
            rest, data = without_data(result)
            if name == "TLS read" and len(arguments) > 1:
                data = filled(arguments[1], result)
            entry["result"] = encode(rest)
        except BaseException as error:
            entry["error"] = encode_error(error)
            raise
        finally:
            entry["took"], entry["made"] = received - self._incoming.pending, self._outgoing.pending - made
            self._recording.note_call(name, json.dumps(entry), data)
        return result

    def _give(self, name: str, arguments: tuple[Any, ...]) -> Any:
        entry, data = next_call(self._recording, name)
        while _ASKED in entry:
            self._ask_for(entry[_ASKED])
            entry, data = next_call(self._recording, name)
        took, made = int(entry.get("took", 0)), int(entry.get("made", 0))
        offered = sum(size_of(each) for each in arguments)
        if took > 0:
            self._incoming.read(took)
        if 0 < made <= _MOST + 2 * offered:
            self._outgoing.write(bytes(made))
        result = decode(entry)
        if name == "TLS read" and len(arguments) > 1:
            fill(arguments[1], data)
            return result
        return with_data(result, data)

    @contextlib.contextmanager
    def _noting_asked_names(self, name: str) -> Iterator[None]:
        """Notes that `sni_callback` is called in the middle of a call, and with which name, before what it does."""
        context = self._asked
        callback = None if context is None else context.sni_callback
        if callback is None:
            yield
            return

        def note(connection: Any, asked: Any, *rest: Any) -> Any:
            if connection is self._real.owner:
                self._recording.note_call(name, json.dumps({_ASKED: asked}), b"")
            return callback(connection, asked, *rest)

        context.sni_callback = note
        try:
            yield
        finally:
            if context.sni_callback is note:
                context.sni_callback = callback

    def _ask_for(self, name: Any) -> None:
        """Calls `sni_callback`, as OpenSSL does. What the handshake made of its answer is recorded."""
        context = self._asked
        callback = None if context is None else context.sni_callback
        if callback is not None:
            self._recording.call_ignored(callback, self._real.owner, name if isinstance(name, str) else None, context)


def _described(name: str, arguments: tuple[Any, ...]) -> str:
    """A call in words, with what the program decides."""
    if name == "read":
        return "TLS read"
    if name == "write":
        return f"TLS write of {size_of(arguments[0])} bytes"
    shown = ", ".join(repr(each) for each in arguments if isinstance(each, int | str | None))
    return f"TLS {name}({shown})"
