"""Tools that lean on parts of asyncio, one by name: prints what it shows."""

import asyncio
import datetime
import sys
import time

from tests.interop import clean


def freezegun() -> None:
    from freezegun import freeze_time

    with freeze_time("2030-01-01") as frozen:

        async def main():
            loop = asyncio.get_running_loop()
            sleeper = asyncio.create_task(asyncio.sleep(3600, "woke"))
            await asyncio.sleep(0)
            before = loop.time()
            frozen.tick(3601)
            return await sleeper, loop.time() - before, datetime.datetime.now().isoformat()

        print(asyncio.run(main()))


def time_machine() -> None:
    import time_machine

    async def main():
        loop = asyncio.get_running_loop()
        with time_machine.travel(0, tick=False) as traveller:
            before = loop.time()
            traveller.shift(3600)
            return time.time(), loop.time() - before < 60, await asyncio.sleep(0.001, "slept")

    print(asyncio.run(main()))


def trio_asyncio() -> None:
    import trio
    import trio_asyncio

    async def of_asyncio():
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        queue = asyncio.Queue()
        getter = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait("item")
        return await asyncio.wait_for(getter, 5), await asyncio.gather(asyncio.sleep(0.001, 1), asyncio.sleep(0, 2))

    async def main():
        async with trio_asyncio.open_loop():
            print(await trio_asyncio.aio_as_trio(of_asyncio)())

    trio.run(main)


def nest(name: str) -> None:
    module = __import__(name)
    base = asyncio.BaseEventLoop.run_until_complete

    async def inner(value):
        await asyncio.sleep(0.001)
        return value, asyncio.current_task() is not None

    def run_in(loop):
        asyncio.set_event_loop(loop)
        module.apply(loop)

        async def main():
            beside = asyncio.ensure_future(inner("beside"))
            return loop.run_until_complete(inner("inner")), asyncio.run(inner("run")), await beside

        try:
            print(loop.run_until_complete(main()))
        finally:
            loop.close()

    run_in(asyncio.new_event_loop())
    print(asyncio.BaseEventLoop.run_until_complete is base)
    if asyncio.sleep.__module__ == "asyncio.tasks":  # where asyncio is ferrio's, another loop is pointed out
        run_in(asyncio.SelectorEventLoop())


def nest_asyncio() -> None:
    nest("nest_asyncio")


def nest_asyncio2() -> None:
    nest("nest_asyncio2")


def blockbuster() -> None:
    import tempfile

    from blockbuster import BlockingError, blockbuster_ctx

    async def main():
        options = {"cwd": "/", "umask": 0o22, "start_new_session": True, "stdout": asyncio.subprocess.PIPE}
        for start, command in (
            (asyncio.create_subprocess_exec, [sys.executable, "-c", "import os; print(os.getcwd())"]),
            (asyncio.create_subprocess_shell, ["pwd"]),
        ):
            process = await start(*command, **options)
            print((await process.communicate())[0])
        server = await asyncio.start_unix_server(lambda *_: None, path)
        server.close()
        await server.wait_closed()
        await asyncio.to_thread(int)
        try:
            time.sleep(0.001)
        except BlockingError:
            print("caught")

    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        with blockbuster_ctx():
            asyncio.run(main())


globals()[sys.argv[1]]()
clean.done()
