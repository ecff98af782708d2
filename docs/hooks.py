"""Adds pages to the manual: two texts of the repository's root, and the results of the last run of `make bench`.

The root's texts are included as they are, so that nothing is written twice; only their links are changed. The table and
plots are those of the machine that builds the pages, and are omitted if there was no run.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FROM_THE_ROOT = {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md"}
BENCH = ROOT / "target" / "bench"
MARK = "<!-- the last run of make bench -->"
NO_RUN = """\
!!! note "No figures here"
    These pages were built without a run of `make bench`. Run it, then `make docs`, and this place shows your machine's.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in FROM_THE_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=with_links_of_the_manual(text)))
    for plot in sorted(BENCH.glob("*.svg")):
        files.append(File.generated(config, f"bench/{plot.name}", content=plot.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: object, config: MkDocsConfig, files: Files) -> str:
    return markdown.replace(MARK, figures()) if MARK in markdown else markdown


def with_links_of_the_manual(text: str) -> str:
    """Points links between the root's texts to their pages, and removes the manual's folder from links into it."""
    for source, page in FROM_THE_ROOT.items():
        text = text.replace(f"]({source})", f"]({page})")
    return re.sub(r"\]\(docs/", "](", text)


def figures() -> str:
    """The table of the last run, with a plot for each section."""
    table = BENCH / "table.md"
    if not table.is_file():
        return NO_RUN
    plots = {path.stem for path in BENCH.glob("*.svg")}

    def with_plot(heading: re.Match[str]) -> str:
        section = heading[1].lower().replace(" ", "_")
        picture = f"\n\n![{heading[1]}: ratios to stock asyncio](bench/{section}.svg)" if section in plots else ""
        return f"### {heading[1]}{picture}"

    return re.sub(r"^## (.+)$", with_plot, table.read_text(encoding="utf-8"), flags=re.MULTILINE)
