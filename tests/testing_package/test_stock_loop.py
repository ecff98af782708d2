"""What an exploration does, asyncio's own `_run_once` does under the same tape: with stalls, arrivals and timers."""

import random

import pytest

from ferrio import testing
from tests.testing_package import stock_loop
from tests.testing_package.common_faults import COMMON
from tests.testing_package.correct_programs import CORRECT
from tests.testing_package.faulty_programs import FAULTY
from tests.testing_package.orderly_programs import ORDERLY
from tests.testing_package.test_interpreter_tests import MODULES, cases, run

# Sockets, signals, children and calls of threads are none of the stock loop's here.
WITH_MORE = {
    "signal_before_its_handler_is_ready",
    "end_of_child_before_its_output",
    "split_message",
    "one_thread_calls_in_order",
    "a_job_calls_back",
    "a_timer_s_callback_is_not_overtaken_by_bytes",
    "bytes_arrive_in_their_order",
    "answers_on_one_connection_keep_their_order",
    "one_thread_puts_in_order",
    "a_thread_that_waits_gets_its_answer",
    "a_signal_is_told_once",
    "a_child_s_output_is_whole",
}
FAULTS = [program for program, freedom, _ in (*FAULTY, *COMMON) if freedom in ("arrival", "stall")]
# Without the one for which it matters that virtual time shows one instant twice.
PROGRAMS = [program for program in (*FAULTS, *CORRECT, *ORDERLY) if program.__name__ != "heartbeat_beside_its_deadline"]


def without_more(programs):
    return [program for program in programs if program.__name__ not in WITH_MORE]


def name_of(program):
    return program.__name__


@pytest.mark.parametrize("program", without_more(FAULTS), ids=name_of)
def test_a_fault_shows_on_asyncios_loop_under_the_same_tape(program):
    failure = testing.explore(program, order="loop", progress=False).failure
    assert type(stock_loop.replay(program, failure.token)) is type(failure.exception)


@pytest.mark.parametrize("program", without_more(PROGRAMS), ids=name_of)
def test_any_schedule_goes_alike_on_asyncios_loop(program):
    generator = random.Random(program.__name__)
    for _ in range(30):
        plan = [generator.choice((0, 0, 1, 2, 3, 7)) if generator.random() < 0.4 else 0 for _ in range(40)]
        ending = None
        try:
            testing.Schedule(tuple(plan), order="loop", stall=0.005).run(program)
        except Exception as error:
            ending = error
        assert type(stock_loop.run(program, stock_loop.Tape(plan), 0.005)) is type(ending), plan


@pytest.mark.parametrize("module", MODULES)
def test_what_fails_of_the_interpreters_tests_is_a_stall_and_fails_on_asyncios_loop(module):
    """They measure times, so a stall of two seconds is too much for some."""
    for case, method in (parameters.values for parameters in cases()):
        if case.__module__.rpartition(".")[2] != module or "refcycles" in method:
            continue

        def main(case=case, method=method):
            return run(case, method)

        failure = testing.explore(main, order="loop", stall=2, schedules=20, progress=False).failure
        if failure is not None:
            assert failure.classification == "stall", method
            assert type(stock_loop.replay(main, failure.token)) is type(failure.exception), method
