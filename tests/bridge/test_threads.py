"""Other threads: wakers and handles reach the loop without the interpreter's lock, many by one wake-up."""

import asyncio
import gc
import threading

import pytest
import rust_extension


def test_thread_wakes_a_future(loop):
    async def main():
        gate = rust_extension.Gate()
        task = gate.wait()
        await asyncio.sleep(0)
        gate.open_from_thread()
        await task

    loop.run_until_complete(main())


def test_blocking_work_runs_on_another_thread(loop):
    async def main():
        return await rust_extension.in_thread(threading.get_ident)

    assert loop.run_until_complete(main()) != threading.get_ident()


def test_panic_on_the_other_thread_is_an_error(loop, capfd):
    def fail():
        raise KeyError("on the thread")

    async def main():
        with pytest.raises(KeyError, match="on the thread"):
            await rust_extension.in_thread(fail)

    loop.run_until_complete(main())


def test_results_of_many_threads_arrive(loop):
    async def main():
        return await rust_extension.thread_results(50)

    assert loop.run_until_complete(main()) == sum(range(50))


def test_code_sent_by_a_thread_runs_in_order_on_the_loops_thread(loop):
    calls = []

    async def main():
        done = loop.create_future()

        def call(number):
            calls.append((number, threading.get_ident()))
            if number == 999:
                done.set_result(None)

        rust_extension.run_in_turn(1000, call)
        await done

    loop.run_until_complete(main())
    assert calls == [(number, threading.get_ident()) for number in range(1000)]


def test_messages_sent_while_the_loop_is_busy_run_in_one_turn(loop):
    async def main():
        turn = 0
        turns = []
        rust_extension.run_in_turn(100, lambda _: turns.append(turn))
        # This thread holds the interpreter's lock and does not return to the loop before the other one has sent all.
        while rust_extension.unsent():
            pass
        while len(turns) < 100:
            turn += 1
            await asyncio.sleep(0)
        return turns

    turns = loop.run_until_complete(main())
    assert len(set(turns)) == 1


def test_exception_in_sent_code_goes_to_the_exception_handler(loop):
    contexts = []

    async def main():
        done = loop.create_future()

        def handle(_, context):
            contexts.append(context)
            done.set_result(None)

        def call(number):
            raise KeyError(number)

        loop.set_exception_handler(handle)
        rust_extension.run_in_turn(1, call)
        await done

    loop.run_until_complete(main())
    assert [repr(context["exception"]) for context in contexts] == ["KeyError(0)"]


def test_loops_of_several_threads_do_not_mix(loop_kind, new_event_loop):
    totals = []

    async def main():
        for _ in range(20):
            totals.append(await rust_extension.thread_results(5))
            await rust_extension.wake_once(None)

    def run(loop):
        loop.run_until_complete(main())

    threads = [threading.Thread(target=run, args=(new_event_loop(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [10] * 80


def test_loop_that_has_moved_is_woken_by_a_thread_that_ran_it(new_event_loop):
    loop = new_event_loop()
    gate = rust_extension.Gate()
    may_open = threading.Event()

    async def begin():
        task = gate.wait()
        await asyncio.sleep(0)
        return [task]

    async def go_on(task):
        loop.call_later(0.01, may_open.set)
        async with asyncio.timeout(60):
            await task

    def run_and_open():
        loop.run_until_complete(run_rust())
        has_run.set()
        may_open.wait()
        gate.open_for_one()

    async def run_rust():
        await rust_extension.wake_once(1)

    has_run = threading.Event()
    (task,) = loop.run_until_complete(begin())
    thread = threading.Thread(target=run_and_open)
    thread.start()
    has_run.wait()
    loop.run_until_complete(go_on(task))
    thread.join()


def test_object_freed_on_another_thread_drops_its_future_on_its_own(loop):
    dropped = []

    async def main():
        task = rust_extension.idle("future", lambda _: dropped.append(threading.get_ident()))
        await asyncio.sleep(0)
        holder = [task.get_coro()]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        run_on_thread(holder.clear)

    loop.run_until_complete(main())
    assert dropped == [threading.get_ident()]
    del dropped[:]
    holder = [rust_extension.awaited(Witness(dropped))]
    with pytest.warns(RuntimeWarning, match="never awaited"):
        run_on_thread(holder.clear)
    gc.collect()
    assert dropped == []
    rust_extension.lazy(1).close()  # the next future of this thread
    assert dropped == [threading.get_ident()]


def run_on_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


class Witness:
    """Notes the thread that frees it."""

    def __init__(self, dropped):
        self.dropped = dropped

    def __del__(self):
        self.dropped.append(threading.get_ident())
