"""Native tasks call the replacements of the loop's methods."""

import asyncio
import contextvars

import ferrio
from tests.support.coroutines import returning

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


class Watched(ferrio.EventLoop):
    """A loop that counts what is scheduled."""

    def __init__(self):
        super().__init__()
        self.contexts = []

    # typeshed's ties the arguments to the callback.
    def call_soon(self, callback, *args, context=None):  # type: ignore[override]
        self.contexts.append(context)
        return super().call_soon(callback, *args, context=context)


def test_an_overridden_call_soon_sees_steps_and_callbacks():
    async def main():
        loop = asyncio.get_running_loop()
        del loop.contexts[:]
        task = loop.create_task(returning(1, 2))
        assert await task == 1
        first = loop.contexts[0]
        assert first is not None
        assert [context is first for context in loop.contexts] == [True] * 3 + [False]
        future = loop.create_future()
        context = contextvars.copy_context()
        future.add_done_callback(lambda _: None, context=context)
        future.set_result(1)
        assert loop.contexts[-1] is context
        assert asyncio.current_task() is not None
        await asyncio.sleep(0)
        return asyncio.current_task() in asyncio.all_tasks()

    loop = Watched()
    assert loop.run_until_complete(main())
    assert asyncio.current_task(loop) is None
    loop.close()


def test_a_patched_call_soon_sees_steps_until_it_is_taken_back():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        ours = loop.call_soon
        loop.call_soon = lambda callback, *rest, context=None: (
            seen.append(callback) or ours(callback, *rest, context=context)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del loop.call_soon
        await asyncio.sleep(0)

    loop = ferrio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert len(seen) == 2


def test_create_task_asks_what_was_put_in_place_of_the_loops(monkeypatch):
    asked = []

    def watching(real):
        def create_task(*arguments, **keywords):
            asked.append(keywords)
            return real(*arguments, **keywords)

        return create_task

    async def main():
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patches:
            patches.setattr(loop, "create_task", watching(loop.create_task), raising=False)
            await ferrio.create_task(returning(1))
        with monkeypatch.context() as patches:
            patches.setattr(ferrio.EventLoop, "create_task", watching(ferrio.EventLoop.create_task))
            await ferrio.create_task(returning(2))
        await ferrio.create_task(returning(3))

    loop = ferrio.new_event_loop()
    task = loop.create_task(main())
    loop.run_until_complete(task)
    loop.close()
    assert len(asked) == 2
