"""The edges of what is seen of connections, jobs and lints: exit, daemon threads, no memory, many of them."""

import asyncio
import collections
import functools
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ferrio
import ferrio.inspect
from ferrio.inspect import _watched
from tests.support.inspected import inspected

pytestmark = pytest.mark.timeout(120)


def run(code: str, directory, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program, and gives it a directory for sockets."""
    directory.chmod(0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory)} | variables
    command = [sys.executable, *options, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


NO_MEMORY = """
import asyncio, sys, threading, ferrio, ferrio.inspect
from _testcapi import remove_mem_hooks, set_nomemory
from ferrio import _ferrio

begun, end = threading.Event(), threading.Event()

def call():
    begun.set()
    end.wait()

async def fails():
    raise KeyError

def sweep(operation):
    for endless in (False, True):
        for start in range(60):
            set_nomemory(start, 0 if endless else start + 1)
            try:
                operation()
            except MemoryError:
                pass
            finally:
                remove_mem_hooks()

async def main():
    loop = asyncio.get_running_loop()
    accepted = loop.create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await accepted
    job = loop.run_in_executor(None, call)
    begun.wait()
    broken = loop.create_task(fails())
    await asyncio.sleep(0.01)
    watched = _ferrio._watched_by(loop)
    descriptor = writer.get_extra_info("socket").fileno()
    assert _ferrio._failed_futures() and _ferrio._running_jobs()
    sweep(lambda: _ferrio._watched_by(loop))
    sweep(lambda: _ferrio._connection_totals(loop))
    sweep(lambda: _ferrio._tcp_counters(descriptor))
    sweep(lambda: _ferrio._running_jobs())
    sweep(lambda: _ferrio._failed_futures())
    for each in watched:
        sweep(lambda: _ferrio._connection_of(each))
        sweep(lambda: _ferrio._server_of(each))
        sweep(lambda: _ferrio._count_connections(each))
    # All of it still works.
    snapshot = ferrio.inspect.snapshot()
    assert len(snapshot["connections"]) == 2 and len(snapshot["servers"]) == len(snapshot["jobs"]) == 1, snapshot
    broken.exception()
    end.set()
    await job
    for each in (writer, await accepted):
        each.transport.abort()
    server.close()

ferrio.inspect.start(blocked=None)
with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
    runner.run(main())
print("done")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="the interpreter's test module refuses memory"
)
def test_the_native_functions_survive_a_lack_of_memory(tmp_path):
    done = run(NO_MEMORY, tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done


def test_a_failure_without_memory_to_note_it_is_a_failure_all_the_same(tmp_path):
    code = """
    import asyncio, ferrio, ferrio.inspect
    from _testcapi import remove_mem_hooks, set_nomemory

    async def main():
        for start in range(40):
            future = asyncio.get_running_loop().create_future()
            error = ValueError()
            set_nomemory(start, 0)
            try:
                future.set_exception(error)
            except MemoryError:
                continue
            finally:
                remove_mem_hooks()
            assert future.exception() is error

    ferrio.inspect.start(blocked=None)
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
    print("done")
    """
    if importlib.util.find_spec("_testcapi") is None:
        pytest.skip("the interpreter's test module refuses memory")
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), done


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "import os; os._exit(0)"], ids=["end", "exit", "_exit"])
def test_a_process_ends_while_its_threads_look_and_daemons_run_loops(tmp_path, end):
    code = f"""
    import asyncio, threading, time, ferrio, ferrio.inspect
    from ferrio.inspect import LintLimits

    async def work(ready):
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        job = asyncio.ensure_future(asyncio.to_thread(time.sleep, 0.01))
        ready.set()
        while True:
            await asyncio.sleep(0)

    def look():
        while True:
            ferrio.inspect.snapshot()

    ferrio.inspect.start(lints=LintLimits(interval=0.01), blocked=None)
    for _ in range(3):
        ready = threading.Event()
        runs = lambda: asyncio.Runner(loop_factory=ferrio.new_event_loop).run(work(ready))
        threading.Thread(target=runs, daemon=True).start()
        ready.wait()
    threading.Thread(target=look, daemon=True).start()
    time.sleep(0.2)
    {end}
    """
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_a_fork_while_lints_are_looked_for_warns_of_no_threads(tmp_path):
    code = """
    import os, ferrio.inspect
    from ferrio.inspect import LintLimits

    ferrio.inspect.start(lints=LintLimits(interval=0.01), blocked=None)
    for _ in range(20):
        if (child := os.fork()) == 0:
            # It looks for itself.
            assert ferrio.inspect._lint_watch._watch.thread.is_alive()
            assert ferrio.inspect.lints() == []
            ferrio.inspect.stop()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    print("done")
    """
    done = run(code, tmp_path, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), done


def test_a_forked_child_shows_none_of_its_parents_jobs(tmp_path):
    code = """
    import asyncio, os, threading, ferrio, ferrio.inspect

    begun, end = threading.Event(), threading.Event()

    def call():
        begun.set()
        end.wait()

    async def main():
        job = asyncio.get_running_loop().run_in_executor(None, call)
        begun.wait()
        assert len(ferrio.inspect.snapshot()["jobs"]) == 1
        if (child := os.fork()) == 0:
            os._exit(len(ferrio.inspect.snapshot()["jobs"]))
        status = os.waitpid(child, 0)[1]
        assert len(ferrio.inspect.snapshot()["jobs"]) == 1
        end.set()
        await job
        return status

    ferrio.inspect.start(blocked=None)
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        print(runner.run(main()))
    """
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "0\n"), done


def test_snapshots_are_the_same_in_debug_mode(tmp_path):
    code = """
    async def handle(reader, writer):
        await reader.read()

    async def main():
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        kept = asyncio.create_task(asyncio.sleep(1000))
        print("ready")
        await reader.read()
    """
    with inspected(tmp_path, code, options=("-X", "dev")) as program:
        snapshot = program.until(lambda seen: len(seen["connections"]) == 2)
    assert [each["debug"] for each in snapshot["loops"]] == [True]
    assert len(snapshot["servers"]) == 1
    assert snapshot["lints"] == []


def test_a_snapshot_of_more_connections_than_are_listed_goes_over_the_socket(tmp_path, monkeypatch):
    monkeypatch.setattr(_watched, "MOST_LISTED", 10)
    code = """
    from ferrio.inspect import _watched

    _watched.MOST_LISTED = 10

    async def main():
        server = await asyncio.start_server(lambda r, w: kept.append(w), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        kept = []
        for _ in range(20):
            kept.append((await asyncio.open_connection(*address))[1])
        while len(kept) < 40:
            await asyncio.sleep(0.01)
        print("ready")
        await asyncio.Event().wait()
    """
    with inspected(tmp_path, code) as program:
        snapshot = program.snapshot()
        assert (len(snapshot["connections"]), snapshot["left_off"]["connections"]) == (10, 30)
        assert "… and 30 more" in program.show("io")
        assert "40 connections" in program.show("ps")


RAN: list[str] = []


def notes(name: str, result: Any = None) -> Callable[..., Any]:
    """A method that says that it ran."""

    def method(*_: Any) -> Any:
        RAN.append(name)
        return result

    return method


class Meta(type):
    __hash__ = notes("the metaclass's hash", 1)
    __name__ = property(notes("the metaclass's name", "x"))


class Nosy(metaclass=Meta):
    """Everything that might be asked of it says so; called, it waits."""

    __getattr__ = notes("getattr")
    __len__ = __hash__ = notes("len or hash", 1)
    __bool__ = __eq__ = notes("bool or eq", True)
    __iter__ = notes("iter", iter(()))
    __repr__ = __str__ = notes("repr", "")

    def __init__(self, end):
        self.end = end

    def __call__(self, *_):
        self.end.wait()


class NosyDeque(collections.deque):
    __len__ = notes("len of the queue", 0)
    __iter__ = notes("iter of the queue", iter(()))


class NosyQueue(asyncio.Queue):
    def _init(self, maxsize):
        self._queue = NosyDeque()


@pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.SelectorEventLoop])
def test_no_code_of_the_program_runs(factory):
    end = threading.Event()

    async def work(nosy, queue):
        await asyncio.get_running_loop().create_future()

    async def main():
        loop = asyncio.get_running_loop()
        nosy = Nosy(end)
        task = loop.create_task(work(nosy, NosyQueue()))
        jobs = [loop.run_in_executor(None, each) for each in (nosy, functools.partial(nosy, nosy))]
        reader, writer = os.pipe()
        loop.add_reader(reader, nosy)
        await asyncio.sleep(0.01)
        RAN.clear()
        ferrio.inspect.snapshot()
        ferrio.inspect.metrics()
        ran = list(RAN)
        loop.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        task.cancel()
        end.set()
        await asyncio.wait(jobs)
        return ran

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == []


def test_many_loops_in_threads_are_seen_with_what_each_watches():
    ready, end = threading.Barrier(4), threading.Event()
    servers: list[str] = []

    async def work():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        servers.append(hex(id(asyncio.get_running_loop())))
        await asyncio.to_thread(ready.wait)
        await asyncio.to_thread(end.wait)
        server.close()

    def loop_in_thread():
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            runner.run(work())

    threads = [threading.Thread(target=loop_in_thread) for _ in range(3)]
    for each in threads:
        each.start()
    ready.wait()
    snapshot = ferrio.inspect.snapshot()
    end.set()
    for each in threads:
        each.join()
    assert sorted(each["loop"] for each in snapshot["servers"]) == sorted(servers)
