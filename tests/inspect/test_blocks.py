"""The watchdog inside the process: reports, the log, the hook, and the edges."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.timeout(120)

# `until_reported` blocks until the block that it is itself has a report.
SETUP = """
import asyncio, logging, os, sys, threading, time
import ferrio, ferrio.inspect

def until_reported():
    known = len(ferrio.inspect.blocks())
    while len(ferrio.inspect.blocks()) == known:
        time.sleep(0.001)

records = []
class Handler(logging.Handler):
    def emit(self, record):
        records.append(record)
logging.getLogger("asyncio").addHandler(Handler())
logging.getLogger("asyncio").propagate = False
"""


def run(code: str, directory, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program with warnings as errors, with a directory for sockets."""
    directory.chmod(0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory)} | variables
    command = [sys.executable, "-W", "error", *options, "-c", SETUP + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


def prints(code: str, directory, *options: str, **variables: str) -> str:
    result = run(code, directory, *options, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("debug", [False, True])
def test_one_record_is_logged_in_the_loops_thread_as_if_by_the_line_that_blocks(debug, tmp_path):
    code = f"""
    ferrio.inspect.start(blocked=0.02)

    class InThread(logging.Handler):
        def emit(self, record):
            assert threading.current_thread() is threading.main_thread()
            assert asyncio.current_task() is None
    logging.getLogger("asyncio").addHandler(InThread())

    async def handle():
        until_reported()

    async def main():
        await asyncio.create_task(handle(), name="slow")

    ferrio.run(main(), debug={debug})
    (record,) = [each for each in records if hasattr(each, "ferrio_block")]
    print(record.levelname, record.funcName, record.filename, record.ferrio_block["ended"])
    print(record.getMessage().split(" by ")[1].split(" at ")[0])
    print([line.split(" (")[0] for line in record.stack_info.splitlines()])
    """
    lines = prints(code, tmp_path).splitlines()
    assert lines[0] == "WARNING until_reported <string> True"
    assert lines[1] == "task 'slow' (handle)"
    assert "'  handle', '  until_reported'" in lines[2]
    assert "Created at main" in lines[2]


def test_callbacks_are_reported_without_what_runs_the_loop(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.02)

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_soon(until_reported)
        loop.call_soon(done.set_result, None)
        await done

    ferrio.run(main())
    (block,) = ferrio.inspect.blocks()
    print(block["task"], [frame["function"] for frame in block["stack"]], block["ended"], block["partial"])
    """
    assert prints(code, tmp_path) == "None ['until_reported'] True False\n"


def test_asyncios_own_tasks_are_named(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.02)

    async def main():
        asyncio.current_task().set_name("stock")
        until_reported()

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
    (block,) = ferrio.inspect.blocks()
    print(block["task_name"], [frame["function"] for frame in block["stack"]])
    """
    assert prints(code, tmp_path) == "stock ['main', 'until_reported']\n"


def test_the_hook_is_called_during_the_block_and_after_it(tmp_path):
    code = """
    called = []
    during, after = threading.Event(), threading.Event()
    def hook(report):
        called.append(report["ended"])
        (after if report["ended"] else during).set()
        raise ValueError("in the hook")
    remove = ferrio.inspect.on_blocked(hook)
    ferrio.inspect.start(blocked=0.02)

    async def main():
        during.wait()
        await asyncio.sleep(0)
        await asyncio.to_thread(after.wait)
        remove()
        until_reported()

    ferrio.run(main())
    print(called, any("on_blocked" in each.getMessage() for each in records))
    """
    assert prints(code, tmp_path) == "[False, True] True\n"


def test_the_thread_of_the_hooks_ends_with_the_last_of_them(tmp_path):
    code = """
    def deliverers():
        return [thread for thread in threading.enumerate() if thread.name == "ferrio-on-blocked"]

    reported = threading.Event()
    first = ferrio.inspect.on_blocked(lambda report: None)
    second = ferrio.inspect.on_blocked(lambda report: None)
    (thread,) = deliverers()
    first()
    first()
    print(thread.is_alive())
    second()
    thread.join()

    third = ferrio.inspect.on_blocked(lambda report: (third(), reported.set()))
    (thread,) = deliverers()
    ferrio.inspect.start(blocked=0.02)
    async def main():
        reported.wait()
    ferrio.run(main())
    ferrio.inspect.stop()
    thread.join()
    print(deliverers())
    """
    assert prints(code, tmp_path) == "True\n[]\n"


def test_a_block_that_lasts_at_the_end_is_logged(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.02)

    async def main():
        until_reported()
        ferrio.inspect.stop()
        print([record.ferrio_block["ended"] for record in records])
        ferrio.inspect.start(blocked=0.02)
        until_reported()

    ferrio.run(main())
    print([record.ferrio_block["ended"] for record in records], threading.active_count())
    """
    assert prints(code, tmp_path) == "[False]\n[False, True] 1\n"


def test_a_prompt_of_a_debugger_is_not_a_block(tmp_path):
    code = """
    import pdb, io
    ferrio.inspect.start(blocked=0.02)

    class Input(io.StringIO):
        def readline(self, *arguments):
            time.sleep(0.2)
            return "continue\\n"

    async def main():
        pdb.Pdb(stdin=Input(), stdout=io.StringIO(), nosigint=True).set_trace()
        await asyncio.sleep(0)

    ferrio.run(main())
    print(ferrio.inspect.blocks(), records)
    """
    assert prints(code, tmp_path) == "[] []\n"


def test_a_loop_that_waits_is_not_blocked_and_each_of_several_loops_is_watched(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.02)

    async def idle(event):
        await asyncio.to_thread(event.wait)

    async def busy():
        until_reported()

    event = threading.Event()
    other = threading.Thread(target=lambda: ferrio.run(idle(event)), name="idle")
    other.start()
    thread = threading.Thread(target=lambda: ferrio.run(busy()), name="busy")
    thread.start()
    thread.join()
    print("busy" in [block["thread_name"] for block in ferrio.inspect.blocks()])
    # On a busy machine what it does before it waits may be reported, but that ends.
    while [block for block in ferrio.inspect.blocks() if not block["ended"]]:
        time.sleep(0.001)
    event.set()
    other.join()
    """
    assert prints(code, tmp_path) == "True\n"


def test_a_loop_that_ran_before_the_start_is_watched(tmp_path):
    code = """
    async def main():
        ferrio.inspect.start(blocked=0.02)
        await asyncio.sleep(0)
        until_reported()
        ferrio.inspect.stop()
        await asyncio.sleep(0)
        print(len(ferrio.inspect.blocks()))

    ferrio.run(main())
    """
    assert prints(code, tmp_path) == "1\n"


def test_a_nested_run_of_the_same_loop_is_no_block_but_what_blocks_in_it_is(tmp_path):
    code = """
    ferrio.allow_nested_runs()
    ferrio.inspect.start(blocked=0.02)

    async def inner():
        await asyncio.sleep(0.1)
        until_reported()

    async def main():
        asyncio.get_running_loop().run_until_complete(asyncio.create_task(inner(), name="inner"))

    ferrio.run(main())
    print([block["task_name"] for block in ferrio.inspect.blocks()])
    """
    assert prints(code, tmp_path) == "['inner']\n"


def test_a_forked_child_is_watched_anew_and_the_parent_further(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.02)

    async def main():
        until_reported()
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            assert ferrio.inspect.blocks() == []
            ferrio.run(block())
            os._exit(len(ferrio.inspect.blocks()) >= 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        await asyncio.sleep(0)
        until_reported()

    async def block():
        until_reported()

    ferrio.run(main())
    print(len(ferrio.inspect.blocks()) >= 2, all(block["ended"] for block in ferrio.inspect.blocks()))
    """
    assert prints(code, tmp_path) == "True True\n"


@pytest.mark.parametrize("end", ["sys.exit(3)", "os._exit(3)", "raise KeyboardInterrupt"])
def test_a_process_ends_while_a_daemon_thread_blocks(end, tmp_path):
    code = f"""
    ferrio.inspect.start(blocked=0.005)

    async def block():
        while True:
            until_reported()
            await asyncio.sleep(0)

    threading.Thread(target=lambda: ferrio.run(block()), daemon=True).start()
    while len(ferrio.inspect.blocks()) < 3:
        time.sleep(0.001)
    {end}
    """
    result = run(code, tmp_path)
    assert result.returncode in (3, -2)
    assert "Fatal" not in result.stderr


def test_what_is_reported_is_bounded(tmp_path):
    code = """
    ferrio.inspect.start(blocked=0.001)
    async def main():
        for number in range(130):
            seen = ferrio.inspect.blocks()[-1:]
            while ferrio.inspect.blocks()[-1:] == seen:
                time.sleep(0.001)
            await asyncio.sleep(0)
    ferrio.run(main())
    print(len(ferrio.inspect.blocks()), len(ferrio.inspect.snapshot()["blocks"]))
    """
    assert prints(code, tmp_path) == "100 100\n"


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit):
    import ferrio.inspect

    with pytest.raises(ValueError, match="limit"):
        ferrio.inspect.start(blocked=limit)
    ferrio.inspect.stop()


def test_stacks_of_threads_that_make_and_drop_frames_are_read_without_harm(tmp_path):
    code = """
    import re
    ferrio.inspect.start(blocked=0.002)
    stopping = False

    def deep(depth):
        return deep(depth - 1) if depth else [each for each in map(str, range(50))]

    def churn():
        while not stopping:
            deep(60)

    async def block():
        for _ in range(30):
            deep(40)
            re.match(r"(a+)+$", "a" * 19 + "b")
            deep(10)
            await asyncio.sleep(0)

    threads = [threading.Thread(target=churn) for _ in range(2)]
    threads += [threading.Thread(target=lambda: ferrio.run(block())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads[2:]:
        thread.join()
    stopping = True
    print(len(ferrio.inspect.blocks()) > 0)
    """
    assert prints(code, tmp_path, PYTHONDEVMODE="1") == "True\n"
