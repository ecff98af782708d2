"""Where the sockets of inspected processes are, and how they get there.

They are in `$XDG_RUNTIME_DIR/ferrio`, or in `ferrio-UID` among the temporary files: a directory of mode 0700 that
belongs to the user, which is checked, so that no other user can read a request or answer it. Each process has a socket
named by its number, of mode 0600; users that the program allows to ask may connect, too. What a killed process leaves
is removed by whoever comes across it next.
"""

import os
import re
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_NAME = re.compile(r"([0-9]+)(?:-[0-9]+)?\.sock")


class Unsafe(Exception):
    """A directory that others could write to."""


def own_directory() -> Path:
    """The directory of this user's sockets, which need not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime, "ferrio")
    return Path(tempfile.gettempdir(), f"ferrio-{os.geteuid()}")


def make_own_directory() -> Path:
    """The directory, made if there was none.

    Raises `Unsafe` if it is not this user's alone, and `OSError` if it cannot be made.
    """
    directory = own_directory()
    directory.mkdir(mode=0o700, exist_ok=True)
    check_is_private(directory)
    return directory


def check_is_private(directory: Path) -> None:
    """Raises `Unsafe` if the directory is not this user's alone."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Unsafe(f"{directory} is not a directory of this user's alone (it must have mode 0700)")


def listen(path: str | None, allowed: Sequence[int]) -> tuple[socket.socket, str]:
    """A listening socket at `path`, or at the place that this process's number gives; and that place.

    The users `allowed` may connect, besides this one.
    """
    if path is not None:
        absolute = os.path.abspath(path)
        return _bound(path, allowed), absolute
    directory = make_own_directory()
    # The number may be in use: by a process of another container that shares the directory.
    for name in (f"{os.getpid()}.sock", *(f"{os.getpid()}-{extra}.sock" for extra in range(1, 100))):
        try:
            path = str(directory / name)
            return _bound(path, allowed), path
        except FileExistsError:
            continue
    raise FileExistsError(f"all names for process {os.getpid()} in {directory} are in use")


def _bound(path: str, allowed: Sequence[int]) -> socket.socket:
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode) or is_served(path):
            raise FileExistsError(f"{path} exists")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    is_ours = False
    try:
        # The file gets the mode that the descriptor has: there is no moment at which others could connect.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        is_ours = True
        os.chmod(path, 0o600)
        if allowed:
            _let_connect(path, allowed)
        listener.listen(16)
    except BaseException:
        listener.close()
        if is_ours:
            os.unlink(path)
        raise
    return listener


def _let_connect(path: str, allowed: Sequence[int]) -> None:
    """Lets these users connect; where the file system has no access lists, everybody: who asks is checked anyway."""
    read_and_write, nobody = 6, 0xFFFFFFFF
    owner, user, group, mask, others = 1, 2, 4, 16, 32
    entries = [
        (owner, read_and_write, nobody),
        *((user, read_and_write, each) for each in sorted(set(allowed))),
        (group, 0, nobody),
        (mask, read_and_write, nobody),
        (others, 0, nobody),
    ]
    access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", access)
    except (AttributeError, OSError):
        os.chmod(path, 0o666)


def is_served(path: str) -> bool:
    """Whether a process listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def sockets() -> Iterator[tuple[int, Path]]:
    """The process numbers and sockets that this user may find; for root, those of all users."""
    directories = {own_directory(), Path(tempfile.gettempdir(), f"ferrio-{os.geteuid()}")}
    if os.geteuid() == 0:
        directories |= set(Path(tempfile.gettempdir()).glob("ferrio-*"))
        directories |= set(Path("/run/user").glob("*/ferrio"))
    for directory in sorted(directories):
        try:
            names = sorted(os.listdir(directory))
            owner = os.lstat(directory)
        except OSError:
            continue
        if not stat.S_ISDIR(owner.st_mode) or owner.st_mode & 0o077:
            continue
        for name in names:
            if (found := _NAME.fullmatch(name)) is not None:
                yield int(found[1]), directory / name
