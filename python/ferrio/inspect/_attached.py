"""What `ferrio why PID` and others run in a process that was never asked to be inspected: it starts inspection.

It runs in a thread of its own, which ends at once. If the command that asked for it does not take the answer, whatever
was begun ends.
"""

import json
import socket
from typing import Any

from ferrio.inspect import _serve

# Whether inspection was begun from outside.
_began = False


def serve(link: socket.socket) -> None:
    """Starts inspection, and says where the socket is."""
    global _began
    is_new = not _serve.is_on()
    try:
        answer: dict[str, Any] = {"socket": _serve.start()}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    else:
        if is_new:
            _began = True
    if not _tell(link, answer) and is_new and "error" not in answer:
        _end()


def end(link: socket.socket) -> None:
    """Ends what `serve` has begun."""
    if not _serve.is_on():
        _tell(link, {"error": "it is not inspected"})
    elif not _began:
        _tell(link, {"error": "the program itself has asked for inspection, which only it can end"})
    else:
        _end()
        _tell(link, {"ended": True})


def _end() -> None:
    global _began
    _began = False
    _serve.stop()


def _tell(link: socket.socket, answer: dict[str, Any]) -> bool:
    """Whether the answer was taken."""
    try:
        link.sendall(json.dumps(answer).encode() + b"\n")
        return link.recv(16) == b"taken\n"
    except OSError:
        return False
