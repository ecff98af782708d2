"""Lints: each has a faulty program that it finds. `test_no_lints.py` has a correct one."""

import asyncio
import gc
import logging
import sys
import time
import weakref
from typing import Any

import pytest

import ferrio
import ferrio.inspect
from ferrio._install import _STOCK
from ferrio.inspect import Lint, LintLimits, _lint_watch, _lints, _text
from ferrio.inspect._growth import LOOKS

pytestmark = pytest.mark.timeout(120)

# Lints speak at once. The thread does not look: the tests do.
AT_ONCE = LintLimits(
    interval=3600,
    lost_exception=0,
    lost_task=0,
    spinning=0,
    held_lock=0,
    growing=0,
    growing_queue=LOOKS - 1,
    growing_tasks=LOOKS - 1,
)


@pytest.fixture
def start(tmp_path):
    tmp_path.chmod(0o700)

    def begin(limits=AT_ONCE):
        ferrio.inspect.start(tmp_path / "inspect.sock", blocked=None, lints=limits)

    yield begin
    ferrio.inspect.stop()


def run(main, factory=ferrio.new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def the_watch() -> _lint_watch._Watch:
    assert _lint_watch._watch is not None
    return _lint_watch._watch


def of_kind(kind: str) -> list[Lint]:
    return [each for each in ferrio.inspect.lints() if each["kind"] == kind]


async def until(kind: str) -> Lint:
    """The first lint of this kind; the test's timeout ends the wait."""
    while not (found := of_kind(kind)):
        await asyncio.sleep(0.01)
    return found[0]


async def forever():
    await asyncio.sleep(1000)


async def fails():
    raise KeyError("secret")


KINDS: dict[str, Any] = {"ferrio": ferrio.Task, "C": _STOCK["Task"], "Python": asyncio.tasks._PyTask}  # type: ignore[attr-defined]


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_an_exception_that_nobody_asks_for_is_found(start):
    start()

    async def main():
        loop = asyncio.get_running_loop()
        kept = [ferrio.Task(fails(), loop=loop, name="broken")]
        await asyncio.sleep(0.01)
        (found,) = of_kind("lost exception")
        # Now somebody asks.
        kept[0].exception()
        return found, of_kind("lost exception")

    found, after = run(main)
    assert "task 'broken' (fails) failed" in found["text"]
    assert "KeyError" in found["text"]
    assert "secret" not in found["text"]
    assert found["where"] is not None
    assert found["where"]["function"].endswith("main")
    assert after == []


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python forgets tasks that are done")
def test_an_exception_of_asyncios_own_task_is_found_where_asyncio_lists_it(start):
    start()

    async def main():
        kept = [_STOCK["Task"](fails(), loop=asyncio.get_running_loop())]
        await asyncio.sleep(0.01)
        first = of_kind("lost exception")
        kept[0].exception()
        return first

    assert len(run(main)) == 1


def test_a_future_whose_exception_is_lost_is_found(start):
    start()

    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError())
        (found,) = of_kind("lost exception")
        future.exception()
        return found

    assert run(main)["text"].startswith("a future failed")


def test_a_task_that_nobody_keeps_is_found(kind):
    """Also without recording."""

    async def main():
        loop = asyncio.get_running_loop()
        kind(forever(), loop=loop, name="lost")
        kept = [kind(forever(), loop=loop, name="kept")]
        await asyncio.sleep(0.01)
        snapshot = ferrio.inspect.snapshot()
        for task in kept:
            task.cancel()
        await asyncio.sleep(0)
        return snapshot

    snapshot = run(main)
    names = {task["id"]: task["name"] for task in snapshot["tasks"]}
    (found,) = snapshot["lints"]
    assert (found["kind"], [names[each] for each in found["tasks"]]) == ("lost task", ["lost"])
    assert "LINT lost task: task 'lost' (forever)" in "\n".join(_text.ps(snapshot))
    assert "LINT lost task: task 'lost' (forever)" in "\n".join(_text.why(snapshot))


KEEPERS = {
    "a variable": lambda task, loop: [task],
    "an attribute": lambda task, loop: type("Owner", (), {"task": task})(),
    "gather": lambda task, loop: asyncio.gather(task),
    "a callback": lambda task, loop: loop.call_later(1000, task.cancel),
    "another task": lambda task, loop: asyncio.ensure_future(asyncio.wait([task])),
}


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_task_that_somebody_keeps_is_not_lost(kind, keeper):
    async def main():
        loop = asyncio.get_running_loop()
        made = [kind(forever(), loop=loop)]
        task = weakref.ref(made[0])
        keeps = KEEPERS[keeper](made.pop(), loop)
        await asyncio.sleep(0.01)
        found = of_kind("lost task")
        if (kept := task()) is not None:
            kept.cancel()
        if asyncio.isfuture(keeps):
            await asyncio.wait([keeps])
            keeps.cancelled() or keeps.exception()
        await asyncio.sleep(0)
        return found

    assert run(main) == []


def test_looking_keeps_no_task():
    """What a look has seen is released at its end, without the garbage collector."""

    async def main():
        gc.collect()
        gc.disable()
        try:
            ferrio.inspect.snapshot()
            ferrio.Task(forever(), loop=asyncio.get_running_loop(), name="lost")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return [len(of_kind("lost task")) for _ in range(3)]
        finally:
            gc.enable()

    assert run(main) == [1, 1, 1]


def test_a_task_that_wakes_itself_all_the_time_is_found(start):
    start()

    async def spins():
        while True:
            await asyncio.sleep(0)

    async def main():
        spinner = asyncio.create_task(spins(), name="spinner")
        found = await until("spinning task")
        spinner.cancel()
        return found, hex(id(spinner))

    found, identifier = run(main)
    assert found["tasks"] == [identifier]
    assert "task 'spinner'" in found["text"]


def test_a_task_that_others_wake_does_not_spin(start):
    start()

    async def echo(ours: "asyncio.Queue[int]", other: "asyncio.Queue[int]"):
        while True:
            other.put_nowait(await ours.get())

    async def main():
        first: asyncio.Queue[int] = asyncio.Queue()
        second: asyncio.Queue[int] = asyncio.Queue()
        tasks = [asyncio.create_task(echo(first, second)), asyncio.create_task(echo(second, first))]
        first.put_nowait(1)
        found = []
        for _ in range(10):
            await asyncio.sleep(0.01)
            found += of_kind("spinning task")
        for task in tasks:
            task.cancel()
        return found

    assert run(main) == []


def test_a_task_that_computes_in_slices_does_not_spin(start):
    start()

    async def computes():
        for _ in range(200):
            ends = time.thread_time() + 0.001
            while time.thread_time() < ends:
                pass
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(computes())
        found = []
        while not task.done():
            await asyncio.sleep(0.01)
            found += of_kind("spinning task")
        return found

    assert run(main) == []


def test_a_lock_that_is_held_while_others_wait_is_found(start):
    start()
    lock = ferrio.Lock()

    async def holds():
        async with lock:
            await forever()

    async def waits():
        async with lock:
            pass

    async def main():
        tasks = [asyncio.create_task(holds(), name="holder")]
        await asyncio.sleep(0)
        alone = of_kind("held lock")
        tasks.append(asyncio.create_task(waits()))
        await asyncio.sleep(0)
        found = of_kind("held lock")
        for task in tasks:
            task.cancel()
        return alone, found, hex(id(tasks[0]))

    alone, found, holder = run(main)
    assert alone == []
    assert [each["tasks"] for each in found] == [[holder]]
    assert found[0]["primitive"] == hex(id(lock))
    assert found[0]["where"] is not None
    assert found[0]["where"]["function"].endswith("holds")


class Producer:
    """Has a queue where programs have them."""

    def __init__(self, make):
        self.queue = make()

    async def run(self):
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("make", [ferrio.Queue, _STOCK["Queue"]], ids=["ferrio", "stock"])
def test_a_queue_that_only_grows_is_found(start, make):
    start()

    async def main():
        producer = Producer(make)
        task = asyncio.create_task(producer.run(), name="producer")
        await asyncio.sleep(0)
        seen = []
        for _ in range(LOOKS - 1):
            seen.append(of_kind("growing queue"))
            producer.queue.put_nowait(None)
        found = of_kind("growing queue")
        producer.queue.get_nowait()
        after = of_kind("growing queue")
        task.cancel()
        return seen, found, after, hex(id(producer.queue))

    seen, found, after, queue = run(main)
    assert not any(seen)
    assert [each["primitive"] for each in found] == [queue]
    assert "which task 'producer'" in found[0]["text"]
    assert after == []


@pytest.mark.parametrize("make", [ferrio.Queue, _STOCK["Queue"]], ids=["ferrio", "stock"])
def test_the_lengths_of_queues_are_metrics_of_the_last_look(start, make):
    def measured():
        found = ferrio.inspect.metrics()
        return [found[f"ferrio.queue.{name}"]["points"][0]["value"] for name in ("count", "length", "longest")]

    async def main():
        start()
        producers = [Producer(make), Producer(lambda: make(2))]
        tasks = [asyncio.create_task(each.run()) for each in producers]
        await asyncio.sleep(0)
        for producer, entries in zip(producers, (3, 2), strict=True):
            for _ in range(entries):
                producer.queue.put_nowait(None)
        before = measured()
        the_watch().look()
        after = measured()
        await end(tasks)
        return before, after

    assert run(main) == ([0, 0, 0], [2, 5, 3])
    ferrio.inspect.stop()
    assert "ferrio.queue.length" not in ferrio.inspect.metrics()


def test_a_queue_with_a_limit_cannot_only_grow(start):
    start()

    async def main():
        producer = Producer(lambda: ferrio.Queue(100))
        task = asyncio.create_task(producer.run())
        await asyncio.sleep(0)
        for _ in range(2 * LOOKS):
            producer.queue.put_nowait(None)
            assert of_kind("growing queue") == []
        task.cancel()

    run(main)


async def stays():
    await asyncio.get_running_loop().create_future()


def line_of(lint: Lint) -> str:
    """Where it is."""
    assert lint["where"] is not None
    with open(__file__, encoding="utf-8") as file:
        return file.readlines()[(lint["where"]["line"] or 0) - 1]


async def end(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_a_leak_of_tasks_is_named_by_the_line_that_creates_them(start):
    start()

    async def main():
        leaked: list[asyncio.Task[None]] = []
        found: list[Lint] = []
        for _ in range(LOOKS + 1):
            leaked.append(asyncio.create_task(stays()))  # the leak
            # As many are created here, but they end.
            others = [asyncio.create_task(stays()) for _ in range(len(leaked))]
            await asyncio.sleep(0)
            found = of_kind("growing tasks")
            await end(others)
        await end(leaked)
        return found

    (found,) = run(main)
    assert line_of(found).endswith("# the leak\n")


def test_tasks_that_run_and_never_end_are_a_leak(start):
    start()

    async def beats():
        while True:
            await asyncio.sleep(0)

    async def main():
        leaked: list[asyncio.Task[None]] = []
        found: list[Lint] = []
        for _ in range(LOOKS + 1):
            leaked.append(asyncio.create_task(beats()))  # the leak
            await asyncio.sleep(0)
            found = of_kind("growing tasks")
        await end(leaked)
        return found

    (found,) = run(main)
    assert line_of(found).endswith("# the leak\n")


async def sleeps():
    await asyncio.sleep(1000)


async def has_a_timeout():
    async with asyncio.timeout(1000):
        await stays()


@pytest.mark.parametrize("waits", [sleeps, has_a_timeout])
@pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.SelectorEventLoop], ids=["ferrio", "stock"])
def test_tasks_that_a_timer_will_wake_are_no_leak(start, waits, factory):
    start()

    async def main():
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        for _ in range(LOOKS + 1):
            tasks.append(ferrio.Task(waits(), loop=loop))
            await asyncio.sleep(0.001)
            found = of_kind("growing tasks")
        await end(tasks)
        return found

    assert run(main, factory) == []


@pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.SelectorEventLoop], ids=["ferrio", "stock"])
def test_more_and_more_connections_are_no_leak(start, factory):
    """One task of each waits for its peer, another one for what is to be sent."""
    start()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport):
            self.queue: asyncio.Queue[bytes] = asyncio.Queue()
            self.transport = transport
            tasks.append(ferrio.Task(self.send(), loop=asyncio.get_running_loop()))

        async def send(self):
            while True:
                self.transport.write(await self.queue.get())

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Connection, "127.0.0.1", 0)
        writers: list[asyncio.StreamWriter] = []
        for number in range(LOOKS + 1):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writers.append(writer)
            tasks.append(ferrio.Task(reader.read(), loop=loop))
            while len(tasks) < 2 * (number + 1):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.001)
            found = of_kind("growing tasks")
        for writer in writers:
            writer.close()
        server.close()
        await end(tasks)
        return found

    tasks: list[asyncio.Task[Any]] = []
    assert run(main, factory) == []


def test_each_lint_is_logged_once_while_it_lasts(start, caplog):
    async def main():
        start(LintLimits(interval=0.01, lost_exception=0))
        kept = ferrio.Task(fails(), loop=asyncio.get_running_loop(), name="broken")
        with caplog.at_level(logging.WARNING, "asyncio"):
            while not [each for each in caplog.records if hasattr(each, "ferrio_lint")]:
                await asyncio.sleep(0.01)
            watch = the_watch()
            for _ in range(3):
                watch.look()
        metrics = ferrio.inspect.metrics()["ferrio.lint.count"]["points"]
        kept.exception()
        return metrics

    metrics = run(main)
    (record,) = [each for each in caplog.records if hasattr(each, "ferrio_lint")]
    assert record.getMessage().startswith("lost exception: task 'broken'")
    assert record.ferrio_lint["kind"] == "lost exception"
    assert record.pathname == __file__
    assert {"ferrio.lint.kind": "lost_exception"} in [each["attributes"] for each in metrics if each["value"] == 1]


def test_stop_ends_the_thread_and_forgets(start):
    start()
    thread = the_watch().thread
    assert thread.is_alive()
    ferrio.inspect.stop()
    assert not thread.is_alive()
    assert _lints.limits == LintLimits()


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"growing": -1}, {"held_lock": float("nan")}, {"spinning": "1"}])
def test_limits_are_checked(wrong):
    with pytest.raises(ValueError, match="is to be"):
        LintLimits(**wrong)
