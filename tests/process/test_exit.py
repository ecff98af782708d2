"""Leaving a program: what is still at work when the interpreter goes away ends as under asyncio (issue 14).

Each program runs under asyncio and under ferrio in its modes; status, stdout and stderr are compared. Masked are
addresses, line numbers in asyncio's files, asyncio's frames in tracebacks (Rust has none) and the numbers of tasks and
descriptors.
"""

import concurrent.futures
import inspect
import re
import subprocess
import sys

import pytest

import ferrio
from tests.support import certificates, exit_programs
from tests.support.exit_programs import (
    AWAITS,
    DAEMON_END,
    DAEMONS,
    ENDS,
    GLOBAL,
    ONE_TURN,
    OTHERS,
    STRESS,
    UNCLOSED,
    program,
)

# How a program comes to run on ferrio: what its first line does and what stands before it in the command.
ALONE = "import asyncio, ferrio; asyncio.new_event_loop = asyncio.events.new_event_loop = ferrio.new_event_loop"
MODES = {
    "stock": ("pass", ()),
    "command": ("pass", ("-m", "ferrio")),
    "install": ("import ferrio; ferrio.install()", ()),
    "alone": (ALONE, ()),
}

# Whatever may differ from run to run, or names what Rust does not have.
MASKS = (
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    (re.compile(r'( *\|? *)File "[^"\n]*/(?:asyncio|ferrio)/\w+\.py", line \d+, in \w+\n(?:\1  .*\n)*'), ""),
    (re.compile(r"[^\s\"']*/(asyncio/\w+\.py):\d+"), r"\1"),
    # Some Pythons show the arguments of this callback of asyncio's, among them a handle that ferrio has no use for.
    (re.compile(r"(_sock_(?:read|write)_done)\(.*\)\(\)"), r"\1()()"),
    (re.compile(r"_release_waiter\(.*?\) at"), "_release_waiter() at"),
    (re.compile(r"Task-\d+"), "Task"),
    (re.compile(r"<_UnixSelectorEventLoop "), "<EventLoop "),
    (re.compile(r"\b(fd|pid)=\d+"), r"\1="),
)

# What a program leaves behind in two turns only: the third ends it.
BRIEF = {
    "start_unix_server",
    "EventLoop.connect_accepted_socket",
    "EventLoop.connect_read_pipe",
    "EventLoop.connect_write_pipe",
    "EventLoop.create_unix_connection",
    "EventLoop.create_unix_server",
    "Server.start_serving",
}

# Only the status and what the program itself prints are compared.
LOUD = "asyncio's transport closes itself when it is given up, which its closed loop refuses"
STATUS_ONLY = {
    "child_running": LOUD,
    "process_output": LOUD,
    "EventLoop.subprocess_exec": LOUD,
    "EventLoop.subprocess_shell": LOUD,
    "EventLoop.connect_accepted_socket": LOUD,
    "EventLoop.create_unix_connection": LOUD,
    "EventLoop.start_tls": LOUD,
    "StreamWriter.start_tls": LOUD,
    "EventLoop.sendfile": LOUD,
    "debug_of_child": "a child that is killed then is killed without a line in the log",
}
if sys.version_info < (3, 12):
    STATUS_ONLY["process"] = "a thread of asyncio's waits for the child, and keeps the loop and the task for ever"
    STATUS_ONLY["exit_in_a_group"] = "an exception's traceback ends where it was caught last, by the command line here"

# Programs that are run in each mode.
SOME = [
    "sleep",
    "executor",
    "closed_loop",
    "no_loop",
    "handler",
    "debug_in_task",
    "unawaited_of_the_loop",
    "exception_of_task",
    "exit_in_callback",
    "interrupt_in_callback",
    "atexit_runs",
    "generator_left",
    "server_open",
    "child_ended",
    "thread",
    "daemon_thread",
    "run_in_finalizer",
    "owner_with_finalizer",
]

ALL = {
    **{name: program(body, ONE_TURN if name in BRIEF else GLOBAL) for name, body in AWAITS.items()},
    **{name: program(body, GLOBAL) for name, body in OTHERS.items()},
    **{name: exit_programs.HEAD + end for name, end in ENDS.items()},
}


def outcome(mode, text, directory, *arguments, options=()):
    start, before = MODES[mode]
    place = directory / mode
    place.mkdir(parents=True)
    path = place / "program.py"
    path.write_text(text.replace("{start}", start, 1))
    ended = subprocess.run(
        [sys.executable, *options, *before, path, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    shown = []
    for output in (ended.stdout, ended.stderr):
        output = output.replace(str(place), "")
        for pattern, replacement in MASKS:
            output = pattern.sub(replacement, output)
        shown.append(output)
    return ended.returncode, *shown


# The loop alone runs what is the loop's; beyond that the modes differ in how a program begins, hardly in how it ends.
BY_MODE = {
    "command": list(ALL),
    "alone": [name for name in AWAITS if name.startswith("EventLoop.")] + SOME,
    "install": SOME,
}
CASES = [pytest.param(name, mode, id=f"{name}-{mode}") for mode, names in BY_MODE.items() for name in names]


# What asyncio showed, by program.
expected = {}


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_program_ends_as_under_asyncio(tmp_path, name, mode):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ours = pool.submit(outcome, mode, ALL[name], tmp_path)
        if name not in expected:
            expected[name] = outcome("stock", ALL[name], tmp_path)
    compared = 2 if name in STATUS_ONLY else 3
    assert ours.result()[:compared] == expected[name][:compared]


@pytest.mark.parametrize("name", UNCLOSED)
@pytest.mark.parametrize("mode", ["command", "alone"])
def test_an_unclosed_loop_is_warned_about_when_and_where_asyncios_is(tmp_path, name, mode):
    ours, stock = (
        outcome(each, exit_programs.HEAD + UNCLOSED[name], tmp_path, options=["-W", "always"])
        for each in (mode, "stock")
    )
    assert ours == stock


@pytest.mark.parametrize("options", [[], ["-X", "dev"], ["-X", "tracemalloc=1"], ["-W", "error"]])
def test_a_coroutine_that_nobody_awaits_is_warned_about_as_asyncios(tmp_path, options):
    text = exit_programs.HEAD + exit_programs.UNAWAITED
    assert outcome("command", text, tmp_path, options=options) == outcome("stock", text, tmp_path, options=options)


def awaitables():
    """The coroutine functions of ferrio's, by name: those of the module and those of its classes."""
    for name in ferrio.__all__:
        member = getattr(ferrio, name)
        if inspect.iscoroutinefunction(member) and member.__module__ == "ferrio":
            yield name
        elif name == "Server" or (isinstance(member, type) and member.__module__ == "ferrio"):
            for attribute in dir(member):
                if inspect.iscoroutinefunction(inspect.getattr_static(member, attribute)):
                    yield f"{name}.{attribute}"


def test_everything_that_can_be_awaited_is_among_the_programs():
    assert set(awaitables()) - set(AWAITS) == set()


@pytest.mark.parametrize("body", list(DAEMONS.values()), ids=list(DAEMONS))
def test_daemon_loops_at_work_do_not_disturb_the_end(tmp_path, body):
    assert outcome("command", program(body, DAEMON_END), tmp_path)[:2] == (0, "")


@pytest.mark.parametrize("mode", ["command", "alone"])
def test_loops_with_tls_executors_and_sockets_at_work_never_disturb_the_end(tmp_path, mode):
    directory = certificates.directory()
    for attempt in range(10):
        ended = outcome(mode, exit_programs.HEAD + STRESS, tmp_path / str(attempt), directory)
        assert (attempt, *ended[:2]) == (attempt, 0, "")
