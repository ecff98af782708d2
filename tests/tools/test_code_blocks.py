"""The code blocks of README.md and of the manual: each runs, or is run by a test that is named here."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(page, kind, text) for page in PAGES for kind, text in BLOCK.findall((ROOT / page).read_text())]

# Blocks that need another project's program around them, by a line of theirs, and the tests that run the same.
RUN_BY = {
    'uvicorn.run("app:app", loop="none")': "test_a_server_runs_on_ferrio",
    "class FerrioWorker(UvicornWorker):": "test_a_server_runs_on_ferrio",
    "def pytest_asyncio_loop_factories(config, item):": "test_a_plugin_of_pytest_runs_tests_on_ferrio",
    "def event_loop_policy():": "test_a_plugin_of_pytest_runs_tests_on_ferrio",
    "def anyio_backend():": "test_a_plugin_of_pytest_runs_tests_on_ferrio",
}
# Blocks that are parts of a coroutine.
INSIDE_A_COROUTINE = ("print(type(asyncio.get_running_loop())", "loop = asyncio.get_running_loop()\nloop.add_signal")
KINDS = {"python", "json", "toml", "ini", "dockerfile", "rust"}


def ids(block):
    page, kind, text = block
    return f"{page}-{kind}-{text.splitlines()[0][:30]}"


def of_kind(kind):
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == kind], ids=ids)


def test_no_block_is_of_a_kind_that_nobody_checks():
    assert {kind for _, kind, _ in BLOCKS} <= KINDS


def names_of_tests():
    return {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }


def test_what_is_run_elsewhere_is_there_and_is_run():
    texts = [text for _, _, text in BLOCKS]
    assert all(any(line in text for text in texts) for line in (*RUN_BY, *INSIDE_A_COROUTINE))
    assert set(RUN_BY.values()) <= names_of_tests()


# Turns the watchdog on, for a block that blocks.
LETS_BLOCK = "ferrio.inspect.start(blocked="


@of_kind("python")
def test_python_block_runs(block, tmp_path):
    _, _, text = block
    compile(text, "block", "exec")
    if any(line in text for line in RUN_BY):
        return
    if sys.version_info < (3, 12) and "asyncio.run(main(), loop_factory=" in text:
        pytest.skip("asyncio.run() takes a factory from Python 3.12 on, as the block says")
    if any(line in text for line in INSIDE_A_COROUTINE):
        text = "import asyncio, signal\nasync def main():\n" + "".join(f"    {line}\n" for line in text.splitlines())
        text += "asyncio.run(main())\n"
    (tmp_path / "block.py").write_text(text)
    settings = ["-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *settings, "-m", "ferrio", "--quiet", "block.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if LETS_BLOCK in text:
        assert done.stderr.startswith("The loop was blocked for "), done.stderr
    else:
        assert done.stderr == ""


@of_kind("json")
def test_json_block_is_json(block):
    assert json.loads(block[2])


@of_kind("rust")
def test_rust_block_is_part_of_an_example(block):
    examples = ROOT / "examples"
    sources = [*(examples / "rust-extension" / "src").glob("*.rs"), *(examples / "rust").glob("*.rs")]
    assert any(block[2] in path.read_text() for path in sources)


@of_kind("ini")
def test_unit_runs_a_command_that_is_there(block):
    # systemd's format, with sections and keys that may repeat: not what configparser takes for ini in general.
    command = re.search(r"^ExecStart=.*? -m ferrio (.+)$", block[2], re.MULTILINE)
    assert command is not None
    assert command[1].startswith("-m uvicorn app:app")


@of_kind("dockerfile")
def test_image_has_the_python_of_its_wheel(block):
    stages = re.findall(r"^FROM (\S+)", block[2], re.MULTILINE)
    assert [stage.rpartition("-")[2] for stage in stages] == ["bookworm", "bookworm"]
    assert "python:3.11-" in stages[-1], "bookworm's own Python, which builds the wheel"


def test_links_of_the_readme_lead_to_files_of_the_repository():
    """PyPI shows README.md without the repository, so its links are absolute."""
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert all(link.startswith("https://") for link in links)
    here = "https://github.com/ferrio/ferrio/"
    paths = [
        link.removeprefix(here).split("/", 2)[2].partition("#")[0]
        for link in links
        if re.match(here + "(blob|tree)/main/", link)
    ]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def packages_of(row):
    (cells,) = re.findall(rf"^\| {row} \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return cells.split(", ")


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ("servers and frameworks", "interop"),
        ("clients and drivers", "interop"),
        ("around the loop", "interop"),
        ("pytest's plugins", "interop"),
        ("whole test suites", "upstream"),
    ],
)
def test_packages_that_the_readme_names_are_pinned(row, source):
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / f"{source}.txt").read_text(), re.MULTILINE)
    assert set(packages_of(row)) <= set(pinned)


def test_suites_that_the_readme_names_are_there():
    from tests.upstream.suites import SUITES

    assert set(packages_of("whole test suites")) == set(SUITES)


def test_versions_that_the_readme_names_are_those_that_are_supported():
    versions = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert f"CPython {', '.join(versions[:-1])} and {versions[-1]}" in (ROOT / "README.md").read_text()
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    assert f"Rust {rust} or newer" in (ROOT / "README.md").read_text()
