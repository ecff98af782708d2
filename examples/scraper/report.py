"""What a crawl found out: one record for each URL, and the sums over all of them.

Every URL that was discovered has exactly one record and in the end exactly one outcome, so the four outcomes always
add up to the number discovered. Fetching the pages is the crawler's business; this file only counts and prints.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rich.markup import escape
from rich.table import Table


class Outcome(StrEnum):
    """How the story of a URL ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    SKIPPED = "skipped"


STYLES = {Outcome.OK: "green", Outcome.FAILED: "red", Outcome.TIMED_OUT: "yellow", Outcome.SKIPPED: "dim"}


@dataclass(slots=True)
class Page:
    """One URL. `errors` keeps what went wrong at every attempt, also when a later one succeeded."""

    url: str
    outcome: Outcome | None = None  # None while there is something left to do
    status: int | None = None
    reason: str = ""  # why it was skipped or given up
    attempts: int = 0
    size: int = 0
    errors: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The record as the JSON report has it."""
        return {
            "url": self.url,
            "outcome": self.outcome,
            "status": self.status,
            "reason": self.reason,
            "attempts": self.attempts,
            "size": self.size,
            "errors": self.errors,
        }


@dataclass(frozen=True)
class Report:
    """All pages of a crawl, how long it took, and whether it was stopped halfway."""

    start: str
    loop: str
    pages: list[Page]
    seconds: float
    cpu_seconds: float
    interrupted: bool

    def outcomes(self) -> Counter[Outcome]:
        """How many pages ended how."""
        return Counter(page.outcome for page in self.pages if page.outcome is not None)

    def fetched(self) -> int:
        """How many pages were really asked for: all but those that were skipped."""
        return len(self.pages) - self.outcomes()[Outcome.SKIPPED]

    def pages_per_second(self) -> float:
        """The throughput of the crawl."""
        return self.fetched() / self.seconds if self.seconds else 0.0

    def to_json(self) -> str:
        """The whole report. Pages are sorted, so that two crawls of the same site can be compared."""
        outcomes = self.outcomes()
        document = {
            "start": self.start,
            "loop": self.loop,
            "interrupted": self.interrupted,
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "pages_per_second": round(self.pages_per_second(), 1),
            "totals": {
                "discovered": len(self.pages),
                **{outcome.value: outcomes[outcome] for outcome in Outcome},
                "retries": sum(max(page.attempts - 1, 0) for page in self.pages),
                "bytes": sum(page.size for page in self.pages),
            },
            "pages": [page.to_json() for page in sorted(self.pages, key=lambda page: page.url)],
        }
        return json.dumps(document, indent=1)

    def summary(self) -> Table:
        """The outcomes, and below them the sum that they have to make."""
        title = f"Crawl of {self.start}{' (interrupted)' if self.interrupted else ''}"
        table = Table(title=escape(title), show_footer=True)  # brackets, as in IPv6 addresses, mean styles to rich
        table.add_column("outcome", footer="discovered")
        table.add_column("pages", justify="right", footer=str(len(self.pages)))
        table.add_column("why", footer=f"{self.seconds:.2f} s, {self.pages_per_second():.0f} pages/s on {self.loop}")
        outcomes = self.outcomes()
        for outcome in Outcome:
            reasons = Counter(page.reason for page in self.pages if page.outcome is outcome and page.reason)
            why = "; ".join(f"{times} x {reason}" for reason, times in sorted(reasons.items()))
            table.add_row(outcome, str(outcomes[outcome]), escape(why), style=STYLES[outcome])
        return table

    def errors(self) -> Table:
        """What went wrong, how often, and on how many pages a retry mended it."""
        times: Counter[str] = Counter()
        pages: Counter[str] = Counter()
        mended: Counter[str] = Counter()
        for page in self.pages:
            times.update(page.errors)
            pages.update(set(page.errors))
            if page.outcome is Outcome.OK:
                mended.update(set(page.errors))
        table = Table(title="Errors")
        table.add_column("error")
        for heading in ("times", "pages", "mended by a retry"):
            table.add_column(heading, justify="right")
        for error, count in times.most_common(12):
            table.add_row(escape(error), str(count), str(pages[error]), str(mended[error]))
        return table
