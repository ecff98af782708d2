"""Programs on anyio's memory object streams, for test_primitives. Each defines `main`."""

PROGRAMS = {
    "a stream hands items over": """
        async def main():
            for size in (0, 1, 3, math.inf):
                send, receive = anyio.create_memory_object_stream[int](size)
                async def produce():
                    async with send:
                        for number in range(5):
                            await send.send(number)
                            trace.append(("sent", number))
                async with create_task_group() as group:
                    group.start_soon(produce)
                    async with receive:
                        async for number in receive:
                            trace.append(("got", number))
                print(size, trace)
                trace.clear()
    """,
    "a stream's state shows who waits": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            tasks = [asyncio.create_task(traced(number, receive.receive), name=f"T{number}") for number in range(2)]
            await turns()
            print(receive.statistics(), send.statistics())
            waiting = list(receive._state.waiting_receivers.values())
            print([(entry.task_info.name, entry.task_info.has_pending_cancellation()) for entry in waiting])
            print([repr(entry).split("item=")[1] for entry in waiting])
            refused(lambda: waiting[0].item)
            send.send_nowait("a")
            await send.send("b")
            await turns()
            print(trace)
            trace.clear()
            tasks = [asyncio.create_task(traced(number, send.send, number)) for number in range(3)]
            await turns()
            print(receive.statistics(), list(send._state.waiting_senders.values()), len(send._waiters))
            print([receive.receive_nowait() for _ in range(3)])
            refused(receive.receive_nowait)
            await turns()
            print(trace, send._waiters, receive._waiters)
            send.close()
            receive.close()
    """,
    "what is handled when a wait begins is the context of its end": """
        async def handling(name, function, *arguments):
            try:
                raise LookupError(name)
            except LookupError:
                await traced(name, function, *arguments)
        async def main():
            send, receive = anyio.create_memory_object_stream()
            limiter = anyio.CapacityLimiter(1)
            limiter.acquire_on_behalf_of_nowait("somebody")
            waits = {
                "send": lambda: send.send(1), "receive": receive.receive, "next": receive.__anext__,
                "limit": limiter.acquire, "lock": anyio.Semaphore(0).acquire, "event": anyio.Event().wait,
            }
            for name, function in waits.items():
                task = asyncio.create_task(handling(name, function))
                await turns()
                task.cancel()
                await show_result(task)
            for end, function in ((send, receive.receive), (receive, lambda: send.clone().send(1))):
                task = asyncio.create_task(handling("closed", function))
                await turns()
                end.close()
                await show_result(task)
            print(trace)
            send.close()
    """,
    "a stream refuses": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            refused(receive.receive_nowait)
            send.send_nowait(1)
            refused(send.send_nowait, 2)
            clone = receive.clone()
            receive.close()
            refused(receive.receive_nowait)
            refused(receive.clone)
            await show_result(receive.receive())
            send.close()
            refused(send.send_nowait, 3)
            refused(send.clone)
            await show_result(send.send(3))
            print(clone.receive_nowait())
            refused(clone.receive_nowait)
            await show_result(clone.receive())
            clone.close()
            send, receive = anyio.create_memory_object_stream()
            receive.close()
            refused(send.send_nowait, 1)
            await show_result(send.send(1))
            send.close()
    """,
    "streams that are closed wake those who wait": """
        async def main():
            for closing in ("other", "own", "clone"):
                for sending in (True, False):
                    send, receive = anyio.create_memory_object_stream()
                    waiting, other = (send, receive) if sending else (receive, send)
                    clone = waiting.clone()
                    function = (lambda: send.send("item")) if sending else receive.receive
                    tasks = [asyncio.create_task(traced(number, function)) for number in range(2)]
                    await turns()
                    {"other": other, "own": waiting, "clone": clone}[closing].close()
                    await turns()
                    print(closing, sending, sorted(trace), [task.done() and kind(task.exception()) for task in tasks])
                    errors = [task.exception() for task in tasks if task.done()]
                    print([(error.__suppress_context__, error.__cause__) for error in errors])
                    trace.clear()
                    for stream in (send, receive, clone):
                        stream.close()
                    await turns()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    trace.clear()
    """,
    "an operation that is cancelled leaves no trace in the stream": """
        async def main():
            send, receive = anyio.create_memory_object_stream()
            for function in (receive.receive, lambda: send.send(1)):
                with move_on_after(0.01) as scope:
                    await traced("waits", function)
                print(scope.cancelled_caught, send.statistics())
                task = asyncio.create_task(traced("task", function))
                await turns()
                task.cancel("why")
                await show_result(task)
                with CancelScope() as scope:
                    scope.cancel()
                    await function()
            print([(entry[0], *entry[2:]) for entry in trace], send._waiters, receive._waiters)
            with send, receive:
                pass
    """,
    "a receiver about to be cancelled is passed over": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            with send, receive:
                with CancelScope() as scope:
                    async def cancelled():
                        with scope:
                            await traced("cancelled", receive.receive)
                    other = CancelScope()
                    tasks = [asyncio.create_task(traced("native", receive.receive))]
                async def in_scope():
                    with other:
                        await traced("scoped", receive.receive)
                tasks.append(asyncio.create_task(in_scope()))
                tasks.append(asyncio.create_task(traced("last", receive.receive)))
                await turns()
                tasks[0].cancel()
                other.cancel()
                send.send_nowait("item")
                await turns()
                print([entry[:1] for entry in trace], send.statistics())
                print([entry for entry in trace if entry[0] == "last"])
    """,
    "an item given to a receiver that is cancelled in that turn": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            with send, receive:
                task = asyncio.create_task(traced("receive", receive.receive))
                await turns()
                send.send_nowait("item")
                task.cancel()
                await show_result(task)
                print(send.statistics())
    """,
    "send and receive let others run first": """
        async def main():
            send, receive = anyio.create_memory_object_stream(5)
            with send, receive:
                loop = asyncio.get_running_loop()
                loop.call_soon(trace.append, "before send")
                await send.send(1)
                trace.append("sent")
                loop.call_soon(trace.append, "before receive")
                trace.append(await receive.receive())
            print(trace)
    """,
    "subclasses of the streams keep their own methods": """
        from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
        class Send(MemoryObjectSendStream):
            def send_nowait(self, item):
                trace.append(("send", item))
                super().send_nowait(item)
        class Receive(MemoryObjectReceiveStream):
            def receive_nowait(self):
                item = super().receive_nowait()
                trace.append(("receive", item))
                return item
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            own_send, own_receive = Send(send._state), Receive(receive._state)
            await own_send.send(1)
            print(await own_receive.receive(), trace)
            task = asyncio.create_task(traced("own", own_receive.receive))
            await turns()
            await send.send(2)
            task2 = asyncio.create_task(traced("theirs", receive.receive))
            await turns()
            await own_send.send(3)
            await turns()
            print(trace)
            for stream in (send, receive, own_send, own_receive):
                stream.close()
    """,
}
