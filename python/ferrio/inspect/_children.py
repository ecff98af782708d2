"""Child processes, as records: what their transports know, and the system.

Since when a child runs is in `/proc`, as is its state. Nothing is asked of a child that has ended: its number may
belong to another process.
"""

import contextlib
import os
import time
from typing import Any

from ferrio.inspect._model_io import Child
from ferrio.inspect._objects import attribute, identifier, type_name

_STATES = {"R": "running", "S": "sleeping", "D": "sleeping", "I": "sleeping", "T": "stopped", "t": "stopped"}
_STATES |= {"Z": "ended", "X": "ended"}


def described(transport: Any) -> Child:
    """A child's record."""
    owner, protocol = attribute(transport, "_loop"), attribute(transport, "_protocol")
    pid, returncode = attribute(transport, "_pid"), attribute(transport, "_returncode")
    code = returncode if type(returncode) is int else None
    state, age, command = (None, None, None)
    if type(pid) is int and code is None:
        state, age, command = _of_system(pid)
    return Child(
        id=identifier(transport),
        loop=identifier(owner),
        pid=pid if type(pid) is int else None,
        program=_program(attribute(attribute(transport, "_proc"), "args")) or command,
        state="ended" if code is not None else state,  # type: ignore[typeddict-item]
        returncode=code,
        age=age,
        protocol=None if protocol is None else type_name(protocol),
    )


def _program(arguments: Any) -> str | None:
    """The last part of the program's name. A command for the shell is one text, with the arguments: it is not shown."""
    first = arguments[0] if type(arguments) in (list, tuple) and arguments else None
    if first is None or type(first) not in (str, bytes):
        return None
    name = os.fsdecode(first).encode(errors="replace").decode()
    return os.path.basename(name) or None


def _of_system(pid: int) -> tuple[str | None, float | None, str | None]:
    """The state, the age in seconds and the name, as the system knows them."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name is in parentheses, and may contain some.
        head, _, rest = file.read(4096).rpartition(b")")
        fields = rest.split()
        if int(fields[1]) != os.getpid():
            return None, None, None
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
        name = head.partition(b"(")[2].decode(errors="replace")
        return _STATES.get(fields[0].decode()), age, name
    return None, None, None
