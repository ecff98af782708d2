"""The command line: errors are one clear line and exit status 2; programs run as before."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.support.inspected import asking, inspected

pytestmark = pytest.mark.timeout(120)

IDLE = """
async def main():
    print("ready")
    await asyncio.Event().wait()
"""


def ferrio(*arguments: str, cwd=None, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ferrio", *arguments]
    environment = os.environ | {"FERRIO_INSPECT": ""} | variables
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=60, check=False)


def fails(result: "subprocess.CompletedProcess[str]") -> str:
    """The one line of an error."""
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


def test_the_only_process_needs_no_number(tmp_path):
    with inspected(tmp_path, IDLE) as program:
        program.until_waiting(**{"Task-1": "event"})
        assert program.command("ps").stdout == program.show("ps")
        assert program.command("list").stdout.split()[0] == str(program.pid)


def test_errors_are_one_line(tmp_path):
    assert "no process is inspected" in fails(ferrio("ps", **asking(tmp_path)))
    if sys.version_info < (3, 14):
        # Later ones are attached to: test_attach.py.
        assert "is not inspected" in fails(ferrio("why", str(os.getpid()), **asking(tmp_path)))
    assert "there is no process" in fails(ferrio("stacks", "4194305", **asking(tmp_path)))
    assert "neither the number" in fails(ferrio("tree", "main", **asking(tmp_path)))
    assert "No such file" in fails(ferrio("ps", str(tmp_path / "none.sock")))
    assert "No such file" in fails(ferrio("watch", str(tmp_path / "none.sock")))
    assert "unrecognized" in fails(ferrio("ps", "--colour"))
    assert "no duration" in fails(ferrio("watch", "-d", "nan"))
    assert r"\x0a\x1b[2J" in fails(ferrio("ps", f"{tmp_path}/\n\x1b[2J"))
    assert "neither the number" in fails(ferrio("ps", "9" * 5000))
    with inspected(tmp_path, IDLE) as program:
        assert "no task 'other'" in fails(program.command("why", program.pid, "other"))


HOSTILE = (
    b"{}",
    b"[]",
    b"\xff",
    b"not JSON",
    b'{"error": "\\u001b[2J\\nand more"}',
    b'{"schema": 3}',
    b'{"schema": 3, "tasks": 7}',
    b'{"schema": 3, "partial": false, "tasks": [{"id": 1}], "primitives": [], "jobs": [], "connections": []}',
    b'{"schema": 3, "metrics": {"a": 3}}',
    b"[" * 100_000,
)


def test_whoever_answers_cannot_do_more_than_make_the_command_fail(tmp_path):
    """Root may ask a process of any user, and any program may listen."""

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.recv(1 << 16)
                peer.sendall(answer)

    listener = socket.create_server(str(tmp_path / "socket"), family=socket.AF_UNIX)
    server = threading.Thread(target=serve)
    server.start()
    try:
        for answer, view in zip(
            HOSTILE, itertools.cycle(("ps", "why", "metrics", "io", "timers", "top")), strict=False
        ):
            assert "\x1b" not in fails(ferrio(view, str(tmp_path / "socket"))), answer
    finally:
        # Closing alone does not end a wait in `accept`.
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
        listener.close()


def test_a_locale_without_the_letters_shows_them_escaped(tmp_path):
    code = """
    async def main():
        task = asyncio.create_task(asyncio.Event().wait(), name="Aufgabe für später")
        print("ready")
        await asyncio.Event().wait()
    """
    with inspected(tmp_path, code) as program:
        program.until_waiting(**{"Task-1": "event"})
        result = program.command("ps", program.pid, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert r"Aufgabe f\xfcr sp\xe4ter" in result.stdout


def test_a_socket_that_a_killed_process_has_left_is_removed(tmp_path):
    with inspected(tmp_path, IDLE) as program:
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
        assert program.socket.exists()
        result = program.command("list")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        assert not program.socket.exists()


def test_a_first_word_that_names_a_view_is_that_view_and_a_path_is_a_script(tmp_path):
    (tmp_path / "ps").write_text("import sys; print('a script', sys.argv)")
    assert ferrio("./ps", "1", cwd=tmp_path).stdout == "a script ['./ps', '1']\n"
    assert ferrio("run", "./ps", "1", cwd=tmp_path).stdout == "a script ['./ps', '1']\n"
    assert "no process" in fails(ferrio("ps", cwd=tmp_path, **asking(tmp_path)))


@pytest.mark.parametrize("variable", ["1", "0", ""])
def test_inspect_makes_a_program_answer(tmp_path, variable):
    tmp_path.chmod(0o700)
    code = (
        "import asyncio, ferrio.inspect as i, json, os; print(os.environ['FERRIO_INSPECT'], os.path.exists(i.start()))"
    )
    result = ferrio("run", "--inspect", "-c", code, XDG_RUNTIME_DIR=str(tmp_path), FERRIO_INSPECT=variable)
    assert (result.stdout, result.stderr) == ("1 True\n", "")
    assert list((tmp_path / "ferrio").iterdir()) == []


def test_a_program_that_asks_for_it_on_the_command_line_does_not_run_without(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "ferrio").mkdir(mode=0o777)
    (tmp_path / "ferrio").chmod(0o777)
    line = fails(ferrio("--inspect", "-c", "print(1)", XDG_RUNTIME_DIR=str(tmp_path), FERRIO_INSPECT="1"))
    assert "mode 0700" in line


def test_a_program_that_imports_ferrio_runs_all_the_same_and_warns(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "ferrio").mkdir(mode=0o777)
    (tmp_path / "ferrio").chmod(0o777)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "FERRIO_INSPECT": "1"}
    command = [sys.executable, "-c", "import ferrio; print('runs')"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "runs\n")
    assert "RuntimeWarning: FERRIO_INSPECT: " in result.stderr


def test_output_that_nobody_reads_to_the_end_is_no_error(tmp_path):
    with inspected(tmp_path, IDLE) as program:
        command = f"{sys.executable} -m ferrio stacks {program.pid} | true"
        environment = program.environment | {"FERRIO_INSPECT": ""}
        result = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
