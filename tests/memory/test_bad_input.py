"""Bad input, many times over: afterwards no object of ours, asyncio's or the system's is left, and no memory grows.

What each kind of bad input raises or tells is tested where its transport is; descriptors, children and tasks are looked
for after every test there is.
"""

import asyncio
import collections
import contextlib
import ctypes
import gc
import os
import socket
import ssl
import struct
import time

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.datagrams import endpoint
from tests.support.peers import Recorder, listening, reset, turns, until
from tests.support.pipe_ends import file
from tests.support.tls_peers import NAME, Echo, shake_hands

OURS = ("asyncio", "ferrio", "_asyncio", "ssl", "_ssl", "socket", "_socket", "subprocess", "tests")


FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class Allocations(ctypes.Structure):
    """`struct mallinfo2` of the GNU C library."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def allocated() -> int:
    """Bytes that C and Rust code hold of the C library now: not what it keeps for itself after they were freed."""
    gc.collect()
    now = LIBRARY.mallinfo2()
    return now.uordblks + now.hblkhd


LIBRARY = ctypes.CDLL(None)
if hasattr(LIBRARY, "mallinfo2"):
    LIBRARY.mallinfo2.restype = Allocations


def living() -> collections.Counter:
    for _ in range(3):
        gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return collections.Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).split(".")[0] in OURS)


@contextlib.asynccontextmanager
async def server(**keywords):
    loop = asyncio.get_running_loop()
    made = await loop.create_server(Echo, "127.0.0.1", 0, **keywords)
    async with made:
        yield made.sockets[0].getsockname()


async def said_to_tls(said: bytes, after_handshake: bool = False, end=socket.socket.close):
    """A raw client says something wrong to a TLS server and goes."""

    def talk(address):
        sock = socket.create_connection(address, timeout=5)
        if after_handshake:
            shake_hands(sock)
        sock.sendall(said)
        end(sock)

    async with server(ssl=server_context()) as address:
        await asyncio.to_thread(talk, address)
        await turns(3)
        await asyncio.sleep(0.002)


async def plain_text():
    await said_to_tls(b"GET / HTTP/1.1\r\n\r\n")


async def reset_in_mid_handshake():
    await said_to_tls(b"\x16\x03\x01\x02\x00", end=reset)


async def truncated_record():
    await said_to_tls(b"\x17\x03\x03\x40\x00half", after_handshake=True)


async def damaged_record():
    await said_to_tls(b"\x17\x03\x03\x00\x20" + bytes(32), after_handshake=True)


async def too_long_record():
    await said_to_tls(b"\x17\x03\x03\xff\xff" + bytes(32), after_handshake=True)


async def untrusted_certificate():
    async with server(ssl=server_context()) as address:
        trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.get_running_loop().create_connection(Recorder, *address, ssl=trusting_nobody, **NAME)
        await turns(5)


async def certificate_of_another_name():
    async with server(ssl=server_context()) as address:
        name = {"server_hostname": "elsewhere.example"}
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.get_running_loop().create_connection(Recorder, *address, ssl=client_context(), **name)
        await turns(5)


async def missing_client_certificate():
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    async with server(ssl=context) as address:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            _, protocol = await asyncio.get_running_loop().create_connection(
                Recorder, *address, ssl=client_context(), **NAME
            )
            await protocol.lost  # by then a client of TLS 1.3 took itself for connected
        await turns(5)


async def handshake_that_takes_too_long():
    loop = asyncio.get_running_loop()
    timeout = {"ssl_handshake_timeout": 0.001}
    with listening() as listener:
        address = listener.getsockname()
        with pytest.raises(ConnectionAbortedError):
            await loop.create_connection(Recorder, *address, ssl=client_context(), **NAME, **timeout)


async def cancelled_handshake():
    loop = asyncio.get_running_loop()
    with listening() as listener:
        connecting = loop.create_connection(Recorder, *listener.getsockname(), ssl=client_context(), **NAME)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connecting, 0.002)


async def datagram_too_large():
    async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
        transport.sendto(bytes(70_000), transport.get_extra_info("sockname"))
        await turns(3)
        assert len(protocol.trace) == 2


async def reset_connection():
    async with server() as address:
        sock = socket.create_connection(address)
        sock.sendall(b"x" * 100_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await turns(3)
        sock.close()
        await turns(5)


async def child_that_closes_its_input():
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("sh", "-c", "exec 0<&-", stdin=pipe)
    await process.communicate(bytes(1 << 20))


async def killed_child():
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    process.stdin.write(bytes(1 << 20))
    process.kill()
    with contextlib.suppress(ConnectionError):
        await process.communicate()
    assert process.returncode == -9


async def program_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        await asyncio.create_subprocess_exec("./missing")


async def full_pipe_without_a_reader():
    lost = []

    class Writer(asyncio.BaseProtocol):
        def connection_lost(self, error):
            lost.append(type(error))

    reader, writer = os.pipe()
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(Writer, file(writer, "wb"))
    transport.write(bytes(1 << 20))
    os.close(reader)
    await until(lambda: lost == [BrokenPipeError])


async def full_pipe_that_nobody_reads():
    reader, writer = os.pipe()
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, file(writer, "wb"))
    transport.write(bytes(1 << 20))
    assert transport.get_write_buffer_size() > 0
    transport.abort()
    await turns(3)
    os.close(reader)


async def directory_as_a_socket():
    loop = asyncio.get_running_loop()
    os.makedirs("directory", exist_ok=True)
    with pytest.raises(OSError):
        await loop.create_unix_server(Echo, "directory")
    with pytest.raises(ConnectionRefusedError):
        await loop.create_unix_connection(Recorder, "directory")


SCENARIOS = [
    plain_text,
    reset_in_mid_handshake,
    truncated_record,
    damaged_record,
    too_long_record,
    untrusted_certificate,
    certificate_of_another_name,
    missing_client_certificate,
    handshake_that_takes_too_long,
    cancelled_handshake,
    datagram_too_large,
    reset_connection,
    child_that_closes_its_input,
    killed_child,
    program_that_is_not_there,
    full_pipe_without_a_reader,
    full_pipe_that_nobody_reads,
    directory_as_a_socket,
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_left_of(scenario, loop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop.set_exception_handler(lambda *_: None)  # what is reported is no matter here

    def run(times):
        async def main():
            for _ in range(times):
                await scenario()
            await turns(5)

        loop.run_until_complete(main())

    run(2)
    before = living()
    run(5)
    # The last child's pipes and exit may be seen later, if the machine is busy.
    deadline = time.monotonic() + 10
    while (left := living() - before) and time.monotonic() < deadline:
        loop.run_until_complete(asyncio.sleep(0.01))
    assert left == collections.Counter()


@pytest.mark.skipif(not hasattr(LIBRARY, "mallinfo2"), reason="only the GNU C library, 2.33 on, tells what it lent")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_memory_does_not_grow_with(scenario, tmp_path, monkeypatch):
    """Of what the objects' types do not show: buffers of ours and of OpenSSL's."""
    monkeypatch.chdir(tmp_path)

    async def main(times):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for _ in range(times):
            await scenario()

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main(40))
        before = allocated()
        runner.run(main(80))
        # OpenSSL's and the C library's own stores for a thread fill in the first hundreds of rounds, on any loop.
        assert allocated() - before < 80 * 2048
