"""Checks CHANGELOG.md, Cargo.toml and Cargo.lock for a release.

python scripts/release.py check VERSION    whether all three have this version
python scripts/release.py notes VERSION    the changelog's section
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def notes(changelog: str, version: str) -> str:
    """The section of that version, without its heading; empty if there is none."""
    found = re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return found[1].strip() if found else ""


def disagreements(version: str) -> list[str]:
    """The reasons why that version cannot be released now, one line each."""
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    locked: list[dict[str, Any]] = [package for package in lock["package"] if package["name"].startswith("ferrio")]
    found = []
    stated = cargo["workspace"]["package"]["version"]
    if stated != version:
        found.append(f"Cargo.toml has version {stated}, not {version}")
    for name, entry in cargo["workspace"]["dependencies"].items():
        if isinstance(entry, dict) and "path" in entry and entry.get("version") != version:
            found.append(f"Cargo.toml asks for {name} {entry.get('version')}, not {version}")
    found += [f"Cargo.lock has {p['name']} {p['version']}, not {version}" for p in locked if p["version"] != version]
    if not notes((ROOT / "CHANGELOG.md").read_text(), version):
        found.append(f"CHANGELOG.md has no section `## {version} (YYYY-MM-DD)` with a text")
    return found


def main(arguments: list[str]) -> int:
    match arguments:
        case ["check", version]:
            found = disagreements(version)
            print("\n".join(found) or f"{version} is what all of them say")
            return 1 if found else 0
        case ["notes", version]:
            print(notes((ROOT / "CHANGELOG.md").read_text(), version))
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
