"""Runner, run() and to_thread() behave as in the running Python's asyncio: states, errors, Ctrl-C and closing."""

import asyncio
import contextvars
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import weakref
from typing import Any

import pytest

import ferrio
from ferrio._ferrio import run as installed_run
from tests.support.coroutines import failing, returning
from tests.support.differential import assert_same_functions, masked, outcome
from tests.support.loops import FACTORIES

FIELDS = ("_loop", "_context", "_debug", "_loop_factory", "_interrupt_count", "_set_event_loop")

variable = contextvars.ContextVar("variable", default=0)


def shown(runner):
    return (runner._state, [masked(getattr(runner, name)) for name in FIELDS])


def tree(error):
    """An exception with what is linked to it."""
    if error is None:
        return None
    return (type(error).__name__, masked(error), tree(error.__cause__), tree(error.__context__))


def raised(function, *arguments, **keywords):
    try:
        return ("returned", masked(function(*arguments, **keywords)))
    except BaseException as error:
        return ("raised", tree(error))


def assert_same(scenario) -> None:
    """`scenario` takes a Runner class, a factory of loops and the trace."""
    stock: list = []
    scenario(asyncio.Runner, asyncio.SelectorEventLoop, stock)
    assert stock, "the scenario left no trace"
    for kind in FACTORIES:
        trace: list = []
        scenario(ferrio.Runner, FACTORIES[kind], trace)
        assert trace == stock, kind


def test_states_and_what_a_runner_shows_of_itself():
    def scenario(runner_class, factory, trace):
        made = []

        def new_event_loop():
            made.append(factory())
            return made[-1]

        runner = runner_class(debug=True, loop_factory=new_event_loop)
        trace.append((runner._state, runner._loop, runner._context, runner._debug, runner._set_event_loop))
        assert runner._loop_factory is new_event_loop
        with runner as entered:
            trace.append((entered is runner, runner._state, runner.get_loop() is made[0], made[0].get_debug()))
            trace.append(runner.run(returning(1)))
            trace.append(raised(runner.run, failing(LookupError("x"))))
            trace.append((type(runner._context).__name__, runner._interrupt_count, len(made)))
        trace.append((runner._state, runner._loop, made[0].is_closed()))
        runner.close()
        for function in (runner.__enter__, runner.get_loop, runner._lazy_init):
            trace.append(raised(function))
        late = returning(2)
        trace.append(raised(runner.run, late))
        late.close()
        unused = runner_class(loop_factory=new_event_loop)
        unused.close()
        trace.append((unused._state, len(made)))

    assert_same(scenario)


def test_only_coroutines_and_since_3_14_awaitables_are_run():
    class Awaitable:
        def __await__(self):
            return returning("awaited").__await__()

    def scenario(runner_class, factory, trace):
        with runner_class(loop_factory=factory) as runner:
            for target in (None, 3, returning, Awaitable()):
                trace.append(masked(raised(runner.run, target)))

            async def nested():
                coroutine = returning(1)
                try:
                    return raised(runner.run, coroutine)
                finally:
                    coroutine.close()

            trace.append(runner.run(nested()))

    assert_same(scenario)


def test_coroutines_share_a_context():
    def scenario(runner_class, factory, trace):
        async def count():
            variable.set(variable.get() + 1)
            return variable.get()

        with runner_class(loop_factory=factory) as runner:
            own = contextvars.copy_context()
            trace.append([runner.run(count()) for _ in range(3)])
            trace.append([runner.run(count(), context=own), own[variable], variable.get()])

    assert_same(scenario)


def test_what_is_left_is_cancelled_and_told_of():
    def scenario(runner_class, factory, trace):
        async def left(error):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as cancelled:
                trace.append(("cancelled", cancelled.args))
                if error is not None:
                    raise error from None
                raise

        async def generator():
            try:
                yield 1
                yield 2
            finally:
                trace.append("generator closed")

        async def main(error):
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: trace.append((context["message"], masked(context["exception"]), sorted(context)))
            )
            tasks.add(asyncio.ensure_future(left(ValueError("left"))))
            iterator = generator()
            await anext(iterator)
            tasks.add(iterator)
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return "done"

        tasks: set = set()

        def run(error):
            with runner_class(loop_factory=factory) as runner:
                return runner.run(main(error))

        for error in (None, LookupError("main")):
            trace.append(raised(run, error))
            tasks.clear()

    assert_same(scenario)


def test_a_loop_that_cannot_be_closed_says_so_and_why_it_was():
    def scenario(runner_class, factory, trace):
        async def main(loop):
            def close():
                close_it()
                raise OSError("closing")

            close_it, loop.close = loop.close, close
            raise LookupError("main")

        def run():
            with runner_class(loop_factory=factory) as runner:
                runners.append(runner)
                runner.run(main(runner.get_loop()))

        runners: list = []
        trace.append(raised(run))
        trace.append(runners[0]._state.name)

    assert_same(scenario)


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("reaction", ["none", "return", "raise", "cancel too"])
def test_ctrl_c_cancels_the_main_task(presses, reaction):
    def scenario(runner_class, factory, trace):
        async def main():
            loop = asyncio.get_running_loop()
            handler = signal.getsignal(signal.SIGINT)
            trace.append((handler is signal.default_int_handler, sorted(handler.keywords)))
            loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as cancelled:
                trace.append(("cancelled", cancelled.args, asyncio.current_task().cancelling()))
                if presses == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(60)
                if reaction == "return":
                    return "returned"
                if reaction == "raise":
                    raise LookupError("instead") from None
                if reaction == "cancel too":
                    asyncio.current_task().cancel()
                raise

        runner = runner_class(loop_factory=factory)
        trace.append(raised(runner.run, main())[:1])
        trace.append((runner._interrupt_count, signal.getsignal(signal.SIGINT) is signal.default_int_handler))
        trace.append(raised(runner.close))

    assert_same(scenario)


def test_the_kind_of_exception_after_ctrl_c():
    async def main():
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    for run in (asyncio.run, ferrio.run, installed_run):
        with pytest.raises(KeyboardInterrupt) as caught:
            run(main())
        assert type(caught.value.__context__) is asyncio.CancelledError
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_others_and_other_threads_stay_as_they_are():
    def scenario(runner_class, factory, trace):
        async def handler():
            return signal.getsignal(signal.SIGINT)

        def run():
            with runner_class(loop_factory=factory) as runner:
                results.append(runner.run(handler()))

        results: list = []
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        trace.append(results[0] is signal.default_int_handler)

        def own(*_):
            pass

        before = signal.signal(signal.SIGINT, own)
        try:
            run()
        finally:
            trace.append(signal.signal(signal.SIGINT, before) is own)
        trace.append(results[1] is own)

        async def replace():
            signal.signal(signal.SIGINT, own)

        with runner_class(loop_factory=factory) as runner:
            runner.run(replace())
        trace.append(signal.signal(signal.SIGINT, before) is own)

    assert_same(scenario)


def test_without_a_factory_the_loop_is_ferrios():
    async def main():
        return type(asyncio.get_running_loop())

    with ferrio.Runner() as runner:
        assert runner.run(main()) is ferrio.EventLoop
        assert runner._set_event_loop
    assert ferrio.run(main()) is ferrio.EventLoop
    assert installed_run(main()) is ferrio.EventLoop
    assert ferrio.run(main(), loop_factory=asyncio.SelectorEventLoop) is asyncio.SelectorEventLoop


def test_signatures_are_asyncios():
    assert inspect.signature(installed_run) == inspect.signature(asyncio.run)
    assert inspect.signature(ferrio.Runner) == inspect.signature(asyncio.Runner)
    for name in ("run", "close", "get_loop", "__enter__"):
        ours = inspect.signature(getattr(ferrio.Runner, name))
        assert list(ours.parameters) == list(inspect.signature(getattr(asyncio.Runner, name)).parameters)
    for arguments in ((1,), ()):
        assert outcome(ferrio.Runner, *arguments, nothing=1)[:2] == ("raised", "TypeError")
    assert ferrio.run.__name__ == installed_run.__name__ == "run"


def test_run_shuts_everything_down(caplog):
    async def main():
        tasks.append(asyncio.create_task(left()))
        await asyncio.sleep(0)
        return await ferrio.to_thread(threading.current_thread)

    async def left():
        try:
            await asyncio.sleep(60)
        finally:
            raise LookupError("in the end")

    tasks: list = []
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        thread = ferrio.run(main())
    assert not thread.is_alive()
    assert "unhandled exception during asyncio.run() shutdown" in caplog.text
    assert isinstance(tasks.pop().exception(), LookupError)


def test_run_is_refused_where_a_loop_runs():
    async def main(run):
        coroutine = returning(1)
        try:
            return raised(run, coroutine)
        finally:
            coroutine.close()

    expected = asyncio.run(main(asyncio.run))
    for run in (ferrio.run, installed_run):
        assert ferrio.run(main(run)) == expected


def test_to_thread_runs_in_another_thread_with_the_context():
    async def scenario(api, trace):
        def work(*arguments, **keywords):
            same = threading.current_thread() is threading.main_thread()
            variable_there = variable.get()
            variable.set(9)
            return (arguments, keywords, same, variable_there)

        variable.set(4)
        trace.append(await api.to_thread(work, 1, 2, key="word", func="mine"))
        trace.append(variable.get())
        try:
            await api.to_thread(int, "no number")
        except ValueError as error:
            trace.append(masked(error))
        trace.append(outcome(api.to_thread)[:2])
        released = threading.Event()
        task = asyncio.ensure_future(api.to_thread(released.wait))
        await asyncio.sleep(0)
        trace.append((task.cancel(), masked(await asyncio.gather(task, return_exceptions=True))))
        released.set()

    assert inspect.iscoroutinefunction(ferrio.to_thread)
    assert_same_functions(scenario)


def test_cycles_through_a_runner_are_collected():
    class Factory:
        """Never called."""

    factory = Factory()
    factory.runner = ferrio.Runner(loop_factory=factory)
    reference = weakref.ref(factory.runner)
    del factory
    gc.collect()
    assert reference() is None


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="later Pythons have no policies")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_installed_runners_respect_a_policy():
    base: Any = type(asyncio.get_event_loop_policy())

    class Policy(base):
        def new_event_loop(self):
            return asyncio.SelectorEventLoop()

    async def main():
        return type(asyncio.get_running_loop())

    before = vars(asyncio.events)["_event_loop_policy"]
    ferrio.install()
    try:
        assert asyncio.Runner is ferrio.Runner
        assert asyncio.run is asyncio.runners.run is installed_run
        assert asyncio.run(main()) is ferrio.EventLoop
        asyncio.set_event_loop_policy(Policy())
        assert asyncio.run(main()) is asyncio.SelectorEventLoop
        assert ferrio.run(main()) is ferrio.EventLoop
    finally:
        asyncio.events._event_loop_policy = before
        ferrio.uninstall()
