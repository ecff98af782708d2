"""The interpreter's own tools that read a process from outside show ferrio's tasks, as they show asyncio's.

They came with 3.14, and need the permission to read another process's memory.
"""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.outside_readers import PROGRAM, read_tasks, running, unwinder

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.version_info < (3, 14), reason="the tools came with 3.14"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sections are read from ELF files"),
]

TASKS = """
    async def inner():
        await asyncio.Event().wait()

    async def outer():
        await inner()

    async def waits_for(task):
        await task

    async def main():
        shared = asyncio.create_task(outer(), name="shared")
        waiters = [asyncio.create_task(waits_for(shared), name=name) for name in ("one", "two")]
        for _ in range(300):
            # Small integers are objects of their own, larger ones are not.
            await asyncio.create_task(asyncio.sleep(0))
        unnamed = asyncio.create_task(inner())
        async with asyncio.TaskGroup() as group:
            group.create_task(inner(), name="child")
            await asyncio.sleep(0.01)
            print(unnamed.get_name(), flush=True)
            await asyncio.Event().wait()
"""


def test_tasks_have_their_names_frames_and_awaiters():
    with running(TASKS, "ferrio.install()") as (process, unnamed):
        tasks = {task.name: task for task in read_tasks(process.pid)}
    assert set(tasks) == {"Task-1", "shared", "one", "two", unnamed, "child"}
    assert unnamed == "Task-302"
    assert tasks["shared"].functions == ["inner", "outer"]
    assert tasks["shared"].awaiters == {"one", "two"}
    assert tasks["one"].functions == ["waits_for"]
    assert tasks["one"].awaiters == set()
    assert tasks["child"].awaiters == {"Task-1"}
    assert tasks["child"].functions == ["inner"]
    assert tasks[unnamed].functions == ["inner"]


@pytest.mark.parametrize("setup", ["", "ferrio.install()"])
def test_ferrio_shows_what_asyncio_shows(setup):
    """Apart from asyncio's own Python frames, which ferrio's functions do not have."""
    program = TASKS.replace("Event().wait()", "get_running_loop().create_future()")
    with running(program, setup) as (process, _):
        found = {task.name: (task.functions, task.awaiters) for task in read_tasks(process.pid)}
    assert found == {
        "Task-1": (["main"], set()),
        "shared": (["inner", "outer"], {"one", "two"}),
        "one": (["waits_for"], set()),
        "two": (["waits_for"], set()),
        "Task-302": (["inner"], set()),
        "child": (["inner"], {"Task-1"}),
    }


def test_commands_show_the_tasks():
    with running(TASKS, "ferrio.install()") as (process, unnamed):
        table, tree = (
            subprocess.run(
                [sys.executable, "-m", "asyncio", view, str(process.pid)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
            for view in ("ps", "pstree")
        )
    for name in ("Task-1", "shared", "one", "two", unnamed, "child"):
        assert f" {name} " in table
        assert f"(T) {name}\n" in tree


def test_foreign_coroutines_are_cut_off_and_do_no_harm():
    """The readers take each coroutine for one of the interpreter's own."""
    code = """
        class Foreign(collections.abc.Coroutine):
            def send(self, value):
                if not hasattr(self, "future"):
                    self.future = asyncio.get_running_loop().create_future()
                    self.future._asyncio_future_blocking = True
                return self.future
            def throw(self, *error):
                raise error[0]
            def close(self):
                pass
            def __await__(self):
                return (yield self.send(None))

        @types.coroutine
        def generator():
            yield from asyncio.get_running_loop().create_future()

        async def awaits(what):
            await what

        async def main():
            things = {
                "native": asyncio.sleep(1000),
                "foreign": Foreign(),
                "awaits native": awaits(asyncio.sleep(1000)),
                "awaits foreign": awaits(Foreign()),
                "awaits generator": awaits(generator()),
            }
            tasks = [asyncio.create_task(thing, name=name) for name, thing in things.items()]
            await asyncio.sleep(0.01)
            print("ready", flush=True)
            await asyncio.gather(*tasks)
    """
    with running(code, "import collections.abc, types; ferrio.install()") as (process, _):
        found = {task.name: task.functions for task in read_tasks(process.pid)}
    assert found == {
        "Task-1": ["main"],
        "native": [],
        "foreign": [],
        "awaits native": ["awaits"],
        "awaits foreign": ["awaits"],
        "awaits generator": ["awaits"],
    }


@pytest.mark.parametrize("thing", ["spins()", "native()"])
def test_the_running_task_is_the_one_that_is_read_as_running(thing):
    if thing == "native()" and sys.version_info < (3, 15):
        pytest.skip(
            "the reader of 3.14 looks for the frame of the running task's coroutine, which a native one has not"
        )
    code = """
        def spin():
            print("ready", flush=True)
            while True:
                pass

        async def spins():
            spin()

        def native():
            return asyncio.wait_for(spins_when_awaited(), None)

        async def spins_when_awaited():
            spin()

        async def main():
            waiting = asyncio.create_task(asyncio.Event().wait(), name="waiting")
            spinning = asyncio.create_task(THING, name="spinning")
            await asyncio.gather(waiting, spinning)
    """.replace("THING", thing)
    with running(code, "ferrio.install()") as (process, _):
        (found,) = unwinder(process.pid).get_async_stack_trace()
    first = found.awaited_by[0]
    assert first.task_name == "spinning"
    assert first.coroutine_stack[0].call_stack[0].funcname == "spin"


def test_tasks_of_all_kinds_are_listed_once():
    code = """
        async def main():
            loop = asyncio.get_running_loop()
            async def waits():
                await loop.create_future()
            kinds = {
                "ferrio": ferrio.Task(waits(), name="ferrio"),
                "C": _asyncio.Task(waits(), name="C"),
                "registered": asyncio.tasks._PyTask(waits(), name="registered"),
                "eager": ferrio.Task(waits(), name="eager", loop=loop, eager_start=True),
                "eager C": _asyncio.Task(waits(), name="eager C", loop=loop, eager_start=True),
                "subclass": type("Own", (ferrio.Task,), {})(waits(), name="subclass"),
            }
            asyncio._register_task(kinds["registered"])
            await asyncio.sleep(0.01)
            assert {task.get_name() for task in asyncio.all_tasks()} == {*kinds, "Task-1"}, asyncio.all_tasks()
            print("ready", flush=True)
            await asyncio.wait(kinds.values())
    """
    with running(code, "import _asyncio; ferrio.install()") as (process, _):
        names = [task.name for task in read_tasks(process.pid)]
    # Those in Python have no place in the lists, only in the set of what was registered.
    assert sorted(names) == ["C", "Task-1", "eager", "eager C", "ferrio", "subclass"]


def test_tasks_outlive_the_thread_that_made_them():
    """The interpreter then keeps them in a list of its own."""
    code = """
        async def waits():
            await asyncio.get_running_loop().create_future()

        def work(found):
            loop = ferrio.new_event_loop()
            async def begin():
                found.extend(asyncio.create_task(waits(), name=f"left {place}") for place in range(3))
                await asyncio.sleep(0)
            loop.run_until_complete(begin())
            found.append(loop)

        async def main():
            found = []
            thread = threading.Thread(target=work, args=(found,))
            thread.start()
            await asyncio.to_thread(thread.join)
            *tasks, loop = found
            assert asyncio.all_tasks(loop) == set(tasks)
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.to_thread(finish, loop, tasks)
            assert asyncio.all_tasks(loop) == set()
            del tasks, found
            gc.collect()
            print([task.get_name() for task in asyncio.all_tasks()], flush=True)

        def finish(loop, tasks):
            for task in tasks:
                task.cancel()
            async def end():
                await asyncio.wait(tasks)
            loop.run_until_complete(end())
            loop.close()
    """
    with running(code, "import gc, sys, threading; ferrio.install()") as (process, _):
        names = {task.name for task in read_tasks(process.pid)}
        assert names == {"Task-1", "left 0", "left 1", "left 2"}
        output, errors = process.communicate("go\n", timeout=60)
    assert (output, errors) == ("['Task-1']\n", "")


def test_tasks_of_the_parent_are_no_longer_listed_in_a_forked_child():
    """As in asyncio: the child begins its lists anew. The parent's tasks can be freed there all the same."""
    code = """
        async def waits():
            await asyncio.get_running_loop().create_future()

        async def child():
            tasks = [asyncio.create_task(waits(), name=f"child {place}") for place in range(3)]
            await asyncio.sleep(0)
            return sorted(task.get_name() for task in asyncio.all_tasks())

        async def main():
            loop = asyncio.get_running_loop()
            tasks = [asyncio.create_task(waits(), name=f"parent {place}") for place in range(3)]
            await asyncio.sleep(0)
            process = os.fork()
            if process == 0:
                asyncio._set_running_loop(None)
                print(asyncio.all_tasks(loop), asyncio.Runner().run(child()), flush=True)
                while tasks:
                    tasks.pop()._log_destroy_pending = False
                    gc.collect()
                os._exit(0)
            assert os.waitpid(process, 0)[1] == 0
            print(len(asyncio.all_tasks()), flush=True)

        ready = None
    """
    outputs = []
    for setup in ("", "ferrio.install()"):
        program = PROGRAM.format(setup=f"import gc, os; {setup}", code=textwrap.dedent(code))
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"},
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("set() [")


def test_tasks_that_come_and_go_while_they_are_read_harm_nobody():
    code = """
        async def short(n):
            await asyncio.sleep(0)
            if n:
                await asyncio.create_task(short(n - 1))

        async def main():
            print("ready", flush=True)
            while True:
                await asyncio.gather(*(short(5) for _ in range(20)))
    """
    with running(code, "ferrio.install()") as (process, _):
        reads = 0
        for _ in range(300):
            try:
                reads += len(read_tasks(process.pid)) > 0
            except (RuntimeError, OSError, UnicodeDecodeError, MemoryError):
                # What is read may be gone already: the tools try again.
                continue
        assert process.poll() is None
    assert reads > 0


@pytest.mark.skipif(sys.version_info < (3, 15), reason="the profiler came with 3.15")
@pytest.mark.parametrize("mode", ["running", "all"])
def test_profiler_that_is_aware_of_tasks_names_them(tmp_path, mode):
    code = """
        def spin():
            while True:
                sum(range(1000))

        async def spins():
            spin()

        async def main():
            waiting = asyncio.create_task(asyncio.Event().wait(), name="waiting")
            spinning = asyncio.create_task(spins(), name="spinning")
            print("ready", flush=True)
            await asyncio.gather(waiting, spinning)
    """
    out = tmp_path / "collapsed.txt"
    with running(code, "ferrio.install()") as (process, _):
        command = [sys.executable, "-m", "profiling.sampling", "attach", "--async-aware", "--async-mode", mode]
        command += ["-d", "1", "--collapsed", "-o", str(out), str(process.pid)]
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    profile = out.read_text()
    assert "spinning" in profile
    assert (":spin:" in profile) is (mode == "running")
    assert ("waiting" in profile) is (mode == "all")
