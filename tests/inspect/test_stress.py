"""Snapshots, metrics and traces while tasks come and go: nothing is lost, there twice, or crashes."""

import os
import subprocess
import sys

import pytest

from tests.support import inspection_stress

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("options", [(), ("-X", "dev", "-W", "error")], ids=["plain", "development mode"])
def test_tasks_come_and_go_while_threads_look_at_them(tmp_path, options):
    tmp_path.chmod(0o700)
    result = subprocess.run(
        [sys.executable, *options, inspection_stress.__file__, "10"],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "PYTHONFAULTHANDLER": "1"},
        timeout=280,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "looked\n", "")
