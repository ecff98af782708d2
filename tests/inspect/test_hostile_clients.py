"""Clients that send rubbish, too much, too little or nothing harm neither the program nor those that come after."""

import json
import os
import socket
import stat
import tempfile

import pytest

import ferrio.inspect
from tests.support.inspected import Inspected, inspected

pytestmark = pytest.mark.timeout(120)

COUNTING = """
async def main():
    print("ready")
    asyncio.current_task().set_name("0")
    while True:
        await asyncio.sleep(0.001)
        asyncio.current_task().set_name(str(int(asyncio.current_task().get_name()) + 1))
"""


def connected(program: Inspected) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(os.fspath(program.socket))
    return connection


def exchange(program: Inspected, request: bytes) -> bytes:
    with connected(program) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        parts: list[bytes] = []
        while True:
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                return b""
            if not part:
                return b"".join(parts)
            parts.append(part)


def goes_on(program: Inspected) -> bool:
    """Whether the program still counts, and answers."""
    before = int(program.snapshot()["tasks"][0]["name"])
    program.until(lambda seen: int(seen["tasks"][0]["name"]) > before)
    return True


@pytest.mark.parametrize(
    "request_",
    [
        b"\n",
        b"{}\n",
        b"rubbish\n",
        b'{"view": 5}\n',
        b'{"view": "quit"}\n',
        b"\xff\x00\n",
        b"[" * 50_000 + b"\n",
        b'"\n',
    ],
    ids=["empty", "no view", "rubbish", "number", "unknown", "binary", "deep", "half"],
)
def test_a_request_that_is_not_understood_gets_an_error(tmp_path, request_):
    with inspected(tmp_path, COUNTING) as program:
        answer = json.loads(exchange(program, request_))
        assert set(answer) == {"error"}
        assert goes_on(program)


def test_a_request_without_end_is_cut_off(tmp_path):
    with inspected(tmp_path, COUNTING) as program:
        assert exchange(program, b"x" * (1 << 20)) == b""
        assert goes_on(program)


def test_clients_that_send_nothing_do_not_keep_others_out(tmp_path):
    with inspected(tmp_path, COUNTING) as program:
        silent = [connected(program) for _ in range(40)]
        assert goes_on(program)  # once those that are too slow have been dropped
        for connection in silent:
            connection.close()


def test_a_client_that_does_not_read_is_dropped(tmp_path):
    code = """
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(1000), name="x" * 1000) for _ in range(2000)]
        asyncio.current_task().set_name("0")
        print("ready")
        while True:
            await asyncio.sleep(0.001)
            asyncio.current_task().set_name(str(int(asyncio.current_task().get_name()) + 1))
    """
    with inspected(tmp_path, code) as program:
        with connected(program) as connection:
            connection.sendall(b'{"view": "snapshot"}\n')
            assert exchange(program, b'"hello"\n')
            # It does not read before the program has closed the connection: what comes then is not complete.
            while connection.recv(1, socket.MSG_PEEK):
                if len(exchange(program, b'{"view": "snapshot"}\n')) > 1 << 20 and _is_closed(connection):
                    break
        assert len(program.snapshot()["tasks"]) == 2001


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed it, although bytes wait to be read."""
    import select

    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(100))


def test_a_client_that_goes_away_before_the_answer_does_no_harm(tmp_path):
    with inspected(tmp_path, COUNTING) as program:
        for _ in range(50):
            with connected(program) as connection:
                connection.sendall(b'{"view": "snapshot"}\n')
        assert goes_on(program)


def test_the_socket_and_its_directory_are_the_users_alone(tmp_path):
    with inspected(tmp_path, COUNTING) as program:
        assert stat.S_IMODE(program.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(program.directory.stat().st_mode) == 0o700


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # those of pytest-xdist
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_gets_no_answer(tmp_path):
    with inspected(tmp_path, COUNTING) as program:
        path = os.fspath(program.socket)
        # The file system lets it connect here; the peer's user does not.
        os.chmod(path, 0o666)
        for directory in (program.directory, *program.directory.parents):
            if stat.S_IMODE(directory.stat().st_mode) & 0o001 == 0:
                os.chmod(directory, stat.S_IMODE(directory.stat().st_mode) | 0o011)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setuid(65534)
                status = 0 if exchange(program, b'"hello"\n') == b"" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert exchange(program, b'"hello"\n')


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # those of pytest-xdist
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_user_that_is_allowed_may_ask_and_no_other_one(tmp_path):
    allowed, other = 65534, 65533
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = f"{directory}/app.sock"
        start = f"import ferrio.inspect\nferrio.inspect.start({path!r}, allow_uid=[{allowed}])\n"
        with inspected(tmp_path, start + COUNTING, path="") as program:
            for user in (allowed, other):
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        os.setgroups([])
                        os.setuid(user)
                        status = 0 if bool(_answer(path)) == (user == allowed) else 2
                    finally:
                        os._exit(status)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, user
            assert program.process.poll() is None


def _answer(path: str) -> bytes:
    """What a process answers; nothing if it cannot be asked."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(path)
            peer.sendall(b'"hello"\n')
            return peer.recv(100)
    except OSError:
        return b""


@pytest.mark.parametrize("users", [[-1], [1 << 32], ["root"]])
def test_what_is_no_user_is_refused(users, tmp_path):
    with pytest.raises(ValueError, match="numbers of users"):
        ferrio.inspect.start(tmp_path / "socket", allow_uid=users)
    assert not (tmp_path / "socket").exists()


def test_an_answer_that_takes_long_is_waited_for_while_it_is_being_made(tmp_path):
    """On a busy machine a step of a snapshot may take seconds; it is not C code of the program that keeps the lock."""
    code = """
    import time
    from ferrio.inspect import _serve

    def slow():
        until = time.thread_time() + 1.6
        while time.thread_time() < until:
            pass
        return {}

    _serve.metrics = slow

    async def main():
        print("ready")
        await asyncio.Event().wait()
    """
    with inspected(tmp_path, code) as program:
        assert json.loads(exchange(program, b'{"view": "metrics"}\n'))["metrics"] == {}
