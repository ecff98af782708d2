"""Connections, servers, child processes and jobs in a snapshot: of ferrio's loop and of asyncio's own."""

import asyncio
import concurrent.futures
import functools
import gc
import json
import socket
import sys
import threading
import time
import weakref

import pytest

import ferrio
import ferrio.inspect
from ferrio.inspect import Connection, Snapshot, _text, _text_io, _watched
from tests.support import tls_peers
from tests.support.inspected import LOOP, STOCK, WHOLE, inspected

pytestmark = pytest.mark.timeout(120)

LOOPS = {"ferrio": ferrio.new_event_loop, "stock": asyncio.SelectorEventLoop}


@pytest.fixture(params=LOOPS)
def factory(request):
    return LOOPS[request.param]


@pytest.fixture
def inspecting(tmp_path):
    tmp_path.chmod(0o700)
    ferrio.inspect.start(tmp_path / "inspect.sock", blocked=None)
    yield
    ferrio.inspect.stop()


def run(factory, main):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


async def until(holds) -> Snapshot:
    """The first snapshot of which `holds` is true; the test's timeout ends the wait."""
    while not holds(snapshot := ferrio.inspect.snapshot()):
        await asyncio.sleep(0.01)
    return snapshot


def between(snapshot: Snapshot, local: str, peer: str) -> Connection:
    (found,) = [each for each in snapshot["connections"] if (each["local"], each["peer"]) == (local, peer)]
    return found


class Pair:
    """A server on loopback with one connection, by streams."""

    async def __aenter__(self):
        self.accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", 0, backlog=7)
        self.address = self.server.sockets[0].getsockname()
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.other = await self.accepted
        return self

    async def handle(self, reader, writer):
        self.accepted.set_result(writer)

    async def __aexit__(self, *_):
        self.server.close()
        for each in (self.writer, self.other):
            each.transport.abort()
        await asyncio.sleep(0)

    def ends(self):
        """The client's address and the server's, as text."""
        return tuple(f"{host}:{port}" for host, port in (self.writer.get_extra_info("sockname"), self.address))


def test_a_connection_has_its_ends_its_bytes_and_its_protocol(factory):
    async def main():
        async with Pair() as pair:
            pair.writer.write(b"x" * 1000)
            client, server = pair.ends()
            snapshot = await until(lambda seen: between(seen, server, client)["received"] in (1000, None))
            return snapshot, client, server, hex(id(pair.writer.transport)), hex(id(asyncio.get_running_loop()))

    snapshot, client, server, transport, loop = run(factory, main)
    ours, theirs = between(snapshot, client, server), between(snapshot, server, client)
    assert (ours["id"], ours["loop"], ours["kind"], ours["state"]) == (transport, loop, "stream", "open")
    assert ours["protocol"] in ("ferrio.StreamReaderProtocol", "asyncio.streams.StreamReaderProtocol")
    assert (ours["buffered"], ours["tls"], ours["tls_version"]) == (0, False, None)
    assert (ours["reading_paused"], ours["writing_paused"]) == (False, False)
    if sys.platform == "linux":
        assert (ours["sent"], ours["received"], theirs["sent"], theirs["received"]) == (1000, 0, 0, 1000)
    (listening,) = snapshot["servers"]
    assert theirs["server"] == listening["id"]
    assert ours["server"] is None


def test_a_server_has_its_addresses_and_counts(factory):
    async def main():
        async with Pair() as pair:
            (before,) = ferrio.inspect.snapshot()["servers"]
            pair.server.close()
            # It has a connection, so it is still there.
            (after,) = ferrio.inspect.snapshot()["servers"]
            return before, after, pair.ends()[1]

    before, after, address = run(factory, main)
    assert before["addresses"] == [address]
    assert (before["serving"], before["open"], before["waiting"], before["backlog"]) == (True, 1, 0, 7)
    assert before["accepted"] == (1 if before["type"] == "ferrio.Server" else None)
    assert (after["addresses"], after["serving"], after["open"]) == ([], False, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_connections_that_wait_to_be_accepted_are_counted(factory):
    async def main():
        async with Pair() as pair:
            with socket.create_connection(pair.address):
                # The loop has not run since.
                return ferrio.inspect.snapshot()["servers"]

    (server,) = run(factory, main)
    assert server["waiting"] == 1


async def fill(pair: Pair) -> tuple[str, str]:
    """Writes until writing is paused, because nobody reads; returns the names of both ends."""
    pair.other.transport.pause_reading()  # type: ignore[attr-defined]
    client, server = pair.ends()
    while not between(ferrio.inspect.snapshot(), client, server)["writing_paused"]:
        pair.writer.write(b"x" * 100_000)
        await asyncio.sleep(0)
    return client, server


def test_what_is_buffered_and_paused_is_seen(factory):
    async def main():
        async with Pair() as pair:
            client, server = await fill(pair)
            size = pair.writer.transport.get_write_buffer_size()
            return ferrio.inspect.snapshot(), client, server, size

    snapshot, client, server, size = run(factory, main)
    ours, theirs = between(snapshot, client, server), between(snapshot, server, client)
    assert ours["buffered"] == size > 0
    assert (ours["writing_paused"], theirs["reading_paused"]) == (True, True)
    # Nothing was recorded, so nobody knows since when.
    assert (ours["writing_paused_for"], theirs["reading_paused_for"]) == (None, None)


@pytest.mark.usefixtures("inspecting")
def test_since_when_reading_and_writing_are_paused_is_recorded():
    async def main():
        async with Pair() as pair:
            client, server = await fill(pair)
            before = time.monotonic()
            first = ferrio.inspect.snapshot()
            await asyncio.sleep(0.05)
            second = ferrio.inspect.snapshot()
            passed = time.monotonic() - before
            return client, server, first, second, passed

    client, server, first, second, passed = run(ferrio.new_event_loop, main)
    writing = [between(each, client, server)["writing_paused_for"] for each in (first, second)]
    reading = [between(each, server, client)["reading_paused_for"] for each in (first, second)]
    for earlier, later in (writing, reading):
        assert earlier is not None
        assert later is not None
        assert 0 <= earlier < later
        assert later - earlier <= passed


@pytest.mark.usefixtures("inspecting")
def test_tls_connections_have_a_version_and_a_cipher_and_their_own_pauses(factory):
    async def main():
        async with tls_peers.serving() as address, tls_peers.client(address) as (transport, _):
            transport.pause_reading()
            snapshot = ferrio.inspect.snapshot()
            cipher = transport.get_extra_info("cipher")[0]
            version = transport.get_extra_info("ssl_object").version()
            return snapshot, hex(id(transport)), cipher, version

    snapshot, transport, cipher, version = run(factory, main)
    (ours,) = [each for each in snapshot["connections"] if each["id"] == transport]
    assert (ours["tls"], ours["tls_version"], ours["tls_cipher"]) == (True, version, cipher)
    assert ours["protocol"] == "tests.support.peers.Recorder"
    assert ours["reading_paused"] is True
    assert [each["tls"] for each in snapshot["servers"]] == [True]


def test_datagram_endpoints_and_unix_sockets_are_connections(factory, tmp_path):
    path = str(tmp_path / "s")

    async def main():
        loop = asyncio.get_running_loop()
        endpoint, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        host, port = endpoint.get_extra_info("sockname")
        made = loop.create_future()
        server = await asyncio.start_unix_server(lambda _, writer: made.set_result(writer), path)
        _, writer = await asyncio.open_unix_connection(path)
        accepted = await made
        snapshot = ferrio.inspect.snapshot()
        server.close()
        accepted.transport.abort()
        endpoint.abort()
        writer.transport.abort()
        await asyncio.sleep(0)
        return snapshot, f"{host}:{port}"

    snapshot, address = run(factory, main)
    (endpoint,) = [each for each in snapshot["connections"] if each["kind"] == "datagram"]
    assert (endpoint["local"], endpoint["sent"]) == (address, None)
    assert {each["peer"] for each in snapshot["connections"] if each["kind"] == "stream"} == {path, None}
    assert [each["addresses"] for each in snapshot["servers"]] == [[path]]


def test_a_child_process_has_its_program_but_not_its_arguments(factory):
    async def main():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input('a secret')", stdin=-1, stdout=-1)
        snapshot = await until(lambda seen: seen["children"][0]["state"] == "sleeping" or sys.platform != "linux")
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()
        return snapshot, child.pid

    snapshot, pid = run(factory, main)
    (child,) = snapshot["children"]
    assert (child["pid"], child["returncode"]) == (pid, None)
    assert child["program"] == sys.executable.rpartition("/")[2]
    assert "secret" not in json.dumps(snapshot)
    if sys.platform == "linux":
        assert child["age"] is not None


def test_a_command_for_the_shell_is_not_shown(factory):
    async def main():
        child = await asyncio.create_subprocess_shell("read line; echo secret", stdin=-1, stdout=-1)
        snapshot = ferrio.inspect.snapshot()
        await child.communicate(b"\n")
        return snapshot

    snapshot = run(factory, main)
    assert len(snapshot["children"]) == 1
    assert "secret" not in json.dumps(snapshot["children"])


class Blocks:
    """A call that a test ends."""

    def __init__(self):
        self.begun = threading.Event()
        self.end = threading.Event()

    def wait(self):
        self.begun.set()
        self.end.wait()


@pytest.mark.usefixtures("inspecting")
def test_jobs_run_and_wait_with_their_functions_and_tasks(factory):
    blocks = Blocks()

    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
            first = loop.run_in_executor(pool, blocks.wait)
            blocks.begun.wait()
            second = loop.run_in_executor(pool, functools.partial(time.sleep, 0))

            async def waits():
                await first

            task = asyncio.create_task(waits(), name="waits")
            await asyncio.sleep(0)
            snapshot = ferrio.inspect.snapshot()
            blocks.end.set()
            await task
            await second
        return snapshot, hex(id(task)), hex(id(loop))

    snapshot, task, loop = run(factory, main)
    running, queued = ([each for each in snapshot["jobs"] if each["state"] == state] for state in ("running", "queued"))
    assert [each["function"] for each in running] == ["Blocks.wait"]
    assert running[0]["file"] == __file__
    assert (running[0]["task"], running[0]["loop"]) == (task, loop)
    assert running[0]["executor"] == "mine"
    assert running[0]["thread_name"] == "mine_0"
    assert [each["function"] for each in queued] == ["time.sleep"]
    (waiting,) = [each for each in snapshot["tasks"] if each["name"] == "waits"]
    assert waiting["waits_for"] is not None
    assert waiting["waits_for"]["job"] == running[0]["id"]
    assert "executor: Blocks.wait, running" in "\n".join(_text.ps(snapshot))


@pytest.mark.parametrize("recorded", [False, True])
def test_jobs_of_the_default_executor_are_seen_with_and_without_inspection(recorded, request):
    if recorded:
        request.getfixturevalue("inspecting")
    blocks = Blocks()

    async def main():
        job = asyncio.ensure_future(asyncio.to_thread(blocks.wait))
        while not blocks.begun.is_set():
            await asyncio.sleep(0.001)
        snapshot = ferrio.inspect.snapshot()
        blocks.end.set()
        await job
        await asyncio.to_thread(lambda: None)
        return snapshot, ferrio.inspect.snapshot()

    snapshot, later = run(ferrio.new_event_loop, main)
    (job,) = snapshot["jobs"]
    assert (job["function"], job["state"], job["executor"]) == ("Blocks.wait", "running", "asyncio")
    # Since when it runs is known only if that was recorded.
    assert (job["running"] is not None, job["waited"] is not None) == (recorded, recorded)
    assert [each["state"] for each in later["jobs"]] == []


def test_names_of_callables_run_no_code_of_the_program():
    class Callable:
        def __getattribute__(self, name):
            raise AssertionError(name)

        def __call__(self):
            pass

    from ferrio.inspect._jobs import place_of

    assert place_of(Callable()) == (f"{__name__}.{Callable.__qualname__}", None, None)
    assert place_of(functools.partial(Blocks().wait))[0] == "Blocks.wait"
    assert place_of(time.sleep)[0] == "time.sleep"
    assert place_of(Blocks)[0] == f"{__name__}.Blocks"


def test_a_snapshot_changes_nothing_and_keeps_nothing(factory):
    async def main():
        async with Pair() as pair:
            transport = weakref.ref(pair.writer.transport)
            before = repr(pair.writer.transport)
            for _ in range(3):
                ferrio.inspect.snapshot()
            assert repr(pair.writer.transport) == before
            pair.other.write(b"answer\n")
            assert await pair.reader.readline() == b"answer\n"
        return transport

    transport = run(factory, main)
    gc.collect()
    assert transport() is None


def test_long_lists_are_cut_and_say_so(monkeypatch):
    monkeypatch.setattr(_watched, "MOST_LISTED", 1)

    async def main():
        async with Pair(), Pair():
            return ferrio.inspect.snapshot()

    snapshot = run(ferrio.new_event_loop, main)
    assert len(snapshot["connections"]) == 1
    assert snapshot["left_off"]["connections"] == 3
    assert "… and 3 more" in "\n".join(_text_io.io(snapshot))
    assert "4 connections" in "\n".join(_text.ps(snapshot))


def test_connections_that_come_and_go_meanwhile_are_neither_lost_nor_doubled(factory):
    """Another thread looks all the time: a connection that is there throughout is there in each look, once."""
    looks: list[Snapshot] = []
    ends = threading.Event()

    def look():
        while not ends.is_set():
            looks.append(ferrio.inspect.snapshot())

    async def main():
        async with Pair() as lasting:
            thread = threading.Thread(target=look)
            thread.start()
            while len(looks) < 10:
                async with Pair() as passing:
                    passing.writer.write(b"x")
                    await passing.writer.drain()
            ends.set()
            await asyncio.to_thread(thread.join)
            return lasting.ends()

    client, server = run(factory, main)
    for each in looks:
        between(each, client, server)
        identifiers = [connection["id"] for connection in each["connections"]]
        assert len(identifiers) == len(set(identifiers))


CODE = """
    async def handle(reader, writer):
        await reader.read()

    async def main():
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        child = await asyncio.create_subprocess_exec("cat", "-u", "-", stdin=-1, stdout=-3, stderr=-3)
        jobs = [asyncio.ensure_future(asyncio.to_thread(__import__("time").sleep, 1000)) for _ in range(2)]
        waits = asyncio.create_task(child.wait(), name="waits for the child")
        print("ready")
        try:
            await reader.read()
        finally:
            child.kill()
"""


@pytest.mark.parametrize("how", [WHOLE, LOOP, STOCK], ids=["whole", "loop", "stock"])
def test_the_views_show_it_from_outside(tmp_path, how):
    with inspected(tmp_path, CODE, run=how) as program:
        snapshot = program.until(lambda seen: len(seen["jobs"]) == 2 and len(seen["connections"]) >= 3)
        shown = program.show("io")
        child = snapshot["children"][0]["pid"]
        listed = program.show("ps")
        reasons = program.show("why")
        of_child = program.show("why", "waits for the child")
    assert snapshot["servers"][0]["addresses"][0] in shown
    assert f"{child}  cat " in shown
    assert "-u" not in shown
    assert shown.count("time.sleep") == 2
    assert "also: 1 server, 3 connections, 1 child process, 2 jobs" in listed
    assert "for stream read on 127.0.0.1:" in reasons
    assert "for executor: time.sleep, running" in reasons
    assert f"for child process {child} (cat), " in of_child
