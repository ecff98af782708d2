"""Runs each workload on ferrio for a moment: the run that profile-guided builds are guided by.

python -m benches.training      # see scripts/record_profile.py
"""

import sys

from .__main__ import once
from .workload import load

SECONDS = 0.1


def main() -> int:
    failed = 0
    for name in load():
        for implementation in ("ferrio", "ferrio-loop"):
            outcome = once(implementation, name, SECONDS)
            if isinstance(outcome, str):
                print(f"{name} on {implementation}: {outcome}", file=sys.stderr)
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
