"""Chains of objects that refer to the next one, and nested awaits: a table of the kinds of links.

`python -m tests.support.chains LENGTH [NAME ...]` creates one chain of each kind and drops it, in a thread with a small
stack, and a shorter one in the main thread. It prints the name of each row that it reached, and "done" at the end.
"""

import asyncio
import gc
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import ferrio

# A row makes one more link, from the chain so far. `loop` is there for those that need one.
Link = Callable[[Any, Any], Any]


def _with(make: Callable[[], Any]) -> Link:
    def link(_, previous):
        made = make()
        made.previous = previous
        return made

    return link


def _queue(make: Callable[[], ferrio.Queue]) -> Link:
    def link(_, previous):
        queue = make()
        queue.put_nowait(previous)
        return queue

    return link


class _Named:
    """What a class that has no attributes of its own can hold: a callable, a protocol."""

    def __init__(self, held):
        self.held = held

    def __call__(self, *_):
        raise AssertionError


def _future_result(loop, previous):
    future = loop.create_future()
    future.set_result(previous)
    return future


def _future_exception(loop, previous):
    future = loop.create_future()
    error: Any = ValueError()
    error.held = previous
    future.set_exception(error)
    future.exception()
    return future


def _future_callback(loop, previous):
    future = loop.create_future()
    future.add_done_callback(_Named(previous))
    return future


def _future_cancel_message(loop, previous):
    future = loop.create_future()
    future.cancel(msg=previous)
    return future


def _future_attribute(loop, previous):
    future = loop.create_future()
    future.previous = previous
    return future


class _Future(ferrio.Future):
    pass


def _future_subclass(loop, previous):
    future = _Future(loop=loop)
    future.set_result(previous)
    return future


def _task(loop, previous):
    async def hold(_):
        pass

    task: Any = ferrio.Task(hold(previous), loop=loop)
    task.previous = previous
    task._log_destroy_pending = False
    return task


def _iterator(loop, previous):
    future = loop.create_future()
    future.set_result(previous)
    return future.__await__()


def _result_that_was_raised(loop, previous):
    try:
        next(_iterator(loop, previous))
    except StopIteration as stop:
        return stop


def _as_completed(loop, previous):
    asyncio._set_running_loop(loop)
    try:
        return ferrio.as_completed([_future_result(loop, previous)])
    finally:
        asyncio._set_running_loop(None)


def _stream_reader(loop, previous):
    reader: Any = ferrio.StreamReader(loop=loop)
    reader.previous = previous
    return reader


def _reader_exception(loop, previous):
    reader = ferrio.StreamReader(loop=loop)
    error: Any = ValueError()
    error.held = previous
    reader.set_exception(error)
    return reader


def _stream_protocol(loop, previous):
    return ferrio.StreamReaderProtocol(_stream_reader(loop, previous), _Named(previous), loop=loop)


def _stream_writer(loop, previous):
    protocol: Any = None
    return ferrio.StreamWriter(_Transport(previous), protocol, None, loop)


class _Transport(ferrio.Transport):
    def __init__(self, held):
        super().__init__()
        self.held = held

    def is_closing(self):
        return True


class _Queue(ferrio.Queue):
    pass


class _LoudQueue(ferrio.Queue):
    def __del__(self):
        self.is_gone = True


class _Lock(ferrio.Lock):
    pass


def _timeout(_, previous):
    when: Any = _Named(previous) if previous is None else previous
    return ferrio.Timeout(when)


CHAINS: dict[str, Link] = {
    "Barrier": _with(lambda: ferrio.Barrier(1)),
    "BoundedSemaphore": _with(lambda: ferrio.BoundedSemaphore(1)),
    "Condition": _with(lambda: ferrio.Condition()),
    "Event": _with(lambda: ferrio.Event()),
    "Future": _future_result,
    "Future, attribute": _future_attribute,
    "Future, callback": _future_callback,
    "Future, exception": _future_exception,
    "Future, message of its cancelling": _future_cancel_message,
    "Future, subclass": _future_subclass,
    "Future, iterator": _iterator,
    **({"Future, result that was raised": _result_that_was_raised} if sys.version_info >= (3, 12) else {}),
    "Handle": lambda loop, previous: loop.call_soon(_Named(previous), previous),
    "Handle, argument": lambda loop, previous: loop.call_soon(print, previous),
    "LifoQueue": _queue(lambda: ferrio.LifoQueue()),
    "Lock": _with(lambda: ferrio.Lock()),
    "Lock, subclass": _with(lambda: _Lock()),
    "Lock, method": lambda loop, previous: _with(lambda: ferrio.Lock())(loop, previous).__aenter__,
    "PriorityQueue": _queue(lambda: ferrio.PriorityQueue()),
    "Queue": _queue(lambda: ferrio.Queue()),
    "Queue, subclass": _queue(lambda: _Queue()),
    "Queue, with a finalizer": _queue(lambda: _LoudQueue()),
    "Queue in a list": lambda loop, previous: [_queue(ferrio.Queue)(loop, previous)],
    "Runner": lambda _, previous: ferrio.Runner(loop_factory=_Named(previous)),
    "Semaphore": _with(lambda: ferrio.Semaphore()),
    "StreamReader": _stream_reader,
    "StreamReader, exception": _reader_exception,
    "StreamReaderProtocol": _stream_protocol,
    "StreamWriter": _stream_writer,
    "Task": _task,
    "TaskGroup": _with(lambda: ferrio.TaskGroup()),
    "TimerHandle": lambda loop, previous: loop.call_later(1000, print, previous),
    "Timeout": _timeout,
    "as_completed": _as_completed,
    "get": lambda _, previous: _with(lambda: ferrio.Queue())(_, previous).get(),
    "sleep": lambda _, previous: ferrio.sleep(0, previous),
    "wait": lambda _, previous: ferrio.wait([previous]),
    "wait_for": lambda _, previous: ferrio.wait_for(previous, 1),
}
SHORT = 60_000
# Exported classes of which no chain is made; QueueShutDown is a plain exception, which the interpreter frees.
OTHERS = {"EventLoop", "EventLoopPolicy", "QueueShutDown"}


def drop(name: str, length: int):
    loop = ferrio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    chain = None
    for _ in range(length):
        chain = CHAINS[name](loop, chain)
    loop.close()
    del chain


def main():
    warnings.simplefilter("ignore")
    gc.disable()
    length = int(sys.argv[1])
    for name in sys.argv[2:] or CHAINS:
        print(name, flush=True)
        # What is freed later is listed by thread.
        drop(name, min(length, SHORT))
        threading.stack_size(256 << 10)
        thread = threading.Thread(target=drop, args=(name, length))
        thread.start()
        thread.join()
    print("done", flush=True)


if __name__ == "__main__":
    main()
