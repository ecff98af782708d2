"""Views of a process that was never asked to be inspected: inspection is started in it, or one line says why not."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ferrio.inspect import _attach
from ferrio.inspect._target import Failed, Target, examine, state_of
from tests.support.another_user import skip_unless_another_user_can_run_python
from tests.support.uninspected import OLD, STOCK, TWO_LOCKS, WHOLE, fails, shows, threads_of, uninspected

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.version_info < (3, 14), reason=OLD),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

IDLE = """
async def main():
    print("ready")
    await asyncio.Event().wait()
"""


def left_behind(program) -> list[str]:
    """The names of temporary files, the command's and the program's."""
    return sorted(os.listdir(program.environment["TMPDIR"]))


@pytest.mark.parametrize("setup", [WHOLE, STOCK], ids=["ferrio", "asyncio"])
def test_a_deadlocked_loop_is_woken_and_explained_and_detached_from(tmp_path, setup):
    with uninspected(tmp_path, TWO_LOCKS, setup) as program:
        before = threads_of(program)
        result = program.command("why", program.pid)
        if "may not be read" in result.stderr:
            pytest.skip("processes may not be traced here")
        assert "DEADLOCK of 2 tasks" in result.stdout
        assert result.stderr == (
            f"ferrio: process {program.pid} can be asked from now on; `ferrio detach {program.pid}` ends that\n"
        )
        assert left_behind(program) == []
        assert program.socket.exists()
        # From now on as a program that asked for it.
        assert program.show("ps").splitlines()[0].startswith("tid")
        assert program.show("detach") == ""
        assert not program.socket.exists()
        while threads_of(program) > before:
            pass
        assert "is not inspected" in fails(program, "detach", program.pid)


@pytest.mark.parametrize(
    "waits", ["time.sleep(1000)", "select.select([], [], [])", "os.read(os.pipe()[0], 1)", "while True: pass"]
)
def test_a_blocked_loop_is_entered(tmp_path, waits):
    code = f"""
    import select
    async def main():
        asyncio.get_running_loop().call_later(0.01, blocks)
        await asyncio.sleep(1000)

    def blocks():
        print("ready")
        {waits}
    """
    with uninspected(tmp_path, code) as program:
        assert "blocks (" in shows(program, "stacks", "--attach")
        assert program.process.poll() is None


def test_a_main_thread_that_cannot_be_woken_is_left_as_it_was(tmp_path):
    code = """
    import sys, threading
    lock = threading.Lock()

    def releases():
        sys.stdin.readline()
        lock.release()

    async def main():
        threading.Thread(target=releases).start()
        with lock:
            print("ready")
            lock.acquire()
        while len(os.listdir("/proc/self/task")) > 1:
            await asyncio.sleep(0)
        print("goes on")
    """
    with uninspected(tmp_path, code) as program:
        line = fails(program, "why", program.pid)
        if "may not be read" in line:
            pytest.skip("processes may not be traced here")
        assert "waits for a lock" in line
        assert "`ferrio ps`, `tree` and `stacks`" in line
        assert left_behind(program) == []
        assert "main (" in shows(program, "ps")
        # The request is taken back, so that nothing happens later.
        out, error = program.process.communicate("go on\n")
        assert (out, error, program.process.returncode) == ("goes on\n", "", 0)


def test_c_code_that_keeps_the_interpreter_is_said_to(tmp_path):
    code = """
    import re
    async def main():
        print("ready")
        re.match('(a+)+$', 'a' * 40 + 'b')
    """
    with uninspected(tmp_path, code) as program:
        line = fails(program, "why", program.pid)
        assert "is in C code that does not look for requests" in line or "may not be read" in line
        assert left_behind(program) == []
        assert "main (" in shows(program, "ps")


@pytest.mark.parametrize("how", ["environment", "option"])
def test_a_process_that_refuses_is_one_line_and_can_still_be_read(tmp_path, how):
    options = ("-X", "disable-remote-debug") if how == "option" else ()
    variables = {"PYTHON_DISABLE_REMOTE_DEBUG": "1"} if how == "environment" else {}
    with uninspected(tmp_path, IDLE, options=options, **variables) as program:
        line = fails(program, "why", program.pid)
        if "may not be read" in line:
            pytest.skip("processes may not be traced here")
        assert f"process {program.pid} was started with PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug" in line
        assert left_behind(program) == []
        assert "Task-1" in shows(program, "ps")


def test_a_command_that_may_not_debug_says_that_it_is_the_command(tmp_path):
    with uninspected(tmp_path, IDLE) as program:
        line = fails(program, "why", program.pid, PYTHON_DISABLE_REMOTE_DEBUG="1")
        assert "this command was started with PYTHON_DISABLE_REMOTE_DEBUG" in line or "may not be read" in line


def test_a_process_that_has_no_ferrio_is_one_line(tmp_path):
    with uninspected(tmp_path, IDLE, STOCK, options=("-u", "-I", "-S")) as program:
        line = fails(program, "why", program.pid)
        assert "ferrio cannot be imported there: No module named 'ferrio'" in line or "may not be read" in line
        assert left_behind(program) == []
        assert threads_of(program) == 1


def test_inspection_that_cannot_start_there_is_one_line(tmp_path):
    (tmp_path / "ferrio").mkdir(mode=0o777)
    (tmp_path / "ferrio").chmod(0o777)
    with uninspected(tmp_path, IDLE) as program:
        before = threads_of(program)
        line = fails(program, "why", program.pid, XDG_RUNTIME_DIR=str(tmp_path / "t"))
        assert "mode 0700" in line or "may not be read" in line
        while threads_of(program) > before:
            pass


def test_a_stopped_process_is_one_line(tmp_path):
    with uninspected(tmp_path, IDLE) as program:
        program.process.send_signal(signal.SIGSTOP)
        while program.process.poll() is None and state_of(program.pid) != "T":
            pass
        assert "is stopped: let it go on first" in fails(program, "why", program.pid)


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs a mount namespace of its own")
def test_a_process_in_another_mount_namespace_is_one_line(tmp_path):
    code = """
    async def main():
        print("ready")
        await asyncio.Event().wait()
    """
    with uninspected(tmp_path, code, "import os; os.unshare(os.CLONE_NEWNS)") as program:
        assert "sees other files than this command" in fails(program, "why", program.pid)
        assert "Task-1" in shows(program, "ps")


def test_root_attaches_to_another_users_process():
    skip_unless_another_user_can_run_python()
    becomes = "; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    # Not below the directory of the tests, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="ferrio-") as name:
        os.chown(name, 65534, 65534)
        with uninspected(Path(name), IDLE, WHOLE + becomes) as program:
            assert "Task-1" in shows(program, "ps", "--attach")
            assert program.socket.stat().st_uid == 65534
            assert program.show("detach") == ""
            # Those of others may come and go meanwhile.
            made = [found for found in Path("/tmp").glob("ferrio-attach-*") if _owner(found) == 65534]
            assert made == []


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def test_views_that_need_inspection_start_it(tmp_path):
    with uninspected(tmp_path, IDLE) as program:
        assert "task" in shows(program, "metrics")
        trace = tmp_path / "trace.json"
        assert str(trace) in program.show("trace", "-o", trace, "-d", "0.1")
        assert "Task-1" in program.show("top", "--once", "--interval", "0.05")
        assert [line.split()[0] for line in program.command("list").stdout.splitlines()] == [str(program.pid)]


@pytest.mark.parametrize("does", ["pass", "import time; time.sleep(1000)"])
def test_a_process_with_sub_interpreters_is_one_line_and_keeps_running(tmp_path, does):
    code = f"""
    import threading
    from concurrent import interpreters
    other = interpreters.create()

    async def main():
        threading.Thread(target=other.exec, args=({does!r},), daemon=True).start()
        print("ready")
        await asyncio.Event().wait()
    """
    with uninspected(tmp_path, code) as program:
        line = fails(program, "why", program.pid)
        assert "has sub-interpreters" in line or "may not be read" in line
        assert left_behind(program) == []
        assert program.process.poll() is None
        if sys.version_info >= (3, 15):
            assert "only the tasks of the newest one are seen" in shows(program, "ps")


def test_what_the_program_has_begun_is_not_ended(tmp_path):
    code = """
    import ferrio.inspect
    async def main():
        ferrio.inspect.start()
        print("ready")
        await asyncio.Event().wait()
    """
    with uninspected(tmp_path, code) as program:
        assert "the program itself has asked" in fails(program, "detach", program.pid)
        assert program.socket.exists()


def test_a_forked_child_of_an_attached_process_is_its_own(tmp_path):
    code = """
    async def main():
        loop = asyncio.get_running_loop()
        reader = asyncio.Event()
        import sys
        loop.add_reader(sys.stdin, reader.set)
        print("ready")
        await reader.wait()
        loop.remove_reader(sys.stdin)
        child = os.fork()
        if child == 0:
            import ferrio.inspect
            ferrio.inspect.stop()
            os._exit(0)
        print("child", os.waitpid(child, 0)[1])
    """
    with uninspected(tmp_path, code) as program:
        assert "Task-1" in shows(program, "ps", "--attach")
        out, error = program.process.communicate("fork\n")
        assert (out, program.process.returncode) == ("child 0\n", 0), error


def test_the_script_can_be_read_by_the_process_alone(tmp_path, monkeypatch):
    """And is taken back and removed when nobody has run it."""
    seen: list[tuple[str, int, int]] = []
    requests: list[str] = []

    def remote_exec(pid: int, script: str) -> None:
        requests.append(script)
        if script != os.devnull:
            for path in (os.path.dirname(script), script, os.path.join(os.path.dirname(script), "answer.sock")):
                found = os.lstat(path)
                seen.append((path, stat.S_IMODE(found.st_mode), found.st_uid))

    monkeypatch.setattr(_attach, "_remote_exec", remote_exec)
    monkeypatch.setattr(_attach, "_interrupt_wait", lambda pid: None)
    monkeypatch.setattr(_attach, "_PATIENCE", 0.2)
    target = Target(os.getpid(), os.geteuid(), os.getegid(), "3", "program")
    with pytest.raises(Failed, match="cannot be attached to"):
        _attach._run(target, "serve")
    assert [(mode, user == os.geteuid()) for _, mode, user in seen] == [(0o700, True), (0o600, True), (0o600, True)]
    assert requests[-1] == os.devnull
    assert len(requests) == 2
    assert not any(os.path.lexists(path) for path, _, _ in seen)


def test_only_the_process_itself_is_believed(tmp_path, monkeypatch):
    children: list[subprocess.Popen[bytes]] = []

    def remote_exec(pid: int, script: str) -> None:
        if script != os.devnull:
            children.append(subprocess.Popen([sys.executable, script]))

    monkeypatch.setattr(_attach, "_remote_exec", remote_exec)
    monkeypatch.setattr(_attach, "_interrupt_wait", lambda pid: None)
    target = Target(os.getpid(), os.geteuid(), os.getegid(), "3", "program")
    with pytest.raises(Failed, match="cannot be attached to"):
        _attach._run(target, "serve")
    for child in children:
        child.wait()


@pytest.mark.parametrize("named", ["a file", "a link", "nothing", "relative"])
def test_a_socket_that_is_not_the_processs_own_is_not_asked(tmp_path, monkeypatch, named):
    (tmp_path / "a file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        (tmp_path / "a link").symlink_to(tmp_path / "s")
        target = Target(os.getpid(), os.geteuid(), os.getegid(), "3", "program")
        monkeypatch.setattr(_attach, "examine", lambda pid: target)
        path = "s" if named == "relative" else str(tmp_path / named)
        monkeypatch.setattr(_attach, "_run", lambda target, action: {"socket": path})
        monkeypatch.chdir(tmp_path)
        with pytest.raises(Failed, match="not its own"):
            _attach.attach(os.getpid())


def test_a_script_that_nobody_waits_for_does_nothing(tmp_path):
    (tmp_path / "script.py").write_text(_attach._SCRIPT.format(path=str(tmp_path / "answer.sock"), action="serve"))
    code = f"""
    exec(open({str(tmp_path / "script.py")!r}).read(), {{}})
    import os, sys
    while len(os.listdir("/proc/self/task")) > 1: pass
    print("ferrio" in sys.modules)
    """
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(line[4:] for line in code.splitlines())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("False\n", "")


def test_this_process_is_known(tmp_path):
    found = examine(os.getpid())
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert (found.user, found.group) == (os.geteuid(), os.getegid())
