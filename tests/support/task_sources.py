"""A task source in memory: it adds one task after another one has ended."""

from hpcmtl.results.events import TaskEnded


class Successor:
    """A source that adds the task `then` once the task `first` has ended, and gives up if that did not complete."""

    def __init__(self, first, then, make):
        self._first, self._then, self._make = first, then, make
        self._waits, self._ready = True, False

    @property
    def exhausted(self):
        """See `TaskSource`."""
        return not (self._waits or self._ready)

    def poll(self, now):
        """See `TaskSource`."""
        return self._make(self._then) if self._ready else None

    def answered(self, answer):
        """See `TaskSource`."""
        self._ready = answer is None

    def on_event(self, event):
        """See `TaskSource`."""
        if isinstance(event, TaskEnded) and event.task == self._first:
            self._waits, self._ready = False, event.status == "complete"

    def close(self):
        """See `TaskSource`."""
        self._waits = self._ready = False
