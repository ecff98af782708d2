"""The state of anyio's memory object streams is ferrio's, and anyio's own code works on it."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio.programs import assert_same

PROGRAMS = {
    "what waits stays where it is when the state is looked at": """
        from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
        class Send(MemoryObjectSendStream):
            pass
        class Receive(MemoryObjectReceiveStream):
            pass
        trace = []
        async def traced(name, function, *arguments):
            try:
                trace.append((name, await function(*arguments)))
            except BaseException as error:
                trace.append((name, kind(error)))
        async def turns():
            for _ in range(5):
                await asyncio.sleep(0)
        async def main():
            for look in (lambda state: None, vars, repr, lambda state: (state.buffer, state.waiting_senders)):
                send, receive = anyio.create_memory_object_stream(1)
                tasks = [asyncio.ensure_future(traced(number, send.send, number)) for number in range(4)]
                await turns()
                look(send._state)
                own_send = Send(send._state)
                tasks.append(asyncio.ensure_future(traced(4, own_send.send, 4)))
                tasks.append(asyncio.ensure_future(traced(5, send.send, 5)))
                await turns()
                print(send.statistics(), len(send._waiters))
                tasks[2].cancel()
                await turns()
                print([await receive.receive() for _ in range(3)], receive.receive_nowait(), receive.statistics())
                own = Receive(receive._state)
                print(await own.receive(), own.statistics())
                tasks = [asyncio.ensure_future(traced(number, function)) for number, function in enumerate(
                    (receive.receive, own.receive, receive.__anext__, receive.receive))]
                await turns()
                look(send._state)
                print(receive.statistics(), len(receive._waiters))
                tasks[0].cancel()
                send.send_nowait("a")
                await turns()
                own.close()
                send.send_nowait("b")
                send.send_nowait("c")
                await turns()
                print(send.statistics(), receive._waiters, sorted(trace, key=repr))
                trace.clear()
                for stream in (send, receive, own_send):
                    stream.close()
    """,
    "counts and sizes can be set": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            state = send._state
            state.max_buffer_size = 2
            print([send.send_nowait(number) for number in range(2)], state.max_buffer_size)
            for size in (2.5, math.inf):
                state.max_buffer_size = size
                send.send_nowait(size)
                print(send.statistics())
            state.open_receive_channels += 1
            receive.close()
            send.send_nowait("clone is open")
            state.open_receive_channels -= 1
            try:
                send.send_nowait("closed")
            except anyio.BrokenResourceError as error:
                print(kind(error))
            state.buffer.clear()
            print(state.statistics(), isinstance(state, type(anyio.create_memory_object_stream)), state.__class__)
            send.close()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_state_is_as_anyios_whoever_works_on_it(name):
    printed = assert_same(PROGRAMS[name])
    assert printed.startswith("0\n"), printed


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_the_type_of_the_state_is_ferrios_and_the_class_anyios():
    printed = run(
        """
        import ferrio, anyio
        from anyio.streams import memory
        ferrio.install()
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            with send, receive:
                state = send._state
                theirs = memory._MemoryObjectStreamState
                print(type(state) is theirs, isinstance(state, theirs))
                print(type(send) is memory.MemoryObjectSendStream)
        anyio.run(main)
        """
    )
    assert printed == "False True\nTrue\n"


def test_waits_survive_uninstall_and_are_ended_by_closing():
    printed = run(
        """
        import asyncio, itertools, ferrio, anyio
        ferrio.install()
        async def ended(function, *arguments):
            try:
                return await function(*arguments)
            except Exception as error:
                return type(error).__name__
        async def main():
            for closing, waiting in itertools.product(("send", "receive"), repeat=2):
                ferrio.install()
                send, receive = anyio.create_memory_object_stream(0)
                wait = (send.send, 1) if waiting == "send" else (receive.receive,)
                task = asyncio.ensure_future(ended(*wait))
                for _ in range(3):
                    await asyncio.sleep(0)
                ferrio.uninstall()
                (send if closing == "send" else receive).close()
                print(closing, waiting, await task)
                send.close()
                receive.close()
        asyncio.run(main())
        """
    )
    assert printed.splitlines() == [
        "send send ClosedResourceError",
        "send receive EndOfStream",
        "receive send BrokenResourceError",
        "receive receive ClosedResourceError",
    ]


def test_a_stream_made_before_install_is_served_by_anyios_own():
    printed = run(
        """
        import asyncio, ferrio, anyio
        made_before = anyio.create_memory_object_stream(1)
        ferrio.install()
        async def main():
            send, receive = made_before
            print(type(send._state).__module__, type(send._state).__qualname__)
            task = asyncio.ensure_future(receive.receive())
            await asyncio.sleep(0)
            await send.send("item")
            print(await task)
            async with asyncio.TaskGroup() as group:
                group.create_task(send.send(1))
                group.create_task(send.send(2))
                print(await receive.receive(), await receive.receive())
            send.close()
            print([item async for item in receive])
            receive.close()
        asyncio.run(main())
        """
    )
    assert printed == "anyio.streams.memory _MemoryObjectStreamState\nitem\n1 2\n[]\n"
