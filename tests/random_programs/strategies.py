"""Random asyncio programs, as hypothesis draws them.

A program is plain data, so that it prints and shrinks well: a body is a list of instructions, and an instruction is a
tuple of a name and arguments, some of which are bodies. `instructions.py` and the modules that it imports execute them.

A trace depends on the program alone: time is a count of the loop's turns, objects are numbered as they are created, and
sets are sorted.
"""

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

Instruction = tuple
Body = list[Instruction]


@dataclass(frozen=True)
class Program:
    """A main body, and the settings of the whole program."""

    main: Body
    eager: bool = False

    def __repr__(self) -> str:
        return f"Program(eager={self.eager}, main={self.main!r})"


EAGER = sys.version_info >= (3, 12)
USUAL = ("ValueError", "KeyError", "TimeoutError", "CancelledError", "OSError")
EXCEPTIONS = (*USUAL, "Fatal", "StopIteration", "GeneratorExit")

which = st.integers(0, 3)
value = st.integers(0, 9)
delay = st.sampled_from([0, 0, 1, 2, 3, 5, 8])
limit = st.sampled_from([None, -1, 0, 1, 2, 4, 7])
guard = st.booleans()
mostly = st.sampled_from([True, True, True, False])
message = st.sampled_from([None, None, "stop", 5])
exception = st.sampled_from(EXCEPTIONS)
data = st.sampled_from([b"", b"a", b"\n", b"abc\n", b"abcdefgh", b"ab\ncd\n"])
count = st.integers(-1, 5)


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
        instruction("nested_timeouts", st.lists(limit, min_size=2, max_size=4), body, guard),
        instruction("wait_for", limit, body, guard),
        instruction("shield", body, guard),
        instruction("gather", bodies, st.booleans(), guard),
        instruction("as_completed", bodies, limit, st.booleans(), guard),
        instruction("catch", body, st.sampled_from(["Exception", "CancelledError", "BaseException"]), body, value),
        instruction("finally", body, body),
        instruction("locked", which, body),
        instruction("with_semaphore", which, body),
    )


def body_of(instructions: st.SearchStrategy[Instruction], most: int, least: int = 1) -> st.SearchStrategy[Body]:
    return st.lists(instructions, min_size=least, max_size=most)


@dataclass(frozen=True)
class Theme:
    """What programs of one kind are about, besides what all are about."""

    at_once: st.SearchStrategy[Instruction] = at_once
    waits: st.SearchStrategy[Instruction] = waits
    nesting: Callable[[st.SearchStrategy[Body]], st.SearchStrategy[Instruction]] = nesting
    # How bodies end early.
    ends: st.SearchStrategy[Instruction] = ends
    # So many instructions does the main body have at least.
    least: int = 1

    def programs(self) -> st.SearchStrategy[Program]:
        now = st.one_of(at_once, self.at_once)
        scheduling = st.one_of(
            instruction("soon", now),
            instruction("later", delay, now),
            instruction("later", delay, self.at_once),
            instruction("later_and_cancel", delay, now),
        )
        simple = st.one_of(waits, self.waits, self.waits, now, scheduling)
        leaf = body_of(st.one_of(simple, self.ends), 4)
        branch = body_of(st.one_of(nesting(leaf), self.nesting(leaf), simple, self.ends), 4)
        spawning = instruction("spawn_task", leaf, guard)
        nested = st.one_of(nesting(branch), self.nesting(branch), nesting(leaf), spawning)
        trunk = body_of(st.one_of(nested, nested, simple), 7, self.least)
        main = st.builds(operator.add, self.beginning_of(leaf), trunk)
        return st.builds(Program, main=main, eager=st.booleans() if EAGER else st.just(False))

    def beginning_of(self, leaf: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
        """What each program begins with."""
        return st.just([])


@dataclass(frozen=True)
class Generators(Theme):
    """Two generators are there from the beginning."""

    def beginning_of(self, leaf: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
        generator = instruction("generate", which, st.lists(waits_in_generators, min_size=1, max_size=4), leaf)
        return st.lists(generator, min_size=2, max_size=2)


waits_in_generators = st.one_of(instruction("sleep", delay), instruction("sleep", st.just(0)), waits, at_once)

generators = Generators(
    least=5,
    at_once=st.one_of(instruction("drop", which), instruction("cancel", which, message)),
    waits=st.one_of(
        instruction("advance", which, mostly),
        instruction("advance", which, mostly),
        instruction("send", which, st.sampled_from([None, None, 5]), mostly),
        instruction("throw", which, exception, mostly),
        instruction("close", which, mostly),
        instruction("iterate", which, st.integers(1, 3), mostly),
    ),
    nesting=lambda body: st.one_of(
        instruction("generate", which, body, body),
        instruction("iterate_own", body, body, st.integers(0, 2), mostly),
        instruction("spawn_task", body, mostly),
    ),
)

streams = Theme(
    least=5,
    at_once=st.one_of(
        instruction("feed", which, data),
        instruction("feed", which, data),
        instruction("feed", which, data),
        instruction("feed_eof", which),
        instruction("lose", which, st.sampled_from([None, "OSError"])),
        instruction("hold", which),
        instruction("let_go", which),
        instruction("write", which, data),
        instruction("close_writer", which),
        instruction("stream", which),
        instruction("cancel", which, message),
    ),
    waits=st.one_of(
        instruction("read", which, count, mostly),
        instruction("readline", which, mostly),
        instruction("readexactly", which, count, mostly),
        instruction("readuntil", which, st.sampled_from([b"\n", b"bc"]), mostly),
        instruction("lines", which, mostly),
        instruction("drain", which, mostly),
        instruction("wait_closed", which, mostly),
    ),
    nesting=lambda body: st.one_of(
        instruction("spawn_task", body, mostly),
        instruction("timeout", limit, body, limit, mostly),
        instruction("wait_for", limit, body, mostly),
    ),
)

makers = Theme(
    least=5,
    at_once=st.one_of(
        instruction("set_factory", st.sampled_from([None, "own", "eager", "own eager"])),
        instruction("own_future", which),
        instruction("uncancel", which),
    ),
    nesting=lambda body: st.one_of(
        instruction("spawn_of_own", body, st.booleans(), mostly),
        instruction("nested_timeouts", st.lists(limit, min_size=2, max_size=4), body, mostly),
        instruction("group", st.lists(body, min_size=1, max_size=3), body, mostly),
    ),
)

leaving = st.sampled_from(["SystemExit", "KeyboardInterrupt", "Fatal", "GeneratorExit"])

# What leaves the loop, which is then run again.
exits = Theme(
    least=4,
    at_once=st.one_of(
        instruction("set_exception", which, leaving),
        instruction("break_off", leaving),
        instruction("uncancel", which),
    ),
    waits=instruction("await_future", which, guard),
    nesting=lambda body: st.one_of(
        instruction("spawn_task", body, mostly),
        instruction("group", st.lists(body, min_size=1, max_size=3), body, mostly),
        instruction("catch", body, st.just("BaseException"), body, value),
        instruction("finally", body, body),
        instruction("timeout", limit, body, limit, mostly),
        instruction("iterate_own", body, body, st.integers(0, 2), mostly),
    ),
    ends=st.one_of(instruction("raise", leaving), ends),
)

THEMES = {"tasks": Theme(), "generators": generators, "streams": streams, "makers": makers, "exits": exits}
