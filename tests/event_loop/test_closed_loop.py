"""A closed loop refuses every request before it starts anything: no process, no descriptor, no transport."""

import asyncio
import os
import socket

import pytest

import ferrio


def datagram_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def stream_socket() -> socket.socket:
    mine, other = socket.socketpair()
    other.close()
    mine.setblocking(False)
    return mine


def pipe_end(number: int, mode: str):
    ends = list(os.pipe())
    mine = os.fdopen(ends.pop(number), mode, 0)
    os.close(*ends)
    return mine


# Each with what it is given, which stays the caller's.
SERVICES = {
    "exec": (lambda loop, _: loop.subprocess_exec(asyncio.SubprocessProtocol, "sleep", "30"), None),
    "shell": (lambda loop, _: loop.subprocess_shell(asyncio.SubprocessProtocol, "sleep 30", stdin=None), None),
    "datagram": (
        lambda loop, sock: loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=sock),
        datagram_socket,
    ),
    "connection": (lambda loop, sock: loop.create_connection(asyncio.Protocol, sock=sock), stream_socket),
    "read_pipe": (lambda loop, end: loop.connect_read_pipe(asyncio.Protocol, end), lambda: pipe_end(0, "rb")),
    "write_pipe": (lambda loop, end: loop.connect_write_pipe(asyncio.Protocol, end), lambda: pipe_end(1, "wb")),
}


@pytest.mark.parametrize(("service", "given"), SERVICES.values(), ids=SERVICES)
def test_a_closed_loop_refuses(service, given):
    """In asyncio's words; asyncio however has started the child by then."""
    closed = ferrio.new_event_loop()
    closed.close()
    before = os.listdir("/proc/self/fd")
    mine = given and given()

    async def main():
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            await asyncio.wait_for(service(closed, mine), 5)

    asyncio.run(main())
    if mine:
        mine.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert len(os.listdir("/proc/self/fd")) == len(before)
