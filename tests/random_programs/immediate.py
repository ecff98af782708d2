"""Instructions that do not wait: what they do to tasks, futures and primitives, and what they show of them."""

import asyncio
import contextvars
import sys

from tests.support.differential import masked

VARIABLE: contextvars.ContextVar = contextvars.ContextVar("VARIABLE", default="unset")


class Immediate:
    """A part of `World`, which has the objects that they are about."""

    def do_cancel(self, me, which, message):
        task = self.task(which)
        return (self.name_of(task), task.cancel() if message is None else task.cancel(message), task.cancelling())

    def do_uncancel(self, me, which):
        return self.name_of(self.task(which)), self.task(which).uncancel()

    def do_cancel_future(self, me, which, message):
        return self.future(which).cancel(message)

    def do_set_result(self, me, which, value):
        self.future(which).set_result(value)

    def do_set_exception(self, me, which, kind):
        self.future(which).set_exception(self.make(kind))

    def do_break_off(self, me, kind):
        """Raises out of a callback, or out of a task like any other failure."""
        raise self.make(kind)

    def do_renew_future(self, me, which):
        if self.future(which).done():
            self.futures[which] = self.loop.create_future()

    def do_inspect(self, me, which):
        task = self.task(which)
        waits_for = getattr(task, "_fut_waiter", None)
        return self.name_of(task), self.state_of(task), task.cancelling(), waits_for is None, task._must_cancel

    def do_inspect_future(self, me, which):
        future = self.future(which)
        try:
            return future.result()
        except BaseException as error:
            return self.shown(error)

    def do_everybody(self, me):
        current = asyncio.current_task(self.loop)
        alive = sorted(masked(task.get_name()) for task in asyncio.all_tasks(self.loop))
        return (current and masked(current.get_name()), alive)

    def do_watch(self, me, which):
        task = self.task(which)
        label = f"watch{self.made}"
        task.add_done_callback(lambda task: self.note(label, task.get_name(), self.state_of(task), VARIABLE.get()))
        return self.name_of(task)

    def seen(self, future):
        self.note("seen", self.name_of(future), self.state_of(future))

    def do_watch_future(self, me, which):
        self.future(which).add_done_callback(self.seen)

    def do_unwatch_future(self, me, which):
        return self.future(which).remove_done_callback(self.seen)

    def do_set_variable(self, me, value):
        before = VARIABLE.get()
        VARIABLE.set(value)
        return before

    def do_soon(self, me, instruction):
        self.loop.call_soon(self.at_once, "soon of " + me, *instruction)

    def do_later(self, me, delay, instruction):
        self.loop.call_later(self.delay(delay), self.at_once, "later of " + me, *instruction)

    def do_later_and_cancel(self, me, delay, instruction):
        handle = self.loop.call_later(self.delay(delay), self.at_once, "never of " + me, *instruction)
        self.loop.call_soon(handle.cancel)

    def do_set_event(self, me, which):
        self.events[which % 2].set()

    def do_clear_event(self, me, which):
        self.events[which % 2].clear()

    def do_release(self, me, which):
        self.locks[which % 2].release()

    def do_release_semaphore(self, me, which):
        self.semaphores[which % 2].release()

    def do_put_nowait(self, me, which, value):
        self.queues[which].put_nowait(value)

    def do_get_nowait(self, me, which):
        return self.queues[which].get_nowait()

    def do_task_done(self, me, which):
        self.queues[which].task_done()

    def do_shut_down(self, me, which, immediate):
        if sys.version_info >= (3, 13):
            self.queues[which].shutdown(immediate)

    def do_abort_barrier(self, me, which):
        barrier = self.barriers[which % 2]
        return barrier.parties, barrier.n_waiting, barrier.broken

    def do_primitives(self, me):
        everything = [*self.locks, *self.semaphores, *self.events, *self.queues, *self.conditions, *self.barriers]
        return [masked(repr(each)).replace("asyncio.locks.", "").replace("ferrio.", "") for each in everything]
