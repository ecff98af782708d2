"""Timers and handles: call_later, call_at, the loop's time, the objects that scheduling returns."""

import asyncio
import contextvars
import math
import sys
import time
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same, outcome
from tests.support.peers import run_turns

# -- time ----------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0001, 0.0005, 0.001, 0.0033, 0.01])
def test_no_sleep_returns_early(loop, delay):
    async def main():
        for _ in range(5):
            began = time.monotonic()
            await asyncio.sleep(delay)
            assert time.monotonic() - began >= delay

    if type(loop) is asyncio.SelectorEventLoop or "Selector" in type(loop).__name__:
        loop._clock_resolution = 0  # stock runs a timer up to one resolution of the clock before its time
    loop.run_until_complete(main())


def test_a_timer_never_runs_before_its_time(loop):
    early = []

    def check(when):
        if loop.time() < when - 1e-9:
            early.append(when)

    base = loop.time()
    for number in range(200):
        when = base + number * 0.0001 + 0.00003
        loop.call_at(when, check, when)
    loop.call_at(base + 0.03, loop.stop)
    loop.run_forever()
    assert early == []


def test_zero_and_negative_delays_run_in_the_next_turn(loop):
    trace = []
    loop.call_later(0, trace.append, "zero")
    loop.call_later(-5, trace.append, "negative")
    run_turns(loop, 2)
    assert sorted(trace) == ["negative", "zero"]


def test_equal_times_all_run(loop):
    trace = []
    when = loop.time() + 0.001
    for number in range(50):
        loop.call_at(when, trace.append, number)
    loop.call_at(when + 0.001, loop.stop)
    loop.run_forever()
    assert sorted(trace) == list(range(50))


def test_when_is_the_time_asked_for(loop):
    assert loop.call_at(12345.678901234, print).when() == 12345.678901234
    before = loop.time()
    handle = loop.call_later(10, print)
    assert before + 10 <= handle.when() <= loop.time() + 10


def test_delays_of_any_number_type(loop):
    from decimal import Decimal
    from fractions import Fraction

    trace = []
    loop.call_later(Fraction(1, 1000), trace.append, 1)
    loop.call_later(True, trace.append, 2).cancel()
    loop.call_at(int(loop.time()) - 1, trace.append, 3)
    kinds = [outcome(loop.call_later, value, print)[0] for value in ("1", Decimal(1))]
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert kinds == ["raised", "raised"]
    assert sorted(trace) == [1, 3]


def test_none_as_a_time_is_refused_in_asyncios_words(loop):
    with pytest.raises(TypeError, match=r"^delay must not be None$"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match=r"^when cannot be None$"):
        loop.call_at(None, print)


def test_a_huge_delay_is_just_far_away(loop):
    handle = loop.call_later(10**9, print)
    infinite = loop.call_later(float("inf"), print)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    handle.cancel()
    infinite.cancel()


def test_time_overridden_in_a_subclass_drives_the_timers(loop_kind):
    import ferrio

    base: Any = {"stock": asyncio.SelectorEventLoop, "ferrio": type(_made(ferrio.new_event_loop))}[loop_kind]

    class Simulated(base):
        now = 1000.0

        def time(self):
            return self.now

    loop = Simulated()
    try:
        _simulated_time_drives(loop, lambda now: setattr(loop, "now", now))
    finally:
        loop.close()


def test_time_patched_on_the_instance_drives_the_timers(loop):
    now = [1000.0]
    loop.time = lambda: now[0]
    _simulated_time_drives(loop, lambda value: now.__setitem__(0, value))


@pytest.mark.parametrize("now", [2.0**22, 2.0**23, 2.0**30, 2.0**60, -(2.0**40)])
def test_a_timer_due_now_runs_now_as_on_asyncio_however_coarse_the_clock_is(now):
    """Since 3.15; before, no instant but a later one was late enough for a clock whose steps are long."""

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        real, loop.time = loop.time, lambda: now
        loop.call_at(now, trace.append, "due")
        loop.call_at(math.nextafter(now, math.inf), trace.append, "a step later")
        for _ in range(3):
            await asyncio.sleep(0)
        loop.time = real
        trace.append("end")

    assert_same(scenario)


def _made(factory):
    loop = factory()
    loop.close()
    return loop


def _simulated_time_drives(loop, set_time):
    trace = []
    loop.call_later(3600, trace.append, "hour")
    loop.call_later(60, trace.append, "minute")
    assert loop.call_later(5, print).when() == 1005.0
    run_turns(loop, 2)
    assert trace == []
    set_time(1061.0)
    run_turns(loop, 2)
    assert trace == ["minute"]
    set_time(5000.0)
    run_turns(loop, 2)
    assert trace == ["minute", "hour"]


# -- handles ---------------------------------------------------------------------


def test_handles_are_asyncios_for_isinstance(loop):
    soon, later = loop.call_soon(print), loop.call_later(1, print)
    assert isinstance(soon, asyncio.Handle)
    assert not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(later, asyncio.Handle)
    assert isinstance(loop.call_soon_threadsafe(print), asyncio.Handle)


def test_a_handle_tells_whether_it_was_cancelled(loop):
    for handle in (loop.call_soon(print), loop.call_later(1, print)):
        assert handle.cancelled() is False
        assert handle.cancel() is None
        assert handle.cancelled() is True
        handle.cancel()
        assert handle.cancelled() is True


def test_a_handle_that_ran_is_not_cancelled(loop):
    handle = loop.call_soon(lambda: None)
    run_turns(loop, 1)
    assert handle.cancelled() is False


def test_cancelling_releases_the_callback_and_its_arguments(loop):
    import weakref

    class Payload:
        def __call__(self):
            pass

    for schedule in (loop.call_soon, lambda *rest: loop.call_later(3600, *rest)):
        callback, argument = Payload(), Payload()
        dead = weakref.ref(callback), weakref.ref(argument)
        handle = schedule(callback, argument)
        handle.cancel()
        del callback, argument
        assert [reference() for reference in dead] == [None, None]


def test_timer_handles_are_ordered_by_time(loop):
    one, two, same = (loop.call_at(when, print) for when in (10**6, 10**6 + 1, 10**6))
    assert one < two
    assert two > one
    assert one <= two
    assert two >= one
    assert not one < same
    assert one <= same
    assert one >= same
    assert one != two
    assert hash(one) == hash(one.when())
    with pytest.raises(TypeError):
        one < 5  # noqa: B015
    assert (one == 5) is False


def test_equal_timers_compare_equal_when_they_do_the_same():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        one = loop.call_at(10**6, print, 1)
        two = loop.call_at(10**6, print, 1)
        other = loop.call_at(10**6, print, 2)
        trace.append((one == two, one == other, one == one))
        one.cancel()
        trace.append(one == two)

    assert_same(scenario)


def named_callback(*arguments):
    pass


@pytest.mark.parametrize("debug", [False, True])
def test_reprs_of_handles_are_asyncios(debug):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        soon = loop.call_soon(named_callback, 1, "two")
        at = loop.call_at(1e6, named_callback)
        trace += [repr(soon), repr(at)]
        at.cancel()
        await asyncio.sleep(0)
        trace += [repr(soon), repr(at)]
        soon.cancel()
        trace.append(repr(soon))

    assert_same(scenario, debug=debug)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="get_context came with 3.12")
def test_get_context_returns_the_context_of_the_handle():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        for handle in (
            loop.call_soon(str, context=context),
            loop.call_later(0, str, context=context),
            loop.call_at(0, str, context=context),
            loop.call_soon_threadsafe(str, context=context),
        ):
            trace.append(handle.get_context() is context)
        await asyncio.sleep(0.001)

    assert_same(scenario)


def test_handles_have_no_other_attributes(loop):
    with pytest.raises(AttributeError):
        loop.call_soon(str).anything = 1


def test_timers_due_at_the_same_instant_keep_their_order():
    """asyncio's heap gives another order as soon as a third timer is in it."""

    class Stopped(ferrio.EventLoop):
        now = 0.0

        def time(self):
            return self.now

    loop = Stopped()
    order = []
    for number in range(50):
        loop.call_at(2, order.append, number)
        loop.call_at(1, str)
    loop.call_soon(setattr, loop, "now", 3.0)
    loop.call_at(3, loop.stop)
    loop.run_forever()
    loop.close()
    assert order == list(range(50))
