"""How subprocesses end, by themselves, by a signal or with their loop, and what is reported then."""

import asyncio
import contextvars
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest

from tests.support.child_processes import BIG, Recorder, close_and_collect, output, shell
from tests.support.differential import assert_same, trace_on
from tests.support.loops import FACTORIES
from tests.support.peers import turns


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15)]
)
def test_exit_codes(loop, command, code):
    async def main():
        process = await shell(command)
        assert await asyncio.gather(process.wait(), process.wait(), process.wait()) == [code] * 3
        assert process.returncode == code
        assert await process.wait() == code

    loop.run_until_complete(main())


def test_signals_reach_the_child_and_later_ones_are_errors(loop):
    async def main():
        for method, code in (("terminate", -15), ("kill", -9)):
            process = await asyncio.create_subprocess_exec("sleep", "60")
            getattr(process, method)()
            assert await process.wait() == code
            await turns(3)
            for later in (process.kill, process.terminate, functools.partial(process.send_signal, signal.SIGUSR1)):
                with pytest.raises(ProcessLookupError):
                    later()
        process = await shell("trap 'echo usr1; exit 3' USR1; echo ready; while :; do sleep 0.01; done", stdout=PIPE)
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert (await process.communicate())[0] == b"usr1\n"
        assert process.returncode == 3

    loop.run_until_complete(main())


def test_a_child_killed_while_it_is_written_to_gives_what_it_wrote(loop):
    async def main():
        process = await shell("echo begun; kill -9 $$", stdin=PIPE, stdout=PIPE)
        assert await process.communicate(BIG) == (b"begun\n", None)
        assert process.returncode == -9

    loop.run_until_complete(main())


@pytest.mark.parametrize("waits", [False, True])
def test_the_end_is_handled_in_the_context_of_the_start(waits):
    variable = contextvars.ContextVar("variable", default="unset")

    async def scenario(trace):
        class Looking(asyncio.SubprocessProtocol):
            def process_exited(self):
                trace.append(("exited", variable.get()))

            def connection_lost(self, error):
                trace.append(("lost", variable.get()))
                ended.set_result(None)

        async def wait():
            variable.set("of the task that waits")
            await transport._wait()

        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        variable.set("of the start")
        transport, _ = await loop.subprocess_exec(Looking, "true", stdin=None)
        variable.set("set later")
        waiter = loop.create_task(wait()) if waits else None
        await ended
        if waiter is not None:
            await waiter
        transport.close()

    assert trace_on("ferrio", scenario) == [("exited", "of the start"), ("lost", "of the start")]
    if sys.version_info >= (3, 12):
        # Before, a thread of asyncio's waits for the child, and its context is empty.
        assert_same(scenario)


def test_events_come_in_order_and_each_once(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(Recorder, "echo out; echo err >&2; exit 4", stdin=None)
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_protocol() is protocol
        assert await protocol.lost is None
        assert protocol.data == {1: b"out\n", 2: b"err\n"}
        assert protocol.trace[0] == "made"
        assert protocol.trace[-1] == ("lost", None)
        assert set(protocol.trace[1:-1]) == {"exited", ("pipe lost", 1, "NoneType"), ("pipe lost", 2, "NoneType")}
        assert len(protocol.trace) == 5
        assert transport.get_returncode() == 4
        assert not transport.is_closing()
        transport.close()
        assert transport.is_closing()

    loop.run_until_complete(main())


def test_a_transport_tells_about_its_process(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Recorder, "cat", stderr=None)
        process = transport.get_extra_info("subprocess")
        assert isinstance(process, subprocess.Popen)
        assert transport.get_pid() == process.pid
        assert transport.get_returncode() is None
        assert isinstance(transport.get_pipe_transport(0), asyncio.WriteTransport)
        assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
        assert transport.get_pipe_transport(2) is None
        assert transport.get_pipe_transport(77) is None
        assert transport.get_extra_info("nothing", 3) == 3
        assert f"pid={process.pid} running stdin=<" in repr(transport)
        transport.get_pipe_transport(0).close()
        await protocol.lost
        assert process.returncode == 0
        assert f"pid={process.pid} returncode=0 stdin=<" in repr(transport)
        transport.close()
        assert "closed pid=" in repr(transport)

    loop.run_until_complete(main())


def test_close_kills_a_running_child(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Recorder, "sleep", "60")
        transport.close()
        transport.close()
        await protocol.lost
        assert transport.get_returncode() == -9

    loop.run_until_complete(main())


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_wait_does_not_wait_for_a_grandchild_that_keeps_the_pipe(loop):
    """As stock asyncio since 3.14; before, wait() ended with the last holder of the pipe."""

    async def main():
        process = await shell("sleep 60 & echo $!", stdout=PIPE)
        grandchild = int(await process.stdout.readline())
        assert await process.wait() == 0
        os.kill(grandchild, signal.SIGKILL)
        assert await process.stdout.read() == b""
        await turns(3)

    loop.run_until_complete(main())


def test_a_cancelled_wait_and_communicate_leave_the_child_running(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        for waiting in (process.wait(), process.stdout.read()):
            task = loop.create_task(waiting)
            await turns(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert process.returncode is None
        assert await process.communicate(b"alive") == (b"alive", None)

    loop.run_until_complete(main())


def test_a_cancelled_start_kills_and_reaps_the_child(loop):
    async def main():
        for count in range(8):
            starting = loop.create_task(loop.subprocess_exec(asyncio.SubprocessProtocol, "sleep", "60"))
            await turns(count)
            if starting.done():
                transport, _ = await starting
                transport.close()
                await transport._wait()
                await turns(5)
                break
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        await turns(5)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # stock leaves pipes to the collector
        loop.run_until_complete(main())
        gc.collect()


def test_many_at_once(loop):
    async def one(number: int) -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        data = b"%d" % number * 10000
        assert await process.communicate(data) == (data, None)
        assert process.returncode == 0

    async def main():
        await asyncio.gather(*(one(number) for number in range(50)))

    loop.run_until_complete(main())


def test_children_of_a_loop_in_another_thread(loop_kind):
    found = []

    def run():
        with asyncio.Runner(loop_factory=FACTORIES[loop_kind]) as runner:
            found.append(runner.run(output("echo", "from a thread")))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert found == [b"from a thread\n"]


def test_overridden_connect_methods_are_used(loop):
    """Test suites replace them on the loop."""
    seen = []

    async def main():
        original = loop.connect_read_pipe

        async def connect_read_pipe(factory, pipe):
            seen.append(pipe)
            return await original(factory, pipe)

        loop.connect_read_pipe = connect_read_pipe
        assert await output("echo", "x") == b"x\n"

    loop.run_until_complete(main())
    assert len(seen) == 1


def test_methods_of_transports_can_be_replaced(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        seen = []
        transport = process._transport.get_pipe_transport(0)
        original = transport.write
        transport.write = lambda data: (seen.append(data), original(data))
        process._transport.note = "mine"
        assert await process.communicate(b"x") == (b"x", None)
        assert seen == [b"x"]
        del transport.write  # a cycle

    loop.run_until_complete(main())


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_pipes_that_cannot_be_connected_end_the_child(loop):
    """Before 3.14 stock asyncio waits for ever here."""

    async def main():
        async def connect_read_pipe(factory, pipe):
            raise ZeroDivisionError

        loop.connect_read_pipe = connect_read_pipe
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_subprocess_exec("sleep", "60", stdout=PIPE, stdin=PIPE)
        await turns(5)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # stock leaves the pipe to the collector
        loop.run_until_complete(main())
        gc.collect()


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_a_forgotten_transport_is_warned_about_and_its_child_killed(loop):
    """Stock asyncio warns too, and leaves the pidfd open."""

    async def main():
        transport, _ = await loop.subprocess_exec(
            asyncio.SubprocessProtocol, "sleep", "60", stdin=None, stdout=None, stderr=None
        )
        return transport.get_extra_info("subprocess")

    process = loop.run_until_complete(main())
    with pytest.warns(ResourceWarning, match=r"unclosed transport <\w*SubprocessTransport pid=\d+ running>"):
        close_and_collect(loop)
    assert process.wait() == -9


def test_debug_mode_logs_what_happens(loop, log):
    loop.set_debug(True)

    async def main():
        process = await shell("exit 3", stdout=PIPE, stderr=STDOUT)
        await process.communicate()
        transport, protocol = await loop.subprocess_exec(Recorder, "sleep", "60", stdin=DEVNULL)
        transport.close()
        await protocol.lost

    loop.run_until_complete(main())
    for text in (
        "run shell command 'exit 3' stdout=stderr=<pipe>",
        "execute program 'sleep' stdin=",
        "process 'exit 3' created: pid ",
        "process 'sleep' created: pid ",
        "run shell command 'exit 3': <",
        "exited with return code 3",
        "Close running child process: kill <",
    ):
        assert text in log.text


def test_the_loop_goes_on_while_a_child_starts_up_slowly(loop):
    async def main():
        began = time.monotonic()
        process = await shell("sleep 0.2; echo up", stdout=PIPE)
        assert time.monotonic() - began < 0.15
        ticks = []
        timer = loop.call_later(0.01, ticks.append, True)
        assert await process.stdout.readline() == b"up\n"
        assert ticks
        timer.cancel()
        await process.wait()

    loop.run_until_complete(main())


def test_a_closed_transport_leaves_no_descriptor_while_a_grandchild_holds_the_pipes(loop):
    grandchildren = []

    async def end_a_child():
        process = await shell("sleep 600 & echo $!; cat", stdin=PIPE, stdout=PIPE)
        grandchildren.append(int(await process.stdout.readline()))
        process.stdin.close()
        while process.returncode is None:
            await asyncio.sleep(0.01)
        process._transport.close()

    async def main():
        # What the loop itself needs for children is there after the first.
        await end_a_child()
        await turns(5)
        before = set(os.listdir("/proc/self/fd"))
        await end_a_child()
        deadline = time.monotonic() + 30
        while not set(os.listdir("/proc/self/fd")) <= before and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert set(os.listdir("/proc/self/fd")) <= before

    try:
        loop.run_until_complete(main())
    finally:
        for pid in grandchildren:
            os.kill(pid, signal.SIGKILL)
