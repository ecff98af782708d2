"""Without memory, spawning raises MemoryError or works: no panic goes on, nothing aborts."""

import asyncio
import contextlib
import importlib

import pytest
import rust_extension

from tests.support.refused_memory import skip_unless_python_code_can_be_refused_memory

ALLOCATIONS = 40

MAKERS = {
    "ready": lambda: rust_extension.ready(1),
    "lazy": lambda: rust_extension.lazy(1),
    "nested": lambda: rust_extension.nested(asyncio.sleep(0)),
    "slept": lambda: rust_extension.slept(0, 1),
    "idle": lambda: rust_extension.idle("name", lambda name: None),
    "through_sockets": lambda: rust_extension.through_sockets(1),
    "wait": lambda: rust_extension.Gate().wait(),
}


@pytest.fixture(autouse=True)
def refusing():
    skip_unless_python_code_can_be_refused_memory()


@pytest.fixture
def quiet_loop(loop, monkeypatch):
    loop.set_exception_handler(lambda _, context: None)
    monkeypatch.setattr("sys.unraisablehook", lambda entry: None)

    async def use_everything_once():
        assert await rust_extension.both(rust_extension.wake_once(1), rust_extension.slept(0, 2)) == (1, 2)
        assert await rust_extension.nested(rust_extension.through_sockets(3)) == b"\x03"
        assert await rust_extension.first(loop.create_future(), rust_extension.thread_results(2)) == 1

    loop.run_until_complete(use_everything_once())
    return loop


@contextlib.contextmanager
def no_memory(first, last):
    refusal = importlib.import_module("_testcapi")
    refusal.set_nomemory(first, last)
    try:
        yield
    finally:
        refusal.remove_mem_hooks()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("is_endless", [False, True])
def test_spawning_works_or_raises_memory_error(quiet_loop, maker, is_endless, capfd):
    make = MAKERS[maker]

    async def attempt(allocation):
        try:
            with no_memory(allocation, 0 if is_endless else allocation + 1):
                made = make()
        except MemoryError:
            return 1
        task = asyncio.ensure_future(made)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        return 0

    refused = sum(quiet_loop.run_until_complete(attempt(allocation)) for allocation in range(ALLOCATIONS))
    assert refused < ALLOCATIONS
