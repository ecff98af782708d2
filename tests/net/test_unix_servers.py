"""`create_unix_server` and the files that its sockets leave behind. The peers are raw sockets."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import socket
import sys

import pytest

import ferrio
from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.peers import Recorder, until
from tests.support.unix_sockets import KINDS_OF_PATH, Echo, ask, directory, listening, serving

__all__ = ["directory"]  # a fixture for all of them

NEW = sys.version_info >= (3, 13)


@pytest.mark.parametrize(
    "path",
    ["socket", b"socket", pathlib.Path("socket"), f"\0ferrio-server-{os.getpid()}", "\udcff"],
    ids=[*KINDS_OF_PATH, "undecodable"],
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


def test_the_file_is_removed_when_the_server_closes_unless_disabled():
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
