"""TLS: an echo server on the measured loop, measured by its own processor time.

The clients, in another process, do as much cryptography as the server, so elapsed time would measure them too.
"""

import asyncio
import functools
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time

from .connections import Echo
from .workload import Rate, workload


@functools.cache
def context() -> ssl.SSLContext:
    """A server's context, with a certificate that clients do not verify."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = pathlib.Path(directory, "certificate"), pathlib.Path(directory, "key")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        made.load_cert_chain(certificate, key)
    return made


async def _served(kind: str, size: int, connections: int, times: int) -> Rate:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=context(), backlog=1024)
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, "-S", "-m", "benches.clients", *map(str, (port, kind, size, connections, times))]
    began = time.process_time()
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await process.wait() == 0
    used = time.process_time() - began
    server.close()
    return Rate(connections * times / used)


@workload
async def echo_1k_10_connections() -> Rate:
    return await _served("tls-echo", 1024, 10, 500)


@workload
async def echo_100k_10_connections() -> Rate:
    return await _served("tls-echo", 100 * 1024, 10, 100)


@workload
async def accept() -> Rate:
    return await _served("tls-connect", 16, 1, 200)
