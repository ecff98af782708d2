"""Leaving a program: what is still at work when the interpreter goes away ends as under asyncio (issue 14).

Each shape is a whole program. Status and stdout are compared, addresses aside.
"""

# ruff: noqa: E501 - programs, which are no longer readable when their lines are cut
import re
import subprocess
import sys
import textwrap

import pytest

# Left waiting in a task when the program ends: what its body does.
AWAITS = {
    "sleep": "await asyncio.sleep(50)",
    "event": "await asyncio.Event().wait()",
    "queue_get": "await asyncio.Queue().get()",
    "queue_put": "queue = asyncio.Queue(1)\nqueue.put_nowait(1)\nawait queue.put(2)",
    "queue_join": "queue = asyncio.Queue()\nqueue.put_nowait(1)\nawait queue.join()",
    "lock": "lock = asyncio.Lock()\nawait lock.acquire()\nawait lock.acquire()",
    "lock_with": "lock = asyncio.Lock()\nawait lock.acquire()\nasync with lock:\n    pass",
    "semaphore": "await asyncio.Semaphore(0).acquire()",
    "condition": "condition = asyncio.Condition()\nasync with condition:\n    await condition.wait()",
    "condition_wait_for": "condition = asyncio.Condition()\nasync with condition:\n    await condition.wait_for(lambda: False)",
    "barrier": "await asyncio.Barrier(2).wait()",
    "wait_for": "await asyncio.wait_for(asyncio.sleep(50), 40)",
    "wait_for_future": "await asyncio.wait_for(asyncio.get_running_loop().create_future(), 40)",
    "timeout": "async with asyncio.timeout(40):\n    await asyncio.sleep(50)",
    "gather": "await asyncio.gather(asyncio.sleep(50), asyncio.sleep(60))",
    "wait": "await asyncio.wait([asyncio.ensure_future(asyncio.sleep(50))])",
    "shield": "await asyncio.shield(asyncio.sleep(50))",
    "as_completed": "for next in asyncio.as_completed([asyncio.sleep(50)]):\n    await next",
    "task_group": "async with asyncio.TaskGroup() as group:\n    group.create_task(asyncio.sleep(50))",
    "future": "await asyncio.get_running_loop().create_future()",
    "future_of_another": "await asyncio.wrap_future(concurrent.futures.Future())",
    "stream_read": "reader, writer = await asyncio.open_connection(sock=pair()[0])\nawait reader.read(1)",
    "stream_readline": "reader, writer = await asyncio.open_connection(sock=pair()[0])\nawait reader.readline()",
    "stream_drain": "reader, writer = await asyncio.open_connection(sock=pair()[0])\n"
    "writer.write(bytes(10_000_000))\nawait writer.drain()",
    "sock_recv": "await asyncio.get_running_loop().sock_recv(pair()[0], 1)",
    "sock_accept": "listener = socket.create_server(('127.0.0.1', 0))\nlistener.setblocking(False)\nkept.append(listener)\n"
    "await asyncio.get_running_loop().sock_accept(listener)",
    "to_thread": "await asyncio.to_thread(time.sleep, 0.2)",
    "run_in_executor": "await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.2)",
    "async_generator": "async for item in endless():\n    await asyncio.sleep(50)",
    "async_with": "async with Manager():\n    await asyncio.sleep(50)",
    "nested": "await nested(10)",
    "finally": "try:\n    await asyncio.sleep(50)\nfinally:\n    print('finally')",
    "finally_awaits": "try:\n    await asyncio.sleep(50)\nfinally:\n    await asyncio.sleep(1)",
    "swallows": "while True:\n    try:\n        await asyncio.sleep(50)\n    except BaseException as error:\n"
    "        print(type(error))\n        raise",
    "server": "server = await asyncio.start_server(print, '127.0.0.1', 0)\nawait server.serve_forever()",
    "subprocess": "child = await asyncio.create_subprocess_exec('sleep', '0.3')\nkept.append(child)\nawait child.wait()",
}

HEAD = """
import asyncio, atexit, concurrent.futures, gc, logging, os, socket, sys, threading, time, weakref
kept = []


def pair():
    both = socket.socketpair()
    for end in both:
        end.setblocking(False)
    kept.extend(both)
    return both


async def endless():
    try:
        while True:
            yield 1
    finally:
        print("generator ends")


async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await asyncio.sleep(50)


class Manager:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        print("leaves", error[0])


async def job():
{body}


async def turns():
    for _ in range(5):
        await asyncio.sleep(0.01)

"""

# How the program that has such a task ends.
GLOBAL_END = "loop = asyncio.new_event_loop()\ntask = loop.create_task(job())\nloop.run_until_complete(turns())"

PROGRAMS = {
    "never_awaited_at_module_level": "coroutine = asyncio.sleep(1)",
    "never_awaited_wait_for": "coroutine = asyncio.wait_for(asyncio.sleep(1), 1)",
    "never_awaited_queue": "queue = asyncio.Queue()\ncoroutine = queue.get()",
    "task_that_never_ran": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))",
    "exception_never_retrieved": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nfuture.set_exception(ValueError('lost'))",
    "exception_never_retrieved_in_cycle": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nfuture.me = future\n"
    "future.set_exception(ValueError('lost'))\ndel future",
    "task_in_cycle": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.Event().wait())\n"
    "task.add_done_callback(lambda _, t=task: None)\nloop.run_until_complete(asyncio.sleep(0))\ndel task",
    "handler_in_finalizer": "loop = asyncio.new_event_loop()\nclass R:\n    def __del__(self):\n"
    "        loop.call_exception_handler({'message': 'Unclosed resource'})\nr = R()\nr.me = r",
    "handler_with_exception_in_finalizer": "loop = asyncio.new_event_loop()\nclass R:\n    def __del__(self):\n"
    "        loop.call_exception_handler({'message': 'Unclosed', 'exception': ValueError(1), 'resource': 7})\n"
    "r = R()\nr.me = r",
    "handler_set": "loop = asyncio.new_event_loop()\n"
    "loop.set_exception_handler(lambda loop, context: print(sorted(context), context['message']))\n"
    "task = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(asyncio.sleep(0))",
    "handler_set_that_fails": "loop = asyncio.new_event_loop()\n"
    "loop.set_exception_handler(lambda loop, context: 1 / 0)\n"
    "task = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(asyncio.sleep(0))",
    "scheduling_in_finalizer": "loop = asyncio.new_event_loop()\nclass R:\n    def __del__(self, print=print):\n"
    "        handle = loop.call_soon(print, 1)\n        timer = loop.call_later(1, print, 1)\n"
    "        print(handle.cancelled(), timer.cancelled())\n        timer.cancel()\n        loop.call_soon_threadsafe(print, 2)\n"
    "r = R()\nr.me = r",
    "scheduling_on_closed_in_finalizer": "loop = asyncio.new_event_loop()\nloop.close()\nclass R:\n    def __del__(self, print=print):\n"
    "        loop.call_soon(print, 1)\nr = R()\nr.me = r",
    "running_in_finalizer": "loop = asyncio.new_event_loop()\nasync def value():\n    return 5\nclass R:\n    def __del__(self, print=print, value=value):\n"
    "        print(loop.run_until_complete(value()))\nr = R()\nr.me = r",
    "cancelling_in_finalizer": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(asyncio.sleep(0))\n"
    "class R:\n    def __del__(self, print=print):\n        print(task.cancel(), task.cancelling())\nr = R()\nr.me = r",
    "awaiting_by_hand_in_finalizer": "import builtins\nlocks = [asyncio.Lock()]\nclass R:\n    def __del__(self, print=print, kept=locks):\n        try:\n"
    "            kept[0].acquire().send(None)\n        except StopIteration as stop:\n            print(stop.value)\n"
    "        try:\n            kept[0].release()\n            kept[0].release()\n        except RuntimeError as error:\n            print(error)\n"
    "r = R()\nr.me = r",
    "closing_the_loop_in_finalizer": "loop = asyncio.new_event_loop()\nclass R:\n    def __del__(self, print=print):\n"
    "        loop.close()\n        print(loop.is_closed())\nr = R()\nr.me = r",
    "atexit_runs": "async def value():\n    await asyncio.sleep(0)\n    print('ran')\natexit.register(lambda: asyncio.run(value()))",
    "atexit_closes": "loop = asyncio.new_event_loop()\natexit.register(loop.close)\ntask = loop.create_task(asyncio.sleep(50))\n"
    "loop.run_until_complete(asyncio.sleep(0))",
    "exit_in_callback": "loop = asyncio.new_event_loop()\nloop.call_soon(sys.exit, 3)\nloop.run_forever()",
    "exit_in_task": "async def leave():\n    other = asyncio.ensure_future(asyncio.sleep(50))\n    await asyncio.sleep(0)\n    sys.exit(4)\nasyncio.run(leave())",
    "exit_at_once": "async def leave():\n    await asyncio.sleep(0)\n    print('x', flush=True)\n    os._exit(5)\nasyncio.run(leave())",
    "error_out_of_run_forever": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.call_soon(loop.stop)\nloop.run_forever()\n1 / 0",
    "unraisable_hook": "sys.unraisablehook = lambda u: print('unraisable', u.exc_value)\nasync def stubborn():\n    while True:\n        try:\n"
    "            await asyncio.sleep(50)\n        except GeneratorExit:\n            pass\n"
    "loop = asyncio.new_event_loop()\ntask = loop.create_task(stubborn())\nloop.run_until_complete(asyncio.sleep(0))",
    "modules_deleted": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(asyncio.sleep(0))\n"
    "for name in [n for n in sys.modules if n.startswith(('asyncio', 'logging'))]:\n    del sys.modules[name]",
    "async_generator_unfinished": "loop = asyncio.new_event_loop()\nasync def first():\n    kept.append(endless())\n    async for item in kept[0]:\n        return\n"
    "loop.run_until_complete(first())",
    "transport_open": "loop = asyncio.new_event_loop()\nasync def connect():\n"
    "    kept.append(await loop.create_connection(asyncio.Protocol, sock=pair()[0]))\nloop.run_until_complete(connect())",
    "writer_open": "loop = asyncio.new_event_loop()\nasync def connect():\n"
    "    kept.append(await asyncio.open_connection(sock=pair()[0]))\nloop.run_until_complete(connect())",
    "server_open": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(asyncio.start_server(print, '127.0.0.1', 0)))",
    "reader_registered": "loop = asyncio.new_event_loop()\nloop.add_reader(pair()[0], print)\nloop.call_soon(loop.stop)\nloop.run_forever()",
    "child_running": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(asyncio.create_subprocess_exec('sleep', '0.2')))",
    "thread_not_daemon": "loop = asyncio.new_event_loop()\nthread = threading.Thread(target=loop.run_until_complete, args=[turns()])\nthread.start()",
    "runner_unclosed": "runner = asyncio.Runner()\nrunner.run(turns())\ntask = runner.get_loop().create_task(asyncio.sleep(50))",
    "weak_reference_callback": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nreference = weakref.ref(future, lambda _, print=print: print('gone'))",
    "interrupted": "async def interrupt():\n    raise KeyboardInterrupt\ntry:\n    asyncio.run(interrupt())\nexcept KeyboardInterrupt:\n    print('interrupted')",
}

# A loop at work in a daemon thread when the main thread leaves: the thread is ended inside the interpreter.
DAEMONS = {
    "busy": "while True:\n    sum(range(20000))\n    await asyncio.sleep(0)",
    "sleeping": "while True:\n    await asyncio.sleep(0)",
    "timers": "while True:\n    await asyncio.gather(*[asyncio.sleep(0.0001 * n) for n in range(20)])",
    "waiting": "await asyncio.sleep(50)",
    "threads": "while True:\n    await asyncio.to_thread(sum, range(1000))",
    "streams": "left, right = pair()\nreader, writer = await asyncio.open_connection(sock=left)\n"
    "other, answer = await asyncio.open_connection(sock=right)\nwhile True:\n    writer.write(b'x' * 1000 + b'\\n')\n"
    "    await writer.drain()\n    answer.write(await other.readline())\n    await reader.readline()",
    "queues": "queue = asyncio.Queue(1)\nasync def put():\n    while True:\n        await queue.put(1)\nkept.append(asyncio.ensure_future(put()))\n"
    "while True:\n    await queue.get()",
    "finalizers": "class D:\n    def __del__(self):\n        sum(range(2000))\nwhile True:\n    asyncio.get_running_loop().call_soon(print, D()).cancel()\n    await asyncio.sleep(0)",
    "long_call": "while True:\n    sum(range(10**7))\n    await asyncio.sleep(0)",
}
DAEMON_END = (
    "def daemon():\n    asyncio.run(job())\n"
    "for _ in range(3):\n    threading.Thread(target=daemon, daemon=True).start()\ntime.sleep(0.15)"
)


def _programs():
    for name, body in AWAITS.items():
        yield pytest.param(HEAD.format(body=textwrap.indent(body, "    ")) + GLOBAL_END, id=name)
    for name, tail in PROGRAMS.items():
        yield pytest.param(HEAD.format(body="    pass") + tail, id=name)


def _outcome(*arguments):
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, re.sub(r"0x[0-9a-f]+", "0x", ended.stdout)


@pytest.mark.parametrize("program", list(_programs()))
def test_a_program_ends_with_the_status_and_the_output_that_asyncio_gives_it(tmp_path, program):
    path = tmp_path / "program.py"
    path.write_text(program)
    assert _outcome("-m", "ferrio", path) == _outcome(path)


@pytest.mark.parametrize("body", list(DAEMONS.values()), ids=list(DAEMONS))
def test_daemon_loops_at_work_do_not_disturb_the_end(tmp_path, body):
    path = tmp_path / "program.py"
    path.write_text(HEAD.format(body=textwrap.indent(body, "    ")) + DAEMON_END)
    assert _outcome("-m", "ferrio", path) == (0, "")
