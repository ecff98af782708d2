"""The examples print the same under stock asyncio and under ferrio.

Each runs twice in a process of its own, once as `python FILE` and once as `python -m ferrio FILE`. What may differ
between any two runs is masked before the comparison, and nothing else: durations, addresses of objects, and the kind
of the loop.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
STOCK = [sys.executable]
FERRIO = [sys.executable, "-m", "ferrio"]
LOOPS = pytest.mark.parametrize("interpreter", [STOCK, FERRIO], ids=["asyncio", "ferrio"])

pytestmark = pytest.mark.timeout(60)

MASKS = [
    (re.compile(r"\b\d+\.\d+ (s|seconds)\b"), r"DURATION \1"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "ADDRESS"),
    (re.compile(r"\bTask-\d+\b"), "Task-NUMBER"),
    (re.compile(r"<(_UnixSelectorEventLoop|EventLoop) running="), "<LOOP running="),
]


def masked(text: str) -> str:
    """The output without what differs from run to run."""
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def environment() -> dict[str, str]:
    """Ours, but without switches that change what a program prints."""
    switches = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS"}
    return {name: value for name, value in os.environ.items() if name not in switches}


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program in the repository's folder."""
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=50, check=False)


def output(command: list[str]) -> str:
    """What a program prints when all goes well: exit status 0 and not a word of complaint."""
    result = run(command)
    assert result.returncode == 0, f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.stderr == ""
    assert result.stdout
    return masked(result.stdout)


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_prints_the_same_under_both_loops(program: str) -> None:
    file = str(EXAMPLES / program)
    assert output([*FERRIO, file]) == output([*STOCK, file])


@LOOPS
def test_loop_policy_example_prints_the_same_with_ferrios_policy(interpreter: list[str]) -> None:
    file = str(EXAMPLES / "loop_policy.py")
    assert output([*interpreter, file, "--policy", "ferrio"]) == output([*STOCK, file])


def test_every_example_is_in_the_table_and_every_topic_has_its_file() -> None:
    topics = (EXAMPLES / "README.md").read_text().split("## The scraper")[0]
    linked = re.findall(r"^\|.*\]\((.+?)\) \|$", topics, re.MULTILINE)
    present = [*PROGRAMS, *(f"{path.parent.name}/" for path in EXAMPLES.glob("*/__main__.py"))]
    assert sorted(linked) == sorted(present)


def test_every_file_of_the_scraper_is_in_its_table() -> None:
    files = (EXAMPLES / "README.md").read_text().split("## The scraper")[1]
    linked = re.findall(r"^\|.*\]\(scraper/(.+?)\) \|", files, re.MULTILINE)
    assert sorted(linked) == sorted(path.name for path in EXAMPLES.glob("scraper/*.py") if path.name != "__init__.py")


def scrape(interpreter: list[str], file: Path, *options: str) -> dict[str, Any]:
    """Crawl a small embedded site and return the JSON report."""
    result = run([*interpreter, "-m", "examples.scraper", "--pages=300", f"--json={file}", *options])
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    report: dict[str, Any] = json.loads(file.read_text())
    check_accounts(report)
    return report


def check_accounts(report: dict[str, Any]) -> None:
    """Every URL that was discovered has one outcome, and the sums are those of the pages."""
    totals = report["totals"]
    outcomes = ("ok", "failed", "timed out", "skipped")
    assert sum(totals[outcome] for outcome in outcomes) == totals["discovered"] == len(report["pages"])
    for outcome in outcomes:
        assert totals[outcome] == sum(page["outcome"] == outcome for page in report["pages"])


def endings(report: dict[str, Any]) -> dict[str, Any]:
    """What two crawls of the same site have in common; the site's port is another one each time."""
    return {
        page["url"].removeprefix(report["start"]): (page["outcome"], page["status"], page["size"], page["errors"])
        for page in report["pages"]
    }


def test_scraper_sees_the_same_under_both_loops(tmp_path: Path) -> None:
    ferrio = scrape(FERRIO, tmp_path / "ferrio.json")
    stock = scrape(STOCK, tmp_path / "stock.json")
    assert ferrio["loop"].startswith("ferrio.")
    assert stock["loop"].startswith("asyncio.")
    assert endings(ferrio) == endings(stock)
    # The site has some of everything, or this would prove little.
    assert all(ferrio["totals"][count] for count in ("ok", "failed", "timed out", "skipped", "retries"))
    assert any(page["errors"] and page["outcome"] == "ok" for page in ferrio["pages"])


@pytest.mark.parametrize(("choice", "package"), [("ferrio", "ferrio."), ("asyncio", "asyncio.")])
@LOOPS
def test_scraper_uses_the_loop_it_is_given(interpreter: list[str], choice: str, package: str, tmp_path: Path) -> None:
    report = scrape(interpreter, tmp_path / "report.json", f"--loop={choice}", "--max-pages=20", "--quiet")
    assert report["loop"].startswith(package)
    assert report["totals"]["skipped"] == report["totals"]["discovered"] - 20


class HalfASite(BaseHTTPRequestHandler):
    """The start page answers; of the two pages it links to, one answers and the other never does."""

    asked: threading.Event
    released: threading.Event

    def do_GET(self) -> None:
        if self.path == "/hanging":
            self.asked.set()
            self.released.wait(30)
            return
        body = b'<a href="/page"></a><a href="/hanging"></a>'
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class JoiningServer(ThreadingHTTPServer):
    """Waits for its threads when it is closed, so that none of their sockets outlives the test."""

    daemon_threads = False


@pytest.fixture
def half_a_site() -> Iterator[tuple[str, threading.Event]]:
    """The site's address, and an event that is set once a client waits for the page that never comes."""
    asked, released = threading.Event(), threading.Event()
    handler = type("Handler", (HalfASite,), {"asked": asked, "released": released})
    with JoiningServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def interrupts_arrive() -> Iterator[None]:
    """Programs in the background of a shell ignore SIGINT, and what they start inherits that: not here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@LOOPS
@pytest.mark.usefixtures("interrupts_arrive")
def test_scraper_stops_cleanly_on_ctrl_c_and_reports_what_it_has(
    interpreter: list[str], half_a_site: tuple[str, threading.Event], tmp_path: Path
) -> None:
    url, asked = half_a_site
    file = tmp_path / "report.json"
    with subprocess.Popen(
        [*interpreter, "-m", "examples.scraper", f"--url={url}", "--timeout=30", f"--json={file}"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert asked.wait(20)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "(interrupted)" in stdout
    report = json.loads(file.read_text())
    check_accounts(report)
    assert report["interrupted"]
    endings_by_path = {path: page[0] for path, page in endings(report).items()}
    assert endings_by_path.pop("page") in ("ok", "skipped")  # it was on its way when the signal came
    assert endings_by_path == {"": "ok", "hanging": "skipped"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--concurrency=0"], "argument --concurrency: must be at least 1, not 0"),
        (["--timeout=soon"], "argument --timeout: not a number of seconds: 'soon'"),
        (["--url=ftp://example.org"], "argument --url: not an http or https address: 'ftp://example.org'"),
        (["--json=nowhere/report.json"], "argument --json: cannot write to 'nowhere/report.json'"),
        (["--loop=fastest"], "argument --loop: invalid choice: 'fastest'"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
@LOOPS
def test_scraper_explains_a_wrong_option(interpreter: list[str], options: list[str], message: str) -> None:
    result = run([*interpreter, "-m", "examples.scraper", *options])
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
