"""Virtual time with real sockets, children and threads: the clock jumps only when nothing real is pending."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time

import pytest

import ferrio.inspect
from ferrio import testing
from ferrio.testing import _real_io

HOUR = 3600.0


def run_real(main):
    return testing.run(main, io="real")


@contextlib.contextmanager
def peer(serve):
    """A server in a thread that the simulation knows nothing of; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    serve(connection)

        thread = threading.Thread(target=work)
        thread.start()
        yield listener.getsockname()[1]
    thread.join()


def test_a_sleep_of_an_hour_ends_at_once_with_exact_times():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time(), time.time()
        await asyncio.sleep(HOUR)
        return loop.time() - began[0], time.time() - began[1]

    assert run_real(main) == (HOUR, HOUR)


def test_an_answer_from_outside_comes_before_a_timeout():
    def answer_late(connection):
        connection.recv(10)
        time.sleep(0.2)
        connection.sendall(b"late\n")

    async def main(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        async with asyncio.timeout(HOUR):
            line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(HOUR)
        return line, asyncio.get_running_loop().time()

    with peer(answer_late) as port:
        line, took = run_real(lambda: main(port))
    assert line == b"late\n"
    assert HOUR < took < HOUR + 60


def test_a_peer_that_never_answers_runs_into_the_timeout():
    asked = threading.Event()

    def wait(connection):
        connection.recv(10)
        asked.wait()

    async def main(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readline()
        asked.set()
        writer.close()

    with peer(wait) as port:
        run_real(lambda: main(port))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_both_ends_in_the_program_leave_time_virtual(kind, tmp_path):
    async def main():
        async def answer(reader, writer):
            try:
                while line := await reader.readline():
                    await asyncio.sleep(HOUR)
                    writer.write(line.upper())
            finally:
                # The program may end before the other end's closing is seen.
                writer.close()

        path = str(tmp_path / "socket")
        if kind == "tcp":
            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        else:
            server = await asyncio.start_unix_server(answer, path)
            reader, writer = await asyncio.open_unix_connection(path)
        for text in (b"one\n", b"two\n" * 1000):
            writer.write(text)
            for _ in range(text.count(b"\n")):
                assert await reader.readline() == text[:4].upper()
        writer.close()
        server.close()
        return asyncio.get_running_loop().time()

    assert run_real(main) == pytest.approx(HOUR * 1001)


def test_a_full_buffer_does_not_stop_the_clock():
    async def main():
        async def take_later(reader, writer):
            await asyncio.sleep(HOUR)
            taken = 0
            while data := await reader.read(1 << 20):
                taken += len(data)
            writer.close()
            received.set_result(taken)

        received = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(take_later, "127.0.0.1", 0, limit=1 << 16)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        size = 64 << 20
        writer.write(bytes(size))
        writer.write_eof()
        assert await received == size
        writer.close()
        server.close()

    run_real(main)


def test_a_child_is_waited_for():
    code = "import time, sys; time.sleep(0.2); print('done'); sys.exit(3)"

    async def main():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(HOUR):
            out, _ = await child.communicate()
        await asyncio.sleep(HOUR)
        return out, child.returncode

    assert run_real(main) == (b"done\n", 3)


def test_a_child_started_by_others_is_waited_for():
    async def main():
        read, write = os.pipe()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", f"import os, time; time.sleep(0.2); os.write({write}, b'x')"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, write, write)],
        )
        got = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(read, lambda: got.done() or got.set_result(os.read(read, 1)))
        async with asyncio.timeout(HOUR):
            assert await got == b"x"
        asyncio.get_running_loop().remove_reader(read)
        os.close(read)
        os.close(write)
        os.waitpid(pid, 0)

    run_real(main)


def test_jobs_and_threads_are_waited_for():
    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HOUR):
            assert await asyncio.to_thread(lambda: (time.sleep(0.1), threading.get_ident())[1]) != threading.get_ident()
        called = loop.create_future()

        def call():
            time.sleep(0.1)
            loop.call_soon_threadsafe(called.set_result, 1)

        threading.Thread(target=call).start()
        async with asyncio.timeout(HOUR):
            await called
        await asyncio.sleep(HOUR)
        return loop.time()

    assert HOUR < run_real(main) < HOUR + 60


def test_jobs_run_side_by_side():
    async def main():
        meeting = threading.Barrier(2)
        await asyncio.gather(*(asyncio.to_thread(meeting.wait, 60) for _ in range(2)))

    run_real(main)


def test_a_job_talks_to_a_server_of_the_loop():
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)

        def ask(address):
            with socket.create_connection(address) as sock:
                sock.sendall(b"blocking\n")
                return sock.recv(100)

        async with asyncio.timeout(HOUR):
            assert await asyncio.to_thread(ask, server.sockets[0].getsockname()) == b"blocking\n"
        server.close()

    run_real(main)


def test_a_pipe_inside_the_program_leaves_time_virtual():
    async def main():
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(read, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        loop.call_later(HOUR, os.write, write, b"x\n")
        assert await reader.readline() == b"x\n"
        transport.close()
        os.close(write)
        return loop.time()

    assert run_real(main) == HOUR


def test_a_loop_that_polls_sees_the_clock_go_on():
    async def main():
        async def poll():
            while not job.done():
                await asyncio.sleep(0)

        job = asyncio.create_task(asyncio.to_thread(stop.wait))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(poll(), 0.05)
        stop.set()
        await job

    stop = threading.Event()
    run_real(main)


def test_a_deadlock_is_reported_where_nothing_can_come():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(testing.Deadlock):
        run_real(main)


def test_threads_of_inspection_are_nobody_who_may_call(tmp_path):
    async def main():
        await asyncio.get_running_loop().create_future()

    ferrio.inspect.start(tmp_path / "socket", lints=True)
    registration = ferrio.inspect.on_blocked(lambda block: None)
    try:
        assert {"ferrio-on-blocked", "ferrio-lints"} <= {thread.name for thread in threading.enumerate()}
        with pytest.raises(testing.Deadlock):
            run_real(main)
    finally:
        registration()
        ferrio.inspect.stop()


def test_a_signal_may_come_where_there_is_a_handler():
    async def main():
        loop = asyncio.get_running_loop()
        got = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, got.set_result, 1)
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        sender.start()
        assert await got == 1
        sender.join()
        loop.remove_signal_handler(signal.SIGUSR1)

    run_real(main)


def test_names_are_looked_up_and_datagrams_sent():
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        got = loop.create_future()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                got.set_result(data)

        server, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        client, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=server.get_extra_info("sockname")
        )
        client.sendto(b"hello")
        async with asyncio.timeout(60):
            assert await got == b"hello"
        server.close()
        client.close()

    run_real(main)


def test_invariants_hold_and_the_network_is_not_simulated():
    async def main():
        testing.sim.always(lambda: True)
        with pytest.raises(RuntimeError, match="no simulated networks"):
            _ = testing.sim.net
        testing.sim.always(lambda: asyncio.get_running_loop().time() < HOUR, "early")
        await asyncio.sleep(HOUR)

    with pytest.raises(testing.InvariantError, match="early"):
        run_real(main)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="io is"):
        testing.run(lambda: asyncio.sleep(0), io="some")
    with pytest.raises(ValueError, match="io is"):
        testing.simulate(io="some")


@testing.simulate(io="real")
async def test_a_decorated_function_runs_once():
    child = await asyncio.create_subprocess_exec("true")
    assert await child.wait() == 0
    await asyncio.sleep(HOUR)


def test_a_program_can_be_interrupted():
    async def main():
        async def interrupt():
            await asyncio.sleep(0.1)
            signal.raise_signal(signal.SIGINT)

        await asyncio.gather(interrupt(), asyncio.sleep(HOUR))

    with pytest.raises(KeyboardInterrupt):
        run_real(main)


def test_a_peer_that_has_said_its_last_leaves_time_virtual():
    async def main(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b"bye"
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(HOUR)
        assert asyncio.get_running_loop().time() - began == HOUR
        writer.close()

    with peer(lambda connection: connection.sendall(b"bye")) as port:
        run_real(lambda: main(port))


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="only Linux says that a peer has said its last")
def test_what_arrives_while_the_loop_asks_whether_something_is_pending_is_no_deadlock(monkeypatch):
    ask = _real_io.RealIO.is_pending
    may_end = threading.Event()

    def end_and_ask(real_io):
        if not may_end.is_set():
            may_end.set()
            for descriptor in _real_io.Simulation.descriptors(real_io._loop):
                poller = select.poll()
                poller.register(descriptor, select.POLLRDHUP)
                poller.poll(10_000)
            ended.join(10)
        return ask(real_io)

    async def main():
        reader, writer = await asyncio.open_connection(sock=ours)
        monkeypatch.setattr(_real_io.RealIO, "is_pending", end_and_ask)
        assert await reader.read() == b"bye"
        writer.close()

    def end():
        may_end.wait()
        theirs.sendall(b"bye")
        theirs.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ended = threading.Thread(target=end)
    ended.start()
    run_real(main)
