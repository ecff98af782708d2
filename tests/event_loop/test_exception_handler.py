"""Errors that the loop reports: the handler's API, the messages, their keys and the log lines."""

import asyncio
import collections
import contextvars
import gc
import logging
import sys
import types
from typing import Any

import pytest

from tests.support.differential import assert_same, masked, outcome
from tests.support.peers import connection, until


def reported(trace):
    """An exception handler that writes down all that asyncio's callers can rely on."""

    def handler(loop, context):
        for key in sorted(context):
            trace.append((key, masked(repr(context[key])) if key != "source_traceback" else "..."))

    return handler


def test_the_handler_can_be_set_read_and_removed():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        trace.append(loop.get_exception_handler())
        handler = reported(trace)
        loop.set_exception_handler(handler)
        trace.append(loop.get_exception_handler() is handler)
        trace.append(outcome(loop.set_exception_handler, 5))
        loop.set_exception_handler(None)
        trace.append(loop.get_exception_handler())

    assert_same(scenario)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("handled", [False, True])
def test_failing_callbacks_are_reported_as_in_asyncio(debug, handled):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        if handled:
            loop.set_exception_handler(reported(trace))

        def failing(*arguments):
            raise LookupError("in a callback")

        loop.call_soon(failing, 1)
        loop.call_later(0, failing)
        loop.call_soon_threadsafe(failing, "text")
        await asyncio.sleep(0.002)

    assert_same(scenario, debug=debug)


@pytest.mark.parametrize("handled", [False, True])
def test_forgotten_exceptions_are_reported_as_in_asyncio(handled):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        if handled:
            loop.set_exception_handler(reported(trace))
        future = loop.create_future()
        future.set_exception(LookupError("never retrieved"))
        del future
        gc.collect()

        async def failing():
            raise LookupError("in a task")

        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    assert_same(scenario)


def test_a_task_destroyed_while_pending_is_reported_as_in_asyncio():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(reported(trace))

        async def waiting():
            await loop.create_future()

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        del task
        gc.collect()

    assert_same(scenario)


@pytest.mark.parametrize(
    "context",
    [
        {"message": "a message"},
        {"message": "a message", "exception": LookupError("lost")},
        {},
        {"message": "with more", "key": "value", "another": 5},
        {"exception": LookupError("alone")},
        {"message": "with a handle", "handle": "the handle"},
        {"message": "with lines", "source_traceback": [], "handle_traceback": []},
        {"message": 5},
        {"message": ""},
    ],
    ids=lambda context: "-".join(context) or "empty",
)
def test_the_default_handler_logs_as_asyncios(context):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.call_exception_handler(dict(context))
        loop.default_exception_handler(dict(context))

    assert_same(scenario)


def test_a_handler_that_fails_is_reported_as_in_asyncio():
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def failing(loop, context):
            raise LookupError("in the handler")

        loop.set_exception_handler(failing)
        loop.call_exception_handler({"message": "first"})
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert_same(scenario)


def test_an_overridden_default_handler_is_used(loop_kind):
    import ferrio

    made = ferrio.new_event_loop()
    made.close()
    base: Any = {"stock": asyncio.SelectorEventLoop, "ferrio": type(made)}[loop_kind]
    trace = []

    class Own(base):
        def default_exception_handler(self, context):
            trace.append(context["message"])

    loop = Own()
    try:
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert len(trace) == 1
    assert trace[0].startswith("Exception in callback")


def test_the_handler_gets_the_loop_and_the_very_exception(loop):
    seen = []
    loop.set_exception_handler(lambda *arguments: seen.append(arguments))
    error = LookupError("this one")

    def failing():
        raise error

    handle = loop.call_soon(failing)
    loop.call_soon(loop.stop)
    loop.run_forever()
    [(reporting, context)] = seen
    assert reporting is loop
    assert context["exception"] is error
    assert context["handle"] is handle
    assert sorted(context) == ["exception", "handle", "message"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_the_handler_by(loop, error):
    seen = []
    loop.set_exception_handler(lambda *arguments: seen.append(arguments))

    def interrupt():
        raise error

    loop.call_soon(interrupt)
    with pytest.raises(error):
        loop.run_forever()
    assert seen == []


def test_an_interrupt_from_the_handler_leaves_the_loop(loop):
    def handler(loop, context):
        raise KeyboardInterrupt

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()


def test_the_handler_runs_in_the_context_of_the_callback():
    variable = contextvars.ContextVar("variable", default="unset")

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: trace.append(variable.get()))
        context = contextvars.copy_context()
        context.run(variable.set, "of the callback")
        loop.call_soon(lambda: 1 / 0, context=context)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert_same(scenario)


def test_other_base_exceptions_are_reported_not_raised():
    class Odd(BaseException):
        pass

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(reported(trace))

        def odd():
            raise Odd("odd")

        loop.call_soon(odd)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        trace.append("still running")

    assert_same(scenario)


def test_cancelled_errors_in_callbacks_are_reported_as_in_asyncio():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(reported(trace))

        def cancelled():
            raise asyncio.CancelledError

        loop.call_soon(cancelled)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        trace.append("still running")

    assert_same(scenario)


def test_the_traceback_starts_at_the_callback(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))

    def failing():
        raise LookupError

    loop.call_soon(failing)
    loop.call_soon(loop.stop)
    loop.run_forever()
    traceback = seen[0].__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code is failing.__code__


def test_nothing_is_logged_when_nothing_is_wrong(loop, log):
    log.set_level(logging.INFO, logger="asyncio")
    loop.run_until_complete(asyncio.sleep(0.001))
    assert log.records == []


@pytest.mark.parametrize("debug", [False, True])
def test_coroutines_never_awaited_still_warn(new_event_loop, debug):
    loop = new_event_loop()
    loop.set_debug(debug)

    async def forgotten():
        pass

    async def main():
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            assert asyncio.iscoroutine(forgotten())

    loop.run_until_complete(main())


def test_debug_mode_tracks_where_coroutines_were_made(loop):
    loop.set_debug(True)

    async def main():
        return sys.get_coroutine_origin_tracking_depth()

    assert loop.run_until_complete(main()) > 0
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_debug_mode_is_switched_by_whatever_is_true_or_false(loop):
    depths, complaints = [], []
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    async def main():
        for enabled in ("yes", 0, 1, None):
            loop.set_debug(enabled)
            await asyncio.sleep(0.001)
            depths.append(sys.get_coroutine_origin_tracking_depth() > 0)

    loop.run_until_complete(main())
    assert depths == [True, False, True, False]
    assert complaints == []


@pytest.mark.parametrize("handled", [False, True])
def test_what_fails_while_an_error_is_reported_has_it_as_its_context(handled):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        class Shown:
            def __repr__(self):
                raise LookupError("in a repr")

            def __call__(self, *_):
                raise ZeroDivisionError("in a callback")

        class Failing(logging.Handler):
            def emit(self, record):
                error = record.exc_info[1]
                trace.append((record.getMessage(), repr(error), repr(error.__context__), repr(sys.exc_info()[1])))
                raise OSError("in a log")

        handler, logger = Failing(), logging.getLogger("asyncio")
        logger.addHandler(handler)
        if handled:
            loop.set_exception_handler(Shown())
        try:
            loop.call_exception_handler({"message": "told", "exception": KeyError("k"), "key": Shown()})
        except OSError as error:
            raised: BaseException | None = error
            while raised is not None:
                trace.append(repr(raised))
                raised = raised.__context__
        finally:
            logger.removeHandler(handler)

    assert_same(scenario)


def test_a_callback_without_a_repr_leaves_the_loop_as_in_asyncio():
    async def scenario(trace):
        class Shown:
            def __repr__(self):
                raise LookupError("in a repr")

            def __call__(self):
                raise ZeroDivisionError("in a callback")

        loop = asyncio.new_event_loop()
        loop.call_soon(Shown())
        try:
            await asyncio.to_thread(loop.run_forever)
        except LookupError as error:
            trace.append((repr(error), repr(error.__context__)))
        loop.close()

    assert_same(scenario)


@pytest.mark.parametrize("fails", ["callback", "timer", "data_received", "handler"])
def test_while_an_error_is_reported_it_is_the_one_being_handled(fails):
    """So that `traceback.print_exc()` and `logger.exception()` in a handler say something."""

    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def fail(*_):
            raise ZeroDivisionError(fails)

        class Failing(asyncio.Protocol):
            data_received = fail

        def handler(loop, context):
            trace.append((repr(sys.exc_info()[1]), sys.exc_info()[1] is context["exception"]))
            if fails == "handler":
                raise LookupError("in the handler")

        def default(context):
            error = context["exception"]
            trace.append((repr(error), repr(error.__context__), repr(sys.exc_info()[1])))

        loop.set_exception_handler(handler)
        if fails == "handler":
            loop.default_exception_handler = default
        if fails == "data_received":
            async with connection(Failing) as (_, _, peer):
                peer.send(b"data")
                await until(lambda: trace)
        elif fails == "timer":
            loop.call_later(0.001, fail)
        else:
            loop.call_soon(fail)
        await until(lambda: trace)
        trace.append(sys.exc_info()[1])

    assert_same(scenario)


@pytest.mark.parametrize(
    "context", [collections.UserDict(message="told"), types.MappingProxyType({"message": "told"}), 5]
)
def test_any_mapping_tells_of_an_error(loop, log, context):
    loop.call_exception_handler(context)
    told = "told" if context != 5 else "Exception in default exception handler"
    assert [record.getMessage() for record in log.records if record.name == "asyncio"] == [told]
    heard = []
    loop.set_exception_handler(lambda _, context: heard.append(context))
    loop.call_exception_handler(context)
    # From 3.12 on the context is looked at first, for a task's.
    assert heard == [context] or context == 5
