"""How a process learns that it is to end, and waits for that without ever waiting for itself."""

import contextlib
import os
import select
import signal


class Stop:
    """A wish to end, made by a signal; one thread waits for it, the main one. It lasts as long as its process.

    A threading.Event will not do: its lock is not reentrant, so a handler that interrupts `wait` at the wrong moment
    waits for itself for ever. Nor will a SimpleQueue: in Python 3.11 a short timeout that is over before the wait has
    begun becomes an endless one. Writing into a pipe is safe anywhere, and select(2) keeps its time (PEP 475).
    """

    def __init__(self) -> None:
        self._wished = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def set(self) -> None:
        """Wish it; harmless again."""
        self._wished = True
        with contextlib.suppress(BlockingIOError):  # so full of wishes that nobody waits any more
            os.write(self._wake, b".")

    def is_set(self) -> bool:
        """Whether somebody has wished it."""
        return self._wished

    def wait(self, seconds: float | None = None) -> bool:
        """Return once it is wished, or after `seconds`; says whether it is."""
        if not self._wished:
            select.select([self._woken], [], [], seconds)
        return self._wished


def stop_at(*signals: signal.Signals) -> Stop:
    """What these signals set from now on; call it in the main thread."""
    stop = Stop()
    for number in signals:
        signal.signal(number, lambda *_: stop.set())
    return stop
