"""Ways to leave a program, each a whole program; tests/process/test_exit.py runs them under asyncio and under ferrio.

Invariant, checked by a test: `AWAITS` has an entry for each coroutine function of ferrio.
"""

# ruff: noqa: E501 - programs, which are harder to read with broken lines
import textwrap

# The first line is the mode's.
HEAD = """{start}
import asyncio, atexit, concurrent.futures, gc, logging, os, signal, socket, sys, tempfile, threading, time, weakref
kept = []


def pair():
    both = socket.socketpair()
    for end in both:
        end.setblocking(False)
    kept.extend(both)
    return both


def listener():
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    kept.append(made)
    return made


async def streams():
    return await asyncio.open_connection(sock=pair()[0])


def unresolved():
    loop = asyncio.get_running_loop()
    never = loop.create_future()
    loop.getaddrinfo = lambda *arguments, **keywords: never
    return loop


def busy_executor():
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, time.sleep, 0.2)
    return loop


async def endless():
    try:
        while True:
            yield 1
    finally:
        print("generator ends")


async def stubborn():
    try:
        yield 1
    finally:
        await asyncio.sleep(50)


async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await asyncio.sleep(50)


async def turns():
    for _ in range(5):
        await asyncio.sleep(0.005)


"""

JOB = """async def job():
{body}


"""


def program(body: str, end: str) -> str:
    """A program whose coroutine `job` does `body`, and that ends by `end`."""
    return HEAD + JOB.replace("{body}", textwrap.indent(body, "    ")) + end


# A pending task at module level is all that is left.
GLOBAL = "loop = asyncio.new_event_loop()\ntask = loop.create_task(job())\nloop.run_until_complete(turns())"
# The same after one turn: what would go on in the next one is pending.
ONE_TURN = (
    "loop = asyncio.new_event_loop()\ntask = loop.create_task(job())\nloop.call_soon(loop.stop)\nloop.run_forever()"
)

LOOP = "loop = asyncio.get_running_loop()\n"
FILE = "file = tempfile.TemporaryFile()\nfile.write(bytes(10_000_000))\nkept.append(file)\n"

AWAITS = {
    "sleep": "await asyncio.sleep(50)",
    "to_thread": "await asyncio.to_thread(time.sleep, 0.2)",
    "wait": "await asyncio.wait([asyncio.ensure_future(asyncio.sleep(50))])",
    "wait_for": "await asyncio.wait_for(asyncio.sleep(50), 40)",
    "open_connection": "unresolved()\nawait asyncio.open_connection('nowhere.invalid', 1)",
    "open_unix_connection": "kept.append(server := socket.socket(socket.AF_UNIX))\nserver.bind('\\0' + str(os.getpid()))\nserver.listen(0)\n"
    "kept.append(first := socket.socket(socket.AF_UNIX))\nfirst.connect('\\0' + str(os.getpid()))\nawait asyncio.open_unix_connection('\\0' + str(os.getpid()))",
    "start_server": "unresolved()\nawait asyncio.start_server(print, 'nowhere.invalid', 1)",
    "start_unix_server": "await asyncio.start_unix_server(print, '\\0x' + str(os.getpid()))",
    "Event.wait": "await asyncio.Event().wait()",
    "Barrier.wait": "await asyncio.Barrier(2).wait()",
    "Barrier.__aenter__": "async with asyncio.Barrier(2):\n    pass",
    "Barrier.__aexit__": "async with asyncio.Barrier(1):\n    await asyncio.sleep(50)",
    "Barrier.abort": "barrier = asyncio.Barrier(2)\nawait barrier._cond.acquire()\nawait barrier.abort()",
    "Barrier.reset": "barrier = asyncio.Barrier(2)\nawait barrier._cond.acquire()\nawait barrier.reset()",
    "Condition.__aenter__": "lock = asyncio.Condition()\nasync with lock, lock:\n    pass",
    "Condition.__aexit__": "async with asyncio.Condition():\n    await asyncio.sleep(50)",
    "Condition.wait": "condition = asyncio.Condition()\nasync with condition:\n    await condition.wait()",
    "Condition.wait_for": "condition = asyncio.Condition()\nasync with condition:\n    await condition.wait_for(lambda: False)",
    "Lock.acquire": "lock = asyncio.Lock()\nawait lock.acquire()\nawait lock.acquire()",
    "Lock.__aenter__": "lock = asyncio.Lock()\nasync with lock, lock:\n    pass",
    "Lock.__aexit__": "async with asyncio.Lock():\n    await asyncio.sleep(50)",
    **{
        f"{kind}.{name}": body.replace("KIND", kind)
        for kind in ("Semaphore", "BoundedSemaphore")
        for name, body in {
            "acquire": "await asyncio.KIND(0).acquire()",
            "__aenter__": "async with asyncio.KIND(0):\n    pass",
            "__aexit__": "async with asyncio.KIND(1):\n    await asyncio.sleep(50)",
        }.items()
    },
    **{
        f"{kind}.{name}": body.replace("KIND", kind)
        for kind in ("Queue", "LifoQueue", "PriorityQueue")
        for name, body in {
            "get": "await asyncio.KIND().get()",
            "put": "queue = asyncio.KIND(1)\nqueue.put_nowait(1)\nawait queue.put(2)",
            "join": "queue = asyncio.KIND()\nqueue.put_nowait(1)\nawait queue.join()",
        }.items()
    },
    "TaskGroup.__aenter__": "async with asyncio.TaskGroup():\n    await asyncio.sleep(50)",
    "TaskGroup.__aexit__": "async with asyncio.TaskGroup() as group:\n    group.create_task(asyncio.sleep(50))",
    "Timeout.__aenter__": "async with asyncio.timeout(40):\n    await asyncio.sleep(50)",
    "Timeout.__aexit__": "async with asyncio.timeout(40):\n    await asyncio.get_running_loop().create_future()",
    "StreamReader.read": "reader, writer = await streams()\nawait reader.read(1)",
    "StreamReader.readline": "reader, writer = await streams()\nawait reader.readline()",
    "StreamReader.readuntil": "reader, writer = await streams()\nawait reader.readuntil(b'x')",
    "StreamReader.readexactly": "reader, writer = await streams()\nawait reader.readexactly(5)",
    "StreamReader._wait_for_data": "reader, writer = await streams()\nawait reader._wait_for_data('read')",
    "StreamReader.__anext__": "reader, writer = await streams()\nasync for line in reader:\n    pass",
    "StreamReaderProtocol._drain_helper": "reader, writer = await streams()\nwriter.write(bytes(10_000_000))\nawait writer._protocol._drain_helper()",
    "StreamWriter.drain": "reader, writer = await streams()\nwriter.write(bytes(10_000_000))\nawait writer.drain()",
    "StreamWriter.wait_closed": "reader, writer = await streams()\nawait writer.wait_closed()",
    "StreamWriter.start_tls": "import ssl\nreader, writer = await streams()\nawait writer.start_tls(ssl.create_default_context(), server_hostname='x')",
    "Server.serve_forever": "server = await asyncio.start_server(print, '127.0.0.1', 0)\nawait server.serve_forever()",
    "Server.start_serving": "server = await asyncio.start_server(print, '127.0.0.1', 0, start_serving=False)\nawait server.start_serving()\nawait asyncio.sleep(50)",
    "Server.wait_closed": "server = await asyncio.start_server(lambda *_: None, '127.0.0.1', 0)\nkept.append(await asyncio.open_connection(*server.sockets[0].getsockname()))\n"
    "await asyncio.sleep(0.001)\nawait server.wait_closed()",
    "Server.__aenter__": "async with await asyncio.start_server(print, '127.0.0.1', 0):\n    await asyncio.sleep(50)",
    "Server.__aexit__": "async with await asyncio.start_server(print, '127.0.0.1', 0) as server:\n    await server.serve_forever()",
    "EventLoop.connect_accepted_socket": LOOP
    + "await loop.connect_accepted_socket(asyncio.Protocol, pair()[0])\nawait asyncio.sleep(50)",
    "EventLoop.connect_read_pipe": "read, write = os.pipe()\nawait asyncio.get_running_loop().connect_read_pipe(asyncio.Protocol, open(read, 'rb', 0))\nawait asyncio.sleep(50)",
    "EventLoop.connect_write_pipe": "read, write = os.pipe()\nawait asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, open(write, 'wb', 0))\nawait asyncio.sleep(50)",
    "EventLoop.create_connection": "await unresolved().create_connection(asyncio.Protocol, 'nowhere.invalid', 1)",
    "EventLoop.create_datagram_endpoint": "await unresolved().create_datagram_endpoint(asyncio.DatagramProtocol, ('nowhere.invalid', 1))",
    "EventLoop.create_server": "await unresolved().create_server(asyncio.Protocol, 'nowhere.invalid', 1)",
    "EventLoop.create_unix_connection": LOOP
    + "await loop.create_unix_connection(asyncio.Protocol, sock=pair()[0])\nawait asyncio.sleep(50)",
    "EventLoop.create_unix_server": LOOP
    + "kept.append(await loop.create_unix_server(asyncio.Protocol, '\\0y' + str(os.getpid())))\nawait asyncio.sleep(50)",
    "EventLoop.getaddrinfo": "socket.getaddrinfo = lambda *arguments: time.sleep(0.2)\nawait asyncio.get_running_loop().getaddrinfo('nowhere.invalid', 1)",
    "EventLoop.getnameinfo": "socket.getnameinfo = lambda *arguments: time.sleep(0.2)\nawait asyncio.get_running_loop().getnameinfo(('127.0.0.1', 1))",
    "EventLoop.sendfile": FILE
    + "reader, writer = await streams()\nawait asyncio.get_running_loop().sendfile(writer.transport, file)",
    "EventLoop.shutdown_asyncgens": "async for one in stubborn():\n    break\nawait asyncio.get_running_loop().shutdown_asyncgens()",
    "EventLoop.shutdown_default_executor": "await busy_executor().shutdown_default_executor()",
    "EventLoop.sock_accept": LOOP + "await loop.sock_accept(listener())",
    "EventLoop.sock_connect": LOOP + "full = socket.create_server(('127.0.0.1', 0), backlog=0)\nkept.append(full)\n"
    "for _ in range(2):\n    one = socket.socket()\n    one.setblocking(False)\n    one.connect_ex(full.getsockname())\n    kept.append(one)\n"
    "last = socket.socket()\nlast.setblocking(False)\nkept.append(last)\nawait loop.sock_connect(last, full.getsockname())",
    "EventLoop.sock_recv": LOOP + "await loop.sock_recv(pair()[0], 1)",
    "EventLoop.sock_recv_into": LOOP + "await loop.sock_recv_into(pair()[0], bytearray(1))",
    "EventLoop.sock_recvfrom": LOOP + "await loop.sock_recvfrom(pair()[0], 1)",
    "EventLoop.sock_recvfrom_into": LOOP + "await loop.sock_recvfrom_into(pair()[0], bytearray(1))",
    "EventLoop.sock_sendall": LOOP + "await loop.sock_sendall(pair()[0], bytes(10_000_000))",
    "EventLoop.sock_sendfile": FILE + LOOP + "await loop.sock_sendfile(pair()[0], file)",
    "EventLoop.sock_sendto": LOOP
    + "one, other = socket.socketpair(type=socket.SOCK_DGRAM)\nkept.append(other)\none.setblocking(False)\n"
    "other.bind('\\0z' + str(os.getpid()))\ntry:\n    while True:\n        one.send(b'x')\nexcept BlockingIOError:\n    pass\n"
    "await loop.sock_sendto(one, b'x', other.getsockname())",
    "EventLoop.start_tls": LOOP
    + "import ssl\ntransport, protocol = await loop.create_connection(asyncio.Protocol, sock=pair()[0])\n"
    "await loop.start_tls(transport, protocol, ssl.create_default_context(), server_hostname='x')",
    "EventLoop.subprocess_exec": LOOP
    + "kept.append(await loop.subprocess_exec(asyncio.SubprocessProtocol, 'sleep', '0.2'))\nawait kept[-1][0]._wait()",
    "EventLoop.subprocess_shell": LOOP
    + "kept.append(await loop.subprocess_shell(asyncio.SubprocessProtocol, 'sleep 0.2'))\nawait kept[-1][0]._wait()",
}

# What is awaited otherwise.
OTHERS = {
    "future": "await asyncio.get_running_loop().create_future()",
    "task": "await asyncio.create_task(asyncio.sleep(50))",
    "concurrent_future": "await asyncio.wrap_future(concurrent.futures.Future())",
    "gather": "await asyncio.gather(asyncio.sleep(50), asyncio.sleep(60))",
    "shield": "await asyncio.shield(asyncio.sleep(50))",
    "as_completed": "for one in asyncio.as_completed([asyncio.get_running_loop().create_future()]):\n    await one",
    "executor": "await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.2)",
    "process": "kept.append(await asyncio.create_subprocess_exec('sleep', '0.2'))\nawait kept[-1].wait()",
    "process_output": "kept.append(await asyncio.create_subprocess_exec('sleep', '0.2', stdout=-1))\nawait kept[-1].stdout.read()",
    "async_generator": "async for item in endless():\n    await asyncio.sleep(50)",
    "nested": "await nested(10)",
    "finally": "try:\n    await asyncio.sleep(50)\nfinally:\n    print('finally')",
    "finally_that_awaits": "try:\n    await asyncio.sleep(50)\nfinally:\n    await asyncio.sleep(1)",
    "swallowed_exit": "while True:\n    try:\n        await asyncio.sleep(50)\n    except BaseException as error:\n        print(type(error))\n        raise",
}

LOOP_AND_TASK = (
    "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(turns())\n"
)
DEL = "class R:\n    def __del__(self, print=print, asyncio=asyncio, RuntimeError=RuntimeError):\n"
CYCLE = "r = R()\nr.me = r"

# Ends that leave something else behind, or leave in another way.
ENDS = {
    "closed_loop": LOOP_AND_TASK + "loop.close()",
    "no_loop": LOOP_AND_TASK + "del loop, task",
    "cycle": LOOP_AND_TASK + "box = [task, loop]\nbox.append(box)\nsys.kept = box",
    "handler": "loop = asyncio.new_event_loop()\nloop.set_exception_handler(lambda loop, context: print(sorted(context), context['message'], flush=True))\n"
    "task = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(turns())",
    "handler_that_fails": LOOP_AND_TASK + "loop.set_exception_handler(lambda loop, context: 1 / 0)",
    "handler_of_logging": "logging.basicConfig(format='%(levelname)s %(message)s')\n" + LOOP_AND_TASK,
    "debug": "loop = asyncio.new_event_loop()\nloop.set_debug(True)\nloop.slow_callback_duration = 100\ntask = loop.create_task(asyncio.sleep(50))\nloop.run_until_complete(turns())",
    "debug_in_task": "loop = asyncio.new_event_loop()\nloop.set_debug(True)\nloop.slow_callback_duration = 100\nasync def main():\n    kept.append(asyncio.create_task(asyncio.sleep(50)))\n"
    "    await asyncio.sleep(0)\nloop.run_until_complete(main())",
    "debug_of_child": "loop = asyncio.new_event_loop()\nloop.set_debug(True)\nloop.slow_callback_duration = 100\nasync def main():\n    kept.append(await asyncio.create_subprocess_exec('sleep', '0.2'))\n"
    "    await kept[0].wait()\ntask = loop.create_task(main())\nloop.run_until_complete(asyncio.sleep(0.05))",
    "debug_of_unawaited": "async def other():\n    pass\nasync def main():\n    asyncio.get_running_loop().slow_callback_duration = 100\n    other()\nasyncio.run(main(), debug=True)",
    "debug_of_unawaited_at_module_level": "loop = asyncio.new_event_loop()\nloop.set_debug(True)\nloop.slow_callback_duration = 100\nsys.set_coroutine_origin_tracking_depth(5)\n"
    "async def other():\n    pass\ncoroutine = other()",
    "task_that_never_ran": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))",
    "unawaited": "coroutine = asyncio.sleep(1)",
    "unawaited_of_the_loop": "loop = asyncio.new_event_loop()\ncoroutine = loop.sock_recv(pair()[0], 1)",
    "unawaited_in_cycle": "coroutine = asyncio.wait_for(asyncio.sleep(1), 1)\nkept.append(kept)\nkept.append(coroutine)",
    "exception_of_future": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nfuture.set_exception(ValueError('lost'))",
    "exception_of_task": "loop = asyncio.new_event_loop()\nasync def fail():\n    raise ValueError('lost')\ntask = loop.create_task(fail())\nloop.run_until_complete(turns())",
    "exception_in_cycle": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nfuture.set_exception(ValueError('lost'))\nkept += [future, kept]",
    "exception_of_the_program": LOOP_AND_TASK + "raise ValueError('of the program')",
    "exit_in_callback": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.call_later(0.01, sys.exit, 3)\nloop.run_forever()",
    "exit_in_task": "async def leave():\n    kept.append(asyncio.ensure_future(asyncio.sleep(50)))\n    await asyncio.sleep(0)\n    sys.exit(4)\nasyncio.run(leave())",
    "exit_of_the_program": LOOP_AND_TASK + "sys.exit(5)",
    "exit_with_a_text": LOOP_AND_TASK + "sys.exit('a text')",
    "exit_by_system": LOOP_AND_TASK + "print('x', flush=True)\nos._exit(6)",
    "abort_by_signal": LOOP_AND_TASK + "os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted_run": "async def interrupt():\n    kept.append(asyncio.ensure_future(asyncio.sleep(50)))\n    signal.raise_signal(signal.SIGINT)\n"
    "    await asyncio.sleep(50)\ntry:\n    asyncio.run(interrupt())\nexcept KeyboardInterrupt:\n    print('interrupted')",
    "interrupt": LOOP_AND_TASK + "raise KeyboardInterrupt",
    "interrupt_in_callback": "loop = asyncio.new_event_loop()\ntask = loop.create_task(asyncio.sleep(50))\nloop.call_later(0.01, signal.raise_signal, signal.SIGINT)\nloop.run_forever()",
    "atexit_runs": "async def value():\n    await asyncio.sleep(0)\n    print('ran')\natexit.register(lambda: asyncio.run(value()))",
    "atexit_goes_on": LOOP_AND_TASK + "atexit.register(lambda: loop.run_until_complete(turns()))",
    "atexit_closes": LOOP_AND_TASK + "atexit.register(loop.close)",
    "atexit_cancels": LOOP_AND_TASK + "atexit.register(task.cancel)",
    "runner_left_open": "runner = asyncio.Runner()\nrunner.run(turns())\ntask = runner.get_loop().create_task(asyncio.sleep(50))",
    "generator_left": "loop = asyncio.new_event_loop()\nasync def first():\n    kept.append(endless())\n    async for item in kept[0]:\n        return\nloop.run_until_complete(first())",
    "generator_left_and_loop_closed": "loop = asyncio.new_event_loop()\nasync def first():\n    kept.append(endless())\n    async for item in kept[0]:\n        return\n"
    "loop.run_until_complete(first())\nloop.close()",
    "transport_open": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=pair()[0])))",
    "transport_open_on_closed_loop": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(streams()))\nloop.close()",
    "server_open": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(asyncio.start_server(print, '127.0.0.1', 0)))",
    "server_open_on_closed_loop": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(asyncio.start_server(print, '127.0.0.1', 0)))\nloop.close()",
    "child_running": "loop = asyncio.new_event_loop()\nkept.append(loop.run_until_complete(asyncio.create_subprocess_exec('sleep', '0.2')))",
    "child_ended": "loop = asyncio.new_event_loop()\nasync def main():\n    child = await asyncio.create_subprocess_exec('true')\n    await child.wait()\n    return child\nkept.append(loop.run_until_complete(main()))",
    "executor_at_work": "loop = asyncio.new_event_loop()\nkept.append(loop.run_in_executor(None, time.sleep, 0.2))\nloop.run_until_complete(turns())",
    "reader_registered": "loop = asyncio.new_event_loop()\nloop.add_reader(pair()[0], print)\nloop.run_until_complete(turns())",
    "signal_handler": "loop = asyncio.new_event_loop()\nloop.add_signal_handler(signal.SIGUSR1, print)\nloop.run_until_complete(turns())",
    "callbacks_pending": "loop = asyncio.new_event_loop()\nclass C:\n    def __del__(self, print=print):\n        print('gone')\n    def __call__(self):\n        pass\nloop.call_soon(C())\nloop.call_later(5, C())",
    "primitives_left": "queue, lock, event, semaphore = asyncio.Queue(), asyncio.Lock(), asyncio.Event(), asyncio.Semaphore()\nqueue.put_nowait(queue)",
    "thread": "loop = asyncio.new_event_loop()\nthread = threading.Thread(target=loop.run_until_complete, args=[turns()])\nthread.start()",
    "thread_with_run": "async def say():\n    await turns()\n    print('done', flush=True)\nthread = threading.Thread(target=asyncio.run, args=[say()])\nthread.start()",
    "daemon_thread": "thread = threading.Thread(target=asyncio.run, args=[asyncio.sleep(100)], daemon=True)\nthread.start()\ntime.sleep(0.05)",
    "thread_that_schedules": "loop = asyncio.new_event_loop()\ndef go():\n    try:\n        while True:\n            loop.call_soon_threadsafe(int)\n            time.sleep(0.001)\n"
    "    except RuntimeError:\n        pass\nthreading.Thread(target=go, daemon=True).start()\nloop.run_until_complete(asyncio.sleep(0.05))",
    "weak_reference": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nreference = weakref.ref(future, lambda _, print=print: print('gone'))",
    "weak_reference_to_task": LOOP_AND_TASK + "reference = weakref.ref(task, lambda _, print=print: print('gone'))",
    "reported_in_finalizer": "loop = asyncio.new_event_loop()\n"
    + DEL
    + "        loop.call_exception_handler({'message': 'Unclosed resource', 'resource': 7})\n"
    + CYCLE,
    "scheduled_in_finalizer": "loop = asyncio.new_event_loop()\n"
    + DEL
    + "        timer = loop.call_later(1, print, 1)\n        print(loop.call_soon(print, 1).cancelled(), timer.cancelled())\n"
    "        timer.cancel()\n        loop.call_soon_threadsafe(print, 2)\n" + CYCLE,
    "scheduled_on_closed_in_finalizer": "loop = asyncio.new_event_loop()\nloop.close()\n"
    + DEL
    + "        try:\n            loop.call_soon(print, 1)\n        except RuntimeError as error:\n            print(error)\n"
    + CYCLE,
    "run_in_finalizer": "loop = asyncio.new_event_loop()\nasync def value():\n    return 5\n"
    + DEL.replace("print=print", "print=print, loop=loop, value=value")
    + "        coroutine = value()\n        try:\n            print(loop.run_until_complete(coroutine))\n        except RuntimeError as error:\n            print(error)\n            coroutine.close()\nr = R()",
    "handle_of_the_program": "class Owner:\n    def __init__(self):\n        self.loop = asyncio.new_event_loop()\n        self.timer = self.loop.call_later(50, self.work)\n"
    "        self.soon = self.loop.call_soon(self.loop.stop)\n        self.loop.run_forever()\n        self.task = self.loop.create_task(nested(1))\n"
    "        self.loop.run_until_complete(turns())\n    def work(self):\n        pass\n    def __del__(self, print=print):\n        print('gone')\nkept.append(Owner())\nkept.append(kept)",
    "cancelled_in_finalizer": LOOP_AND_TASK + DEL + "        print(task.cancel(), task.cancelling())\n" + CYCLE,
    "driven_in_finalizer": "lock = asyncio.Lock()\n"
    + DEL.replace("print=print", "print=print, lock=lock, StopIteration=StopIteration")
    + "        try:\n            lock.acquire().send(None)\n        except StopIteration as stop:\n            print(stop.value)\n"
    "        try:\n            lock.release()\n            lock.release()\n        except RuntimeError as error:\n            print(error)\n"
    + CYCLE,
    "loop_closed_in_finalizer": LOOP_AND_TASK + DEL + "        loop.close()\n        print(loop.is_closed())\n" + CYCLE,
    "misused_in_finalizer": "loop = asyncio.new_event_loop()\nfuture = loop.create_future()\nfuture.set_result(1)\nqueue = asyncio.Queue(1)\n"
    + DEL.replace("print=print", "print=print, future=future, queue=queue, BaseException=BaseException, repr=repr")
    + "        for call in (lambda: future.set_result(2), future.exception, queue.get_nowait, lambda: asyncio.Lock().release(), lambda: asyncio.Semaphore(-1)):\n"
    "            try:\n                print(call())\n            except BaseException as error:\n                print(repr(error))\n"
    + CYCLE,
    "hook_for_unraisable": "sys.unraisablehook = lambda told: print('unraisable', repr(told.exc_value), flush=True)\nloop = asyncio.new_event_loop()\nasync def stubborn():\n    while True:\n        try:\n"
    "            await asyncio.sleep(50)\n        except GeneratorExit:\n            pass\ntask = loop.create_task(stubborn())\nloop.run_until_complete(turns())",
    "modules_deleted": LOOP_AND_TASK
    + "for name in [n for n in sys.modules if n.startswith(('asyncio', 'logging', 'traceback', 'linecache'))]:\n    del sys.modules[name]",
    "collector_off": "gc.disable()\n" + LOOP_AND_TASK,
    "eager_task": "loop = asyncio.new_event_loop()\nif hasattr(asyncio, 'eager_task_factory'):\n    loop.set_task_factory(asyncio.eager_task_factory)\n"
    "async def main():\n    kept.append(asyncio.create_task(nested(2)))\nloop.run_until_complete(main())",
    "owner_with_finalizer": "class Owner:\n    def __init__(self):\n        self.loop = asyncio.new_event_loop()\n        self.task = self.loop.create_task(nested(1))\n        self.loop.run_until_complete(turns())\n"
    "    def __del__(self):\n        self.task.cancel()\n        self.loop.run_until_complete(turns())\n        self.loop.close()\n        print('closed')\nowner = Owner()",
    "interrupt_in_a_task": "async def leave():\n    raise KeyboardInterrupt('left')\nasync def main():\n    await asyncio.gather(leave(), asyncio.sleep(50))\nasyncio.run(main())",
    "exit_in_a_task": "async def leave():\n    await asyncio.sleep(0)\n    raise SystemExit(7)\nasync def main():\n    task = asyncio.create_task(leave())\n    try:\n        await task\n    finally:\n        print('finally')\nasyncio.run(main())",
    "log_of_everything": "logging.basicConfig(level=logging.DEBUG)\nasyncio.run(turns())",
    "exit_in_a_group": "async def leave():\n    raise SystemExit(7)\nasync def main():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(leave())\n        await asyncio.sleep(50)\nasyncio.run(main())",
    "handler_of_the_log_fails": "class Failing(logging.Handler):\n    def emit(self, record):\n        raise OSError('in a log')\nlogging.getLogger('asyncio').addHandler(Failing())\n"
    "async def main():\n    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n    await asyncio.sleep(0.01)\nasyncio.run(main())",
    "group_that_failed": "async def bad():\n    raise ValueError('bad')\nasync def main():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(bad())\n        await asyncio.sleep(50)\nasyncio.run(main())",
}

# In a running loop, so that debug mode knows where they were made.
UNAWAITED = """async def main():
    asyncio.get_running_loop().slow_callback_duration = 100
    asyncio.sleep(1)
    asyncio.wait_for(nested(1), 1)
    asyncio.Queue().get()
    asyncio.get_running_loop().sock_recv(None, 1)
asyncio.run(main())
"""

# Loops that nobody closes, which are warned about, or not, when the collector finds them. Run with `-W always`.
UNCLOSED = {
    "global": "loop = asyncio.new_event_loop()\nloop.run_until_complete(turns())",
    "kept_by_the_policy": "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nloop.run_until_complete(turns())",
    "kept_by_the_policy_alone": "asyncio.set_event_loop(asyncio.new_event_loop())",
    "kept_by_the_policy_in_debug_mode": "loop = asyncio.new_event_loop()\nloop.set_debug(True)\nasyncio.set_event_loop(loop)",
    "kept_by_a_module": "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nasyncio.kept = loop\nloop.owner = asyncio.run",
    "with_a_task": "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\ntask = loop.create_task(nested(1))\nloop.run_until_complete(turns())",
    "dropped": "def drop():\n    asyncio.new_event_loop().run_until_complete(turns())\ndrop()\nprint('dropped', file=sys.stderr)\ngc.collect()\nprint('collected', file=sys.stderr)",
    "of_a_thread": "def work():\n    asyncio.set_event_loop(asyncio.new_event_loop())\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()",
    "in_a_cycle": "class Owner:\n    pass\nowner = Owner()\nowner.owner, owner.loop = owner, asyncio.new_event_loop()",
    "with_a_close_of_its_own": "class Loop(asyncio.SelectorEventLoop):\n    def close(self):\n        print('closed')\n        super().close()\nloop = Loop()",
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
    "sockets": "loop = asyncio.get_running_loop()\nleft, right = pair()\nwhile True:\n    await asyncio.gather(loop.sock_sendall(left, bytes(300000)), loop.sock_recv(right, 100000))",
    "queues": "queue = asyncio.Queue(1)\nasync def put():\n    while True:\n        await queue.put(1)\nkept.append(asyncio.ensure_future(put()))\n"
    "while True:\n    await queue.get()",
    "finalizers": "class D:\n    def __del__(self):\n        sum(range(2000))\nwhile True:\n    asyncio.get_running_loop().call_soon(print, D()).cancel()\n    await asyncio.sleep(0)",
    "long_call": "while True:\n    sum(range(10**7))\n    await asyncio.sleep(0)",
    "children": "while True:\n    child = await asyncio.create_subprocess_exec('true')\n    await child.wait()",
}
DAEMON_END = (
    "def daemon():\n    asyncio.run(job())\n"
    "for _ in range(3):\n    threading.Thread(target=daemon, daemon=True).start()\ntime.sleep(0.15)"
)

# All of it at once: TLS, an executor and sockets at work in one loop each.
STRESS = """
import ssl
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[1] + "/server.pem", sys.argv[1] + "/server.key")
client = ssl.create_default_context(cafile=sys.argv[1] + "/authority.pem")
async def job():
    loop = asyncio.get_running_loop()
    async def echo(reader, writer):
        while data := await reader.readline():
            writer.write(data)
            await writer.drain()
    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server)
    async def talk():
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname(), ssl=client, server_hostname="localhost")
        while True:
            writer.write(b"x" * 20000 + b"\\n")
            await reader.readline()
    async def think():
        while True:
            await asyncio.to_thread(sum, range(10000))
    async def pass_on():
        left, right = pair()
        while True:
            await asyncio.gather(loop.sock_sendall(left, bytes(5000)), loop.sock_recv(right, 5000))
    started.release()
    await asyncio.gather(talk(), talk(), think(), think(), pass_on())
def daemon():
    asyncio.run(job())
started = threading.Semaphore(0)
for _ in range(2):
    threading.Thread(target=daemon, daemon=True).start()
for _ in range(2):
    started.acquire()
time.sleep(0.1)
"""
