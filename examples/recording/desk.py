"""Replays a recording of orders.py.

python -m examples.recording.desk FILE
"""

import sys

from ferrio import testing

from .orders import main

if __name__ == "__main__":
    report = testing.replay(main, sys.argv[1])
    print(report.failure or "the day went well")
