"""A program that replaces every function that asyncio's Python code looks up at the time of the call by a recorder.

Run as `python hooked_program.py KIND`, with KIND stock or ferrio, it performs every operation of asyncio and prints for
each which functions were called, one to a line: with stock those that asyncio's own frames call, with ferrio all calls.
The functions are read from asyncio's source, so that none is missed.
"""

import ast
import asyncio
import builtins
import concurrent.futures
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

HOME = Path(asyncio.__file__).parent

PREFIX = f"{HOME}/"

# Of another system, or tools of their own.
ELSEWHERE = {"__main__", "graph", "proactor_events", "tools", "windows_events", "windows_utils"}

# Classes that asyncio calls, with those a program may put in their place.
CLASSES = {
    "concurrent.futures.ThreadPoolExecutor": concurrent.futures.ThreadPoolExecutor,
    "subprocess.Popen": subprocess.Popen,
    "threading.Thread": threading.Thread,
    "socket.socket": socket.socket,
}

# What was asked in which operation.
asked: set[str] = set()
operation = "start"


def hooks() -> dict[str, tuple[types.ModuleType, str]]:
    """What asyncio's functions look up in a module when they run: the name, and the module it is in."""
    found = {}
    for path in sorted(HOME.glob("*.py")):
        if path.stem in ELSEWHERE:
            continue
        module = importlib.import_module("asyncio" if path.stem == "__init__" else f"asyncio.{path.stem}")
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    owner, name = vars(module).get(node.value.id), node.attr
                elif isinstance(node, ast.Name):
                    owner, name = module, node.id
                else:
                    continue
                if isinstance(owner, types.ModuleType) and owner is not builtins and name in vars(owner):
                    found[f"{owner.__name__}.{name}"] = (owner, name)
    return found


def record(kind: str) -> None:
    for key, (owner, name) in hooks().items():
        original = vars(owner)[name]
        if isinstance(original, type):
            if key in CLASSES:
                setattr(owner, name, recording_class(kind, key, original))
        elif callable(original) and type(original).__module__ != "typing":  # special forms are subscripted, not called
            setattr(owner, name, recording(kind, key, original))
    executor = concurrent.futures.ThreadPoolExecutor
    recorded = recording_class(kind, "concurrent.futures.ThreadPoolExecutor", executor)
    vars(concurrent.futures)["ThreadPoolExecutor"] = recorded


def by_asyncio(frame: types.FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PREFIX)


def note(kind: str, key: str, frame: types.FrameType | None) -> None:
    if kind == "ferrio" or (frame is not None and by_asyncio(frame)):
        asked.add(f"{operation} {key}")


def recording(kind: str, key: str, original):
    if key == "sys._getframe":
        return original

    def function(*arguments, **keywords):
        note(kind, key, sys._getframe(1))
        return original(*arguments, **keywords)

    return function


def recording_class(kind: str, key: str, original: type) -> type:
    def init(self, *arguments, **keywords):
        note(kind, key, sys._getframe(1))
        base.__init__(self, *arguments, **keywords)

    base: Any = original
    return type(original.__name__, (original,), {"__init__": init})


class Datagrams(asyncio.DatagramProtocol):
    pass


async def sleep():
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


async def timeout():
    async with asyncio.timeout(5) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + 5)


async def task_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


async def wait_for():
    await asyncio.wait_for(asyncio.sleep(0.001), 5)


async def wait():
    await asyncio.wait([asyncio.get_running_loop().create_task(asyncio.sleep(0.001))], timeout=5)


async def ensure_future():
    await asyncio.ensure_future(asyncio.sleep(0))


async def create_task():
    await asyncio.create_task(asyncio.sleep(0))


async def gather():
    await asyncio.gather(asyncio.sleep(0.001), asyncio.shield(asyncio.sleep(0.001)))


async def as_completed():
    for following in asyncio.as_completed([asyncio.sleep(0.001)], timeout=5):
        await following


async def to_thread():
    await asyncio.to_thread(int)


async def run_in_executor():
    await asyncio.wrap_future(asyncio.get_running_loop().run_in_executor(None, int))


async def run_coroutine_threadsafe():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5))


async def callbacks():
    loop = asyncio.get_running_loop()
    loop.call_soon(int)
    loop.call_later(0.001, int).cancel()
    loop.call_at(loop.time(), int)
    loop.call_soon_threadsafe(int)
    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    future.cancel()


async def queue():
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    getter = asyncio.get_running_loop().create_task(queue.get())
    await asyncio.sleep(0)
    await queue.put(1)
    await getter
    heap: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    heap.put_nowait(1)
    heap.get_nowait()


async def locks():
    loop = asyncio.get_running_loop()
    lock, condition, event, barrier = asyncio.Lock(), asyncio.Condition(), asyncio.Event(), asyncio.Barrier(1)
    await lock.acquire()
    waiting = [loop.create_task(lock.acquire()), loop.create_task(event.wait())]
    await asyncio.sleep(0)
    lock.release()
    event.set()
    for task in waiting:
        await task
    async with condition:
        condition.notify_all()
    await barrier.wait()


async def asynchronous_generator():
    async def numbers():
        yield 1
        yield 2

    async for _ in numbers():
        break


async def serve(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def ask(server, connect):
    async with server:
        reader, writer = await connect(server.sockets[0].getsockname())
        writer.write(b"line\n")
        await reader.readline()
        writer.close()
        await writer.wait_closed()


async def tcp():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, reuse_port=True)
    await ask(server, lambda address: asyncio.open_connection("localhost", address[1], happy_eyeballs_delay=0.1))


async def unix():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.close()
        await ask(await asyncio.start_unix_server(serve, path), asyncio.open_unix_connection)


async def names():
    loop = asyncio.get_running_loop()
    await loop.getaddrinfo("localhost", 1)
    await loop.getnameinfo(("127.0.0.1", 1))


async def datagrams():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    transport.close()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.close()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, family=socket.AF_UNIX, local_addr=path)
        transport.close()


async def socket_methods():
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    loop.add_reader(one, int)
    loop.remove_reader(one)
    await loop.sock_sendall(one, b"x")
    await loop.sock_recv(other, 1)
    with open(__file__, "rb") as file:
        await loop.sock_sendfile(one, file)
    one.close()
    other.close()


async def subprocesses():
    process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    await process.communicate(b"x")
    process = await asyncio.create_subprocess_shell("exec sleep 100")
    process.send_signal(signal.SIGCONT)
    process.kill()
    await process.wait()


async def signals():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGUSR1, signal.SIGINT):
        loop.add_signal_handler(number, int)
        loop.remove_signal_handler(number)


async def pipes():
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    received, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
    )
    sending, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb", 0))
    sending.write(b"x\n")
    await reader.readline()
    sending.close()
    received.close()


async def debugging():
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    loop.call_soon(int)
    loop.call_later(0.001, int)
    await loop.getaddrinfo("localhost", 1)
    loop.call_exception_handler({"message": "m", "source_traceback": traceback.extract_stack()})
    task = asyncio.current_task()
    assert task is not None
    repr(task)
    task.get_stack()
    with open(os.devnull, "w") as nowhere:
        task.print_stack(file=nowhere)
    repr(loop.call_soon(int, 1))
    await asyncio.sleep(0.002)
    loop.slow_callback_duration = 1
    loop.set_debug(False)


OPERATIONS = (
    sleep,
    timeout,
    task_group,
    wait_for,
    wait,
    ensure_future,
    create_task,
    gather,
    as_completed,
    to_thread,
    run_in_executor,
    run_coroutine_threadsafe,
    callbacks,
    queue,
    locks,
    asynchronous_generator,
    tcp,
    unix,
    names,
    datagrams,
    socket_methods,
    subprocesses,
    signals,
    pipes,
    debugging,
)


async def everything() -> None:
    global operation
    for function in OPERATIONS:
        operation = function.__name__
        await function()
        operation = "between"
        # What is closed is gone two turns later.
        await asyncio.sleep(0.01)
    operation = "end"


def main(kind: str) -> None:
    global operation
    warnings.simplefilter("ignore")
    logging.disable()
    if kind == "ferrio":
        importlib.import_module("ferrio").install()
    # Once without recorders: what is looked up once and kept does not count.
    asyncio.run(everything())
    use_loops()
    record(kind)
    asyncio.run(everything())
    operation = "loops"
    use_loops()
    print(*sorted(asked), sep="\n")


def use_loops() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_in_executor(None, int)
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.gather(loop.create_future())
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
