"""Random uses of a child process, cancelled where they wait, end the same on stock asyncio and on ferrio.

The child is one that never answers (`sleep`), or one that answers what it was sent (`cat`). Only what cannot
complete is cancelled, so that no outcome depends on the child's speed.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

import ferrio
from tests.random_programs.observation import installed

PIPE = asyncio.subprocess.PIPE
CHILDREN = {"silent": ("sleep", "60"), "answering": ("cat",)}
MODES: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], Callable]] = {
    "stock": (asyncio.SelectorEventLoop, contextlib.nullcontext),
    "loop": (ferrio.new_event_loop, contextlib.nullcontext),
    "whole": (ferrio.new_event_loop, installed),
}
COUNT = int(os.environ.get("FERRIO_PROGRAMS", 0))

turns = st.integers(0, 3)
never = st.sampled_from(["wait", "read", "readline", "readexactly", "several"])
waits = st.tuples(never, turns, st.sampled_from(["cancel", "timeout"]))
silent = st.lists(st.one_of(waits, st.tuples(st.just("communicate"), turns, st.just("cancel"))), max_size=4)
answering = st.lists(st.one_of(waits, st.tuples(st.just("echo"), st.integers(1, 3000), st.just(""))), max_size=5)
end = st.sampled_from(["kill", "terminate", "signal", "close", "communicate"])
uses = st.one_of(
    st.tuples(st.just("silent"), silent, st.sampled_from(["kill", "terminate", "signal"])),
    st.tuples(st.just("answering"), answering, end),
)


def waiting(process: asyncio.subprocess.Process, name: str):
    assert process.stdout
    match name:
        case "wait":
            return process.wait()
        case "read":
            return process.stdout.read()
        case "readline":
            return process.stdout.readline()
        case "readexactly":
            return process.stdout.readexactly(10)
        case "communicate":
            return process.communicate(b"x" * 10)
        case "several":
            return asyncio.gather(process.wait(), process.wait(), return_exceptions=True)
    raise ValueError(name)


async def cut_short(process: asyncio.subprocess.Process, name: str, after: int, how: str) -> object:
    async def wait() -> object:
        return await waiting(process, name)

    async def in_time() -> object:
        async with asyncio.timeout(after * 0.001):
            return await wait()

    task = asyncio.create_task(wait() if how == "cancel" else in_time())
    if how == "cancel":
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel("enough")
    try:
        return await task
    except (asyncio.CancelledError, TimeoutError, RuntimeError) as error:
        return type(error).__name__, str(error), asyncio.current_task().cancelling()


async def used(kind: str, operations, ending: str) -> list[object]:
    process = await asyncio.create_subprocess_exec(*CHILDREN[kind], stdin=PIPE, stdout=PIPE)
    assert process.stdin
    assert process.stdout
    trace: list[object] = []
    for name, number, how in operations:
        if name == "echo":
            process.stdin.write(b"e" * number)
            await process.stdin.drain()
            trace.append((name, len(await process.stdout.readexactly(number))))
        else:
            trace.append((name, await cut_short(process, name, number, how), process.returncode))
    match ending:
        case "kill":
            process.kill()
        case "terminate":
            process.terminate()
        case "signal":
            process.send_signal(signal.SIGINT)
        case "close":
            process.stdin.close()
    output = await process.communicate(b"last" if ending == "communicate" else None)
    trace.append((ending, output, await process.wait(), process.returncode, len(asyncio.all_tasks())))
    return trace


def observe(use, mode: str) -> list[object]:
    factory, in_place = MODES[mode]
    with in_place(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(used(*use))


@pytest.mark.timeout(300 + COUNT)
@settings(
    max_examples=COUNT or 30,
    derandomize=not COUNT,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(uses)
def test_random_uses_of_a_child_end_the_same(use):
    stock = observe(use, "stock")
    for mode in MODES:
        if mode != "stock":
            assert observe(use, mode) == stock, mode
