"""Jobs that the loop's thread runs as if it were another one, which saves two switches of threads for each job.

Python's view of a thread is its state: `threading.local`, the context, the running loop. The loop's thread enters a
second state for a job (`LentThread`), and `threading.get_ident` shows the difference. What sees the system's threads
themselves does not: C code that compares their identifiers, as `RLock` and sqlite3 do. So:

- a job's code first runs in a real thread, and again there whenever it has waited for anything or made a loop;
- if code that never waited does in the loop's thread after all, that run does not count and is made again;
- what fails is only reported if it fails again with real threads.
"""

import threading
from typing import TYPE_CHECKING, Any

from ferrio._ferrio import LentThread

if TYPE_CHECKING:
    from ferrio.testing._threads import Crew


class Refused(BaseException):
    """Raised in a job that must not run in the loop's thread."""


class LentWorker:
    """The thread that the loop's plays; in the list of threads it is one of the crew's."""

    debt = 0.0

    def __init__(self, crew: "Crew") -> None:
        self.crew = crew
        self.state = LentThread()
        crew.by_thread[self.state.identifier] = self
        self.job: Any = None
        self.key: Any = None
        # In a state whose thread `threading` does not know, this makes an object for it.
        self.thread = self.state.call(threading.current_thread)
        self.thread.name = f"simulated-job-{crew.made}"
        crew.made += 1

    def run(self, job: Any, key: Any) -> None:
        """Runs a job with this code."""
        self.job, self.key = job, key
        try:
            self.state.run_job(job)
        finally:
            self.job = self.key = None

    def refuse(self) -> None:
        """The job is about to do what needs a thread: the run does not count."""
        self.crew.is_void = True
        self.crew.keep_threads_for(self.key)
        self.crew.simulation.has_invariants = True
        raise Refused

    def close(self) -> None:
        self.crew.by_thread.pop(self.state.identifier, None)
        self.state.close()
