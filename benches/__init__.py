"""ferrio against stock asyncio, and uvloop where it is installed, on this machine.

Each round of each workload runs in a fresh process, the implementations in turn, so that a change of the machine's
pace meets all of them. Only ratios mean something; a spread wider than the difference means noise.

    python -m benches                                  everything
    python -m benches --only call_soon --only echo     what contains these words
    python -m benches --rounds 9 --seconds 0.5 --json report.json
"""
