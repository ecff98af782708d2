"""The figures of the first page: chart and quotations come from the committed report, and nothing else is claimed."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benches import chart, report, summary
from benches.workload import load

ROOT = Path(__file__).resolve().parents[2]
REPORT = report.read(str(summary.REPORT))


def test_pages_and_chart_agree_with_the_committed_report():
    done = subprocess.run([sys.executable, "-m", "benches.chart", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_report_makes_other_pages():
    other = copy.deepcopy(REPORT)
    figures = other["figures"][chart.HEADLINE]
    figures["ferrio"] = [value * 2 for value in figures["ferrio"]]
    now, then = chart.made(REPORT), chart.made(other)
    assert {path.name for path in now if now[path] != then[path]} == {
        "README.md",
        "index.md",
        "performance.md",
        "summary-light.svg",
        "summary-dark.svg",
    }


def test_report_is_a_measurement_of_everything_that_is_shown():
    assert REPORT["rounds"] >= report.ENOUGH_ROUNDS
    assert REPORT["clock"] == "processor"
    assert list(REPORT["figures"]) == [*summary.WORKLOADS]
    for figures in REPORT["figures"].values():
        assert list(figures) == list(summary.IMPLEMENTATIONS)
        assert not report.failures(figures)


def test_workloads_of_the_summary_are_there():
    assert set(summary.WORKLOADS) <= set(load())


@pytest.mark.parametrize("theme", chart.THEMES)
def test_chart_has_a_bar_for_each_figure(theme):
    root = ElementTree.fromstring(chart.drawing(REPORT, theme))
    bars = [element for element in root.iter("{http://www.w3.org/2000/svg}rect") if element.get("x") == str(chart.LEFT)]
    legend = 1  # its first entry stands where the bars begin
    assert len(bars) == legend + len(REPORT["figures"]) * len(summary.IMPLEMENTATIONS)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_first_pages_quote_no_other_ratio(page):
    text = chart.BLOCK.sub("", (ROOT / page).read_text())
    assert not re.findall(r"\d[\d.]*(?:x\b| times as)", text)
