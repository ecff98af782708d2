"""Signals: handlers of the loop, and Ctrl-C as asyncio.Runner treats it."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from tests.support.differential import assert_same, outcome


@pytest.fixture(autouse=True)
def signals_are_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)}
    descriptor = signal.set_wakeup_fd(-1)
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(descriptor) == -1


def test_a_handler_is_called_in_the_loop(loop):
    trace = []
    loop.add_signal_handler(signal.SIGUSR1, lambda *arguments: (trace.append(arguments), loop.stop()), 1, 2)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    assert trace == [(1, 2)]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_a_signal_wakes_a_sleeping_loop(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    loop.call_later(30, loop.stop)
    before = loop.time()
    loop.run_forever()
    assert loop.time() - before < 10
    loop.remove_signal_handler(signal.SIGUSR1)


def test_an_itimer_drives_the_loop(loop):
    count = 0

    def tick():
        nonlocal count
        count += 1
        if count == 5:
            signal.setitimer(signal.ITIMER_REAL, 0)
            loop.stop()

    loop.add_signal_handler(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGALRM)
    assert count >= 5  # more, if several ticks came before one turn


def test_several_signals_each_reach_their_handler(loop):
    trace = []

    def handle(number):
        trace.append(number)
        if len(trace) == 2:
            loop.stop()

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, handle, number)

    def both():
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)

    loop.call_soon(both)
    loop.run_forever()
    assert sorted(trace) == [signal.SIGUSR1, signal.SIGUSR2]


def test_close_removes_the_handlers(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_keep_their_context_and_can_be_replaced(loop):
    trace = []
    loop.add_signal_handler(signal.SIGUSR1, trace.append, "old")
    loop.add_signal_handler(signal.SIGUSR1, lambda: (trace.append("new"), loop.stop()))
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)
    assert trace == ["new"]


def test_wrong_signals_and_handlers_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        async def coroutine():
            pass

        for number in (signal.SIGKILL, 0, -1, 10_000, "USR1", None):
            trace.append((number, outcome(loop.add_signal_handler, number, print)))
            trace.append((number, outcome(loop.remove_signal_handler, number)))
        trace.append(outcome(loop.add_signal_handler, signal.SIGUSR1, coroutine))
        refused = coroutine()
        trace.append(outcome(loop.add_signal_handler, signal.SIGUSR1, refused))
        refused.close()
        trace.append(signal.getsignal(signal.SIGUSR1))

    assert_same(scenario)


def test_handlers_belong_to_the_main_thread(loop):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(outcome(loop.add_signal_handler, signal.SIGUSR1, print)))
    thread.start()
    thread.join()
    kind, error, text = seen[0]
    assert (kind, error) == ("raised", "RuntimeError")
    assert "set_wakeup_fd only works in main thread" in text


def test_a_failing_handler_is_reported(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: (seen.append(repr(context["exception"])), loop.stop()))
    loop.add_signal_handler(signal.SIGUSR1, lambda: 1 / 0)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == ["ZeroDivisionError('division by zero')"]


def test_pythons_own_handlers_run_while_the_loop_sleeps(loop):
    """A program that uses signal.signal, not the loop: the loop's wait has to let Python run it."""
    before = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(loop.stop))
    try:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        loop.call_later(30, loop.stop)
        began = loop.time()
        loop.run_forever()
        assert loop.time() - began < 10
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exception_from_pythons_handler_leaves_the_loop(loop):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        # Started by the loop, so that the signal finds it at work on a slow machine too.
        loop.call_soon(threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start)
        loop.call_later(30, loop.stop)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, before)
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.parametrize("wakeup_is_taken", [False, True])
def test_a_signal_just_before_the_first_sleep_is_seen(loop, wakeup_is_taken):
    # `raise` is C: no instruction of Python's, before which it would call its handler, follows until the loop sleeps.
    raise_signal = getattr(ctypes.CDLL(None), "raise")
    seen = []

    def handler(*_):
        seen.append("signal")
        loop.stop()

    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        if wakeup_is_taken:
            signal.set_wakeup_fd(write)
        end = loop.call_later(30, seen.append, "the end")
        loop.call_later(30, loop.stop)
        loop.call_soon(raise_signal, signal.SIGUSR1.value)
        loop.run_forever()
        end.cancel()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
        os.close(read)
        os.close(write)
    assert seen == ["signal"]


def test_the_wakeup_descriptor_is_given_back(loop):
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        signal.set_wakeup_fd(write)
        loop.run_until_complete(asyncio.sleep(0))
        assert signal.set_wakeup_fd(write) == write
    finally:
        signal.set_wakeup_fd(-1)
        os.close(read)
        os.close(write)


# -- Ctrl-C, in a process of its own ------------------------------------------------


# Under asyncio a signal that comes just before the selector sleeps is seen when it has slept.
FACTORIES = {
    "stock": """
class Selector(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(0.1 if timeout is None else min(timeout, 0.1))

def factory():
    return asyncio.SelectorEventLoop(Selector())
""",
    "ferrio": "import ferrio; factory = ferrio.new_event_loop\n",
}


def run_and_interrupt(loop_kind, body, interrupts=1):
    """Runs a program, sends SIGINT at each line `ready` it prints, returns exit status, output and errors."""
    program = "import asyncio, selectors, signal, sys, time\n" + FACTORIES[loop_kind] + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            if line == "ready\n" and interrupts:
                interrupts -= 1
                process.send_signal(signal.SIGINT)
        return process.wait(20), lines, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_ctrl_c_cancels_the_main_task_and_ends_the_program(loop_kind):
    status, lines, errors = run_and_interrupt(
        loop_kind,
        """
        async def main():
            try:
                print("ready", flush=True)
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                print("cancelled", flush=True)
                raise
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        """,
    )
    assert status == -signal.SIGINT
    assert lines == ["ready", "cancelled"]
    assert errors.strip().endswith("KeyboardInterrupt")


def test_ctrl_c_may_be_answered_with_a_normal_end(loop_kind):
    status, lines, errors = run_and_interrupt(
        loop_kind,
        """
        async def main():
            try:
                print("ready", flush=True)
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                print("cleaned up", flush=True)
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        print("end")
        """,
    )
    assert (status, lines, errors) == (0, ["ready", "cleaned up", "end"], "")


def test_ctrl_c_during_busy_callbacks_is_seen(loop_kind):
    status, lines, _ = run_and_interrupt(
        loop_kind,
        """
        async def main():
            print("ready", flush=True)
            try:
                while True:
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                print("cancelled", flush=True)
                raise
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        """,
    )
    assert (status, lines) == (-signal.SIGINT, ["ready", "cancelled"])


def test_a_second_ctrl_c_interrupts_at_once(loop_kind):
    status, lines, errors = run_and_interrupt(
        loop_kind,
        """
        async def main():
            print("ready", flush=True)
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                print("ready", flush=True)
                for _ in range(3000):
                    time.sleep(0.01)
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        """,
        interrupts=2,
    )
    assert (status, lines) == (-signal.SIGINT, ["ready", "ready"])
    assert "KeyboardInterrupt" in errors


def test_ctrl_c_leaves_run_forever_without_a_runner(loop_kind):
    status, lines, _ = run_and_interrupt(
        loop_kind,
        """
        loop = factory()
        loop.call_soon(print, "ready")
        loop.call_soon(sys.stdout.flush)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted", loop.is_running())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        """,
    )
    assert (status, lines) == (0, ["ready", "interrupted False"])
