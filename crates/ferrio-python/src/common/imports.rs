//! Everything that ferrio takes from Python modules: imported on first use, then kept.

use ferrio_cpython::capi::interned;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

ferrio_cpython::imported! {
    broken_barrier_error = "asyncio.exceptions" . "BrokenBarrierError";
    barrier_state = "asyncio.locks" . "_BarrierState";
    queue_empty = "asyncio.queues" . "QueueEmpty";
    queue_full = "asyncio.queues" . "QueueFull";
    deque = "collections" . "deque";
    ordered_dict = "collections" . "OrderedDict";
    heappush = "heapq" . "heappush";
    heappop = "heapq" . "heappop";
    base_exception_group = "builtins" . "BaseExceptionGroup";
    coroutine_class = "collections.abc" . "Coroutine";
    generic_alias = "types" . "GenericAlias";
    event_loop = "ferrio._ferrio" . "EventLoop";
    object_class = "builtins" . "object";
    events_module = "asyncio" . "events";
    runners_module = "asyncio" . "runners";
    runner_state = "asyncio.runners" . "_State";
    threading_module = "asyncio.runners" . "threading";
    signal_module = "asyncio.runners" . "signal";
    partial = "functools" . "partial";
    futures_module = "asyncio" . "futures";
    tasks_module = "asyncio" . "tasks";
    eager_task_factory = "ferrio._ferrio" . "eager_task_factory";
    stock_future = "_asyncio" . "Future";
    stock_task = "_asyncio" . "Task";
    release_waiter = "asyncio.tasks" . "_release_waiter";
    isnan = "math" . "isnan";
    generator_context_manager = "contextlib" . "_GeneratorContextManager";
    round = "builtins" . "round";
    set = "builtins" . "set";
    timeout_state = "asyncio.timeouts" . "_State";
    all_completed = "asyncio.tasks" . "ALL_COMPLETED";
    first_completed = "asyncio.tasks" . "FIRST_COMPLETED";
    first_exception = "asyncio.tasks" . "FIRST_EXCEPTION";
    convert_future_exception = "asyncio.futures" . "_convert_future_exc";
    context_class = "contextvars" . "Context";
    concurrent_future = "concurrent.futures" . "Future";
    timeout = "asyncio.timeouts" . "timeout";
    abstract_event_loop = "asyncio.events" . "AbstractEventLoop";
    abstract_server = "asyncio.base_events" . "Server";
    transport_class = "asyncio.transports" . "Transport";
    read_transport = "asyncio.transports" . "ReadTransport";
    subprocess_transport = "asyncio.transports" . "SubprocessTransport";
    datagram_transport_class = "asyncio.selector_events" . "_SelectorDatagramTransport";
    selector_event_loop = "asyncio.selector_events" . "BaseSelectorEventLoop";
    sendfile_mode = "asyncio.constants" . "_SendfileMode";
    sendfile_not_available = "asyncio.exceptions" . "SendfileNotAvailableError";
    buffered_protocol = "asyncio.protocols" . "BufferedProtocol";
    flow_control_mixin = "asyncio.streams" . "FlowControlMixin";
    incomplete_read_error = "asyncio.exceptions" . "IncompleteReadError";
    limit_overrun_error = "asyncio.exceptions" . "LimitOverrunError";
    format_helpers = "asyncio" . "format_helpers";
    bytearray = "builtins" . "bytearray";
    stream_reader_protocol = "asyncio.streams" . "StreamReaderProtocol";
    constants = "asyncio" . "constants";
    ssl_transport_class = "asyncio.sslproto" . "_SSLProtocolTransport";
    memory_bio = "ssl" . "MemoryBIO";
    ssl_object = "ssl" . "SSLObject";
    ssl_error = "ssl" . "SSLError";
    ssl_want_read = "ssl" . "SSLWantReadError";
    ssl_syscall_error = "ssl" . "SSLSyscallError";
    ssl_certificate_error = "ssl" . "CertificateError";
    transport_socket = "asyncio.trsock" . "TransportSocket";
    connection_socket = "ferrio._transport_socket" . "TransportSocket";
    extract_stack_depth = "asyncio.constants" . "DEBUG_STACK_DEPTH";
    warn = "warnings" . "warn";
    resource_warning = "builtins" . "ResourceWarning";
    socket_class = "socket" . "socket";
    socket_getaddrinfo = "socket" . "getaddrinfo";
    socket_af_inet = "socket" . "AF_INET";
    socket_af_inet6 = "socket" . "AF_INET6";
    socket_af_unix = "socket" . "AF_UNIX";
    socket_sock_stream = "socket" . "SOCK_STREAM";
    socket_sock_dgram = "socket" . "SOCK_DGRAM";
    socket_ipproto_tcp = "socket" . "IPPROTO_TCP";
    socket_ipproto_udp = "socket" . "IPPROTO_UDP";
    socket_sol_socket = "socket" . "SOL_SOCKET";
    socket_so_error = "socket" . "SO_ERROR";
    socket_ai_canonname = "socket" . "AI_CANONNAME";
    socket_ai_numerichost = "socket" . "AI_NUMERICHOST";
    is_finalizing = "sys" . "is_finalizing";
    default_int_handler = "signal" . "default_int_handler";
}

/// Defines functions that look a name up in its module on each call, as asyncio's Python code does, because programs
/// replace these names. Lookups on performance-critical paths are in `ferrio_cpython::capi::hooks`.
macro_rules! looked_up {
    ($($name:ident = $module:literal . $attribute:literal;)*) => {
        $(
            #[doc = concat!("`", $module, ".", $attribute, "` as it is now.")]
            pub(crate) fn $name(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                modules::$name(py)?.getattr(pyo3::intern!(py, $attribute))
            }
        )*

        /// The modules that contain the names, each imported once.
        mod modules {
            use super::*;
            $(pub(crate) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
                static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
                MODULE.get_or_try_init(py, || ferrio_cpython::module(py, pyo3::intern!(py, $module)).map(Bound::unbind)).map(|module| module.bind(py))
            })*
        }

        /// Imports the modules while that is possible: some of the names are used at interpreter shutdown. The names
        /// themselves are not looked up, because `ThreadPoolExecutor` would import its module.
        pub(crate) fn import_modules(py: Python<'_>) -> PyResult<()> {
            $(modules::$name(py)?;)*
            Ok(())
        }
    };
}

looked_up! {
    base_events_logger = "asyncio.base_events" . "logger";
    base_subprocess_logger = "asyncio.base_subprocess" . "logger";
    selector_events_logger = "asyncio.selector_events" . "logger";
    unix_events_logger = "asyncio.unix_events" . "logger";
    sslproto_logger = "asyncio.sslproto" . "logger";
    streams_logger = "asyncio.streams" . "logger";
    is_debug_mode = "asyncio.coroutines" . "_is_debug_mode";
    isawaitable = "inspect" . "isawaitable";
    default_selector = "selectors" . "DefaultSelector";
    thread = "threading" . "Thread";
    main_thread = "threading" . "main_thread";
    get_ident = "threading" . "get_ident";
    get_asyncgen_hooks = "sys" . "get_asyncgen_hooks";
    set_asyncgen_hooks = "sys" . "set_asyncgen_hooks";
    get_origin_depth = "sys" . "get_coroutine_origin_tracking_depth";
    set_origin_depth = "sys" . "set_coroutine_origin_tracking_depth";
    thread_pool = "concurrent.futures" . "ThreadPoolExecutor";
    signal_module_signal = "signal" . "signal";
    signal_siginterrupt = "signal" . "siginterrupt";
    signal_set_wakeup_fd = "signal" . "set_wakeup_fd";
    signal_valid_signals = "signal" . "valid_signals";
    format_list = "traceback" . "format_list";
    weak_set = "weakref" . "WeakSet";
    weak_reference = "weakref" . "ref";
    warn_now = "warnings" . "warn";
}

/// The type of the functions above.
type Import = fn(Python<'_>) -> PyResult<&Bound<'_, PyAny>>;

/// Looks up the names that are used at interpreter shutdown, when imports fail: those for reports, warnings of
/// destructors, closing a loop and abandoned coroutines. All of them are in modules that asyncio imports, and neither
/// `install()` nor programs replace them.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let needed: [Import; 24] = [
        broken_barrier_error,
        barrier_state,
        queue_empty,
        queue_full,
        deque,
        heappush,
        heappop,
        base_exception_group,
        object_class,
        events_module,
        partial,
        futures_module,
        tasks_module,
        isnan,
        timeout_state,
        incomplete_read_error,
        limit_overrun_error,
        format_helpers,
        constants,
        extract_stack_depth,
        warn,
        resource_warning,
        is_finalizing,
        selector_event_loop,
    ];
    for take in needed {
        take(py)?;
    }
    cancelled_error(py)?;
    stock_module(py)?;
    python_version(py);
    Ok(())
}

/// The module `socket`, whose attributes programs replace.
pub(crate) fn socket_module(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module = CELL
        .get_or_try_init(py, || ferrio_cpython::module(py, name!("socket")).map(|module| module.into_any().unbind()))?;
    Ok(module.bind(py))
}

/// The package asyncio.
pub(crate) fn asyncio_module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static CELL: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(CELL.get_or_try_init(py, || Ok::<_, PyErr>(ferrio_cpython::module(py, name!("asyncio"))?.unbind()))?.bind(py))
}

/// asyncio's C module.
pub(crate) fn stock_module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static CELL: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(CELL.get_or_try_init(py, || Ok::<_, PyErr>(ferrio_cpython::module(py, name!("_asyncio"))?.unbind()))?.bind(py))
}

/// `asyncio.CancelledError`.
pub(crate) fn cancelled_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    interned::import(py, &CELL, name!("asyncio.exceptions"), name!("CancelledError"))
}

/// The version of the running Python as (major, minor).
pub(crate) fn python_version(py: Python<'_>) -> (u8, u8) {
    static CELL: PyOnceLock<(u8, u8)> = PyOnceLock::new();
    *CELL.get_or_init(py, || {
        let version = py.version_info();
        (version.major, version.minor)
    })
}
