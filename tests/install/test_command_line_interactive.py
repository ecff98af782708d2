"""`python -m ferrio` without a program is standard input or the REPL; the interpreter's options are sent elsewhere."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from ferrio._interpreter_options import command_with_options_in_front

LOOP = "print('L' + 'OOP', type(asyncio.get_running_loop()).__module__)"


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_a_program_in_standard_input_runs_as_python_runs_it(options):
    program = "import sys; print(sys.argv, sys.path[0], __name__, __file__)"
    outcomes = [
        subprocess.run([sys.executable, *how], input=program, capture_output=True, text=True, timeout=60, check=True)
        for how in ([], ["-m", "ferrio", *options])
    ]
    assert outcomes[0].stdout == outcomes[1].stdout
    assert (outcomes[0].stderr, outcomes[1].stderr) == ("", "")


def test_a_program_in_standard_input_runs_on_ferrio():
    program = f"import asyncio\nasync def main(): {LOOP}\nasyncio.run(main())"
    command = [sys.executable, "-m", "ferrio"]
    done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("LOOP ferrio\n", "")


def test_an_empty_standard_input_is_an_empty_program():
    done = subprocess.run([sys.executable, "-m", "ferrio"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class Terminal:
    """A program on a terminal of its own, without colours and without the editor that draws."""

    def __init__(self, *arguments):
        parent, child = pty.openpty()
        settings = {"PYTHON_BASIC_REPL": "1", "TERM": "dumb", "NO_COLOR": "1"}
        command = [sys.executable, *arguments]
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, env=os.environ | settings, start_new_session=True
        )
        os.close(child)
        self.terminal = parent
        self.unread = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def until(self, text):
        """Reads on, up to the text and past it."""
        deadline = time.monotonic() + 60
        while text not in self.unread:
            ready, _, _ = select.select([self.terminal], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {text!r} in {self.unread!r}"
            self.unread += os.read(self.terminal, 4096).decode()
        self.unread = self.unread.partition(text)[2]

    def type(self, line):
        os.write(self.terminal, f"{line}\n".encode())


def test_the_repl_of_asyncio_runs_on_ferrio_on_a_terminal():
    with Terminal("-m", "ferrio") as terminal:
        terminal.until(">>> import asyncio")
        terminal.until(">>> ")
        terminal.type(f"await asyncio.sleep(0); {LOOP}")
        terminal.until("LOOP ferrio")
        terminal.type("exit()")
        assert terminal.process.wait(60) == 0


def test_dash_i_inspects_the_namespace_of_the_program(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import asyncio\nleft = 6 * 7\nprint('ran')\n")
    with Terminal("-i", "-m", "ferrio", str(program)) as terminal:
        terminal.until("ran")
        terminal.until(">>> ")
        terminal.type("print('le' + 'ft', left, type(asyncio.new_event_loop()).__module__)")
        terminal.until("left 42 ferrio")


@pytest.mark.parametrize(
    ("own", "arguments", "command"),
    [
        ([], ["-X", "dev", "app.py"], "python -X dev -m ferrio app.py"),
        (["--debug"], ["-Xdev", "-m", "app"], "python -Xdev -m ferrio --debug -m app"),
        ([], ["-OO", "-W", "error", "-c", "print(1)"], "python -OO -W error -m ferrio -c 'print(1)'"),
        ([], ["-bW", "error", "app.py"], "python -bW error -m ferrio app.py"),
        ([], ["-W"], "python -W -m ferrio"),
        ([], ["-i"], "python -i -m ferrio"),
        ([], ["-x", "app.py"], None),
        ([], ["--nothing"], None),
        ([], ["app.py", "-X", "dev"], None),
        ([], ["-"], None),
    ],
)
def test_options_of_the_interpreter_belong_in_front(own, arguments, command):
    assert command_with_options_in_front(own, arguments) == command


def test_an_option_of_the_interpreter_is_answered_with_the_command_that_works():
    command = [sys.executable, "-m", "ferrio", "--debug", "-X", "utf8", "-c", "import sys; print(sys.flags.utf8_mode)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    first, told, *_ = done.stderr.splitlines()
    assert first == "ferrio: -X is an option of the interpreter, which reads it before -m ferrio:"
    assert told == "    python -X utf8 -m ferrio --debug -c 'import sys; print(sys.flags.utf8_mode)'"
