"""Unix stream sockets: connections, servers, and the files they leave behind. The peers are raw sockets."""

import asyncio
import contextlib
import gc
import os
import pathlib
import shutil
import socket
import ssl
import struct
import sys
import warnings

import pytest

import ferrio
from tests.differential import assert_same, outcome, outcome_of
from tests.peers import Recorder, read_all, turns, until

NEW = sys.version_info >= (3, 13)
KINDS_OF_PATH = ["text", "bytes", "path", "abstract"]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Names are short, whatever the temporary directory is called."""
    monkeypatch.chdir(tmp_path)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@contextlib.contextmanager
def listening(path="socket"):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield listener


@contextlib.asynccontextmanager
async def serving(path="socket", factory=Echo, **keywords):
    server = await asyncio.get_running_loop().create_unix_server(factory, path, **keywords)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


def ask(path, question=b"question"):
    """What a blocking client gets back; for use in another thread."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(question)
        return client.recv(100)


# -- connections -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["socket", b"socket", pathlib.Path("socket"), f"\0ferrio-unix-{os.getpid()}"], ids=KINDS_OF_PATH
)
def test_a_connection_reaches_any_kind_of_path(loop, path):
    async def main():
        with listening(os.fspath(path)) as listener:
            transport, protocol = await loop.create_unix_connection(Recorder, path)
            peer, _ = listener.accept()
            peer.setblocking(False)
            with peer:
                transport.write(b"to the peer")
                transport.write_eof()
                assert await read_all(peer) == b"to the peer"
                peer.sendall(b"from the peer")
            assert await protocol.lost is None
            assert protocol.data == b"from the peer"
            assert protocol.trace == ["made", "data", "eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_addresses_are_shown_as_the_socket_module_shows_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        for path in ("socket", b"bytes", b"\xff", "\0ferrio-shown"):
            with listening(path) as listener:
                transport, _ = await loop.create_unix_connection(Recorder, path)
                trace.extend(transport.get_extra_info(name) for name in ("peername", "sockname"))
                trace.append(transport.get_extra_info("socket").family)
                listener.accept()[0].close()
                transport.abort()
                await turns(3)
            if path[0] not in (0, "\0"):
                os.unlink(path)

    assert_same(scenario)


def test_credentials_of_the_peer_are_found_through_the_socket(loop):
    async def main():
        with listening() as listener:
            transport, protocol = await loop.create_unix_connection(Recorder, "socket")
            size = struct.calcsize("3i")
            found = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            assert struct.unpack("3i", found) == (os.getpid(), os.getuid(), os.getgid())
            listener.accept()[0].close()
            await protocol.lost

    loop.run_until_complete(main())


def test_a_socket_of_the_users_own_is_used(loop):
    async def main():
        left, right = socket.socketpair()
        with right:
            transport, protocol = await loop.create_unix_connection(Recorder, sock=left)
            assert left.gettimeout() == 0
            right.sendall(b"x")
            await until(lambda: protocol.data)
        await protocol.lost
        assert transport.is_closing()
        assert left.fileno() == -1

    loop.run_until_complete(main())


def test_much_data_goes_through_both_ways(loop):
    data = os.urandom(3_000_000)

    async def main():
        async with serving():
            transport, protocol = await loop.create_unix_connection(Recorder, "socket")
            transport.write(data)
            await until(lambda: len(protocol.data) == len(data), 20)
            assert protocol.data == data
            assert "pause" in protocol.trace
            transport.close()
            await protocol.lost

    loop.run_until_complete(main())


def test_a_peer_that_dies_with_unread_data_resets_the_connection():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink("socket")
        with listening() as listener:
            transport, protocol = await loop.create_unix_connection(lambda: Recorder(trace), "socket")
            peer, _ = listener.accept()
            transport.write(b"never read")
            peer.close()
            trace.append(type(await protocol.lost).__name__)

    trace = assert_same(scenario)
    assert trace[-1] == "ConnectionResetError"


@pytest.mark.parametrize("path", ["missing/below", "file", ".", "file/below", "x" * 200, "", "with\0zero", 5])
def test_paths_that_lead_nowhere_raise_what_they_raise_in_asyncio(path):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        trace.append(await outcome_of(loop.create_unix_connection(Recorder, path)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # stock leaves some sockets to the collector
            trace.append(await outcome_of(loop.create_unix_server(Recorder, path)))
            gc.collect()

    pathlib.Path("file").touch()
    trace = assert_same(scenario)
    assert [event[0] for event in trace if event[0] != "log"] == ["raised", "raised"]
    assert pathlib.Path("file").exists()


def test_nobody_listening_is_a_refusal(loop):
    async def main():
        with listening():
            pass
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, "socket")

    loop.run_until_complete(main())


def test_a_cancelled_connection_closes_its_socket(loop):
    async def main():
        with listening() as listener:
            task = loop.create_task(loop.create_unix_connection(Recorder, "socket"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await turns(5)
            peer, _ = listener.accept()
            peer.setblocking(False)
            with peer:
                assert await read_all(peer) == b""

    loop.run_until_complete(main())


def test_wrong_arguments_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        left, right = socket.socketpair()
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        internet = socket.socket()
        with left, right, datagrams, internet:
            for keywords in (
                {},
                {"path": "socket", "sock": left},
                {"sock": datagrams},
                {"sock": internet},
                {"path": "socket", "ssl": True},
                {"path": "socket", "server_hostname": "name"},
                {"path": "socket", "server_hostname": 5},
                {"path": "socket", "ssl_handshake_timeout": 1},
                {"path": "socket", "ssl_shutdown_timeout": 1},
                {"path": "socket", "sock": left, "ssl": context, "server_hostname": ""},
                {"sock": datagrams, "ssl": context, "server_hostname": "x"},
            ):
                trace.append((list(keywords), await outcome_of(loop.create_unix_connection(Recorder, **keywords))))
            for keywords in (
                {},
                {"path": "socket", "sock": left},
                {"sock": datagrams},
                {"sock": internet},
                {"path": "socket", "ssl": True},
                {"path": "socket", "ssl": False},
                {"path": "socket", "ssl_handshake_timeout": 1},
                {"path": "socket", "ssl_shutdown_timeout": 1},
                {"path": "socket", "sock": left, "ssl": context},
            ):
                trace.append((list(keywords), await outcome_of(loop.create_unix_server(Recorder, **keywords))))

    trace = assert_same(scenario)
    assert {answer[0] for _, answer in trace} == {"raised"}


# -- servers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["socket", b"socket", pathlib.Path("socket"), f"\0ferrio-server-{os.getpid()}"], ids=KINDS_OF_PATH
)
def test_a_server_answers_at_any_kind_of_path(loop, path):
    async def main():
        async with serving(path) as server:
            address = server.sockets[0].getsockname()
            for _ in range(3):
                assert await asyncio.to_thread(ask, address) == b"question"

    loop.run_until_complete(main())


def test_an_accepted_connection_shows_what_asyncio_shows():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.set_result(self)

        with contextlib.suppress(FileNotFoundError):
            os.unlink("client")
        async with serving(factory=Accepted):
            with socket.socket(socket.AF_UNIX) as named:
                named.bind("client")
                named.connect("socket")
                protocol = await accepted
                trace.extend(protocol.transport.get_extra_info(name) for name in ("peername", "sockname"))
            await protocol.lost
            accepted = loop.create_future()
            with socket.socket(socket.AF_UNIX) as nameless:
                nameless.connect("socket")
                protocol = await accepted
                trace.extend(protocol.transport.get_extra_info(name) for name in ("peername", "sockname"))
            await protocol.lost

    assert assert_same(scenario) == ["client", "socket", "", "socket"]


def test_many_connections_at_once_are_served(loop):
    async def main():
        async with serving(backlog=200):
            protocols = []
            for _ in range(200):
                transport, protocol = await loop.create_unix_connection(Recorder, "socket")
                transport.write(b"x")
                protocols.append(protocol)
            await until(lambda: all(protocol.data == b"x" for protocol in protocols))
            for protocol in protocols:
                protocol.transport.close()
                await protocol.lost

    loop.run_until_complete(main())


def test_a_stale_socket_is_replaced_and_other_files_are_not():
    async def scenario(trace):
        for name in ("stale", "empty", "directory"):
            with contextlib.suppress(OSError):
                os.unlink("stale")
            with listening("stale"):
                pass
            loop = asyncio.get_running_loop()
            answer = await outcome_of(loop.create_unix_server(Echo, name))
            if answer[0] == "returned":
                answer[1].close()
                answer = "served"
            trace.append((name, answer))

    pathlib.Path("empty").touch()
    pathlib.Path("directory").mkdir()
    trace = assert_same(scenario)
    assert trace[0] == ("stale", "served")
    assert [answer[:2] for _, answer in trace[1:]] == [("raised", "OSError")] * 2
    assert "is already in use" in trace[1][1][2]


def test_a_server_that_lives_is_replaced_in_the_file_system(loop):
    """asyncio takes any socket for a stale one."""

    async def main():
        async with serving() as old, serving():
            assert await asyncio.to_thread(ask, "socket") == b"question"
            old.close()
            assert os.path.exists("socket"), "the file is the new server's"
            assert await asyncio.to_thread(ask, "socket") == b"question"
        assert os.path.exists("socket") is not NEW

    loop.run_until_complete(main())


def test_the_file_goes_when_the_server_closes_unless_told_otherwise():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        if NEW:
            async with serving("kept", cleanup_socket=False):
                pass
            trace.append(os.path.exists("kept"))
            with socket.socket(socket.AF_UNIX) as mine:
                mine.bind(b"mine")
                server = await loop.create_unix_server(Echo, sock=mine, start_serving=False)
                trace.append((server.is_serving(), os.path.exists("mine")))
                server.close()
                server.close()
                trace.append(os.path.exists("mine"))
        else:
            trace.append(outcome(loop.create_unix_server, Echo, "socket", cleanup_socket=True))
        async with serving():
            trace.append(os.path.exists("socket"))
        trace.append(os.path.exists("socket"))
        async with serving():
            os.unlink("socket")
        async with serving():
            os.rename("socket", "elsewhere")
            pathlib.Path("socket").touch()
        trace.append((os.path.exists("elsewhere"), os.path.exists("socket")))
        os.unlink("socket")
        os.mkdir("below")
        async with serving("below/socket"):
            shutil.rmtree("below")
        async with serving(f"\0ferrio-cleanup-{os.getpid()}"):
            pass

    assert_same(scenario)


def test_files_are_looked_at_and_removed_without_the_functions_of_os(monkeypatch):
    """Tools that forbid `os.stat` and `os.remove` under a loop see neither; hooks of `sys.audit` see the removal."""

    def forbidden(*arguments):
        raise AssertionError(arguments)

    removed: list | None = []
    sys.addaudithook(
        lambda event, arguments: removed.append(arguments) if event == "os.remove" and removed is not None else None
    )

    async def main():
        with listening("socket"):
            pass
        with monkeypatch.context() as patched:
            for name in ("stat", "remove", "unlink"):
                patched.setattr(os, name, forbidden)
            async with serving():
                pass

    try:
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            runner.run(main())
        assert removed == [("socket", -1)] * (2 if NEW else 1)
    finally:
        removed = None  # A hook stays for good.


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_directory_that_may_not_be_searched_is_an_error():
    async def scenario(trace):
        trace.append(await outcome_of(asyncio.get_running_loop().create_unix_server(Echo, "closed/socket")))

    os.mkdir("closed", mode=0)
    assert_same(scenario)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio leaves its socket open
@pytest.mark.parametrize("path", ["a\0b", b"a\0b", "\udcff", "a" * 108, "missing/socket"])
def test_names_that_cannot_be_are_refused_as_asyncio_refuses_them(path):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        answer = await outcome_of(loop.create_unix_server(Echo, path))
        if answer[0] == "returned":
            answer[1].close()
            answer = "served"
        trace.append((answer, sorted(os.listdir())))

    assert_same(scenario)


def test_a_socket_without_a_name_cannot_be_cleaned_up():
    async def scenario(trace):
        with socket.socket(socket.AF_UNIX) as mine:
            loop = asyncio.get_running_loop()
            answer = await outcome_of(loop.create_unix_server(Echo, sock=mine, start_serving=False))
            if answer[0] == "returned":
                answer[1].close()
                answer = "served"
            trace.append(answer)

    assert_same(scenario)


def test_closing_a_server_leaves_its_connections(loop):
    async def main():
        async with serving() as server:
            transport, protocol = await loop.create_unix_connection(Recorder, "socket")
            transport.write(b"before")
            await until(lambda: protocol.data)
            server.close()
            transport.write(b" after")
            await until(lambda: protocol.data == b"before after")
            transport.close()
            await protocol.lost

    loop.run_until_complete(main())


def test_streams_use_unix_sockets(loop):
    async def answer(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_unix_server(answer, "socket")
        reader, writer = await asyncio.open_unix_connection("socket")
        writer.write(b"a line\nand more")
        assert await reader.read() == b"a line\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
