"""Forks, the interpreter's exit, and other edges of a process that is inspected."""

import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

import ferrio.inspect
from ferrio.inspect import _lint_watch, _recording, _serve, _watching
from tests.support.inspected import inspected
from tests.support.subinterpreters import PRELUDE

pytestmark = pytest.mark.timeout(120)


def run(code: str, directory, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program with warnings as errors, and gives it a directory for sockets."""
    directory.chmod(0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory)} | variables
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def prints(code: str, directory, **variables: str) -> str:
    result = run(code, directory, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_before_start_there_is_no_thread_and_no_socket_and_after_stop_neither(tmp_path):
    code = """
    import asyncio, os, ferrio.inspect
    def threads():
        return len(os.listdir("/proc/self/task"))
    before = threads()
    ferrio.inspect.snapshot()
    assert threads() == before
    path = ferrio.inspect.start()
    assert ferrio.inspect.start() == path and threads() == before + 4 and os.path.exists(path)
    ferrio.inspect.stop()
    ferrio.inspect.stop()
    print(threads() == before, os.path.exists(path))
    """
    assert prints(code, tmp_path) == "True False\n"


def test_a_forked_child_has_a_socket_of_its_own_and_the_parent_keeps_its(tmp_path):
    code = """
    import os, time

    async def main():
        asyncio.current_task().set_name("parent")
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            asyncio.run(own())
            os._exit(0)
        print("ready")
        await asyncio.Event().wait()

    async def own():
        asyncio.current_task().set_name("child")
        await asyncio.Event().wait()
    """
    with inspected(tmp_path, code, options=("-W", "error::DeprecationWarning")) as program:
        program.until_waiting(parent="event")
        numbers = {int(line.split()[0]) for line in program.command("list").stdout.splitlines()}
        while len(numbers) < 2:
            numbers = {int(line.split()[0]) for line in program.command("list").stdout.splitlines()}
        (child,) = numbers - {program.pid}
        try:
            assert "parent" in program.show("ps")
            while " child " not in (text := program.command("ps", child).stdout):
                pass
            assert re.search(r"\bchild\b.*\bevent\b", text)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_fork_warns_of_no_threads(tmp_path):
    code = """
    import os, ferrio.inspect
    ferrio.inspect.start()
    if (child := os.fork()) == 0:
        ferrio.inspect.stop()
        os._exit(0)
    print(os.waitpid(child, 0)[1], os.path.exists(ferrio.inspect.start()))
    """
    assert prints(code, tmp_path) == "0 True\n"


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "import os; os._exit(0)"], ids=["end", "exit", "_exit"])
def test_a_process_that_ends_while_it_is_asked_ends(tmp_path, end):
    code = f"""
    import asyncio, ferrio.inspect, socket, threading

    path = ferrio.inspect.start()

    def ask():
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(path)
                    connection.sendall(b'{{"view": "snapshot"}}\\n')
                    connection.recv(100)
            except OSError:
                pass

    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(100)) for _ in range(1000)]
        await asyncio.sleep(0)
        for _ in range(4):
            threading.Thread(target=ask, daemon=True).start()
        await asyncio.sleep(0.05)
        print("ends")
        {end}

    asyncio.run(main())
    """
    assert prints(code.replace('print("ends")', 'print("ends", flush=True)'), tmp_path) == "ends\n"


def test_a_socket_at_a_path_of_the_programs_choice(tmp_path):
    code = f"""
    import ferrio.inspect, os, stat
    path = ferrio.inspect.start({str(tmp_path / "own.sock")!r})
    print(os.path.basename(path), oct(stat.S_IMODE(os.stat(path).st_mode)))
    """
    assert prints(code, tmp_path) == "own.sock 0o600\n"


def test_a_path_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("kept")
    code = f"""
    import ferrio.inspect
    try:
        ferrio.inspect.start({str(tmp_path / "file")!r})
    except FileExistsError:
        print("exists")
    """
    assert prints(code, tmp_path) == "exists\n"
    assert (tmp_path / "file").read_text() == "kept"


def test_a_directory_that_others_may_write_to_is_refused(tmp_path):
    (tmp_path / "ferrio").mkdir()
    (tmp_path / "ferrio").chmod(0o770)
    assert "mode 0700" in run("import ferrio.inspect as i; i.start()", tmp_path).stderr


def test_a_directory_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "ferrio").symlink_to(tmp_path / "elsewhere")
    assert "mode 0700" in run("import ferrio.inspect as i; i.start()", tmp_path).stderr


def test_recording_may_begin_any_number_of_times(tmp_path):
    """More often than there are numbers by which tasks know their recording."""
    code = """
    import asyncio, ferrio.inspect
    from ferrio.inspect import _recording
    ferrio.install()

    async def child():
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.get_running_loop().create_future()

    async def main():
        old = asyncio.create_task(child(), name="old")
        for number in range(600):
            _recording.begin(16)
            if number in (0, 253, 254, 255, 599):
                task = asyncio.create_task(child(), name="child")
                for _ in range(10):
                    await asyncio.sleep(0)
                (found,) = [each["times"]["polls"] for each in ferrio.inspect.tasks() if each["name"] == "child"]
                print(number, found)
                task.cancel()
                await asyncio.wait([task])
            _recording.end()
        old.cancel()

    asyncio.run(main())
    """
    assert prints(code, tmp_path) == "".join(f"{number} 6\n" for number in (0, 253, 254, 255, 599))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="they hang in threads on 3.11, under asyncio too")
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_sub_interpreter_cannot_start_it_and_the_main_ones_goes_on(tmp_path, kind):
    inner = """
import threading
try:
    import ferrio.inspect
    ferrio.inspect.start()
except ImportError as error:
    print("main interpreter only" in str(error), flush=True)
if {runs}:
    import asyncio
    async def waits():
        await asyncio.sleep(0.01)
    async def main():
        await asyncio.gather(*(waits() for _ in range(50)))
    asyncio.run(main())
"""
    # On 3.12 one with a lock of its own that has run asyncio ends the process, whether ferrio is there or not.
    runs = (sys.version_info[:2], kind) != ((3, 12), "isolated")
    code = f"""
    {PRELUDE.strip().replace(chr(10), chr(10) + "    ")}

    import asyncio, json, socket, threading, ferrio.inspect
    ferrio.install()
    path = ferrio.inspect.start()

    def ask():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(b'{{"view": "snapshot"}}\\n')
            return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))

    async def main():
        kept = asyncio.create_task(asyncio.Event().wait(), name="kept")
        other = asyncio.create_task(asyncio.to_thread(run, {inner.format(runs=runs)!r}, {kind!r}))
        looked = 0
        while not other.done() or not looked:
            found = await asyncio.to_thread(ask)
            # While the other interpreter has the lock that they share, there may be no more than a partial answer.
            if not found["partial"]:
                names = [task["name"] for task in found["tasks"]]
                assert names.count("kept") == 1 and len(names) < 10, names
                # The stack of a thread that is not the one that looks.
                (loop,) = found["loops"]
                assert "<module>" in [frame["function"] for frame in loop["stack"]], loop
                looked += 1
        await other
        kept.cancel()

    asyncio.run(main())
    ferrio.inspect.stop()
    print("stopped")
    """
    assert prints(code, tmp_path) == "True\nstopped\n"


@pytest.mark.parametrize("watches", [False, True])
def test_start_that_fails_leaves_on_what_was_on_and_nothing_else(tmp_path, monkeypatch, watches):
    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_lint_watch, "begin", refuse)
    if watches:
        _serve.watch(1000)
    try:
        with pytest.raises(RuntimeError, match="can't start"):
            ferrio.inspect.start(tmp_path / "socket", lints=True)
        assert (_serve.is_on(), _recording.is_on(), _watching.is_on()) == (False, False, watches)
        assert not (tmp_path / "socket").exists()
    finally:
        ferrio.inspect.stop()
