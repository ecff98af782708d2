"""Command line of the conformance run; see the package."""

import argparse
import concurrent.futures
import sys

from .supervisor import FERRIO, judge, modules, needless


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", action="append", metavar="MODULE", help="a test module, as test_events; repeatable")
    parser.add_argument("--match", action="append", metavar="PATTERN", help="only tests whose full name matches")
    parser.add_argument("--loop", default=FERRIO, metavar="MODULE:FACTORY", help="another loop, or stock")
    parser.add_argument(
        "--all", action="store_true", help="also what inapplicable.toml names; tells what it names needlessly"
    )
    parser.add_argument("--verbose", action="store_true", help="print every test that did not pass")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="modules at once")
    arguments = parser.parse_args()
    chosen = arguments.only or modules()
    if not chosen:
        print("this interpreter comes without test.test_asyncio", file=sys.stderr)
        return 2
    faults, passed = 0, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [
            pool.submit(judge, module, arguments.loop, arguments.match or ("*",), () if arguments.all else None)
            for module in chosen
        ]
        verdicts = []
        for verdict in (run.result() for run in runs):
            verdicts.append(verdict)
            faults, passed = faults + len(verdict.faults), passed + verdict.passed
            figures = f"{verdict.passed:5} passed {len(verdict.faults):4} faults {verdict.seconds:7.1f} s"
            print(f"{verdict.module:32} {figures}")
            for name, outcome in (verdict.faults if not arguments.verbose else verdict.outcomes).items():
                if outcome.what != "passed":
                    reason = (outcome.detail.strip().splitlines() or [""])[-1]
                    print(f"    {outcome.what:8} {name}  {reason if not arguments.verbose else outcome.detail}")
            sys.stdout.flush()
    print(f"{passed} passed, {faults} faults")
    if arguments.all and not arguments.only:
        for pattern in needless(verdicts):
            print(f"excused without need in this interpreter: {pattern}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
