"""`python -m ferrio PROGRAM` differs from `python PROGRAM` in nothing that a program or its user sees but the loop."""

import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import ferrio

SHOW_WORLD = """
import sys
for name, value in sorted(vars().items()):
    print(name, type(value) if name == "__loader__" else value)
print(sys.argv[0], sys.argv[1:], sys.path, sys.modules["__main__"].__dict__ is globals())
"""

SHOW_LOOP = """
import asyncio

async def main():
    loop = asyncio.get_running_loop()
    print(type(loop).__module__.partition(".")[0], loop.get_debug())

asyncio.run(main())
"""

FAILING = """
import sys

def inner():
    raise ValueError("no") from KeyError("why")

def outer():
    inner()

outer()
"""

# What a program does last, and how it ends then.
ENDINGS = {
    "returns": "",
    "raises": FAILING,
    "syntax error": "x = (\n",
    "exits": "raise SystemExit",
    "exits with status": "raise SystemExit(7)",
    "exits with text": "raise SystemExit('bye')",
    "asyncio.run raises": "import asyncio\nasync def main(): 1 / 0\nasyncio.run(main())\n",
    "interrupted": "raise KeyboardInterrupt",
    "killed by Ctrl-C": "import signal, asyncio\n"
    "async def main():\n"
    "    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)\n"
    "    await asyncio.sleep(30)\n"
    "asyncio.run(main())\n",
    "own excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno)\n1 / 0\n",
    "no excepthook": "import sys\ndel sys.excepthook\nraise SystemExit(3)\n",
    "atexit": "import atexit, sys\n"
    "atexit.register(lambda: print('end', sys.last_value, sys.last_traceback.tb_lineno))\n1 / 0\n",
    "thread outlives it": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\n1 / 0\n",
}


def python(*arguments: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def outcome(run: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """What must be the same; asyncio's own frames differ by the loop that runs in them."""
    errors = re.sub(r'  File "[^"]*asyncio[^"]*".*\n(    .*\n)*', "", run.stderr)
    return run.returncode, mask(run.stdout), mask(errors)


def mask(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def assert_same(*arguments: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    plain = python(*arguments, cwd=cwd, stdin=stdin)
    ours = python("-m", "ferrio", *arguments, cwd=cwd, stdin=stdin)
    assert outcome(ours) == outcome(plain)
    return ours


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a program in every form that python runs."""
    (tmp_path / "package").mkdir()
    for name in ("script.py", "package/__init__.py", "package/__main__.py", "package/module.py"):
        (tmp_path / name).write_text(SHOW_WORLD)
    (tmp_path / "link.py").symlink_to(tmp_path / "package" / "module.py")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW_WORLD)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [
        ["script.py"],
        ["./script.py"],
        ["package/../script.py"],
        ["link.py"],
        ["package"],
        ["package/"],
        ["archive.zip"],
        ["-m", "script"],
        ["-mscript"],
        ["-m", "package"],
        ["-m", "package.module"],
        ["-c", SHOW_WORLD],
        ["-c" + SHOW_WORLD],
        ["-"],
    ],
    ids=lambda program: program[0][:20] + " ".join(program[1:])[:20].strip(),
)
def test_program_sees_the_world_of_plain_python(place, program):
    run = assert_same(*program, "-x", "--version", "-m", cwd=place, stdin=SHOW_WORLD)
    assert (run.returncode, run.stderr) == (0, "")
    assert "['-x', '--version', '-m']" in run.stdout


def test_safe_path_stays_safe(place):
    for program in (["script.py"], ["package"], ["-c", SHOW_WORLD]):
        plain = python("-P", *program, cwd=place)
        ours = python("-P", "-m", "ferrio", *program, cwd=place)
        assert outcome(ours) == outcome(plain)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", ["file", "module", "code", "stdin"])
def test_program_ends_as_under_plain_python(tmp_path, form, ending):
    code = ENDINGS[ending]
    (tmp_path / "program.py").write_text(code)
    program = {"file": ["program.py"], "module": ["-m", "program"], "code": ["-c", code], "stdin": ["-"]}[form]
    run = assert_same(*program, cwd=tmp_path, stdin=code)
    # asyncio's own frames are left out: the interpreter may stand in a directory of that name.
    assert "ferrio" not in outcome(run)[2]


def test_interrupted_program_dies_by_the_signal(tmp_path):
    run = python("-m", "ferrio", "-c", ENDINGS["killed by Ctrl-C"], cwd=tmp_path)
    assert run.returncode == -signal.SIGINT


def test_code_is_dedented_where_python_does(tmp_path):
    assert_same("-c", "\n    print(1)\n", cwd=tmp_path)


def test_empty_code_runs(tmp_path):
    assert assert_same("-c", "", cwd=tmp_path).returncode == 0


def test_compiled_file_runs(tmp_path):
    (tmp_path / "program.py").write_text("print(__name__)")
    python("-c", "import py_compile; py_compile.compile('program.py', 'program.pyc')", cwd=tmp_path)
    assert assert_same("program.pyc", cwd=tmp_path).stdout == "__main__\n"


@pytest.mark.parametrize("program", [["-m", "nowhere"], ["-m", "package"], ["empty"], ["missing.py"]])
def test_what_cannot_be_run_is_said_as_python_says_it(place, program):
    (place / "package" / "__main__.py").unlink()
    assert_same(*program, cwd=place)


def test_missing_file_is_status_2(tmp_path):
    run = python("-m", "ferrio", "missing.py", cwd=tmp_path)
    assert run.returncode == 2
    assert "can't open file" in run.stderr
    assert "missing.py" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-x"], "unknown option -x"),
        (["--nothing", "script.py"], "unknown option --nothing"),
        (["-m"], "-m needs an argument"),
        (["-c"], "-c needs an argument"),
    ],
)
def test_wrong_option_is_status_2(tmp_path, arguments, message):
    run = python("-m", "ferrio", *arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith(f"ferrio: {message}\nusage: ")


def test_version(tmp_path):
    run = python("-m", "ferrio", "--version", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"ferrio {ferrio.__version__} ")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_option(tmp_path, option):
    run = python("-m", "ferrio", option, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert all(
        word in run.stdout
        for word in (
            "-m MODULE",
            "-c CODE",
            "FILE",
            "--debug",
            "--children",
            "--fail-on-block",
            "--quiet",
            "--version",
            "--help",
        )
    )


@pytest.mark.parametrize(("options", "debug"), [([], False), (["--debug"], True)])
def test_program_runs_on_our_loop(tmp_path, options, debug):
    run = python("-m", "ferrio", *options, "-c", SHOW_LOOP, cwd=tmp_path)
    assert (run.stdout, run.stderr) == (f"ferrio {debug}\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("form", [["program.py"], ["-m", "program"]], ids=["file", "module"])
def test_process_pool_finds_the_program_again(tmp_path, form, method):
    (tmp_path / "program.py").write_text(
        textwrap.dedent(f"""
        import asyncio, concurrent.futures, multiprocessing

        def square(number):
            return number * number

        async def main():
            context = multiprocessing.get_context({method!r})
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                print(await asyncio.get_running_loop().run_in_executor(pool, square, 12))

        if __name__ == "__main__":
            asyncio.run(main())
        """)
    )
    run = python("-W", "ignore", "-m", "ferrio", *form, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "144\n", "")
