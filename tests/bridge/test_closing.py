"""What is left when a loop closes, when the interpreter ends, and what other threads may do after that."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
import rust_extension


def run(program, *options):
    command = [sys.executable, "-X", "dev", "-W", "error", *options, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_close_drops_what_is_left_in_order_on_its_thread(new_event_loop):
    events = []

    def dropped(name):
        events.append((name, threading.get_ident()))

    async def main():
        return [rust_extension.idle(str(number), dropped) for number in range(5)]

    loop = new_event_loop()
    tasks = loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0))
    assert events == []
    loop.close()
    assert events == [(str(number), threading.get_ident()) for number in range(5)]
    silence(tasks)


def silence(tasks):
    for task in tasks:
        task._log_destroy_pending = False
        with pytest.raises(RuntimeError, match="the event loop of this coroutine is closed"):
            task.get_coro().send(None)
    tasks.clear()
    gc.collect()


def test_close_closes_the_python_code_that_is_awaited(new_event_loop):
    events = []

    async def inner(loop):
        try:
            await loop.create_future()
        finally:
            events.append("closed")

    async def main(loop):
        await asyncio.wait([asyncio.ensure_future(rust_extension.both(inner(loop), inner(loop)))], timeout=0.001)
        return list(asyncio.all_tasks() - {asyncio.current_task()})

    loop = new_event_loop()
    tasks = loop.run_until_complete(main(loop))
    loop.close()
    assert events == ["closed", "closed"]
    silence(tasks)


def test_thread_may_wake_a_future_of_a_closed_loop(new_event_loop):
    async def main(gate):
        task = gate.wait()
        await asyncio.sleep(0)
        return [task]

    gate = rust_extension.Gate()
    loop = new_event_loop()
    tasks = loop.run_until_complete(main(gate))
    loop.close()
    gate.open_from_thread()
    gate.open_for_one()
    silence(tasks)


def test_messages_of_a_closed_loop_are_dropped(new_event_loop):
    async def main():
        rust_extension.run_in_turn(10, lambda _: None)
        while rust_extension.unsent():
            pass

    loop = new_event_loop()
    loop.run_until_complete(main())
    loop.close()


def test_task_that_nobody_refers_to_goes_on(loop):
    async def main():
        gate = rust_extension.Gate()
        done = loop.create_future()
        gate.wait().add_done_callback(lambda _: done.set_result("done"))
        await asyncio.sleep(0)
        gc.collect()
        gate.open_from_thread()
        return await done

    assert loop.run_until_complete(main()) == "done"


def test_task_that_can_never_be_woken_is_collected(loop, log):
    events = []

    async def main():
        rust_extension.idle("future", events.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    loop.run_until_complete(main())
    assert events == ["future"]
    assert "Task was destroyed but it is pending!" in log.text


PRELUDE = """
import asyncio, gc, sys, threading
import rust_extension, ferrio
make_event_loop = {factory}

def new_event_loop():
    loop = make_event_loop()
    loop.slow_callback_duration = 3600  # the machine may be busy
    return loop
"""


# asyncio's finalizer of a loop imports modules in debug mode, which fails if the loop is collected late in the
# interpreter's end; when that is, the allocations of the other threads decide.
STOCK = "asyncio.SelectorEventLoop; del asyncio.BaseEventLoop.__del__"

PYTHON = """asyncio.SelectorEventLoop
asyncio.SelectorEventLoop.create_future = lambda loop: asyncio.futures._PyFuture(loop=loop)
asyncio.SelectorEventLoop.create_task = lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options)
del asyncio.BaseEventLoop.__del__"""
FACTORIES = {
    "stock": STOCK,
    "python": PYTHON,
    "ferrio": "ferrio.new_event_loop",
    "uvloop": "__import__('uvloop').new_event_loop",
}


@pytest.fixture
def prelude(loop_kind):
    return PRELUDE.format(factory=FACTORIES[loop_kind])


@pytest.mark.parametrize(
    "program",
    [
        # Tasks wait at the end, each in another way.
        """
        async def main():
            global tasks
            gate = rust_extension.Gate()
            tasks = [
                gate.wait(), rust_extension.slept(3600, None), rust_extension.idle("x", print),
                rust_extension.nested(gate.wait()), rust_extension.wake_once(1), rust_extension.ready(1),
            ]
            await asyncio.sleep(0)
        loop = new_event_loop()
        loop.run_until_complete(main())
        for task in tasks:
            task._log_destroy_pending = False
        """,
        # The loop is closed before the end.
        """
        async def main():
            global tasks
            tasks = [rust_extension.slept(3600, None), rust_extension.idle("x", lambda name: None)]
            await asyncio.sleep(0)
        loop = new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False
        """,
        # asyncio.run cancels what is left.
        """
        async def main():
            rust_extension.slept(3600, None)
            rust_extension.nested(rust_extension.slept(3600, None))
            await asyncio.sleep(0)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
        """,
        # Threads of Rust send to the loop during and after the interpreter's end.
        """
        async def main():
            rust_extension.run_in_turn(100_000, lambda number: None)
            await asyncio.sleep(0)
        loop = new_event_loop()
        loop.run_until_complete(main())
        """,
        # A daemon thread runs a loop with Rust tasks until the end.
        """
        started = threading.Event()
        async def main():
            for _ in range(10):
                await rust_extension.thread_results(3)
            started.set()
            while True:
                await rust_extension.wake_once(1)
        def run():
            loop = new_event_loop()
            loop.run_until_complete(main())
        threading.Thread(target=run, daemon=True).start()
        started.wait()
        """,
    ],
    ids=["waiting", "closed", "run", "senders", "daemon"],
)
def test_interpreter_ends_quietly(prelude, program):
    with warnings.catch_warnings():
        ended = run(prelude + textwrap.dedent(program), "-W", "ignore::ResourceWarning")
    assert (ended.returncode, ended.stderr) == (0, "")
