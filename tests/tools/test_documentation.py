"""The manual: every name in it exists. `make docs` checks that its pages build without a warning."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def names_of_tests() -> set[str]:
    return {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }


def test_each_difference_has_a_test():
    rows = [line for line in (DOCS / "differences.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not re.fullmatch(r"\| \w+ \| ferrio \| test \|", row)]
    assert rows
    known = names_of_tests()
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2])
        assert named, f"no test: {row}"
        assert known.issuperset(named), row


def test_each_page_is_reached():
    navigation = re.findall(r"^ +- (?:[^:]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert len(navigation) == len(set(navigation))
    from_the_root = {"architecture.md", "changelog.md", "contributing.md"}
    assert set(navigation) == pages | from_the_root


def test_each_decision_is_listed():
    listed = (DOCS / "design" / "README.md").read_text()
    assert all(f"({path.name})" in listed for path in DOCS.glob("design/0*.md"))


PAGES = sorted(
    str(path.relative_to(ROOT))
    for at in (".", "docs", "examples", "tests/upstream")
    for path in (ROOT / at).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES)
def test_each_chore_that_is_named_is_there(page):
    chores = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named <= chores
