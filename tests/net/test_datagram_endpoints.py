"""Datagram endpoints: how they are created, what they report about themselves and how they end."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import warnings

import pytest

import ferrio
from tests.support.datagrams import HOST, Recorder, endpoint, raw, read
from tests.support.differential import assert_same, masked, outcome, outcome_of
from tests.support.peers import turns, until


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Short, whatever the temporary directory is called."""
    monkeypatch.chdir(tmp_path)
    return "socket"


# -- making endpoints ------------------------------------------------------------


def test_wrong_arguments_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        stream, other = socket.socketpair()
        with stream, other, raw() as datagrams:
            for keywords in (
                {},
                {"local_addr": "127.0.0.1"},
                {"local_addr": ("127.0.0.1",)},
                {"remote_addr": ["127.0.0.1", 1]},
                {"remote_addr": ("127.0.0.1", 1, 2)},
                {"local_addr": HOST, "remote_addr": ("::1", 1)},
                {"local_addr": HOST, "family": socket.AF_INET6},
                {"local_addr": HOST, "proto": socket.IPPROTO_ICMP},
                {"local_addr": ("192.0.2.1", 0)},
                {"local_addr": (b"x", 0), "family": socket.AF_UNIX},
                {"remote_addr": 7, "family": socket.AF_UNIX},
                {"remote_addr": "/nowhere/at/all", "family": socket.AF_UNIX},
                {"local_addr": "/nowhere/at/all", "family": socket.AF_UNIX},
                {"family": 12345},
                {"sock": datagrams, "local_addr": HOST, "reuse_port": True, "family": socket.AF_INET},
                {"sock": datagrams, "remote_addr": HOST, "proto": 17, "flags": 1, "allow_broadcast": 1},
                {"sock": stream},
                {"sock": 5},
            ):
                trace.append((list(keywords), await outcome_of(loop.create_datagram_endpoint(Recorder, **keywords))))

    trace = assert_same(scenario)
    assert {event[1][0] for event in trace if isinstance(event[0], list)} == {"raised"}


def test_a_factory_that_fails_leaves_nothing_behind(loop):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await loop.create_datagram_endpoint(lambda: 1 / 0, local_addr=HOST)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # stock leaves the socket to the collector
        loop.run_until_complete(main())
        gc.collect()


def test_a_cancelled_creation_closes_the_socket(loop):
    async def main():
        task = loop.create_task(loop.create_datagram_endpoint(Recorder, local_addr=HOST))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(5)

    loop.run_until_complete(main())


def test_a_socket_of_the_users_own_is_used(loop):
    async def main():
        with raw() as mine, raw() as peer:
            mine.setblocking(True)
            async with endpoint(sock=mine) as (transport, protocol):
                assert mine.gettimeout() == 0
                assert transport.get_extra_info("socket").fileno() == mine.fileno()
                assert transport.get_extra_info("peername") is None
                assert transport.get_extra_info("nothing", 7) == 7
                peer.sendto(b"x", mine.getsockname())
                await until(lambda: protocol.received)
            assert mine.fileno() == -1

    loop.run_until_complete(main())


def test_a_connected_socket_of_the_users_own_sends_to_its_peer(loop):
    async def main():
        with raw() as mine, raw() as peer:
            mine.connect(peer.getsockname())
            async with endpoint(sock=mine) as (transport, _):
                assert transport.get_extra_info("peername") == peer.getsockname()
                transport.sendto(b"x")
                assert await read(peer, 1) == [b"x"]

    loop.run_until_complete(main())


def test_options_are_set_on_the_socket(loop):
    async def main():
        keywords = {"local_addr": HOST, "reuse_port": True, "allow_broadcast": True}
        async with endpoint(**keywords) as (transport, _):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            keywords["local_addr"] = sock.getsockname()
            async with endpoint(**keywords) as (other, _):
                assert other.get_extra_info("sockname") == sock.getsockname()

    loop.run_until_complete(main())


def test_a_broadcasting_endpoint_is_not_connected_and_hears_everybody(loop):
    async def main():
        with raw() as peer, raw() as stranger:
            keywords = {"remote_addr": peer.getsockname(), "local_addr": HOST, "allow_broadcast": True}
            async with endpoint(**keywords) as (transport, protocol):
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"x")
                assert await read(peer, 1) == [b"x"]
                stranger.sendto(b"y", transport.get_extra_info("sockname"))
                await until(lambda: protocol.received)

    loop.run_until_complete(main())


def test_an_endpoint_without_addresses_has_a_family_alone(loop):
    async def main():
        with raw() as peer:
            async with endpoint(family=socket.AF_INET) as (transport, protocol):
                transport.sendto(b"x", peer.getsockname())
                _, sender = await loop.sock_recvfrom(peer, 10)
                peer.sendto(b"y", ("127.0.0.1", sender[1]))
                await until(lambda: protocol.received)

    loop.run_until_complete(main())


# -- Unix datagrams --------------------------------------------------------------


def test_unix_datagrams_show_paths_abstract_names_and_nothing(loop, path):
    abstract = b"\0ferrio-datagrams-%d" % os.getpid()

    async def main():
        async with endpoint(local_addr=path, family=socket.AF_UNIX) as (transport, protocol):
            with raw(socket.AF_UNIX, "peer") as named, raw(socket.AF_UNIX, abstract) as hidden:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                    for peer, shown in ((named, "peer"), (hidden, abstract), (nameless, None)):
                        peer.sendto(b"x", path)
                        await until(lambda: protocol.received)
                        assert protocol.received.pop() == (b"x", shown)
                for peer in (named, hidden):
                    transport.sendto(b"answer", peer.getsockname())
                    assert await read(peer, 1) == [b"answer"]

    loop.run_until_complete(main())


@pytest.mark.usefixtures("path")
def test_a_stale_unix_socket_is_replaced_and_other_files_are_not():
    async def scenario(trace):
        with contextlib.suppress(FileNotFoundError):
            os.unlink("stale")
        with raw(socket.AF_UNIX, "stale"):
            pass
        for name in ("stale", "directory", "file", "file/below"):
            try:
                async with endpoint(local_addr=name, family=socket.AF_UNIX):
                    trace.append(name)
            except OSError as error:
                trace.append((name, error.errno))

    os.mkdir("directory")
    with open("file", "w"):
        pass
    trace = assert_same(scenario)
    assert [event[:2] for event in trace if "log" in event] == [("log", "ERROR")]
    assert trace[0] == "stale"


# -- the end, and the object itself ----------------------------------------------


def test_connection_lost_is_called_once_whatever_ends_it(loop):
    async def main():
        for end in ("close close abort", "abort close", "abort abort"):
            transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=HOST)
            for method in end.split():
                getattr(transport, method)()
            assert transport.is_closing()
            assert protocol.trace == ["made"]
            assert await protocol.lost is None
            assert protocol.trace == ["made", ("lost", "NoneType")]
            transport.close()
            await turns(2)

    loop.run_until_complete(main())


def test_sending_through_a_lost_transport_is_dropped_quietly_then_warned_of():
    async def scenario(trace):
        with raw() as peer:
            transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                Recorder, remote_addr=peer.getsockname()
            )
            transport.close()
            await protocol.lost
            for _ in range(7):
                trace.append(outcome(transport.sendto, b"x"))

    trace = assert_same(scenario)
    assert ("log", "WARNING", "socket.send() raised exception.") in trace


def test_an_endpoint_looks_like_asyncios():
    async def scenario(trace):
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Recorder, local_addr=HOST)
        trace.append(masked(repr(transport)))
        trace.append([isinstance(transport, kind) for kind in (asyncio.Transport, asyncio.DatagramTransport)])
        trace.append(transport.get_protocol() is protocol)
        other = Recorder(trace)
        transport.set_protocol(other)
        trace.append(transport.get_protocol() is other)
        transport.close()
        trace.append(masked(repr(transport)))
        await other.lost
        await turns(1)
        trace.append(masked(repr(transport)))

    assert_same(scenario)


def test_debug_mode_logs_the_creation():
    class Quiet(asyncio.DatagramProtocol):
        def __repr__(self):
            return "<protocol>"

    async def scenario(trace):
        async with endpoint(Quiet, local_addr=HOST):
            pass
        async with endpoint(Quiet, remote_addr=("127.0.0.1", 9)):
            pass
        trace.append("made")

    log = [event[1] for event in assert_same(scenario, debug=True) if event[0] == "log"]
    assert log[:2] == ["INFO", "DEBUG"]


def test_the_descriptor_of_an_endpoint_is_not_for_callbacks(loop):
    async def main():
        async with endpoint(local_addr=HOST) as (transport, _):
            fd = transport.get_extra_info("socket").fileno()
            with pytest.raises(RuntimeError, match=r"is used by transport <_SelectorDatagramTransport"):
                loop.add_reader(fd, print)
            if sys.version_info >= (3, 12):
                with pytest.raises(RuntimeError, match=r"is used by transport"):
                    await loop.create_datagram_endpoint(Recorder, sock=transport.get_extra_info("socket")._sock)

    loop.run_until_complete(main())


def test_an_unclosed_endpoint_warns_and_closes_its_socket():
    loop = ferrio.new_event_loop()

    async def main():
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=HOST)
        return transport.get_extra_info("socket")._sock

    sock = loop.run_until_complete(main())

    def give_up():
        loop.close()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed transport <_SelectorDatagramTransport fd="):
        give_up()
    assert sock.fileno() == -1


def test_an_unclosed_endpoint_goes_with_its_loop():
    """The collector finds transport and socket in one cycle, and takes either apart first."""

    def give_up():
        loop = ferrio.new_event_loop()
        loop.run_until_complete(loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=HOST))
        loop.close()
        del loop
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed transport <_SelectorDatagramTransport fd="):
        give_up()
