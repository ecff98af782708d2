"""Adds to the manual: texts of the repository's root, the examples, pictures, and the last run of `make bench`.

The root's texts and the examples are included as they are, so that nothing is written twice; only links are changed.
The table and plots of `make bench` are those of the machine that builds the pages, and are omitted if there was no run;
so are the pictures that `make pictures` makes there.
"""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FROM_THE_ROOT = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
EXAMPLES = ROOT / "examples"
EXAMPLE_ROW = re.compile(r"^\| (.+?) \| \[(\w+)\.py\]\(\w+\.py\) \|$", re.MULTILINE)
BENCH = ROOT / "target" / "bench"
PICTURES = ROOT / "target" / "pictures"
PICTURE = re.compile(r"^<!-- picture: (\S+) (.+?) -->$", re.MULTILINE)
MARK = "<!-- the last run of make bench -->"
NO_RUN = """\
!!! note "No figures here"
    These pages were built without a run of `make bench`. Run it, then `make docs`, and this place shows your machine's.
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the pages of the tutorial, in the order of the examples' own table."""
    (tutorial,) = (group["Tutorial"] for group in config.nav or () if "Tutorial" in group)
    tutorial += [{short(topic): f"tutorial/{name}.md"} for topic, name in topics()]
    return config


def topics() -> list[tuple[str, str]]:
    """What each example is about, and its name."""
    return EXAMPLE_ROW.findall((EXAMPLES / "README.md").read_text(encoding="utf-8"))


def short(topic: str) -> str:
    """The topic's name, without what is said about it."""
    name = topic.partition(":")[0].replace("`", "")
    return name[0].upper() + name[1:]


def tutorial_page(topic: str, name: str) -> str:
    """An example as a page: what its first lines say, then its code."""
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    text = ast.get_docstring(tree)
    assert text is not None
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno :]).strip()
    return (
        "---\nhide:\n  - toc\n---\n\n"  # its place is for lines of 120 columns
        f"# {short(topic)}\n\n{text}\n\n    python examples/{name}.py\n    python -m ferrio examples/{name}.py\n\n"
        f"```python\n{code}\n```\n"
    )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in FROM_THE_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=with_links_of_the_manual(text)))
    for topic, name in topics():
        files.append(File.generated(config, f"tutorial/{name}.md", content=tutorial_page(topic, name)))
    for plot in sorted(BENCH.glob("*.svg")):
        files.append(File.generated(config, f"bench/{plot.name}", content=plot.read_bytes()))
    for picture in sorted(PICTURES.glob("*.*")):
        files.append(File.generated(config, f"pictures/{picture.name}", content=picture.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: object, config: MkDocsConfig, files: Files) -> str:
    markdown = PICTURE.sub(lambda found: picture(found[1], found[2], files), markdown)
    return markdown.replace(MARK, figures()) if MARK in markdown else markdown


def picture(name: str, shows: str, files: Files) -> str:
    """A picture, if it was made; the pages say in words what it shows."""
    if files.get_file_from_path(f"pictures/{name}") is None:
        print(f"the manual is built without the picture {name}: `make pictures` makes it")
        return ""
    return f"![{shows}](pictures/{name})"


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
