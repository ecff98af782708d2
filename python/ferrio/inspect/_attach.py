"""Starts inspection in a process that was never asked for it, by `sys.remote_exec` of Python 3.14.

The process's main thread is asked to run a script of a few lines. That connects to a Unix socket of this process, and
says there whether inspection has started. Script and socket are in a directory made for this, which only the process's
user can enter, and are removed whatever happens; the request is taken back if nobody has taken it up.

The main thread looks for requests between instructions, and when a wait is interrupted. So it is interrupted, without a
signal: see `ferrio_sys::interruption`. A wait for a `threading.Lock` cannot be ended so.
"""

import contextlib
import json
import os
import select
import socket
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ferrio._ferrio import _interrupt_wait
from ferrio.inspect._outside import has_other_interpreters
from ferrio.inspect._target import (
    Failed,
    Target,
    check_is_same_system,
    examine,
    is_alive,
    not_permitted,
    state_of,
    time_without_processor,
)

# In seconds: for the script to begin, without and with being woken, and for inspection to start once it has.
_UNHURRIED = 0.1
_PATIENCE = 2.0
_STARTING = 60.0

# The longest time, in seconds, that is taken for a lack of processors.
_LONGEST_DELAY = 10.0

_LONGEST_ANSWER = 1 << 16

# The name of a socket has at most 107 bytes.
_LONGEST_FOLDER = 64

# Nothing to run: what replaces a request that was not taken up.
_NOTHING = "/dev/null"

# There since 3.14: no other process is a target.
_remote_exec: Any = getattr(sys, "remote_exec", None)
_is_enabled: Any = getattr(sys, "is_remote_debug_enabled", None)

_SCRIPT = """\
def attend():
    try:
        import sys
        link = None
        import socket
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(5)
        try:
            link.connect({path!r})
        except OSError:
            return
        try:
            from ferrio.inspect import _attached
        except ImportError as error:
            import json
            text = f"ferrio cannot be imported there: {{error}}"
            link.sendall(json.dumps({{"error": text}}).encode() + b"\\n")
            return
        _attached.{action}(link)
    except BaseException as error:
        try:
            link.sendall(b'{{"error": "' + type(error).__name__.encode() + b'"}}\\n')
        except BaseException:
            pass
    finally:
        if link is not None:
            link.close()

def begin():
    try:
        import _thread
        _thread.start_new_thread(attend, ())
    except BaseException:
        pass

begin()
"""


def attach(pid: int) -> Path:
    """Starts inspection in the process, and gives the path of its socket. `Failed` says why that is not possible."""
    target = examine(pid)
    path = Path(str(_run(target, "serve").get("socket")))
    _check_belongs(target, path)
    note = f"ferrio: process {pid} can be asked from now on; `ferrio detach {pid}` ends that"
    print(note, file=sys.stderr, flush=True)
    return path


def _check_belongs(target: Target, path: Path) -> None:
    """The process says where its socket is: not another program's, to which this user's requests would go."""
    try:
        found = os.lstat(path)
        if path.is_absolute() and stat.S_ISSOCK(found.st_mode) and found.st_uid == target.user:
            return
    except (OSError, ValueError):
        pass
    raise Failed(f"process {target.pid} names a socket that is not its own")


def detach(pid: int) -> None:
    """Ends what `attach` has begun."""
    _run(examine(pid), "end")


def _run(target: Target, action: str) -> dict[str, Any]:
    """What the process answers when its main thread has begun `action`."""
    check_is_same_system(target)
    if state_of(target.pid) in "Tt":
        raise Failed(f"process {target.pid} is stopped: let it go on first, by `kill -CONT {target.pid}`")
    with _private_directory(target) as (directory, descriptor), _listener(target, directory) as listener:
        script = os.path.join(directory, "script.py")
        _write_script(target, script, _SCRIPT.format(path=listener.getsockname(), action=action))
        # Last: until then the process's user cannot put anything in the place of what is made here.
        _give(target, descriptor)
        _request(target, script)
        try:
            link = _answered(target, listener)
        finally:
            # Whether it was taken up or not. If it is taken up in this moment, nobody listens and nothing begins.
            listener.close()
            _take_back(target)
        with link:
            return _conversation(target, link)


@contextlib.contextmanager
def _private_directory(target: Target) -> Iterator[tuple[str, int]]:
    """A directory of this user's alone, and its descriptor."""
    folder = tempfile.gettempdir()
    if target.user != os.geteuid() or len(os.fsencode(folder)) > _LONGEST_FOLDER:
        folder = "/tmp"
    try:
        directory = tempfile.mkdtemp(prefix="ferrio-attach-", dir=folder)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise Failed(f"cannot make a directory for the script: {error.strerror or error}") from None
    try:
        yield directory, descriptor
    finally:
        # By the descriptor: the process's user could have put another directory in its place.
        for name in ("script.py", "answer.sock"):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def _give(target: Target, file: int) -> None:
    if os.geteuid() != target.user:
        os.fchown(file, target.user, target.group)


@contextlib.contextmanager
def _listener(target: Target, directory: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = os.path.join(directory, "answer.sock")
        try:
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(path)
            os.chmod(path, 0o600)
            if os.geteuid() != target.user:
                os.chown(path, target.user, target.group, follow_symlinks=False)
            listener.listen(8)
        except OSError as error:
            raise Failed(f"{path}: {error.strerror or error}") from None
        yield listener


def _write_script(target: Target, path: str, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            _give(target, descriptor)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from None


def _request(target: Target, script: str) -> None:
    """Asks the main thread to run the script."""
    pid = target.pid
    try:
        _remote_exec(pid, script)
    except PermissionError:
        raise Failed(not_permitted(pid)) from None
    except ProcessLookupError:
        raise Failed(f"process {pid} has ended") from None
    except (RuntimeError, OSError) as error:
        if not is_alive(pid):
            raise Failed(f"process {pid} has ended") from None
        if "not enabled" in str(error):
            where = f"process {pid}" if _is_enabled() else "this command"
            raise Failed(
                f"{where} was started with PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug, so that nothing "
                "can be run in a process from outside; `ferrio ps`, `tree` and `stacks` can read it"
            ) from None
        if "main thread" in str(error):
            raise Failed(_not_with_others(pid)) from None
        raise Failed(f"process {pid} cannot be attached to: {error}") from None


def _not_with_others(pid: int) -> str:
    return (
        f"process {pid} has sub-interpreters: only the newest could be entered, and ferrio works in the main one only"
    )


def _take_back(target: Target) -> None:
    """Takes back a request that was not taken up. Does nothing more than that if it was."""
    with contextlib.suppress(RuntimeError, OSError):
        _remote_exec(target.pid, _NOTHING)
    # It may have read the name of the script by now, and not yet the script.
    time.sleep(0.02)


def _answered(target: Target, listener: socket.socket) -> socket.socket:
    """The connection of the script, once it runs."""
    began, delayed = time.monotonic(), time_without_processor(target.pid)
    reason = ""
    wait = _UNHURRIED
    # Time in which the threads wait for a processor does not count: the machine may be busy.
    while (left := began + _PATIENCE + _delay_since(target, delayed) - time.monotonic()) > 0:
        if select.select((listener,), (), (), min(wait, left))[0]:
            link = listener.accept()[0]
            if _is_from(target, link):
                return link
            link.close()
            continue
        wait = min(3 * wait, 0.5)
        if not is_alive(target.pid):
            raise Failed(f"process {target.pid} has ended")
        if state_of(target.pid) != "R":
            reason = _woken(target)
    raise Failed(_why_it_does_not_begin(target, reason))


def _delay_since(target: Target, before: float) -> float:
    return min(max(time_without_processor(target.pid) - before, 0.0), _LONGEST_DELAY)


def _woken(target: Target) -> str:
    """Interrupts what the main thread waits for; returns why that was not possible."""
    try:
        _interrupt_wait(target.pid)
    except OSError as error:
        return f" ({error.strerror or error})"
    return ""


def _settled_state(pid: int) -> str:
    """What the main thread does: one that was interrupted runs for a moment, on a busy machine for longer."""
    for _ in range(50):
        if (state := state_of(pid)) != "R":
            break
        time.sleep(0.01)
    return state


def _why_it_does_not_begin(target: Target, reason: str) -> str:
    if has_other_interpreters(target):
        return _not_with_others(target.pid)
    doing = {
        "R": "is in C code that does not look for requests",
        "S": "waits for a lock, or in C code, which cannot be interrupted",
        "D": "waits for a disk",
        "T": "is stopped",
        "t": "is stopped by a debugger",
    }.get(_settled_state(target.pid), "does not look for requests")
    return (
        f"process {target.pid} cannot be attached to within {_PATIENCE:.0f} s: its main thread {doing}{reason}; "
        "`ferrio ps`, `tree` and `stacks` read it from outside"
    )


def _is_from(target: Target, link: socket.socket) -> bool:
    """Whether the process itself is at the other end."""
    size = struct.calcsize("3i")
    pid, user, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(pid == target.pid and user == target.user)


def _conversation(target: Target, link: socket.socket) -> dict[str, Any]:
    deadline = time.monotonic() + _STARTING
    received = b""
    try:
        while not received.endswith(b"\n") and len(received) < _LONGEST_ANSWER:
            link.settimeout(max(deadline - time.monotonic(), 0.001))
            part = link.recv(4096)
            if not part:
                break
            received += part
        answer = json.loads(received)
        if not isinstance(answer, dict):
            raise ValueError
        if "error" not in answer:
            link.sendall(b"taken\n")
    except TimeoutError:
        raise Failed(f"process {target.pid} takes too long to start inspection") from None
    except (OSError, ValueError):
        ended = "" if is_alive(target.pid) else ": it has ended"
        raise Failed(f"process {target.pid} did not start inspection{ended}") from None
    if "error" in answer:
        raise Failed(f"process {target.pid} cannot be inspected: {_one_line(answer['error'])}")
    return answer


def _one_line(text: object) -> str:
    return "".join(each if each.isprintable() else " " for each in str(text))[:500]
