"""`create_unix_connection` and the connections that it creates. The peers are raw sockets."""

import asyncio
import contextlib
import gc
import os
import pathlib
import socket
import ssl
import struct
import warnings

import pytest

from tests.support.differential import assert_same, outcome_of
from tests.support.peers import Recorder, read_all, turns, until
from tests.support.unix_sockets import KINDS_OF_PATH, directory, listening, serving

__all__ = ["directory"]  # a fixture for all of them


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


@pytest.mark.parametrize(
    "path", ["missing/below", "file", ".", "file/below", "x" * 200, "", "with\0zero", b"with\0zero", 5]
)
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
