"""ferrio, stock asyncio and, where it is installed, uvloop on this machine: one file for each section of the manual.

Each round of each workload runs in a fresh process, the implementations in turn, so that a change of the machine's
pace meets all of them. Only ratios of one round mean something; a range wider than the difference means noise.

    python -m benches                                  everything
    python -m benches --quick                          one workload of each section, one round: does it run?
    python -m benches --only call_soon --only echo     what contains these words
    python -m benches --rounds 9 --seconds 0.5 --output DIRECTORY
    python -m benches --baseline report.json           and what has changed since that run

`--output` takes report.json with all figures, table.md, and, where matplotlib is installed, one plot for each section.
"""
