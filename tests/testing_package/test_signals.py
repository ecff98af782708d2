"""Signals to simulated programs."""

import asyncio
import os
import signal
import threading

import pytest

from ferrio import testing
from ferrio.testing import sim


def passes(main, schedules=60):
    testing.run(main)
    report = testing.explore(main, schedules=schedules)
    assert report.failure is None, str(report)
    return report


def test_a_handler_is_called_by_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        sim.signal(signal.SIGTERM)
        assert not stop.is_set()
        await stop.wait()
        assert loop.remove_signal_handler(signal.SIGTERM)
        assert not loop.remove_signal_handler(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    passes(main)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("send", [lambda: os.kill(os.getpid(), signal.SIGHUP), lambda: signal.raise_signal(1)])
def test_signals_of_the_program_to_itself_are_simulated(send):
    async def main():
        got = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, got.set_result, "hup")
        send()
        assert await got == "hup"
        os.kill(os.getpid(), 0)

    passes(main)


def test_when_a_signal_lands_is_explored():
    async def main():
        stopped = False

        def stop():
            nonlocal stopped
            stopped = True

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        sim.signal(signal.SIGTERM, within=5)
        if not stopped:
            await asyncio.sleep(1)
            assert stopped, "late"

    testing.run(main)
    failure = testing.explore(main).failure
    assert failure.classification == "arrival"
    assert "SIGTERM keeps waiting" in failure.story
    assert testing.replay(main, failure.token).failure is not None


def test_a_signal_lands_in_a_poll_and_not_between_two_callbacks():
    async def main():
        log = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, log.append, "signal")
        sim.signal(signal.SIGTERM)
        loop.call_soon(log.append, 1)
        loop.call_soon(log.append, 2)
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert log in ([1, 2, "signal"], ["signal", 1, 2])
        seen.add(tuple(log))

    seen = set()
    passes(main)
    assert (1, 2, "signal") in seen


def test_functions_of_the_signal_module_are_the_runs_own():
    async def main():
        got = []
        before = signal.getsignal(signal.SIGUSR1)
        assert signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number)) is before
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.1)
        assert got == [signal.SIGUSR1]
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGCHLD)
        await asyncio.sleep(0.1)
        signal.signal(signal.SIGUSR1, before)
        assert signal.getsignal(signal.SIGUSR1) is before
        with pytest.raises(OSError, match="Invalid"):
            signal.signal(signal.SIGKILL, before)

    before = signal.getsignal(signal.SIGUSR1)
    passes(main)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_interrupting_a_program_cancels_it_as_run_does():
    ended = []

    async def main():
        sim.signal(signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(asyncio.get_running_loop().time())

    testing.run(main)
    assert ended == [0.0]
    report = testing.explore(main, schedules=20)
    assert report.failure is None
    assert not report.interrupted


def test_a_signal_without_a_handler_ends_the_process():
    async def main():
        sim.signal(signal.SIGTERM)
        await asyncio.sleep(1)

    failure = testing.explore(main).failure
    assert isinstance(failure.exception, testing.UnhandledError)
    assert "SIGTERM ends the process" in str(failure.exception)


def test_arguments_are_checked_as_by_asyncio():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="sig must be an int"):
            loop.add_signal_handler("TERM", print)
        with pytest.raises(ValueError, match="invalid signal number"):
            loop.add_signal_handler(10000, print)
        with pytest.raises(RuntimeError, match="sig 9 cannot be caught"):
            loop.add_signal_handler(signal.SIGKILL, print)
        with pytest.raises(TypeError, match="coroutines cannot be used"):
            loop.add_signal_handler(signal.SIGTERM, main)
        with pytest.raises(ValueError, match="within"):
            sim.signal(signal.SIGTERM, within=-1)
        with pytest.raises(testing.RealIOError, match=r"os\.kill"):
            os.kill(os.getppid(), 0)

    testing.run(main)


def test_a_handler_has_the_context_it_was_set_in():
    async def main():
        task = asyncio.current_task()
        got = asyncio.get_running_loop().create_future()
        variable.set("inside")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: got.set_result(variable.get()))
        variable.set("later")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await got == "inside"
        assert task is asyncio.current_task()

    import contextvars

    variable = contextvars.ContextVar("variable")
    passes(main)


def test_a_graceful_end_with_a_race_is_found():
    async def main():
        """The server takes a job after it was told to stop."""
        loop = asyncio.get_running_loop()
        stopping = False
        queue: asyncio.Queue[int] = asyncio.Queue()

        def stop():
            nonlocal stopping
            stopping = True

        async def serve():
            while not stopping:
                await asyncio.to_thread(int)
                queue.put_nowait(1)

        loop.add_signal_handler(signal.SIGTERM, stop)
        serving = asyncio.create_task(serve())
        sim.signal(signal.SIGTERM)
        await serving
        assert queue.qsize() <= 1

    failure = testing.explore(main).failure
    assert failure.classification == "arrival"
    assert threading.main_thread().is_alive()


def test_a_signal_that_the_program_lets_have_its_effect_ends_it():
    async def main():
        stop = asyncio.Event()
        before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
        sim.signal(signal.SIGTERM)
        await stop.wait()
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(3600)
        pytest.fail("it goes on")

    passes(main)
