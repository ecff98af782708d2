"""What only grows: the points of a count at several looks."""

from dataclasses import dataclass, field

# At how many looks something has to have grown.
LOOKS = 6


@dataclass(slots=True)
class Growth:
    """A count since it was last seen to shrink. Of many points some are left out."""

    points: list[tuple[float, int]] = field(default_factory=list)

    def add(self, now: float, count: int, gap: float) -> None:
        """Notes a count; looks that follow each other faster than `gap` seconds count as one."""
        if self.points and count < self.points[-1][1]:
            self.points.clear()
        if self.points and (count == self.points[-1][1] or now - self.points[-1][0] < gap):
            return
        self.points.append((now, count))
        if len(self.points) > 4 * LOOKS:
            # The first one tells since when.
            del self.points[1:LOOKS]

    def over(self, now: float, seconds: float, amount: float) -> tuple[float, int, int] | None:
        """For how long it has grown, from what to what: if that is long and much enough, and goes on."""
        if len(self.points) < LOOKS:
            return None
        (began, first), (ends, last) = self.points[0], self.points[-1]
        if ends - began < seconds or last - first < amount or now - ends > 4 * max(seconds, 1.0):
            return None
        return ends - began, first, last
