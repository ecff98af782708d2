"""Programs that the tests of recordings record in one process and replay in another.

Run as a script: `record FILE PROGRAM` runs a program on real sockets and threads, `replay FILE PROGRAM` repeats it.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import threading
import time

import ferrio
from ferrio import testing

WORKERS = 6


async def echo(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(b"echo " + line)
            await writer.drain()
    finally:
        writer.close()


class OrderError(Exception):
    """What a racing program ends with: the order of what arrived."""


async def race():
    """Two connections and jobs of threads arrive in an order that nobody knows before."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    order = []

    async def talk(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in range(3):
            writer.write(f"{number} {turn}\n".encode())
            order.append((await reader.readline()).decode().strip())
            await asyncio.sleep(random.random() / 500)
        writer.close()
        await writer.wait_closed()

    async def work(number):
        order.append(await asyncio.to_thread(job, number))

    def job(number):
        time.sleep(random.random() / 100)
        return f"job {number}"

    await asyncio.gather(talk(1), talk(2), *(work(number) for number in range(WORKERS)))
    server.close()
    await server.wait_closed()
    raise OrderError(json.dumps(order))


async def changed_race():
    """The same program, which has become another one."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"something else\n")
    await reader.readline()


async def moody():
    """Takes another path in each process."""
    await asyncio.sleep(0.001)
    for _ in range(os.getpid() % 1000):
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)


async def everything():
    """Timers, threads that call the loop, jobs that wait for it, lookups, datagrams, `sock_*`, Unix sockets."""
    loop = asyncio.get_running_loop()
    seen = []

    def call_from_outside():
        for number in range(5):
            time.sleep(0.001)
            loop.call_soon_threadsafe(seen.append, f"thread {number}")

    thread = threading.Thread(target=call_from_outside, name="the outsider")
    thread.start()

    async def answer():
        await asyncio.sleep(0.002)
        return "an answer"

    def ask():
        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    async def ticks():
        for number in range(4):
            await asyncio.sleep(0.0015)
            seen.append(f"tick {number}")

    async def jobs():
        seen.append(await asyncio.to_thread(ask))

    async def lookups():
        found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        seen.append(str(sorted(str(each[4][0]) for each in found)))
        try:
            await loop.getaddrinfo("name.invalid", 80)
        except socket.gaierror as error:
            seen.append(f"gaierror {error.errno}")

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            seen.append(f"datagram {data.decode()} of {address[0]}")
            if data.startswith(b"ping"):
                self.transport.sendto(b"pong", address)

    async def datagrams():
        there, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        address = there.get_extra_info("sockname")
        here, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=address)
        here.sendto(b"ping")
        while "datagram pong of 127.0.0.1" not in seen:
            await asyncio.sleep(0.001)
        here.close()
        there.close()

    async def sockets():
        with socket.socket() as listener:
            listener.setblocking(False)
            listener.bind(("127.0.0.1", 0))
            listener.listen()

            async def serve():
                connection, peer = await loop.sock_accept(listener)
                with connection:
                    await loop.sock_sendall(connection, await loop.sock_recv(connection, 100))
                return peer[0]

            serving = asyncio.ensure_future(serve())
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, listener.getsockname())
                await loop.sock_sendall(client, b"by hand")
                buffer = bytearray(100)
                count = await loop.sock_recv_into(client, buffer)
                seen.append(f"{buffer[:count].decode()} from {await serving}")

    async def refused():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = unused.getsockname()
        try:
            await asyncio.open_connection(*address[:2])
        except OSError as error:
            seen.append(f"OSError {error.errno}")

    async def much():
        async def sink(reader, writer):
            await asyncio.sleep(0.01)
            seen.append(f"{len(await reader.read())} bytes")
            writer.close()

        server = await asyncio.start_server(sink, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        for _ in range(40):
            writer.write(bytes(100_000))
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        while not any(text.endswith("bytes") for text in seen):
            await asyncio.sleep(0.001)
        server.close()

    everyone = (ticks, jobs, lookups, datagrams, sockets, refused, much)
    await asyncio.gather(*(each() for each in everyone))
    while "thread 4" not in seen:
        await asyncio.sleep(0.001)
    thread.join()
    seen.append(f"{random.random():.9f}")
    raise OrderError(json.dumps(seen))


async def signals():
    """Is told by a signal to end."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, event.set)
    if "replay" not in sys.argv:
        os.kill(os.getpid(), signal.SIGUSR1)
    await event.wait()
    raise OrderError(json.dumps(["told"]))


async def waits_for_ever():
    """Is killed, or interrupted."""
    await asyncio.to_thread(int)
    if "replay" not in sys.argv:
        print("waiting", flush=True)
    await asyncio.Event().wait()


PROGRAMS = {program.__name__: program for program in (race, changed_race, moody, everything, signals, waits_for_ever)}


def main():
    command, file, name = sys.argv[1:]
    program = PROGRAMS[name]
    ferrio.install()
    if command == "replay":
        report = testing.replay(program, file)
        print(report.failure.exception if report.failure else "passed")
        return
    try:
        with testing.record(file, bytes=True):
            asyncio.run(program())
    except OrderError as error:
        print(error)


if __name__ == "__main__":
    main()
