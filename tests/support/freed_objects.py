"""Frees objects while an exception is on its way: `python -m tests.support.freed_objects KIND STATE`, where KIND is
asyncio or ferrio and STATE debug or collecting.

Unwinding releases what waits on a frame's stack, so destructors run with an exception pending. `OBJECTS` says which
objects are freed so, and in which use; coroutines are those of `exit_programs.AWAITS`, each before it begins and where it
waits. Each row prints a line: its name, the exceptions that arrived if they are not those that were raised, and what the
row sent to the log, to `sys.unraisablehook` and to the warnings. The last line has the names of the types freed so.
"""

# ruff: noqa: E501 - programs, which are harder to read with broken lines
import ast
import asyncio
import gc
import importlib.util
import logging
import re
import socket
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

from tests.support.exit_programs import AWAITS, HEAD

# What a row makes, in a coroutine, and returns; nothing else keeps it. `other` is a loop that does not run. A row closes
# it where it would keep what is to be freed.
OBJECTS = {
    "Future": "return [other.create_future()]",
    "Future, result": "future = other.create_future()\nfuture.set_result(Loud())\nreturn [future]",
    "Future, exception": "future = other.create_future()\nfuture.set_exception(KeyError('lost'))\nreturn [future]",
    "Future, subclass": "class Own(asyncio.Future):\n    pass\nfuture = Own(loop=other)\nfuture.set_exception(KeyError('lost'))\nreturn [future]",
    "Future, callback": "future = other.create_future()\nfuture.add_done_callback(Loud())\nreturn [future]",
    "Future, cancelled": "future = other.create_future()\nfuture.cancel(Loud())\nreturn [future]",
    "Future, iterator": "return [iter(other.create_future())]",
    "Task, never begun": "task = other.create_task(nested(1))\nother.close()\nreturn [task]",
    "Task, of asyncio's coroutine": "task = other.create_task(asyncio.sleep(1))\nother.close()\nreturn [task]",
    "Task, subclass": "class Own(asyncio.Task):\n    pass\ntask = Own(nested(1), loop=other)\nother.close()\nreturn [task]",
    "Task, waiting": "future = asyncio.get_running_loop().create_future()\ntask = asyncio.create_task(until(future))\nawait turns()\n"
    "for callback, _ in future._callbacks:\n    future.remove_done_callback(callback)\ndel callback\nreturn [future, task]",
    "Task, failed": "async def fail():\n    raise KeyError('lost')\ntask = asyncio.create_task(fail())\nawait turns()\nreturn [task]",
    "Task, done": "task = asyncio.create_task(turns())\nawait task\nreturn [task]",
    "Handle": "handle = other.call_soon(Loud())\nother.close()\nreturn [handle]",
    "Handle, cancelled": "handle = other.call_soon(print, Loud())\nhandle.cancel()\nother.close()\nreturn [handle]",
    "TimerHandle": "handle = other.call_later(1, Loud())\nother.close()\nreturn [handle]",
    "TimerHandle, cancelled": "handle = other.call_later(1, Loud())\nhandle.cancel()\nother.close()\nreturn [handle]",
    "gather, failed": "one = asyncio.get_running_loop().create_future()\nboth = asyncio.gather(one)\none.set_exception(KeyError('lost'))\nawait turns()\nreturn [both, one]",
    "gather, done": "both = asyncio.gather(turns(), turns())\nawait both\nreturn [both]",
    "shield, done": "outer = asyncio.shield(turns())\nawait outer\nreturn [outer]",
    "as_completed": "future = asyncio.get_running_loop().create_future()\nboth = asyncio.as_completed([future])\nfuture.set_result(Loud())\nawait turns()\nreturn [both, future]",
    "wrap_future": "outside = concurrent.futures.Future()\ninside = asyncio.wrap_future(outside)\noutside.set_exception(KeyError('lost'))\nawait turns()\nreturn [inside, outside]",
    "Lock": "lock = asyncio.Lock()\nawait lock.acquire()\nreturn [asyncio.Lock(), lock, lock.acquire, lock.__aexit__, lock._waiters]",
    "Event": "event = asyncio.Event()\nevent.set()\nreturn [asyncio.Event(), event]",
    "Condition": "condition = asyncio.Condition()\nawait condition.acquire()\nreturn [asyncio.Condition(), condition]",
    "Semaphore": "semaphore = asyncio.Semaphore()\nawait semaphore.acquire()\nreturn [asyncio.Semaphore(), semaphore]",
    "BoundedSemaphore": "semaphore = asyncio.BoundedSemaphore()\nawait semaphore.acquire()\nreturn [asyncio.BoundedSemaphore(), semaphore]",
    "Barrier": "barrier = asyncio.Barrier(1)\nawait barrier.wait()\nreturn [asyncio.Barrier(2), barrier]",
    **{
        kind: f"class Own(asyncio.{kind}):\n    def __del__(self):\n        self.gone = True\n"
        f"queue = asyncio.{kind}()\nqueue.put_nowait(Loud())\nreturn [asyncio.{kind}(), queue, Own()]"
        for kind in ("Queue", "PriorityQueue", "LifoQueue")
    },
    "Timeout": "limit = asyncio.timeout(1)\nasync with limit:\n    pass\nreturn [asyncio.timeout(1), limit]",
    "TaskGroup": "group = asyncio.TaskGroup()\nasync with group:\n    group.create_task(turns())\nreturn [asyncio.TaskGroup(), group]",
    "Runner": "return [asyncio.Runner(), asyncio.Runner(loop_factory=Loud())]",
    "Runner, begun": "runner = asyncio.Runner(loop_factory=lambda: other)\nrunner.get_loop()\nother.close()\nreturn [runner]",
    "EventLoop": "loop = asyncio.new_event_loop()\nloop.call_soon(Loud())\nloop.close()\nreturn [loop]",
    "StreamReader": "reader = asyncio.StreamReader()\nreader.feed_data(b'x')\nreader.set_exception(KeyError('lost'))\nreturn [asyncio.StreamReader(), reader]",
    "StreamReaderProtocol": "return [asyncio.StreamReaderProtocol(asyncio.StreamReader())]",
    "StreamWriter": "return [asyncio.StreamWriter(Ended(True), None, None, other)]",
    "StreamWriter, unclosed": "return [asyncio.StreamWriter(Ended(False), None, None, other)]",
    "Server": "server = await asyncio.start_server(print, '127.0.0.1', 0)\nserver.close()\nawait server.wait_closed()\nreturn [server]",
    "socket transport, closed": "transport, protocol = await connected()\ntransport.close()\nawait turns()\nreturn [transport]",
    "datagram transport": "one, two = socket.socketpair(type=socket.SOCK_DGRAM)\nkept.append(two)\none.setblocking(False)\n"
    "transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, sock=one)\n"
    "transport.close()\nawait turns()\nreturn [transport]",
    "read pipe": "read, write = os.pipe()\nkept.append(open(write, 'wb', 0))\n"
    "transport, _ = await asyncio.get_running_loop().connect_read_pipe(asyncio.Protocol, open(read, 'rb', 0))\ntransport.pause_reading()\nawait turns()\nreturn [transport]",
    "write pipe": "read, write = os.pipe()\nkept.append(open(read, 'rb', 0))\n"
    "transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, open(write, 'wb', 0))\ntransport.close()\nawait turns()\nreturn [transport]",
    "TLS transport": "from tests.support import certificates\ncontexts = certificates.server_context(), certificates.client_context()\n"
    "one, two = pair()\nloop = asyncio.get_running_loop()\naccepting = loop.connect_accepted_socket(asyncio.Protocol, one, ssl=contexts[0])\n"
    "connecting = loop.create_connection(asyncio.Protocol, sock=two, ssl=contexts[1], server_hostname='localhost')\n"
    "(other_end, _), (transport, _) = await asyncio.gather(accepting, connecting)\nother_end.abort()\ntransport.abort()\nawait turns()\nawait turns()\nreturn [transport, other_end]",
}

# Objects that asyncio lacks or does not free so.
OWN = {
    # asyncio's refer to themselves or are waited for by a thread.
    "socket transport": "transport, protocol = await connected()\ntransport.pause_reading()\nawait turns()\nreturn [transport]",
    "child, running": "transport, _ = await asyncio.get_running_loop().subprocess_exec(asyncio.SubprocessProtocol, 'sleep', '50', stdin=None, stdout=None, stderr=None)\nawait turns()\nreturn [transport]",
    # The thread that waits for a child or does a job may keep it for a moment.
    "child": "transport, _ = await asyncio.get_running_loop().subprocess_exec(asyncio.SubprocessProtocol, 'true', stdin=None, stdout=None, stderr=None)\n"
    "await transport._wait()\nawait turns()\nreturn [transport]",
    "run_in_executor": "job = asyncio.get_running_loop().run_in_executor(None, Loud().fail)\nawait asyncio.wait([job])\nreturn [job]",
    "Baton": "return [_ferrio.Baton()]",
    "LentThread": "return [_ferrio.LentThread()]",
    "Recording": "read, write = os.pipe()\nkept.append(open(read, 'rb', 0))\nkept.append(open(write, 'wb', 0))\nreturn [_ferrio.Recording.writing(write, 1 << 20, True)]",
    "DoneCallback": "one = asyncio.get_running_loop().create_future()\nkept.append(asyncio.gather(one))\nreturn [one._callbacks[0][0]]",
    "frame": "coroutine = asyncio.sleep(1)\nframe = coroutine.cr_frame\ncoroutine.close()\nreturn [frame]",
    "coroutine, closed": "coroutine = asyncio.sleep(1)\ncoroutine.close()\nreturn [coroutine]",
    "StopIteration": "future = other.create_future()\nfuture.set_result(Loud())\nreturn [raised(next, iter(future))]",
    "StopIteration, of a coroutine": "queue = asyncio.Queue()\nqueue.put_nowait(Loud())\nreturn [raised(queue.get().__await__().__next__)]",
}
ANYIO = {
    "CancelScope": "return [anyio.CancelScope()]",
    "CancelScope, entered": "with anyio.CancelScope(deadline=anyio.current_time() + 9) as scope:\n    pass\nreturn [scope]",
    "fail_after": "limit = anyio.fail_after(9)\nwith limit:\n    pass\nreturn [anyio.fail_after(1), limit]",
    "move_on_after": "return [anyio.move_on_after(9)]",
    "task group": "async with anyio.create_task_group() as group:\n    handle = group.start_soon(turns)\nreturn [anyio.create_task_group(), group, handle]",
    "streams": "send, receive = anyio.create_memory_object_stream(1)\nsend.send_nowait(Loud())\nreturn [send, receive, send._state]",
    "streams, closed": "send, receive = anyio.create_memory_object_stream(1)\nsend.close()\nreceive.close()\nreturn [send._state, send, receive]",
    "streams, waited for": "send, receive = anyio.create_memory_object_stream(0)\nwaits = receive.receive()\ntry:\n    waits.send(None)\nexcept RuntimeError:\n    pass\nreturn [waits]",
    "primitives": "return [anyio.Event(), anyio.Lock(), anyio.Semaphore(1), anyio.CapacityLimiter(1), anyio.Condition()]",
    "thread": "return [await anyio.to_thread.run_sync(Loud)]",
}


class Loud:
    """Its finalizer runs Python code, which raises on its own."""

    collects = False

    def __call__(self, *_: object) -> None:
        raise AssertionError

    def fail(self) -> None:
        raise KeyError("lost")

    def __del__(self) -> None:
        try:
            raise OSError
        except OSError:
            if self.collects:
                gc.collect()


class Ended(asyncio.Transport):
    """A transport that says whether it is closing."""

    def __init__(self, is_closing: bool) -> None:
        super().__init__()
        self._is_closing = is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True


class Held:
    """A coroutine that is awaited and that nothing else keeps, so that it can be freed where it waits."""

    def __init__(self, coroutine: Any, begins: bool) -> None:
        self.coroutine = coroutine
        self._begins = begins

    def __await__(self) -> Iterator[Any]:
        if not self._begins:
            yield from asyncio.get_running_loop().create_future()
        while True:
            try:
                awaited = self.coroutine.send(None)
            except StopIteration as stop:
                return stop.value
            yield awaited


class Holder:
    """Holds what a program awaits; the one with the number `fresh` does not begin."""

    def __init__(self, fresh: int | None = None) -> None:
        self.held: list[Held] = []
        self._fresh = fresh

    def hold(self, awaited: Any) -> Any:
        if not hasattr(awaited, "send"):
            return awaited
        self.held.append(Held(awaited, len(self.held) != self._fresh))
        return self.held[-1]

    def hold_block(self, block: Any) -> "HeldBlock":
        return HeldBlock(self, block)

    def hold_iterator(self, iterable: Any) -> "HeldIterator":
        return HeldIterator(self, iterable)

    def take(self) -> list[Any]:
        taken = [held.coroutine for held in self.held]
        for held in self.held:
            held.coroutine = None
        return taken


class HeldBlock:
    def __init__(self, holder: Holder, block: Any) -> None:
        self._holder, self._block = holder, block

    async def __aenter__(self) -> Any:
        return await self._holder.hold(self._block.__aenter__())

    async def __aexit__(self, *error: object) -> Any:
        return await self._holder.hold(self._block.__aexit__(*error))


class HeldIterator:
    def __init__(self, holder: Holder, iterable: Any) -> None:
        self._holder, self._iterator = holder, iterable.__aiter__()

    def __aiter__(self) -> "HeldIterator":
        return self

    def __anext__(self) -> Any:
        return self._holder.hold(self._iterator.__anext__())


class Holding(ast.NodeTransformer):
    """Has a program hold what it awaits."""

    @staticmethod
    def _held(method: str, node: ast.expr) -> ast.Call:
        return ast.Call(ast.Attribute(ast.Name("holder", ast.Load()), method, ast.Load()), [node], [])

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        node.value = self._held("hold", node.value)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        for item in node.items:
            item.context_expr = self._held("hold_block", item.context_expr)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._held("hold_iterator", node.iter)
        return node


class Reports(logging.Handler):
    """What is reported while it is entered, without what differs from run to run."""

    def __init__(self, warnings_are: Literal["always", "error"] = "always") -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        self._warnings_are = warnings_are
        self._catching = warnings.catch_warnings()

    def emit(self, record: logging.LogRecord) -> None:
        self._say("log", record.getMessage().partition("\n")[0])

    def __enter__(self) -> "Reports":
        self._catching.__enter__()
        warnings.simplefilter(self._warnings_are)
        warnings.showwarning = self._warn
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        logging.getLogger("asyncio").addHandler(self)
        return self

    def __exit__(self, *error: Any) -> None:
        logging.getLogger("asyncio").removeHandler(self)
        sys.unraisablehook = self._hook
        self._catching.__exit__(*error)

    def _warn(self, message: Any, category: type, *_: object, **__: object) -> None:
        self._say(category.__name__, str(message).partition("\n")[0])

    def _unraisable(self, told: Any) -> None:
        self._say("unraisable", repr(told.exc_value).partition("\\n")[0])

    def _say(self, kind: str, text: str) -> None:
        self.said.append(f"{kind}: " + re.sub(r"<.*>", "<>", text))


def free(box: list[Any], freed: set[str]) -> list[str]:
    """Frees what is in `box`, one after the other, while an exception is on its way; returns what arrived instead.

    The exception comes from Python or from C, in turns.
    """
    wrong = []

    def fail(error: BaseException) -> Any:
        raise error

    from_python = False
    while box:
        from_python = not from_python
        error = ValueError("on its way")
        name = type(box[-1]).__name__
        if sys.getrefcount(box[-1]) == 2:  # the list's and the call's
            freed.update(base.__name__ for base in type(box[-1]).__mro__)
        try:
            raise LookupError("being handled")
        except LookupError as handled:
            try:
                if from_python:
                    (Loud(), box.pop(), Loud(), fail(error))
                else:
                    getattr(box.pop(), 5)  # type: ignore[call-overload] # raises
            except BaseException as arrived:
                expected = arrived is error if from_python else "must be string" in str(arrived)
                if not (expected and arrived.__context__ is handled and arrived.__cause__ is None):
                    wrong.append(f"{name}: {arrived!r} after {arrived.__context__!r}")
            else:
                wrong.append(f"{name}: nothing")
    return wrong


def raised(function: Any, *arguments: Any) -> BaseException:
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def until(awaited: Any) -> Any:
    return await awaited


class Rows:
    """Runs rows in one process."""

    def __init__(self, kind: str, state: str) -> None:
        self.freed: set[str] = set()
        self._state = state
        self._names: dict[str, Any] = {}
        start = "import ferrio; from ferrio import _ferrio; ferrio.install()" if kind == "ferrio" else "pass"
        exec(HEAD.replace("{start}", start, 1), self._names)
        if importlib.util.find_spec("anyio"):
            exec("import anyio", self._names)
        self._names |= {"Loud": Loud, "Ended": Ended, "raised": raised, "turns": turns, "until": until}
        self._names["connected"] = self._connected
        # Jobs of executors that take no time.
        self._names["time"] = SimpleNamespace(sleep=lambda _: time.sleep(0.001))

    async def _connected(self) -> Any:
        return await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=self._names["pair"]()[0])

    def run(self, name: str, program: str, *, is_held: bool = False, fresh: int | None = None) -> int:
        """Runs a row and prints its line; returns how many coroutines it held."""
        with Reports():
            gc.collect()  # what the row before has left
        loops = asyncio.new_event_loop(), asyncio.new_event_loop()
        before = socket.getaddrinfo, socket.getnameinfo
        try:
            return self._run(*loops, name, self._function(name, program, is_held), Holder(fresh) if is_held else None)
        finally:
            socket.getaddrinfo, socket.getnameinfo = before
            self._tidy(*loops)

    def _function(self, name: str, program: str, is_held: bool) -> Any:
        tree = ast.parse("async def row():\n" + textwrap.indent(program, "    "))
        if is_held:
            Holding().visit(tree)
        exec(compile(ast.fix_missing_locations(tree), name, "exec"), self._names)
        return self._names.pop("row")

    def _run(self, loop: Any, other: Any, name: str, row: Any, holder: Holder | None) -> int:
        self._names |= {"holder": holder, "other": other}
        loop.set_debug(self._state == "debug")
        loop.slow_callback_duration = 1e9
        reports = Reports("error" if self._state == "collecting" else "always")

        waiting = []

        async def main() -> tuple[int, list[str]]:
            if holder is None:
                box = await row()
            else:
                waiting.append(asyncio.ensure_future(row()))
                await turns()
                box = holder.take()
            count = len(box)
            with reports:
                return count, free(box, self.freed)

        count, wrong = loop.run_until_complete(main())
        # What else is reported of a program depends on how far its children and threads are.
        said = [text for text in reports.said if holder is None or "RuntimeWarning" in text]
        print(name, *(f"lost: {text}" for text in wrong), *said, sep=" | ", flush=True)
        return count

    def _tidy(self, *loops: asyncio.AbstractEventLoop) -> None:
        """Ends what a row has left, unseen."""
        with Reports():
            for loop in loops:
                if loop.is_closed():
                    continue
                # Again for what they begin when they are cancelled; a task that nothing wakes stays.
                for _ in range(3):
                    for task in asyncio.all_tasks(loop):
                        task.cancel()
                    loop.run_until_complete(turns())
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
            for kept in self._names["kept"]:
                if hasattr(kept, "close"):
                    kept.close()
            self._names["kept"].clear()
            for name in ("holder", "other"):
                self._names.pop(name, None)


def main(kind: str, state: str) -> None:
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    rows = Rows(kind, state)
    if state == "debug":
        gc.set_threshold(1)
    elif state == "collecting":
        # From then on, freeing a coroutine forgets where it was made.
        asyncio.run(turns(), debug=True)
        Loud.collects = True
        gc.freeze()
        if kind == "ferrio":
            from ferrio import inspect

            inspect.start(recorder=64)
    tables = [OBJECTS]
    if importlib.util.find_spec("anyio"):
        tables.append(ANYIO)
    if kind == "ferrio":
        tables.append(OWN)
    for table in tables:
        for name, program in table.items():
            rows.run(name, program)
    for name, program in AWAITS.items():
        for fresh in range(rows.run(name, program, is_held=True)):
            rows.run(f"{name}, fresh {fresh}", program, is_held=True, fresh=fresh)
    print(*sorted(rows.freed), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
