"""From when on a lint speaks."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class LintLimits:
    """From when on a lint speaks. Times are in seconds.

    `interval` is the time between two looks of `start(lints=…)`. An exception is lost after `lost_exception` seconds in
    which nobody has asked for it. A task that nobody keeps is reported after `lost_task`, one that wakes itself after
    `spinning`, a lock for which others wait after `held_lock`. Queues and tasks grow if they did at each of six looks
    or more within `growing` seconds or more, queues by `growing_queue` entries, tasks of a place by `growing_tasks`.
    """

    interval: float = 5.0
    lost_exception: float = 5.0
    lost_task: float = 1.0
    spinning: float = 1.0
    held_lock: float = 10.0
    growing: float = 120.0
    growing_queue: float = 1000
    growing_tasks: float = 100

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1e9:
                raise ValueError(f"{each.name} is to be a number from 0 on, not {value!r}")
        if self.interval < 0.01:
            raise ValueError("the interval is to be at least 0.01 seconds")
