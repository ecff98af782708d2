"""Unix sockets for tests: paths in a directory of the test, raw peers, echo servers."""

import asyncio
import contextlib
import socket

import pytest

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
