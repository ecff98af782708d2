"""Children of a simulated program: fakes, each a coroutine function of the test in the place of a program.

A fake reads its standard input and writes its output as the program would, in simulated time. Its pipes are connections
of the simulated network, so that when their bytes land is explored, and so are its end and the signals to it. The
transport is asyncio's own, on a child that is none.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
from asyncio import base_subprocess
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.testing._errors import RealIOError
from ferrio.testing._net.network import Network

Text = str | bytes

# Beyond what the system gives to processes.
_FIRST_PID = 1 << 23

# How long, in seconds, an end or a signal takes at most.
_DELAY = 0.05

# What the system ignores unless a program asks for it.
IGNORED = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT})


class FakeProcess:
    """A child, as the function sees it that stands for its program."""

    def __init__(self, arguments: Sequence[Text], command: Text | None, keywords: dict[str, Any], pid: int) -> None:
        #: The program and its arguments; for a shell's command the words of it.
        self.args = list(arguments)
        #: The shell's command; None if there is no shell.
        self.command = command
        #: Its environment and working directory, if given.
        self.env: Any = keywords.get("env")
        self.cwd: Any = keywords.get("cwd")
        self.pid = pid
        #: Standard input; at its end at once unless it is a pipe or a file.
        self.stdin: asyncio.StreamReader = asyncio.StreamReader()
        self.stdout: Output
        self.stderr: Output
        self._handlers: dict[int, Callable[[], object]] = {}

    def __repr__(self) -> str:
        return f"<FakeProcess {self.name} {self.pid}>"

    @property
    def name(self) -> str:
        """The name of its program."""
        return os.path.basename(os.fsdecode(self.args[0])) if self.args else ""

    def on_signal(self, number: int, callback: Callable[[], object]) -> None:
        """Call `callback()` when this signal comes, instead of ending as by default."""
        if number in (signal.SIGKILL, signal.SIGSTOP):
            raise OSError(22, "Invalid argument")
        self._handlers[number] = callback


Fake = Callable[[FakeProcess], Awaitable[int | None]]


class Output:
    """An output of a child: a pipe, a file, another output, or nothing."""

    def __init__(self, writer: "asyncio.StreamWriter | int | None") -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Write; a pipe takes it as its reader reads."""
        if isinstance(self._writer, asyncio.StreamWriter):
            self._writer.write(data)
        elif self._writer is not None:
            os.write(self._writer, data)

    async def drain(self) -> None:
        """Wait until a pipe can take more."""
        if isinstance(self._writer, asyncio.StreamWriter):
            await self._writer.drain()

    def close(self) -> None:
        """Close it before the process ends."""
        if isinstance(self._writer, asyncio.StreamWriter):
            self._writer.close()


class Processes:
    """The fakes of one simulated program."""

    def __init__(self, simulation: Simulation, loop: Any, network: Network, note: Callable[[str], None]) -> None:
        self._simulation = simulation
        self._loop = loop
        self._network = network
        self.note = note
        self._fakes: list[tuple[Any, Fake]] = []
        self.running: dict[int, _Child] = {}
        self._started: list[_Child] = []
        self._next_pid = _FIRST_PID

    def end_run(self) -> None:
        """The run is over."""
        self._fakes.clear()
        self.running.clear()
        self._started.clear()
        self._next_pid = _FIRST_PID

    def close(self) -> bool:
        """Close what the program has left open of its children; whether there were any."""
        for child in self._started:
            # That the program has left it running is told otherwise.
            child.returncode = child.returncode or 0
            if child.transport is not None:
                child.transport.close()
        return bool(self._started)

    def declare(self, program: Any, fake: Fake) -> None:
        """Let `fake` stand for a program: its name, its path, a shell's command, or a predicate of the arguments."""
        self._fakes.append((program, fake))

    def in_loop(self) -> dict[str, Callable[..., Any]]:
        """The loop's methods that start children and connect their pipes."""

        async def subprocess_exec(protocol_factory: Any, program: Text, *arguments: Text, **keywords: Any) -> Any:
            keywords = _checked(keywords, shell=False)
            return await self._start("subprocess_exec", protocol_factory, (program, *arguments), None, keywords)

        async def subprocess_shell(protocol_factory: Any, cmd: Text, **keywords: Any) -> Any:
            if not isinstance(cmd, bytes | str):
                raise ValueError("cmd must be a string")
            keywords = _checked(keywords, shell=True)
            text = os.fsdecode(cmd)
            try:
                words = shlex.split(text)
            except ValueError:  # A quotation is not closed, or what looks like one is none.
                words = text.split()
            return await self._start("subprocess_shell", protocol_factory, words, cmd, keywords)

        return {"subprocess_exec": subprocess_exec, "subprocess_shell": subprocess_shell}

    def kill(self, pid: int, number: int) -> bool:
        """`os.kill` of a fake; False if there never was one with this number."""
        if not _FIRST_PID <= pid < self._next_pid:
            return False
        child = self.running.get(pid)
        if child is None:
            raise ProcessLookupError(3, "No such process")
        if number in (signal.SIGSTOP, signal.SIGTSTP):
            raise RealIOError(f"os.kill({pid}, {number!r}): stopping a process is not simulated")
        if number:
            self._send(_Signal(child, number), child.chain + 1)
        return True

    def ended(self, child: "_Child", code: int) -> None:
        """A fake has ended: its transport hears of it when the simulation chooses."""
        self._send(_Exit(self, child, code), child.chain)

    def _send(self, what: Any, chain: int) -> None:
        self._simulation.send(what, chain, self._simulation.now, _DELAY)

    async def _start(
        self, call: str, protocol_factory: Any, arguments: Sequence[Text], command: Text | None, keywords: Any
    ) -> Any:
        fake = self._fake_for(arguments, command)
        if fake is None:
            what = ", ".join(map(repr, arguments if command is None else [command]))
            raise RealIOError(
                f"loop.{call}({what}) would start a real child, and there is no fake of this program: "
                "sim.program() declares one"
            )
        protocol = protocol_factory()
        waiter = self._loop.create_future()
        pid, self._next_pid = self._next_pid, self._next_pid + 1
        process = FakeProcess(arguments, command, keywords, pid)
        streams = [keywords.pop(name) for name in ("stdin", "stdout", "stderr")]
        child = _Child(self, process, fake)
        make: Any = _Transport
        transport = make(
            self._loop, protocol, list(arguments), command is not None, *streams, 0, waiter=waiter, child=child
        )
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _fake_for(self, arguments: Sequence[Text], command: Text | None) -> Fake | None:
        texts = [os.fsdecode(argument) for argument in arguments]
        names = {os.path.basename(texts[0]), texts[0]} if texts else set()
        if command is not None:
            names.add(os.fsdecode(command))
        for program, fake in reversed(self._fakes):
            is_meant = bool(program(texts)) if callable(program) else os.fsdecode(program) in names
            if is_meant:
                found: Fake = fake
                return found
        return None


def scripted(stdout: bytes, stderr: bytes, status: int, after: float, error: Exception | None) -> Fake:
    """A fake that writes its output and ends."""

    async def fake(process: FakeProcess) -> int:
        if after:
            await asyncio.sleep(after)
        process.stdout.write(stdout)
        process.stderr.write(stderr)
        return status

    if error is not None:
        fake.error = error  # type: ignore[attr-defined]
    return fake


class _Child:
    """What asyncio's transport takes for a `Popen`, and the task that does its work."""

    def __init__(self, processes: Processes, process: FakeProcess, fake: Fake) -> None:
        self.processes = processes
        self.process = process
        self.pid = process.pid
        self.chain = processes._network.next_number() * 4
        self.returncode: int | None = None
        self.stdin: Any = None
        self.stdout: Any = None
        self.stderr: Any = None
        self.transport: _Transport | None = None
        self._fake = fake
        self._writers: list[asyncio.StreamWriter] = []
        self._is_over = False

    def start(self, transport: "_Transport", stdin: Any, stdout: Any, stderr: Any) -> None:
        error = getattr(self._fake, "error", None)
        if error is not None:
            raise error
        self.transport = transport
        self.processes.running[self.pid] = self
        self.processes._started.append(self)
        outputs: list[Any] = []
        self._input = self._pipe("stdin") if stdin == subprocess.PIPE else _content(stdin)
        for name, target in (("stdout", stdout), ("stderr", stderr)):
            if target == subprocess.PIPE:
                outputs.append(self._pipe(name))
            elif target == subprocess.STDOUT:
                outputs.append(outputs[0])
            else:
                outputs.append(None if target in (None, subprocess.DEVNULL) else _descriptor(target))
        self._outputs = outputs
        context = self.processes._network.context_of_others()
        self._task = context.run(asyncio.create_task, self._run(), name=f"process {self.process.name}")

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.processes.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        return self.returncode

    def receive(self, number: int) -> None:
        """A signal has landed."""
        handler = self.process._handlers.get(number)
        if self._is_over:
            return
        if handler is not None:
            handler()
        elif number not in IGNORED:
            self._end(-number)
            self._task.cancel()

    async def _run(self) -> None:
        await self._open_streams()
        status = 1
        try:
            status = int(await self._fake(self.process) or 0)
            for writer in self._writers:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
        except ConnectionError:
            status = -signal.SIGPIPE
        except Exception as error:
            context = {"message": f"the fake of {self.process.name} has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            self._end(status)

    async def _open_streams(self) -> None:
        process = self.process
        if isinstance(self._input, bytes):
            process.stdin.feed_data(self._input)
            process.stdin.feed_eof()
        else:
            process.stdin, writer = await asyncio.open_unix_connection(sock=self._input)
            self._writers.append(writer)
        opened: dict[int, Output] = {}
        for target in self._outputs:
            if id(target) in opened:
                continue
            if target is not None and not isinstance(target, int):
                _, writer = await asyncio.open_unix_connection(sock=target)
                self._writers.append(writer)
                opened[id(target)] = Output(writer)
            else:
                opened[id(target)] = Output(target)
        process.stdout, process.stderr = (opened[id(target)] for target in self._outputs)

    def _end(self, code: int) -> None:
        """The process is over; what it has written stays in its pipes."""
        if self._is_over:
            return
        self._is_over = True
        for writer in self._writers:
            writer.transport.abort()
        self.processes.ended(self, code)

    def _pipe(self, name: str) -> Any:
        ours, theirs = self.processes._network.pipe(f"process {self.process.name}")
        setattr(self, name, ours)
        return theirs


class _Transport(base_subprocess.BaseSubprocessTransport):
    """asyncio's transport of a child."""

    def _start(  # type: ignore[override]
        self, args: Any, shell: Any, stdin: Any, stdout: Any, stderr: Any, bufsize: Any, child: _Child
    ) -> None:
        child.start(self, stdin, stdout, stderr)
        self._proc: Any = child


class _Exit:
    """The end of a child, which its parent has yet to see."""

    def __init__(self, processes: Processes, child: _Child, code: int) -> None:
        self.processes = processes
        self.child = child
        self.code = code
        self.label = f"the end of process {child.process.name}"

    def land(self) -> None:
        if self.processes.running.pop(self.child.pid, None) is not None and self.child.transport is not None:
            self.child.transport._process_exited(self.code)


class _Signal:
    """A signal to a child."""

    def __init__(self, child: _Child, number: int) -> None:
        self.child = child
        self.number = number
        self.label = f"{signal.Signals(number).name} to process {child.process.name}"

    def land(self) -> None:
        self.child.receive(self.number)


def _checked(keywords: dict[str, Any], *, shell: bool) -> dict[str, Any]:
    """What asyncio checks, with its texts."""
    wanted: dict[str, tuple[Any, bool]] = {"universal_newlines": (False, False), "shell": (shell, shell)}
    for name, (default, truth) in wanted.items():
        if bool(keywords.pop(name, default)) is not truth:
            raise ValueError(f"{name} must be {truth}")
    if keywords.pop("bufsize", 0) != 0:
        raise ValueError("bufsize must be 0")
    if keywords.pop("text", None):
        raise ValueError("text must be False")
    for name in ("encoding", "errors"):
        if keywords.pop(name, None) is not None:
            raise ValueError(f"{name} must be None")
    return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | keywords


def _descriptor(target: Any) -> int:
    return target if isinstance(target, int) else int(target.fileno())


def _content(source: Any) -> bytes:
    """What a child reads that gets a file."""
    if source in (None, subprocess.DEVNULL):
        return b""
    content = bytearray()
    while chunk := os.read(_descriptor(source), 1 << 16):
        content += chunk
    return bytes(content)
