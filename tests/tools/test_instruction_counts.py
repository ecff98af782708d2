"""benches.instructions: callgrind's counts are added up by object file, and a row runs from end to end."""

import io
import json
import re
import shutil
import subprocess
import sys

import pytest

from benches.instructions.__main__ import line
from benches.instructions.counting import Count, by_object, difference

# Names are given once and then meant by their number; a line after `calls=` is no cost of its own.
DUMP = """\
# callgrind format
version: 1
events: Ir

ob=(1) /usr/bin/python3.13
fl=(1) ceval.c
fn=(1) evaluate
10 {evaluating}
+2 5
cob=(2) /somewhere/_ferrio.cpython-313-x86_64-linux-gnu.so
cfi=(2) lib.rs
cfn=(2) call_soon
calls=3 17
* 1000
fi=(3) object.h
-1 1

ob=(2)
fl=(2)
fn=(2)
17 {scheduling}

ob=(1)
fl=(1)
fn=(4) collect
1 2

totals: 0
"""


def test_costs_belong_to_the_object_they_are_in():
    counts = by_object(io.StringIO(DUMP.format(evaluating=100, scheduling=40)))
    assert counts == {"/usr/bin/python3.13": 108, "/somewhere/_ferrio.cpython-313-x86_64-linux-gnu.so": 40}


def test_what_both_dumps_have_cancels_out(tmp_path):
    (tmp_path / "n").write_text(DUMP.format(evaluating=100, scheduling=40))
    (tmp_path / "2n").write_text(DUMP.format(evaluating=300, scheduling=80))
    assert difference(tmp_path / "n", tmp_path / "2n", 10) == Count(whole=24.0, extension=4.0)


def test_a_row_shows_both_builds_and_their_ratios():
    shown = line("a_row", Count(1030.0, 204.0), Count(1000.0, 200.0))
    assert shown.split() == ["a_row", "1,030", "1,000", "1.030", "204", "200", "1.020"]


@pytest.mark.skipif(
    not all(map(shutil.which, ("valgrind", "setarch", "cc"))), reason="valgrind, setarch or a C compiler is missing"
)
@pytest.mark.timeout(600)  # under valgrind a program takes fifty times as long, and more on a busy machine
def test_a_row_counts_the_same_each_time(tmp_path):
    """The build beside itself: 1.000 in all. Stock asyncio has no instruction in the extension."""
    command = [sys.executable, "-m", "benches.instructions", "--only", "task_seq"]
    found = {}
    for implementation in ("ferrio", "asyncio"):
        file = tmp_path / f"{implementation}.json"
        more = ["--implementation", implementation, "--json", str(file)]
        more += ["--baseline", sys.executable] if implementation == "ferrio" else []
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=280, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        found[implementation] = json.loads(file.read_text())["figures"]["task_seq"]
    ours, again = found["ferrio"]["now"], found["ferrio"]["baseline"]
    assert re.fullmatch(r"1\.00\d|0\.99\d", f"{ours['whole'] / again['whole']:.3f}")
    assert 0 < ours["extension"] < ours["whole"] < found["asyncio"]["now"]["whole"]
    assert found["asyncio"]["now"]["extension"] == 0
