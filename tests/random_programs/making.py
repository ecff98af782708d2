"""Random asyncio programs: what they are made of, and how hypothesis makes them.

A program is plain data, so that it prints and shrinks well: a body is a list of instructions, an instruction a tuple of
its name and its arguments, some of which are bodies again. `instructions.py` says what each one does.

What makes a program's trace depend on nothing but the program: time is a count of turns of the loop, everything is
labelled in the order of its making, and sets are shown sorted.
"""

import sys
from dataclasses import dataclass

from hypothesis import strategies as st

Instruction = tuple
Body = list[Instruction]


@dataclass(frozen=True)
class Program:
    """A main body, and what holds for the whole program."""

    main: Body
    eager: bool = False

    def __repr__(self) -> str:
        return f"Program(eager={self.eager}, main={self.main!r})"


EXCEPTIONS = ("ValueError", "KeyError", "TimeoutError", "CancelledError", "OSError", "Fatal", "StopIteration")

which = st.integers(0, 3)
value = st.integers(0, 9)
delay = st.sampled_from([0, 0, 1, 2, 3, 5, 8])
limit = st.sampled_from([None, -1, 0, 1, 2, 4, 7])
guard = st.booleans()
message = st.sampled_from([None, None, "stop", 5])
exception = st.sampled_from(EXCEPTIONS)


def instruction(name: str, *arguments: st.SearchStrategy) -> st.SearchStrategy[Instruction]:
    return st.tuples(st.just(name), *arguments)


# Done at once, in a body and in callbacks as well.
at_once = st.one_of(
    instruction("cancel", which, message),
    instruction("cancel", which, message),
    instruction("cancel_future", which, message),
    instruction("set_result", which, value),
    instruction("set_result", which, value),
    instruction("set_exception", which, exception),
    instruction("uncancel", which),
    instruction("inspect", which),
    instruction("inspect_future", which),
    instruction("everybody"),
    instruction("watch", which),
    instruction("watch_future", which),
    instruction("unwatch_future", which),
    instruction("renew_future", which),
    instruction("set_variable", value),
    instruction("set_event", which),
    instruction("clear_event", which),
    instruction("release", which),
    instruction("release_semaphore", which),
    instruction("put_nowait", which, value),
    instruction("get_nowait", which),
    instruction("task_done", which),
    instruction("shut_down", which, st.booleans()),
    instruction("abort_barrier", which),
    instruction("primitives"),
)

scheduling = st.one_of(
    instruction("soon", at_once),
    instruction("later", delay, at_once),
    instruction("later_and_cancel", delay, at_once),
)

# Waits for something that needs no body of its own.
waits = st.one_of(
    instruction("sleep", delay),
    instruction("sleep", delay),
    instruction("await_future", which, guard),
    instruction("await_task", which, guard),
    instruction("shield_future", which, guard),
    instruction("shield_task", which, guard),
    instruction("wait_for_future", which, limit, guard),
    instruction("wait_for_task", which, limit, guard),
    instruction("gather_tasks", st.lists(which, max_size=3), st.booleans(), guard),
    instruction("gather_mixed", st.lists(which, max_size=3), which, st.booleans(), guard),
    instruction("wait_tasks", st.lists(which, min_size=1, max_size=3), limit, st.sampled_from("FEA"), guard),
    instruction("wait_event", which, guard),
    instruction("acquire", which, guard),
    instruction("acquire_semaphore", which, guard),
    instruction("put", which, value, guard),
    instruction("get", which, guard),
    instruction("get_in_time", which, limit, guard),
    instruction("join", which, guard),
    instruction("notify", which, st.integers(0, 2), guard),
    instruction("await_notice", which, guard),
    instruction("meet", which, guard),
)

ends = st.one_of(
    instruction("raise", exception),
    instruction("return", value),
    instruction("cancel_self", message),
)


def nesting(body: st.SearchStrategy[Body]) -> st.SearchStrategy[Instruction]:
    bodies = st.lists(body, min_size=1, max_size=3)
    return st.one_of(
        instruction("spawn_task", body, guard),
        instruction("spawn_task", body, guard),
        instruction("spawn_task", body, guard),
        instruction("group", bodies, body, guard),
        instruction("timeout", limit, body, limit, guard),
        instruction("wait_for", limit, body, guard),
        instruction("shield", body, guard),
        instruction("gather", bodies, st.booleans(), guard),
        instruction("as_completed", bodies, limit, st.booleans(), guard),
        instruction("catch", body, st.sampled_from(["Exception", "CancelledError", "BaseException"]), body, value),
        instruction("finally", body, body),
        instruction("locked", which, body),
        instruction("with_semaphore", which, body),
    )


def body_of(instructions: st.SearchStrategy[Instruction], most: int) -> st.SearchStrategy[Body]:
    return st.lists(instructions, min_size=1, max_size=most)


leaf = body_of(st.one_of(waits, waits, at_once, scheduling, ends), 4)
branch = body_of(st.one_of(nesting(leaf), waits, at_once, scheduling, ends), 4)
trunk = body_of(st.one_of(nesting(branch), nesting(leaf), waits, at_once, scheduling), 7)

programs = st.builds(Program, main=trunk, eager=st.booleans() if sys.version_info >= (3, 12) else st.just(False))
