"""Transports with socat, nc and curl at the other end, which end normally, are stopped, or are killed."""

import asyncio
import contextlib
import errno
import os
import signal
import socket

import pytest

from tests.support.certificates import directory, server_context
from tests.support.datagrams import endpoint
from tests.support.peers import Recorder, turns, until
from tests.support.programs import free_port, needs, running
from tests.support.tls_peers import Echo

DATA = b"".join(b"%07d\n" % number for number in range(60_000))  # more than buffers on the way hold


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    """Names of sockets are short, whatever the temporary directory is called."""
    monkeypatch.chdir(tmp_path)


class Returning(Echo):
    """Sends everything back and remembers how it ended."""

    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error):
        self.lost.set_result(error)


@contextlib.asynccontextmanager
async def serving(loop, path=None, factory=Returning, **keywords):
    """A server's port, and the protocols of its connections."""
    made = []

    def remembering():
        made.append(factory())
        return made[-1]

    if path is None:
        server = await loop.create_server(remembering, "127.0.0.1", 0, **keywords)
    else:
        server = await loop.create_unix_server(remembering, path, **keywords)
    async with server:
        yield (None if path else server.sockets[0].getsockname()[1]), made
        for protocol in made:
            protocol.transport.abort()
        await turns(5)


async def eventually(connect):
    """What `connect()` gives once the program listens."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await connect()
            except (ConnectionRefusedError, FileNotFoundError):
                await asyncio.sleep(0.01)


# -- streams -----------------------------------------------------------------------


@needs("socat")
@pytest.mark.parametrize("unix", [False, True])
def test_socat_sends_and_gets_it_back(loop, unix):
    async def main():
        async with serving(loop, "socket" if unix else None) as (port, made):
            target = "UNIX-CONNECT:socket" if unix else f"TCP:127.0.0.1:{port}"
            with running("socat", "-", target) as program:
                await asyncio.to_thread(program.say, DATA)
                await until(lambda: len(program.output) == len(DATA), 10)
                assert program.output == DATA
                program.process.stdin.close()
                assert await program.ended() == 0
            assert await made[0].lost is None

    loop.run_until_complete(main())


@needs("socat")
@pytest.mark.parametrize("unix", [False, True])
def test_socat_sends_back_what_a_client_writes(loop, unix):
    async def main():
        port = free_port()
        listening = "UNIX-LISTEN:socket" if unix else f"TCP-LISTEN:{port},bind=127.0.0.1"
        with running("socat", listening, "PIPE") as program:
            connect = loop.create_unix_connection if unix else loop.create_connection
            address = ("socket",) if unix else ("127.0.0.1", port)
            transport, protocol = await eventually(lambda: connect(Recorder, *address))
            data = DATA[:40_000]  # socat waits for itself when its pipe is full
            transport.write(data)
            transport.write_eof()
            assert await asyncio.wait_for(protocol.lost, 10) is None
            assert protocol.data == data
            assert await program.ended() == 0

    loop.run_until_complete(main())


@needs("nc")
@pytest.mark.parametrize("unix", [False, True])
def test_nc_closes_its_writing_half_first(loop, unix):
    """What it sent before comes back all the same."""

    class HalfClosing(Returning):
        def eof_received(self):
            self.transport.write(b"the end\n")
            self.transport.write_eof()
            return True

    async def main():
        async with serving(loop, "socket" if unix else None, HalfClosing) as (port, made):
            target = ("-U", "socket") if unix else ("127.0.0.1", port)
            with running("nc", "-N", *target) as program:
                program.say(b"question\n")
                program.process.stdin.close()
                await program.heard(b"question\nthe end\n")
                assert await program.ended() == 0
            assert len(made) == 1

    loop.run_until_complete(main())


@needs("socat")
@pytest.mark.parametrize("killed", [False, True])
def test_a_stopped_program_pauses_writing(loop, killed):
    """It continues when the program does, or ends with it."""

    class Talker(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            for _ in range(41):
                transport.write(DATA)

    async def main():
        async with serving(loop, factory=Talker) as (port, made):
            with running("socat", "-u", f"TCP:127.0.0.1:{port}", "-") as program:
                await until(lambda: bool(made))
                program.process.send_signal(signal.SIGSTOP)
                await until(lambda: "pause" in made[0].trace)
                await asyncio.sleep(0.05)
                assert "resume" not in made[0].trace
                if killed:
                    program.process.kill()
                    assert isinstance(await made[0].lost, ConnectionError)
                else:
                    program.process.send_signal(signal.SIGCONT)
                    await until(lambda: len(program.output) == 41 * len(DATA), 20)
                    assert "resume" in made[0].trace

    loop.run_until_complete(main())


@needs("socat")
def test_a_directory_as_socket_path_is_refused_and_stays(loop):
    async def main():
        os.mkdir("socket")
        with pytest.raises(OSError, match="socket"):
            await loop.create_unix_server(Echo, "socket")
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, "socket")
        assert os.path.isdir("socket")

    loop.run_until_complete(main())


# -- datagrams ---------------------------------------------------------------------


@needs("socat")
def test_socat_gets_its_datagrams_back(loop):
    class DatagramEcho(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data, address)

    async def main():
        transport, _ = await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        with running("socat", "-", f"UDP:127.0.0.1:{port}") as program:
            for number in range(5):
                program.say(b"datagram %d\n" % number)
                await program.heard(b"datagram %d\n" % number)
        transport.close()
        await turns(2)

    loop.run_until_complete(main())


@needs("socat")
def test_a_datagram_too_large_is_an_error_and_the_next_one_goes(loop):
    """A peer that is gone is an error as well."""

    async def main():
        port = free_port()
        with running("socat", f"UDP-LISTEN:{port},bind=127.0.0.1", "PIPE") as program:
            async with endpoint(remote_addr=("127.0.0.1", port)) as (transport, protocol):
                while not protocol.received:  # until socat listens
                    transport.sendto(b"hello")
                    await asyncio.sleep(0.02)
                protocol.trace.clear()
                transport.sendto(bytes(70_000))
                transport.sendto(b"afterwards")
                await until(lambda: any(data == b"afterwards" for data, _ in protocol.received))
                assert protocol.trace == [("OSError", errno.EMSGSIZE)]
                program.process.kill()
                await program.ended()
                transport.sendto(b"to nobody")
                await until(lambda: len(protocol.trace) == 2)
                assert protocol.trace[1] == ("ConnectionRefusedError", errno.ECONNREFUSED)

    loop.run_until_complete(main())


# -- pipes -------------------------------------------------------------------------


@needs("socat")
@pytest.mark.parametrize("killed", [False, True])
def test_socat_reads_a_fifo_until_its_end(loop, killed):
    """A stopped reader fills the pipe; a killed one wakes the writer."""

    async def main():
        os.mkfifo("fifo")
        with running("socat", "-u", "OPEN:fifo,rdonly", "-") as program:
            trace = []

            class Writer(asyncio.BaseProtocol):
                lost = loop.create_future()

                def pause_writing(self):
                    trace.append("pause")

                def resume_writing(self):
                    trace.append("resume")

                def connection_lost(self, error):
                    self.lost.set_result(error)

            pipe = await asyncio.to_thread(open, "fifo", "wb", 0)
            transport, protocol = await loop.connect_write_pipe(Writer, pipe)
            program.process.send_signal(signal.SIGSTOP)
            transport.write(DATA)
            assert trace == ["pause"]
            program.process.send_signal(signal.SIGKILL if killed else signal.SIGCONT)
            if killed:
                assert isinstance(await asyncio.wait_for(protocol.lost, 5), BrokenPipeError)
            else:
                await until(lambda: program.output == DATA)
                assert trace == ["pause", "resume"]
                transport.close()
                assert await protocol.lost is None
                assert await program.ended() == 0

    loop.run_until_complete(main())


@needs("socat")
def test_socat_writes_into_a_fifo(loop):
    async def main():
        os.mkfifo("fifo")
        with running("socat", "-u", "-", "OPEN:fifo,wronly") as program:
            pipe = await asyncio.to_thread(open, "fifo", "rb", 0)
            _, protocol = await loop.connect_read_pipe(Recorder, pipe)
            await asyncio.to_thread(program.say, DATA)
            await until(lambda: len(protocol.data) == len(DATA), 10)
            program.process.kill()
            assert await protocol.lost is None
            assert protocol.data == DATA

    loop.run_until_complete(main())


# -- curl --------------------------------------------------------------------------


class Web(asyncio.Protocol):
    """As much of HTTP/1.1 as curl needs: each answer says how long the question's body was, or is DATA."""

    def __init__(self):
        self.question = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.question += data
        head, end, body = self.question.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
        if not end or len(body) < length:
            return
        self.question.clear()
        answer = b"%d bytes\n" % length if length else DATA
        self.transport.writelines([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer), answer])

    def connection_lost(self, error):
        self.lost.set_result(error)


def curl(port: int, *more, scheme="https", trusting=True):
    trust = ("--cacert", directory() / "authority.pem") if trusting else ()
    return running("curl", "-sS", "-H", "Expect:", *trust, *more, f"{scheme}://localhost:{port}/")


@needs("curl", "openssl")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_downloads_and_uploads(loop, scheme):
    async def main():
        context = server_context() if scheme == "https" else None
        async with serving(loop, factory=Web, ssl=context) as (port, made):
            with curl(port, scheme=scheme) as program:
                assert await program.ended() == 0
                assert program.output == DATA
            with curl(port, "--data-binary", "@-", scheme=scheme) as program:
                await asyncio.to_thread(program.say, DATA)
                program.process.stdin.close()
                await program.heard(b"%d bytes\n" % len(DATA))
                assert await program.ended() == 0
            for protocol in made:
                assert await protocol.lost is None
        assert len(made) == 2

    loop.run_until_complete(main())


@needs("curl", "openssl")
@pytest.mark.parametrize(
    ("scheme", "trusting", "code"), [("https", False, 60), ("http", True, {52, 56})], ids=["untrusted", "plain text"]
)
def test_curl_on_the_wrong_terms_gets_no_connection(loop, scheme, trusting, code):
    """The protocol of a connection that was never made gets no call."""
    reported = []

    async def main():
        loop.set_exception_handler(lambda _, context: reported.append(context))
        made = []

        class Told(Web):
            def connection_made(self, transport):
                made.append(transport)

        server = await loop.create_server(Told, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        async with server:
            with curl(port, scheme=scheme, trusting=trusting) as program:
                assert await program.ended() in (code if isinstance(code, set) else {code})
        assert reported == []
        return made

    made = loop.run_until_complete(main())
    if scheme == "http":
        assert made == []
    for transport in made:  # a TLS 1.3 server has finished before the client looks at the certificate
        assert transport.is_closing()


@needs("curl", "openssl")
def test_a_killed_curl_ends_its_connection(loop):
    class Endless(Web):
        waiting = 0

        def data_received(self, data):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for _ in range(50):
                self.transport.write(DATA)
            # Looked at here, because later all of it may have gone on to the transport below.
            self.waiting = self.transport.get_write_buffer_size()

    async def main():
        async with serving(loop, factory=Endless, ssl=server_context()) as (port, made):
            with curl(port, "--limit-rate", "1000", "-o", os.devnull) as program:
                await until(lambda: made and made[0].waiting > 0)
                program.process.kill()
                await program.ended()
                await asyncio.wait_for(made[0].lost, 5)

    loop.run_until_complete(main())


def test_a_port_that_nobody_serves_is_refused(loop):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "127.0.0.1", free_port(), family=socket.AF_INET)

    loop.run_until_complete(main())
