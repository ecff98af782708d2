"""sendfile and sock_sendfile: which bytes arrive, the returned count, and the file's position afterwards."""

import asyncio
import contextlib
import gzip
import io
import os
import socket
import sys

import pytest

from tests.support.differential import assert_same, outcome_of
from tests.support.peers import Recorder, connection, read_all, read_exactly, reset, socket_pair, turns, until

BIG = bytes(range(251)) * 60000  # 15 MB: more than a socket's buffers hold


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BIG)
    return path


@pytest.fixture
def file(path):
    with path.open("rb") as file:
        yield file


async def received(loop, right, sending) -> tuple[bytes, object]:
    """What comes until the end of `sending`, and its result."""
    data = bytearray()
    task = loop.create_task(sending)
    while not task.done():
        with contextlib.suppress(BlockingIOError):
            data += right.recv(1 << 20)
        await asyncio.sleep(0)
    with contextlib.suppress(BlockingIOError):
        while chunk := right.recv(1 << 20):
            data += chunk
    return bytes(data), await task


PARTS = [
    ({}, BIG),
    ({"offset": 5}, BIG[5:]),
    ({"count": 7}, BIG[:7]),
    ({"offset": 1000, "count": 3_000_000}, BIG[1000:3_001_000]),
    ({"offset": len(BIG) - 3, "count": 100}, BIG[-3:]),
    ({"offset": len(BIG)}, b""),
    ({"offset": len(BIG) + 10}, b""),
    ({"count": len(BIG)}, BIG),
    ({"count": len(BIG) + 1}, BIG),
    ({"count": 10**18}, BIG),
]


# -- sockets ---------------------------------------------------------------------


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_a_socket_gets_the_part_asked_for(loop, file, part, expected):
    async def main():
        with socket_pair() as (left, right):
            data, count = await received(loop, right, loop.sock_sendfile(left, file, **part))
            assert data == expected
            assert count == len(expected)
            if expected:
                assert file.tell() == part.get("offset", 0) + len(expected)
            assert loop.remove_writer(left) is False

    loop.run_until_complete(main())


@pytest.mark.parametrize(("part", "expected"), PARTS[:5])
def test_what_the_system_cannot_send_is_read_and_written(loop, part, expected):
    async def main():
        with socket_pair() as (left, right):
            file = io.BytesIO(BIG)
            with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
                await loop.sock_sendfile(left, file, **part, fallback=False)
            data, count = await received(loop, right, loop.sock_sendfile(left, file, **part))
            assert (data, count) == (expected, len(expected))
            assert file.tell() == part.get("offset", 0) + len(expected)

    loop.run_until_complete(main())


def test_an_empty_file_is_no_error(loop, tmp_path):
    path = tmp_path / "empty"
    path.touch()

    async def main():
        with socket_pair() as (left, right), path.open("rb") as file:
            assert await loop.sock_sendfile(left, file) == 0
            assert await loop.sock_sendfile(left, io.BytesIO()) == 0
            with pytest.raises(BlockingIOError):
                right.recv(1)

    loop.run_until_complete(main())


def test_a_compressed_file_is_unpacked_and_sent_by_hand(loop, tmp_path):
    with gzip.open(tmp_path / "file.gz", "wb") as packed:
        packed.write(BIG[:100_000])

    async def main():
        with socket_pair() as (left, right):
            with gzip.open(tmp_path / "file.gz", "rb") as packed:
                data, _ = await received(loop, right, loop.sock_sendfile(left, Unpacked(packed)))
                assert data == BIG[:100_000]

    loop.run_until_complete(main())


class Unpacked:
    """A file without a descriptor, a mode or a position."""

    def __init__(self, file):
        self.readinto = file.readinto


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_a_cancelled_sendfile_leaves_the_position_behind_what_was_sent(loop, file):
    """Stock asyncio means to, but its callback is gone by then."""

    async def main():
        with socket_pair() as (left, right):
            task = loop.create_task(loop.sock_sendfile(left, file, 10))
            await turns(20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left.close()
            data = await read_all(right)
            assert 0 < len(data) < len(BIG)
            assert data == BIG[10 : 10 + len(data)]
            assert file.tell() == 10 + len(data)

    loop.run_until_complete(main())


def test_a_peer_that_goes_away_is_a_connection_error(loop, file):
    async def main():
        with socket_pair() as (left, right):
            task = loop.create_task(loop.sock_sendfile(left, file))
            await turns(20)
            right.close()
            with pytest.raises(ConnectionError):
                await task
            assert 0 < file.tell() < len(BIG)

    loop.run_until_complete(main())


def test_other_work_goes_on_meanwhile(loop, file):
    async def main():
        with socket_pair() as (left, right):
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = loop.create_task(tick())
            await received(loop, right, loop.sock_sendfile(left, file))
            assert ticks > 10
            ticking.cancel()

    loop.run_until_complete(main())


@pytest.mark.parametrize("debug", [False, True])
def test_bad_arguments_are_refused_in_asyncios_words(path, debug):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagram.setblocking(False)
        with socket_pair() as (left, _), path.open("rb") as file, path.open() as text, datagram:
            for count in (0, -1, 1.0, "1"):
                trace.append(await outcome_of(loop.sock_sendfile(left, file, 0, count)))
            for offset in (-1, 1.0, "1"):
                trace.append(await outcome_of(loop.sock_sendfile(left, file, offset)))
            trace.append(await outcome_of(loop.sock_sendfile(left, text)))
            trace.append(await outcome_of(loop.sock_sendfile(datagram, file)))
            trace.append(await outcome_of(loop.sock_sendfile(left, object())))
            trace.append(await outcome_of(loop.sock_sendfile(left, object(), fallback=False)))
            trace.append(await outcome_of(loop.sock_sendfile(datagram, file, fallback=False)))
            left.setblocking(True)
            if debug:
                trace.append(await outcome_of(loop.sock_sendfile(left, file)))
            left.setblocking(False)
            file.close()
            trace.append(await outcome_of(loop.sock_sendfile(left, file)))

    assert_same(scenario, debug=debug)


def test_a_directory_is_no_file():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        fd = os.open("/", os.O_RDONLY)
        try:
            with socket_pair() as (left, _):
                trace.append(await outcome_of(loop.sock_sendfile(left, Number(fd), fallback=False)))
                trace.append(await outcome_of(loop.sock_sendfile(left, Number(9999), fallback=False)))
        finally:
            os.close(fd)

    assert_same(scenario)


class Number:
    def __init__(self, fd: int):
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


# -- transports ------------------------------------------------------------------


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_a_transport_gets_the_part_asked_for(loop, file, part, expected):
    async def main():
        async with connection() as (transport, _, peer):
            data, count = await received(loop, peer, loop.sendfile(transport, file, **part))
            await until_size(peer, data, expected)
            assert count == len(expected)
            if expected:
                assert file.tell() == part.get("offset", 0) + len(expected)

    loop.run_until_complete(main())


async def until_size(peer, data: bytes, expected: bytes) -> None:
    """Over TCP the end may still be on its way."""
    assert data + await read_exactly(peer, len(expected) - len(data)) == expected


@pytest.mark.parametrize("loop_kind", ["ferrio"])
@pytest.mark.parametrize(("part", "expected"), PARTS[:5])
def test_a_transport_is_written_to_where_the_system_cannot(loop, part, expected):
    """Stock asyncio reads the next block over what its transport may still have buffered."""

    async def main():
        async with connection() as (transport, protocol, peer):
            file = io.BytesIO(BIG)
            with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
                await loop.sendfile(transport, file, **part, fallback=False)
            data, count = await received(loop, peer, loop.sendfile(transport, file, **part))
            await until_size(peer, data, expected)
            assert count == len(expected)
            assert file.tell() == part.get("offset", 0) + len(expected)
            assert transport.get_protocol() is protocol
            assert transport.is_reading()

    loop.run_until_complete(main())


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_was_written_before_goes_first_and_later_writes_follow(loop, file, by_hand):
    async def main():
        async with connection() as (transport, protocol, peer):
            transport.write(BIG[:10_000_000])
            assert protocol.trace[-1] == "pause"
            source = io.BytesIO(BIG) if by_hand else file

            async def send():
                assert await loop.sendfile(transport, source, 0, 1000) == 1000
                transport.write(b"after")

            data, _ = await received(loop, peer, send())
            await until_size(peer, data, BIG[:10_000_000] + BIG[:1000] + b"after")

    loop.run_until_complete(main())


def test_writes_are_refused_meanwhile(loop, file, path):
    async def main():
        async with connection() as (transport, _, peer):
            sending = loop.create_task(loop.sendfile(transport, file))
            await turns(5)
            with pytest.raises(RuntimeError, match=r"^unable to write; sendfile is in progress$"):
                transport.write(b"x")
            method = "writelines" if sys.version_info >= (3, 12) else "write"
            with pytest.raises(RuntimeError, match=f"^unable to {method}; sendfile is in progress$"):
                transport.writelines([b"x"])
            assert len(await read_exactly(peer, len(BIG))) == len(BIG)
            assert await sending == len(BIG)
            transport.write(b"x")
            assert await read_exactly(peer, 1) == b"x"

    loop.run_until_complete(main())


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_a_second_sendfile_is_refused_and_the_first_continues(loop, file, path):
    """Stock asyncio refuses too, but forgets that its transport uses the socket."""

    async def main():
        async with connection() as (transport, _, peer):
            sending = loop.create_task(loop.sendfile(transport, file))
            await turns(5)
            with path.open("rb") as second:
                with pytest.raises(RuntimeError, match=r"^Empty waiter is already set$"):
                    await loop.sendfile(transport, second)
            assert await read_exactly(peer, len(BIG)) == BIG
            assert await sending == len(BIG)
            assert transport.is_reading()

    loop.run_until_complete(main())


def test_nothing_is_read_meanwhile_and_everything_afterwards(loop, file):
    async def main():
        async with connection() as (transport, protocol, peer):
            sending = loop.create_task(loop.sendfile(transport, file))
            await turns(5)
            assert not transport.is_reading()
            peer.send(b"question")
            await turns(5)
            assert not protocol.data
            await read_exactly(peer, len(BIG))
            await sending
            await until(lambda: protocol.data == b"question")

    loop.run_until_complete(main())


@pytest.mark.parametrize(("loop_kind", "by_hand"), [("stock", False), ("ferrio", False), ("ferrio", True)])
def test_a_cancelled_sendfile_leaves_a_working_transport(loop, file, by_hand):
    async def main():
        async with connection() as (transport, protocol, peer):
            source = io.BytesIO(BIG) if by_hand else file
            sending = loop.create_task(loop.sendfile(transport, source))
            await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert transport.is_reading()
            assert transport.get_protocol() is protocol
            transport.write(b"end")
            transport.close()
            data = await read_all(peer)
            assert data.endswith(b"end")
            assert BIG.startswith(data[:-3])

    loop.run_until_complete(main())


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_reset_in_the_middle_is_a_connection_error(loop, file, by_hand):
    async def main():
        async with connection() as (transport, protocol, peer):
            source = io.BytesIO(BIG) if by_hand else file
            sending = loop.create_task(loop.sendfile(transport, source))
            await asyncio.sleep(0.01)
            await read_exactly(peer, 1000)
            reset(peer)
            with pytest.raises(ConnectionError):
                await sending
            await protocol.lost

    loop.run_until_complete(main())


@pytest.mark.parametrize("loop_kind", ["ferrio"])
@pytest.mark.parametrize("method", ["abort", "close"])
def test_closing_in_the_middle_is_a_connection_error(loop, file, method):
    """In stock asyncio the sendfile never ends."""

    async def main():
        async with connection() as (transport, protocol, _):
            sending = loop.create_task(loop.sendfile(transport, file))
            await turns(5)
            getattr(transport, method)()
            with pytest.raises(ConnectionError, match="Connection is closed by peer"):
                await asyncio.wait_for(sending, 5)
            assert await protocol.lost is None

    loop.run_until_complete(main())


def test_transports_that_cannot_are_refused(path):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        class Unable(asyncio.Transport):
            def is_closing(self):
                return False

            def __repr__(self):
                return "<unable>"

        class ByHand(Unable):
            _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

        with path.open("rb") as file:
            trace.append(await outcome_of(loop.sendfile(Unable(), file)))
            trace.append(await outcome_of(loop.sendfile(ByHand(), file, fallback=False)))
            async with connection() as (transport, _, _):
                trace.append(await outcome_of(loop.sendfile(transport, file, -1)))
                trace.append(await outcome_of(loop.sendfile(transport, file, 0, 0)))
                trace.append(await outcome_of(loop.sendfile(transport, file, 0, "1")))
                transport.write(b"x")
                transport.close()
                trace.append(await outcome_of(loop.sendfile(transport, file)))

    assert_same(scenario)


def test_a_unix_connection_takes_files_too(loop, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            listener.listen()
            transport, protocol = await loop.create_unix_connection(Recorder, "socket")
            peer, _ = listener.accept()
        with peer:
            peer.setblocking(False)
            data, count = await received(loop, peer, loop.sendfile(transport, file))
            assert (data, count) == (BIG, len(BIG))
            transport.close()
            await protocol.lost

    loop.run_until_complete(main())
