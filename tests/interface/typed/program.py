"""Every public name of ferrio, used through the alias as a typed program uses asyncio's. It also runs.

A name that is missing, or typed as something other than asyncio's, is an error of mypy's and pyright's here.
"""

import asyncio as stock
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any, assert_type

import ferrio as asyncio


async def job() -> int:
    await asyncio.sleep(0)
    return 1


def both_spellings_mean_the_same(task: asyncio.Task[int], future: asyncio.Future[str]) -> None:
    theirs: stock.Task[int] = task
    again: asyncio.Task[int] = theirs
    their_future: stock.Future[str] = future
    future_again: asyncio.Future[str] = their_future
    queue: stock.Queue[int] = asyncio.Queue[int]()
    lock: stock.Lock = asyncio.Lock()
    print(again, future_again, queue, lock)


async def tasks() -> None:
    task: asyncio.Task[int] = asyncio.create_task(job(), name="one")
    assert_type(task, stock.Task[int])
    assert_type(await task, int)
    both_spellings_mean_the_same(task, asyncio.get_running_loop().create_future())
    assert_type(await asyncio.gather(job(), asyncio.sleep(0, "done")), tuple[int, str])
    assert_type(await asyncio.wait_for(job(), 10), int)
    assert_type(await asyncio.shield(job()), int)
    assert_type(await asyncio.to_thread(len, "abc"), int)
    ensured: asyncio.Task[int] = asyncio.ensure_future(job())
    done, pending = await asyncio.wait([ensured], timeout=10, return_when=asyncio.ALL_COMPLETED)
    assert_type(done, set[asyncio.Task[int]])
    print(len(pending), asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION)
    for completed in asyncio.as_completed([job(), job()]):
        assert_type(await completed, int)
    current: asyncio.Task[Any] | None = asyncio.current_task()
    everybody: set[asyncio.Task[Any]] = asyncio.all_tasks()
    print(current in everybody, asyncio.isfuture(current), asyncio.iscoroutine(job), asyncio.iscoroutinefunction(job))
    asyncio.allow_nested_runs(False)
    status: str = asyncio.anyio_status()
    print(status)
    loop = asyncio.get_running_loop()
    threaded = await asyncio.to_thread(asyncio.run_coroutine_threadsafe, job(), loop)
    assert_type(await asyncio.wrap_future(threaded), int)
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
        loop.set_task_factory(asyncio.create_eager_task_factory(stock.Task))
        loop.set_task_factory(None)


async def groups_and_timeouts() -> None:
    async with asyncio.TaskGroup() as group:
        made: asyncio.Task[int] = group.create_task(job())
    assert_type(made.result(), int)
    async with asyncio.timeout(10) as timeout:
        assert_type(timeout, asyncio.Timeout)
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 10):
        pass
    try:
        raise asyncio.TimeoutError
    except asyncio.TimeoutError as error:
        assert_type(error, TimeoutError)


def errors() -> Iterable[type[BaseException]]:
    yield from (asyncio.CancelledError, asyncio.InvalidStateError, asyncio.BrokenBarrierError)
    yield from (asyncio.QueueEmpty, asyncio.QueueFull, asyncio.QueueShutDown)
    yield from (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.SendfileNotAvailableError)


async def synchronization() -> None:
    lock = asyncio.Lock()
    async with lock, asyncio.Semaphore(2), asyncio.BoundedSemaphore(2), asyncio.Condition() as nothing:
        assert_type(nothing, None)
    event = asyncio.Event()
    event.set()
    await event.wait()
    async with asyncio.Barrier(1):
        pass
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    await queue.put(1)
    assert_type(await queue.get(), int)
    last: asyncio.LifoQueue[str] = asyncio.LifoQueue()
    first: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    print(last.qsize(), first.empty())


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


PROTOCOLS: list[type[asyncio.BaseProtocol]] = [
    asyncio.BufferedProtocol,
    asyncio.DatagramProtocol,
    asyncio.SubprocessProtocol,
    asyncio.StreamReaderProtocol,
]
TRANSPORTS: list[type[asyncio.BaseTransport]] = [
    asyncio.DatagramTransport,
    asyncio.ReadTransport,
    asyncio.WriteTransport,
    asyncio.SubprocessTransport,
]


async def streams(directory: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert_type(await reader.readline(), bytes)
        writer.write(b"answer\n")
        await writer.drain()
        writer.close()

    server: asyncio.Server = await asyncio.start_server(handle, "127.0.0.1", 0)
    abstract: asyncio.AbstractServer = server
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"question\n")
        print(await reader.readline(), abstract.is_serving())
        writer.close()
    async with await asyncio.start_unix_server(handle, f"{directory}/socket"):
        reader, writer = await asyncio.open_unix_connection(f"{directory}/socket")
        writer.write(b"question\n")
        print(await reader.readline())
        writer.close()


async def processes() -> None:
    process: asyncio.subprocess.Process = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.PIPE)
    assert_type(await process.wait(), int)
    shell = await asyncio.create_subprocess_shell(
        "cat", stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    output, _ = await shell.communicate()
    assert_type(output, bytes)


async def loops() -> None:
    loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
    handle: asyncio.Handle = loop.call_soon(print, "soon")
    timer: asyncio.TimerHandle = loop.call_later(10, print, "later", context=copy_context())
    handle.cancel()
    timer.cancel()
    assert_type(asyncio.get_event_loop(), stock.AbstractEventLoop)
    mine: asyncio.EventLoop = asyncio.new_event_loop()
    assert_type(mine.create_future(), asyncio.Future[Any])
    task: asyncio.Task[int] = mine.create_task(job())
    print(mine.run_in_executor)
    listening, _ = socket.socketpair()
    receiving: Coroutine[Any, Any, bytes] = mine.sock_recv(listening, 10)
    receiving.close()
    connecting: Callable[..., Coroutine[Any, Any, tuple[asyncio.Transport, Echo]]] = mine.create_connection
    serving: Callable[..., Coroutine[Any, Any, asyncio.Server]] = mine.create_server
    encrypting: Callable[..., Awaitable[asyncio.Transport | None]] = mine.start_tls
    print(connecting, serving, encrypting, signal.SIGTERM, ssl.SSLContext)
    await asyncio.to_thread(mine.run_until_complete, task)
    mine.close()
    listening.close()
    print(asyncio.BaseEventLoop, asyncio.SelectorEventLoop, mine.is_closed())


def ways_to_run() -> None:
    assert_type(asyncio.run(job(), debug=True), int)
    with asyncio.Runner(loop_factory=asyncio.EventLoop) as runner:
        assert_type(runner.run(job()), int)
        asyncio.set_event_loop(runner.get_loop())
    asyncio.set_event_loop(None)
    asyncio.install()
    asyncio.uninstall()
    print(asyncio.__version__)


def policies() -> None:
    policy: asyncio.AbstractEventLoopPolicy = asyncio.EventLoopPolicy()
    default: asyncio.DefaultEventLoopPolicy = asyncio.DefaultEventLoopPolicy()
    print(default, asyncio.get_event_loop_policy())
    asyncio.set_event_loop_policy(policy)
    asyncio.set_event_loop_policy(None)
    if sys.version_info < (3, 14):
        watchers: list[type[asyncio.AbstractChildWatcher]] = [
            asyncio.FastChildWatcher,
            asyncio.MultiLoopChildWatcher,
            asyncio.PidfdChildWatcher,
            asyncio.SafeChildWatcher,
            asyncio.ThreadedChildWatcher,
        ]
        print(watchers, asyncio.get_child_watcher, asyncio.set_child_watcher)


def hooks() -> None:
    """For other libraries' tasks and loops: asyncio lists some of them in its `__all__`, underscores and all."""
    asyncio._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]
    print(asyncio._get_running_loop())  # pyright: ignore[reportPrivateUsage]
    print(asyncio._register_task, asyncio._unregister_task)  # pyright: ignore[reportPrivateUsage]
    print(asyncio._enter_task, asyncio._leave_task)  # pyright: ignore[reportPrivateUsage]
    if sys.version_info >= (3, 12):
        print(asyncio._register_eager_task)  # pyright: ignore[reportPrivateUsage]
        print(asyncio._unregister_eager_task)  # pyright: ignore[reportPrivateUsage]
        print(asyncio._swap_current_task)  # pyright: ignore[reportPrivateUsage]


async def call_graphs() -> None:
    if sys.version_info >= (3, 14):
        graph: asyncio.FutureCallGraph | None = asyncio.capture_call_graph()
        entries: tuple[asyncio.FrameCallGraphEntry, ...] = graph.call_stack if graph else ()
        print(entries, asyncio.format_call_graph(), asyncio.graph)
        asyncio.print_call_graph(file=sys.stdout)
        future, waiter = asyncio.Future[int](), asyncio.Future[int]()
        asyncio.future_add_to_awaited_by(future, waiter)
        asyncio.future_discard_from_awaited_by(future, waiter)


SUBMODULES = [
    asyncio.base_events.BaseEventLoop,
    asyncio.base_futures.isfuture,
    asyncio.base_subprocess,
    asyncio.base_tasks,
    asyncio.constants.DEBUG_STACK_DEPTH,
    asyncio.coroutines.iscoroutine,
    asyncio.events.get_running_loop,
    asyncio.exceptions.CancelledError,
    asyncio.format_helpers.extract_stack,
    asyncio.futures.Future,
    asyncio.locks.Lock,
    asyncio.log.logger,
    asyncio.mixins,
    asyncio.protocols.Protocol,
    asyncio.queues.Queue,
    asyncio.runners.Runner,
    asyncio.selector_events.BaseSelectorEventLoop,
    asyncio.sslproto,
    asyncio.staggered.staggered_race,
    asyncio.streams.StreamReader,
    asyncio.subprocess.PIPE,
    asyncio.taskgroups.TaskGroup,
    asyncio.tasks.Task,
    asyncio.threads.to_thread,
    asyncio.timeouts.Timeout,
    asyncio.transports.Transport,
    asyncio.trsock.TransportSocket,
    asyncio.unix_events.SelectorEventLoop,
]


async def main(directory: str) -> None:
    for part in (
        tasks(),
        groups_and_timeouts(),
        synchronization(),
        streams(directory),
        processes(),
        loops(),
        call_graphs(),
    ):
        await part


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    ways_to_run()
    policies()
    hooks()
    print(PROTOCOLS, TRANSPORTS, SUBMODULES, list(errors()))
