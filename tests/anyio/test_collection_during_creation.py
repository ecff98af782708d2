"""The garbage collector may run while an object of anyio's is being created: it meets no field that is not set yet."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("anyio")

from tests.anyio.programs import ROOT

MAKERS = {
    "CancelScope": "anyio.CancelScope()",
    "CapacityLimiter": "anyio.CapacityLimiter(1)",
    "Condition": "anyio.Condition()",
    "Event": "anyio.Event()",
    "Lock": "anyio.Lock()",
    "Semaphore": "anyio.Semaphore(1)",
    "fail_after": "anyio.fail_after(1)",
    "memory streams": "[stream.close() for stream in anyio.create_memory_object_stream(1)]",
    "move_on_after": "anyio.move_on_after(1)",
    "task group": "anyio.create_task_group()",
    "task group that is used": "await use(anyio.create_task_group())",
}

PROGRAM = """
import gc, ferrio
ferrio.install()
import anyio

async def start(*, task_status):
    task_status.started(5)

async def use(group):
    async with group:
        group.start_soon(anyio.sleep, 0)
        assert await group.start(start) == 5

async def main():
    gc.set_threshold(1)
    kept = [{maker} for _ in range(100)]
    gc.set_threshold(700)
    print(len(kept))

anyio.run(main)
"""


@pytest.mark.parametrize("name", MAKERS)
def test_objects_are_made_under_the_collectors_eyes(name):
    command = [sys.executable, "-X", "faulthandler", "-c", PROGRAM.format(maker=MAKERS[name])]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "100\n", "")
