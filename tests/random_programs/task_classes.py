"""Instructions that create tasks and futures: factories, eager starts, and subclasses with overridden methods."""

import asyncio
import sys

from tests.support.differential import masked


class Makers:
    """A part of `World`: classes of the program's own, made of what asyncio has at the moment."""

    def make_classes(self) -> None:
        world = self

        class OwnTask(asyncio.Task):
            def cancel(self, msg=None):
                world.note(masked(self.get_name()), "own cancel", msg)
                return super().cancel(msg)

            def add_done_callback(self, callback, *, context=None):
                world.note(masked(self.get_name()), "own add_done_callback")
                super().add_done_callback(callback, context=context)

        class OwnFuture(asyncio.Future):
            def set_result(self, result):
                world.note("future", "own set_result", result)
                super().set_result(result)

            def cancel(self, msg=None):
                world.note("future", "own cancel", msg)
                return super().cancel(msg)

            def result(self):
                world.note("future", "own result")
                return super().result()

        self.OwnTask, self.OwnFuture = OwnTask, OwnFuture

    def do_set_factory(self, me, kind):
        if kind == "own":
            self.loop.set_task_factory(lambda loop, coro, **keywords: self.OwnTask(coro, loop=loop, **keywords))
        elif kind is None or sys.version_info < (3, 12):
            self.loop.set_task_factory(None)
        elif kind == "eager":
            self.loop.set_task_factory(asyncio.eager_task_factory)
        else:
            self.loop.set_task_factory(asyncio.create_eager_task_factory(self.OwnTask))

    def do_own_future(self, me, which):
        self.futures[which % len(self.futures)] = self.OwnFuture(loop=self.loop)

    async def spawn_of_own(self, me, body, eager):
        keywords = {"eager_start": True} if eager and sys.version_info >= (3, 12) else {}
        name = f"t{self.made + 1}"
        task = self.OwnTask(self.coroutine(body), loop=self.loop, name=name, **keywords)
        if task not in self.tasks:
            self.tasks.append(task)
        return self.name_of(task)

    async def nested_timeouts(self, me, limits, body):
        """One in another, the outermost first; each has its own say of what it makes of a cancel."""
        if not limits:
            return await self.perform(me, body)
        first, *rest = limits
        scope = asyncio.timeout(self.delay(first))
        try:
            async with scope:
                return await self.nested_timeouts(me, rest, body)
        finally:
            self.note(me, "nested timeout", scope.expired(), asyncio.current_task().cancelling())
