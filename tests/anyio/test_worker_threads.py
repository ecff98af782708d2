"""to_thread.run_sync in native worker threads, and what runs in them."""

from tests.anyio.programs import assert_same, outcome


def test_results_arguments_and_exceptions_come_back():
    assert_same("""
    from anyio import to_thread, from_thread

    def fail(error):
        raise error

    async def main():
        await show_result(to_thread.run_sync(int, "11", 2))
        await show_result(to_thread.run_sync(dict))
        await show_result(to_thread.run_sync(fail, KeyError("k")))
        await show_result(to_thread.run_sync(fail, StopIteration(3)))
        await show_result(to_thread.run_sync(fail, asyncio.CancelledError("c")))
        await show_result(to_thread.run_sync(int, "x"))
        try:
            await to_thread.run_sync(fail, StopIteration(3))
        except RuntimeError as error:
            print(repr(error.__cause__))
    """)


def test_what_is_no_limiter_is_refused_as_by_anyio():
    assert_same("""
    from anyio import to_thread

    class OnInstance:
        def __init__(self):
            self.__aenter__ = self.__aexit__ = print

    class Own:
        async def __aenter__(self):
            print("enter")
        async def __aexit__(self, *raised):
            print("exit", *raised)

    async def main():
        for limiter in (3, "text", OnInstance(), CancelScope(), Own()):
            await show_result(to_thread.run_sync(int, limiter=limiter))
    """)


def test_workers_are_threads_of_anyios_class_and_name():
    assert_same("""
    import threading
    from anyio import to_thread
    from anyio._backends._asyncio import WorkerThread

    def tell():
        thread = threading.current_thread()
        return type(thread).__name__, isinstance(thread, WorkerThread), thread.name, thread.daemon

    async def main():
        print(await to_thread.run_sync(tell))
        threads = {await to_thread.run_sync(threading.current_thread) for _ in range(5)}
        print(len(threads))
        global kept
        kept = threads

    async def outer():
        pass

    import atexit
    def check():
        for thread in kept:
            thread.join(5)
            print(thread.is_alive())
    atexit.register(check)
    """)


def test_blocking_calls_have_a_thread_each_up_to_the_limiter():
    assert_same("""
    import threading
    from anyio import to_thread, CapacityLimiter

    async def main():
        barrier = threading.Barrier(40)
        async with create_task_group() as group:
            for _ in range(40):
                group.start_soon(to_thread.run_sync, barrier.wait, 30)
        print(to_thread.current_default_thread_limiter().statistics())
        limiter, busy, most = CapacityLimiter(3), [], []
        def work():
            busy.append(1)
            most.append(len(busy))
            threading.Event().wait(0.005)
            busy.pop()
        async with create_task_group() as group:
            for _ in range(12):
                group.start_soon(lambda: to_thread.run_sync(work, limiter=limiter))
        print(max(most), len(most), limiter.borrowed_tokens)
    """)


def test_cancellation_waits_for_the_thread_unless_it_may_be_abandoned():
    assert_same("""
    import threading
    from anyio import to_thread

    async def main():
        for abandon in (False, True):
            gate, began, ended = threading.Event(), threading.Event(), threading.Event()
            def work():
                began.set()
                gate.wait(0.1 if not abandon else 30)
                ended.set()
                return "done"
            async with create_task_group() as group:
                async def call():
                    try:
                        print(await to_thread.run_sync(work, abandon_on_cancel=abandon))
                    except BaseException as error:
                        print("ended with", type(error).__name__)
                        raise
                group.start_soon(call)
                while not began.is_set():
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
            print(abandon, ended.is_set())
            gate.set()
            ended.wait(30)
        with move_on_after(0) as scope:
            await to_thread.run_sync(print, "not called")
        print(scope.cancelled_caught)
    """)


def test_code_in_a_worker_calls_back_into_the_loop():
    assert_same("""
    import threading
    from anyio import to_thread, from_thread

    async def double(number):
        await anyio.sleep(0)
        return 2 * number

    def work():
        from_thread.check_cancelled()
        return from_thread.run(double, 4), from_thread.run_sync(lambda: threading.current_thread().name)

    async def main():
        print(await to_thread.run_sync(work))
        await show_result(to_thread.run_sync(lambda: from_thread.run(told)))
        began = threading.Event()
        def until_cancelled():
            began.set()
            while True:
                from_thread.check_cancelled()
        async with create_task_group() as group:
            group.start_soon(to_thread.run_sync, until_cancelled)
            while not began.is_set():
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        print("cancelled")
    """)


def test_the_context_is_copied_into_the_worker():
    assert_same("""
    import contextvars
    from anyio import to_thread
    variable = contextvars.ContextVar("variable", default="default")

    def change(value):
        before = variable.get()
        variable.set(value)
        return before

    async def main():
        variable.set("outside")
        print(await to_thread.run_sync(change, "inside"), variable.get())
        print(await to_thread.run_sync(change, "inside"), variable.get())
        try:
            import sniffio
        except ImportError:
            pass
        else:
            print(sniffio.current_async_library())
            await show_result(to_thread.run_sync(sniffio.current_async_library))
    """)


def test_workers_that_were_idle_for_long_end():
    assert_same("""
    import threading
    from anyio import to_thread
    from anyio._backends._asyncio import WorkerThread

    async def main():
        WorkerThread.MAX_IDLE_TIME = 0.02
        barrier = threading.Barrier(5)
        async with create_task_group() as group:
            for _ in range(5):
                group.start_soon(to_thread.run_sync, barrier.wait, 30)
        await anyio.sleep(0.05)
        workers = [thread for thread in threading.enumerate() if thread.name == "AnyIO worker thread"]
        last = await to_thread.run_sync(threading.current_thread)
        print(last in workers)
        for thread in workers:
            if thread is not last:
                thread.join(5)
        print(len(workers), sum(thread.is_alive() for thread in workers))
    """)


def test_a_second_run_on_the_same_loop_has_new_workers():
    program = """
    import threading
    import anyio._backends._asyncio
    from anyio import to_thread

    async def main():
        print("main")

    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(to_thread.run_sync(threading.current_thread))
    loop.run_until_complete(anyio.sleep(0))
    first.join(5)
    second = loop.run_until_complete(to_thread.run_sync(threading.current_thread))
    loop.run_until_complete(anyio.sleep(0))
    second.join(5)
    print(first is second, first.is_alive(), second.is_alive())
    loop.close()
    """
    assert "False False False" in assert_same(program)


def test_a_patched_worker_class_makes_the_workers():
    assert "mine" in outcome(
        """
    import threading
    from anyio import to_thread
    from anyio._backends import _asyncio

    class Mine(_asyncio.WorkerThread):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.name = "mine"

    async def main():
        _asyncio.WorkerThread = Mine
        print(await to_thread.run_sync(lambda: threading.current_thread().name))
    """,
        native=True,
    )


def test_workers_report_to_a_call_soon_threadsafe_that_a_program_has_replaced():
    assert_same("""
    import threading
    from anyio import to_thread

    async def main():
        loop = asyncio.get_running_loop()
        own = loop.call_soon_threadsafe

        def replaced(callback, *args, context=None):
            if threading.current_thread() is not threading.main_thread():
                print("a worker reports")
            return own(callback, *args, context=context)

        loop.call_soon_threadsafe = replaced
        print(await to_thread.run_sync(len, "abc"))
        del loop.call_soon_threadsafe
        print(await to_thread.run_sync(len, "abcd"))
    """)
