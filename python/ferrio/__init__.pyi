"""Names and types of the package; the parts of asyncio that ferrio does not bring itself are asyncio's own."""

import sys
from asyncio import (
    ALL_COMPLETED as ALL_COMPLETED,
    FIRST_COMPLETED as FIRST_COMPLETED,
    FIRST_EXCEPTION as FIRST_EXCEPTION,
    AbstractEventLoop as AbstractEventLoop,
    AbstractEventLoopPolicy as AbstractEventLoopPolicy,
    AbstractServer as AbstractServer,
    BaseEventLoop as BaseEventLoop,
    BaseProtocol as BaseProtocol,
    BaseTransport as BaseTransport,
    BrokenBarrierError as BrokenBarrierError,
    BufferedProtocol as BufferedProtocol,
    CancelledError as CancelledError,
    DatagramProtocol as DatagramProtocol,
    DatagramTransport as DatagramTransport,
    DefaultEventLoopPolicy as DefaultEventLoopPolicy,
    Handle as Handle,
    IncompleteReadError as IncompleteReadError,
    InvalidStateError as InvalidStateError,
    LimitOverrunError as LimitOverrunError,
    Protocol as Protocol,
    QueueEmpty as QueueEmpty,
    QueueFull as QueueFull,
    ReadTransport as ReadTransport,
    SelectorEventLoop as SelectorEventLoop,
    SendfileNotAvailableError as SendfileNotAvailableError,
    Server as Server,
    StreamReader as StreamReader,
    StreamReaderProtocol as StreamReaderProtocol,
    StreamWriter as StreamWriter,
    SubprocessProtocol as SubprocessProtocol,
    SubprocessTransport as SubprocessTransport,
    Timeout as Timeout,
    TimeoutError as TimeoutError,
    TimerHandle as TimerHandle,
    Transport as Transport,
    WriteTransport as WriteTransport,
    _get_running_loop as _get_running_loop,
    _set_running_loop as _set_running_loop,
    create_subprocess_exec as create_subprocess_exec,
    create_subprocess_shell as create_subprocess_shell,
    get_event_loop as get_event_loop,
    get_event_loop_policy as get_event_loop_policy,
    get_running_loop as get_running_loop,
    iscoroutinefunction as iscoroutinefunction,
    open_connection as open_connection,
    open_unix_connection as open_unix_connection,
    set_event_loop as set_event_loop,
    set_event_loop_policy as set_event_loop_policy,
    start_server as start_server,
    start_unix_server as start_unix_server,
    timeout as timeout,
    timeout_at as timeout_at,
    wait as wait,
    wait_for as wait_for,
)
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ferrio._ferrio import (
    Barrier as Barrier,
    BoundedSemaphore as BoundedSemaphore,
    Condition as Condition,
    Event as Event,
    EventLoop as EventLoop,
    Future as Future,
    LifoQueue as LifoQueue,
    Lock as Lock,
    PriorityQueue as PriorityQueue,
    Queue as Queue,
    Runner as Runner,
    Semaphore as Semaphore,
    Task as Task,
    TaskGroup as TaskGroup,
    __version__ as __version__,
    _enter_task as _enter_task,
    _leave_task as _leave_task,
    _register_task as _register_task,
    _unregister_task as _unregister_task,
    all_tasks as all_tasks,
    as_completed as as_completed,
    create_task as create_task,
    current_task as current_task,
    ensure_future as ensure_future,
    gather as gather,
    iscoroutine as iscoroutine,
    isfuture as isfuture,
    new_event_loop as new_event_loop,
    run_coroutine_threadsafe as run_coroutine_threadsafe,
    shield as shield,
    sleep as sleep,
    to_thread as to_thread,
    wrap_future as wrap_future,
)
from ferrio._install import install as install, uninstall as uninstall

if sys.version_info >= (3, 12):
    from asyncio import create_eager_task_factory as create_eager_task_factory

    from ferrio._ferrio import (
        _register_eager_task as _register_eager_task,
        _swap_current_task as _swap_current_task,
        _unregister_eager_task as _unregister_eager_task,
        eager_task_factory as eager_task_factory,
    )
if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown as QueueShutDown
else:
    from ferrio._ferrio import QueueShutDown as QueueShutDown
if sys.version_info >= (3, 14):
    from asyncio import (
        FrameCallGraphEntry as FrameCallGraphEntry,
        FutureCallGraph as FutureCallGraph,
        capture_call_graph as capture_call_graph,
        format_call_graph as format_call_graph,
        print_call_graph as print_call_graph,
    )

    from ferrio._ferrio import (
        future_add_to_awaited_by as future_add_to_awaited_by,
        future_discard_from_awaited_by as future_discard_from_awaited_by,
    )
else:
    from asyncio import (
        AbstractChildWatcher as AbstractChildWatcher,
        FastChildWatcher as FastChildWatcher,
        MultiLoopChildWatcher as MultiLoopChildWatcher,
        PidfdChildWatcher as PidfdChildWatcher,
        SafeChildWatcher as SafeChildWatcher,
        ThreadedChildWatcher as ThreadedChildWatcher,
        get_child_watcher as get_child_watcher,
        set_child_watcher as set_child_watcher,
    )

_T = TypeVar("_T")

class EventLoopPolicy(DefaultEventLoopPolicy):
    def new_event_loop(self) -> EventLoop: ...

if sys.version_info >= (3, 14):
    def run(
        main: Awaitable[_T],
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> _T: ...

else:
    def run(
        main: Coroutine[Any, Any, _T],
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> _T: ...
