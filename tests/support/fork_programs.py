"""Programs that fork while a loop runs, or between its runs. The child reports its state before the parent continues.

Run as a program, it runs one of them: `python -m tests.support.fork_programs stock|loop|install NAME`.
"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import socket
import sys
import threading
import warnings
from typing import Any

CONTEXT = multiprocessing.get_context("fork")


def say(*words):
    print(*words, flush=True)


def fork():
    """0 in the child, which an alarm ends if it hangs; in the parent it returns when the child is gone."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        return 0
    say("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return child


def in_child(function):
    if fork() == 0:
        function()
        os._exit(0)


def new_loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def callbacks_go_on_in_the_child():
    loop = new_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    seen: list[object] = []

    def read():
        seen.append(left.recv(9))
        loop.remove_reader(left)
        loop.stop()

    def branch():
        seen.append("parent" if fork() else "child")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            seen.append("no running loop")
        loop.call_later(0.002, seen.append, "timer")
        loop.call_later(0.004, right.send, b"data")
        loop.add_reader(left, read)

    loop.call_soon(branch)
    loop.call_soon_threadsafe(seen.append, "queued before")
    loop.run_forever()
    say(seen)
    say(loop.run_until_complete(asyncio.sleep(0.001, "again")))


def a_task_goes_on_in_the_child():
    loop = new_loop()
    left, right = socket.socketpair()
    left.setblocking(False)

    async def main():
        timer, data = loop.create_future(), loop.create_future()
        loop.call_later(0.002, timer.set_result, "timer")
        who = "parent" if fork() else "child"
        loop.add_reader(left, lambda: (data.set_result(left.recv(9)), loop.remove_reader(left)))
        say(who, await timer)
        right.send(b"data")
        say(who, await data)
        await asyncio.sleep(0)
        say(who, asyncio.current_task(loop) is not None, len(asyncio.all_tasks(loop)))
        return who

    say(loop.run_until_complete(main()))


def what_asks_for_the_running_loop_fails_in_the_child():
    loop = new_loop()

    async def main():
        if fork():
            return await asyncio.sleep(0.001, "parent")
        for wait in (lambda: asyncio.sleep(0.001), lambda: asyncio.to_thread(abs, 1)):
            try:
                await wait()
            except RuntimeError as error:
                say(error)
        for call in (asyncio.current_task, asyncio.all_tasks, lambda: loop.run_until_complete(loop.create_future())):
            try:
                call()
            except RuntimeError as error:
                say(error)
        return "child"

    say(loop.run_until_complete(main()))


def a_child_that_says_what_runs_goes_on_wholly():
    loop = new_loop()

    async def main():
        if fork() == 0:
            asyncio._set_running_loop(loop)
        await asyncio.sleep(0.001)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            slept = group.create_task(asyncio.sleep(0.001, "slept"))
        return slept.result(), asyncio.current_task() is not None

    say(loop.run_until_complete(main()))


def run_ends_in_the_child_as_well():
    async def other():
        try:
            await asyncio.sleep(100)
        finally:
            say("the other task ends")

    async def main():
        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        return "parent" if fork() else "child", task.done()

    say(asyncio.run(main()))


def a_child_that_exits_inside_a_coroutine():
    async def main():
        await asyncio.sleep(0)
        if fork() == 0:
            sys.exit(3)
        return await asyncio.sleep(0.001, "parent")

    say(asyncio.run(main()))


def double(number):
    return asyncio.run(asyncio.sleep(0.001, number * 2))


def a_pool_of_executors_processes():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=CONTEXT) as pool:
            return await asyncio.gather(*(loop.run_in_executor(pool, double, number) for number in range(4)))

    say(asyncio.run(main()))


def a_pool_of_multiprocessing():
    async def main():
        await asyncio.sleep(0.001)
        with CONTEXT.Pool(2) as pool:
            mapped = pool.map(double, range(4))
            applied = await asyncio.to_thread(pool.apply_async(double, (8,)).get, 30)
        return mapped, applied, await asyncio.sleep(0.001, "parent")

    say(asyncio.run(main()))


LOOP: asyncio.AbstractEventLoop


def on_the_programs_loop(number):
    return LOOP.run_until_complete(asyncio.sleep(0.001, number))


def a_pool_whose_workers_run_the_programs_loop():
    global LOOP
    LOOP = new_loop()
    LOOP.run_until_complete(asyncio.sleep(0.001))
    with CONTEXT.Pool(3) as pool:
        say(pool.map(on_the_programs_loop, range(6)))
    say(LOOP.run_until_complete(asyncio.sleep(0.001, "parent")))


def a_process_of_multiprocessing():
    async def main():
        queue = CONTEXT.SimpleQueue()
        process = CONTEXT.Process(target=lambda: queue.put(double(4)))
        process.start()
        result = await asyncio.to_thread(queue.get)
        await asyncio.to_thread(process.join)
        return result, process.exitcode

    say(asyncio.run(main()))


def work_of_a_thread_ends_in_the_parent_alone():
    loop = new_loop()
    go_on = threading.Event()

    async def start():
        work = loop.run_in_executor(None, go_on.wait, 30)
        await asyncio.sleep(0.001)
        return work

    work = loop.run_until_complete(start())

    def child():
        go_on.set()
        say([len(part) for part in loop.run_until_complete(asyncio.wait([work], timeout=0.05))])
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        say(loop.run_until_complete(loop.run_in_executor(None, abs, -3)))
        loop.run_until_complete(loop.shutdown_default_executor())

    in_child(child)
    go_on.set()
    say(loop.run_until_complete(work))
    loop.run_until_complete(loop.shutdown_default_executor())


def a_loop_that_runs_in_a_thread_of_the_parent():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    say(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001, "in the thread"), loop).result(30))

    def child():
        say(loop.is_running())
        pending = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
        try:
            pending.result(0.01)
        except concurrent.futures.TimeoutError:
            say("nobody runs it")
        own = asyncio.new_event_loop()
        say(own.run_until_complete(asyncio.sleep(0.001, "its own")))
        own.close()

    in_child(child)
    say(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001, "in the thread"), loop).result(30))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def signal_handlers_before_and_after():
    loop = new_loop()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, lambda number=number: (say("heard", number.name), loop.stop()))

    def child():
        os.kill(os.getpid(), signal.SIGUSR1)
        timer = loop.call_later(0.05, lambda: (say("heard nothing"), loop.stop()))
        loop.run_forever()
        timer.cancel()
        loop.add_signal_handler(signal.SIGUSR2, lambda: (say("the child's own"), loop.stop()))
        os.kill(os.getpid(), signal.SIGUSR2)
        loop.run_forever()
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_forever()
        say([loop.remove_signal_handler(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2)])

    in_child(child)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    say([loop.remove_signal_handler(number) for number in (signal.SIGUSR1, signal.SIGUSR2)])


def signal_handlers_of_loops_of_both():
    loop = new_loop()
    loop.add_signal_handler(signal.SIGTERM, say, "the parent's")

    async def wait():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        say("the child's")

    def child():
        asyncio.run(wait())
        say(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)

    async def main():
        in_child(child)
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    os.kill(os.getpid(), signal.SIGTERM)
    loop.run_until_complete(asyncio.sleep(0.002))


def asynchronous_generators_of_the_parent():
    loop = new_loop()
    parent = os.getpid()

    async def numbers():
        try:
            yield 1
        finally:
            say("closed in", "the parent" if os.getpid() == parent else "the child")

    generator = numbers()

    async def begin():
        return await anext(generator)

    say(loop.run_until_complete(begin()))
    in_child(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
    loop.run_until_complete(loop.shutdown_asyncgens())


def a_runner_of_the_parent():
    runner = asyncio.Runner()
    runner.run(asyncio.sleep(0.001))

    def child():
        say(runner.run(asyncio.sleep(0.001, "child")))
        runner.close()

    in_child(child)
    say(runner.run(asyncio.sleep(0.001, "parent")))
    runner.close()


def children_of_both():
    async def meow(data):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
        output, _ = await process.communicate(data)
        return output, process.returncode

    async def main():
        say(await meow(b"before"))
        in_child(lambda: say(asyncio.run(meow(b"in the child"))))
        say(await meow(b"after"))

    asyncio.run(main())


def a_daemon_that_closes_all_descriptors():
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0.001))
    reader, writer = os.pipe()

    def detach():
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.alarm(30)
        os.dup2(writer, 1000)
        os.closerange(3, 1000)
        own = asyncio.new_event_loop()
        os.write(1000, own.run_until_complete(asyncio.sleep(0.001, b"daemon")))
        own.close()

    in_child(detach)
    say(os.read(reader, 100))
    say(loop.run_until_complete(asyncio.sleep(0.001, "parent")))


def debug_mode_in_both():
    async def sleep():
        asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is none of this program's business
        return await asyncio.sleep(0.001, "child")

    async def main():
        asyncio.get_running_loop().set_debug(True)
        asyncio.get_running_loop().slow_callback_duration = 60
        await asyncio.sleep(0.001)
        in_child(lambda: say(asyncio.run(sleep(), debug=True)))
        return await asyncio.sleep(0.001, "parent")

    say(asyncio.run(main(), debug=True))


PROGRAMS = {
    function.__name__: function
    for function in list(globals().values())
    if getattr(function, "__module__", "") == __name__ and function.__code__.co_argcount == 0
}
for _name in ("fork", "new_loop", "say"):
    del PROGRAMS[_name]


def main():
    kind, name = sys.argv[1:]
    warnings.simplefilter("ignore")
    if kind == "install":
        import ferrio

        ferrio.install()
    elif kind == "loop":
        import ferrio

        # Asyncio's own functions and classes, on ferrio's loop.
        policy: Any = asyncio.DefaultEventLoopPolicy()
        policy._loop_factory = ferrio.new_event_loop
        asyncio.set_event_loop_policy(policy)
    PROGRAMS[name]()


if __name__ == "__main__":
    main()
