"""Blocking calls of asyncio itself have an asyncio frame above them, by which tools recognise and excuse them."""

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
import types

import pytest

import ferrio

HOME = f"{asyncio.__path__[0]}/"


def frames_above() -> set[tuple[str, str]]:
    frame: types.FrameType | None = sys._getframe(2)
    found = set()
    while frame is not None:
        if frame.f_code.co_filename.startswith(HOME):
            found.add((frame.f_code.co_filename.removeprefix(HOME), frame.f_code.co_name))
        frame = frame.f_back
    return found


@pytest.mark.parametrize(
    ("start", "command"),
    [("subprocess_exec", ["true"]), ("subprocess_shell", ["true"])],
)
def test_a_child_is_started_below_the_method(monkeypatch, start, command):
    seen = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **keywords):
            seen.append(frames_above())
            super().__init__(*arguments, **keywords)

    async def main():
        transport, _ = await getattr(asyncio.get_running_loop(), start)(asyncio.SubprocessProtocol, *command)
        await transport._wait()
        transport.close()

    monkeypatch.setattr(subprocess, "Popen", Popen)
    ferrio.run(main())
    assert [("base_events.py", start) in frames for frames in seen] == [True]


@pytest.mark.parametrize("timeout", [None, 0.001])
def test_the_executor_is_shut_down_below_the_method(monkeypatch, timeout):
    seen = {}
    release = threading.Event()

    class Thread(threading.Thread):
        def start(self):
            seen["start"] = frames_above()
            super().start()

        def join(self, timeout=None):
            seen["join"] = frames_above()
            super().join(timeout)

    class Executor(concurrent.futures.ThreadPoolExecutor):
        def shutdown(self, wait=True, **keywords):
            if not wait:
                seen.setdefault("shutdown", frames_above())
                release.set()
            super().shutdown(wait, **keywords)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Executor())
        work = loop.run_in_executor(None, int if timeout is None else release.wait)
        if timeout is None:
            await work
        monkeypatch.setattr(threading, "Thread", Thread)
        if timeout is None:
            await loop.shutdown_default_executor()
        else:
            with pytest.warns(RuntimeWarning, match="did not finish"):
                await loop.shutdown_default_executor(timeout)
        monkeypatch.undo()
        return dict(seen)

    # Closing the loop shuts an executor down as well.
    seen_by_then = ferrio.run(main())
    assert seen_by_then.keys() >= ({"start", "join"} if timeout is None else {"start", "shutdown"})
    expected = ("base_events.py", "shutdown_default_executor")
    assert [name for name, frames in seen_by_then.items() if expected not in frames] == []


def test_an_error_of_the_start_quotes_the_method():
    async def main():
        try:
            await asyncio.create_subprocess_exec("/nowhere")
        except FileNotFoundError as error:
            traceback, names = error.__traceback__, []
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            return names

    assert "subprocess_exec" in ferrio.run(main())
