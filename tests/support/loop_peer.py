"""A peer in a process of its own, on a loop that is not ours.

`python -m tests.support.loop_peer LOOP ROLE TRANSPORT ADDRESS`: the role `serve` sends back what comes and prints where
it listens; `ask` sends standard input and prints what comes back, as much as it sent. Transports are tcp, tls, unix and
udp. The loop is `asyncio` or `uvloop`.
"""

import asyncio
import os
import sys

from tests.support.certificates import client_context, server_context


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class DatagramAsker(asyncio.DatagramProtocol):
    def __init__(self):
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data, address):
        self.answers.put_nowait(data)


async def serve(transport: str, address: str) -> None:
    loop = asyncio.get_running_loop()
    if transport == "udp":
        endpoint, _ = await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", 0))
        address = endpoint.get_extra_info("sockname")[1]
    elif transport == "unix":
        server = await loop.create_unix_server(Echo, address)  # kept: one that nobody holds may close
    else:
        context = server_context() if transport == "tls" else None
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=context)
        address = server.sockets[0].getsockname()[1]
    print(address, flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def ask(transport: str, address: str) -> None:
    question = await asyncio.to_thread(sys.stdin.buffer.read)
    if transport == "udp":
        answer = await ask_by_datagrams(int(address), question)
    else:
        if transport == "unix":
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            context, name = (client_context(), "localhost") if transport == "tls" else (None, None)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address), ssl=context, server_hostname=name)
        writer.write(question)
        answer = await reader.readexactly(len(question))
        writer.close()
        await writer.wait_closed()
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()


async def ask_by_datagrams(port: int, question: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    endpoint, asker = await loop.create_datagram_endpoint(DatagramAsker, remote_addr=("127.0.0.1", port))
    answer = b""
    for start in range(0, len(question), 1000):
        endpoint.sendto(question[start : start + 1000])
        answer += await asker.answers.get()
    endpoint.close()
    return answer


def main() -> None:
    loop_name, role, transport, address = sys.argv[1:]
    make = asyncio.SelectorEventLoop if loop_name == "asyncio" else __import__(loop_name).new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run({"serve": serve, "ask": ask}[role](transport, address))
    os._exit(0)  # a thread may still wait for standard input


if __name__ == "__main__":
    main()
