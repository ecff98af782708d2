"""The extension module: types of the Rust code. Signatures are those of the running Python's asyncio."""

import sys
from asyncio import (
    AbstractEventLoop,
    Barrier as Barrier,
    BaseProtocol,
    BoundedSemaphore as BoundedSemaphore,
    Condition as Condition,
    DatagramTransport,
    Event as Event,
    Future as Future,
    Handle,
    LifoQueue as LifoQueue,
    Lock as Lock,
    PriorityQueue as PriorityQueue,
    Queue as Queue,
    ReadTransport,
    Runner as Runner,
    Semaphore as Semaphore,
    Server,
    StreamReader as StreamReader,
    StreamReaderProtocol as StreamReaderProtocol,
    StreamWriter as StreamWriter,
    SubprocessTransport,
    Task as Task,
    TaskGroup as _AsyncioTaskGroup,
    Timeout as Timeout,
    TimerHandle,
    Transport,
    WriteTransport,
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
    open_connection as open_connection,
    open_unix_connection as open_unix_connection,
    run as run,
    run_coroutine_threadsafe as run_coroutine_threadsafe,
    shield as shield,
    sleep as sleep,
    start_server as start_server,
    start_unix_server as start_unix_server,
    timeout as timeout,
    timeout_at as timeout_at,
    to_thread as to_thread,
    wait as wait,
    wait_for as wait_for,
    wrap_future as wrap_future,
)
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Executor
from contextvars import Context
from os import PathLike
from socket import SocketKind, socket
from ssl import SSLContext
from types import CodeType, FrameType, ModuleType
from typing import IO, Any, ClassVar, Literal, Protocol, Self, TypeAlias, TypeVar, final

from _typeshed import FileDescriptorLike, ReadableBuffer, WriteableBuffer
from typing_extensions import TypeVarTuple, Unpack, disjoint_base

if sys.version_info >= (3, 12):
    from asyncio import eager_task_factory as eager_task_factory
if sys.version_info >= (3, 14):
    from asyncio import (
        future_add_to_awaited_by as future_add_to_awaited_by,
        future_discard_from_awaited_by as future_discard_from_awaited_by,
    )

__all__ = [
    "Barrier",
    "Baton",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "EventLoop",
    "Future",
    "Handle",
    "InspectionService",
    "LentThread",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Recording",
    "Runner",
    "Semaphore",
    "Simulation",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "Watchdog",
    "__version__",
    "_activity_of",
    "_anyio_begin",
    "_anyio_functions",
    "_anyio_get_async_backend",
    "_anyio_is_cancellation",
    "_anyio_parts",
    "_anyio_primitives",
    "_anyio_set_task_state",
    "_anyio_stand_in",
    "_anyio_task_state",
    "_bridge_api",
    "_connection_of",
    "_connection_totals",
    "_count_connections",
    "_count_scheduled",
    "_count_tasks",
    "_creation_of",
    "_enter_task",
    "_failed_futures",
    "_flight",
    "_flight_names",
    "_forget_flight",
    "_forget_running_jobs",
    "_forget_running_loops",
    "_hide_frames",
    "_holders_of",
    "_interrupt_wait",
    "_leave_task",
    "_listed_tasks",
    "_longest_wait",
    "_loop_delay",
    "_note_failures",
    "_open_block",
    "_place_of_lock",
    "_program_section",
    "_record",
    "_record_next_loop",
    "_recorded_totals",
    "_recording_here",
    "_register_task",
    "_running_jobs",
    "_running_loops",
    "_running_task",
    "_server_of",
    "_stop_recording",
    "_system_polls",
    "_task_durations",
    "_tcp_counters",
    "_thread_frames",
    "_timers_of",
    "_times_of",
    "_unregister_task",
    "_wait_durations",
    "_waiting_job",
    "_watched_by",
    "all_tasks",
    "allow_nested_runs",
    "as_completed",
    "create_task",
    "current_task",
    "ensure_future",
    "gather",
    "iscoroutine",
    "isfuture",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "run_on_ferrio",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
    "wrap_future",
]
if sys.version_info >= (3, 12):
    __all__ += [
        "_register_eager_task",
        "_swap_current_task",
        "_unregister_eager_task",
        "eager_task_factory",
    ]
if sys.version_info < (3, 13):
    __all__ += ["QueueShutDown"]
if sys.version_info >= (3, 14):
    __all__ += ["future_add_to_awaited_by", "future_discard_from_awaited_by"]

__version__: str

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_ProtocolT = TypeVar("_ProtocolT", bound=BaseProtocol)
if sys.version_info >= (3, 12):
    _Coroutine: TypeAlias = Coroutine[Any, Any, _T]
    _Awaitable: TypeAlias = Awaitable[_T]
else:
    _Coroutine: TypeAlias = Generator[Any, None, _T] | Coroutine[Any, Any, _T]
    _Awaitable: TypeAlias = Generator[Any, None, _T] | Awaitable[_T]
_ErrorContext: TypeAlias = dict[str, Any]
_ExceptionHandler: TypeAlias = Callable[[AbstractEventLoop, _ErrorContext], object]
_Address: TypeAlias = tuple[Any, ...] | str | ReadableBuffer | int
_SSL: TypeAlias = bool | SSLContext | None
_Path: TypeAlias = str | bytes | PathLike[str]

class _TaskFactory(Protocol):
    def __call__(self, loop: AbstractEventLoop, factory: _Coroutine[_T], /) -> Future[_T]: ...

if sys.version_info >= (3, 12):
    def _register_eager_task(task: Task[Any]) -> None: ...
    def _unregister_eager_task(task: Task[Any]) -> None: ...
    def _swap_current_task(loop: AbstractEventLoop, task: Task[_T] | None) -> Task[Any] | None: ...

_anyio_functions: dict[str, Callable[..., Any]]
_anyio_parts: dict[str, Callable[..., Any]]

def _anyio_begin(
    module: ModuleType,
    methods: dict[str, Any],
    functions: dict[str, Any],
    parts: dict[str, Any],
    is_cancellation: Callable[..., bool],
    is_latest: bool,
) -> None: ...
def _anyio_get_async_backend(asynclib_name: str | None = None) -> Any: ...
def _anyio_is_cancellation(exception: BaseException) -> bool: ...
def _anyio_set_task_state(task: Any, state: Any) -> bool: ...
def _anyio_stand_in(function: Callable[..., Any], original: Callable[..., Any]) -> Any: ...
def _anyio_task_state(task: Any, missing: Any, elsewhere: Any) -> Any: ...
def _anyio_primitives(module: ModuleType) -> list[tuple[type, str, Any]]: ...
def _hide_frames(file: str) -> None: ...
def allow_nested_runs(allowed: bool = True) -> None: ...
def new_event_loop() -> EventLoop: ...

if sys.version_info < (3, 13):
    class QueueShutDown(Exception): ...

# Has a method that asyncio's class has from 3.15 on.
@disjoint_base
class TaskGroup(_AsyncioTaskGroup):
    def cancel(self) -> None: ...

class EventLoop(AbstractEventLoop):
    slow_callback_duration: float

    # Running and closing
    def run_forever(self) -> None: ...
    def run_until_complete(self, future: _Awaitable[_T]) -> _T: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def close(self) -> None: ...
    def __del__(self) -> None: ...
    async def shutdown_asyncgens(self) -> None: ...
    if sys.version_info >= (3, 12):
        async def shutdown_default_executor(self, timeout: float | None = None) -> None: ...
    else:
        async def shutdown_default_executor(self) -> None: ...

    # Scheduling
    def time(self) -> float: ...
    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> Handle: ...
    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...

    # Futures and tasks
    def create_future(self) -> Future[Any]: ...
    if sys.version_info >= (3, 13):
        def create_task(
            self,
            coro: _Coroutine[_T],
            *,
            name: object = None,
            context: Context | None = None,
            eager_start: bool | None = None,
        ) -> Task[_T]: ...
    else:
        def create_task(
            self, coro: _Coroutine[_T], *, name: object = None, context: Context | None = None
        ) -> Task[_T]: ...

    def set_task_factory(self, factory: _TaskFactory | None) -> None: ...
    def get_task_factory(self) -> _TaskFactory | None: ...

    # Executors
    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> Future[_T]: ...
    def set_default_executor(self, executor: Executor) -> None: ...

    # Errors and debug mode
    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None: ...
    def get_exception_handler(self) -> _ExceptionHandler | None: ...
    def default_exception_handler(self, context: _ErrorContext) -> None: ...
    def call_exception_handler(self, context: _ErrorContext) -> None: ...
    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...

    # Descriptors and signals
    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts) -> None: ...
    def remove_reader(self, fd: FileDescriptorLike) -> bool: ...
    def add_writer(self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts) -> None: ...
    def remove_writer(self, fd: FileDescriptorLike) -> bool: ...
    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts) -> None: ...
    def remove_signal_handler(self, sig: int) -> bool: ...

    # Sockets
    # The parameter names of asyncio's own loops, not of their abstract base class.
    async def sock_recv(self, sock: socket, n: int) -> bytes: ...
    async def sock_recv_into(self, sock: socket, buf: WriteableBuffer) -> int: ...
    async def sock_recvfrom(self, sock: socket, bufsize: int) -> tuple[bytes, Any]: ...
    async def sock_recvfrom_into(self, sock: socket, buf: WriteableBuffer, nbytes: int = 0) -> tuple[int, Any]: ...
    async def sock_sendall(self, sock: socket, data: ReadableBuffer) -> None: ...
    async def sock_sendto(self, sock: socket, data: ReadableBuffer, address: _Address) -> int: ...
    async def sock_connect(self, sock: socket, address: _Address) -> None: ...
    async def sock_accept(self, sock: socket) -> tuple[socket, Any]: ...
    async def sock_sendfile(
        self, sock: socket, file: IO[bytes], offset: int = 0, count: int | None = None, *, fallback: bool | None = True
    ) -> int: ...

    # Names
    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[Any, SocketKind, int, str, Any]]: ...
    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]: ...

    # TCP
    if sys.version_info >= (3, 12):
        async def create_connection(
            self,
            protocol_factory: Callable[[], _ProtocolT],
            host: str | None = None,
            port: int | None = None,
            *,
            ssl: _SSL = None,
            family: int = 0,
            proto: int = 0,
            flags: int = 0,
            sock: socket | None = None,
            local_addr: tuple[str, int] | None = None,
            server_hostname: str | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            happy_eyeballs_delay: float | None = None,
            interleave: int | None = None,
            all_errors: bool = False,
        ) -> tuple[Transport, _ProtocolT]: ...
    else:
        async def create_connection(
            self,
            protocol_factory: Callable[[], _ProtocolT],
            host: str | None = None,
            port: int | None = None,
            *,
            ssl: _SSL = None,
            family: int = 0,
            proto: int = 0,
            flags: int = 0,
            sock: socket | None = None,
            local_addr: tuple[str, int] | None = None,
            server_hostname: str | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            happy_eyeballs_delay: float | None = None,
            interleave: int | None = None,
        ) -> tuple[Transport, _ProtocolT]: ...

    if sys.version_info >= (3, 13):
        async def create_server(
            self,
            protocol_factory: Callable[[], BaseProtocol],
            host: str | Sequence[str] | None = None,
            port: int | None = None,
            *,
            family: int = ...,
            flags: int = ...,
            sock: socket | None = None,
            backlog: int = 100,
            ssl: _SSL = None,
            reuse_address: bool | None = None,
            reuse_port: bool | None = None,
            keep_alive: bool | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            start_serving: bool = True,
        ) -> Server: ...
    else:
        async def create_server(
            self,
            protocol_factory: Callable[[], BaseProtocol],
            host: str | Sequence[str] | None = None,
            port: int | None = None,
            *,
            family: int = ...,
            flags: int = ...,
            sock: socket | None = None,
            backlog: int = 100,
            ssl: _SSL = None,
            reuse_address: bool | None = None,
            reuse_port: bool | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            start_serving: bool = True,
        ) -> Server: ...

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        sock: socket,
        *,
        ssl: _SSL = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Transport, _ProtocolT]: ...
    async def start_tls(
        self,
        transport: WriteTransport,
        protocol: BaseProtocol,
        sslcontext: SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Transport | None: ...
    async def sendfile(
        self,
        transport: WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int: ...

    # Unix sockets
    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        path: _Path | None = None,
        *,
        ssl: _SSL = None,
        sock: socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Transport, _ProtocolT]: ...
    if sys.version_info >= (3, 13):
        async def create_unix_server(
            self,
            protocol_factory: Callable[[], BaseProtocol],
            path: _Path | None = None,
            *,
            sock: socket | None = None,
            backlog: int = 100,
            ssl: _SSL = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            start_serving: bool = True,
            cleanup_socket: bool = True,
        ) -> Server: ...
    else:
        async def create_unix_server(
            self,
            protocol_factory: Callable[[], BaseProtocol],
            path: _Path | None = None,
            *,
            sock: socket | None = None,
            backlog: int = 100,
            ssl: _SSL = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
            start_serving: bool = True,
        ) -> Server: ...

    # UDP
    async def create_datagram_endpoint(  # type: ignore[override] # reuse_address is gone since 3.11
        self,
        protocol_factory: Callable[[], _ProtocolT],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket | None = None,
    ) -> tuple[DatagramTransport, _ProtocolT]: ...

    # Pipes and subprocesses
    async def connect_read_pipe(
        self, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[ReadTransport, _ProtocolT]: ...
    async def connect_write_pipe(
        self, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[WriteTransport, _ProtocolT]: ...
    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        cmd: bytes | str,
        *,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        **kwargs: Any,
    ) -> tuple[SubprocessTransport, _ProtocolT]: ...
    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        program: Any,
        *args: Any,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        **kwargs: Any,
    ) -> tuple[SubprocessTransport, _ProtocolT]: ...

if sys.version_info >= (3, 14):
    def run_on_ferrio(
        main: Awaitable[_T],
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> _T: ...

else:
    def run_on_ferrio(
        main: Coroutine[Any, Any, _T],
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> _T: ...

_bridge_api: object  # a capsule; its table is in the crate ferrio-capsule
_Histogram: TypeAlias = tuple[list[int], list[int], int]

def _place_of_lock(lock: object) -> tuple[CodeType, int] | None: ...
def _record(length: int, asyncio: tuple[str, ...], native_threads: dict[int, int]) -> None: ...
def _record_next_loop(to: Recording) -> None: ...
def _recording_here() -> Recording | None: ...
def _stop_recording() -> None: ...
def _times_of(
    task: object,
) -> tuple[int, int, int, int, int, tuple[Literal["task", "callback", "outside", "unknown"], int | None]] | None: ...
def _task_durations(owner: object) -> list[_Histogram] | None: ...
def _wait_durations() -> list[tuple[str, _Histogram]] | None: ...
def _recorded_totals() -> tuple[int, int, int, _Histogram] | None: ...
def _system_polls(owner: object) -> int | None: ...
def _longest_wait(primitive: object) -> int | None: ...
def _timers_of(owner: EventLoop, most: int) -> tuple[list[tuple[float, Any]], int]: ...
def _count_scheduled(owner: EventLoop) -> tuple[int, int]: ...
def _flight(since: int) -> list[tuple[int, int, bytes, int, tuple[int, int] | None, int]]: ...
def _flight_names(
    since: int,
) -> tuple[bytes, list[tuple[int, str]], list[tuple[int, str]], list[tuple[int, int, int]]]: ...
def _forget_flight() -> None: ...
def _forget_running_loops() -> None: ...
def _interrupt_wait(pid: int) -> None: ...
def _program_section(file: str, name: bytes) -> bytes | None: ...
def _loop_delay(owner: object) -> tuple[list[int], list[int], int, int] | None: ...
def _open_block(owner: AbstractEventLoop) -> int: ...
def _running_loops() -> list[tuple[AbstractEventLoop, int]]: ...
def _running_task(owner: AbstractEventLoop) -> Any: ...
def _creation_of(task: object) -> tuple[int | None, tuple[CodeType, int] | None, float] | None: ...
def _holders_of(lock: object) -> list[tuple[int, float]]: ...
def _listed_tasks() -> list[Any]: ...
def _thread_frames() -> list[tuple[int, FrameType]]: ...
def _count_tasks() -> list[tuple[Any, int, int, int]]: ...
def _failed_futures() -> list[tuple[Any, int]]: ...
def _note_failures(on: bool) -> None: ...
def _running_jobs() -> list[tuple[Any, Any, Any, Any, int, int, int | None]]: ...
def _waiting_job(item: object) -> tuple[Any, Any, Any, Any, int, int, int | None] | None: ...
def _forget_running_jobs() -> None: ...
def _watched_by(owner: EventLoop) -> list[Any]: ...
def _connection_of(
    transport: object,
) -> (
    tuple[
        Any,
        Any,
        int,
        str | None,
        str | None,
        int,
        tuple[int | None, int | None],
        bool,
        tuple[Any, dict[str, Any] | None] | None,
        Any,
    ]
    | None
): ...
def _connection_totals(owner: EventLoop) -> tuple[int, int, int, int, list[Any]]: ...
def _server_of(listener: object) -> Any: ...
def _count_connections(server: object) -> tuple[int, int] | None: ...
def _tcp_counters(fd: int) -> tuple[bool, int, int] | None: ...
def _activity_of(owner: EventLoop) -> tuple[int, int, int, int]: ...

@final
class InspectionService:
    """The threads that serve a listening Unix socket, for `ferrio.inspect`."""

    def __new__(cls) -> Self: ...
    def pause(self, seconds: float) -> bool: ...
    def start(
        self,
        fd: int,
        allowed: Sequence[int],
        greeting: bytes,
        partial: bytes,
        answer: Callable[[bytes], bytes],
    ) -> None: ...
    def stop(self) -> None: ...

@final
class Watchdog:
    """The threads that watch the running loops, for `ferrio.inspect`."""

    def __new__(cls) -> Self: ...
    def publish(self, report: bytes) -> None: ...
    def publish_to(self, service: InspectionService | None) -> None: ...
    def start(
        self,
        limit: float,
        sample: Callable[[int, int, float], object],
        ended: Callable[[Any, int, float, Any], object],
        native_threads: Mapping[int, int],
        asyncio: str,
    ) -> None: ...
    def stop(self) -> None: ...
    def take_partial(self, block: int) -> bytes | None: ...

@final
class Baton:
    """What one of the threads of a simulation waits for."""

    def __new__(cls) -> Self: ...
    def give(self) -> None: ...
    def take(self) -> None: ...
    def swap(self, other: Baton) -> None: ...

@final
class LentThread:
    """The loop's thread, lent to jobs that see a thread of their own; what `ferrio.testing` is made of."""

    SUPPORTED: ClassVar[bool]
    @property
    def identifier(self) -> int: ...
    def run_job(self, job: object) -> None: ...
    def call(self, function: Callable[[], _T]) -> _T: ...
    def close(self) -> None: ...
    @staticmethod
    def get_ident() -> int: ...
    @staticmethod
    def code_of(job: object) -> object | None: ...

@final
class Recording:
    """What the surroundings of a loop do, written to a file or read from one."""

    @staticmethod
    def writing(descriptor: int, limit: int, keeps_data: bool) -> Recording: ...
    @staticmethod
    def reading(data: bytes, has_data: bool) -> Recording: ...
    def finish(self) -> int | None: ...
    def note_call(self, name: str, given: str, data: bytes) -> None: ...
    def next_call(self, name: str) -> tuple[bytes, bytes] | None: ...
    def note_random(self, data: bytes) -> None: ...
    def next_random(self, size: int) -> bytes | None: ...
    @staticmethod
    def call_ignored(function: Callable[..., object], *arguments: object) -> None: ...
    def refuse(self, what: str) -> None: ...
    @property
    def repeats(self) -> bool: ...
    @property
    def keeps_bytes(self) -> bool: ...
    @property
    def has_loop(self) -> bool: ...
    @property
    def place(self) -> tuple[int, int]: ...

@final
class Simulation:
    """The surroundings of a simulated loop; what `ferrio.testing` is made of."""

    tracing: bool
    def __new__(cls, world: object, seed: int, stall: float, most_turns: int) -> Self: ...
    def attach(self, owner: AbstractEventLoop, real_io: bool = False) -> None: ...
    def attach_recording(self, owner: AbstractEventLoop, recorded: Recording) -> None: ...
    def leave_recording(self, owner: AbstractEventLoop) -> None: ...
    def check_recording(self, task: object) -> None: ...
    @staticmethod
    def detach(owner: AbstractEventLoop) -> None: ...
    def begin(self, freedoms: int) -> bool: ...
    def again(self) -> None: ...
    def repeat(self, planned: list[int], freedoms: int) -> None: ...
    def end(self) -> None: ...
    def choose_no_more(self) -> None: ...
    def search(self, seed: int) -> None: ...
    def cancel_at(self, task: int, step: int) -> None: ...
    @property
    def choices(self) -> list[tuple[str, int, int, int]]: ...
    @property
    def taken(self) -> bytes: ...
    @property
    def steps(self) -> list[tuple[int, int]]: ...
    @property
    def outcome(self) -> int: ...
    @property
    def now(self) -> float: ...
    def read(self) -> float: ...
    def advance(self, seconds: float) -> None: ...
    @property
    def exhausted(self) -> bool: ...
    @property
    def distinct(self) -> int: ...
    @property
    def unseen(self) -> float: ...
    def note_foreign_thread(self) -> None: ...
    def arrive(self, job: object, chain: int) -> None: ...
    networked: bool
    owes: bool
    has_invariants: bool
    def send(self, job: object, chain: int, earliest: float, delay: float) -> None: ...
    def choose(self, cost: int, alternatives: int) -> int: ...
    @staticmethod
    def forget(owner: AbstractEventLoop, fd: int) -> None: ...
    @staticmethod
    def run_job(job: object, then: Callable[[], None]) -> None: ...
    @staticmethod
    def has_tasks() -> bool: ...
    @staticmethod
    def clear(owner: AbstractEventLoop) -> None: ...
    @staticmethod
    def generators(owner: AbstractEventLoop) -> set[Any] | None: ...
    @staticmethod
    def watches(owner: AbstractEventLoop) -> bool: ...
    @staticmethod
    def poll(owner: AbstractEventLoop) -> None: ...
    @staticmethod
    def ready(owner: AbstractEventLoop) -> int: ...
    @staticmethod
    def descriptors(owner: AbstractEventLoop) -> list[int]: ...
    @staticmethod
    def has_signal_handlers(owner: AbstractEventLoop) -> bool: ...
    def has_jobs(self) -> bool: ...
    @staticmethod
    def outermost(owner: AbstractEventLoop) -> Future[Any] | None: ...
    @staticmethod
    def number(task: object) -> int: ...
    @staticmethod
    def restart_numbers(next: int) -> int: ...
