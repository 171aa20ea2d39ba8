"""Step time by part."""

import time
from contextlib import contextmanager


class Stopwatch:
    """Accumulates ms by part; nested measurements are subtracted from the enclosing part."""

    def __init__(self):
        self._parts = {}
        self._inner = [0.0]

    @contextmanager
    def measure(self, part):
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed = 1000 * (time.perf_counter() - started)
            own = elapsed - self._inner.pop()
            self._inner[-1] += elapsed
            self._parts[part] = self._parts.get(part, 0.0) + own

    def take(self):
        """The parts since the last call, in ms."""
        taken = self._parts
        self._parts = {}
        self._inner = [0.0]
        return taken
