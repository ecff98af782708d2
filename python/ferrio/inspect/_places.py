"""Places that create tasks, and whether theirs leak: more and more of them stay, and what stays does not go on.

More load makes more tasks as well. These end after a while, wait for a peer or for a timer, or are as many more as
connections are; a leak has none of these.
"""

from ferrio.inspect._growth import Growth

# Of tasks that leak fewer than one in so many goes on.
_FEW = 10

# How many tasks of one place a connection may have.
_OF_CONNECTION = 2


class Place:
    """The tasks of one line that stay, at several looks."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._staying: frozenset[str] = frozenset()
        # How many have come to stay and have gone on since the first point of the growth, and the connections then.
        self._came = 0
        self._went_on = 0
        self._connections = 0
        self._more_connections = 0

    def look(self, now: float, staying: frozenset[str], connections: int, gap: float) -> None:
        """Notes which tasks stay, and how many connections there are. Looks that follow each other faster than `gap`
        seconds count as one."""
        self._came += len(staying - self._staying)
        self._went_on += len(self._staying - staying)
        if len(staying) < len(self._staying) or self._went_on * _FEW > self._came:
            self._growth = Growth()
        self._staying = staying
        if not self._growth.points:
            self._came, self._went_on, self._connections = 0, 0, connections
        self._growth.add(now, len(staying), gap)
        self._more_connections = connections - self._connections

    def leak(self, now: float, seconds: float, amount: float) -> tuple[float, int, int] | None:
        """For how long the tasks have leaked, from what number to what; None if they do not."""
        grown = self._growth.over(now, seconds, amount)
        if grown is None or self._more_connections * _OF_CONNECTION >= grown[2] - grown[1]:
            return None
        return grown
