"""`python -m ferrio` with multiprocessing's children, and with loops that the program chooses itself."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

KINDS = """
import asyncio

async def kinds():
    parts = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock()
    return " ".join(type(part).__module__ for part in parts)
"""
STOCK = "asyncio.unix_events _asyncio asyncio.locks"
WHOLE = "ferrio ferrio ferrio"

# Asks a child, and a child of that child.
PROCESSES = f"""
import multiprocessing, sys
{KINDS}

def child(connection, method, depth):
    connection.send(asyncio.run(kinds()))
    if depth:
        begin(connection, method, depth - 1)

def begin(connection, method, depth):
    process = multiprocessing.get_context(method).Process(target=child, args=(connection, method, depth))
    process.start()
    process.join()

if __name__ == "__main__":
    method = sys.argv[1]
    here, there = multiprocessing.Pipe()
    begin(there, method, 1)
    print(asyncio.run(kinds()), here.recv(), here.recv(), sep="\\n")
"""

UVICORNS_CHOICE = """
def auto_NAME(use_subprocess=False):
    return "uvicorn's own"
"""


def python(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def printed(run: subprocess.CompletedProcess[str]) -> list[str]:
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("form", [["program.py"], ["-m", "program"]], ids=["file", "module"])
def test_children_run_on_ferrio_where_that_is_asked_for(tmp_path, form, method):
    (tmp_path / "program.py").write_text(PROCESSES)
    assert printed(python("-m", "ferrio", "--children", *form, method, cwd=tmp_path)) == [WHOLE] * 3


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_are_left_alone_otherwise(tmp_path, method):
    (tmp_path / "program.py").write_text(PROCESSES)
    assert printed(python("-m", "ferrio", "program.py", method, cwd=tmp_path)) == [WHOLE, STOCK, STOCK]


def test_debug_mode_reaches_the_children(tmp_path):
    debug = PROCESSES.replace("return ", "return f'{asyncio.get_running_loop().get_debug()} ' + ")
    (tmp_path / "program.py").write_text(debug)
    run = python("-m", "ferrio", "--children", "--debug", "program.py", "spawn", cwd=tmp_path)
    assert printed(run) == [f"True {WHOLE}"] * 3


def test_a_child_with_an_interpreter_of_its_own_is_left_alone(tmp_path):
    """The program says which: ferrio may not be installed for it."""
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    chosen = f"multiprocessing.set_executable({str(other)!r})"
    (tmp_path / "program.py").write_text(PROCESSES.replace("method = sys.argv[1]", f"method = sys.argv[1]; {chosen}"))
    run = python("-m", "ferrio", "--children", "program.py", "spawn", cwd=tmp_path)
    assert printed(run)[:2] == [WHOLE, STOCK]


def test_children_are_covered_by_their_command_line_alone(tmp_path):
    """No variable and no file leads another interpreter to ferrio."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
        import os, subprocess, sys
        code = "import sys; print('ferrio' in sys.modules, 'asyncio' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
        print(sorted(name for name in os.environ if "ferrio" in (name + os.environ[name]).lower() and name != "PWD"))
        """)
    )
    clean = {name: "" for name in os.environ if "ferrio" in (name + os.environ[name]).lower()}
    run = python("-m", "ferrio", "--children", "program.py", cwd=tmp_path, **clean)
    assert printed(run) == ["False False", "[]"]


@pytest.fixture
def uvicorn(tmp_path: Path) -> Path:
    """What of uvicorn matters here: the module that chooses for `--loop auto`."""
    (tmp_path / "uvicorn" / "loops").mkdir(parents=True)
    for name in ("uvicorn/__init__.py", "uvicorn/loops/__init__.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
        import importlib, pathlib, sys
        from uvicorn.loops import auto
        for _ in range(2):
            choice = getattr(auto, sys.argv[1])(use_subprocess=True)
            print(choice if isinstance(choice, str) or not choice else choice.__module__)
            print(type(auto.__loader__).__name__, auto.__spec__.loader is auto.__loader__)
            importlib.reload(auto)
        """)
    )
    return tmp_path


@pytest.mark.parametrize(("name", "chosen"), [("loop_factory", "ferrio"), ("loop_setup", "None")])
def test_uvicorns_automatic_choice_is_ferrio(uvicorn, name, chosen):
    """Since 0.36 it is a factory; before, it made the default what it chose."""
    (uvicorn / "uvicorn" / "loops" / "auto.py").write_text(UVICORNS_CHOICE.replace("NAME", name))
    lines = printed(python("-m", "ferrio", "program.py", f"auto_{name}", cwd=uvicorn))
    assert lines[0].partition(".")[0] == chosen
    assert lines == [lines[0], "SourceFileLoader True"] * 2


def test_install_leaves_uvicorns_choice_alone(uvicorn):
    (uvicorn / "uvicorn" / "loops" / "auto.py").write_text(UVICORNS_CHOICE.replace("NAME", "loop_factory"))
    code = "import sys, runpy, ferrio; ferrio.install(); runpy.run_path('program.py')"
    lines = printed(python("-c", code, "auto_loop_factory", cwd=uvicorn))
    assert lines[0] == "uvicorn's own"


def test_a_program_without_uvicorn_misses_it_as_ever(tmp_path):
    code = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import uvicorn.loops.auto"
    run = python("-m", "ferrio", "-c", code, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'uvicorn'"


# How a program names a loop itself, and the line of it that is named in turn.
CHOICES = {
    "a factory": "with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner: print(runner.run(kinds()))",
    "a loop": "loop = asyncio.SelectorEventLoop(); print(loop.run_until_complete(kinds())); loop.close()",
    "a policy": "class Policy(asyncio.DefaultEventLoopPolicy):\n    _loop_factory = asyncio.SelectorEventLoop\n"
    "asyncio.set_event_loop_policy(Policy()); print(asyncio.run(kinds()))",
    "a thread's": "import threading\n"
    "thread = threading.Thread(target=lambda: "
    "print(asyncio.Runner(loop_factory=asyncio.SelectorEventLoop).run(kinds())))\n"
    "thread.start(); thread.join()",
}
KEPT = "asyncio.unix_events ferrio ferrio"


@pytest.mark.parametrize("choice", CHOICES)
def test_a_loop_that_the_program_names_is_kept_and_spoken_of_once(tmp_path, choice):
    (tmp_path / "program.py").write_text(KINDS + CHOICES[choice] + "\n" + CHOICES["a loop"])
    run = python("-m", "ferrio", "program.py", cwd=tmp_path)
    assert (run.returncode, run.stdout.splitlines()) == (0, [KEPT, KEPT])
    lines = [line for line in run.stderr.splitlines() if line.startswith("ferrio")]
    assert len(lines) == 1
    assert re.match(
        r"ferrio: the program \(.*/program\.py:\d+\) runs on asyncio\.unix_events\._UnixSelectorEventLoop, .*"
        r"name ferrio\.new_event_loop \(python -m ferrio --quiet says nothing\)$",
        lines[0],
    )


def test_a_module_that_names_a_loop_is_named(tmp_path):
    (tmp_path / "chooser.py").write_text(KINDS + CHOICES["a loop"])
    run = python("-m", "ferrio", "-c", "import chooser", cwd=tmp_path)
    assert run.stderr.startswith(f"ferrio: chooser ({tmp_path}/chooser.py:7) runs on ")


def test_quiet_says_nothing_of_it_in_children_either(tmp_path):
    chosen = PROCESSES.replace("asyncio.run(kinds())", "asyncio.SelectorEventLoop().run_until_complete(kinds())")
    (tmp_path / "program.py").write_text(chosen)
    run = python("-m", "ferrio", "--quiet", "--children", "program.py", "spawn", cwd=tmp_path)
    assert printed(run) == [KEPT] * 3
    run = python("-m", "ferrio", "--children", "program.py", "spawn", cwd=tmp_path)
    assert run.stderr.count("ferrio: ") == 3


def test_ferrios_own_loops_are_not_spoken_of(tmp_path):
    code = """
    import ferrio
    class Mine(ferrio.EventLoop): pass
    for factory in (ferrio.new_event_loop, ferrio.EventLoop, asyncio.new_event_loop, Mine):
        print(asyncio.Runner(loop_factory=factory).run(kinds()).split()[1])
    """
    run = python("-m", "ferrio", "-c", KINDS + textwrap.dedent(code), cwd=tmp_path)
    assert printed(run) == ["ferrio"] * 4


def test_what_another_library_hooks_stays_hooked(tmp_path):
    """A library may wrap the same function after us: it stays, and the line comes all the same."""
    code = """
    seen = []
    before = asyncio.events._set_running_loop
    asyncio.events._set_running_loop = asyncio._set_running_loop = mine = lambda loop: (seen.append(loop), before(loop))
    asyncio.SelectorEventLoop().run_until_complete(asyncio.sleep(0))
    assert asyncio.events._set_running_loop is asyncio._set_running_loop is mine
    print(len(seen))
    """
    run = python("-m", "ferrio", "-c", "import asyncio" + textwrap.dedent(code), cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "2\n")
    assert run.stderr.count("ferrio: ") == 1
