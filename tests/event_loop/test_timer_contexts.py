"""A finished timer releases its context, so it keeps no value of a context variable alive, as under asyncio."""

import asyncio
import contextvars
import gc
import weakref

import pytest

VARIABLE: contextvars.ContextVar = contextvars.ContextVar("VARIABLE")


class Value:
    pass


async def gone(use) -> bool:
    """Whether a variable's value is gone when `use(loop)` was called with it and is over."""
    loop = asyncio.get_running_loop()
    other = loop.call_later(1000, print)

    def within():
        value = Value()
        VARIABLE.set(value)
        use(loop)
        return weakref.ref(value)

    value = contextvars.copy_context().run(within)
    for _ in range(4):
        await asyncio.sleep(0)
    gc.collect()
    other.cancel()
    return value() is None


@pytest.mark.parametrize(
    "use",
    [
        lambda loop: loop.call_later(500, print).cancel(),
        lambda loop: loop.call_later(0, int),
        lambda loop: loop.call_soon_threadsafe(int),
    ],
    ids=["cancelled", "run", "of another thread"],
)
def test_the_value_of_a_timer_that_is_gone_is_gone(loop, use):
    assert loop.run_until_complete(gone(use))
