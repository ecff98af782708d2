"""Compares ferrio, stock asyncio and, if installed, uvloop on this machine: one file for each section of the manual.

Each round of each workload runs in a fresh process, and the implementations take turns, so that a change in the
machine's speed affects all of them. Only ratios within one round are meaningful; a range wider than the difference
means noise.

    python -m benches                                  everything
    python -m benches --quick                          one workload of each section, one round: does it run?
    python -m benches --only call_soon --only echo     workloads whose names contain these words
    python -m benches --rounds 9 --seconds 0.5 --output DIRECTORY
    python -m benches --baseline report.json           and the changes since that run

`--output` names the directory for report.json with all figures, table.md and, if matplotlib is installed, one plot for
each section.
"""
