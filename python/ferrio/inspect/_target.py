"""What a process is that was never asked to be inspected: its user, its Python, and whether it can be reached.

What is read here is in `/proc`, and in the files of the program. Nothing is read of the process's memory.
"""

import contextlib
import os
import re
import sys
from typing import NamedTuple

from ferrio._ferrio import _program_section

# The first Python that can be read and entered from outside.
FIRST = (3, 14)

HOW_TO_START = "start it with `ferrio run --inspect` or FERRIO_INSPECT=1, or let it call ferrio.inspect.start()"

# The beginning of the section that each Python has had since 3.13: these letters, and its version as a number.
_SECTION = b".PyRuntime"
_COOKIE = b"xdebugpy"

# Files of Pythons that have no such section are recognised by their names.
_NAMES = re.compile(r"(?:^|/)(?:lib)?python(3\.[0-9]+)(?:[^/]*)$|\.cpython-(3)([0-9]+)-[^/]*\.so$")


class Failed(Exception):
    """One line that says why there is no answer."""


class Target(NamedTuple):
    """A process that can be read, and entered."""

    pid: int
    user: int
    group: int
    # Such as "3.15.2".
    python: str
    program: str


def examine(pid: int) -> Target:
    """The process, if it has a Python like this one; `Failed` says why not."""
    if not os.path.isdir("/proc/self"):
        raise Failed(f"process {pid} is not inspected: {HOW_TO_START}")
    try:
        fields = _status(pid)
        if fields["State"][0] in "ZX":
            raise Failed(f"process {pid} has ended")
        if int(fields["Tgid"]) != pid:
            raise Failed(f"{pid} is a thread of process {fields['Tgid']}")
        user, group = int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])
        if os.geteuid() not in (0, user):
            raise Failed(f"process {pid} belongs to another user: ask as user {user} or as root")
        version = _version_of(pid)
    except (FileNotFoundError, ProcessLookupError):
        # The kernel's own threads have no program.
        text = f"process {pid} is not a Python program" if is_alive(pid) else f"there is no process {pid}"
        raise Failed(text) from None
    except PermissionError:
        raise Failed(not_permitted(pid)) from None
    _check_version(pid, version)
    return Target(pid, user, group, ".".join(map(str, version)), _program(pid))


def not_permitted(pid: int) -> str:
    """What to say if the system does not let the process be read."""
    return (
        f"process {pid} may not be read from outside: run this as root or as its user, with the permission to trace "
        "(SYS_PTRACE in a container, /proc/sys/kernel/yama/ptrace_scope 0); or else "
        f"{HOW_TO_START}"
    )


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    try:
        return _status(pid)["State"][0] not in "ZX"
    except (OSError, KeyError):
        return False


def state_of(pid: int) -> str:
    """The state of its main thread, a letter of proc(5); "X" if it has ended."""
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", "rb") as file:
            return chr(file.read().rpartition(b") ")[2][0])
    except (OSError, IndexError):
        return "X"


def time_without_processor(pid: int) -> float:
    """For how many seconds its threads and this one could have run, but had no processor; 0 if that is not known."""
    nanoseconds = 0
    with contextlib.suppress(OSError):
        for file in (f"/proc/{pid}/task/{number}/schedstat" for number in os.listdir(f"/proc/{pid}/task")):
            nanoseconds += _waited(file)
    return (nanoseconds + _waited("/proc/self/schedstat")) / 1e9


def _waited(file: str) -> int:
    try:
        with open(file) as opened:
            return int(opened.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def check_is_same_system(target: Target) -> None:
    """Raises `Failed` if files have other names for the process."""
    try:
        other = os.readlink(f"/proc/{target.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        other = other or not os.path.samefile(f"/proc/{target.pid}/root", "/")
    except (FileNotFoundError, ProcessLookupError):
        raise Failed(f"there is no process {target.pid}") from None
    except PermissionError:
        raise Failed(not_permitted(target.pid)) from None
    if other:
        raise Failed(
            f"process {target.pid} sees other files than this command (another mount namespace, as in a container): "
            f"run ferrio there, such as by `nsenter -t {target.pid} -m -p`, or {HOW_TO_START}"
        )


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        pairs = (line.split(":", 1) for line in file if ":" in line)
        return {name: value.strip() for name, value in pairs}


def _check_version(pid: int, version: tuple[int, ...]) -> None:
    own = sys.version_info
    name = ".".join(map(str, version[:2]))
    if not version:
        raise Failed(f"process {pid} is not a Python program")
    if version[:2] < FIRST:
        raise Failed(
            f"process {pid} is not inspected: {HOW_TO_START} (it runs Python {name}; from 3.14 on, processes can be "
            "looked into that were started without)"
        )
    if version[:2] != own[:2]:
        raise Failed(
            f"process {pid} runs Python {name}, and this command {own[0]}.{own[1]}: run it by `python{name} -m ferrio`"
        )


def _version_of(pid: int) -> tuple[int, ...]:
    """The version of the process's Python, in two or three numbers; none if it has no Python."""
    named: tuple[int, ...] = ()
    program, *libraries = _files(pid)
    for file in (program, *libraries):
        found = _NAMES.search(file)
        if found is None and file is not program:
            continue
        if found is not None:
            named = named or (3, int((found[1] or f"3.{found[3]}").split(".")[1]))
        version = _declared(f"/proc/{pid}/exe" if file is program else f"/proc/{pid}/root{file}")
        if version is not None:
            _check_is_here(pid, file)
            return version
    return named


def _files(pid: int) -> list[str]:
    """The program, and the libraries that the process has loaded."""
    program = os.readlink(f"/proc/{pid}/exe")
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        mapped = {parts[5].rstrip("\n") for line in file if len(parts := line.split(maxsplit=5)) == 6}
    return [program, *sorted(name for name in mapped if name.startswith("/") and name != program)]


def _declared(file: str) -> tuple[int, ...] | None:
    """The version of the Python that is in this file."""
    try:
        section = _program_section(file, _SECTION)
    except OSError:
        return None
    if section is None or not section.startswith(_COOKIE) or len(section) < 16:
        return None
    number = int.from_bytes(section[8:16], sys.byteorder)
    return number >> 24, number >> 16 & 255, number >> 8 & 255


def _check_is_here(pid: int, file: str) -> None:
    """The readers look the places of things up in this file."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samefile(file, f"/proc/{pid}/root{file}"):
            return
    raise Failed(
        f"process {pid} has its Python in a file that is not here ({file}): it runs in a container, where ferrio "
        "has to run too, or its Python was replaced since it began"
    )


def _program(pid: int) -> str:
    """What `sys.argv[0]` is, as far as the command line tells."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")[1:-1]
    except OSError:
        return ""
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "-":
        word = words[place]
        if word[1:2] == "-":
            place += 1
            continue
        for index, letter in enumerate(word[1:], 1):
            if letter == "c":
                return "-c"
            if letter == "m":
                return word[index + 1 :] or (words[place + 1] if place + 1 < len(words) else "")
            if letter in "XW":
                # What follows belongs to it, in this word or as the next one.
                place += index == len(word) - 1
                break
        place += 1
    return words[place] if place < len(words) else ""
