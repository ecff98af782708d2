"""Every public operation that may run out of memory, by name: its preparation and the operation.

`test_no_memory.py` refuses the interpreter memory in each, and fails when an exported name is neither here nor among
the exemptions. A name is `Class.method`, `EventLoop.method` or `function`; one entry may stand for several names.
"""

# Names that the bodies below may use besides asyncio, loop and socket.
PRELUDE = """
import logging, os, signal, socket, tempfile
from concurrent.futures import Future as ThreadFuture, ThreadPoolExecutor

def nothing(*_):
    pass

async def job(*_):
    return 1

async def wait_a_turn():
    await asyncio.sleep(0)
    return 1

def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    kept.extend((left, right))
    return left, right

async def transport_of_a_pair(protocol=asyncio.Protocol):
    left, right = pair()
    transport, _ = await loop.create_connection(protocol, sock=left)
    transports.append(transport)
    return transport, right

async def streams_of_a_pair():
    left, right = pair()
    reader, writer = await asyncio.open_connection(sock=left)
    transports.append(writer.transport)
    return reader, writer, right
"""

OPERATIONS: dict[str, tuple[str, str]] = {
    # Scheduling.
    "EventLoop.call_soon": ("", "loop.call_soon(nothing, 1, 2)"),
    "EventLoop.call_soon_threadsafe": ("", "loop.call_soon_threadsafe(nothing, 1)"),
    "EventLoop.call_later": ("", "loop.call_later(1000, nothing, 1).cancel()"),
    "EventLoop.call_at": ("", "loop.call_at(loop.time() + 1000, nothing, 1).cancel()"),
    "EventLoop.time": ("", "loop.time()"),
    "EventLoop.create_future": ("", "loop.create_future()"),
    "EventLoop.create_task create_task": ("", "await loop.create_task(job())"),
    "EventLoop.is_running EventLoop.is_closed EventLoop.get_debug EventLoop.get_exception_handler "
    "EventLoop.get_task_factory": (
        "",
        "loop.is_running(), loop.is_closed(), loop.get_debug(), loop.get_exception_handler(), loop.get_task_factory()",
    ),
    "EventLoop.set_debug": ("", "loop.set_debug(False)"),
    "EventLoop.set_exception_handler": (
        "handler = loop.get_exception_handler()",
        "loop.set_exception_handler(handler)",
    ),
    "EventLoop.set_task_factory": ("", "loop.set_task_factory(None)"),
    "EventLoop.set_default_executor": ("", "loop.set_default_executor(executor)"),
    "EventLoop.call_exception_handler EventLoop.default_exception_handler": (
        "",
        "loop.call_exception_handler({'message': 'x'})",
    ),
    "Handle.cancel Handle.cancelled Handle.get_context": (
        "handle = loop.call_soon(nothing)",
        "repr(handle); handle.get_context(); handle.cancel(); handle.cancelled()",
    ),
    "TimerHandle.cancel TimerHandle.cancelled TimerHandle.get_context TimerHandle.when": (
        "handle = loop.call_later(1000, nothing)",
        "repr(handle); handle.get_context(); handle.when(); handle.cancel(); handle.cancelled()",
    ),
    "new_event_loop EventLoop.close": ("", "asyncio.new_event_loop().close()"),
    "EventLoop.shutdown_asyncgens": ("", "await loop.shutdown_asyncgens()"),
    # Futures and tasks.
    "Future Future.set_result Future.result Future.done Future.cancelled Future.get_loop": (
        "",
        "future = asyncio.Future(loop=loop); future.get_loop(); future.set_result(1); future.result(); future.done()",
    ),
    "Future.add_done_callback Future.remove_done_callback": (
        "future = loop.create_future()",
        "for index in range(4): future.add_done_callback(nothing)\nfuture.remove_done_callback(nothing)\nrepr(future)",
    ),
    "Future.set_exception Future.exception": (
        "future = loop.create_future(); error = ValueError(1)",
        "future.add_done_callback(nothing); future.set_exception(error); future.exception()",
    ),
    "Future.cancel": (
        "future = loop.create_future()",
        "future.add_done_callback(nothing); future.cancel('x')\ntry: await future\nexcept asyncio.CancelledError: pass",
    ),
    "Task": ("", "await asyncio.Task(wait_a_turn(), loop=loop, name='x')"),
    "Task.cancel Task.cancelling Task.uncancel Task.cancelled": (
        "task = loop.create_task(asyncio.sleep(1000)); await asyncio.sleep(0)",
        "task.cancel('x'); task.cancelling()\ntry: await task\nexcept asyncio.CancelledError: pass",
    ),
    # Not shown: the interpreter's own get_name of asyncio.coroutines crashes.
    "Task.get_name Task.set_name Task.get_coro Task.get_context Task.get_stack Task.print_stack": (
        "task = loop.create_task(asyncio.sleep(1000))",
        "try: task.get_name(); task.set_name(7); task.get_coro(); task.get_context(); task.get_stack()\n"
        "finally: task.cancel()",
    ),
    "Task.add_done_callback Task.remove_done_callback Task.done Task.get_loop": (
        "task = loop.create_task(wait_a_turn())",
        "task.add_done_callback(nothing); task.add_done_callback(nothing); task.remove_done_callback(nothing)\n"
        "task.done(); task.get_loop(); await task",
    ),
    "Task.result Task.exception": ("task = loop.create_task(job()); await task", "task.result(); task.exception()"),
    "Task.set_result Task.set_exception": (
        "task = loop.create_task(job())",
        "try: task.set_result(1)\nexcept RuntimeError: pass",
    ),
    # Functions.
    "sleep EventLoop.run_until_complete EventLoop.run_forever": (
        "",
        "await asyncio.sleep(0); await asyncio.sleep(0.0001, 1)",
    ),
    "gather": ("", "await asyncio.gather(job(), wait_a_turn(), loop.create_task(job()), return_exceptions=True)"),
    "wait": ("tasks = [loop.create_task(wait_a_turn()) for _ in range(3)]", "await asyncio.wait(tasks)"),
    "wait_for": ("", "await asyncio.wait_for(wait_a_turn(), 1000)"),
    "timeout Timeout Timeout.when Timeout.expired Timeout.reschedule": (
        "",
        "async with asyncio.timeout(1000) as limit: limit.when(); limit.reschedule(None); limit.expired(); repr(limit)",
    ),
    "timeout_at": ("", "async with asyncio.timeout_at(0): await asyncio.sleep(1)"),
    "shield": ("", "await asyncio.shield(wait_a_turn())"),
    "as_completed": (
        "tasks = [loop.create_task(wait_a_turn()) for _ in range(3)]",
        "for next_done in asyncio.as_completed(tasks): await next_done",
    ),
    "ensure_future": ("", "await asyncio.ensure_future(job())"),
    "wrap_future": ("future = ThreadFuture()", "asyncio.wrap_future(future); future.set_result(1)"),
    "run_coroutine_threadsafe": ("", "asyncio.run_coroutine_threadsafe(job(), loop)"),
    "all_tasks": ("tasks = [loop.create_task(wait_a_turn()) for _ in range(3)]", "asyncio.all_tasks()"),
    "current_task get_event_loop get_running_loop _get_running_loop": (
        "",
        "asyncio.current_task(); asyncio.get_event_loop(); asyncio.get_running_loop(); asyncio._get_running_loop()",
    ),
    "iscoroutine iscoroutinefunction isfuture": (
        "future = loop.create_future()",
        "asyncio.iscoroutine(future); asyncio.iscoroutinefunction(job); asyncio.isfuture(future)",
    ),
    "eager_task_factory create_eager_task_factory": (
        "factory = getattr(asyncio, 'eager_task_factory', None)",
        "if factory: await factory(loop, wait_a_turn())",
    ),
    "TaskGroup TaskGroup.create_task TaskGroup.cancel": (
        "",
        "async with asyncio.TaskGroup() as group:\n"
        "    for _ in range(3): group.create_task(wait_a_turn())\n    repr(group)",
    ),
    # Queues.
    **{
        f"{kind} {kind}.put_nowait {kind}.get_nowait {kind}.put {kind}.qsize {kind}.empty {kind}.full {kind}.maxsize": (
            "",
            f"queue = asyncio.{kind}(3); queue.put_nowait(1); await queue.put(2); repr(queue)\n"
            "queue.qsize(), queue.empty(), queue.full(), queue.maxsize; queue.get_nowait()",
        )
        for kind in ("Queue", "LifoQueue", "PriorityQueue")
    },
    **{
        f"{kind}.get {kind}.join {kind}.task_done {kind}.shutdown": (
            f"queue = asyncio.{kind}(1); getter = loop.create_task(queue.get()); await asyncio.sleep(0)\n"
            "joiner = loop.create_task(queue.join()); putter = loop.create_task(queue.put(2))",
            "queue.put_nowait(1); await getter; queue.task_done(); await putter; await queue.get()\n"
            "queue.task_done(); await joiner",
        )
        for kind in ("Queue", "LifoQueue", "PriorityQueue")
    },
    # Locks.
    "Lock Lock.acquire Lock.release Lock.locked": (
        "async def use(lock):\n    async with lock: await asyncio.sleep(0)",
        "lock = asyncio.Lock(); await asyncio.gather(use(lock), use(lock)); lock.locked(); repr(lock)",
    ),
    **{
        f"{kind} {kind}.acquire {kind}.release {kind}.locked": (
            "async def use(lock):\n    async with lock: await asyncio.sleep(0)",
            f"lock = asyncio.{kind}(1); await asyncio.gather(use(lock), use(lock)); lock.locked(); repr(lock)",
        )
        for kind in ("Semaphore", "BoundedSemaphore")
    },
    "Event Event.set Event.clear Event.wait Event.is_set": (
        "event = asyncio.Event(); waiter = loop.create_task(event.wait()); await asyncio.sleep(0)",
        "asyncio.Event(); event.set(); await waiter; event.is_set(); repr(event); event.clear()",
    ),
    "Condition Condition.acquire Condition.release Condition.locked Condition.wait Condition.notify "
    "Condition.notify_all Condition.wait_for": (
        "async def use(condition):\n    async with condition: await condition.wait_for(lambda: done)\n"
        "done, condition = [], asyncio.Condition(); waiter = loop.create_task(use(condition)); await asyncio.sleep(0)",
        "asyncio.Condition()\nasync with condition:\n    done.append(1); condition.notify(); condition.notify_all()\n"
        "await waiter; condition.locked(); repr(condition)",
    ),
    "Barrier Barrier.wait Barrier.abort Barrier.reset Barrier.broken Barrier.n_waiting Barrier.parties": (
        "",
        "barrier = asyncio.Barrier(2); await asyncio.gather(barrier.wait(), barrier.wait())\n"
        "barrier.n_waiting, barrier.parties, barrier.broken; repr(barrier)\n"
        "await barrier.reset(); await barrier.abort()",
    ),
    # Streams.
    "StreamReader StreamReader.feed_data StreamReader.feed_eof StreamReader.read StreamReader.at_eof": (
        "chunk = b'x' * 3000",
        "reader = asyncio.StreamReader(loop=loop); reader.feed_data(chunk); await reader.read(1000)\n"
        "repr(reader); reader.feed_eof(); await reader.read(); reader.at_eof()",
    ),
    "StreamReader.readline StreamReader.readuntil StreamReader.readexactly": (
        "reader = asyncio.StreamReader(loop=loop)\n"
        "reader.feed_data(b'a' * 500 + b'\\n' + b'b' * 500 + b'\\n' + b'c' * 500)",
        "await reader.readline(); await reader.readuntil(b'\\n'); await reader.readexactly(500)",
    ),
    "StreamReader.set_exception StreamReader.exception StreamReader.set_transport": (
        "reader, error = asyncio.StreamReader(loop=loop), ValueError(1)",
        "reader.set_exception(error); reader.exception()",
    ),
    "StreamReaderProtocol StreamReaderProtocol.data_received StreamReaderProtocol.connection_made "
    "StreamReaderProtocol.connection_lost StreamReaderProtocol.eof_received StreamReaderProtocol.pause_writing "
    "StreamReaderProtocol.resume_writing open_connection EventLoop.create_connection": (
        "left, right = pair(); right.send(b'x' * 2000)",
        "reader, writer = await asyncio.open_connection(sock=left); transports.append(writer.transport)\n"
        "await reader.read(1000); writer.close(); await writer.wait_closed()",
    ),
    "StreamWriter StreamWriter.write StreamWriter.writelines StreamWriter.drain StreamWriter.write_eof "
    "StreamWriter.can_write_eof StreamWriter.close StreamWriter.is_closing StreamWriter.wait_closed "
    "StreamWriter.get_extra_info StreamWriter.transport": (
        "reader, writer, right = await streams_of_a_pair(); much = bytearray(500_000)",
        "writer.write(b'x'); writer.write(much); writer.writelines([b'a', much, b'c'])\n"
        "writer.get_extra_info('socket')\n"
        "repr(writer); writer.can_write_eof(); writer.transport.abort(); await writer.drain()",
    ),
    # Connections and servers.
    "EventLoop.create_server EventLoop.connect_accepted_socket start_server": (
        "",
        "server = await asyncio.start_server(nothing, '127.0.0.1', 0); server.sockets; repr(server); server.close()",
    ),
    "EventLoop.create_unix_server start_unix_server": (
        "path = tempfile.mktemp()",
        "server = await asyncio.start_unix_server(nothing, path); server.close()",
    ),
    "EventLoop.create_unix_connection open_unix_connection": (
        "left, right = pair()",
        "reader, writer = await asyncio.open_unix_connection(sock=left); transports.append(writer.transport)",
    ),
    "EventLoop.create_datagram_endpoint": (
        "left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); kept.extend((left, right))\n"
        "left.setblocking(False); right.send(b'x' * 600)",
        "transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=left)\n"
        "transports.append(transport); transport.sendto(b'y' * 600); await asyncio.sleep(0); await asyncio.sleep(0)\n"
        "repr(transport); transport.close()",
    ),
    "EventLoop.connect_read_pipe": (
        "reading, writing = os.pipe(); os.write(writing, b'x' * 600); end = os.fdopen(reading, 'rb', 0)\n"
        "kept.extend((end, os.fdopen(writing, 'wb', 0)))",
        "transport, _ = await loop.connect_read_pipe(asyncio.Protocol, end); transports.append(transport)\n"
        "await asyncio.sleep(0); await asyncio.sleep(0); repr(transport); transport.close()",
    ),
    "EventLoop.connect_write_pipe": (
        "reading, writing = os.pipe(); end = os.fdopen(writing, 'wb', 0)\n"
        "kept.extend((end, os.fdopen(reading, 'rb', 0)))\n"
        "much = bytearray(100_000)",
        "transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, end); transports.append(transport)\n"
        "transport.write(b'x'); transport.write(much); transport.writelines([b'a', much]); repr(transport)\n"
        "transport.abort()",
    ),
    "EventLoop.add_reader EventLoop.remove_reader": (
        "left, right = pair()",
        "loop.add_reader(left, nothing, 1); loop.add_reader(left, nothing); loop.remove_reader(left)",
    ),
    "EventLoop.add_writer EventLoop.remove_writer": (
        "left, right = pair()",
        "loop.add_writer(left, nothing, 1); await asyncio.sleep(0); loop.remove_writer(left)",
    ),
    "EventLoop.sock_recv EventLoop.sock_recv_into EventLoop.sock_sendall": (
        "left, right = pair(); room = bytearray(10)",
        "await loop.sock_sendall(right, b'x' * 900); await loop.sock_recv(left, 600)\n"
        "await loop.sock_recv_into(left, room)",
    ),
    "EventLoop.sock_recvfrom EventLoop.sock_recvfrom_into EventLoop.sock_sendto": (
        "left, right = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)); room = bytearray(10)\n"
        "kept.extend((left, right)); left.setblocking(False); right.setblocking(False); left.bind(('127.0.0.1', 0))\n"
        "name = left.getsockname()",
        "await loop.sock_sendto(right, b'x' * 600, name); await loop.sock_recvfrom(left, 700)\n"
        "await loop.sock_sendto(right, b'x', name); await loop.sock_recvfrom_into(left, room)",
    ),
    "EventLoop.sock_accept EventLoop.sock_connect": (
        "listening = socket.create_server(('127.0.0.1', 0)); listening.setblocking(False); kept.append(listening)\n"
        "client = socket.socket(); client.setblocking(False); kept.append(client)",
        "await loop.sock_connect(client, listening.getsockname()); kept.append((await loop.sock_accept(listening))[0])",
    ),
    "EventLoop.sendfile EventLoop.sock_sendfile": (
        "transport, right = await transport_of_a_pair()\n"
        "file = tempfile.TemporaryFile(); file.write(b'x' * 900); file.seek(0)",
        "await loop.sendfile(transport, file)",
    ),
    "EventLoop.getaddrinfo": ("", "await loop.getaddrinfo('127.0.0.1', 80)"),
    "EventLoop.add_signal_handler EventLoop.remove_signal_handler": (
        "",
        "loop.add_signal_handler(signal.SIGUSR1, nothing, 1); loop.remove_signal_handler(signal.SIGUSR1)",
    ),
    # Inspection; test_no_memory_inspection.py goes further into these.
    "inspect.start inspect.stop": (
        "from ferrio import inspect; inspect.stop()",
        "inspect.start(recorder=64); inspect.stop()",
    ),
    "inspect.snapshot inspect.tasks inspect.why": (
        "from ferrio import inspect; waiting = loop.create_task(asyncio.Event().wait()); await asyncio.sleep(0)",
        "inspect.why(waiting)",
    ),
    "inspect.metrics inspect.prometheus": ("from ferrio import inspect", "inspect.prometheus()"),
    "inspect.trace inspect.blocks": (
        "from ferrio import inspect; inspect.start(recorder=64); await asyncio.sleep(0)",
        "inspect.trace(); inspect.blocks(); inspect.stop()",
    ),
    "inspect.on_blocked": ("from ferrio import inspect", "inspect.on_blocked(nothing)"),
}

# Swept with single refusals only: refused everything, `signal.valid_signals()` never ends, under asyncio neither.
REFUSED_ONCE = {
    "EventLoop.add_signal_handler",
}

# What is not swept, and why.
EXEMPT: dict[str, str] = {
    **dict.fromkeys(("EventLoop.slow_callback_duration",), "an attribute, which takes a float that exists"),
    **dict.fromkeys(
        (
            "EventLoop.start_tls",
            "StreamWriter.start_tls",
        ),
        "OpenSSL's own memory; a handshake takes seconds for a sweep",
    ),
    **dict.fromkeys(
        (
            "EventLoop.getnameinfo",
            "EventLoop.run_in_executor",
            "EventLoop.shutdown_default_executor",
            "EventLoop.subprocess_exec",
            "EventLoop.subprocess_shell",
            "create_subprocess_exec",
            "create_subprocess_shell",
            "to_thread",
        ),
        "a thread of an executor, or subprocess, that is refused memory itself never answers, under asyncio neither",
    ),
    "EventLoop.stop": "it sets a flag",
    **dict.fromkeys(
        ("run", "Runner", "Runner.run", "Runner.close", "Runner.get_loop"),
        "a run of its own, which cannot begin within the one that is swept; test_run_ends_... sweeps the end of a run",
    ),
    **dict.fromkeys(
        ("install", "uninstall", "allow_nested_runs", "anyio_status", "EventLoopPolicy"),
        "once in a program, as an import",
    ),
    **dict.fromkeys(("_enter_task", "_leave_task", "_swap_current_task", "_set_running_loop"), "for the loop's author"),
    **dict.fromkeys(
        ("future_add_to_awaited_by", "future_discard_from_awaited_by"), "for a future's author; since 3.14"
    ),
    **dict.fromkeys(
        ("_register_task", "_unregister_task", "_register_eager_task", "_unregister_eager_task"), "for a task's author"
    ),
}
