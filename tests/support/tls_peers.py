"""What the TLS tests share: servers and clients on the loop, and blocking peers of the `ssl` module in threads."""

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

from tests.support.certificates import client_context, server_context
from tests.support.peers import Recorder, listening, turns

NAME: dict[str, Any] = {"server_hostname": "localhost"}


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@contextlib.asynccontextmanager
async def serving(factory=Echo, context=None, **keywords):
    """A TLS server's address; afterwards it and its connections are gone."""
    made = []

    def remembering():
        made.append(factory())
        return made[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(remembering, "127.0.0.1", 0, ssl=context or server_context(), **keywords)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for protocol in made:
            if hasattr(protocol, "transport") and protocol.transport is not None:
                protocol.transport.abort()
        await turns(5)


@contextlib.asynccontextmanager
async def client(address, factory=Recorder, context=None, **keywords):
    loop = asyncio.get_running_loop()
    keywords = NAME | keywords
    transport, protocol = await loop.create_connection(factory, *address, ssl=context or client_context(), **keywords)
    try:
        yield transport, protocol
    finally:
        transport.abort()
        await turns(5)


@contextlib.asynccontextmanager
async def blocking_server(talk, context=None):
    """The address of a server that accepts one connection in a thread, and shakes hands and calls `talk` with it."""
    errors = []

    def serve(listener):
        try:
            sock, _ = listener.accept()
            sock.settimeout(5)
            with sock, (context or server_context()).wrap_socket(sock, server_side=True) as secured:
                talk(secured)
        except Exception as error:
            errors.append(error)

    with listening() as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            await asyncio.to_thread(thread.join, 10)
    assert not errors, errors


async def ask(address, question: bytes, context=None) -> bytes:
    """What a blocking client gets back for its question."""

    def talk():
        with socket.create_connection(address, timeout=5) as sock:
            with (context or client_context()).wrap_socket(sock, **NAME) as secured:
                answer = b""
                for start in range(0, len(question), 1 << 16):
                    part = question[start : start + (1 << 16)]
                    secured.sendall(part)
                    while len(answer) < start + len(part):
                        answer += secured.recv(1 << 16)
                return answer

    return await asyncio.to_thread(talk)


def shake_hands(sock) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A client's TLS object after its handshake over a blocking socket, what it reads from and what it writes to."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls_object = client_context().wrap_bio(incoming, outgoing, **NAME)
    while True:
        try:
            tls_object.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(1 << 16))
    sock.sendall(outgoing.read())
    return tls_object, incoming, outgoing
