"""benches: the workloads run and check themselves, and a report states what was measured."""

import json
import subprocess
import sys

import pytest

from benches import report

ONE_PASS = """
import asyncio, ferrio
from benches.workload import load
for name, function in load().items():
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(function()) > 0, name
    print(name)
"""


def test_each_workload_runs():
    done = subprocess.run([sys.executable, "-c", ONE_PASS], capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"after {done.stdout.split()[-1:]}"
    sections = report.sections(done.stdout.split())
    assert len(sections) > 15
    assert all(sections.values())


def test_a_run_leaves_a_report_and_is_compared_with_it(tmp_path):
    command = [sys.executable, "-m", "benches", "--only", "call_soon_chain", "--rounds", "1", "--seconds", "0.01"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "report.json").read_text())
    assert {"asyncio", "ferrio", "ferrio-loop"} <= set(written["figures"]["scheduling.call_soon_chain"])
    assert "| call soon chain |" in (tmp_path / "table.md").read_text()
    command += ["--baseline", str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "changed by more than the spread of both runs:" in done.stdout


def test_ratios_are_of_the_same_round():
    ratio = report.Ratio.of([10.0, 40.0, 90.0], [10.0, 20.0, 30.0])
    assert ratio == report.Ratio(1.0, 2.0, 3.0, 3)


@pytest.mark.parametrize("values", [[1.0, "hung"], ["crashed", 1.0], []])
def test_a_failure_is_no_ratio(values):
    assert report.Ratio.of(values, [1.0] * len(values)) is None


def made(stock: float, ferrio: list[float]) -> dict[str, object]:
    return {
        "python": "3.13.0",
        "rounds": 3,
        "figures": {"tasks.one": {"asyncio": [stock] * len(ferrio), "ferrio": ferrio}},
    }


def test_a_slower_machine_is_no_change():
    assert report.changes(made(100.0, [200.0, 210.0, 220.0]), made(50.0, [100.0, 105.0, 110.0])) == []


def test_a_change_beyond_both_spreads_is_reported():
    (row,) = report.changes(made(100.0, [300.0, 310.0, 320.0]), made(100.0, [150.0, 155.0, 160.0]))
    assert "tasks.one" in row
    assert "2.00x" in row


def rendered(stock: list[float], ferrio: list[float]) -> tuple[str, str, str]:
    """The row for a terminal, the row of the table, and the whole table."""
    figures: report.Figures = {"asyncio": [*stock], "uvloop": [*stock], "ferrio": [*ferrio]}
    made = {**report.circumstances(0.3, len(stock)), "figures": {"tasks.one": figures}}
    table = report.table(made)
    (row,) = (row for row in table.splitlines() if row.startswith("| one |"))
    return report.line("tasks.one", figures), row, table


@pytest.mark.parametrize("factor", [0.05, 0.5, 1, 9.99, 10, 12.3, 99.99, 123, 12345])
def test_a_ratio_of_any_size_stays_in_its_column(factor):
    line, row, _ = rendered([100.0] * 4, [96.0 * factor, 99.0 * factor, 101.0 * factor, 104.0 * factor])
    name, stock, uvloop, ferrio = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, stock, uvloop) == ("one", "100", "1.00 (1.00-1.00)")
    assert line.split() == ["tasks.one", stock, *uvloop.split(), *ferrio.split()]
    middle = float(ferrio.split()[0])
    assert abs(middle - factor) <= 0.006 * max(factor, 1)


def test_more_digits_than_a_measurement_has_are_not_shown():
    ratio = report.Ratio(9.0, 12.3456, 123.4, 5)
    assert str(ratio) == "12.3 (9.00-123)"


def test_one_round_is_no_measurement():
    line, row, table = rendered([123456.0], [987654.0])
    assert line.split() == ["tasks.one", "~120,000", "~1.0", "~8.0"]
    assert row == "| one | ~120,000 | ~1.0 | ~8.0 |"
    assert "smoke test, not a measurement" in table
    assert "smoke test" not in rendered([1.0] * 3, [1.0] * 3)[2]


def test_a_quick_run_says_what_it_is():
    command = [sys.executable, "-m", "benches", "--quick", "--only", "call_soon_chain"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("smoke test, not a measurement\n"), done.stdout + done.stderr
