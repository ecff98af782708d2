"""Exits of children: which code is called, and which code reads the status. The children are real."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import warnings

import pytest


@pytest.fixture(autouse=True)
def no_child_stays_behind():
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@contextlib.asynccontextmanager
async def until_told(code: int):
    """A process that exits with `code` when the function beside it is called, without the loop's knowing yet."""
    ours, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec("sh", "-c", f"read word; exit {code}", stdin=ours)

    def tell() -> None:
        os.write(theirs, b"word\n")
        with contextlib.suppress(ChildProcessError):  # a thread of stock 3.11 was quicker
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    try:
        yield process, tell
    finally:
        os.close(ours)
        os.close(theirs)


def test_close_leaves_a_child_alone_that_has_ended(loop):
    async def main():
        async with until_told(5) as (process, tell):
            transport = process._transport
            tell()
            killed = []
            transport.get_extra_info("subprocess").kill = lambda: killed.append(True)
            transport.close()
            await process.wait()
            assert not killed

    loop.run_until_complete(main())


@pytest.mark.parametrize("loop_kind", ["ferrio"])
def test_a_status_read_by_popen_is_known_all_the_same(loop, log):
    """Stock asyncio reports 255 and warns; the Popen object knows better."""

    async def main():
        async with until_told(5) as (process, tell):
            tell()
            assert process._transport.get_extra_info("subprocess").wait() == 5
            assert await process.wait() == 5

    loop.run_until_complete(main())
    assert not [record for record in log.records if record.levelname == "WARNING"]


def test_a_status_read_by_other_code_is_255(loop, loop_kind, log):
    if loop_kind == "stock" and sys.version_info < (3, 12):
        pytest.skip("a thread of stock asyncio waits for the child, too")

    async def main():
        async with until_told(5) as (process, tell):
            tell()
            os.waitpid(process.pid, 0)
            assert await process.wait() == 255

    loop.run_until_complete(main())
    assert "will report returncode 255" in log.text


def test_other_children_are_left_alone(loop):
    """No SIGCHLD handler, no wait for any child but one's own."""

    async def main():
        before = signal.getsignal(signal.SIGCHLD)
        other = subprocess.Popen(["sh", "-c", "exit 9"])
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        await asyncio.sleep(0.01)
        assert signal.getsignal(signal.SIGCHLD) is before
        assert other.wait() == 9

    loop.run_until_complete(main())


# -- child watchers --------------------------------------------------------------


@contextlib.contextmanager
def watcher_on_policy(watcher, loop):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        policy = asyncio.get_event_loop_policy()
        policy.set_child_watcher(watcher)
        watcher.attach_loop(loop)
        try:
            yield
        finally:
            watcher.attach_loop(None)
            policy.set_child_watcher(None)
            watcher.close()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="child watchers are gone")
@pytest.mark.parametrize("name", ["Pidfd", "Threaded", "Safe", "Fast", "MultiLoop"])
def test_child_watchers_of_the_policy_work(loop, name):
    async def main():
        process = await asyncio.create_subprocess_exec("sh", "-c", "exit 6")
        assert await asyncio.wait_for(process.wait(), 10) == 6

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = getattr(asyncio, f"{name}ChildWatcher")()
    with watcher_on_policy(watcher, loop):
        loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="child watchers are gone")
@pytest.mark.parametrize("name", ["Pidfd", "Threaded", "Safe"])
def test_child_watchers_can_be_used_by_themselves(loop, name):
    async def main():
        done = loop.create_future()
        child = subprocess.Popen(["sh", "-c", "exit 6"])
        with watcher:
            watcher.add_child_handler(
                child.pid, lambda *seen: loop.call_soon_threadsafe(done.set_result, seen), "argument"
            )
        assert await asyncio.wait_for(done, 10) == (child.pid, 6, "argument")
        child.returncode = 6

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = getattr(asyncio, f"{name}ChildWatcher")()
    with watcher_on_policy(watcher, loop):
        loop.run_until_complete(main())


WITHOUT_PIDFD = """
import asyncio, ctypes, os, struct, threading
import ferrio

# A seccomp filter: pidfd_open (434 on every machine) fails with ENOSYS, everything else is allowed.
instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, 434), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
header = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
if libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) != 0:
    raise SystemExit(77)
try:
    os.pidfd_open(os.getpid())
except OSError:
    pass
else:
    raise SystemExit(77)

async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert await process.communicate(b"data") == (b"data", None)
    assert process.returncode == 0
    process = await asyncio.create_subprocess_exec("sleep", "60")
    process.kill()
    assert await process.wait() == -9
    assert threading.active_count() == 1  # the threads that wait are none of Python's
    left = await asyncio.create_subprocess_exec("sleep", "60")
    return left._transport

with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
    transport = runner.run(main())
    transport.close()
try:
    os.waitpid(transport.get_pid(), 0)
except ChildProcessError:
    pass  # killed above, it may have ended in time for the loop's last turns to see it
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_children_are_waited_for_where_there_is_no_pidfd():
    """A sandbox or an old kernel; the last child outlives its loop."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_PIDFD], capture_output=True, text=True, timeout=60, check=False
    )
    if run.returncode == 77:
        pytest.skip("no seccomp here")
    assert (run.returncode, run.stderr) == (0, "")
