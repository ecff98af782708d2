"""Programs whose loop is not all that they ask: TLS, child processes, pipes, datagrams of their own, files.

The tests of recordings record each on the real thing and repeat it without.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import ssl
import sys
import time
import uuid

from ferrio._ferrio import _watched_by
from tests.support.certificates import client_context, server_context


async def echo(reader, writer):
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(b"echo " + line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


async def gone():
    """Wait until no connection is left; not for ever, as a replay may have left its recording before they end."""
    for _ in range(1000):
        if not _watched_by(asyncio.get_running_loop()):
            break
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def serving(handler, **keywords):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=1 << 20, **keywords)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # On 3.11 a server does not wait for its connections.
        await server.wait_closed()
        await gone()


async def tls():
    """Both ends of a connection, with as much as several records have."""
    async with serving(echo, ssl=server_context()) as port:
        secure = {"ssl": client_context(), "server_hostname": "localhost"}
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **secure)
        seen = []
        for size in (1, 100_000, 5):
            writer.write(b"x" * size + b"\n")
            await writer.drain()
            seen.append(len(await reader.readline()) if size < 60_000 else len(await reader.readexactly(size + 6)))
        told = writer.get_extra_info("ssl_object")
        seen += [told.version(), told.cipher()[0], told.selected_alpn_protocol(), told.getpeercert(True)[:3].hex()]
        seen += [writer.get_extra_info("peercert"), told.session_reused]
        writer.close()
        await writer.wait_closed()
    return seen


async def tls_refused():
    """A certificate that nobody trusts."""
    seen = []
    async with serving(echo, ssl=server_context()) as port:
        try:
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname="x")
        except ssl.SSLCertVerificationError as error:
            seen = [error.verify_code, error.verify_message, error.reason, str(error)]
    return seen


async def tls_by_name():
    """A server that chooses by the name that it is asked for: the program is called in the middle of the handshake."""
    context, other, asked = server_context(), server_context(), []
    loop = asyncio.get_running_loop()

    def choose(connection, name, begun):
        asked.append((name, begun is context, connection.server_side, loop.time(), secrets.token_hex(2)))
        if name != "localhost":
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = other
        return None

    context.sni_callback = choose
    seen: list[object] = []
    async with serving(echo, ssl=context) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        writer.write(b"by name\n")
        seen.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        try:
            await asyncio.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname="elsewhere")
        except OSError as error:
            # The alert, or that the connection was closed after it.
            seen.append(type(error).__name__)
        await gone()
    return seen, asked, context.sni_callback is choose


async def tls_by_upgrade():
    """start_tls in a connection that has begun in the clear."""

    async def upgrade(reader, writer):
        await reader.readline()
        writer.write(b"go\n")
        await writer.start_tls(server_context())
        await echo(reader, writer)

    async with serving(upgrade) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"upgrade\n")
        answer = await reader.readline()
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"secret\n")
        answer += await reader.readline()
        writer.close()
        await writer.wait_closed()
    return answer


async def tls_by_hand():
    """A program that moves the bytes of TLS itself, as anyio does."""
    async with serving(echo, ssl=server_context()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")

        async def until_done(function, *arguments):
            while True:
                try:
                    result = function(*arguments)
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
                else:
                    writer.write(outgoing.read())
                    return result

        await until_done(session.do_handshake)
        await until_done(session.write, b"by hand\n")
        buffer = bytearray(100)
        count = await until_done(session.read, 100, buffer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(buffer[:count])


async def children():
    """Output, an exit code, input, an end by a signal, a program that does not exist."""
    seen: list[object] = []
    text = "import sys; data = sys.stdin.read(); print(data.upper()); print('error', file=sys.stderr); sys.exit(3)"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text, **pipes)
    seen += [await process.communicate(b"x" * 200_000), process.returncode, process.pid]
    process = await asyncio.create_subprocess_shell("exec sleep 1000")
    process.send_signal(signal.SIGTERM)
    seen.append(await process.wait())
    process = await asyncio.create_subprocess_exec("sleep", "1000", stdout=asyncio.subprocess.PIPE)
    process.kill()
    seen += [await process.wait(), await process.stdout.read()]
    try:
        await asyncio.create_subprocess_exec("/no/such/program")
    except FileNotFoundError as error:
        seen += [error.errno, error.filename, str(error)]
    return seen


async def child_that_is_left():
    """A transport that is closed kills its child."""

    class Protocol(asyncio.SubprocessProtocol):
        def process_exited(self):
            ended.set_result(None)

    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    transport, _ = await loop.subprocess_exec(Protocol, "sleep", "1000", stdout=None, stderr=None)
    transport.close()
    await ended
    return transport.get_returncode()


async def pipes():
    """Both ends of a pipe of the program's own, with more than it holds."""
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    to_read, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb"))
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(writing, "wb"))
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    writer.write(bytes(300_000))
    transport.write_eof()
    data = await reader.read()
    to_read.close()
    return len(data)


async def datagrams():
    """sock_sendto, sock_recvfrom and sock_recvfrom_into."""
    loop = asyncio.get_running_loop()
    with (
        socket.socket(type=socket.SOCK_DGRAM) as here,
        socket.socket(type=socket.SOCK_DGRAM) as there,
    ):
        for each in (here, there):
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        count = await loop.sock_sendto(here, b"one", there.getsockname())
        data, address = await loop.sock_recvfrom(there, 100)
        seen = [count, data, address[0]]
        receiving = asyncio.ensure_future(loop.sock_recvfrom(there, 100))
        await asyncio.sleep(0)
        await loop.sock_sendto(here, b"three", there.getsockname())
        seen.append((await receiving)[0])
        await loop.sock_sendto(here, b"two", there.getsockname())
        buffer = bytearray(10)
        count, address = await loop.sock_recvfrom_into(there, buffer)
        return [*seen, count, bytes(buffer), address[0]]


async def files():
    """sendfile to a transport, natively and over TLS, and to a socket."""
    loop = asyncio.get_running_loop()
    received = []

    async def take(reader, writer):
        received.append(len(await reader.read()))
        writer.close()

    for secure in ({}, {"ssl": client_context(), "server_hostname": "localhost"}):
        async with serving(take, ssl=server_context() if secure else None) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, **secure)
            with open(__file__, "rb") as file:
                received.append(await loop.sendfile(writer.transport, file))
            writer.close()
            await writer.wait_closed()
            while len(received) % 2:
                await asyncio.sleep(0.001)
    async with serving(take) as port:
        with socket.socket() as sock, open(__file__, "rb") as file:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            received.append(await loop.sock_sendfile(sock, file))
        while len(received) % 2:
            await asyncio.sleep(0.001)
    return received


async def randoms():
    """Random bytes that come from the system."""
    await asyncio.sleep(0)
    return [os.urandom(4), str(uuid.uuid4()), secrets.token_hex(4), secrets.randbelow(1_000_000)]


async def writes_of_slow_callbacks():
    """Several writes in each step; how long steps take decides elsewhere whether they are joined."""
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in range(60):
            for part in (b"one ", b"two ", b"three\n"):
                writer.write(part)
            if turn % 20 == 10:
                time.sleep(0.005)
            assert await reader.readline() == b"echo one two three\n"
        writer.close()
        await writer.wait_closed()


PROGRAMS = (
    writes_of_slow_callbacks,
    tls,
    tls_by_name,
    tls_refused,
    tls_by_upgrade,
    tls_by_hand,
    children,
    child_that_is_left,
    pipes,
    datagrams,
    files,
    randoms,
)
