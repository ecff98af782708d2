"""Instructions that wait for something that exists already: a future, a task, a primitive."""

import asyncio

from tests.support.differential import masked

CONDITIONS = {"F": "FIRST_COMPLETED", "E": "FIRST_EXCEPTION", "A": "ALL_COMPLETED"}


class Waiting:
    """A part of `World`, which has the objects that they are about."""

    async def sleep(self, me, delay):
        return await asyncio.sleep(self.delay(delay), delay)

    async def await_future(self, me, which):
        return await self.future(which)

    async def await_task(self, me, which):
        return await self.younger(me, which)

    async def shield_future(self, me, which):
        return await asyncio.shield(self.future(which))

    async def shield_task(self, me, which):
        return await asyncio.shield(self.younger(me, which))

    async def wait_for_future(self, me, which, limit):
        return await asyncio.wait_for(self.future(which), self.delay(limit))

    async def wait_for_task(self, me, which, limit):
        return await asyncio.wait_for(self.younger(me, which), self.delay(limit))

    async def gather_tasks(self, me, whiches, return_exceptions):
        futures = [self.younger(me, which) for which in whiches]
        return masked(await asyncio.gather(*futures, return_exceptions=return_exceptions))

    async def gather_mixed(self, me, whiches, which, return_exceptions):
        futures = [self.future(each) for each in whiches]
        inner = asyncio.gather(*futures, return_exceptions=return_exceptions)
        outer = asyncio.gather(inner, asyncio.sleep(self.delay(which), which), self.younger(me, which), inner)
        return masked(await outer)

    async def wait_tasks(self, me, whiches, limit, condition):
        futures = {self.younger(me, which) for which in whiches}
        condition = getattr(asyncio, CONDITIONS[condition])
        try:
            done, pending = await asyncio.wait(futures, timeout=self.delay(limit), return_when=condition)
        finally:
            # Which exceptions wait() itself retrieves depends on the order of a set.
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()
        return [sorted(map(self.name_of, each)) for each in (done, pending)]

    async def wait_event(self, me, which):
        return await self.events[which % 2].wait()

    async def acquire(self, me, which):
        return await self.locks[which % 2].acquire()

    async def acquire_semaphore(self, me, which):
        return await self.semaphores[which % 2].acquire(), self.semaphores[which % 2].locked()

    async def put(self, me, which, value):
        return await self.queues[which].put(value)

    async def get(self, me, which):
        return await self.queues[which].get()

    async def get_in_time(self, me, which, limit):
        return await asyncio.wait_for(self.queues[which].get(), self.delay(limit))

    async def join(self, me, which):
        return await self.queues[which].join()

    async def notify(self, me, which, count):
        async with self.conditions[which % 2] as entered:
            if count:
                self.conditions[which % 2].notify(count)
            else:
                self.conditions[which % 2].notify_all()
            await asyncio.sleep(0)
            return entered

    async def await_notice(self, me, which):
        async with self.conditions[which % 2]:
            try:
                return await self.conditions[which % 2].wait()
            finally:
                self.note(me, "holds", self.conditions[which % 2].locked())

    async def meet(self, me, which):
        async with self.barriers[which % 2] as place:
            return place
