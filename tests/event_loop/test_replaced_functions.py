"""ferrio calls the replacements of functions that asyncio looks up each time."""

import asyncio
import contextvars
import math
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import ferrio

PROGRAMS = Path(__file__).parents[1] / "support"

# What asyncio's Python code asks and ferrio does not: docs/differences.md, "Functions put in asyncio's place".
NOT_ASKED = {
    # asyncio's functions using one another: connections and servers, and wait_for().
    "asyncio.events._get_running_loop",
    "asyncio.events.get_child_watcher",
    "asyncio.futures.future_add_to_awaited_by",
    "asyncio.futures.future_discard_from_awaited_by",
    "asyncio.staggered.staggered_race",
    "asyncio.tasks.current_task",
    "asyncio.tasks.gather",
    "asyncio.tasks.sleep",
    "asyncio.tasks.wait",
    "asyncio.tasks.wait_for",
    "asyncio.timeouts.timeout",
    "asyncio.unix_events.can_use_pidfd",
    # Timers that ferrio's own coroutines set take no context.
    "contextvars.copy_context",
    # What a queue of timers and a loop are made of.
    "heapq.heapify",
    "heapq.heappop",
    "heapq.heappush",
    "math.ulp",
    "threading.RLock",
    "socket.inet_pton",
    "socket.socketpair",
    "time.get_clock_info",
    # Asked only when the time is needed, which is not every turn.
    "time.monotonic",
    # System calls of ferrio's own.
    "os.close",
    "os.fstat",
    "os.getpid",
    "os.lseek",
    "os.pidfd_open",
    "os.read",
    "os.remove",
    "os.sendfile",
    "os.set_blocking",
    "os.stat",
    "os.unlink",
    "os.write",
    "stat.S_ISCHR",
    "stat.S_ISFIFO",
    "stat.S_ISSOCK",
    "sys.is_finalizing",
    "threading.get_ident",
    # For a child watcher, which ferrio does without.
    "threading.main_thread",
    # Said by asyncio of itself.
    "warnings._deprecated",
}
if sys.version_info < (3, 12):
    # The watcher of 3.11 waits for each child in a thread.
    NOT_ASKED.add("threading.Thread")

ASKED_THOUGH_PRIVATE = {"asyncio.events._get_running_loop", "asyncio.events._set_running_loop"}


def asked(kind: str) -> set[tuple[str, str]]:
    program = PROGRAMS / "hooked_program.py"
    done = subprocess.run([sys.executable, program, kind], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {(operation, name) for operation, name in map(str.split, done.stdout.splitlines())}


def is_private(name: str) -> bool:
    return name.startswith("asyncio.") and name.rpartition(".")[2].startswith("_")


def test_what_asyncio_looks_up_is_looked_up():
    stock, ours = asked("stock"), asked("ferrio")
    assert len(stock) > 100
    missing = sorted(
        (operation, name)
        for operation, name in stock - ours
        if name not in NOT_ASKED and not (is_private(name) and name not in ASKED_THOUGH_PRIVATE)
    )
    assert missing == []


def outside(body: str, *, install: bool) -> str:
    """What a program prints."""
    start = "import ferrio\nferrio.install()\n" if install else ""
    code = start + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_prints_the_same(body: str) -> str:
    stock = outside(body, install=False)
    assert stock
    assert outside(body, install=True) == stock
    return stock


RUNNING_LOOP = """
    import asyncio, sys, threading

    loop = asyncio.new_event_loop()
    real = asyncio.events.get_running_loop, asyncio.events._get_running_loop
    asyncio.events.get_running_loop = asyncio.events._get_running_loop = lambda: loop

    def show(name, coroutine):
        try:
            future = coroutine.send(None)
            print(name, type(future).__name__, future is None or future.get_loop() is loop)
        except StopIteration as stop:
            print(name, "returned", type(stop.value).__name__)
        except Exception as error:
            print(name, type(error).__name__, error)
        finally:
            coroutine.close()

    async def wait_timeout():
        async with asyncio.timeout(1):
            pass

    async def group():
        async with asyncio.TaskGroup():
            pass

    async def acquire():
        lock = asyncio.Lock()
        await lock.acquire()
        await lock.acquire()

    future = loop.create_future()
    show("sleep", asyncio.sleep(0.01))
    if sys.version_info < (3, 14):  # later it asks C alone for the current task, and so finds no loop
        show("wait", asyncio.wait([future]))
    show("timeout", wait_timeout())
    show("group", group())
    gate = threading.Event()
    show("to_thread", asyncio.to_thread(gate.wait))
    gate.set()
    show("get", asyncio.Queue().get())
    show("event", asyncio.Event().wait())
    show("acquire", acquire())
    show("wait_for", asyncio.wait_for(future, 1))
    task = asyncio.create_task(asyncio.sleep(0))
    print(task.get_loop() is loop)
    try:
        asyncio.run(None)
    except RuntimeError as error:
        print(error)
    asyncio.events.get_running_loop, asyncio.events._get_running_loop = real
    loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    try:
        show("put back", asyncio.sleep(0.01))
        print(asyncio.get_running_loop())
    except RuntimeError as error:
        print(error)
"""


def test_another_get_running_loop_is_asked():
    """As trio-asyncio puts its own there."""
    assert "put back RuntimeError no running event loop" in assert_prints_the_same(RUNNING_LOOP)


def test_another_get_event_loop_is_asked():
    assert_prints_the_same("""
        import asyncio

        loop = asyncio.new_event_loop()
        asyncio.events.get_event_loop = asyncio.events._get_event_loop = lambda *_, **__: loop
        print(asyncio.ensure_future(asyncio.sleep(0)).get_loop() is loop)
        print(asyncio.gather().get_loop() is loop)
        print(asyncio.StreamReader()._loop is loop)
        import concurrent.futures
        print(asyncio.wrap_future(concurrent.futures.Future()).get_loop() is loop)
    """)


def test_another_current_task_is_asked():
    assert_prints_the_same("""
        import asyncio

        async def main():
            real = asyncio.tasks.current_task
            asyncio.tasks.current_task = lambda loop=None: None
            try:
                async with asyncio.timeout(1):
                    pass
            except RuntimeError as error:
                print(error)
            try:
                async with asyncio.TaskGroup():
                    pass
            except RuntimeError as error:
                print(str(error).partition("<")[0], str(error).rpartition(">")[2])
            asyncio.tasks.current_task = real
            async with asyncio.timeout(1), asyncio.TaskGroup():
                print("put back")

        asyncio.run(main())
    """)


def test_other_functions_that_tell_awaitables_apart_are_asked():
    assert_prints_the_same("""
        import asyncio
        import sys

        async def main():
            seen = []
            real = {}
            for module, name in (
                (asyncio.futures, "isfuture"), (asyncio.coroutines, "iscoroutine"),
                # On 3.11 gather() and shield() call a private function instead: docs/differences.md.
                *([(asyncio.tasks, "ensure_future")] if sys.version_info >= (3, 12) else []),
                (asyncio.futures, "wrap_future"),
            ):
                def note(*arguments, function=getattr(module, name), name=name, **keywords):
                    seen.append(name)
                    return function(*arguments, **keywords)
                real[module, name] = getattr(module, name)
                setattr(module, name, note)
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(30)])
            print(sorted(set(seen)), seen.count("ensure_future"))
            seen.clear()
            await asyncio.wait([asyncio.create_task(asyncio.sleep(0))])
            print(sorted(set(seen)))
            seen.clear()
            await asyncio.get_running_loop().run_in_executor(None, int)
            print(seen.count("wrap_future"))
            for (module, name), function in real.items():
                setattr(module, name, function)
            seen.clear()
            await asyncio.gather(asyncio.sleep(0))
            await asyncio.get_running_loop().run_in_executor(None, int)
            print(seen)

        asyncio.run(main())
    """)


def test_another_monotonic_moves_the_loop():
    """Issue 14: freezegun's."""
    assert_prints_the_same("""
        import asyncio, time

        offset = 0.0
        real = time.monotonic
        time.monotonic = lambda: real() + offset

        async def main():
            global offset
            loop = asyncio.get_running_loop()
            sleeper = asyncio.create_task(asyncio.sleep(3600, "woke"))
            called = loop.create_future()
            loop.call_later(3600, called.set_result, "called")
            limit = asyncio.timeout(3600)

            async def limited():
                async with limit:
                    await loop.create_future()

            limiter = asyncio.create_task(limited())
            await asyncio.sleep(0)
            offset = 3601
            print(await sleeper, await called)
            print(await asyncio.gather(limiter, return_exceptions=True), limit.expired())
            time.monotonic = lambda: 7
            print(loop.time())
            time.monotonic = real
            print(abs(loop.time() - real()) < 60)

        asyncio.run(main())
    """)


def test_a_failing_monotonic_is_an_error():
    assert_prints_the_same("""
        import asyncio, time

        async def main():
            real, time.monotonic = time.monotonic, lambda: 1 / 0
            loop = asyncio.get_running_loop()
            for call in (loop.time, lambda: loop.call_later(1, print)):
                try:
                    call()
                except ZeroDivisionError as error:
                    print(error)
            time.monotonic = real
            await asyncio.sleep(0.001)

        asyncio.run(main())
    """)


def test_a_removed_name_is_missed_and_found_again():
    assert_prints_the_same("""
        import asyncio

        real = asyncio.events.get_running_loop

        async def main():
            del asyncio.events.get_running_loop
            try:
                await asyncio.sleep(0.01)
            except AttributeError as error:
                print(error)
            vars(asyncio.events)["".join(["get_", "running_loop"])] = real
            print(await asyncio.sleep(0.01, "back"))
            vars(asyncio.events)["".join(["get_", "running_loop"])] = lambda: 1 / 0
            try:
                await asyncio.sleep(0.01)
            except ZeroDivisionError:
                print("another one")
            vars(asyncio.events).update(get_running_loop=real)
            print(await asyncio.sleep(0.01, "back"))

        asyncio.run(main())
    """)


def test_what_is_replaced_before_the_import_is_asked():
    program = """
        import asyncio, time
        real = time.monotonic
        time.monotonic = lambda: 7
        import ferrio
        loop = ferrio.new_event_loop()
        print(loop.time())
        time.monotonic = real
        print(loop.time() == 7)
        loop.close()
    """
    assert outside(program, install=False) == "7\nFalse\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictionary watchers came with 3.12")
def test_without_a_watcher_to_spare_every_call_looks():
    program = """
        import _testcapi, asyncio, time
        taken = 0
        try:
            while True:
                _testcapi.add_dict_watcher(0)
                taken += 1
        except RuntimeError:
            pass
        import ferrio
        ferrio.install()
        loop = asyncio.new_event_loop()
        real = time.monotonic
        time.monotonic = lambda: 7
        print(taken > 0, loop.time())
        time.monotonic = real
        print(loop.time() == 7, asyncio.run(asyncio.sleep(0.001, "slept")))
        loop.close()
    """
    pytest.importorskip("_testcapi")
    assert outside(program, install=False) == "True 7\nFalse slept\n"


def test_another_copy_context_is_asked_for_a_callback(monkeypatch):
    variable = contextvars.ContextVar("variable")
    other = contextvars.copy_context()
    other.run(variable.set, "other's")
    seen = []

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(contextvars, "copy_context", lambda: other)
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: seen.append(variable.get(None)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get(None)))
        await asyncio.sleep(0)

    ferrio.run(main())
    assert seen == ["other's", None]


def test_another_isnan_is_asked(monkeypatch):
    monkeypatch.setattr(math, "isnan", lambda _: True)
    outcome = []

    async def main():
        try:
            await ferrio.sleep(0.001)
        except ValueError as error:
            outcome.append(str(error))

    ferrio.run(main())
    assert outcome == (["Invalid delay: NaN (not a number)"] if sys.version_info >= (3, 13) else [])


def test_another_logger_is_used(monkeypatch):
    calls = []

    class Logger:
        def error(self, message, **_):
            calls.append(message)

    monkeypatch.setattr(asyncio.base_events, "logger", Logger())
    loop = ferrio.new_event_loop()
    loop.call_exception_handler({"message": "hello"})
    loop.close()
    assert calls == ["hello"]


def test_the_time_is_the_system_clock_as_long_as_nobody_replaces_it():
    loop = ferrio.new_event_loop()
    before = time.monotonic()
    assert before <= loop.time() <= time.monotonic()
    loop.close()
